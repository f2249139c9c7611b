//! Objects on the command line: `event:NAME`, `timer:5s`, `pid:N` and the others.
//!
//! | written | means |
//! | --- | --- |
//! | `event:NAME`, `semaphore:NAME`, `mutant:NAME` | the object |
//! | `eventpair:NAME:low`, `eventpair:NAME:high` | a half of the pair |
//! | `timer:5s` | this much time |
//! | `timer:@NAME` | the timer object |
//! | `pid:N` | the end of a process |
//! | `signal:TERM` | a signal to this program, by name or number; it is taken |
//! | `fd:N` | a descriptor that the shell opened (`3<file`), or 0: readable |
//! | `fifo:PATH` | something to read in a FIFO; nothing is read, and what nobody else holds is lost |
//! | `msg:KEY`, `msg:KEY:TYPE` | a message in the System V queue, which stays there; a TYPE below 0 is the lowest up to it |
//! | `mqueue:NAME` | a message in the POSIX queue, which stays there |
//! | `socket:PATH`, `socket:@NAME` | a socket is bound there; nothing is connected |
//! | `sem:KEY:N` | a unit of semaphore N of a System V set |
//! | `section:NAME` | the section; it can be passed, not waited for |

use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use strait::Kind;
use strait::nt::{Event, EventPair, Mutant, Section, Semaphore, Timer};
use strait::unix::mqueue::Queue as PosixQueue;
use strait::unix::msg::Receiving;
use strait::unix::pipe::Reader;
use strait::unix::sem::{self, Acquiring};
use strait::unix::signal::{Received, Receiver, Set, Signal};
use strait::unix::socket::Address;
use strait::wait::{self, Delay, Process, Waitable};

use crate::context::Context;
use crate::failure::Failure;
use crate::objects::{self, Side};
use crate::unix::{fifo, key, mqueue, msg, signal, socket, system_v};
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
    Signal(Signal),
    /// A unit of a System V semaphore, which comes back with the end of this program, or not.
    Unit(key::Written, u16, Undo),
}

/// What becomes of a unit when this program ends.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Undo {
    /// It stays taken.
    Never,
    /// The kernel gives it back.
    AtEnd,
}

impl Written {
    /// The same, to be held only while a command runs.
    pub(crate) fn held(self) -> Self {
        match self {
            Self::Unit(key, number, _) => Self::Unit(key, number, Undo::AtEnd),
            other => other,
        }
    }
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
        "sem" => match rest.rsplit_once(':').map(|(set, at)| (set, at.parse())) {
            Some((set, Ok(number))) => Ok(Written::Unit(key::read(set)?, number, Undo::Never)),
            _ => Err("write sem:KEY:N with the number of a semaphore, the first being 0".into()),
        },
        "signal" => signal::named(rest).map(Written::Signal),
        _ => match Kind::ALL.into_iter().find(|known| known.word() == kind) {
            Some(kind) => Ok(Written::Object(kind, rest.into())),
            None => Err(format!(
                "`{kind}` cannot be waited for: event, eventpair, mutant, semaphore, timer, pid, \
                 signal, fd, fifo, msg, sem, mqueue, socket"
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
    Unit(Acquiring),
    /// Blocked for good: what comes when the wait is over must not end this program instead.
    Signal(ManuallyDrop<Receiver>),
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
            Written::Unit(key, number, undo) => {
                let op = match undo {
                    Undo::Never => sem::down(*number),
                    Undo::AtEnd => sem::down(*number).undo(),
                };
                let unit = system_v::find::<sem::Set>(key)?.acquiring(&[op]);
                Member::Unit(unit.map_err(Failure::of)?)
            }
            Written::Fifo(path) => Member::Fifo(fifo::to_wait(path)?),
            Written::Msg(key, kind) => Member::Msg(msg::to_wait(key, *kind)?),
            Written::Mqueue(name) => Member::Mqueue(mqueue::to_wait(name)?),
            Written::Socket(_) => {
                return Err(Failure::new("a socket's address can only be waited for"));
            }
            Written::Signal(signal) => {
                let receiver = Set::new([*signal]).block().map_err(Failure::of)?;
                Member::Signal(ManuallyDrop::new(receiver))
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
            Self::Unit(unit) => Box::new(unit),
            Self::Signal(receiver) => Box::new(&**receiver),
        })
    }

    /// Takes what was won, where a wait only looks: a signal, which it then tells all of.
    pub(crate) fn take(&self) -> Result<Option<Received>, Failure> {
        match self {
            Self::Signal(receiver) => receiver.try_recv().map_err(Failure::of),
            _ => Ok(None),
        }
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
        let set = key::Written::Id(7);
        assert_eq!(read("sem:id:7:2"), Ok(Written::Unit(set, 2, Undo::Never)));
        assert_eq!(read("signal:INT"), Ok(Written::Signal(Signal::INT)));
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
            "signal:NOSUCH",
            "timer:soon",
            "sem:7",
            "sem:0x7:",
            "sem:0x7:x",
            "sem:nokey:0",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
