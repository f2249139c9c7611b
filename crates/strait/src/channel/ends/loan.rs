//! Loans: a message that is written and read where it lies, in a block of the sender's memory.
//!
//! The sender counts in its memory how often it has lent a block, the receiver in its own how often
//! it has given it back: the block is free while the two agree and nobody of the sender's process
//! is writing it. So no word has two writers, and a receiver that lies about what it gave back has
//! the blocks that it still reads overwritten, its own loss.
//!
//! The record of a loan says block, count and length. A receiver who drops what it was lent stores
//! the count, and rings only for a sender who has said that it waits for a block.

mod receive;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use strait_sys::cell::{ReadOnly, Scalar, Word};
use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::hello::Shape;
use crate::channel::layout::{BLOCK_WANTED, BLOCKS_MAX, DEAF, Header, LENT, RETURNS, RING, SENDER};
use crate::channel::link::{Link, Place, Ringer};
use crate::channel::park::Waited;
use crate::channel::ring::Lie;
use crate::channel::sender::{Patience, Sender};
use crate::error::{ErrorKind, Result};

const LEND: &str = "lend";
const READ: &str = "read loan";
/// Bytes that the record of a loan has.
pub(crate) const NOTE_LEN: u64 = 16;

/// The blocks of this side, and which of them somebody of this process is writing.
#[derive(Debug)]
pub(crate) struct Lender {
    link: Arc<Link>,
    held: [AtomicU64; BLOCKS_MAX as usize / 64],
    /// Says to the receiver that this side waits for a block.
    wanted: Fixed<u32>,
}

/// What the record of a loan says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Note {
    pub(crate) block: u32,
    pub(crate) count: u32,
    pub(crate) len: u64,
}

impl Note {
    pub(crate) fn encode(self) -> [u8; NOTE_LEN as usize] {
        let first = u64::from(self.block) | u64::from(self.count) << 32;
        let mut bytes = [0; NOTE_LEN as usize];
        bytes[..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.len.to_ne_bytes());
        bytes
    }

    /// What a peer wrote, if it names a part of its blocks.
    pub(crate) fn decode(
        bytes: [u8; NOTE_LEN as usize],
        link: &Link,
    ) -> std::result::Result<Self, Lie> {
        let half = |at: usize| u32::from_ne_bytes(std::array::from_fn(|index| bytes[at + index]));
        let len = u64::from_ne_bytes(std::array::from_fn(|index| bytes[8 + index]));
        let note = Self {
            block: half(0),
            count: half(4),
            len,
        };
        if note.block >= link.their_shape.blocks || len > link.their_shape.block_len {
            return Err(Lie("it lends what it does not have"));
        }
        Ok(note)
    }
}

