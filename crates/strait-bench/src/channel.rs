//! Channels: messages through shared memory, as their users send them.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::AsFd;
use std::path::PathBuf;

use strait::channel::{Channel, Lent, Listener, Message as Received, Options};

use crate::mechanism::{Entry, entry};
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Placement, Side, Site,
};

/// The rows.
pub const TABLE: &[Entry] = &[
    entry::<Message>(),
    entry::<Batch<32>>(),
    entry::<Batch<128>>(),
    entry::<Loan>(),
    entry::<Session>(),
];

/// A ring for bulk: smaller ones do not reach the speed of the memory.
const BULK: usize = 4 << 20;
/// Bytes that fit in a line with their header.
const LINE: Job = Job::sized(Measure::Oneway, 56);

fn open(site: &mut Site<'_>) -> Outcome<Channel> {
    let mut options = Options::new();
    if site.job().measure != Measure::Rtt {
        options = options.capacity(BULK);
    }
    open_with(site, options)
}

fn open_with(site: &mut Site<'_>, options: Options) -> Outcome<Channel> {
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
struct Batch<const COUNT: u32> {
    channel: Channel,
    pending: u32,
}

impl<const COUNT: u32> Mechanism for Batch<COUNT> {
    const ID: &'static str = if COUNT == 32 {
        "channel.batch"
    } else {
        "channel.batch.128"
    };
    const ABOUT: &'static str = if COUNT == 32 {
        "channel, messages shown in batches of 32"
    } else {
        "channel, messages shown in batches of 128"
    };
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::ONEWAY];
    const YARDSTICK: bool = COUNT != 32;
    const GOALS: &'static [Goal] = &[Goal {
        job: Job::ONEWAY,
        placement: Some(Placement::Split),
        against: Against::Row("raw.ring.batch"),
        limit: Limit::AtLeast(if COUNT == 32 { 0.55 } else { 1.2 }),
    }];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self {
            channel: open(site)?,
            pending: 0,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.channel.sender().push(message)?;
        self.pending += 1;
        if self.pending == COUNT {
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

/// Opening a session by its path, and closing it.
struct Session {
    path: PathBuf,
    listener: Option<Listener>,
}

impl Mechanism for Session {
    const ID: &'static str = "channel.session";
    const ABOUT: &'static str = "channel, opened by its path and closed";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::CONNECT];
    const GOALS: &'static [Goal] = &[Goal {
        job: Job::CONNECT,
        placement: Some(Placement::Same),
        against: Against::Row("raw.unix.session"),
        limit: Limit::AtMost(1.5),
    }];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let path = site.place()?.join("channel");
        let mut listener = None;
        if site.side() == Side::Far {
            listener = Some(Listener::bind(&path, 0o600, &Options::new())?);
            site.tell(&[0])?;
        } else {
            site.hear()?;
        }
        Ok(Self { path, listener })
    }

    fn connect(&mut self) -> Outcome<()> {
        Channel::open(&self.path, &Options::new())?;
        Ok(())
    }

    fn accept(&mut self) -> Outcome<()> {
        let listener = self.listener.as_mut();
        let listener = listener.ok_or_else(|| Failure::new("nobody listens"))?;
        listener.accept()?;
        Ok(())
    }
}

/// Messages written into blocks and read where they lie.
struct Loan {
    channel: Channel,
    message: Vec<u8>,
}

/// Blocks: one that is read, one that is written, and one between.
const BLOCKS: u32 = 3;
const LOAN: Job = Job::sized(Measure::Bandwidth, 1 << 20);
/// Bytes that are copied at a time while a message is read in place: they stay in the first cache.
const GULP: usize = 8 << 10;

impl Loan {
    /// What all words of the message sum to: its number, as all but the first are zero sums.
    fn sum(lent: &Lent) -> Outcome<u64> {
        let mut bytes = [0; GULP];
        let mut total = 0u64;
        for at in (0..lent.len()).step_by(GULP) {
            let part = &mut bytes[..GULP.min(lent.len() - at)];
            lent.read(at, part)?;
            total = total.wrapping_add(sum(part));
        }
        Ok(total)
    }
}

/// The sum of the words.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
    words.fold(0, u64::wrapping_add)
}

/// A message whose words sum to 0.
pub(crate) fn balanced(len: usize) -> Vec<u8> {
    let words = (0..len as u64 / 8).map(|word| match word % 2 {
        0 => word,
        _ => (word - 1).wrapping_neg(),
    });
    words.flat_map(u64::to_le_bytes).collect()
}

impl Mechanism for Loan {
    const ID: &'static str = "channel.loan";
    const ABOUT: &'static str = "channel, copied into a block and summed in place";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[LOAN];
    const GOALS: &'static [Goal] = &[Goal {
        job: LOAN,
        placement: Some(Placement::Split),
        against: Against::Row("rival.iceoryx2.loan"),
        limit: Limit::AtLeast(1.8),
    }];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let len = site.job().size;
        Ok(Self {
            channel: open_with(site, Options::new().blocks(BLOCKS, len))?,
            message: balanced(len),
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.message[..8].copy_from_slice(message);
        let sender = self.channel.sender();
        let mut loan = sender.loan(self.message.len())?;
        loan.write(0, &self.message)?;
        Ok(sender.send_loan(loan, self.message.len())?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        match self.channel.receiver().recv_message(buffer)? {
            Some(Received::Lent(lent)) => {
                buffer.copy_from_slice(&Self::sum(&lent)?.to_le_bytes());
                Ok(buffer.len())
            }
            Some(Received::Copied(_)) => Err(Failure::check("it was not lent")),
            None => Err(Failure::gone("the other side closed")),
        }
    }
}
