//! Making a file with just the mode that was asked for, whatever the process's mask is.
//!
//! The mask of `umask(2)` belongs to the process: changing it for a moment changes it for every
//! thread. A thread that has left the shared file system context (`unshare(2)`, CLONE_FS, which
//! asks for no privilege) has a mask of its own.

use rustix::fs::Mode;
use rustix::process::umask;

use crate::thread::spawn_scoped_quiet;
use crate::{Errno, Result, checked};

/// Runs `make` on a thread where no mode is masked. Paths are taken from the same directory.
///
/// # Errors
///
/// `EAGAIN`: no more threads. `ENOSYS`, `EPERM`: a filter forbids unshare(2). Else what `make`
/// says.
pub fn unmasked<T: Send>(make: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let unmasked = || {
            unshare()?;
            umask(Mode::empty());
            make()
        };
        let thread = spawn_scoped_quiet(scope, "strait-unmasked", unmasked)?;
        thread.join().unwrap_or(Err(Errno::IO))
    })
}

/// Gives this thread, which is to end soon, a mask of its own.
fn unshare() -> Result<()> {
    // SAFETY: takes no pointers. Sharing less with the other threads concerns the mask, the root
    // and the working directory of this one.
    checked(unsafe { libc::unshare(libc::CLONE_FS) }.into()).map(drop)
}

#[cfg(test)]
mod tests {
    //! The mask here stays; what is made there has the mode that was asked for.

    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{OFlags, open};

    use super::*;

    #[test]
    fn the_mode_is_the_one_asked_for_and_the_mask_stays() {
        // On a thread with a mask of its own, which the tests beside this one do not have.
        std::thread::spawn(judge).join().unwrap();
    }

    fn judge() {
        unshare().unwrap();
        let path = std::env::temp_dir().join(format!("strait-umask-{}", std::process::id()));
        umask(Mode::from_raw_mode(0o077));
        let made = unmasked(|| {
            open(
                &path,
                OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o666),
            )
        });
        let after = umask(Mode::empty());
        let mode = made.map(|_| std::fs::metadata(&path).unwrap().permissions().mode());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode, Ok(0o100_666));
        assert_eq!(after, Mode::from_raw_mode(0o077));
    }
}
