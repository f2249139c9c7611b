//! Walking a thread of a child process through its instructions, for tests that kill it at each.
//!
//! The child announces its thread ([`me`]) and stands still before and behind the stretch of
//! interest ([`mark`]); the parent takes it there ([`Walk::seize`], [`Walk::to_mark`]), lets it run
//! instruction by instruction ([`Walk::step`]) and kills it where it likes. Named points say where
//! the author expects trouble; this finds the rest.
//!
//! `ptrace(2)`: only the thread that seized may go on, so a [`Walk`] stays in its thread.

use core::ffi::{c_int, c_long, c_uint};
use core::marker::PhantomData;
use core::ptr::null_mut;

use crate::{Errno, Result, checked};

/// What became of one instruction.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// It ran; the thread stands before the next.
    Ran,
    /// The thread has come to a [`mark`].
    Marked,
    /// The thread has ended.
    Gone,
}

/// A thread of a child process under our control.
#[derive(Debug)]
pub struct Walk {
    thread: libc::pid_t,
    /// The kernel knows the thread that traces, not the process.
    _here: PhantomData<*const ()>,
}

/// In the child: the number of the calling thread, for [`Walk::seize`].
#[must_use]
pub fn me() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// In the child: stands still until the parent goes on. Whoever is not seized stops for good.
pub fn mark() {
    // SAFETY: SIGSTOP has no handler.
    unsafe { libc::raise(libc::SIGSTOP) };
}

fn request(request: c_uint, thread: libc::pid_t, data: c_long) -> Result<()> {
    // SAFETY: none of the requests made here reads or writes memory of this process.
    let result = unsafe { libc::ptrace(request, thread, null_mut::<u8>(), data) };
    checked(result).map(drop)
}

impl Walk {
    /// Takes control of a thread of a child process; it runs on until its next [`mark`]. It dies
    /// with the calling thread.
    ///
    /// # Errors
    ///
    /// `EPERM`: not ours to trace. `ESRCH`: no such thread.
    pub fn seize(thread: i32) -> Result<Self> {
        request(libc::PTRACE_SEIZE, thread, libc::PTRACE_O_EXITKILL.into())?;
        Ok(Self {
            thread,
            _here: PhantomData,
        })
    }

    /// Waits until the thread stands at a mark.
    ///
    /// # Errors
    ///
    /// `ESRCH`: it has ended instead.
    pub fn to_mark(&mut self) -> Result<()> {
        loop {
            match self.wait()? {
                Step::Marked => return Ok(()),
                Step::Ran => request(libc::PTRACE_CONT, self.thread, 0)?,
                Step::Gone => return Err(Errno::SRCH),
            }
        }
    }

    /// Runs one instruction of the thread, which must stand still.
    ///
    /// # Errors
    ///
    /// `ESRCH`: it has ended, or does not stand still.
    pub fn step(&mut self) -> Result<Step> {
        request(libc::PTRACE_SINGLESTEP, self.thread, 0)?;
        self.wait()
    }

    /// Lets the thread run on.
    ///
    /// # Errors
    ///
    /// `ESRCH`: it has ended, or does not stand still.
    pub fn go_on(&mut self) -> Result<()> {
        request(libc::PTRACE_CONT, self.thread, 0)
    }

    /// Waits for the thread's end after its process was killed, so that the process can be waited
    /// for: the kernel keeps a traced thread until its tracer has seen it go.
    pub fn bury(mut self) {
        while !matches!(self.wait(), Ok(Step::Gone) | Err(_)) {}
    }

    fn wait(&mut self) -> Result<Step> {
        loop {
            let mut status: c_int = 0;
            // SAFETY: `status` may be written.
            let result = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
            match checked(result.into()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            if !libc::WIFSTOPPED(status) {
                return Ok(Step::Gone);
            }
            return Ok(match libc::WSTOPSIG(status) {
                libc::SIGSTOP => Step::Marked,
                _ => Step::Ran,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_not_ours_is_refused() {
        assert_eq!(Walk::seize(1 << 30).unwrap_err(), Errno::SRCH);
    }
}
