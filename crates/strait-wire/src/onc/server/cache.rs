//! Calls that come twice: the same datagram, because its reply was late or lost.
//!
//! What was answered is answered again with the same bytes, and not done again; what is being done
//! is dropped, since its reply is on its way. A call is the same if address, XID, procedure, length
//! and checksum agree: a client that has started anew may use an XID again, for something else.
//!
//! Where there is no room the oldest answer goes of the address that has most of them: who calls
//! much makes way for itself and not for others. Who forges calls from many addresses does not:
//! against that there is no defence here.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use crate::onc::message::{Procedure, Xid};
use crate::time::Time;

/// Calls that are remembered unless [`Limits`] say otherwise.
pub const CACHE_ENTRIES_MAX: usize = 4096;
/// Bytes of replies that are remembered unless [`Limits`] say otherwise.
pub const CACHE_BYTES_MAX: usize = 8 << 20;
/// For so long a reply is remembered unless [`Limits`] say otherwise.
pub const CACHE_AGE: Duration = Duration::from_secs(120);

/// How much is remembered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Calls, those that are being done included.
    pub entries: usize,
    /// Bytes of replies, in all.
    pub bytes: usize,
    /// Since the reply was given.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: CACHE_ENTRIES_MAX,
            bytes: CACHE_BYTES_MAX,
            age: CACHE_AGE,
        }
    }
}

/// What makes two calls the same.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key<A, W = u16> {
    address: A,
    within: W,
    xid: Xid,
    procedure: Procedure,
    len: usize,
    checksum: u64,
}

impl<A, W> Key<A, W> {
    /// Of the call that `message` is, as it came from `address`. `within` tells apart those who
    /// call from there: by their port, or by a context that has proven who it is.
    #[must_use]
    pub fn new((address, within): (A, W), xid: Xid, procedure: Procedure, message: &[u8]) -> Self {
        Self {
            address,
            within,
            xid,
            procedure,
            len: message.len(),
            checksum: checksum(message),
        }
    }
}

/// Tells messages apart that differ by chance. It is no defence: who can forge a message from an
/// address can call in its name anyway.
#[must_use]
pub fn checksum(message: &[u8]) -> u64 {
    // An odd number whose bits look like noise: the golden ratio's.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (chunks, rest) = message.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = chunks.iter().chain([&last]);
    words.fold(message.len() as u64, |sum, word| {
        let mixed = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    })
}

/// What to do with a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict<'a> {
    /// Do it, and tell the cache how it ended.
    New,
    /// Drop it: it is being done.
    InProgress,
    /// Send this again.
    Done(&'a [u8]),
    /// Drop it: as many calls as allowed are being done, and the caller will ask again.
    Full,
}

/// Calls that have come, and what was answered. `A` is an address without its port, and `W` what
/// tells apart those who call from it.
#[derive(Debug)]
pub struct Duplicates<A, W = u16> {
    limits: Limits,
    calls: BTreeMap<Key<A, W>, State>,
    /// Calls that were answered, with the moment, numbered in that order.
    answered: BTreeMap<u64, (Time, Key<A, W>)>,
    next: u64,
    shares: BTreeMap<A, Share>,
    /// Addresses by how many of the answers are theirs, and by how long those are.
    by_count: BTreeSet<Rank<A>>,
    by_bytes: BTreeSet<Rank<A>>,
    /// Bytes of all replies.
    bytes: usize,
}

#[derive(Debug)]
enum State {
    InProgress,
    Done(Vec<u8>),
}

/// The answers to one address.
#[derive(Debug, Default)]
struct Share {
    /// Their numbers, oldest first.
    numbers: VecDeque<u64>,
    /// Their bytes.
    bytes: usize,
}

/// Of those with as much, whose oldest answer is the oldest comes last.
type Rank<A> = (usize, Reverse<u64>, A);

impl Share {
    fn ranks<A: Copy>(&self, address: A) -> Option<[Rank<A>; 2]> {
        let oldest = Reverse(*self.numbers.front()?);
        Some([self.numbers.len(), self.bytes].map(|size| (size, oldest, address)))
    }
}

