//! Objects on the command line: `event:NAME`, `timer:5s`, `pid:N` and the others.
//!
//! | written | means |
//! | --- | --- |
//! | `event:NAME`, `semaphore:NAME`, `mutant:NAME` | the object |
//! | `eventpair:NAME:low`, `eventpair:NAME:high` | a half of the pair |
//! | `timer:5s` | this much time |
//! | `timer:@NAME` | the timer object |
//! | `pid:N` | the end of a process |
//! | `fd:N` | a descriptor that the shell opened (`3<file`), or 0: readable |
//! | `fifo:PATH` | something to read in a FIFO; nothing is read |
//! | `msg:KEY`, `msg:KEY:TYPE` | a message in the System V queue, which stays there; a TYPE below 0 is the lowest up to it |
//! | `mqueue:NAME` | a message in the POSIX queue, which stays there |
//! | `socket:PATH`, `socket:@NAME` | a socket is bound there; nothing is connected |
//! | `section:NAME` | the section; it can be passed, not waited for |

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use strait::Kind;
use strait::nt::{Event, EventPair, Mutant, Section, Semaphore, Timer};
use strait::unix::mqueue::Queue as PosixQueue;
use strait::unix::msg::Receiving;
use strait::unix::pipe::Reader;
use strait::unix::socket::Address;
use strait::wait::{self, Delay, Process, Waitable};

use crate::context::Context;
use crate::failure::Failure;
use crate::objects::{self, Side};
use crate::unix::{fifo, key, mqueue, msg, socket};
use crate::value;

/// What was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// An object by its name.
    Object(Kind, String),
    Half(String, Side),
    Delay(Duration),
    Process(u32),
    Descriptor(i32),
    Fifo(PathBuf),
    /// A System V queue, and which messages, as msgrcv(2) has it.
    Msg(key::Written, i64),
    /// A POSIX queue by its name.
    Mqueue(String),
    Socket(Address),
    /// A signal by its name: known, and not built yet.
    Signal,
}

/// Reads one.
pub(crate) fn read(text: &str) -> Result<Written, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    if rest.is_empty() {
        return Err("write KIND:NAME, such as event:build-done or timer:5s".into());
    }
    match kind {
        "eventpair" => match rest.rsplit_once(':') {
            Some((name, "low")) if !name.is_empty() => Ok(Written::Half(name.into(), Side::Low)),
            Some((name, "high")) if !name.is_empty() => Ok(Written::Half(name.into(), Side::High)),
            _ => Ok(Written::Object(Kind::EventPair, rest.into())),
        },
        "timer" => match rest.strip_prefix('@') {
            Some("") => Err("write timer:@NAME for a timer object".into()),
            Some(name) => Ok(Written::Object(Kind::Timer, name.into())),
            None => value::duration(rest)
                .map(Written::Delay)
                .map_err(|why| format!("{why} (a timer object is written timer:@NAME)")),
        },
        "pid" => rest
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .map(Written::Process)
            .ok_or_else(|| "write pid:N with the number of a process".into()),
        "fd" => rest
            .parse()
            .ok()
            .filter(|number| *number >= 0)
            .map(Written::Descriptor)
            .ok_or_else(|| "write fd:N with the number of a descriptor".into()),
        "fifo" => Ok(Written::Fifo(rest.into())),
        "msg" => queue(rest),
        "mqueue" => Ok(Written::Mqueue(rest.into())),
        "socket" => match rest.parse() {
            Ok(at @ (Address::Path(_) | Address::Abstract(_))) => Ok(Written::Socket(at)),
            Ok(_) => Err("only a socket at /PATH or @NAME can be waited for".into()),
            Err(error) => Err(error.why().to_owned()),
        },
        "signal" => Ok(Written::Signal),
        _ => match Kind::ALL.into_iter().find(|known| known.word() == kind) {
            Some(kind) => Ok(Written::Object(kind, rest.into())),
            None => Err(format!(
                "`{kind}` cannot be waited for: event, eventpair, mutant, semaphore, timer, pid, \
                 fd, fifo, msg, mqueue, socket"
            )),
        },
    }
}

/// A queue's key, and a type after it. The last part is a type where what is left is a key.
fn queue(text: &str) -> Result<Written, String> {
    if let Some((key, kind)) = text.rsplit_once(':')
        && let (Ok(key), Ok(kind)) = (key::read(key), kind.parse())
    {
        return Ok(Written::Msg(key, kind));
    }
    key::read(text).map(|key| Written::Msg(key, 0))
}

/// What stands behind it.
#[derive(Debug)]
pub(crate) enum Member {
    Event(Event),
    EventPair(EventPair),
    Half(EventPair, Side),
    Mutant(Mutant),
    Semaphore(Semaphore),
    Section(Section),
    Timer(Timer),
    Delay(Delay),
    Process(Process),
    Descriptor(OwnedFd),
    Fifo(Reader),
    Msg(Receiving),
    Mqueue(PosixQueue),
}

impl Context {
    /// Opens what was written, to wait for it.
    pub(crate) fn waited_for(&self, written: &Written) -> Result<Member, Failure> {
        match written {
            Written::Object(Kind::Event, name) => {
                objects::event::to_wait(self, name).map(Member::Event)
            }
            Written::Socket(at) => socket::to_wait(at).map(Member::Event),
            other => self.member(other),
        }
    }

