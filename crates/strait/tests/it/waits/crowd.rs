//! Eight processes that compete for shared semaphores, and one that only looks.
//!
//! - `chain.*`, one unit each: taken by `all` of the four, given back from the last to the first.
//!   Who looks must never see a later one taken and an earlier one free.
//! - `never.*`, one unit each, and `none` without any: `all` of them can never be had, so whoever
//!   tries for one of them alone must get it. That is what the model calls a partial acquisition.
//! - `pool.*`, three units each: everything by everybody. At the end all units are back.

use std::time::Duration;

use strait::nt::Semaphore;
use strait::wait;
use strait::{Namespace, Rights};

use crate::death::watch::{Ledger, STUCK, hear_within, setting};
use crate::peer::{Peer, say};
use crate::world::Random;

use super::refs;

const GROUP: usize = 4;
/// Operations on the chain that have been completed.
const CHANGES: usize = 0;
/// Members that have finished.
const FINISHED: usize = 1;
/// One of the chain's workers has had everything.
const TAKEN: usize = 2;

fn group(space: &Namespace, name: &str, units: u32) -> [Semaphore; GROUP] {
    std::array::from_fn(|index| {
        let options = space.semaphore(format!("{name}.{index}"), units, units);
        options.create_or_open().unwrap().0
    })
}

/// One of the eight: `args[1]` says which, `args[2]` how often, `args[3]` is its seed.
pub(crate) fn member(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let ledger = Ledger::of(space.path());
    let rounds: u64 = args[2].parse().unwrap();
    let mut dice = Random::of_seed(args[3].parse().unwrap());
    match &*args[1] {
        "chain" => chain(&space, &ledger, rounds),
        "never" => never(&space, &ledger),
        "rival" => rival(&space, &ledger),
        _ => pool(&space, rounds, &mut dice),
    }
    ledger.add(FINISHED, 1);
    say("done");
}

fn chain(space: &Namespace, ledger: &Ledger, rounds: u64) {
    let chain = group(space, "chain", 1);
    for _ in 0..rounds {
        wait::all_for(&refs(&chain), STUCK)
            .unwrap()
            .expect("units are given back");
        ledger.add(CHANGES, 1);
        ledger.add(TAKEN, 1);
        for one in chain.iter().rev() {
            assert_eq!(one.release(1).unwrap(), 0, "its unit was ours");
            ledger.add(CHANGES, 1);
        }
    }
}

/// The chain and the pool are worked by five.
const WORKERS: u64 = 5;

fn never(space: &Namespace, ledger: &Ledger) {
    let never = group(space, "never", 1);
    let none = space.semaphore("none", 0, 1).open().unwrap();
    let mut wanted = refs(&never);
    wanted.push(&none);
    while ledger.get(FINISHED) < WORKERS {
        let won = wait::all_for(&wanted, Duration::from_micros(100)).unwrap();
        assert!(won.is_none(), "`none` has no unit");
    }
}

fn rival(space: &Namespace, ledger: &Ledger) {
    let never = group(space, "never", 1);
    let mut tries = 0_u64;
    // At least once: the others may be done before this one has begun.
    loop {
        // The last one is for the observer alone.
        for one in &never[..GROUP - 1] {
            let got = one.wait_for(Duration::ZERO).unwrap();
            assert!(
                got,
                "partial: refused though no `all` has it, after {tries} tries"
            );
            one.release(1).unwrap();
            tries += 1;
        }
        if ledger.get(FINISHED) >= WORKERS {
            break;
        }
    }
}

fn pool(space: &Namespace, rounds: u64, dice: &mut Random) {
    let pool = group(space, "pool", 3);
    let wanted = refs(&pool);
    for _ in 0..rounds {
        let taken: &[Semaphore] = match dice.below(4) {
            0 => {
                wait::all_for(&wanted, STUCK)
                    .unwrap()
                    .expect("units are given back");
                &pool
            }
            1 => {
                wait::all_for(&wanted[1..3], STUCK)
                    .unwrap()
                    .expect("units are given back");
                &pool[1..3]
            }
            2 => {
                let won = wait::any_for(&wanted, STUCK).unwrap().expect("units");
                &pool[won.index..=won.index]
            }
            _ => {
                let got = wait::all_for(&wanted, Duration::from_micros(20)).unwrap();
                if got.is_some() { &pool } else { &[] }
            }
        };
        if dice.below(8) == 0 {
            std::thread::yield_now();
        }
        for one in taken {
            one.release(1).unwrap();
        }
    }
}

/// What those see who may only look.
struct Observer {
    chain: Vec<Semaphore>,
    untouched: Semaphore,
    looks: u64,
    consistent: u64,
}

impl Observer {
    fn new(space: &Namespace) -> Self {
        let open = |name: String| {
            let options = space.semaphore(name, 0, 1).rights(Rights::LOOK);
            options.open().unwrap()
        };
        Self {
            chain: (0..GROUP)
                .map(|index| open(format!("chain.{index}")))
                .collect(),
            untouched: open(format!("never.{}", GROUP - 1)),
            looks: 0,
            consistent: 0,
        }
    }

    /// Two looks with the same result, between which no operation was completed, are one look: what
    /// was taken in between and given back again would have been completed.
    fn look(&mut self, ledger: &Ledger) {
        self.looks += 1;
        let count = self.untouched.query().unwrap().count;
        assert_eq!(count, 1, "partial: it looks taken though no `all` has it");
        let changes = ledger.get(CHANGES);
        let first = self.counts();
        if first == self.counts() && changes == ledger.get(CHANGES) {
            self.consistent += 1;
            assert!(first.is_sorted(), "partial: {first:?}");
        }
    }

    fn counts(&self) -> Vec<u32> {
        let counts = self.chain.iter().map(|one| one.query().unwrap().count);
        counts.collect()
    }
}

pub(crate) fn competing_waits_take_all_or_nothing() {
    let rounds = setting("STRAIT_CROWD_ROUNDS", 3_000).to_string();
    let space = Namespace::temporary().unwrap();
    let ledger = Ledger::of(space.path());
    let groups = [("chain", 1), ("never", 1), ("pool", 3)].map(|(name, units)| {
        let group = group(&space, name, units);
        (group, units)
    });
    let none = space.semaphore("none", 0, 1).create().unwrap();
    let path = space.path().to_str().unwrap();
    let parts = [
        "chain", "chain", "never", "never", "rival", "pool", "pool", "pool",
    ];
    let mut peers: Vec<Peer> = (1..)
        .zip(parts)
        .map(|(seed, part)| Peer::start("waits.crowd", &[path, part, &rounds, &seed.to_string()]))
        .collect();
    let mut observer = Observer::new(&space);
    let guard = std::time::Instant::now();
    while ledger.get(FINISHED) < parts.len() as u64 {
        observer.look(&ledger);
        let ended = peers.iter_mut().any(|peer| {
            let status = peer.child.try_wait().unwrap();
            status.is_some_and(|status| !status.success())
        });
        assert!(!ended, "a member has failed: see above");
        assert!(
            guard.elapsed() < 6 * STUCK,
            "stuck: {} finished",
            ledger.get(FINISHED)
        );
    }
    for peer in &mut peers {
        assert_eq!(hear_within(peer, STUCK).as_deref(), Some("done"));
    }
    assert!(ledger.get(TAKEN) > 0 && observer.consistent > 0);
    for (group, units) in &groups {
        for one in group {
            assert_eq!(one.query().unwrap().count, *units, "units are conserved");
        }
    }
    assert_eq!(none.query().unwrap().count, 0);
}
