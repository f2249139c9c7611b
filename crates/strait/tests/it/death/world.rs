//! The objects that processes die over, and the processes that go on living with them.

use std::path::Path;
use std::time::{Duration, Instant};

use strait::nt::{Event, Mutant, Semaphore, Timer};
use strait::wait::{self, Set, Waitable};
use strait::{Birth, ErrorKind, Namespace, Security};

use crate::death::watch::Ledger;
use crate::peer::{say, told};
use crate::world::USERS;

/// How long a survivor may take for an operation before it counts as stuck. The model says a
/// second; a machine that runs other things as well is given three. What it took is printed.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);
/// Semaphores of one `all`.
pub(crate) const UNITS: usize = 8;
/// Units of each.
pub(crate) const UNITS_EACH: u32 = 4;
/// Names that victims make and leave.
pub(crate) const NAMES: usize = 3;

/// Words of the ledger: how often each sleeper woke, and what it found.
pub(crate) const AWAKE: usize = 0;
pub(crate) const ABANDONED: usize = 1;
pub(crate) const OWNED: usize = 2;
pub(crate) const RUNG: usize = 3;
pub(crate) const BOTH: usize = 4;
/// One more each time that the mutant's sleeper is to try again.
pub(crate) const TURN: usize = 5;

/// Everything by name, in one namespace.
pub(crate) struct World {
    pub(crate) space: Namespace,
    pub(crate) ledger: Ledger,
    /// Two sleepers wait for it.
    pub(crate) wake: Event,
    /// Only the dying wait for it.
    pub(crate) lone: Event,
    /// A sleeper waits for both at once.
    pub(crate) both: [Event; 2],
    /// It is in a sleeper's set.
    pub(crate) bell: Event,
    pub(crate) units: Vec<Semaphore>,
    /// Without a unit, for ever.
    pub(crate) none: Semaphore,
    pub(crate) mutant: Mutant,
    pub(crate) timer: Timer,
}

impl World {
    /// Makes the objects, or opens them.
    pub(crate) fn of(directory: &Path) -> Self {
        let space = Namespace::directory(directory).unwrap();
        let event = |name: &str| space.event(name).create_or_open().unwrap().0;
        let units = |name: String, count, limit| {
            let options = space.semaphore(name, count, limit);
            options.create_or_open().unwrap().0
        };
        Self {
            ledger: Ledger::of(directory),
            wake: event("wake"),
            lone: event("lone"),
            both: [event("both.0"), event("both.1")],
            bell: event("bell"),
            units: (0..UNITS)
                .map(|index| units(format!("units.{index}"), UNITS_EACH, UNITS_EACH))
                .collect(),
            none: units("none".into(), 0, 1),
            mutant: space.mutant("mutant").create_or_open().unwrap().0,
            timer: space.timer("timer").create_or_open().unwrap().0,
            space,
        }
    }

    pub(crate) fn all(&self) -> Vec<&dyn Waitable> {
        self.units.iter().map(|one| one as &dyn Waitable).collect()
    }
}

/// The processes that only wait: `args[1]` says for what.
pub(crate) fn sleeper(args: &[String]) {
    let world = World::of(Path::new(&args[0]));
    let set = Set::new().unwrap();
    if args[1] == "bell" {
        set.add(&world.bell).unwrap();
    }
    let mut turn = world.ledger.get(TURN);
    say("ready");
    loop {
        match &*args[1] {
            "wake" => {
                world.wake.wait().unwrap();
                world.ledger.add(AWAKE, 1);
            }
            "both" => {
                wait::all(&[&world.both[0], &world.both[1]]).unwrap();
                world.ledger.add(BOTH, 1);
            }
            "bell" => {
                set.wait().unwrap();
                world.ledger.add(RUNG, 1);
            }
            _ => {
                let next = world.ledger.await_change(TURN, turn, LIMIT);
                let Some(next) = next else { continue };
                turn = next;
                let guard = world.mutant.acquire().unwrap();
                world.ledger.add(ABANDONED, u64::from(guard.abandoned()));
                world.ledger.add(OWNED, 1);
            }
        }
    }
}

/// What a survivor is told about the one that died or stopped.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Allowed {
    /// It is stopped: what it holds stays held.
    pub(crate) stopped: bool,
    /// Stopped while it owns the mutant.
    pub(crate) owns: bool,
    /// Stopped while it keeps a name in transition: that name may be busy.
    pub(crate) transition: bool,
}

impl Allowed {
    pub(crate) fn encode(self) -> String {
        let parts = [
            (self.stopped, 's'),
            (self.owns, 'o'),
            (self.transition, 't'),
        ];
        let letters = parts.map(|(is, letter)| if is { letter } else { '-' });
        letters.iter().collect()
    }

    fn decode(text: &str) -> Self {
        Self {
            stopped: text.contains('s'),
            owns: text.contains('o'),
            transition: text.contains('t'),
        }
    }
}

/// The process that tries everything after a death: told what is allowed, it answers what is
/// missing and how long it took, or what is wrong; told to `repair`, it gives back what is missing.
pub(crate) fn survivor(args: &[String]) {
    let world = World::of(Path::new(&args[0]));
    say("ready");
    while let Some(line) = told() {
        if line == "repair" {
            repair(&world);
            say("ok");
            continue;
        }
        if line == "reborn" {
            say(reborn(&world.space).unwrap_or_else(|what| format!("bad {what}")));
            continue;
        }
        let begin = Instant::now();
        match check(&world, Allowed::decode(&line)) {
            Ok(lost) => say(format!("ok {} {lost}", begin.elapsed().as_micros())),
            Err(what) => say(format!("bad {what}")),
        }
    }
}

