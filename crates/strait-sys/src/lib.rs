//! The kernel facilities Strait stands on: the one library crate where unsafe is legal.
//!
//! One facility per module, each safe to call from safe code: memory shared with a peer is reached
//! only through [`cell::Word`] and bounded copies, descriptors are owned and close-on-exec, and
//! every kernel error comes back as an [`Errno`]. The crates above turn those into their own
//! errors.
//!
//! - Memory: [`map`] (with its guard against truncation), [`cell`], [`window`], [`memfd`],
//!   [`membarrier`].
//! - Waiting: [`futex`], [`uring`], [`eventfd`], [`timerfd`], [`time`].
//! - Signals: [`signal`], [`siginfo`], [`sigsend`], [`sigaction`], [`signalfd`]. Children:
//!   [`spawn`].
//! - Mechanisms of the kernel: [`mqueue`], [`sysv`], [`sysv_msg`], [`sysv_sem`], [`sysv_shm`],
//!   [`vmsplice`].
//! - Peers: [`pass`], [`mmsg`], [`sockaddr`], [`sockopt`], [`pidfd`], [`identity`],
//!   [`ofd_lock`], [`fork`].
//! - Files: [`umask`].
//! - Processors: [`cpu`]. Tests: [`kill`]; with the feature `test-kit` also `seccomp`, `step`,
//!   `interrupt` and `verdict`.

#![expect(
    unsafe_code,
    reason = "system calls and shared memory are wrapped here so that no other crate needs unsafe"
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("strait-sys supports 64-bit Linux only");

pub mod cell;
pub mod cpu;
pub mod eventfd;
pub mod fork;
pub mod futex;
pub mod identity;
#[cfg(feature = "test-kit")]
pub mod interrupt;
pub mod kill;
pub mod map;
pub mod membarrier;
pub mod memfd;
pub mod mmsg;
pub mod mqueue;
pub mod ofd_lock;
pub mod pass;
pub mod pidfd;
pub mod pktinfo;
#[cfg(feature = "test-kit")]
pub mod seccomp;
pub mod sigaction;
pub mod siginfo;
pub mod signal;
pub mod signalfd;
pub mod sigsend;
pub mod sockaddr;
pub mod sockopt;
pub mod spawn;
#[cfg(feature = "test-kit")]
pub mod step;
pub mod sysv;
pub mod sysv_msg;
pub mod sysv_sem;
pub mod sysv_shm;
pub mod thread;
pub mod time;
pub mod timerfd;
pub mod umask;
pub mod uring;
#[cfg(feature = "test-kit")]
mod verdict;
pub mod vmsplice;
pub mod window;

mod copy;
mod guard;
mod slots;
#[cfg(test)]
mod tests;

pub use rustix::io::Errno;

/// What a call into the kernel returns.
pub type Result<T> = core::result::Result<T, Errno>;

/// The errno of the libc call this thread has just made.
#[cold]
fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Turns the -1 of a libc call into the errno behind it.
#[inline]
fn checked(result: core::ffi::c_long) -> Result<core::ffi::c_long> {
    if result == -1 {
        return Err(last_errno());
    }
    Ok(result)
}
