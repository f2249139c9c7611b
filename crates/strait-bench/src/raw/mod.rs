//! The kernel's mechanisms, called as directly as can be: what everything else is compared with.
//!
//! A reference line does the least that is right: it always wakes, never spins (but for those that
//! only spin), and batches nothing. Adding one is a file here and its line in [`TABLE`].

mod kernel;
mod memory;
mod stream;

pub use kernel::SIGNAL;
pub(crate) use kernel::mqueue_names;

use strait_sys::cell::Word;
use strait_sys::map::Map;

use crate::Side;
use crate::mechanism::{Entry, entry};

/// The reference lines.
pub const TABLE: &[Entry] = &[
    entry::<memory::Spin>(),
    entry::<memory::Two>(),
    entry::<memory::Futex>(),
    entry::<memory::Waitv>(),
    entry::<stream::Eventfd>(),
    entry::<stream::Epoll>(),
    entry::<stream::Pipe>(),
    entry::<stream::Fifo>(),
    entry::<stream::UnixStream>(),
    entry::<stream::UnixSeqpacket>(),
    entry::<stream::UnixDgram>(),
    entry::<stream::Session>(),
    entry::<stream::Tcp>(),
    entry::<stream::Udp>(),
    entry::<kernel::Msg>(),
    entry::<kernel::Sem>(),
    entry::<kernel::Shm>(),
    entry::<kernel::Mqueue>(),
    entry::<kernel::Signals>(),
    entry::<memory::Ring>(),
    entry::<memory::RingOf32>(),
    entry::<memory::Memcpy>(),
    entry::<kernel::Syscall>(),
];

/// Apart enough that neighbouring lines fetched in pairs do not meet.
const APART: usize = 128;
/// One page holds the words of any line here.
pub(crate) const PAGE: usize = 4096;

/// The word at `offset`, a constant inside a map made for it.
#[inline]
pub(crate) fn word(map: &Map, offset: usize) -> Word<'_, u64> {
    map.word(offset)
        .expect("the map was made to hold this offset")
}

/// Offsets of the word this side writes and of the one it waits on.
pub(crate) fn offsets(side: Side) -> (usize, usize) {
    match side {
        Side::Near => (0, APART),
        Side::Far => (APART, 0),
    }
}

/// What the low half of a word holds.
#[inline]
fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A message that is a bare number.
#[inline]
pub(crate) fn number(message: &[u8]) -> u64 {
    message
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Writes a bare number as a message and returns its length.
#[inline]
pub(crate) fn put_number(buffer: &mut [u8], number: u64) -> usize {
    let bytes = number.to_le_bytes();
    let len = bytes.len().min(buffer.len());
    buffer[..len].copy_from_slice(&bytes[..len]);
    len
}
