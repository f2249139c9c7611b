//! The objects of a storm, and those who work with them and say in the ledger what they are at.

use std::path::Path;
use std::time::{Duration, Instant};

use strait::nt::{Event, Mutant, Semaphore};
use strait::wait::{self, Waitable};
use strait::{ErrorKind, Namespace};
use strait_sys::step;

use crate::death::storm::account::{Phase, Reports};
use crate::death::watch::{Ledger, STUCK};
use crate::death::world::LIMIT;
use crate::peer::{say, told};
use crate::world::Random;

pub(super) const WORKERS: usize = 6;
pub(super) const UNITS: usize = 4;
/// Enough that two dead leave some.
pub(super) const UNITS_EACH: u32 = 4;
pub(super) const MUTANTS: usize = 2;
const NAMES: usize = 4;

/// Beyond the patience of a storm, which says more about who is stuck.
const STARVED: Duration = Duration::from_secs(20 * LIMIT.as_secs());

/// Words of the ledger. Odd: everybody works; even: everybody rests.
pub(super) const PAUSE: usize = 0;
/// Wake-ups of the sleepers.
const AWAKE: usize = 1;
/// What a worker found wrong, by number.
const COMPLAINT: usize = 2;
const OWNER: usize = 8;
const REPORTS: usize = 16;
const FIRST: usize = 64;
const STRIDE: usize = 8;

/// Operations that a worker has completed.
pub(super) fn progress(index: usize) -> usize {
    FIRST + index * STRIDE
}

/// The pause in which a worker rests.
pub(super) fn paused(index: usize) -> usize {
    progress(index) + 1
}

/// What a worker is at.
pub(super) fn journal(index: usize) -> usize {
    progress(index) + 2
}

const COMPLAINTS: &[&str] = &[
    "",
    "units: starved",
    "mutant: starved",
    "mutant: its last owner died, and nobody says so",
    "mutant: somebody else writes as its owner",
    "an open name cannot be opened",
    "the name leads to another object",
];

/// All objects by name.
pub(super) struct Shop {
    pub(super) space: Namespace,
    pub(super) ledger: Ledger,
    pub(super) units: Vec<Semaphore>,
    pub(super) mutants: Vec<Mutant>,
    /// Two sleepers wait for it.
    wake: Event,
    /// Workers wait for them, briefly.
    brief: [Event; 2],
}

impl Shop {
    pub(super) fn of(space: Namespace) -> Self {
        let event = |name: &str| space.event(name).create_or_open().unwrap().0;
        let units = |index| {
            let options = space.semaphore(format!("units.{index}"), UNITS_EACH, UNITS_EACH);
            options.create_or_open().unwrap().0
        };
        let mutant = |index| {
            let options = space.mutant(format!("mutant.{index}"));
            options.create_or_open().unwrap().0
        };
        Self {
            ledger: Ledger::of(space.path()),
            units: (0..UNITS).map(units).collect(),
            mutants: (0..MUTANTS).map(mutant).collect(),
            wake: event("wake"),
            brief: [event("brief.0"), event("brief.1")],
            space,
        }
    }

    pub(super) fn complaint(&self) -> Option<String> {
        let number = usize::try_from(self.ledger.get(COMPLAINT)).unwrap();
        (number > 0).then(|| COMPLAINTS[number].to_owned())
    }

    /// How often workers were told that a mutant is abandoned.
    pub(super) fn reports(&self) -> Reports {
        std::array::from_fn(|which| self.ledger.get(REPORTS + which))
    }

    /// What a dead owner wrote is read no more.
    pub(super) fn nobody_owns(&self, which: usize) {
        self.ledger.put(OWNER + which, 0);
    }

