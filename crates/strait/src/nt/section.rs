//! Sections: shared memory with a name, in which a hostile peer can harm nothing but the bytes.
//!
//! A view gives [`Word`](crate::Word)s (atomics) and bounded copies, never a reference: another
//! process may be writing at any moment. Where that can be excluded, [`Section::freeze`] gives
//! honest `&[u8]`.
//!
//! | NT | here |
//! | --- | --- |
//! | sizes round up to pages; a view's offset is a multiple of 64 KiB | faithful |
//! | a view keeps the memory, not the name | faithful |
//! | access of a view is a subset of the handle's | faithful: read-only handles map read-only |
//! | SEC_RESERVE, SEC_IMAGE, large pages, NtExtendSection | left out |
//! | a named section over a file | each opener opens the file by its path, and needs permission for it; refused if another user, not root, made the section |
//!
//! A process that may write a named section may also truncate it: accesses beyond then fail with
//! [`ErrorKind::Broken`] instead of killing the reader. Unnamed sections are sealed against that.
//!
//! ```
//! use strait::nt::{Section, Write};
//! use std::sync::atomic::Ordering;
//!
//! let table = Section::options(1 << 16).create()?;
//! let view = table.map::<Write>()?;
//! view.word::<u64>(64)?.fetch_add(1, Ordering::Relaxed);
//! view.write(4096, b"tea")?;
//! let mut read = [0; 3];
//! view.read(4096, &mut read)?;
//! assert_eq!(&read, b"tea");
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: Windows SDK, CreateFileMapping, MapViewOfFile; NtCreateSection.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use strait_sys::map::{Access, Map};
use strait_sys::memfd;

use crate::error::{Error, ErrorKind, Result};
use crate::nt::status::NtStatus;
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::layout::{FLAG_FILE, PAGE};
use crate::object::space::life;
use crate::object::view::{Mapping, View};
use crate::object::word::State;

/// Why pages of a view may be missing.
const TRUNCATED: &str = "a process with write access truncated it";

/// What the offset of a view is a multiple of.
pub const GRANULARITY: u64 = 64 * 1024;

/// A section: memory that processes share.
#[derive(Debug)]
#[doc(alias = "NtCreateSection")]
#[doc(alias = "CreateFileMapping")]
pub struct Section {
    handle: Handle,
    /// The file of which it is a section, if it is of one.
    file: Option<OwnedFd>,
}

/// How a section is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct SectionOptions {
    site: Site,
    len: u64,
    file: Option<PathBuf>,
    rights: Rights,
}

/// The file of a section, and how it is described to those who open the section.
type Backing = (OwnedFd, Vec<u8>);

impl SectionOptions {
    site_options!();

    /// A section of this file instead of memory of its own. Its length is what the options say; 0
    /// for the whole file, which must then not be empty.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_path_buf());
        self
    }

    fn plan(&self, verb: &'static str) -> Result<(Blueprint, Option<Backing>)> {
        let wrong = |why: &str| {
            Err(
                Error::new(ErrorKind::InvalidInput, verb, format!("{} bytes", self.len))
                    .because(why),
            )
        };
        let backing = self
            .file
            .as_deref()
            .map(|path| open_backing(path, Rights::ALL))
            .transpose()?;
        let len = match &backing {
            Some((_, stat)) if self.len == 0 => *stat,
            _ => self.len,
        };
        if len == 0 {
            return wrong("a section has at least one byte");
        }
        if let Some((_, found)) = &backing
            && len > *found
        {
            return wrong("longer than its file");
        }
        let Some(rounded) = len
            .checked_next_multiple_of(PAGE as u64)
            .filter(|len| *len <= 1 << 46)
        else {
            return wrong("longer than any memory");
        };
        let path = match (&backing, &self.file) {
            (Some((file, _)), Some(path)) => Some(describe(file, path)?),
            _ => None,
        };
        let plan = Blueprint {
            kind: Kind::Section,
            flags: if path.is_some() { FLAG_FILE } else { 0 },
            limit: if path.is_some() { len } else { rounded },
            data_len: path.as_ref().map_or(rounded, |path| path.len() as u64),
            states: [State::new(false, 0); 2],
        };
        Ok((plan, backing.map(|(file, _)| file).zip(path)))
    }

    /// Makes the section; its bytes are zero.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0 bytes; [`ErrorKind::Exhausted`] if the memory is not
    /// there; otherwise as [`EventOptions::create`](crate::nt::EventOptions::create).
    pub fn create(mut self) -> Result<Section> {
        // Without a name it is a sealed memfd, which can be passed on.
        self.site.shared = true;
        let (plan, backing) = self.plan("create section")?;
        let handle = self
            .site
            .create_with(&plan, "create section", backing_bytes(&backing))?;
        Ok(Section {
            handle,
            file: backing.map(|(file, _)| file),
        })
    }

    /// Makes it, or opens the section of that name with the length it has.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a section of that name.
    pub fn create_or_open(mut self) -> Result<(Section, Birth)> {
        self.site.shared = true;
        let (plan, backing) = self.plan("create section")?;
        let bytes = backing_bytes(&backing);
        let (handle, birth) = self
            .site
            .create_or_open_with(&plan, "create section", bytes)?;
        if birth == Birth::Opened {
            return Ok((Section::over(handle)?, birth));
        }
        Ok((
            Section {
                handle,
                file: backing.map(|(file, _)| file),
            },
            birth,
        ))
    }

    /// Opens the section of that name; the length asked for does not matter.
    ///
    /// # Errors
    /// As [`EventOptions::open`](crate::nt::EventOptions::open).
    pub fn open(self) -> Result<Section> {
        Section::over(self.site.open(Kind::Section, self.rights, "open section")?)
    }
}

