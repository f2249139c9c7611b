//! `unix.msg`: a System V message queue through the library, one message type each way.

use strait::unix::ipc::Key;
use strait::unix::msg::{Buffer, Queue, Select};

use super::{wraps, wraps_alone};
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Side, Site};

const TO_NEAR: i64 = 1;
const TO_FAR: i64 = 2;
/// For what near does alone.
const ALONE: i64 = 3;

/// One queue; a type for each receiver.
pub(super) struct Msg {
    queue: Queue,
    from: i64,
    to: i64,
    buffer: Buffer,
}

impl Mechanism for Msg {
    const ID: &'static str = "unix.msg";
    const ABOUT: &'static str = "System V message queue";
    const CARRIES: Carries = Carries::Bytes;
    // Not bandwidth: a queue takes 8 KiB a message unless the administrator says otherwise.
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[wraps("raw.msg"), wraps_alone("raw.msg")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let key = Key::new(site.key().cast_unsigned());
        let (queue, from, to) = match site.side() {
            Side::Near => {
                let queue = Queue::create(key, 0o600)?;
                site.tell(&[0])?;
                (queue, TO_NEAR, TO_FAR)
            }
            Side::Far => {
                site.hear()?;
                (Queue::open(key)?, TO_FAR, TO_NEAR)
            }
        };
        let buffer = Buffer::new(site.job().size.max(size_of::<u64>()));
        Ok(Self {
            queue,
            from,
            to,
            buffer,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.queue.send(self.to, message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.queue
            .recv_into(Select::Type(self.from), &mut self.buffer)?;
        let text = self.buffer.bytes();
        let room = buffer.get_mut(..text.len());
        room.ok_or_else(|| Failure::check("longer than this row's messages"))?
            .copy_from_slice(text);
        Ok(text.len())
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        self.queue.send(ALONE, &sequence.to_ne_bytes())?;
        self.queue
            .recv_into(Select::Type(ALONE), &mut self.buffer)?;
        let number = self.buffer.bytes().first_chunk();
        Ok(number.map_or(u64::MAX, |bytes| u64::from_ne_bytes(*bytes)))
    }
}