    /// Nobody works, two sleep: a set event would be one that stranded them.
    pub(super) fn event_is_taken(&self) -> Result<(), String> {
        let begin = Instant::now();
        while self.wake.query().map_err(|error| error.to_string())?.set {
            if begin.elapsed() > LIMIT {
                return Err("an event is set beside its sleepers".into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(super) fn two_sets_wake_two(&self) -> Result<(), String> {
        let before = self.ledger.get(AWAKE);
        let fail = |error: strait::Error| error.to_string();
        self.wake.set().map_err(fail)?;
        self.wake.set().map_err(fail)?;
        let mut woken = before;
        while woken < before + 2 {
            let next = self.ledger.await_change(AWAKE, woken, LIMIT);
            woken = next.ok_or_else(|| format!("two sets wake {} of two", woken - before))?;
        }
        // Those who died waiting for it are no waiters any more.
        let brief = &self.brief[0];
        let taken = || brief.wait_for(Duration::ZERO).map_err(fail);
        brief.reset().map_err(fail)?;
        brief.set().map_err(fail)?;
        brief.set().map_err(fail)?;
        if taken()? && !taken()? {
            Ok(())
        } else {
            Err("two sets without a waiter are not one release".into())
        }
    }

    /// Nobody holds one: none may be there, and each can be made.
    pub(super) fn look_at_names(&self) -> Result<(), String> {
        for index in 0..NAMES {
            let name = || self.space.event(format!("name.{index}"));
            match name().open() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.to_string()),
                Ok(_) => return Err(format!("name.{index}: stale")),
            }
            name().create().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Waits for the event, and counts.
pub(super) fn sleeper(args: &[String]) {
    let shop = Shop::of(Namespace::directory(&args[0]).unwrap());
    say(step::me());
    loop {
        shop.wake.wait().unwrap();
        shop.ledger.add(AWAKE, 1);
    }
}

struct Worker {
    shop: Shop,
    index: usize,
    random: Random,
}

/// Told its place, it works there until it is killed.
pub(super) fn worker(args: &[String]) {
    let shop = Shop::of(Namespace::directory(Path::new(&args[0])).unwrap());
    say("ready");
    let Some(place) = told() else { return };
    let mut worker = Worker {
        shop,
        index: place.parse().unwrap(),
        random: Random::of_seed(args[1].parse().unwrap()),
    };
    worker.at(Phase::Idle);
    loop {
        let pause = worker.shop.ledger.get(PAUSE);
        if pause.is_multiple_of(2) {
            worker.shop.ledger.put(paused(worker.index), pause);
            worker.shop.ledger.await_change(PAUSE, pause, STUCK);
            continue;
        }
        worker.work();
        worker.shop.ledger.add(progress(worker.index), 1);
    }
}

impl Worker {
    fn at(&self, phase: Phase) {
        self.shop.ledger.put(journal(self.index), phase.encode());
    }

    fn complain(&self, what: usize) {
        self.shop.ledger.put(COMPLAINT, what as u64);
    }

    fn work(&mut self) {
        match self.random.below(16) {
            0..=3 => self.any(),
            4..=7 => self.all(),
            8 | 9 => self.own(),
            10 | 11 => assert!(self.shop.wake.set().is_ok()),
            12 => self.brief(),
            _ => self.name(),
        }
    }

    /// Two or more of the semaphores.
    fn some(&mut self) -> Vec<usize> {
        let first = self.random.below(UNITS - 1);
        let last = first + 1 + self.random.below(UNITS - first - 1);
        (first..=last).collect()
    }

    fn dawdle(&mut self) {
        for _ in 0..self.random.below(4) {
            std::thread::yield_now();
        }
    }

    fn any(&mut self) {
        let some = self.some();
        let members: Vec<&dyn Waitable> = some
            .iter()
            .map(|index| &self.shop.units[*index] as _)
            .collect();
        self.at(Phase::TakingAny(mask(&some)));
        let Some(won) = wait::any_for(&members, STARVED).unwrap() else {
            self.at(Phase::Idle);
            return self.complain(1);
        };
        self.hold(&some[won.index..=won.index]);
    }

    fn all(&mut self) {
        let some = self.some();
        let members: Vec<&dyn Waitable> = some
            .iter()
            .map(|index| &self.shop.units[*index] as _)
            .collect();
        self.at(Phase::TakingAll(mask(&some)));
        if wait::all_for(&members, STARVED).unwrap().is_none() {
            self.at(Phase::Idle);
            return self.complain(1);
        }
        self.hold(&some);
    }

    /// Keeps them for a while, and gives them back one by one.
    fn hold(&mut self, taken: &[usize]) {
        self.at(Phase::Holding(mask(taken)));
        self.dawdle();
        for (at, index) in taken.iter().enumerate() {
            self.at(Phase::Giving(mask(&taken[at..]), 1 << index));
            self.shop.units[*index].release(1).unwrap();
            self.at(Phase::Holding(mask(&taken[at + 1..])));
        }
        self.at(Phase::Idle);
    }

    fn own(&mut self) {
        let which = self.random.below(MUTANTS);
        let me = self.index as u64 + 1;
        self.at(Phase::TakingMutant(which));
        let ledger = &self.shop.ledger;
        let guard = self.shop.mutants[which].acquire_for(STARVED).unwrap();
        let Some(guard) = guard else {
            self.at(Phase::Idle);
            return self.complain(2);
        };
        ledger.add(REPORTS + which, u64::from(guard.abandoned()));
        self.at(Phase::Owning(which));
        if ledger.get(OWNER + which) != 0 && !guard.abandoned() {
            self.complain(3);
        }
        ledger.put(OWNER + which, me);
        for _ in 0..3 {
            std::thread::yield_now();
        }
        if ledger.get(OWNER + which) != me {
            self.complain(4);
        }
        ledger.put(OWNER + which, 0);
        self.at(Phase::GivingMutant(which));
        drop(guard);
        self.at(Phase::Idle);
    }

    fn brief(&mut self) {
        let which = self.random.below(2);
        if self.random.below(2) == 0 {
            self.shop.brief[which].set().unwrap();
            return;
        }
        let [one, two] = &self.shop.brief;
        wait::any_for(&[one, two], Duration::from_micros(200)).unwrap();
    }

    fn name(&mut self) {
        let name = format!("name.{}", self.random.below(NAMES));
        let name = || self.shop.space.event(&*name);
        // It may be busy: another has it in transition, and waits for a processor.
        let Ok((event, _)) = name().create_or_open() else {
            return;
        };
        event.set().unwrap();
        match name().open() {
            Ok(again) if again.is_same(&event) => {}
            Ok(_) => self.complain(6),
            Err(_) => self.complain(5),
        }
    }
}

fn mask(indices: &[usize]) -> u8 {
    indices.iter().fold(0, |mask, index| mask | 1 << index)
}
