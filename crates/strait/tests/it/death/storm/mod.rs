//! Storms: processes that do everything with shared objects and are killed at random, and a ledger
//! that says what may be missing afterwards.
//!
//! Rounds: all run, one or two are killed, the others must each get on; then all stand still with
//! nothing in their hands, and every object is looked at. A unit may be missing only if one of the
//! dead had it; a mutant is reported abandoned once for each owner that died; no name is left; an
//! event is not set beside its sleepers.

mod account;
mod worker;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use strait::Namespace;

use crate::death::table::percentiles;
use crate::death::watch::{Patience, STUCK, hear_within, let_sleep, pid_of, setting};
use crate::death::world::LIMIT;
use crate::peer::{Peer, Role, command};
use crate::world::{Random, alone};

use self::account::{Dead, Phase};
use self::worker::{PAUSE, Shop, WORKERS, journal, paused, progress};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("storm.worker", worker::worker),
    ("storm.sleeper", worker::sleeper),
];

/// Kills in one namespace: each may retire a seat for good, and there are 4,095.
const KILLS_PER_SHOP: u64 = 2_000;

/// Between two looks at whether a worker is stuck, and at whether one rests.
const GLANCE: Duration = Duration::from_millis(50);
const REST: Duration = Duration::from_millis(1);

struct Storm {
    shop: Shop,
    sabotage: Option<String>,
    workers: Vec<Option<Peer>>,
    /// They wait for an event, and are not killed.
    sleepers: Vec<(Peer, i32)>,
    spare: Vec<Peer>,
    random: Random,
    round: u64,
}

/// What a storm found.
#[derive(Debug, Default)]
struct Report {
    kills: u64,
    rounds: u64,
    operations: u64,
    /// Killed with units in their hands, or a mutant, or while they took or gave one.
    holding: u64,
    violations: Vec<String>,
    recovery: Vec<Duration>,
    /// The same, where one of the dead owned a mutant.
    recovery_of_mutants: Vec<Duration>,
}

impl Storm {
    fn new(sabotage: Option<&str>, seed: u64) -> Self {
        let space = Namespace::temporary().unwrap();
        let mut storm = Self {
            shop: Shop::of(space),
            sabotage: sabotage.map(str::to_owned),
            workers: (0..WORKERS).map(|_| None).collect(),
            sleepers: Vec::new(),
            spare: Vec::new(),
            random: Random::of_seed(seed),
            round: 0,
        };
        for _ in 0..2 {
            let mut sleeper = storm.start("storm.sleeper");
            let tid = hear_within(&mut sleeper, STUCK).expect("the sleeper's thread");
            storm.sleepers.push((sleeper, tid.parse().unwrap()));
        }
        storm
    }

    fn start(&mut self, role: &str) -> Peer {
        let seed = self.random.next().to_string();
        let path = self.shop.space.path().to_str().unwrap();
        let mut command = command(role, &[path, &seed]);
        if let Some(branch) = &self.sabotage {
            // What then goes wrong is the storm's to say.
            command.env("STRAIT_SABOTAGE", branch).stderr(Stdio::null());
        }
        if self.sabotage.is_some() || self.random.below(2) == 0 {
            command.env("STRAIT_LINGER", "1");
        }
        Peer::of(&mut command)
    }

    /// Fills the places of the dead, and starts others for the next time meanwhile.
    fn hire(&mut self) -> Result<(), String> {
        for index in 0..WORKERS {
            if self.workers[index].is_some() {
                continue;
            }
            let mut worker = match self.spare.pop() {
                Some(spare) => spare,
                None => self.start("storm.worker"),
            };
            if hear_within(&mut worker, STUCK).as_deref() != Some("ready") {
                return Err("a newcomer cannot begin".into());
            }
            self.shop.ledger.put(journal(index), Phase::Idle.encode());
            worker.tell(&index.to_string());
            self.workers[index] = Some(worker);
        }
        while self.spare.len() < 2 {
            let spare = self.start("storm.worker");
            self.spare.push(spare);
        }
        Ok(())
    }

    /// One round: what is wrong, if anything is.
    fn round(&mut self, report: &mut Report) -> Result<(), String> {
        self.hire()?;
        self.round += 1;
        report.rounds += 1;
        let reports = self.shop.reports();
        self.shop.ledger.add(PAUSE, 1);
        let mut dead = Vec::new();
        for _ in 0..=self.random.below(2) {
            let delay = self.random.below(2_000) as u64;
            // sleep: a random moment is what is wanted
            std::thread::sleep(Duration::from_micros(delay));
            dead.extend(self.kill_one());
            report.kills += 1;
        }
        let took = self.all_get_on()?;
        report.holding += dead.iter().map(|one| u64::from(one.holds())).sum::<u64>();
        if dead.iter().any(Dead::owns) {
            report.recovery_of_mutants.push(took);
        } else {
            report.recovery.push(took);
        }
        self.stand_still()?;
        let lost = self.shop.reconcile(&dead, reports)?;
        self.shop.repair(&lost)?;
        self.look_at_events()?;
        self.shop.look_at_names()
    }

    fn kill_one(&mut self) -> Option<Dead> {
        let index = self.random.below(WORKERS);
        let mut worker = self.workers[index].take()?;
        kill_process(pid_of(&worker), Signal::KILL).unwrap();
        worker.child.wait().unwrap();
        Some(Dead::of(&self.shop.ledger, index))
    }

