//! Shorter credentials that a server hands out: AUTH_SHORT, RFC 5531 section 8.2 and appendix A.
//!
//! A caller who has said at length who he is gets a number for it, and may say that number from
//! then on. What it stands for is in this table, which forgets: the caller of a forgotten number
//! hears [`AuthStat::REJECTED_CREDENTIAL`](crate::onc::message::AuthStat::REJECTED_CREDENTIAL) and
//! says it at length again. A number counts only where it was handed out: for the same owner, a
//! connection say.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Time;

/// Bytes of what is handed out.
pub const SHORT_LEN: usize = 16;
/// Credentials that are remembered unless [`ShortLimits`] say otherwise.
pub const SHORT_ENTRIES_MAX: usize = 4096;
/// Bytes of credentials that are remembered unless [`ShortLimits`] say otherwise.
pub const SHORT_BYTES_MAX: usize = 1 << 20;
/// For so long a credential is remembered unless [`ShortLimits`] say otherwise.
pub const SHORT_AGE: Duration = Duration::from_secs(3600);
/// Credentials of one owner that are remembered: of a further one the oldest makes way.
pub const SHORT_OF_ONE_MAX: usize = 16;

/// How much is remembered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ShortLimits {
    /// Credentials, of all owners.
    pub entries: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Since it was handed out.
    pub age: Duration,
}

impl Default for ShortLimits {
    fn default() -> Self {
        Self {
            entries: SHORT_ENTRIES_MAX,
            bytes: SHORT_BYTES_MAX,
            age: SHORT_AGE,
        }
    }
}

/// What was handed out, and what it stands for. `A` is whose it is.
#[derive(Debug)]
pub struct Shorts<A> {
    limits: ShortLimits,
    /// In front of each number, so that those of another server are not taken for this one's.
    secret: [u8; 8],
    next: u64,
    entries: BTreeMap<(A, u64), Entry>,
    /// By age: numbers grow.
    order: BTreeMap<u64, A>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    credential: Vec<u8>,
    since: Time,
}

impl<A: Copy + Ord> Shorts<A> {
    /// Has handed out nothing yet. `secret` is to be random.
    #[must_use]
    pub const fn new(limits: ShortLimits, secret: [u8; 8]) -> Self {
        Self {
            limits,
            secret,
            next: 0,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// What `owner` may say in place of this credential, the same for the same one. `None`: the
    /// limits let nothing be remembered of this length.
    pub fn hand_out(&mut self, now: Time, owner: A, credential: &[u8]) -> Option<[u8; SHORT_LEN]> {
        self.forget_old(now);
        let mut its = self.entries.range((owner, 0)..=(owner, u64::MAX));
        let mut oldest = None;
        let mut count = 0;
        if let Some(((_, number), _)) = its.find(|((_, number), entry)| {
            oldest.get_or_insert(*number);
            count += 1;
            entry.credential == credential
        }) {
            return Some(self.body(*number));
        }
        let ShortLimits { entries, bytes, .. } = self.limits;
        if entries == 0 || credential.len() > bytes {
            return None;
        }
        if count >= SHORT_OF_ONE_MAX
            && let Some(oldest) = oldest
        {
            self.remove(oldest);
        }
        while self.order.len() >= entries || self.bytes + credential.len() > bytes {
            let (oldest, _) = self.order.first_key_value()?;
            self.remove(*oldest);
        }
        let number = self.next;
        self.next += 1;
        self.bytes += credential.len();
        self.order.insert(number, owner);
        let entry = Entry {
            credential: credential.to_vec(),
            since: now,
        };
        self.entries.insert((owner, number), entry);
        Some(self.body(number))
    }

    /// The credential that `short` stands for; `None` if it was not handed out to `owner`, or is
    /// forgotten.
    pub fn find(&mut self, now: Time, owner: A, short: &[u8]) -> Option<&[u8]> {
        self.forget_old(now);
        let number = short.strip_prefix(&self.secret)?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let entry = self.entries.get(&(owner, number))?;
        Some(&entry.credential)
    }

    /// Forgets all that was handed out to `owner`, who has gone.
    pub fn forget(&mut self, owner: A) {
        while let Some((&(_, number), _)) =
            self.entries.range((owner, 0)..=(owner, u64::MAX)).next()
        {
            self.remove(number);
        }
    }

    /// Credentials that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bytes of those.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn body(&self, number: u64) -> [u8; SHORT_LEN] {
        let mut body = [0; SHORT_LEN];
        body[..8].copy_from_slice(&self.secret);
        body[8..].copy_from_slice(&number.to_be_bytes());
        body
    }

    fn forget_old(&mut self, now: Time) {
        while let Some((&number, &owner)) = self.order.first_key_value() {
            let entry = self.entries.get(&(owner, number));
            if entry.is_some_and(|entry| now < entry.since.after(self.limits.age)) {
                return;
            }
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let owner = self.order.remove(&number);
        let entry = owner.and_then(|owner| self.entries.remove(&(owner, number)));
        self.bytes -= entry.map_or(0, |entry| entry.credential.len());
    }
}
