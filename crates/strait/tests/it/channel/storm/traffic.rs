//! What both sides of a storm's session do: messages of all lengths, in every way of sending and
//! of receiving, both ways at once, until the other side is gone.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::pipe::pipe;
use strait::channel::{Channel, Options, Receiver, Sender, Taken};
use strait::kit::Calls;
use strait::{Error, ErrorKind, HandleSocket, wait};

use crate::channel::numbered;
use crate::world::Random;

/// The longest message that flows through a ring of that capacity: some are larger than the ring.
pub(super) const fn longest(capacity: usize) -> usize {
    2 * capacity + capacity / 2
}

/// Most are short, some go in pieces, a few do not fit into the ring.
fn length(random: &mut Random, capacity: usize) -> usize {
    match random.below(16) {
        0..=8 => random.below(64),
        9..=12 => random.below(capacity / 4),
        13 | 14 => random.below(capacity),
        _ => random.below(longest(capacity)),
    }
}

/// How far a sender has come: it is told before a message is begun and when one was sent.
pub(super) trait Journal {
    /// So many messages have been begun.
    fn begun(&self, count: u64);
    /// So many were sent, and must arrive whatever becomes of the sender.
    fn sent(&self, count: u64);
}

/// Sends numbered messages until that fails.
pub(super) fn pour(
    sender: &mut Sender,
    random: &mut Random,
    capacity: usize,
    journal: &impl Journal,
) -> Error {
    let mut number = 0;
    // Short ones in a row: whoever reads them stays awake, and the sender leaves out its fences.
    let mut burst = 0;
    loop {
        if random.below(64) == 0 {
            burst = random.below(150);
        }
        let len = match burst {
            0 => length(random, capacity),
            _ => random.below(16),
        };
        let message = numbered(number, len);
        journal.begun(number + 1);
        let brief = Duration::from_micros(random.below(200) as u64);
        let way = match burst {
            _ if comes_with_handle(number) => 9,
            0 => random.below(9),
            _ => 7,
        };
        burst = burst.saturating_sub(1);
        let (result, is_pushed) = match way {
            8 if len + 8 <= BLOCK_LEN => (lend(sender, &message), false),
            9 => (enclose(sender, &message), false),
            0 | 1 => (sender.push(&message).map(|()| true), true),
            2 => (sender.send_for(&message, brief), false),
            3 => (sender.try_send(&message), false),
            _ => (sender.send(&message).map(|()| true), false),
        };
        match result {
            // What was not sent leaves nothing: its number is the next message's.
            Ok(false) => continue,
            Ok(true) => number += 1,
            Err(error) => return error,
        }
        if !is_pushed {
            journal.sent(number);
        } else if random.below(4) == 0 {
            sender.flush();
            journal.sent(number);
        }
    }
}

/// [`pour`] for an end that is given to another holder every few messages: to this process itself,
/// which lets go of the one it had.
pub(super) fn pour_in_turn(
    mut sender: Sender,
    random: &mut Random,
    capacity: usize,
    journal: &impl Journal,
) -> Error {
    let mut number = 0;
    loop {
        for _ in 0..random.below(20) {
            let message = numbered(number, length(random, capacity));
            journal.begun(number + 1);
            let sent = match comes_with_handle(number) {
                true => enclose(&mut sender, &message).map(drop),
                false => sender.send(&message),
            };
            if let Err(error) = sent {
                return error;
            }
            number += 1;
            journal.sent(number);
        }
        match hand_over(&sender) {
            Ok(heir) => sender = heir,
            Err(error) => return error,
        }
    }
}

fn hand_over(sender: &Sender) -> strait::Result<Sender> {
    let (one, other) = UnixStream::pair().unwrap();
    one.send_handle(sender)?;
    other.receive_handle(&[])
}

/// A block of each side's, for messages that are lent.
const BLOCK_LEN: usize = 8192;

/// What both sides of a storm bring.
pub(super) const fn options(capacity: usize) -> Options {
    Options::new().capacity(capacity).blocks(2, BLOCK_LEN)
}

/// False: no block was free.
fn lend(sender: &mut Sender, message: &[u8]) -> strait::Result<bool> {
    let Some(mut loan) = sender.try_loan(message.len())? else {
        return Ok(false);
    };
    loan.write(0, message)?;
    sender.send_loan(loan, message.len())?;
    Ok(true)
}

/// Each 50th message brings a descriptor.
const fn comes_with_handle(number: u64) -> bool {
    number % 50 == 7
}

/// Sends it with a descriptor.
fn enclose(sender: &mut Sender, message: &[u8]) -> strait::Result<bool> {
    sender.attach(&pipe().unwrap().0)?;
    loop {
        match sender.send(message) {
            // The socket is full until the other side has received: it goes with the next attempt.
            Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
            sent => return sent.map(|()| true),
        }
    }
}

/// How a receiver's part ended.
#[derive(Debug)]
pub(super) enum End {
    /// The sender closed in order.
    Closed,
    Failed(Error),
    /// Not the message that was due.
    Wrong(String),
}

