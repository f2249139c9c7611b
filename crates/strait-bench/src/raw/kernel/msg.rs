//! `raw.msg`: a System V message queue, one message type each way.

use rustix::fs::Mode;
use strait_sys::sysv_msg::{Queue, TYPE_LEN};

use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

const TO_NEAR: i64 = 1;
const TO_FAR: i64 = 2;
/// For what near does alone.
const ALONE: i64 = 3;

/// One queue; a type for each receiver.
pub(in crate::raw) struct Msg {
    queue: Queue,
    from: i64,
    /// Type and text, as the kernel takes and gives them.
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Mechanism for Msg {
    const ID: &'static str = "raw.msg";
    const ABOUT: &'static str = "System V message queue";
    const CARRIES: Carries = Carries::Bytes;
    // Not bandwidth: a queue takes 8 KiB a message unless the administrator says otherwise.
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let (queue, from, to) = match site.side() {
            Side::Near => {
                let queue = Queue::create(site.key(), Mode::RUSR | Mode::WUSR)?;
                site.tell(&[0])?;
                (queue, TO_NEAR, TO_FAR)
            }
            Side::Far => {
                site.hear()?;
                (Queue::open(site.key())?, TO_FAR, TO_NEAR)
            }
        };
        let len = TYPE_LEN + site.job().size.max(size_of::<u64>());
        let mut out = vec![0; len];
        out[..TYPE_LEN].copy_from_slice(&to.to_ne_bytes());
        Ok(Self {
            queue,
            from,
            out,
            buffer: vec![0; len],
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let text = self.out.get_mut(TYPE_LEN..TYPE_LEN + message.len());
        text.ok_or_else(|| Failure::new("longer than this row's messages"))?
            .copy_from_slice(message);
        Ok(self.queue.send(&self.out)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let len = self.queue.recv(&mut self.buffer, self.from)?;
        let text = self.buffer.get(TYPE_LEN..TYPE_LEN + len.min(buffer.len()));
        let text = text.ok_or_else(|| Failure::check("longer than this row's messages"))?;
        buffer[..text.len()].copy_from_slice(text);
        Ok(len)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        self.out[..TYPE_LEN].copy_from_slice(&ALONE.to_ne_bytes());
        self.out[TYPE_LEN..].copy_from_slice(&sequence.to_ne_bytes());
        self.queue.send(&self.out)?;
        self.queue.recv(&mut self.buffer, ALONE)?;
        let number = self.buffer[TYPE_LEN..].first_chunk();
        Ok(number.map_or(u64::MAX, |bytes| u64::from_ne_bytes(*bytes)))
    }
}