    /// Opens what was written, with all rights.
    pub(crate) fn member(&self, written: &Written) -> Result<Member, Failure> {
        let opened = match written {
            Written::Object(kind, name) => return self.object(*kind, name),
            Written::Half(name, side) => {
                Member::Half(objects::open(self, EventPair::options(), name)?, *side)
            }
            Written::Delay(delay) => Member::Delay(wait::after(*delay)),
            Written::Process(pid) => Member::Process(Process::open(*pid).map_err(|error| {
                if error.kind() == strait::ErrorKind::PeerGone {
                    return Failure::new(format!("no process has the number {pid}"));
                }
                Failure::of(error)
            })?),
            Written::Descriptor(number) => Member::Descriptor(descriptor(*number)?),
            Written::Fifo(path) => Member::Fifo(fifo::to_wait(path)?),
            Written::Msg(key, kind) => Member::Msg(msg::to_wait(key, *kind)?),
            Written::Mqueue(name) => Member::Mqueue(mqueue::to_wait(name)?),
            Written::Socket(_) => {
                return Err(Failure::new("a socket's address can only be waited for"));
            }
            Written::Signal => {
                return Err(Failure::new(
                    "waiting for signals is not built yet (a shell's `trap` can set an event)",
                ));
            }
        };
        Ok(opened)
    }

    fn object(&self, kind: Kind, name: &str) -> Result<Member, Failure> {
        Ok(match kind {
            Kind::Event => Member::Event(objects::open(self, Event::options(), name)?),
            Kind::EventPair => Member::EventPair(objects::open(self, EventPair::options(), name)?),
            Kind::Mutant => Member::Mutant(objects::open(self, Mutant::options(), name)?),
            Kind::Semaphore => {
                Member::Semaphore(objects::open(self, Semaphore::options(0, 1), name)?)
            }
            Kind::Section => Member::Section(objects::open(self, Section::options(0), name)?),
            Kind::Timer => Member::Timer(objects::open(self, Timer::options(), name)?),
            _ => return Err(Failure::new(format!("this program does not know {kind}"))),
        })
    }
}

fn descriptor(number: i32) -> Result<OwnedFd, Failure> {
    strait::inherited_descriptor(number).map_err(|error| {
        if error.kind() == strait::ErrorKind::NotFound {
            let why = "not open (open it in the shell: `3<file`)";
            return Failure::new(format!("descriptor {number}: {why}"));
        }
        Failure::of(error)
    })
}

impl Member {
    /// As a member of a wait.
    pub(crate) fn waitable(&self) -> Result<Box<dyn Waitable + '_>, String> {
        Ok(match self {
            Self::Event(event) => Box::new(event),
            Self::EventPair(_) => return Err("say which half: eventpair:NAME:low or :high".into()),
            Self::Half(pair, Side::Low) => Box::new(pair.low()),
            Self::Half(pair, Side::High) => Box::new(pair.high()),
            Self::Mutant(mutant) => Box::new(mutant),
            Self::Semaphore(semaphore) => Box::new(semaphore),
            Self::Section(_) => {
                return Err("a section is memory: there is nothing to wait for".into());
            }
            Self::Timer(timer) => Box::new(timer),
            Self::Delay(delay) => Box::new(*delay),
            Self::Process(process) => Box::new(process),
            Self::Fifo(reader) => Box::new(reader),
            Self::Descriptor(fd) => Box::new(wait::readable(fd)),
            Self::Msg(looking) => Box::new(looking),
            Self::Mqueue(queue) => Box::new(queue),
        })
    }
}

#[cfg(test)]
mod tests {
    use strait::unix::ipc::Key;

    use super::*;

    #[test]
    fn objects_are_read() {
        let object = |kind, name: &str| Ok(Written::Object(kind, name.into()));
        assert_eq!(read("event:a"), object(Kind::Event, "a"));
        assert_eq!(
            read(r"event:Global\a:b"),
            object(Kind::Event, r"Global\a:b")
        );
        assert_eq!(read("timer:@tick"), object(Kind::Timer, "tick"));
        assert_eq!(read("timer:5s"), Ok(Written::Delay(Duration::from_secs(5))));
        assert_eq!(
            read("eventpair:a:b:low"),
            Ok(Written::Half("a:b".into(), Side::Low))
        );
        assert_eq!(read("eventpair:a"), object(Kind::EventPair, "a"));
        assert_eq!(read("pid:12"), Ok(Written::Process(12)));
        assert_eq!(read("fd:3"), Ok(Written::Descriptor(3)));
        assert_eq!(read("fifo:/a:b"), Ok(Written::Fifo("/a:b".into())));
        let named = Address::Abstract(b"a:b".into());
        assert_eq!(read("socket:@a:b"), Ok(Written::Socket(named)));
        assert!(read("socket:tcp:127.0.0.1:80").is_err());
        assert_eq!(read("signal:INT"), Ok(Written::Signal));
        let msg = |key, kind| Ok(Written::Msg(key, kind));
        assert_eq!(
            read("msg:0x5100"),
            msg(key::Written::Key(Key::new(0x5100)), 0)
        );
        assert_eq!(
            read("msg:0x5100:-8"),
            msg(key::Written::Key(Key::new(0x5100)), -8)
        );
        assert_eq!(read("msg:id:7"), msg(key::Written::Id(7), 0));
        assert_eq!(read("msg:id:7:3"), msg(key::Written::Id(7), 3));
        let path = key::Written::Path("/a".into(), std::num::NonZeroU8::MIN);
        assert_eq!(read("msg:/a:1"), msg(path.clone(), 0));
        assert_eq!(read("msg:/a:1:5"), msg(path, 5));
        assert_eq!(read("mqueue:/a"), Ok(Written::Mqueue("/a".into())));
        for wrong in [
            "event",
            "event:",
            "queue:a",
            "msg:orders",
            "mqueue:",
            "pid:x",
            "pid:0",
            "fd:-1",
            "timer:@",
            "timer:soon",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
