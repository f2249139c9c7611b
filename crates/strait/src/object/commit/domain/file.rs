//! The file of a commit table: opened, or made whole before it has its name.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FallocateFlags, Mode, OFlags};
use strait_sys::{Errno, kill};

use super::{HEADER, LAYOUT, MAGIC, TABLE, TABLE_LEN};

pub(super) fn open_table(directory: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    fs::openat(directory, TABLE, flags, Mode::empty())
}

pub(super) fn make_table(directory: BorrowedFd<'_>, mode: Mode) -> std::result::Result<(), Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = fs::openat(directory, ".", flags, mode)?;
    fs::fchmod(&file, mode)?;
    fs::ftruncate(&file, TABLE_LEN as u64)?;
    fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, HEADER as u64)?;
    let mut header = [0; 24];
    header[..8].copy_from_slice(&MAGIC.to_le_bytes());
    header[8..16].copy_from_slice(&LAYOUT.to_le_bytes());
    rustix::rand::getrandom(&mut header[16..], rustix::rand::GetRandomFlags::empty())?;
    header[16] |= 1;
    rustix::io::pwrite(&file, &header, 0)?;
    kill::point("table.made");
    link(&file, directory, TABLE)?;
    kill::point("table.linked");
    Ok(())
}

/// Gives an unnamed file its name, if that is still free.
pub(crate) fn link(
    file: &OwnedFd,
    directory: BorrowedFd<'_>,
    name: &str,
) -> std::result::Result<(), Errno> {
    match fs::linkat(file, "", directory, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 this form needs a privilege; the detour needs /proc.
        Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::linkat(
                fs::CWD,
                path.as_str(),
                directory,
                name,
                AtFlags::SYMLINK_FOLLOW,
            )
        }
        other => other,
    }
}
