//! Channels: messages through shared memory, as their users send them.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::AsFd;

use strait::channel::{Channel, Options};

use crate::mechanism::{Entry, entry};
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Placement, Side, Site,
};

/// The rows.
pub const TABLE: &[Entry] = &[entry::<Message>(), entry::<Batch>()];

/// A ring for bulk: smaller ones do not reach the speed of the memory.
const BULK: usize = 4 << 20;
/// Bytes that fit in a line with their header.
const LINE: Job = Job::sized(Measure::Oneway, 56);

fn open(site: &mut Site<'_>) -> Outcome<Channel> {
    let mut options = Options::new();
    if site.job().measure != Measure::Rtt {
        options = options.capacity(BULK);
    }
    if site.side() == Side::Far {
        let [socket] = site.take()?;
        return Ok(Channel::accept(socket, &options)?);
    }
    let (near, far) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    site.give(&[far.as_fd()])?;
    Ok(Channel::connect(near, &options)?)
}

fn recv(channel: &mut Channel, buffer: &mut [u8]) -> Outcome<usize> {
    channel
        .recv(buffer)?
        .ok_or_else(|| Failure::gone("the other side closed"))
}

/// Each message published by itself.
struct Message(Channel);

impl Mechanism for Message {
    const ID: &'static str = "channel.message";
    const ABOUT: &'static str = "channel, each message shown at once";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[
        Job::RTT,
        Job::ONEWAY,
        LINE,
        Job::BANDWIDTH,
        Job::sized(Measure::Bandwidth, 1 << 20),
    ];
    const GOALS: &'static [Goal] = &[
        Goal {
            job: Job::ONEWAY,
            placement: Some(Placement::Split),
            against: Against::Row("raw.ring"),
            limit: Limit::AtLeast(0.6),
        },
        Goal {
            job: LINE,
            placement: Some(Placement::Split),
            against: Against::Other("raw.ring", Job::ONEWAY),
            limit: Limit::AtLeast(0.85),
        },
        Goal {
            job: Job::BANDWIDTH,
            placement: Some(Placement::Split),
            against: Against::Row("raw.unix.stream"),
            limit: Limit::AtLeast(5.0),
        },
        Goal {
            job: Job::sized(Measure::Bandwidth, 1 << 20),
            placement: Some(Placement::Split),
            against: Against::Other("raw.unix.stream", Job::BANDWIDTH),
            limit: Limit::AtLeast(3.5),
        },
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(open(site)?))
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.0.send(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        recv(&mut self.0, buffer)
    }
}

/// Messages shown in batches.
struct Batch {
    channel: Channel,
    pending: u32,
}

/// Messages in a batch.
const BATCH: u32 = 32;

impl Mechanism for Batch {
    const ID: &'static str = "channel.batch";
    const ABOUT: &'static str = "channel, messages shown in batches of 32";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::ONEWAY];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self {
            channel: open(site)?,
            pending: 0,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.channel.sender().push(message)?;
        self.pending += 1;
        if self.pending == BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        recv(&mut self.channel, buffer)
    }

    fn flush(&mut self) -> Outcome<()> {
        self.pending = 0;
        self.channel.sender().flush();
        Ok(())
    }
}