    /// Every survivor completes an operation that it began after the last death.
    fn all_get_on(&mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        let ledger = &self.shop.ledger;
        let living = || self.living();
        // Two steps: the first may end an operation that was under way.
        let before: Vec<_> = living()
            .map(|(index, patience)| (index, ledger.get(progress(index)), patience))
            .collect();
        for (index, before, mut patience) in before {
            while ledger.get(progress(index)) < before + 2 {
                let found = ledger.get(progress(index));
                let next = ledger.await_change(progress(index), found, GLANCE);
                if next.is_none() && patience.is_over() {
                    let doing = Dead::of(ledger, index);
                    return Err(format!("worker {index} is stuck: {doing:?}"));
                }
            }
        }
        Ok(begin.elapsed())
    }

    /// The workers that there are, each to be waited for from now on.
    fn living(&self) -> impl Iterator<Item = (usize, Patience)> {
        let places = self.workers.iter().enumerate();
        places.filter_map(|(index, worker)| {
            let pid = pid_of(worker.as_ref()?);
            Some((index, Patience::with(pid, LIMIT)))
        })
    }

    /// All workers put down what they have and wait.
    fn stand_still(&mut self) -> Result<(), String> {
        let pause = self.shop.ledger.add(PAUSE, 1) + 1;
        let ledger = &self.shop.ledger;
        for (index, mut patience) in self.living().collect::<Vec<_>>() {
            loop {
                let found = ledger.get(paused(index));
                if found == pause {
                    break;
                }
                // Written, not added to: nobody announces it.
                let next = ledger.await_change(paused(index), found, REST);
                if next.is_none() && patience.is_over() {
                    let doing = Dead::of(ledger, index);
                    return Err(format!("worker {index} does not come to rest: {doing:?}"));
                }
            }
        }
        match self.shop.complaint() {
            Some(complaint) => Err(complaint),
            None => Ok(()),
        }
    }

    fn look_at_events(&mut self) -> Result<(), String> {
        self.shop.event_is_taken()?;
        // Two that sleep, two sets: both come back, whichever runs first.
        for (sleeper, tid) in &self.sleepers {
            let_sleep(sleeper.child.id(), *tid);
        }
        self.shop.two_sets_wake_two()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // Before the directory in which they are still opening everything.
        self.spare.clear();
        self.workers.clear();
    }
}

/// Kills so many, or until something is wrong and `sabotage` said that it will be.
fn storm(kills: u64, seed: u64, sabotage: Option<&str>) -> Report {
    let mut report = Report::default();
    let mut storm = Storm::new(sabotage, seed);
    let mut next = KILLS_PER_SHOP;
    while report.kills < kills && report.violations.len() < 5 {
        let result = storm.round(&mut report);
        let is_wrong = result.is_err();
        if let Err(what) = result {
            let round = storm.round;
            report.violations.push(format!("round {round}: {what}"));
            if sabotage.is_some() {
                break;
            }
        }
        if is_wrong || report.kills >= next {
            next = report.kills + KILLS_PER_SHOP;
            report.operations += storm.operations();
            storm = Storm::new(sabotage, seed.wrapping_add(report.kills));
        }
    }
    report.operations += storm.operations();
    report
}

impl Storm {
    fn operations(&self) -> u64 {
        (0..WORKERS)
            .map(|index| self.shop.ledger.get(progress(index)))
            .sum()
    }
}

fn seed() -> u64 {
    let seed = setting("STRAIT_SEED", u64::from(std::process::id()));
    println!("STRAIT_SEED={seed}");
    seed
}

/// 300 kills here; as many as are asked for in `cargo xtask storm`.
#[test]
fn random_kills_lose_nothing_that_others_had() {
    alone(
        "death::storm::random_kills_lose_nothing_that_others_had",
        || {
            let kills = setting("STRAIT_STORM_KILLS", 300);
            let mut report = storm(kills, seed(), None);
            println!(
                "{} kills in {} rounds, {} with something in hand; {} operations; {} violations",
                report.kills,
                report.rounds,
                report.holding,
                report.operations,
                report.violations.len()
            );
            let (others, mutants) = (&mut report.recovery, &mut report.recovery_of_mutants);
            println!(
                "every survivor has got on after a death: {}",
                percentiles(others)
            );
            println!("where a mutant's owner had died: {}", percentiles(mutants));
            assert!(report.violations.is_empty(), "{:#?}", report.violations);
            assert!(report.holding > 0, "nobody died with anything in hand");
        },
    );
}

/// A storm is worth what it finds: each removed recovery must show.
#[test]
fn a_storm_finds_every_removed_recovery() {
    let kills = setting("STRAIT_STORM_KILLS", 300).max(3_000);
    let branches = [
        "resolve.finish",
        "resolve.abort",
        "wake.decide",
        "owner.dead",
        "ticket.register",
    ];
    let mut missed = BTreeSet::new();
    let seed = seed();
    for branch in branches {
        let report = storm(kills, seed, Some(branch));
        println!("{branch}: {} kills, {:?}", report.kills, report.violations);
        if report.violations.is_empty() {
            missed.insert(branch);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