impl Lender {
    pub(crate) fn new(link: &Arc<Link>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            link: link.clone(),
            held: std::array::from_fn(|_| AtomicU64::new(0)),
            wanted: link.own.fixed(SENDER + BLOCK_WANTED)?,
        }))
    }

    /// Says whether this side waits for a block; seen by the receiver before it is waited for.
    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.word().store(wanted.into(), Ordering::SeqCst);
    }

    fn count(&self, block: u32) -> u32 {
        let lent = self.link.own.word::<u32>(LENT + 4 * block as usize);
        lent.map_or(0, |lent| lent.load(Ordering::Relaxed))
    }

    fn is_back(&self, block: u32) -> bool {
        let back = self.link.theirs.look::<u32>(RETURNS + 4 * block as usize);
        back.is_some_and(|back| back.load(Ordering::Acquire) == self.count(block))
    }

    /// Whether a block is free.
    pub(crate) fn has_free(&self) -> bool {
        (0..self.link.own_shape.blocks).any(|block| !self.is_held(block) && self.is_back(block))
    }

    fn is_held(&self, block: u32) -> bool {
        let held = self.held[block as usize / 64].load(Ordering::Relaxed);
        held & 1 << (block % 64) != 0
    }

    /// Claims what this process holds against those who are to hold this end too.
    pub(crate) fn claim_held(&self) -> bool {
        let mut all = true;
        for block in 0..self.link.own_shape.blocks {
            // Each of them, also after one that could not be claimed.
            all &= !self.is_held(block) || self.link.claim(block);
        }
        all
    }

    /// Takes the first free block: the one whose bytes are likeliest to be near.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Option<Loan> {
        let block = (0..self.link.own_shape.blocks).find(|block| {
            if self.is_held(*block) || !self.is_back(*block) {
                return false;
            }
            let bit = 1 << (block % 64);
            if !self.link.claim(*block) {
                return false;
            }
            // Another holder may have lent it before it was claimed.
            if !self.is_back(*block) {
                self.link.unclaim(*block);
                return false;
            }
            self.held[*block as usize / 64].fetch_or(bit, Ordering::Acquire);
            true
        })?;
        Some(Loan {
            lender: self.clone(),
            block,
            at: offset_of(&self.link.own_shape, block),
            len,
        })
    }

    /// Counts the block as lent; the note for the receiver.
    pub(crate) fn lend(&self, loan: &Loan, len: usize) -> Note {
        let count = self.count(loan.block).wrapping_add(1);
        if let Some(lent) = self.link.own.word::<u32>(LENT + 4 * loan.block as usize) {
            lent.store(count, Ordering::Relaxed);
        }
        Note {
            block: loan.block,
            count,
            len: len as u64,
        }
    }

    /// Checks that blocks can be had, and of that length.
    pub(crate) fn check(&self, len: usize) -> Result<()> {
        let shape = self.link.own_shape;
        if shape.blocks == 0 || len as u64 > shape.block_len {
            return Err(self
                .link
                .error(ErrorKind::InvalidInput, LEND)
                .because(format!(
                    "this side lends {} blocks of {} bytes, and {len} were asked for",
                    shape.blocks, shape.block_len
                )));
        }
        Ok(())
    }

    /// Checks that the loan is one of these blocks, has that length, and got its memory.
    pub(crate) fn check_loan(self: &Arc<Self>, loan: &Loan, len: usize) -> Result<()> {
        let wrong = |why: &str| Err(self.link.error(ErrorKind::InvalidInput, LEND).because(why));
        if !Arc::ptr_eq(self, &loan.lender) {
            return wrong("the block belongs to another channel");
        }
        if len > loan.len {
            return wrong("the message is longer than the block that was taken for it");
        }
        if self.link.own.is_broken() {
            return Err(self
                .link
                .error(ErrorKind::Exhausted, LEND)
                .because("there was no memory for the block"));
        }
        Ok(())
    }
}

/// Where a block lies in its side's memory.
fn offset_of(shape: &Shape, block: u32) -> usize {
    let at = shape.capacity + u64::from(block) * shape.block_len;
    RING + usize::try_from(at).unwrap_or(usize::MAX - RING)
}

/// A block of the sender's memory in which a message is made; see [`Sender::loan`].
///
/// It goes back unsent when it is dropped.
///
/// [`Sender::loan`]: crate::channel::Sender::loan
#[derive(Debug)]
pub struct Loan {
    lender: Arc<Lender>,
    block: u32,
    at: usize,
    len: usize,
}

/// The part of a map that a block is.
fn inside<T>(link: &Link, found: Option<T>, asked: (usize, usize), len: usize) -> Result<T> {
    found.ok_or_else(|| {
        link.error(ErrorKind::InvalidInput, READ).because(format!(
            "{} bytes at {} of {len}, or misaligned",
            asked.1, asked.0
        ))
    })
}

