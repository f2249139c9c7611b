//! What is registered, by whom, and who may change it: no sockets, no clock.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use strait_wire::onc::rpcbind::{Netid, PROGRAM, Uaddr};
use strait_wire::time::Time;

/// Who has registered something, as far as the transport vouches for it.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Owner {
    /// The registry itself: nobody unsets that.
    Registry,
    /// A user, by the kernel's credentials of the local socket. 0 may unset what others have set.
    User(u32),
    /// Somebody on this machine, who came over its loopback address.
    Unknown,
}

/// As rpcinfo shows it.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry | Self::User(0) => f.write_str("superuser"),
            Self::User(uid) => uid.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// How much a registry holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Registrations in all; 4,096.
    pub registrations_max: usize,
    /// Registrations of one owner, unless it is user 0; 256.
    pub per_owner_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            registrations_max: 4096,
            per_owner_max: 256,
        }
    }
}

/// One registration.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The transport.
    pub netid: Netid,
    /// Where it listens, as it was registered: "any" stays "any".
    pub address: Uaddr,
    /// Who has registered it.
    pub owner: Owner,
}

/// Why a registration is refused: SET then answers FALSE.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rejected {
    /// The program is the registry's own.
    Reserved,
    /// Port 0, or a multicast or broadcast address: nobody listens there.
    Address,
    /// Program, version and transport are registered with another address or owner.
    Taken,
    /// See [`Limits`].
    Full,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "the program is the registry's own",
            Self::Address => "nobody can listen at that address",
            Self::Taken => "it is registered with another address, or by another owner",
            Self::Full => "the registry is full",
        })
    }
}

impl std::error::Error for Rejected {}

/// Which version will do.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Match {
    /// That very one.
    Exact,
    /// Else the nearest that is registered, and of two the higher: GETPORT and GETADDR ignore a
    /// wrong version, so that the program itself can say which it has.
    Nearest,
}

/// After that time, what nobody was ever seen to listen on counts as dead. A server may register
/// first and listen then.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// Between two looks at who listens, as long as nothing hangs on it.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

type Key = (u32, u32, Netid);

#[derive(Debug)]
struct Value {
    address: Uaddr,
    owner: Owner,
    since: Time,
    /// Somebody was seen to listen there.
    seen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: BTreeMap<Key, Value>,
    limits: Limits,
    looked: Option<Time>,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Registers; what is there already with that address and owner is well.
    pub(super) fn set(&mut self, now: Time, entry: Entry) -> Result<(), Rejected> {
        let is_own = entry.owner == Owner::Registry;
        if entry.program == PROGRAM && !is_own {
            return Err(Rejected::Reserved);
        }
        if !is_reachable(&entry.address) {
            return Err(Rejected::Address);
        }
        let key = (entry.program, entry.version, entry.netid);
        match self.entries.get(&key) {
            Some(held) if held.address != entry.address || held.owner != entry.owner => {
                return Err(Rejected::Taken);
            }
            Some(_) => {}
            None if !is_own && !self.has_room(entry.owner) => return Err(Rejected::Full),
            None => {}
        }
        let value = Value {
            address: entry.address,
            owner: entry.owner,
            since: now,
            seen: false,
        };
        self.entries.insert(key, value);
        Ok(())
    }

    fn has_room(&self, owner: Owner) -> bool {
        let of_owner = || self.entries.values().filter(|value| value.owner == owner);
        self.entries.len() < self.limits.registrations_max
            && (owner == Owner::User(0) || of_owner().count() < self.limits.per_owner_max)
    }

    /// Forgets what `owner` may, on that transport or on all; `false`: there was nothing.
    pub(super) fn unset(&mut self, of: (u32, u32), netid: Option<Netid>, owner: Owner) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&(program, version, on), held| {
            let is_meant = (program, version) == of && netid.is_none_or(|netid| netid == on);
            let may = held.owner == owner || owner == Owner::User(0);
            !(is_meant && may && held.owner != Owner::Registry)
        });
        self.entries.len() < before
    }

    /// Where a program listens on a transport.
    pub(super) fn find(&self, of: (u32, u32), netid: Netid, which: Match) -> Option<&Uaddr> {
        let (program, version) = of;
        if which == Match::Exact {
            return Some(&self.entries.get(&(program, version, netid))?.address);
        }
        let all = self
            .entries
            .range((program, 0, Netid::Udp)..=(program, u32::MAX, Netid::Local));
        let there = all.filter(|((_, _, on), _)| *on == netid);
        let nearest =
            there.min_by_key(|((_, there, _), _)| (there.abs_diff(version), Reverse(*there)));
        nearest.map(|(_, value)| &value.address)
    }

    /// What is registered, by program, version and transport.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.entries
            .iter()
            .map(|(&(program, version, netid), value)| Entry {
                program,
                version,
                netid,
                address: value.address.clone(),
                owner: value.owner,
            })
    }

    /// Whether it is time to ask who of the registered still listens; then it is no more for
    /// [`LOOK_EVERY`].
    pub(super) fn is_look_due(&mut self, now: Time) -> bool {
        let is_recent = |then| now.since(then) < LOOK_EVERY;
        let is_due = self.has_others() && !self.looked.is_some_and(is_recent);
        if is_due {
            self.looked = Some(now);
        }
        is_due
    }

    fn has_others(&self) -> bool {
        let mut owners = self.entries.values().map(|value| value.owner);
        owners.any(|owner| owner != Owner::Registry)
    }

    /// Forgets those of whom `listens` says no, if they did once or have had their time for it. It
    /// says `None` where that cannot be known, and speaks of the moment `then`.
    pub(super) fn look(&mut self, then: Time, listens: impl Fn(Netid, &Uaddr) -> Option<bool>) {
        self.entries.retain(|&(_, _, netid), held| {
            if held.owner == Owner::Registry {
                return true;
            }
            match listens(netid, &held.address) {
                None => true,
                Some(true) => {
                    held.seen = true;
                    true
                }
                // Registered anew since: it is another's, who was not looked for yet.
                Some(false) if held.since >= then => true,
                Some(false) => !held.seen && then.since(held.since) < GRACE,
            }
        });
    }
}

fn is_reachable(address: &Uaddr) -> bool {
    match address {
        Uaddr::Local(_) => true,
        Uaddr::Inet(address) => {
            let ip = address.ip();
            let is_broadcast = matches!(address, SocketAddr::V4(v4) if v4.ip().is_broadcast());
            address.port() != 0 && !ip.is_multicast() && !is_broadcast
        }
    }
}