fn backing_bytes(backing: &Option<Backing>) -> &[u8] {
    backing.as_ref().map_or(&[], |(_, bytes)| bytes)
}

/// Which file: device, inode, and the path by which to open it.
fn describe(file: &OwnedFd, path: &Path) -> Result<Vec<u8>> {
    let fail = |error: std::io::Error| {
        Error::new(
            ErrorKind::NotFound,
            "open file of section",
            path.display().to_string(),
        )
        .because(error.to_string())
    };
    let path = std::fs::canonicalize(path).map_err(fail)?;
    let stat = fs::fstat(file).map_err(|errno| Error::kernel(errno, "open file of section", ""))?;
    let mut bytes = stat.st_dev.to_le_bytes().to_vec();
    bytes.extend(stat.st_ino.to_le_bytes());
    bytes.extend(path.as_os_str().as_bytes());
    Ok(bytes)
}

fn open_backing(path: &Path, rights: Rights) -> Result<(OwnedFd, u64)> {
    let fail = |errno| Error::kernel(errno, "open file of section", path.display().to_string());
    let access = if rights.writes() {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    };
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = fs::open(path, flags, Mode::empty()).map_err(fail)?;
    let stat = fs::fstat(&file).map_err(fail)?;
    if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::RegularFile {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "open file of section",
            path.display().to_string(),
        )
        .because("not a regular file"));
    }
    Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
}

impl Section {
    /// Options for a new section of `len` bytes, or to open one.
    pub fn options(len: u64) -> SectionOptions {
        SectionOptions {
            site: Site::default(),
            len,
            file: None,
            rights: Rights::ALL,
        }
    }

    /// Opens the section of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`SectionOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options(0).name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        let file = if handle.header.flags & FLAG_FILE == 0 {
            None
        } else {
            Some(reopen(&handle)?)
        };
        Ok(Self { handle, file })
    }

    /// Its length in bytes: whole pages, or what was asked for of a file.
    #[must_use]
    #[doc(alias = "NtQuerySection")]
    pub fn len(&self) -> u64 {
        self.handle.header.limit
    }

    /// Never: a section has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Maps all of it.
    ///
    /// # Errors
    /// As [`map_part`](Self::map_part).
    #[doc(alias = "MapViewOfFile")]
    pub fn map<M: Mapping>(&self) -> Result<View<M>> {
        self.map_part(0, 0)
    }

    /// Maps `len` bytes from `offset`; a length of 0 means to the end.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the offset is no multiple of [`GRANULARITY`] or the part is
    /// not within the section; [`ErrorKind::Denied`] for a [`Write`](crate::nt::Write) view of a
    /// handle without [`Rights::MODIFY`]; [`ErrorKind::Exhausted`] if there is no room for the
    /// mapping.
    pub fn map_part<M: Mapping>(&self, offset: u64, len: u64) -> Result<View<M>> {
        let fail = |status: NtStatus, why: &str| {
            let kind = match status {
                NtStatus::ACCESS_DENIED => ErrorKind::Denied,
                _ => ErrorKind::InvalidInput,
            };
            let what = format!("{} (offset {offset}, {len} bytes)", self.handle.full_name());
            let error = Error::new(kind, "map section", what).because(why);
            Err(error.with_status(status.0))
        };
        if !self.handle.rights.includes(M::RIGHTS) {
            return fail(NtStatus::ACCESS_DENIED, "the handle has fewer rights");
        }
        if !offset.is_multiple_of(GRANULARITY) {
            let why = "the offset must be a multiple of 64 KiB";
            return fail(NtStatus::MAPPED_ALIGNMENT, why);
        }
        let Some(rest) = self.len().checked_sub(offset).filter(|rest| *rest > 0) else {
            let why = "the view begins beyond the section";
            return fail(NtStatus::INVALID_VIEW_SIZE, why);
        };
        if len > rest {
            return fail(
                NtStatus::INVALID_VIEW_SIZE,
                "the view ends beyond the section",
            );
        }
        let len = usize::try_from(if len == 0 { rest } else { len }).unwrap_or(usize::MAX);
        let map = self.map_bytes(offset, len, M::ACCESS);
        let map =
            map.map_err(|errno| Error::kernel(errno, "map section", self.handle.full_name()))?;
        Ok(View::new(map, self.handle.full_name(), TRUNCATED))
    }

    fn map_bytes(&self, offset: u64, len: usize, access: Access) -> strait_sys::Result<Map> {
        match (&self.file, self.handle.file()) {
            (Some(file), _) => Map::shared(file.as_fd(), offset, len, access),
            (None, Some(file)) => {
                let data = self.handle.header.data_offset() as u64;
                let mapping = match access {
                    Access::Read => life::Mapping::Look,
                    Access::Write => life::Mapping::Write,
                };
                // Without a name to open it by there is no name to keep.
                let unlocked = self.handle.file_for_view(mapping);
                let file = unlocked.as_ref().map_or(file, AsFd::as_fd);
                Map::shared(file, data + offset, len, access)
            }
            (None, None) => Err(strait_sys::Errno::BADF),
        }
    }

    /// Seals an unnamed section against all writing, for ever and for everybody, and maps it as
    /// plain bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while anybody has it mapped for writing; [`ErrorKind::Unsupported`] for
    /// a named section or one of a file: those cannot be sealed.
    pub fn freeze(&self) -> Result<Frozen> {
        let fail = |kind, why: &str| {
            Err(Error::new(kind, "freeze section", self.handle.full_name()).because(why))
        };
        let Some(file) = self
            .handle
            .file()
            .filter(|_| self.handle.name.is_none() && self.file.is_none())
        else {
            return fail(ErrorKind::Unsupported, "only unnamed memory can be sealed");
        };
        match memfd::add_seals(file, memfd::SealFlags::WRITE) {
            Ok(()) => {}
            Err(strait_sys::Errno::BUSY) => {
                return fail(ErrorKind::Busy, "a writable view is mapped");
            }
            Err(errno) => {
                return Err(Error::kernel(
                    errno,
                    "freeze section",
                    self.handle.full_name(),
                ));
            }
        }
        let len = usize::try_from(self.len()).unwrap_or(usize::MAX);
        memfd::Sealed::map(file, self.handle.header.data_offset() as u64, len)
            .map(Frozen)
            .map_err(|errno| Error::kernel(errno, "freeze section", self.handle.full_name()))
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }
}

