//! A pipe joined to standard input and output, both ways at once.
//!
//! Each way ends by itself: the end of standard input is told to the other end once that has read
//! everything, and the end of what comes closes standard output. Nothing is lost in silence: what
//! was taken from standard input and not read at the other end is an error, and so is an other end
//! whose process went without closing.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait::nt::pipe::{Client, Part, Session};
use strait::{Error, ErrorKind};
use strait_sys::Errno;

use crate::failure::{Failure, answer};

/// What is copied at a time.
const CHUNK: usize = 64 << 10;

/// A handle of a named pipe, of either side.
pub(super) trait Handle: Send + Sync + 'static {
    /// Who is at the other end.
    const OTHER: &'static str;
    /// Whether what comes ends the whole, where nobody but a person would end standard input.
    const ENDS_WITH_INPUT: bool;

    fn name(&self) -> &str;
    fn read(&self, buffer: &mut [u8]) -> strait::Result<Part>;
    fn write(&self, data: &[u8]) -> strait::Result<usize>;
    fn flush(&self) -> strait::Result<()>;
    fn is_flushed(&self) -> strait::Result<bool>;
    fn shutdown_write(&self) -> strait::Result<()>;
    fn wait_closed(&self) -> strait::Result<()>;
    fn is_abandoned(&self) -> strait::Result<bool>;
}

macro_rules! handles {
    ($($type:ident: $other:literal, $ends:literal;)*) => {
        $(impl Handle for $type {
            const OTHER: &'static str = $other;
            const ENDS_WITH_INPUT: bool = $ends;

            fn name(&self) -> &str {
                self.name()
            }

            fn read(&self, buffer: &mut [u8]) -> strait::Result<Part> {
                self.read(buffer)
            }

            fn write(&self, data: &[u8]) -> strait::Result<usize> {
                self.write(data)
            }

            fn flush(&self) -> strait::Result<()> {
                self.flush()
            }

            fn is_flushed(&self) -> strait::Result<bool> {
                self.is_flushed()
            }

            fn shutdown_write(&self) -> strait::Result<()> {
                self.shutdown_write()
            }

            fn wait_closed(&self) -> strait::Result<()> {
                self.wait_closed()
            }

            fn is_abandoned(&self) -> strait::Result<bool> {
                self.is_abandoned()
            }
        })*
    };
}

handles! {
    Session: "client", true;
    Client: "server", false;
}

/// How what comes has ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Came {
    /// All of it has come.
    All,
    /// Nobody reads standard output any more.
    Unwanted,
}

/// Everything that comes, to standard output, until the other end closes; what that did wrong apart
/// from what failed here.
pub(super) fn copy_in(
    handle: &impl Handle,
    by_messages: bool,
) -> Result<strait::Result<Came>, Failure> {
    // Locked for each write alone: this program ends while a read waits.
    let mut out = std::io::stdout();
    let mut buffer = vec![0; CHUNK];
    loop {
        let part = match handle.read(&mut buffer) {
            Ok(part) => part,
            Err(error)
                if error.kind() == ErrorKind::PeerGone
                    && !handle.is_abandoned().unwrap_or(false) =>
            {
                return Ok(Ok(Came::All));
            }
            Err(error) => return Ok(Err(error)),
        };
        let written = out.write_all(&buffer[..part.len]).and_then(|()| {
            if by_messages && !part.more {
                out.write_all(b"\n")?;
            }
            out.flush()
        });
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(Ok(Came::Unwanted));
            }
            Err(error) => return Err(Failure::io("write standard output", &error)),
        }
    }
}

/// Whoever reads standard output finds its end.
fn close_output() {
    // The number stays taken, so that no other file gets it.
    if let Ok(nowhere) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(nowhere);
    }
}

/// The way of standard input. Whoever has it locked is the only one to take anything from there.
struct Way<H> {
    /// `None`: nothing is to be taken any more.
    handle: Option<Arc<H>>,
    /// Something was taken, and is not known to have been read at the other end.
    pending: bool,
}

type Shared<H> = Arc<Mutex<Way<H>>>;

fn lock<H>(way: &Shared<H>) -> MutexGuard<'_, Way<H>> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_read(errno: Errno) -> Failure {
    Failure::new(format!("read standard input: {}", answer(&errno.into())))
}

