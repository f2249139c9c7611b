//! Making this process's kernel an older or a stricter one, for tests of what happens then.
//!
//! A container often forbids io_uring with `EPERM`; an old kernel answers `ENOSYS`. [`deny`] makes
//! either come true for good: call it in a process of the test's own. What was already asked and
//! remembered ([`uring::works`](crate::uring::works) and its like) stays as it was answered: deny
//! first.
//!
//! `seccomp(2)`, `prctl(2)` under PR_SET_NO_NEW_PRIVS.

use core::ffi::{c_int, c_long, c_ulong};
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
/// The numbers of the calls that make threads, and processes: `clone3(2)`, `clone(2)`.
pub const CLONES: [c_long; 2] = [libc::SYS_clone3, libc::SYS_clone];
/// The number of `unshare(2)`.
pub const UNSHARE: c_long = libc::SYS_unshare;

/// The most calls, or options, one filter denies.
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
    install(&program(calls, errno)?)
}

/// `SO_PASSPIDFD` and `SO_PEERPIDFD`, which came with Linux 6.5.
pub const PIDFD_OPTIONS: [c_int; 2] = [76, 77];

/// Answers `getsockopt(2)` and `setsockopt(2)` for these options of `SOL_SOCKET` with `errno` from
/// now on, as [`deny`] does.
///
/// # Errors
///
/// As for [`deny`].
pub fn deny_socket_options(options: &[c_int], errno: Errno) -> Result<()> {
    if options.len() > CALLS_MAX {
        return Err(Errno::INVAL);
    }
    install(&options_program(options, errno)?)
}

fn install(program: &[sock_filter]) -> Result<()> {
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
    let answer = answer(errno);
    let mut program = vec![instruction(BPF_LD | BPF_W | BPF_ABS, number_at, 0)?];
    for call in calls {
        let call = u32::try_from(*call).map_err(|_| Errno::INVAL)?;
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, call, 1)?);
        program.push(instruction(BPF_RET | BPF_K, answer, 0)?);
    }
    program.push(instruction(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0)?);
    Ok(program)
}

fn answer(errno: Errno) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.raw_os_error().cast_unsigned()
}

/// For both calls: if the number is equal, and so is the level, and so is one of the options,
/// return the errno; else allow.
fn options_program(options: &[c_int], errno: Errno) -> Result<Vec<sock_filter>> {
    let load = |at: usize| {
        let at = u32::try_from(at).map_err(|_| Errno::INVAL)?;
        instruction(BPF_LD | BPF_W | BPF_ABS, at, 0)
    };
    // An int is the lower half of an argument.
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    let argument = |index: usize| load(offset_of!(libc::seccomp_data, args) + index * 8 + half);
    let unless = |value: c_int, skip: usize| {
        let skip = u8::try_from(skip).map_err(|_| Errno::INVAL)?;
        instruction(BPF_JMP | BPF_JEQ | BPF_K, value.cast_unsigned(), skip)
    };
    let mut program = Vec::new();
    for call in [libc::SYS_getsockopt, libc::SYS_setsockopt] {
        let call = c_int::try_from(call).map_err(|_| Errno::INVAL)?;
        // To the next call: past the level, the option, and two instructions for each option.
        let rest = 2 * options.len() + 1;
        program.extend([
            load(offset_of!(libc::seccomp_data, nr))?,
            unless(call, rest + 2)?,
        ]);
        program.extend([argument(1)?, unless(libc::SOL_SOCKET, rest)?, argument(2)?]);
        for option in options {
            let deny = instruction(BPF_RET | BPF_K, answer(errno), 0)?;
            program.extend([unless(*option, 1)?, deny]);
        }
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
