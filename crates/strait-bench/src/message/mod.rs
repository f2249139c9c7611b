//! The messages: numbered, patterned, summed by one side, verified by the other.
//!
//! A message is words of eight bytes, little-endian. The first is the sequence number; the first
//! of later blocks of 64 bytes is a stamp derived from it, so that a mixture of two messages is
//! noticed; the last is the checksum; the others are a pattern. The checksum is a Fletcher sum
//! in eight lanes (the second sum weighs each block by its place, so order counts), folded by odd
//! multipliers, one per lane. As only the stamps change from one message to the next, the sender
//! updates the sums without reading the message again; the receiver reads every byte.

use crate::{Check, Failure, Outcome, Side};

const LANES: usize = 8;
const BLOCK: usize = LANES * 8;
/// Distance between the stamps of neighbouring blocks.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Up to this length every block is stamped; beyond it, one in so many bytes.
const STAMPED_LINES_MAX: usize = 4096;
const STRIDE: usize = 512;
/// One odd multiplier per lane.
const ODD: [u64; LANES] = [
    0x9FB2_1C65_1E98_DF25,
    0xD6E8_FEB8_6659_FD93,
    0xA076_1D64_78BD_642F,
    0xE703_7ED1_A0B4_28DB,
    0x8EBC_6AF0_9C88_C6E3,
    0x5899_65CC_7537_4CC3,
    0x1D8E_4E27_C47D_124F,
    0xEB44_ACCA_B455_D165,
];

/// The least length of a message.
pub(crate) const LEN_MIN: usize = 16;

/// Makes the messages of one direction, and verifies those of a direction.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    len: usize,
    check: Check,
    salt: u64,
    /// The two sums of a message with sequence number 0 and checksum 0.
    base: Sums,
    /// How much the sums of lane 0 grow with the sequence number.
    growth: (u64, u64),
    /// Fold of the lanes other than 0.
    rest: u64,
    /// The words of a message of one block, with sequence number 0.
    short: [u64; LANES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    plain: [u64; LANES],
    weighed: [u64; LANES],
}

impl Sums {
    #[inline]
    fn block(&mut self, words: [u64; LANES]) {
        let sums = self.plain.iter_mut().zip(&mut self.weighed);
        for ((plain, weighed), word) in sums.zip(words) {
            *plain = plain.wrapping_add(word);
            *weighed = weighed.wrapping_add(*plain);
        }
    }

