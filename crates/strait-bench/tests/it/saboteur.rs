//! Mechanisms that fail in every way the engine must notice.
//!
//! Each is an honest Unix stream socket until far has sent [`HONEST`] messages.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

use rustix::fs::Mode;
use rustix::process::{Signal, getpid, kill_process};
use strait_bench::{
    Against, Carries, Entry, Failure, Goal, Job, Limit, Mechanism, Outcome, Placement, Side, Site,
    entry,
};
use strait_sys::sysv_msg::Queue;

/// Messages until the fault.
const HONEST: u64 = 500;

pub(crate) const TABLE: &[Entry] = &[
    entry::<Saboteur<NOTHING>>(),
    entry::<Saboteur<CORRUPTS>>(),
    entry::<Saboteur<LOSES>>(),
    entry::<Saboteur<REPEATS>>(),
    entry::<Saboteur<ECHOES>>(),
    entry::<Saboteur<DIES>>(),
    entry::<Saboteur<STOPS>>(),
    entry::<Saboteur<HANGS>>(),
    entry::<Saboteur<PANICS>>(),
    entry::<Saboteur<LITTERS>>(),
    entry::<Saboteur<NO_OPEN>>(),
    entry::<Saboteur<MISCOUNTS>>(),
    entry::<Saboteur<PROMISES>>(),
];

const NOTHING: u8 = 0;
const CORRUPTS: u8 = 1;
const LOSES: u8 = 2;
const REPEATS: u8 = 3;
const ECHOES: u8 = 4;
const DIES: u8 = 5;
const STOPS: u8 = 6;
const HANGS: u8 = 7;
const PANICS: u8 = 8;
const LITTERS: u8 = 9;
const NO_OPEN: u8 = 10;
const MISCOUNTS: u8 = 11;
const PROMISES: u8 = 12;

/// What nothing can keep.
const PROMISE: &[Goal] = &[Goal {
    job: Job::RTT,
    placement: Some(Placement::Same),
    against: Against::Row("raw.futex"),
    limit: Limit::AtMost(1e-6),
}];

struct Saboteur<const FAULT: u8> {
    socket: UnixStream,
    side: Side,
    sent: u64,
    litter: (i32, PathBuf),
}

impl<const FAULT: u8> Mechanism for Saboteur<FAULT> {
    const ID: &'static str = match FAULT {
        NOTHING => "sabotage.nothing",
        CORRUPTS => "sabotage.corrupts",
        LOSES => "sabotage.loses",
        REPEATS => "sabotage.repeats",
        ECHOES => "sabotage.echoes",
        DIES => "sabotage.dies",
        STOPS => "sabotage.stops",
        HANGS => "sabotage.hangs",
        PANICS => "sabotage.panics",
        LITTERS => "sabotage.litters",
        NO_OPEN => "sabotage.no-open",
        MISCOUNTS => "sabotage.miscounts",
        _ => "sabotage.promises",
    };
    const ABOUT: &'static str = "a Unix stream socket, but";
    const CARRIES: Carries = Carries::Bytes;
    // What loses a message is seen in a stream: a round trip would only hang.
    const MEASURES: &'static [Job] = match FAULT {
        LOSES | REPEATS => &[Job::ONEWAY],
        MISCOUNTS => &[Job::UNCONTENDED],
        CORRUPTS => &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH],
        _ => &[Job::RTT],
    };
    const GOALS: &'static [Goal] = if FAULT == PROMISES { PROMISE } else { &[] };

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if FAULT == NO_OPEN && site.side() == Side::Far {
            return Err(Failure::new("there is no such thing"));
        }
        if FAULT == LITTERS && site.side() == Side::Near {
            Queue::create(site.key(), Mode::RUSR | Mode::WUSR)?;
        }
        let mut litter = (site.key(), PathBuf::new());
        if FAULT == LITTERS {
            litter.1 = site.place()?.to_owned();
            fs::write(litter.1.join("file"), "left behind")?;
        }
        let side = site.side();
        let socket = if side == Side::Far {
            let [socket] = site.take()?;
            UnixStream::from(socket)
        } else {
            let (socket, theirs) = UnixStream::pair()?;
            site.give(&[OwnedFd::from(theirs).as_fd()])?;
            socket
        };
        Ok(Self {
            socket,
            side,
            sent: 0,
            litter,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.sent += 1;
        if self.side == Side::Far && self.sent == HONEST {
            return self.misbehave(message);
        }
        Ok(self.socket.write_all(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.socket.read_exact(buffer)?;
        Ok(buffer.len())
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let len = self.recv(buffer)?;
        let echoes = FAULT == ECHOES && self.sent + 1 == HONEST;
        self.send(if echoes { &buffer[..len] } else { reply })?;
        Ok(len)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        Ok(if sequence == HONEST { 7 } else { sequence })
    }
}

impl<const FAULT: u8> Saboteur<FAULT> {
    fn misbehave(&mut self, message: &[u8]) -> Outcome<()> {
        let mut message = message.to_vec();
        match FAULT {
            CORRUPTS => {
                let middle = message.len() / 2 + 3;
                message[middle] ^= 1;
            }
            LOSES => return Ok(()),
            REPEATS => self.socket.write_all(&message)?,
            DIES => kill_process(getpid(), Signal::KILL)?,
            STOPS => kill_process(getpid(), Signal::STOP)?,
            HANGS => loop {
                // sleep: it hangs; somebody else must end it.
                thread::sleep(Duration::from_secs(1));
            },
            PANICS => panic!("far lost its nerve"),
            // So that the test knows where to look.
            LITTERS => {
                let (key, place) = &self.litter;
                return Err(Failure::new(format!(
                    "key {key} place {} left",
                    place.display()
                )));
            }
            _ => {}
        }
        Ok(self.socket.write_all(&message)?)
    }
}
