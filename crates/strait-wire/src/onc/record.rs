//! Messages on a stream: RFC 5531 section 11.
//!
//! A record is one or more fragments, each led by a word that says its length and whether it is
//! the last. Sent, a record is one fragment, and mark and message are one buffer:
//!
//! ```
//! # use strait_wire::onc::record;
//! let mut out = Vec::new();
//! let mark = record::begin(&mut out);
//! out.extend_from_slice(b"message");
//! mark.end(&mut out)?;
//! assert_eq!(out, b"\x80\0\0\x07message");
//! # Ok::<(), record::Error>(())
//! ```
//!
//! Received, [`Records`] lends each from the buffer that it was read into.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Bytes of a mark.
pub const MARK_LEN: usize = 4;
/// The longest fragment that a mark can tell, in bytes.
pub const FRAGMENT_MAX: usize = 0x7fff_ffff;
/// The longest record that is received unless [`Caps`] say otherwise, in bytes without marks.
pub const RECORD_MAX: usize = 4 << 20;
/// Small fragments of a record that are received unless [`Caps`] say otherwise.
pub const FRAGMENTS_MAX: u32 = 64;
/// Fragments of fewer bytes are small. Larger ones are bounded by the record's length: libtirpc
/// sends a record of 1 MiB as 117 fragments over a local socket (8,996 bytes and their mark in each
/// write of 9,000), and as 17 over TCP (65,532 and their mark).
pub const FRAGMENT_SMALL: usize = 4000;
/// Room that is made for bytes not yet announced, in bytes.
pub const ROOM_MIN: usize = 4 << 10;
/// Room that is made beyond what has come, however much is announced, in bytes.
pub const ROOM_MAX: usize = 64 << 10;

const LAST: u32 = 1 << 31;

/// What a peer may send in one record.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Caps {
    /// Bytes, without the marks.
    pub record: usize,
    /// Fragments of fewer than [`FRAGMENT_SMALL`] bytes.
    pub fragments: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            record: RECORD_MAX,
            fragments: FRAGMENTS_MAX,
        }
    }
}

/// A record that is not received, or cannot be sent. Nothing after it on the stream can be told.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than allowed.
    TooLong {
        /// Bytes announced so far.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// More small fragments than allowed.
    TooManyFragments {
        /// The limit.
        max: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => {
                write!(f, "a record of {len} bytes, and at most {max} are allowed")
            }
            Self::TooManyFragments { max } => write!(
                f,
                "a record of more than {max} fragments of fewer than {FRAGMENT_SMALL} bytes"
            ),
        }
    }
}

impl core::error::Error for Error {}

/// Leaves room for a mark at the end of `out`; what is appended until [`Mark::end`] is the record.
pub fn begin(out: &mut Vec<u8>) -> Mark {
    let at = out.len();
    out.extend_from_slice(&[0; MARK_LEN]);
    Mark { at }
}

/// A mark whose record is being written.
#[derive(Debug)]
#[must_use = "without its end the record has no length"]
pub struct Mark {
    at: usize,
}

impl Mark {
    /// Fills in the mark: all that has been appended to `out` is the record.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] above [`FRAGMENT_MAX`]; `out` then ends where the mark stood.
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at + MARK_LEN;
        let len = out.len().saturating_sub(start);
        match mark(len) {
            Ok(mark) => {
                if let Some(room) = out.get_mut(self.at..start) {
                    room.copy_from_slice(&mark);
                }
                Ok(())
            }
            Err(error) => {
                self.cancel(out);
                Err(error)
            }
        }
    }

    /// Takes the record back, and the mark with it.
    pub fn cancel(self, out: &mut Vec<u8>) {
        out.truncate(self.at);
    }
}

/// The mark of a record of `len` bytes in one fragment.
///
/// # Errors
///
/// [`Error::TooLong`] above [`FRAGMENT_MAX`].
pub fn mark(len: usize) -> Result<[u8; MARK_LEN], Error> {
    match u32::try_from(len) {
        Ok(word) if len <= FRAGMENT_MAX => Ok((word | LAST).to_be_bytes()),
        _ => Err(Error::TooLong {
            len: len as u64,
            max: FRAGMENT_MAX,
        }),
    }
}

/// Takes records from a stream.
///
/// Bytes are read straight into [`room`](Self::room) and told by [`filled`](Self::filled), or
/// copied by [`push`](Self::push). A record of one fragment is lent from where it was read; the
/// later fragments of others are moved up to the first. Memory follows what has come, not what was
/// announced: at most twice that, and [`ROOM_MAX`] more.
#[derive(Clone, Debug, Default)]
pub struct Records {
    caps: Caps,
    /// All initialised; bytes that have come end at `end`.
    buffer: Vec<u8>,
    /// The record that is being put together.
    start: usize,
    assembled: usize,
    /// Where the next mark stands, or is to stand.
    next: usize,
    end: usize,
    /// The record that was lent last.
    lent: Range<usize>,
    /// Small fragments of the record so far.
    small: u32,
    /// What ended the stream.
    broken: Option<Error>,
}