    /// Bytes, but for the eight last ones: where the checksum is.
    #[inline]
    fn all_but_last(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let (blocks, last) = match (blocks.split_last(), rest.len() / 8) {
            (Some((last, blocks)), 0) => (blocks, without(words(last), LANES - 1)),
            (_, full) => {
                let mut last = [0; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                (blocks, without(words(&last), full.saturating_sub(1)))
            }
        };
        for block in blocks {
            self.block(words(block));
        }
        self.block(last);
    }

    #[inline]
    fn lane(&self, lane: usize) -> u64 {
        mixed(lane, self.plain[lane], self.weighed[lane])
    }

    #[inline]
    fn fold(&self) -> u64 {
        (0..LANES).fold(0, |sum, lane| sum ^ self.lane(lane))
    }
}

#[inline]
fn without(mut words: [u64; LANES], index: usize) -> [u64; LANES] {
    words[index] = 0;
    words
}

#[inline]
fn mixed(lane: usize, plain: u64, weighed: u64) -> u64 {
    plain
        .wrapping_add(weighed.rotate_left(23))
        .wrapping_mul(ODD[lane])
}

#[inline]
fn words(block: &[u8; BLOCK]) -> [u64; LANES] {
    let (words, _) = block.as_chunks::<8>();
    std::array::from_fn(|lane| u64::from_le_bytes(words[lane]))
}

impl Pattern {
    /// The messages of `len` bytes that `from` sends.
    pub(crate) fn new(len: usize, check: Check, from: Side) -> Outcome<Self> {
        if len < LEN_MIN || !len.is_multiple_of(8) {
            return Err(Failure::new(format!(
                "messages of {len} bytes cannot be verified: at least {LEN_MIN}, a multiple of 8"
            )));
        }
        // Ends of whole blocks only, and only where there is something between them.
        let ends = check == Check::Ends && len > 2 * BLOCK && len.is_multiple_of(BLOCK);
        let check = if ends { Check::Ends } else { Check::Whole };
        let salt = match from {
            Side::Near => 0x6E65_6172,
            Side::Far => 0x6661_7221_0000_0000,
        };
        let mut pattern = Self {
            len,
            check,
            salt,
            base: Sums::default(),
            growth: (0, 0),
            rest: 0,
            short: [0; LANES],
        };
        let blank = pattern.blank();
        for (word, bytes) in pattern.short.iter_mut().zip(blank.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        pattern.base = pattern.sums(&blank);
        // Of n blocks that are seen, block k weighs n - k.
        let blocks = if ends { 2 } else { len.div_ceil(BLOCK) };
        let weight = |at: usize| {
            if ends {
                blocks - at.min(1)
            } else {
                blocks - at / BLOCK
            }
        };
        pattern.growth = (
            pattern.stamps().count() as u64,
            pattern.stamps().map(|at| weight(at) as u64).sum(),
        );
        pattern.rest = pattern.base.fold() ^ pattern.base.lane(0);
        Ok(pattern)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A message with sequence number 0 and no checksum, to be stamped.
    pub(crate) fn blank(&self) -> Vec<u8> {
        let words = (self.len / 8) as u64;
        let mut bytes: Vec<u8> = (0..words)
            .flat_map(|i| (i.wrapping_mul(ODD[3]) ^ STEP).to_le_bytes())
            .collect();
        bytes[self.len - 8..].fill(0);
        for (index, at) in self.stamps().enumerate() {
            bytes[at..at + 8].copy_from_slice(&stamp(0, index).to_le_bytes());
        }
        bytes
    }

    /// The sums of what is verified of a message.
    #[inline]
    fn sums(&self, message: &[u8]) -> Sums {
        let mut sums = Sums::default();
        match self.check {
            Check::Whole => sums.all_but_last(message),
            Check::Ends => {
                let (head, tail) = (message.first_chunk(), message.last_chunk::<BLOCK>());
                sums.block(head.map_or([0; LANES], words));
                sums.all_but_last(tail.map_or(&[], |tail| tail));
            }
        }
        sums
    }

    /// Where the stamps are.
    fn stamps(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.len - 8).step_by(self.stride())
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

    /// Numbers a message that came from [`blank`](Self::blank) or was stamped before, by either
    /// side.
    #[inline]
    pub(crate) fn stamp(&self, message: &mut [u8], sequence: u64) {
        let words = message.as_chunks_mut::<8>().0;
        let step = self.stride() / 8;
        let last = self.len / 8 - 1;
        for (index, word) in words[..last].iter_mut().step_by(step).enumerate() {
            *word = stamp(sequence, index).to_le_bytes();
        }
        words[last] = self.sum_of(sequence).to_le_bytes();
    }

    /// The checksum of a message, computed from the pattern alone.
    #[inline]
    fn sum_of(&self, sequence: u64) -> u64 {
        let plain = self.base.plain[0].wrapping_add(self.growth.0.wrapping_mul(sequence));
        let weighed = self.base.weighed[0].wrapping_add(self.growth.1.wrapping_mul(sequence));
        self.rest ^ mixed(0, plain, weighed) ^ self.salt
    }

    /// Checks that `message` is the one with this number, whole and unchanged.
    #[inline]
    pub(crate) fn verify(&self, message: &[u8], sequence: u64) -> Outcome<()> {
        let right = if self.len <= BLOCK {
            message.len() == self.len && self.is_short(message, sequence)
        } else {
            message.len() == self.len
                && word(message, 0) == sequence
                && self.sum(message) == word(message, self.len - 8)
        };
        if right {
            return Ok(());
        }
        Err(self.complaint(message, sequence))
    }

    /// Whether a message of one block is the one with this number: word by word, which shows less
    /// in fast round trips than a sum does.
    #[inline]
    fn is_short(&self, message: &[u8], sequence: u64) -> bool {
        let last = self.len / 8 - 1;
        let mut wanted = self.short;
        wanted[0] = sequence;
        wanted[last] = self.sum_of(sequence);
        let came = message.as_chunks().0.iter();
        let pairs = came.zip(wanted);
        let wrong = pairs.fold(0, |wrong, (came, wanted)| {
            wrong | (u64::from_le_bytes(*came) ^ wanted)
        });
        wrong == 0
    }

    /// The checksum of a message, computed from its bytes.
    #[inline]
    fn sum(&self, message: &[u8]) -> u64 {
        self.sums(message).fold() ^ self.salt
    }

    #[cold]
    fn complaint(&self, message: &[u8], sequence: u64) -> Failure {
        if message.len() != self.len {
            let (came, sent) = (message.len(), self.len);
            return Failure::check(format!("message {sequence}: {came} bytes came of {sent}"));
        }
        match word(message, 0) {
            came if came == sequence => Failure::check(format!(
                "message {sequence}: checksum does not match its content"
            )),
            came => Failure::check(format!("message {came} came where {sequence} was due")),
        }
    }
}

#[inline]
fn stamp(sequence: u64, index: usize) -> u64 {
    sequence.wrapping_add((index as u64).wrapping_mul(STEP))
}

#[inline]
fn word(message: &[u8], at: usize) -> u64 {
    message[at..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