/// Receives in all ways and counts, until the end.
pub(super) fn drain(
    receiver: &mut Receiver,
    random: &mut Random,
    capacity: usize,
    count: &AtomicU64,
) -> End {
    let mut bytes = vec![0; longest(capacity) + 8];
    loop {
        let number = count.load(Ordering::Relaxed);
        let brief = Duration::from_micros(random.below(200) as u64);
        let taken = match random.below(8) {
            0 => receiver.recv_for(&mut bytes, brief),
            1 => receiver.try_recv(&mut bytes),
            2 => match wait::any_for(&[&*receiver], brief) {
                Ok(_) => continue,
                Err(error) => Err(error),
            },
            3 => match receiver.recv_for(&mut bytes[..40], brief) {
                Err(error) if error.kind() == ErrorKind::TooLong => continue,
                taken => taken,
            },
            4 => receiver.recv_vec(&mut bytes).map(|len| {
                bytes.resize(longest(capacity) + 8, 0);
                len.map_or(Taken::End, Taken::Message)
            }),
            _ => receiver
                .recv(&mut bytes)
                .map(|len| len.map_or(Taken::End, Taken::Message)),
        };
        let len = match taken {
            Ok(Taken::Message(len)) => len,
            Ok(Taken::TimedOut) => continue,
            Ok(Taken::End) => return End::Closed,
            Err(error) => return End::Failed(error),
        };
        if len < 8 || bytes[..len] != numbered(number, len - 8) {
            let head = bytes.first_chunk().map(|head| u64::from_le_bytes(*head));
            return End::Wrong(format!("{len} bytes of {head:?} in place of {number}"));
        }
        let handles = receiver.attached_len();
        let taken = (handles == 1).then(|| receiver.attached::<OwnedFd>(&[]));
        if handles != usize::from(comes_with_handle(number)) || matches!(taken, Some(Err(_))) {
            return End::Wrong(format!(
                "{handles} handles with message {number}: {taken:?}"
            ));
        }
        count.store(number + 1, Ordering::Release);
    }
}

/// Calls in turn, by the mailbox: `first` says whether this side begins.
pub(super) fn call(
    channel: Channel,
    first: bool,
    random: &mut Random,
    journal: &impl Journal,
    count: &AtomicU64,
) -> End {
    let mut calls = Calls::over(channel).expect("a mailbox");
    let mut bytes = vec![0; 600];
    let mut is_turn = first;
    for number in 0.. {
        for _ in 0..2 {
            if is_turn {
                // The longer ones go through the ring.
                let message = numbered(number, random.below(150));
                journal.begun(number + 1);
                if let Err(error) = calls.post(&message) {
                    return End::Failed(error);
                }
                journal.sent(number + 1);
                is_turn = false;
                continue;
            }
            let len = loop {
                let brief = Duration::from_micros(random.below(400) as u64);
                match calls.take(&mut bytes, brief) {
                    Ok(Taken::Message(len)) => break len,
                    Ok(Taken::TimedOut) => {}
                    Ok(Taken::End) => return End::Closed,
                    Err(error) => return End::Failed(error),
                }
            };
            if len < 8 || bytes[..len] != numbered(number, len - 8) {
                return End::Wrong(format!("{len} bytes in place of call {number}"));
            }
            count.store(number + 1, Ordering::Release);
            is_turn = true;
        }
    }
    unreachable!("numbers do not end")
}

/// Nobody asks how far this sender came.
pub(super) struct Unwritten;

impl Journal for Unwritten {
    fn begun(&self, _: u64) {}
    fn sent(&self, _: u64) {}
}

/// The survivor's side of a session: a thread for each end.
pub(super) struct Flow {
    pub(super) received: std::sync::Arc<AtomicU64>,
    sender: mpsc::Receiver<(ErrorKind, Instant)>,
    receiver: mpsc::Receiver<(End, Instant)>,
}

impl Flow {
    pub(super) fn start(channel: Channel, seed: u64, capacity: usize) -> Self {
        let (mut sender, mut receiver) = channel.split();
        let received = std::sync::Arc::new(AtomicU64::new(0));
        let (told_sent, hears_sent) = mpsc::channel();
        let (told_received, hears_received) = mpsc::channel();
        let count = received.clone();
        std::thread::spawn(move || {
            let mut random = Random::of_seed(seed);
            let error = pour(&mut sender, &mut random, capacity, &Unwritten);
            // Nobody hears it who has given up on this session.
            let _ = told_sent.send((error.kind(), Instant::now()));
        });
        std::thread::spawn(move || {
            let mut random = Random::of_seed(seed ^ 1);
            let end = drain(&mut receiver, &mut random, capacity, &count);
            let _ = told_received.send((end, Instant::now()));
        });
        Self {
            received,
            sender: hears_sent,
            receiver: hears_received,
        }
    }

    /// One that answers calls.
    pub(super) fn answer(channel: Channel, seed: u64) -> Self {
        let received = std::sync::Arc::new(AtomicU64::new(0));
        let (told_sent, hears_sent) = mpsc::channel();
        let (told_received, hears_received) = mpsc::channel();
        let count = received.clone();
        std::thread::spawn(move || {
            let mut random = Random::of_seed(seed);
            let end = call(channel, false, &mut random, &Unwritten, &count);
            let now = Instant::now();
            // There is one end, which does both.
            let again = match &end {
                End::Failed(error) => error.kind(),
                _ => ErrorKind::Broken,
            };
            let _ = told_received.send((end, now));
            let _ = told_sent.send((again, now));
        });
        Self {
            received,
            sender: hears_sent,
            receiver: hears_received,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Both ends must hear of the death: when the later one did.
    pub(super) fn mourned(&self, limit: Duration) -> Result<Instant, String> {
        let heard = self.receiver.recv_timeout(limit);
        let (end, first) = heard.map_err(|_| "the receiver is stuck, or panicked")?;
        match end {
            End::Failed(error) if error.kind() == ErrorKind::PeerGone => {}
            other => return Err(format!("the receiver is told {other:?}")),
        }
        let heard = self.sender.recv_timeout(limit);
        let (kind, second) = heard.map_err(|_| "the sender is stuck, or panicked")?;
        if kind != ErrorKind::PeerGone {
            return Err(format!("the sender is told {kind:?}"));
        }
        Ok(first.max(second))
    }
}