impl<A: Copy + Ord, W: Copy + Ord> Duplicates<A, W> {
    /// Remembers nothing yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            calls: BTreeMap::new(),
            answered: BTreeMap::new(),
            next: 0,
            shares: BTreeMap::new(),
            by_count: BTreeSet::new(),
            by_bytes: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// A call has come. If it is [`Verdict::New`], [`finish`](Self::finish) or
    /// [`forget`](Self::forget) is to follow.
    pub fn begin(&mut self, now: Time, key: Key<A, W>) -> Verdict<'_> {
        self.handle_timeout(now);
        if !self.calls.contains_key(&key) {
            // Only what was answered makes room: what is being done must not be done twice.
            while self.calls.len() >= self.limits.entries {
                match oldest_of_last(&self.by_count) {
                    Some(number) => self.drop_answer(number),
                    None => return Verdict::Full,
                }
            }
            self.calls.insert(key, State::InProgress);
            return Verdict::New;
        }
        match self.calls.get(&key) {
            Some(State::Done(reply)) => Verdict::Done(reply),
            _ => Verdict::InProgress,
        }
    }

    /// The call has been done, and this is its reply. One longer than [`Limits::bytes`] cannot be
    /// remembered.
    pub fn finish(&mut self, now: Time, key: Key<A, W>, reply: &[u8]) {
        if !matches!(self.calls.get(&key), Some(State::InProgress)) {
            return;
        }
        if reply.len() > self.limits.bytes {
            self.calls.remove(&key);
            return;
        }
        while self.bytes + reply.len() > self.limits.bytes
            && let Some(number) = oldest_of_last(&self.by_bytes)
        {
            self.drop_answer(number);
        }
        let number = self.next;
        self.next += 1;
        self.bytes += reply.len();
        self.calls.insert(key, State::Done(reply.to_vec()));
        self.answered.insert(number, (now, key));
        self.change(key.address, |share| {
            share.numbers.push_back(number);
            share.bytes += reply.len();
        });
    }

    /// The call was not done after all: it may come again.
    pub fn forget(&mut self, key: &Key<A, W>) {
        if matches!(self.calls.get(key), Some(State::InProgress)) {
            self.calls.remove(key);
        }
    }

    /// When the oldest reply is to be forgotten; `None`: there is none.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let (_, (answered, _)) = self.answered.first_key_value()?;
        Some(answered.after(self.limits.age))
    }

    /// Forgets what is too old.
    pub fn handle_timeout(&mut self, now: Time) {
        while self.poll_timeout().is_some_and(|due| due <= now)
            && let Some((number, _)) = self.answered.first_key_value()
        {
            self.drop_answer(*number);
        }
    }

    /// Calls that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Bytes of replies that are remembered.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the answer of that number, the oldest to its address.
    fn drop_answer(&mut self, number: u64) {
        let Some((_, key)) = self.answered.remove(&number) else {
            return;
        };
        let Some(State::Done(reply)) = self.calls.remove(&key) else {
            return;
        };
        self.bytes -= reply.len();
        self.change(key.address, |share| {
            share.numbers.pop_front();
            share.bytes -= reply.len();
        });
    }

    /// Changes what is known of an address, and where that stands among the others.
    fn change(&mut self, address: A, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(address).or_default();
        if let Some([count, bytes]) = share.ranks(address) {
            self.by_count.remove(&count);
            self.by_bytes.remove(&bytes);
        }
        change(share);
        match share.ranks(address) {
            Some([count, bytes]) => {
                self.by_count.insert(count);
                self.by_bytes.insert(bytes);
            }
            None => drop(self.shares.remove(&address)),
        }
    }
}

fn oldest_of_last<A: Ord>(ranks: &BTreeSet<Rank<A>>) -> Option<u64> {
    let (_, Reverse(oldest), _) = ranks.last()?;
    Some(*oldest)
}
