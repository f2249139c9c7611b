//! Making this process's kernel an older or a stricter one, for tests of what happens then.
//!
//! A container often forbids io_uring with `EPERM`; an old kernel answers `ENOSYS`. [`deny`] makes
//! either come true for good: call it in a process of the test's own. What was already asked and
//! remembered ([`uring::works`](crate::uring::works) and its like) stays as it was answered: deny
//! first.
//!
//! `seccomp(2)`, `prctl(2)` under PR_SET_NO_NEW_PRIVS.

use core::ffi::{c_long, c_ulong};
use core::mem::offset_of;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

use crate::{Errno, Result, checked};

/// The number of `io_uring_setup(2)`.
pub const IO_URING_SETUP: c_long = libc::SYS_io_uring_setup;
/// The number of `futex_waitv(2)`.
pub const FUTEX_WAITV: c_long = libc::SYS_futex_waitv;
/// The number of `pidfd_open(2)`.
pub const PIDFD_OPEN: c_long = libc::SYS_pidfd_open;

/// The number of `msgctl(2)`.
pub const MSGCTL: c_long = libc::SYS_msgctl;

/// The most calls one filter denies.
pub const CALLS_MAX: usize = 64;

/// Answers these calls with `errno` from now on, in all threads of this process and its children.
///
/// # Errors
///
/// `EINVAL`: more than [`CALLS_MAX`] calls, or a number that is none. `ENOSYS`: a kernel without
/// filters. `ESRCH`: another thread has a filter that this one does not have.
pub fn deny(calls: &[c_long], errno: Errno) -> Result<()> {
    if calls.len() > CALLS_MAX {
        return Err(Errno::INVAL);
    }
    let program = program(calls, errno)?;
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    let yes: c_ulong = 1;
    let no: c_ulong = 0;
    // SAFETY: takes no pointers. Without privileges a filter needs this promise.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, no, no, no) }.into())?;
    // SAFETY: `program` names instructions that live until the call returns, and are only read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    // A positive result is the thread that could not follow.
    if checked(result)? > 0 {
        return Err(Errno::SRCH);
    }
    Ok(())
}

/// Load the number; for each call, if equal, return the errno; else allow.
fn program(calls: &[c_long], errno: Errno) -> Result<Vec<sock_filter>> {
    let number_at = offset_of!(libc::seccomp_data, nr);
    let number_at = u32::try_from(number_at).map_err(|_| Errno::INVAL)?;
    let answer = libc::SECCOMP_RET_ERRNO | errno.raw_os_error().cast_unsigned();
    let mut program = vec![instruction(BPF_LD | BPF_W | BPF_ABS, number_at, 0)?];
    for call in calls {
        let call = u32::try_from(*call).map_err(|_| Errno::INVAL)?;
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, call, 1)?);
        program.push(instruction(BPF_RET | BPF_K, answer, 0)?);
    }
    program.push(instruction(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0)?);
    Ok(program)
}

/// One instruction; `skip` is how many to leave out where a comparison fails.
fn instruction(code: u32, k: u32, skip: u8) -> Result<sock_filter> {
    Ok(sock_filter {
        code: u16::try_from(code).map_err(|_| Errno::INVAL)?,
        jt: 0,
        jf: skip,
        k,
    })
}
