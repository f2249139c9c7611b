//! Who asks a registry, as far as it matters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strait_wire::onc::rpcbind::{Netid, Uaddr};

use super::super::{Caller, Context};
use super::registry::Owner;
use super::service::REPLY_FACTOR_MAX;

/// What matters of a caller.
#[derive(Debug)]
pub(super) struct Asker {
    /// The transport that the request came by.
    pub(super) netid: Netid,
    /// As whom it may change something: nobody who is not on this machine.
    pub(super) owner: Option<Owner>,
    /// At which address it has reached the registry.
    pub(super) reached: Option<IpAddr>,
    /// How long the reply may be, with what leads it.
    pub(super) reply_max: usize,
}

impl Asker {
    pub(super) fn of(context: &Context, args: &[u8]) -> Self {
        let (netid, ip) = match context.caller {
            Caller::Local { uid, .. } => {
                return Self {
                    netid: Netid::Local,
                    owner: Some(Owner::User(uid)),
                    reached: None,
                    reply_max: usize::MAX,
                };
            }
            // Whoever has its other end: nobody who has registered anything.
            Caller::Pipe => {
                return Self {
                    netid: Netid::Local,
                    owner: None,
                    reached: None,
                    reply_max: usize::MAX,
                };
            }
            // A socket of both families says IPv4 in IPv6's words.
            Caller::Tcp(from) | Caller::Tls { address: from, .. }
                if from.ip().to_canonical().is_ipv4() =>
            {
                (Netid::Tcp, from.ip())
            }
            Caller::Udp(from) if from.ip().to_canonical().is_ipv4() => (Netid::Udp, from.ip()),
            Caller::Tcp(from) | Caller::Tls { address: from, .. } => (Netid::Tcp6, from.ip()),
            Caller::Udp(from) => (Netid::Udp6, from.ip()),
        };
        let reached = context.reached.map(|address| address.ip().to_canonical());
        // The kernel drops what comes from outside and says it came from there; before Linux 5.4
        // not where a packet of IPv6 says so of IPv4, which it then has reached by IPv6.
        let ip = ip.to_canonical();
        let is_here =
            ip.is_loopback() && reached.is_none_or(|reached| reached.is_ipv4() == ip.is_ipv4());
        let reply_max = match context.caller {
            // The header without a verifier's body: the least it can have been.
            Caller::Udp(_) if !is_here => {
                REPLY_FACTOR_MAX * (32 + context.credential.encoded_len() + args.len())
            }
            _ => usize::MAX,
        };
        Self {
            netid,
            owner: is_here.then_some(Owner::Unknown),
            reached,
            reply_max,
        }
    }

    pub(super) fn is_by_datagram(&self) -> bool {
        matches!(self.netid, Netid::Udp | Netid::Udp6)
    }

    /// The address for this caller: in place of "any", where it has reached the registry, or on the
    /// local socket the loopback.
    pub(super) fn sees(&self, address: &Uaddr) -> Uaddr {
        let loopback = match address {
            Uaddr::Inet(address) if address.is_ipv6() => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let reached = match self.netid {
            Netid::Local => Some(loopback),
            _ => self.reached,
        };
        match reached {
            Some(reached) => address.clone().seen_from(reached),
            None => address.clone(),
        }
    }
}
