//! Port views: memory that both sides of a connection see.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, fstat};
use strait_sys::map::{Access, Map};
use strait_sys::memfd;

use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::wire::EXTENT_LEN;
use crate::nt::status::NtStatus;
use crate::object::kind::{Kind, Rights};
use crate::object::layout::FLAG_FILE;
use crate::object::space::life;
use crate::object::transfer::{RawRef, Transferable};
use crate::object::view::{View, Write};

/// Longest view, in bytes.
pub const VIEW_MAX: u64 = 1 << 40;
/// Longest view that is taken from the other side, in bytes, unless its limit is set.
pub(super) const RECEIVED_MAX: u64 = 64 << 20;
const MISSING: &str = "a process with write access truncated it";

/// Memory to be given to the other side of a connection, which maps it as this one does.
#[derive(Debug)]
pub struct PortView {
    file: OwnedFd,
    pub(super) offset: u64,
    pub(super) len: u64,
    name: String,
}

/// A part of a view: what a message says about where its data lies.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Extent {
    /// Bytes from the beginning of the view.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl PortView {
    /// New memory of that many bytes, zero and without a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0 bytes or more than [`VIEW_MAX`];
    /// [`ErrorKind::Exhausted`].
    pub fn create(len: u64) -> Result<Self> {
        check_len(len)?;
        let len = len.next_multiple_of(crate::object::layout::PAGE as u64);
        let file = memfd::create(c"strait-view", len, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::kernel(errno, "create port view", ""))?;
        Ok(Self {
            file,
            offset: 0,
            len,
            name: "port view".into(),
        })
    }

    /// All of a section. The view keeps its memory, not its name.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] for another object; [`ErrorKind::Denied`] for a handle without
    /// [`Rights::MODIFY`]; [`ErrorKind::Unsupported`] for a section over a file.
    pub fn of<T: Transferable>(section: &T) -> Result<Self> {
        let Some(RawRef(handle)) = section.raw() else {
            let error = Error::new(ErrorKind::WrongKind, "create port view", "");
            return Err(error.because("a view is memory: a section"));
        };
        let fail = |kind, why: &str| {
            Err(Error::new(kind, "create port view", handle.full_name()).because(why))
        };
        if handle.kind != Kind::Section {
            return fail(ErrorKind::WrongKind, "a view is memory: a section");
        }
        if !handle.rights.includes(Rights::MODIFY) {
            return fail(ErrorKind::Denied, "both sides write a view");
        }
        if handle.header.flags & FLAG_FILE != 0 {
            return fail(ErrorKind::Unsupported, "it is the section of a file");
        }
        let kernel = |errno| Error::kernel(errno, "create port view", handle.full_name());
        let file = match (handle.file_for_view(life::Mapping::Write), handle.file()) {
            (Some(file), _) => file,
            (None, Some(file)) => file
                .try_clone_to_owned()
                .map_err(|_| kernel(strait_sys::Errno::MFILE))?,
            (None, None) => return fail(ErrorKind::Unsupported, "it is private"),
        };
        Ok(Self {
            file,
            offset: handle.header.data_offset() as u64,
            len: handle.header.limit,
            name: handle.full_name(),
        })
    }

    pub(super) fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What the other side says that it gave: memory, as long as it said, and of at most that many
    /// bytes.
    pub(super) fn received(file: OwnedFd, (offset, len): (u64, u64), len_max: u64) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::Broken, "map port view", "").because(why);
        check_len(len)?;
        if len > len_max {
            return Err(wrong(&format!(
                "the other side's view has {len} bytes, and {len_max} are allowed (view_max)"
            )));
        }
        // A file of somebody's file system could stall who touches it.
        if !memfd::is_shmem(file.as_fd()) {
            return Err(wrong("what the other side gave is not memory"));
        }
        let found = fstat(&file).map_err(|errno| Error::kernel(errno, "map port view", ""))?;
        let end = offset.checked_add(len);
        if end.is_none_or(|end| i64::try_from(end).is_ok_and(|end| end > found.st_size)) {
            return Err(wrong("it is shorter than the other side said"));
        }
        Ok(Self {
            file,
            offset,
            len,
            name: "port view".into(),
        })
    }

    pub(super) fn map(&self) -> Result<View<Write>> {
        let fail = |errno| Error::kernel(errno, "map port view", self.name.clone());
        let len = usize::try_from(self.len).map_err(|_| fail(strait_sys::Errno::FBIG))?;
        let map = Map::shared(self.file.as_fd(), self.offset, len, Access::Write).map_err(fail)?;
        Ok(View::new(map, self.name.clone(), MISSING))
    }
}

fn check_len(len: u64) -> Result<()> {
    if (1..=VIEW_MAX).contains(&len) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "create port view",
        format!("{len} bytes"),
    )
    .because("a view has 1 byte to 1 TiB")
    .with_status(NtStatus::INVALID_VIEW_SIZE.0))
}

impl Extent {
    /// A part of a view, of a port of that name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not within it.
    pub(super) fn within(self, view: Option<&View<Write>>, port: &str) -> Result<Self> {
        let room = view.map_or(0, |view| view.len() as u64);
        if self
            .offset
            .checked_add(self.len)
            .is_some_and(|end| end <= room)
        {
            return Ok(self);
        }
        let Self { offset, len } = self;
        Err(
            Error::new(ErrorKind::InvalidInput, "use view of port", port)
                .because(format!(
                    "{len} bytes at {offset}, where the view has {room}"
                ))
                .with_status(NtStatus::INVALID_VIEW_SIZE.0),
        )
    }

    pub(super) fn encode(self) -> [u8; EXTENT_LEN] {
        let mut bytes = [0; EXTENT_LEN];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// What a message begins with; within the view, or it is a lie.
    pub(super) fn decode<'a>(
        bytes: &'a [u8],
        view: Option<&View<Write>>,
    ) -> Option<(Self, &'a [u8])> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let extent = Self {
            offset: u64::from_le_bytes(*offset),
            len: u64::from_le_bytes(*len),
        };
        Some((extent.within(view, "").ok()?, rest))
    }
}
