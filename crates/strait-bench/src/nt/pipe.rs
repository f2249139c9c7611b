//! `nt.pipe`: NT pipes, as their users call them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use strait::nt::pipe::{Client, Part, ReadMode, Reader, Server, Session, Writer};

use super::space;
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Mechanism, Outcome, Placement, Side, Site,
};

/// Bytes that may lie unread, as in a pipe of the kernel's.
const QUOTA: usize = 64 << 10;
const NAME: &str = r"\\.\pipe\row";

/// An open named pipe, from either side.
enum End {
    Server {
        /// Keeps the name.
        _server: Server,
        session: Session,
    },
    Client(Client),
}

impl End {
    fn open(site: &mut Site<'_>, message: bool) -> Outcome<Self> {
        let space = space(site)?;
        if site.side() == Side::Near {
            let options = Server::options(NAME).namespace(&space).quotas(QUOTA, QUOTA);
            let options = if message { options.message() } else { options };
            let server = options.create()?;
            // The pipe is there: the other side may open it.
            let (own, far) = signal()?;
            site.give(&[far.as_fd()])?;
            drop(own);
            let session = server.connect()?;
            return Ok(Self::Server {
                _server: server,
                session,
            });
        }
        let [_told]: [OwnedFd; 1] = site.take()?;
        let client = Client::options(NAME).namespace(&space).open()?;
        if message {
            client.set_read_mode(ReadMode::Message)?;
        }
        Ok(Self::Client(client))
    }

    fn write(&self, data: &[u8]) -> Outcome<()> {
        match self {
            Self::Server { session, .. } => session.write(data)?,
            Self::Client(client) => client.write(data)?,
        };
        Ok(())
    }

    fn read(&self, buffer: &mut [u8]) -> Outcome<Part> {
        Ok(match self {
            Self::Server { session, .. } => session.read(buffer)?,
            Self::Client(client) => client.read(buffer)?,
        })
    }

    fn read_all(&self, buffer: &mut [u8]) -> Outcome<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..])?.len {
                0 => return Err(Failure::gone("the other side wrote nothing")),
                len => done += len,
            }
        }
        Ok(done)
    }
}

fn signal() -> Outcome<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Anonymous pipes, one each way, joined through a socket.
pub(super) struct Anonymous {
    to: Writer,
    from: Reader,
}

impl Mechanism for Anonymous {
    const ID: &'static str = "nt.pipe.anonymous";
    const ABOUT: &'static str = "NT anonymous pipes";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
    const GOALS: &'static [Goal] = &[
        Goal {
            job: Job::ONEWAY,
            placement: Some(Placement::Split),
            against: Against::Row("raw.pipe"),
            limit: Limit::AtLeast(8.0),
        },
        Goal {
            job: Job::ONEWAY,
            placement: Some(Placement::Same),
            against: Against::Row("raw.pipe"),
            limit: Limit::AtLeast(15.0),
        },
        Goal {
            job: Job::RTT,
            placement: Some(Placement::Same),
            against: Against::Row("raw.pipe"),
            limit: Limit::AtMost(0.95),
        },
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [there, back] = site.take()?;
            let from = Reader::accept(there)?;
            let to = Writer::connect(back, QUOTA)?;
            return Ok(Self { to, from });
        }
        let ((there, far_there), (back, far_back)) = (signal()?, signal()?);
        site.give(&[far_there.as_fd(), far_back.as_fd()])?;
        let to = Writer::connect(there, QUOTA)?;
        let from = Reader::accept(back)?;
        Ok(Self { to, from })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.to.write(message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let mut done = 0;
        while done < buffer.len() {
            done += self.from.read(&mut buffer[done..])?;
        }
        Ok(done)
    }
}

/// A named pipe of bytes.
pub(super) struct Bytes(End);

impl Mechanism for Bytes {
    const ID: &'static str = "nt.pipe.named.byte";
    const ABOUT: &'static str = "NT named pipe of bytes";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(End::open(site, false)?))
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.0.write(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.0.read_all(buffer)
    }
}

/// A named pipe of messages.
pub(super) struct Messages(End);

impl Mechanism for Messages {
    const ID: &'static str = "nt.pipe.named.message";
    const ABOUT: &'static str = "NT named pipe of messages";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY];
    const GOALS: &'static [Goal] = &[Goal {
        job: Job::RTT,
        placement: Some(Placement::Same),
        against: Against::Row("raw.unix.seqpacket"),
        limit: Limit::AtMost(0.65),
    }];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(End::open(site, true)?))
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.0.write(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(self.0.read(buffer)?.len)
    }
}
