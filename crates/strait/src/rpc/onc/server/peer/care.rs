//! Connections that are looked after: those that are idle, slow, or in others' way.
//!
//! One task looks at all of them, so that none needs timers of its own.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use crate::rpc::onc::server::event::Dropped;
use crate::rpc::onc::server::options::Limits;
use crate::rpc::onc::server::peer::Peer;
use crate::rpc::onc::server::shared::{Shared, millis};

/// Between two looks, at least and at most.
const PACE_MIN: Duration = Duration::from_millis(20);
const PACE_MAX: Duration = Duration::from_secs(1);
/// Who has sent nothing more of a call for so long, or taken nothing of a reply, makes way where
/// memory is short.
const STALL_MS: u64 = 1000;
/// So many that take no replies make way at one look.
const FLOOD_STEP: usize = 8;
/// Without a call for so long, a connection gives back the memory that it reads into.
const QUIET_MS: u64 = 1000;

pub(in crate::rpc::onc::server) async fn look_after(shared: Arc<Shared>) {
    let limits = shared.options.limits;
    let shortest = limits.idle.min(limits.record_time).min(limits.write_time);
    let pace = (shortest / 8).clamp(PACE_MIN, PACE_MAX);
    loop {
        if shared.connections() == 0 {
            shared.reap();
            shared.care.notified().await;
        }
        let is_short = shared.memory.is_short() || is_flooded(&shared);
        if is_short {
            // sleep: who was just told to make way does so first.
            tokio::time::sleep(PACE_MIN).await;
        } else {
            // sleep: until the next look, or until somebody waits for memory.
            let _ = tokio::time::timeout(pace, shared.care.notified()).await;
        }
        look(&shared, &limits);
        shared.reap();
    }
}

fn is_flooded(shared: &Shared) -> bool {
    shared.queued.load(SeqCst) >= shared.options.limits.replies_memory
}

fn look(shared: &Shared, limits: &Limits) {
    let now = shared.now();
    let peers = shared.peers();
    let is_short = shared.memory.is_short();
    for peer in &peers {
        if let Some(why) = overdue(peer, now, limits) {
            peer.doom(why);
        } else if peer.begun.get().is_none()
            && peer.memory.load(Relaxed) > 0
            && (is_short || is_quiet(peer, now))
        {
            peer.shrink();
        }
    }
    if is_short {
        dismiss(&peers, limits.records_memory / 8, now);
    }
    if is_flooded(shared) {
        for peer in stalled(&peers, |peer| peer.writing.age(now))
            .iter()
            .take(FLOOD_STEP)
        {
            peer.doom(Dropped::NotReading);
        }
    }
}

fn is_quiet(peer: &Peer, now: u64) -> bool {
    peer.used.age(now).is_some_and(|age| age >= QUIET_MS)
}

fn overdue(peer: &Peer, now: u64, limits: &Limits) -> Option<Dropped> {
    let beyond = |age: Option<u64>, max| age.is_some_and(|age| age >= millis(max));
    if beyond(peer.begun.age(now), limits.record_time) {
        return Some(Dropped::Unfinished);
    }
    if beyond(peer.writing.age(now), limits.write_time) {
        return Some(Dropped::NotReading);
    }
    let is_idle = !peer.is_busy() && peer.begun.get().is_none();
    (is_idle && beyond(peer.used.age(now), limits.idle)).then_some(Dropped::Idle)
}

/// Ends connections that hold memory for calls which do not go on, the most stalled first, until
/// that much comes back. Who waits for memory itself is not stalled by its own doing.
fn dismiss(peers: &[Arc<Peer>], bytes: usize, now: u64) {
    let held = |peer: &Peer| peer.progress.age(now).filter(|_| peer.is_held_up());
    let mut back = 0;
    for peer in stalled(peers, held) {
        if back >= bytes {
            break;
        }
        if peer.doom(Dropped::Greedy) {
            back += peer.memory.load(Relaxed);
        }
    }
}

/// Those that have stood still for too long by that age, the longest first.
fn stalled(peers: &[Arc<Peer>], age: impl Fn(&Peer) -> Option<u64>) -> Vec<&Arc<Peer>> {
    let aged = peers
        .iter()
        .filter_map(|peer| age(peer).map(|age| (age, peer)));
    let mut stalled: Vec<_> = aged.filter(|(age, _)| *age >= STALL_MS).collect();
    stalled.sort_by_key(|(age, _)| Reverse(*age));
    stalled.into_iter().map(|(_, peer)| peer).collect()
}
