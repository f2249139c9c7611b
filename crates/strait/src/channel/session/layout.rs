//! Where things lie in the memory of a session.
//!
//! Each side has a file of its own, which the other maps for reading only: a page of control words,
//! the ring of what it sends, and the blocks that it lends. Words with different writers, and words
//! of different use, lie 128 bytes apart: processors fetch lines in pairs. A third file, the bell
//! page, is written by both.

/// Distance of words that are written independently of each other.
pub(crate) const APART: usize = 128;
pub(crate) const PAGE: usize = 4096;

// ---- the control page of a side ------------------------------------------------------------

/// u64: bytes published so far in the ring of this side.
pub(crate) const HEAD: usize = 0;
/// u64: bytes consumed so far of the other side's ring.
pub(crate) const TAIL: usize = APART;
/// The waiting place of this side's sender, for room; see [`crate::channel::park`].
pub(crate) const SENDER: usize = 2 * APART;
/// The waiting place of this side's receiver, for records.
pub(crate) const RECEIVER: usize = 3 * APART;
/// u32: the processor that this side was seen on last.
pub(crate) const CPU: usize = 4 * APART;
/// u32: [`CLOSED`], [`DEAF`] and [`CUT`].
pub(crate) const STATE: usize = 5 * APART;
/// u32, for the holders of this end alone: it may be held by more than one process.
pub(crate) const SHARED: usize = 6 * APART;
/// u64, likewise: where the next record to be read lies. [`TAIL`] may lag behind.
pub(crate) const POSITION: usize = 6 * APART + 16;
/// u64 each, likewise: from where to where in the other side's ring the rest of a message in pieces
/// lies, whose beginning was received.
pub(crate) const PIECES_FROM: usize = 6 * APART + 32;
pub(crate) const PIECES_TO: usize = 6 * APART + 40;
/// u32, likewise: the last message in this side's ring is in pieces and not whole.
pub(crate) const OPEN: usize = 6 * APART + 48;
/// u64 each, likewise, where messages are read in parts: how often the mark of what was read was
/// set, how often the writer was told, and the two cells of the mark; see
/// [`crate::channel::flow`].
pub(crate) const MARKS: usize = 7 * APART;
pub(crate) const MARKS_TOLD: usize = MARKS + 8;
pub(crate) const MARK_CELLS: usize = MARKS + 16;
pub(crate) const MARK_WORDS: usize = 5;
/// u64, four: two heads of this side's ring, each with the bytes of messages sent until there.
pub(crate) const SUMS: usize = MARK_CELLS + 2 * 8 * MARK_WORDS;
const _: () = assert!(SUMS + 4 * 8 <= RETURNS);
/// u64: bytes of the other side's messages that were read so far; where quotas are kept.
pub(crate) const READ: usize = TAIL + 8;
/// u64: one more than the bytes that a reader who waits has room for; 0 while none waits.
pub(crate) const WANTS: usize = TAIL + 16;
/// u32 for each block of the other side: how often it was given back.
pub(crate) const RETURNS: usize = 8 * APART;
/// Blocks that a side can lend at most.
pub(crate) const BLOCKS_MAX: u32 = 256;
/// u32 for each block of this side: how often it was lent. It is free while the other side has
/// given it back as often.
pub(crate) const LENT: usize = RETURNS + 4 * BLOCKS_MAX as usize;
const _: () = assert!(LENT + 4 * BLOCKS_MAX as usize <= PAGE);

/// It sends no more.
pub(crate) const CLOSED: u32 = 1;
/// It reads no more.
pub(crate) const DEAF: u32 = 2;
/// It has cut the session off: what is under way in either direction is void.
pub(crate) const CUT: u32 = 4;

// Within a waiting place.
/// u32: how often somebody there has gone to sleep.
pub(crate) const SLEEPS: usize = 0;
/// u32: whoever publishes beside this place does so without fences.
pub(crate) const LEAN: usize = 8;
/// u64: when it last rang the peer, in ticks.
pub(crate) const STAMP: usize = 16;
/// u32, of senders: it waits for a block to be given back.
pub(crate) const BLOCK_WANTED: usize = 24;

/// The ring follows the control page.
pub(crate) const RING: usize = PAGE;

// ---- the bell page -------------------------------------------------------------------------

/// u32 each: the bells of the accepting side's receiver and sender, and of the connecting side's.
pub(crate) const BELLS: usize = 0;
/// Room for the mailbox of calls that are handed over directly.
pub(crate) const MAILBOX: usize = 8 * APART;
/// Length of the bell page.
pub(crate) const BELL_PAGE: usize = PAGE;

/// The offset of a bell: of which side, and whether of its sender.
pub(crate) const fn bell(accepting: bool, sender: bool) -> usize {
    BELLS + (if accepting { 0 } else { 2 } + if sender { 1 } else { 0 }) * APART
}

// ---- records -------------------------------------------------------------------------------

/// Length of a record's header, and what positions are multiples of.
pub(crate) const UNIT: u64 = 8;

/// What stands before the bytes of a record, in one word.
///
/// Bits 0..32 the length in bytes; 32..40 flags; 40..48 how many handles came with it.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Header(pub(crate) u64);

impl Header {
    /// The message goes on in the next record.
    pub(crate) const MORE: u64 = 1 << 32;
    /// The record begins a message of several: its bytes are the length of the whole, a u64.
    pub(crate) const TOTAL: u64 = 1 << 33;
    /// The record's bytes say where in the sender's blocks the message lies.
    pub(crate) const LOAN: u64 = 1 << 34;
    /// The message in progress is given up: nothing of it was sent.
    pub(crate) const TORN: u64 = 1 << 35;
    const FLAGS: u64 = Self::MORE | Self::TOTAL | Self::LOAN | Self::TORN;
    const HANDLES: u32 = 40;
    const KNOWN: u64 = 0xffff_ffff | Self::FLAGS | 0xff << Self::HANDLES;

    pub(crate) const fn new(len: u32, flags: u64) -> Self {
        Self(len as u64 | flags)
    }

    pub(crate) const fn with_handles(self, count: u8) -> Self {
        Self(self.0 | (count as u64) << Self::HANDLES)
    }

    pub(crate) const fn len(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn handles(self) -> u8 {
        (self.0 >> Self::HANDLES & 0xff) as u8
    }

    /// Bytes of the ring that the record takes.
    pub(crate) const fn span(self) -> u64 {
        span(self.len())
    }

    /// Whether it has a meaning: bits that nobody sets are a sign of a peer that scribbles.
    pub(crate) const fn is_known(self) -> bool {
        self.0 & !Self::KNOWN == 0
    }

    /// A message of one record, in the ring and without handles: a length and nothing else.
    pub(crate) const fn is_plain(self) -> bool {
        self.0 <= 0xffff_ffff
    }
}

/// Bytes of a ring that a record with so many bytes takes.
pub(crate) const fn span(len: u64) -> u64 {
    UNIT + len.next_multiple_of(UNIT)
}
