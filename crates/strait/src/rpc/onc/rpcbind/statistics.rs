//! What GETSTAT tells: RFC 1833 section 2.1, `rpcb_stat`.

use std::collections::BTreeMap;

use strait_wire::onc::message::Procedure;
use strait_wire::onc::rpcbind::{
    AddressInfo, Netid, RemoteCallInfo, STAT_PROCEDURES, Statistics, v3,
};

/// Programs whose addresses were asked for, of which is told; others are not counted: strangers
/// choose the numbers. As many of remote calls.
pub(super) const COUNTED_MAX: usize = 256;

/// What one version was asked. Procedure 0 is answered before it gets here, and not counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    calls: [i32; STAT_PROCEDURES],
    set: i32,
    unset: i32,
    addresses: BTreeMap<(u32, u32, Netid), [i32; 2]>,
    remote: BTreeMap<(Procedure, Netid), [i32; 3]>,
}

impl Counts {
    pub(super) fn call(&mut self, procedure: u32) {
        let at = usize::try_from(procedure).unwrap_or(usize::MAX);
        self.calls.get_mut(at).into_iter().for_each(up);
    }

    pub(super) fn set(&mut self) {
        up(&mut self.set);
    }

    pub(super) fn unset(&mut self) {
        up(&mut self.unset);
    }

    pub(super) fn address(&mut self, of: (u32, u32), netid: Netid, found: bool) {
        let counts = counted(&mut self.addresses, (of.0, of.1, netid));
        counts
            .into_iter()
            .for_each(|each| up(&mut each[usize::from(!found)]));
    }

    /// A remote call, and whether it was done.
    pub(super) fn remote(&mut self, of: Procedure, netid: Netid, (by, done): (u32, bool)) {
        let counts = counted(&mut self.remote, (of, netid));
        if let Some([success, failure, indirect]) = counts {
            up(if done { success } else { failure });
            if by != v3::CALLIT {
                up(indirect);
            }
        }
    }

    pub(super) fn tell(&self) -> Statistics<'static> {
        let addresses = self.addresses.iter();
        let addresses = addresses.map(|(&(program, version, netid), &[success, failure])| {
            let netid = netid.name().into();
            AddressInfo {
                program,
                version,
                success,
                failure,
                netid,
            }
        });
        let remote = self.remote.iter();
        let remote = remote.map(
            |(&(of, netid), &[success, failure, indirect])| RemoteCallInfo {
                program: of.program,
                version: of.version,
                procedure: of.number,
                success,
                failure,
                indirect,
                netid: netid.name().into(),
            },
        );
        Statistics {
            calls: self.calls,
            set: self.set,
            unset: self.unset,
            addresses: addresses.collect(),
            remote_calls: remote.collect(),
        }
    }
}

/// The numbers of the protocol have 31 bits; they stay at the end.
fn up(count: &mut i32) {
    *count = count.saturating_add(1);
}

fn counted<K: Ord, const N: usize>(all: &mut BTreeMap<K, [i32; N]>, key: K) -> Option<&mut [i32; N]>
where
    [i32; N]: Default,
{
    if all.len() >= COUNTED_MAX && !all.contains_key(&key) {
        return None;
    }
    Some(all.entry(key).or_default())
}
