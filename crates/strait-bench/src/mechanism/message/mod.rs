//! The messages: numbered, patterned, stamped by one side, compared byte by byte by the other.
//!
//! A message is words of eight bytes, little-endian. The first is the sequence number; the last,
//! and the first of later blocks of 64 bytes (of 512 in long messages), is a stamp derived from it,
//! so that a mixture of two messages is noticed; the others are a pattern of the sender's side,
//! which is the same in every page. As only the stamps change from one message to the next, neither
//! side makes a message anew; the receiver compares every byte with what it must be.

use crate::{Check, Failure, Outcome, Side};

const WORD: usize = 8;
const BLOCK: usize = 64;
/// After so many bytes the pattern repeats.
const PAGE: usize = 4096;
/// Distance between the stamps of neighbouring blocks.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Up to this length every block is stamped; beyond it, one in so many bytes.
const STAMPED_LINES_MAX: usize = PAGE;
const STRIDE: usize = 512;
const ODD: u64 = 0xE703_7ED1_A0B4_28DB;

/// The least length of a message.
pub(crate) const LEN_MIN: usize = 16;

/// Makes the messages of one direction, and verifies those of a direction.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    len: usize,
    check: Check,
    salt: u64,
    /// What a page of the message verified last had to be.
    page: Vec<u8>,
}

impl Pattern {
    /// The messages of `len` bytes that `from` sends.
    pub(crate) fn new(len: usize, check: Check, from: Side) -> Outcome<Self> {
        if len < LEN_MIN || !len.is_multiple_of(WORD) {
            return Err(Failure::new(format!(
                "messages of {len} bytes cannot be verified: at least {LEN_MIN}, a multiple of 8"
            )));
        }
        // Ends of whole blocks only, and only where there is something between them.
        let ends = check == Check::Ends && len > 2 * BLOCK && len.is_multiple_of(BLOCK);
        let salt = match from {
            Side::Near => 0x6E65_6172,
            Side::Far => 0x6661_7221_0000_0000,
        };
        let words = (0..(PAGE / WORD) as u64).map(|i| i.wrapping_mul(ODD) ^ STEP ^ salt);
        Ok(Self {
            len,
            check: if ends { Check::Ends } else { Check::Whole },
            salt,
            page: words.flat_map(u64::to_le_bytes).collect(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A message with sequence number 0, to be stamped.
    pub(crate) fn blank(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.page.iter().copied().cycle().take(self.len).collect();
        self.stamp(&mut bytes, 0);
        bytes
    }

    /// From one stamp to the next: every line of small messages; of large ones, where stamping
    /// each would cost as much as copying it, eight to a page; or only the two ends.
    fn stride(&self) -> usize {
        match self.check {
            Check::Ends => self.len - BLOCK,
            Check::Whole if self.len <= STAMPED_LINES_MAX => BLOCK,
            Check::Whole => STRIDE,
        }
    }

    /// Numbers a message that came from [`blank`](Self::blank).
    #[inline]
    pub(crate) fn stamp(&self, message: &mut [u8], sequence: u64) {
        let words = message.as_chunks_mut::<WORD>().0;
        let stamped = words.iter_mut().step_by(self.stride() / WORD);
        for (index, word) in stamped.enumerate() {
            *word = stamp(sequence, index).to_le_bytes();
        }
        if let Some(last) = words.last_mut() {
            *last = self.last(sequence).to_le_bytes();
        }
    }

    /// The last word of a message, which is its sender's.
    #[inline]
    fn last(&self, sequence: u64) -> u64 {
        sequence.wrapping_mul(ODD) ^ self.salt
    }

    /// Checks that `message` is the one with this number, whole and unchanged.
    #[inline]
    pub(crate) fn verify(&mut self, message: &[u8], sequence: u64) -> Outcome<()> {
        if message.len() == self.len && self.is_right(message, sequence) {
            return Ok(());
        }
        Err(self.complaint(message, sequence))
    }

    #[inline]
    fn is_right(&mut self, message: &[u8], sequence: u64) -> bool {
        let Some((body, last)) = message.split_last_chunk::<WORD>() else {
            return false;
        };
        if u64::from_le_bytes(*last) != self.last(sequence) {
            return false;
        }
        let stride = self.stride();
        if self.check == Check::Ends {
            return self.is_part(&body[..BLOCK], [0, BLOCK], stamp(sequence, 0))
                && self.is_part(&body[stride..], [stride, BLOCK], stamp(sequence, 1));
        }
        let first = |page: usize| stamp(sequence, page * (PAGE / stride));
        let mut pages = body.chunks(PAGE).enumerate();
        pages.all(|(page, part)| self.is_part(part, [0, stride], first(page)))
    }

    /// Compares a part of a message with the page from `at` on, where the first stamp is `first`,
    /// and another follows every `stride` bytes.
    #[inline]
    fn is_part(&mut self, part: &[u8], [at, stride]: [usize; 2], first: u64) -> bool {
        let at = at % PAGE;
        let wanted = &mut self.page[at..at + part.len()];
        let words = wanted.as_chunks_mut::<WORD>().0;
        for (index, word) in words.iter_mut().step_by(stride / WORD).enumerate() {
            *word = stamp(first, index).to_le_bytes();
        }
        *wanted == *part
    }

    #[cold]
    fn complaint(&self, message: &[u8], sequence: u64) -> Failure {
        if message.len() != self.len {
            let (came, sent) = (message.len(), self.len);
            return Failure::check(format!("message {sequence}: {came} bytes came of {sent}"));
        }
        let first = message
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word));
        if first == sequence {
            return Failure::check(format!("message {sequence}: its content was changed"));
        }
        Failure::check(format!("message {first} came where {sequence} was due"))
    }
}

#[inline]
fn stamp(sequence: u64, index: usize) -> u64 {
    sequence.wrapping_add((index as u64).wrapping_mul(STEP))
}

#[cfg(test)]
mod tests;