impl Loan {
    /// Bytes that were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No bytes were asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes into the message. What is not written has the bytes of an earlier message, or
    /// zeros.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they do not fit.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let link = &self.lender.link;
        let fits = fits(self.len, offset, bytes.len());
        let written = fits && link.own.write(self.at + offset, bytes);
        inside(link, written.then_some(()), (offset, bytes.len()), self.len)
    }

    /// A number in the message, to be stored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is misaligned or out of the message.
    #[inline]
    pub fn word<T: Scalar>(&mut self, offset: usize) -> Result<Word<'_, T>> {
        let link = &self.lender.link;
        let word = fits(self.len, offset, size_of::<T>())
            .then(|| link.own.word(self.at + offset))
            .flatten();
        inside(link, word, (offset, size_of::<T>()), self.len)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let held = &self.lender.held[self.block as usize / 64];
        held.fetch_and(!(1 << (self.block % 64)), Ordering::Release);
        self.lender.link.unclaim(self.block);
    }
}

fn fits(len: usize, offset: usize, bytes: usize) -> bool {
    len.checked_sub(offset).is_some_and(|room| room >= bytes)
}

/// A message that lies in the sender's memory; see [`Receiver::recv_message`].
///
/// The sender gets the block back when this is dropped. Until then an honest one does not touch it;
/// what another one does is seen as mixed bytes, and nothing worse.
///
/// [`Receiver::recv_message`]: crate::channel::Receiver::recv_message
#[derive(Debug)]
pub struct Lent {
    link: Arc<Link>,
    ringer: Ringer,
    note: Note,
    at: usize,
    len: usize,
}

impl Lent {
    pub(crate) fn new(place: &Place, note: Note) -> Self {
        let link = &place.link;
        Self {
            ringer: place.ringer(),
            link: link.clone(),
            note,
            at: offset_of(&link.their_shape, note.block),
            // Checked to be within the block.
            len: usize::try_from(note.len).unwrap_or(usize::MAX),
        }
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn check(&self) -> Result<()> {
        if self.link.theirs.is_broken() {
            return Err(self
                .link
                .error(ErrorKind::Exhausted, READ)
                .because("there was no memory for the block"));
        }
        Ok(())
    }

    /// Copies bytes out of the message.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it has not so many there; [`ErrorKind::Exhausted`] if the
    /// sender has lent memory that it never wrote, and there is none left.
    #[inline]
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let asked = (offset, bytes.len());
        let read =
            fits(self.len, offset, bytes.len()) && self.link.theirs.read(self.at + offset, bytes);
        inside(&self.link, read.then_some(()), asked, self.len)?;
        self.check()
    }

    /// A number in the message, to be looked at.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    #[inline]
    pub fn look<T: Scalar>(&self, offset: usize) -> Result<Word<'_, T, ReadOnly>> {
        let word = fits(self.len, offset, size_of::<T>())
            .then(|| self.link.theirs.look(self.at + offset))
            .flatten();
        inside(&self.link, word, (offset, size_of::<T>()), self.len)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let link = &self.link;
        let back = RETURNS + 4 * self.note.block as usize;
        let Some(back) = link.own.word::<u32>(back).filter(|_| !link.is_foreign()) else {
            return;
        };
        back.store(self.note.count, Ordering::Release);
        kill::point("channel.returned");
        // Before the look, as the sender says that it wants one before it looks for one.
        fence(Ordering::SeqCst);
        let wanted = link.theirs.look::<u32>(SENDER + BLOCK_WANTED);
        if wanted.is_none_or(|wanted| wanted.load(Ordering::Relaxed) == 0) {
            return;
        }
        self.ringer.ring();
    }
}

impl Sender {
    /// A block to make a message of at most `len` bytes in; blocks until one is free. Its memory is
    /// had when it is first written.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if this side has none of that length
    /// ([`Options::blocks`](crate::channel::Options::blocks)); else as for [`send`](Self::send).
    pub fn loan(&mut self, len: usize) -> Result<Loan> {
        loop {
            if let Some(loan) = self.take_loan(len, Patience::Forever)? {
                return Ok(loan);
            }
        }
    }

    /// [`loan`](Self::loan) without blocking. `None`: no block is free.
    ///
    /// # Errors
    /// As for [`loan`](Self::loan).
    pub fn try_loan(&mut self, len: usize) -> Result<Option<Loan>> {
        self.take_loan(len, Patience::Look)
    }