handle_methods!(Section, Kind::Section);

/// Opens the file of a section by the path that its maker left, if it is still that file.
fn reopen(handle: &Handle) -> Result<OwnedFd> {
    let wrong = |why: &str| {
        Error::new(
            ErrorKind::Broken,
            "open file of section",
            handle.full_name(),
        )
        .because(why)
    };
    let len = usize::try_from(handle.header.data_len).unwrap_or(0);
    if !(17..=16 + 4096).contains(&len) {
        return Err(wrong("its description has an impossible length"));
    }
    let file = handle.file().ok_or_else(|| wrong("no descriptor"))?;
    let mut bytes = vec![0; len];
    let read = rustix::io::pread(file, &mut bytes, handle.header.data_offset() as u64)
        .map_err(|errno| Error::kernel(errno, "open file of section", handle.full_name()))?;
    if read != len {
        return Err(wrong("truncated"));
    }
    let path = Path::new(OsStr::from_bytes(&bytes[16..]));
    // The path is its maker's choice, and would be opened with our permissions.
    let maker = fs::fstat(file).map_or(u32::MAX, |stat| stat.st_uid);
    if maker != 0 && maker != rustix::process::geteuid().as_raw() {
        let subject = handle.full_name();
        return Err(
            Error::new(ErrorKind::Denied, "open file of section", subject)
                .because(format!("{} is the choice of uid {maker}", path.display())),
        );
    }
    let fail = |errno| Error::kernel(errno, "open file of section", path.display().to_string());
    let is_it = |file: &OwnedFd| {
        let stat = fs::fstat(file).map_err(fail)?;
        if stat.st_dev.to_le_bytes() == bytes[..8] && stat.st_ino.to_le_bytes() == bytes[8..16] {
            return Ok(());
        }
        Err(wrong(&format!("another file stands at {}", path.display())))
    };
    // The path is another's word: opening a device or a FIFO to look at it would have effects.
    let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = fs::open(path, place, Mode::empty()).map_err(fail)?;
    is_it(&place)?;
    let detour = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
    let shown = |error: Error| error.during("open file of section", path.display().to_string());
    let (file, _) = match open_backing(&detour, handle.rights) {
        // Without /proc only the name is left.
        Err(error) if error.kind() == ErrorKind::NotFound => open_backing(path, handle.rights)?,
        opened => opened.map_err(shown)?,
    };
    is_it(&file).map(|()| file)
}

/// The bytes of a section that nobody can change any more.
#[derive(Debug)]
pub struct Frozen(memfd::Sealed);

impl Deref for Frozen {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}