fn repair(world: &World) {
    for one in &world.units {
        let missing = UNITS_EACH - one.query().unwrap().count;
        if missing > 0 {
            one.release(missing).unwrap();
        }
    }
}

/// Takes over what another user left, who alone may remove it.
fn reborn(space: &Namespace) -> Checked<String> {
    let security = Security::private().mode(0o666).owner(USERS[1]);
    let options = || space.event("reborn").security(security);
    match options().create_or_open() {
        Ok((event, birth)) => {
            expect(birth == Birth::Created, "a leftover counts as alive")?;
            expect(!event.set().map_err(fail)?, "born with an old state")?;
            let again = options().open().map_err(fail)?;
            expect(
                again.wait_for(LIMIT).map_err(fail)?,
                "two objects of one name",
            )?;
            Ok("ok".into())
        }
        Err(error) if error.kind() == ErrorKind::Busy => Ok("busy".into()),
        Err(error) => Err(fail(error)),
    }
}

type Checked<T = ()> = Result<T, String>;

fn expect(condition: bool, what: &str) -> Checked {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for use with map_err")]
fn fail(error: strait::Error) -> String {
    error.to_string()
}

/// Every operation on every object, each within [`LIMIT`]. The missing units come back.
fn check(world: &World, allowed: Allowed) -> Checked<String> {
    check_events(world)?;
    let lost = check_units(world)?;
    check_mutant(world, allowed)?;
    check_lone(world)?;
    world.timer.set(Duration::ZERO).map_err(fail)?;
    let expired = world.timer.wait_for(LIMIT).map_err(fail)?;
    expect(expired, "timer: does not expire")?;
    for index in 0..NAMES {
        check_name(&world.space, &format!("name.{index}"), allowed)?;
    }
    Ok(lost)
}

fn check_events(world: &World) -> Checked {
    // What has been decided has also woken: nothing else will.
    let end = Instant::now() + LIMIT;
    while world.wake.query().map_err(fail)?.set {
        expect(Instant::now() < end, "wake: set beside sleepers")?;
        std::thread::yield_now();
    }
    for (event, word) in [(&world.wake, AWAKE), (&world.bell, RUNG)] {
        let before = world.ledger.get(word);
        event.set().map_err(fail)?;
        let woken = world.ledger.await_change(word, before, LIMIT);
        expect(woken.is_some(), "a set does not wake its sleeper")?;
    }
    let before = world.ledger.get(BOTH);
    for event in &world.both {
        event.set().map_err(fail)?;
    }
    let woken = world.ledger.await_change(BOTH, before, LIMIT);
    expect(woken.is_some(), "the sleeper on both does not wake")
}

fn check_units(world: &World) -> Checked<String> {
    for (index, one) in world.units.iter().enumerate() {
        let got = one.wait_for(Duration::ZERO).map_err(fail)?;
        expect(got, &format!("units.{index}: refused"))?;
        one.release(1).map_err(fail)?;
    }
    let refused = wait::all_for(&[&world.units[3], &world.none], Duration::ZERO).map_err(fail)?;
    expect(refused.is_none(), "none has units")?;
    let won = wait::all_for(&world.all(), LIMIT).map_err(fail)?;
    expect(won.is_some(), "all of the units: stuck")?;
    for one in &world.units {
        one.release(1).map_err(fail)?;
    }
    let mut lost = String::new();
    for one in &world.units {
        lost += &(UNITS_EACH - one.query().map_err(fail)?.count).to_string();
    }
    Ok(lost)
}

fn check_mutant(world: &World, allowed: Allowed) -> Checked {
    if allowed.owns {
        let taken = world.mutant.try_acquire().map_err(fail)?;
        return expect(taken.is_none(), "mutant: taken from one that is stopped");
    }
    for round in 0..2 {
        let guard = world.mutant.acquire_for(LIMIT).map_err(fail)?;
        let guard = guard.ok_or("mutant: stuck")?;
        expect(round == 0 || !guard.abandoned(), "mutant: abandoned twice")?;
        world.ledger.add(ABANDONED, u64::from(guard.abandoned()));
    }
    let before = world.ledger.get(OWNED);
    world.ledger.add(TURN, 1);
    let woken = world.ledger.await_change(OWNED, before, LIMIT);
    expect(woken.is_some(), "the mutant's sleeper does not get it")
}

/// Nobody waits for it but one that is stopped: two sets are one release.
fn check_lone(world: &World) -> Checked {
    let lone = &world.lone;
    let taken = || lone.wait_for(Duration::ZERO).map_err(fail);
    lone.reset().map_err(fail)?;
    expect(!taken()?, "lone: reset and taken")?;
    lone.set().map_err(fail)?;
    lone.set().map_err(fail)?;
    expect(taken()?, "lone: set and not taken")?;
    expect(!taken()?, "lone: set twice and taken twice")
}

fn check_name(space: &Namespace, name: &str, allowed: Allowed) -> Checked {
    let open = || space.event(name).open();
    let held = |found: strait::Result<Event>| match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::Busy && allowed.transition => Ok(()),
        Ok(_) if allowed.stopped => Ok(()),
        Ok(_) => Err(format!("{name}: stale")),
        Err(error) => Err(fail(error)),
    };
    held(open())?;
    match space.event(name).create_or_open() {
        Ok((event, _)) => {
            let again = open().map_err(|error| format!("reopen: {error}"))?;
            expect(again.is_same(&event), "the name leads to another object")?;
            event.set().map_err(fail)?;
            let set = again.query().map_err(fail)?.set;
            expect(set, "two objects of one name")?;
            event.reset().map_err(fail)?;
        }
        Err(error) if error.kind() == ErrorKind::Busy && allowed.transition => return Ok(()),
        Err(error) => return Err(fail(error)),
    }
    held(open())
}