    /// [`loan`](Self::loan) for at most `timeout`.
    ///
    /// # Errors
    /// As for [`loan`](Self::loan).
    pub fn loan_for(&mut self, len: usize, timeout: Duration) -> Result<Option<Loan>> {
        self.take_loan(len, Patience::for_at_most(timeout))
    }

    /// Sends the first `len` bytes of the loan as a message. Blocks while the ring is full.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the loan is of another sender, or shorter;
    /// [`ErrorKind::Exhausted`] if there was no memory for its block; else as for
    /// [`send`](Self::send). The loan goes back.
    pub fn send_loan(&mut self, loan: Loan, len: usize) -> Result<()> {
        let mut loan = Some(loan);
        while let Some(unsent) = loan.take() {
            loan = self.lend(unsent, len, Patience::Forever)?;
        }
        Ok(())
    }

    /// [`send_loan`](Self::send_loan) for at most `timeout`; zero does not block. A loan that was
    /// not sent in time comes back.
    ///
    /// # Errors
    /// As for [`send_loan`](Self::send_loan).
    pub fn send_loan_for(
        &mut self,
        loan: Loan,
        len: usize,
        timeout: Duration,
    ) -> Result<Option<Loan>> {
        self.lend(loan, len, Patience::for_at_most(timeout))
    }

    fn take_loan(&mut self, len: usize, patience: Patience) -> Result<Option<Loan>> {
        let lender = self.lender.clone();
        lender.check(len)?;
        if self.link.is_foreign() {
            return Err(self.link.foreign(LEND));
        }
        if self.link.is_over(DEAF) {
            return Err(self.gone(LEND));
        }
        loop {
            if let Some(loan) = lender.take(len) {
                return Ok(Some(loan));
            }
            if matches!(patience, Patience::Look) {
                return Ok(None);
            }
            // What was pushed may be what a block comes back for.
            if !self.waiter.park.is_shared() {
                self.flush();
            }
            let link = self.link.clone();
            lender.want(true);
            let waited = self.waiter.wait(
                || lender.has_free(),
                || link.is_over(DEAF),
                patience.deadline(),
            );
            let is_shared = self.waiter.park.is_shared();
            // Another holder may want one too: then the reader rings in vain now and then.
            lender.want(is_shared);
            match waited {
                // sleep: another holder that writes the block, and gives it back, tells nobody
                Waited::Ready if is_shared => std::thread::sleep(Duration::from_micros(100)),
                Waited::Ready => {}
                Waited::TimedOut => return Ok(None),
                Waited::Over => return Err(self.gone(LEND)),
            }
        }
    }

    fn lend(&mut self, loan: Loan, len: usize, patience: Patience) -> Result<Option<Loan>> {
        self.lender.check_loan(&loan, len)?;
        let sent = if self.is_odd() {
            self.in_turn(patience, LEND, |sender| {
                sender.lend_alone(&loan, len, Patience::Look)
            })
        } else {
            self.lend_alone(&loan, len, patience)
        };
        Ok(if sent?.is_some() { None } else { Some(loan) })
    }

    fn lend_alone(&mut self, loan: &Loan, len: usize, patience: Patience) -> Result<Option<()>> {
        if self.link.is_over(DEAF) {
            return Err(self.gone(LEND));
        }
        let header = Header::new(NOTE_LEN as u32, Header::LOAN);
        if !self.settle(patience)? || !self.room(header.span(), patience)? {
            return Ok(None);
        }
        let handles = self.enclose()?.len() as u8;
        let note = self.lender.lend(loan, len);
        let header = header.with_handles(handles);
        self.out.push(header, [&note.encode(), &[]]);
        kill::point("channel.lent");
        self.flush();
        self.followed();
        Ok(Some(()))
    }
}

/// A message, copied or to be read in place.
#[derive(Debug)]
pub enum Message {
    /// So many bytes were copied to the buffer.
    Copied(usize),
    /// It lies in the sender's memory.
    Lent(Lent),
}