/// Whether standard input has something, or ends; waits for that without a time.
fn is_readable(time: Option<&Timespec>) -> Result<bool, Failure> {
    let input = rustix::stdio::stdin();
    let mut fds = [PollFd::new(&input, PollFlags::IN)];
    match poll(&mut fds, time) {
        Ok(count) => Ok(count != 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(cannot_read(errno)),
    }
}

/// Whether there is more of standard input than was taken. A byte of it is lost to others.
fn has_more() -> bool {
    let now = Timespec::default();
    !std::io::stdin().is_terminal()
        && is_readable(Some(&now)).unwrap_or(false)
        && rustix::io::read(rustix::stdio::stdin(), &mut [0; 1]).is_ok_and(|len| len != 0)
}

/// Everything written was read.
fn settled(handle: &impl Handle) -> strait::Result<()> {
    handle.flush().or_else(|error| match handle.is_flushed() {
        // It was cut off after that.
        Ok(true) => Ok(()),
        _ => Err(error),
    })
}

/// Standard input to its end, as it comes or a message for each line, until it is read at the other
/// end; which is told unless it `stays`.
fn copy_out<H: Handle>(way: &Shared<H>, by_messages: bool, stays: bool) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut line = Vec::new();
    loop {
        if !is_readable(None)? {
            continue;
        }
        let mut way = lock(way);
        let Some(handle) = way.handle.clone() else {
            return Ok(());
        };
        let len = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(len) => len,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(errno) => return Err(cannot_read(errno)),
        };
        let taken = &buffer[..len];
        way.pending = true;
        let write = |data: &[u8]| handle.write(data).map_err(Failure::of);
        if by_messages {
            for part in taken.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b"\n") {
                    write(&line[..line.len() - 1])?;
                    line.clear();
                }
            }
        } else if len != 0 {
            write(taken)?;
        }
        if len == 0 {
            if !line.is_empty() {
                write(&line)?;
            }
            settled(&*handle).map_err(Failure::of)?;
            if !stays {
                handle.shutdown_write().map_err(Failure::of)?;
            }
        }
        way.pending = !line.is_empty() && len != 0;
        if len == 0 {
            return Ok(());
        }
    }
}

/// What has ended.
enum Ended {
    In(strait::Result<()>),
    Out(Result<(), Failure>),
    /// This program cannot go on.
    Here(Failure),
    /// The other end, both ways; or nobody wants what comes.
    Both,
}

fn start(tell: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().spawn(tell);
    started
        .map(drop)
        .map_err(|error| Failure::io("start a thread", &error))
}

/// Both ways at once, until both have ended or the other end is closed. With `stays` the end of
/// standard input is not told.
pub(super) fn relay<H: Handle>(handle: H, by_messages: bool, stays: bool) -> Result<(), Failure> {
    let (handle, (tell, told)) = (Arc::new(handle), mpsc::channel());
    let way = Arc::new(Mutex::new(Way {
        handle: Some(handle.clone()),
        pending: false,
    }));
    let (outward, tell_out) = (way.clone(), tell.clone());
    start(move || {
        let failed = match copy_in(&*handle, by_messages) {
            Ok(Ok(Came::All)) => {
                close_output();
                let _ = tell.send(Ended::In(Ok(())));
                let _ = handle.wait_closed();
                drop(handle);
                let _ = tell.send(Ended::Both);
                return;
            }
            Ok(Ok(Came::Unwanted)) => {
                drop(handle);
                let _ = tell.send(Ended::Both);
                return;
            }
            Ok(Err(error)) => Ended::In(Err(error)),
            Err(failure) => Ended::Here(failure),
        };
        let _ = tell.send(failed);
        // It is not closed: the other end shall not think that all has come.
        std::mem::forget(handle);
    })?;
    start(move || {
        let _ = tell_out.send(Ended::Out(copy_out(&outward, by_messages, stays)));
    })?;
    let (all_went, ended) = await_end::<H>(&told)?;
    conclude(&way, all_went, ended)
}

/// Whether standard input was sent to its end, and how the other end has ended. `Err`: this program
/// cannot go on.
fn await_end<H: Handle>(
    told: &mpsc::Receiver<Ended>,
) -> Result<(bool, Result<(), Failure>), Failure> {
    let (mut came, mut went) = (false, false);
    while let Ok(ended) = told.recv() {
        match ended {
            Ended::In(Ok(())) => came = true,
            Ended::Out(Ok(())) => went = true,
            Ended::In(Err(error)) => return Ok((went, Err(Failure::of(error)))),
            Ended::Out(failed) => return Ok((went, failed)),
            Ended::Here(failure) => return Err(failure),
            Ended::Both => break,
        }
        let is_enough = H::ENDS_WITH_INPUT && std::io::stdin().is_terminal();
        if came && (went || is_enough) {
            break;
        }
    }
    Ok((went, Ok(())))
}

/// Takes no more from standard input; an error if something of it is lost.
fn conclude<H: Handle>(
    way: &Shared<H>,
    all_went: bool,
    ended: Result<(), Failure>,
) -> Result<(), Failure> {
    // A write that is under way ends first: the other end reads, or is gone.
    let mut way = lock(way);
    let Some(handle) = way.handle.take() else {
        return ended;
    };
    let is_read = || match &ended {
        Ok(()) => settled(&*handle).is_ok(),
        Err(_) => handle.is_flushed().unwrap_or(false),
    };
    let is_lost = !all_went && (way.pending || !is_read() || has_more());
    let lost = format!("not all of standard input was read by the {}", H::OTHER);
    match ended {
        Ok(()) if is_lost => Err(Failure::new(format!(
            "{}: the {} has gone: {lost}",
            handle.name(),
            H::OTHER
        ))),
        Ok(()) => {
            let _ = handle.shutdown_write();
            Ok(())
        }
        Err(mut failure) => {
            if is_lost {
                failure.message.push_str(&format!("; {lost}"));
            }
            std::mem::forget(handle);
            Err(failure)
        }
    }
}

/// Whether a server of many goes on after that: one client broke the rules, or died.
pub(super) fn is_one_clients(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Broken | ErrorKind::PeerGone)
}