impl Records {
    /// Takes records within `caps`.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            ..Self::default()
        }
    }

    /// Room for bytes to be read into: never empty. Call [`filled`](Self::filled) after it.
    pub fn room(&mut self) -> &mut [u8] {
        self.lent = 0..0;
        if self.start == self.end {
            self.move_down();
        }
        if self.buffer.len() - self.end < self.need() {
            self.move_down();
        }
        let len = self.len_needed();
        if self.buffer.len() < len {
            self.buffer.reserve_exact(len - self.buffer.len());
            self.buffer.resize(len, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Bytes that [`memory`](Self::memory) is about to grow by in [`room`](Self::room): for who has
    /// to ask for them first.
    ///
    /// ```
    /// # use strait_wire::onc::record::Records;
    /// let mut records = Records::default();
    /// let (mut asked, bytes) = (0, [&[0x80, 1, 0, 0][..], &[7; 1 << 16]].concat());
    /// for part in bytes.chunks(1000) {
    ///     asked += records.growth();
    ///     records.room()[..part.len()].copy_from_slice(part);
    ///     records.filled(part.len());
    ///     assert_eq!(records.memory(), asked);
    /// }
    /// assert_eq!(records.next_record().unwrap(), Some(&bytes[4..]));
    /// ```
    #[must_use]
    pub fn growth(&self) -> usize {
        self.len_needed().saturating_sub(self.buffer.capacity())
    }

    /// `len` bytes have been read into [`room`](Self::room).
    ///
    /// # Panics
    ///
    /// If that is more than there was room for.
    pub fn filled(&mut self, len: usize) {
        assert!(len <= self.buffer.len() - self.end, "more than the room");
        self.end += len;
    }

    /// Copies `bytes` in, which have been read elsewhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            self.filled(len);
            bytes = &bytes[len..];
        }
    }

    /// The next record that is whole; `None` until more bytes have come.
    ///
    /// # Errors
    ///
    /// [`Error`] for a record above the caps, before its bytes have come; from then on always.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, Error> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        while let Some((len, last)) = self.mark() {
            if let Err(error) = self.check(len) {
                self.broken = Some(error);
                return Err(error);
            }
            let from = self.next + MARK_LEN;
            let Some(to) = from.checked_add(len).filter(|to| *to <= self.end) else {
                return Ok(None);
            };
            if self.start == self.assembled {
                self.start = from;
                self.assembled = to;
            } else {
                self.buffer.copy_within(from..to, self.assembled);
                self.assembled += len;
            }
            self.next = to;
            self.small += u32::from(len < FRAGMENT_SMALL);
            if last {
                self.lent = self.start..self.assembled;
                (self.start, self.assembled) = (to, to);
                self.small = 0;
                return Ok(Some(self.record()));
            }
        }
        Ok(None)
    }

    /// The record that [`next_record`](Self::next_record) has lent last, again; nothing once there
    /// was asked for [`room`](Self::room).
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.buffer[self.lent.clone()]
    }

    /// Whether a record has begun and is not whole: a stream that ends here was cut.
    #[must_use]
    pub const fn is_within_record(&self) -> bool {
        self.end > self.next || self.assembled > self.start || self.small > 0
    }

    /// Bytes of memory held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back what memory is not in use: for a stream that has nothing to say for a while.
    pub fn shrink(&mut self) {
        self.lent = 0..0;
        self.move_down();
        self.buffer.truncate(self.end);
        self.buffer.shrink_to_fit();
    }

    /// The mark at `next`, if it has come: the fragment's length, and whether it is the last.
    fn mark(&self) -> Option<(usize, bool)> {
        let (mark, _) = self.buffer[self.next..self.end].split_first_chunk()?;
        let word = u32::from_be_bytes(*mark);
        Some(((word & !LAST) as usize, word & LAST != 0))
    }

    /// Bytes of the present fragment that have not come, and whether it is the last.
    fn announced(&self) -> Option<(usize, bool)> {
        let (len, last) = self.mark()?;
        let come = self.end - self.next - MARK_LEN;
        let left = len.checked_sub(come).filter(|left| *left > 0)?;
        Some((left, last))
    }

    /// Bytes to be made room for. A mark more than what is announced: the next one comes with it,
    /// and a read that brings all there is does not fill the room, as if there were more.
    fn need(&self) -> usize {
        let here = self.end - self.start;
        let need = |(left, _): (usize, bool)| (left + MARK_LEN).min(here.max(ROOM_MAX));
        self.announced().map_or(ROOM_MIN, need)
    }

    /// How long the buffer must be, with what is in use at its front.
    fn len_needed(&self) -> usize {
        let here = self.end - self.start;
        let need = self.need();
        if self.buffer.len() - here >= need {
            return self.buffer.len();
        }
        // More fragments may follow: by a half at least, so that many do not grow it each.
        let last = self.announced().is_some_and(|(_, last)| last);
        here + if last { need } else { need.max(here / 2) }
    }

    fn check(&self, len: usize) -> Result<(), Error> {
        let total = (self.assembled - self.start) as u64 + len as u64;
        if total > self.caps.record as u64 {
            return Err(Error::TooLong {
                len: total,
                max: self.caps.record,
            });
        }
        if len < FRAGMENT_SMALL && self.small >= self.caps.fragments {
            return Err(Error::TooManyFragments {
                max: self.caps.fragments,
            });
        }
        Ok(())
    }

    /// Moves what is in use to the front.
    fn move_down(&mut self) {
        let by = self.start;
        if by == 0 {
            return;
        }
        self.buffer.copy_within(by..self.end, 0);
        self.start -= by;
        self.assembled -= by;
        self.next -= by;
        self.end -= by;
    }
}
