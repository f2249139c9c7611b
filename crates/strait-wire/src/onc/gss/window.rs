//! Which calls of a context have come: RFC 2203 section 5.3.3.1.

use alloc::vec;
use alloc::vec::Vec;

use super::SEQUENCE_MAX;

/// Calls of a context that may be under way at once, unless said otherwise.
pub const WINDOW: u32 = 128;
/// The most that can be said.
pub const WINDOW_MAX: u32 = 4096;

const BITS: u32 = 64;

/// What a number says of its call.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It has not come before.
    New,
    /// It has: to be dropped, and nobody told.
    Replayed,
    /// It is too far behind to know: likewise.
    TooOld,
    /// Above [`SEQUENCE_MAX`]: the client needs a new context.
    Exhausted,
}

/// The numbers from the highest seen down.
#[derive(Clone, Debug)]
pub struct Window {
    len: u32,
    /// The highest number seen.
    last: Option<u32>,
    /// A bit for each number, at its remainder by `len`.
    seen: Vec<u64>,
}

impl Window {
    /// Of that many numbers: at least 1, and at most [`WINDOW_MAX`].
    #[must_use]
    pub fn new(len: u32) -> Self {
        let len = len.clamp(1, WINDOW_MAX);
        Self {
            len,
            last: None,
            seen: vec![0; len.div_ceil(BITS) as usize],
        }
    }

    /// What [`accept`](Self::accept) would say.
    #[must_use]
    pub fn look(&self, sequence: u32) -> Fate {
        if sequence > SEQUENCE_MAX {
            return Fate::Exhausted;
        }
        match self.last {
            Some(last) if sequence <= last && last - sequence >= self.len => Fate::TooOld,
            Some(last) if sequence <= last => {
                let (word, bit) = self.place(sequence);
                match self.seen[word] & bit {
                    0 => Fate::New,
                    _ => Fate::Replayed,
                }
            }
            _ => Fate::New,
        }
    }

    /// A call has come whose header is proven. Its number is seen with that.
    pub fn accept(&mut self, sequence: u32) -> Fate {
        let fate = self.look(sequence);
        if fate != Fate::New {
            return fate;
        }
        let last = *self.last.get_or_insert(sequence);
        if sequence > last {
            // Those that come into the window have not been seen, whatever stood in their places.
            if sequence - last >= self.len {
                self.seen.fill(0);
            } else {
                for new in last + 1..sequence {
                    let (word, bit) = self.place(new);
                    self.seen[word] &= !bit;
                }
            }
            self.last = Some(sequence);
        }
        let (word, bit) = self.place(sequence);
        self.seen[word] |= bit;
        fate
    }

    const fn place(&self, sequence: u32) -> (usize, u64) {
        let at = sequence % self.len;
        ((at / BITS) as usize, 1 << (at % BITS))
    }
}
