//! The table of all points: what of each kill and stop is expected, and what was found.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use strait::Namespace;

use crate::death::watch::{Fate, Ledger, STUCK, fate, go_on, hear_within, pid_of, setting};
use crate::death::world::{ABANDONED, Allowed, UNITS};
use crate::peer::{Peer, command};
use crate::world::Random;

/// Units that go with one killed at the point.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    None,
    /// One of the first semaphore.
    First,
    /// One of each: what `all` had taken.
    All,
}

/// A point, the work in which it is hit, and what a death there leaves.
#[derive(Copy, Clone, Debug)]
pub(super) struct Case {
    pub(super) point: &'static str,
    scenario: &'static str,
    /// Somebody dies or stops there first, so that the point is hit at all.
    before: Option<(&'static str, &'static str)>,
    lost: Lost,
    /// It owns the mutant at that point.
    owns: bool,
    /// An owner of the mutant has ended before.
    heir: bool,
    /// It keeps a name in transition.
    transition: bool,
    /// Only every so many hits is the one that is meant.
    stride: u64,
    /// Which of them, at most.
    nth_max: usize,
}

const fn case(point: &'static str, scenario: &'static str) -> Case {
    Case {
        point,
        scenario,
        before: None,
        lost: Lost::None,
        owns: false,
        heir: false,
        transition: false,
        stride: 1,
        nth_max: 8,
    }
}

impl Case {
    const fn loses(self, lost: Lost) -> Self {
        Self { lost, ..self }
    }

    const fn owning(self) -> Self {
        Self { owns: true, ..self }
    }

    const fn in_transition(self) -> Self {
        Self {
            transition: true,
            ..self
        }
    }

    const fn as_heir(self) -> Self {
        Self {
            heir: true,
            stride: 2,
            ..self
        }
    }

    const fn after(self, point: &'static str) -> Self {
        Self {
            before: Some((point, "all")),
            nth_max: 1,
            ..self
        }
    }
}

/// Every point of `strait`, and one line more where two kinds of objects share it.
pub(super) const CASES: &[Case] = &[
    case("take.taken", "unit").loses(Lost::First),
    case("take.taken", "mutant").owning(),
    case("signal.changed", "unit"),
    case("signal.begun", "set"),
    case("signal.begun", "mutant").owning(),
    case("signal.marked", "set"),
    case("signal.marked", "mutant").owning(),
    case("signal.woken", "set"),
    case("signal.woken", "mutant"),
    case("signal.finished", "set"),
    case("signal.finished", "mutant"),
    case("mutant.releasing", "mutant").owning(),
    case("txn.begun", "all"),
    case("all.marking", "all"),
    case("all.marked", "all"),
    case("all.committed", "all").loses(Lost::All),
    case("txn.finishing", "all").loses(Lost::All),
    case("all.finished", "all").loses(Lost::All),
    case("all.withdrawn", "refused"),
    case("resolve.finish", "unit").after("all.committed"),
    case("resolve.abort", "unit").after("all.marked"),
    case("resolve.aborted", "unit").after("all.marked"),
    case("wait.begun", "sleep"),
    case("wait.armed", "sleep"),
    case("wait.signalled", "pair"),
    case("ticket.entered", "sleep"),
    case("ticket.leaving", "sleep"),
    case("set.counting", "twice"),
    case("seat.locked", "seat"),
    case("seat.locked", "heir").as_heir(),
    case("seat.renamed", "seat"),
    case("seat.renamed", "heir").as_heir(),
    case("seat.taken", "seat"),
    case("seat.taken", "heir").as_heir(),
    case("name.opened", "names"),
    case("name.joined", "names"),
    case("name.born", "names"),
    case("name.linked", "names"),
    case("name.closing", "names"),
    case("name.last", "names").in_transition(),
    case("name.reaping", "leftover").in_transition(),
    case("name.reaped", "leftover"),
    case("name.reopened", "copy"),
    case("timer.claimed", "timer"),
    case("timer.written", "timer"),
    case("timer.published", "timer"),
    case("timer.fired", "timer"),
    case("ring.ringing", "bell"),
    case("ring.struck", "bell"),
    case("ring.attached", "own-set"),
    case("table.made", "table"),
    case("table.linked", "table"),
];

/// Points that a test of their own hits.
pub(super) const ELSEWHERE: &[&str] = &[
    "name.reborn",
    "name.filled",
    "space.made",
    "space.collecting",
    "sem.created",
    "socket.reclaim.locked",
    "socket.reclaim.removed",
];

/// One world, and the processes in it.
pub(super) struct Stage {
    pub(super) space: Namespace,
    pub(super) ledger: Ledger,
    sabotage: Option<String>,
    survivor: Peer,
    _sleepers: Vec<Peer>,
    ready: Vec<Peer>,
    random: Random,
}

/// What was found after one death.
pub(super) type Found = Result<Duration, String>;

impl Stage {
    pub(super) fn new(sabotage: Option<&str>, seed: u64) -> Self {
        let space = Namespace::temporary().unwrap();
        let start = |role: &str, what: &str| start(space.path(), sabotage, role, what);
        // First, so that the objects are there for good.
        let mut survivor = start("death.survivor", "");
        assert_eq!(hear_within(&mut survivor, STUCK).as_deref(), Some("ready"));
        let kinds = ["wake", "wake", "both", "bell", "mutant"];
        let mut sleepers: Vec<Peer> = kinds.map(|kind| start("death.sleeper", kind)).into();
        for sleeper in &mut sleepers {
            assert_eq!(hear_within(sleeper, STUCK).as_deref(), Some("ready"));
        }
        Self {
            ledger: Ledger::of(space.path()),
            sabotage: sabotage.map(str::to_owned),
            survivor,
            _sleepers: sleepers,
            ready: Vec::new(),
            random: Random::of_seed(seed),
            space,
        }
    }

    fn begin_victim(&self) -> Peer {
        start(
            self.space.path(),
            self.sabotage.as_deref(),
            "death.victim",
            "",
        )
    }

    /// One that has opened everything; the next one starts meanwhile.
    pub(super) fn victim(&mut self) -> Result<Peer, String> {
        let mut victim = self.ready.pop().unwrap_or_else(|| self.begin_victim());
        if self.ready.is_empty() {
            let next = self.begin_victim();
            self.ready.push(next);
        }
        match hear_within(&mut victim, STUCK).as_deref() {
            Some("ready" | "done") => Ok(victim),
            other => Err(format!("a newcomer cannot begin: {other:?}")),
        }
    }

    fn random_signal(&mut self) -> &'static str {
        ["KILL", "STOP"][self.random.below(2)]
    }

    /// Lets one die or stop at the case's point, and looks what the others can do.
    pub(super) fn trial(&mut self, case: &Case, signal: &str) -> Found {
        let abandoned = self.ledger.get(ABANDONED);
        let mut stopped = Vec::new();
        let mut lost = [0; UNITS];
        if let Some((point, scenario)) = case.before {
            let signal = self.random_signal();
            let order = format!("{scenario} {point} 1 {signal}");
            if let Some(first) = self.run(&order)? {
                stopped.push(first);
            } else if point == "all.committed" {
                lost = [1; UNITS];
            }
        }
        let nth = (1 + self.random.below(case.nth_max) as u64) * case.stride;
        let order = format!("{} {} {nth} {signal}", case.scenario, case.point);
        let is_stopped = match self.run(&order)? {
            Some(victim) => {
                stopped.push(victim);
                true
            }
            None => false,
        };
        match case.lost {
            Lost::First if !is_stopped => lost[0] += 1,
            Lost::All if !is_stopped => lost.iter_mut().for_each(|lost| *lost += 1),
            _ => {}
        }
        let (took, found) = self.check(Allowed {
            stopped: !stopped.is_empty(),
            owns: is_stopped && case.owns,
            transition: is_stopped && case.transition,
        })?;
        let found = self.go_on(stopped)?.unwrap_or(found);
        let lost: String = lost.iter().map(u32::to_string).collect();
        if lost != found {
            return Err(format!("units lost: {found}, expected {lost}"));
        }
        if lost.contains('1') {
            self.repair();
        }
        let expected = u64::from(case.heir || case.owns && !is_stopped);
        let abandoned = self.ledger.get(ABANDONED) - abandoned;
        if abandoned != expected {
            return Err(format!("abandoned {abandoned} times, expected {expected}"));
        }
        Ok(took)
    }

    /// Gives the order to a victim. It comes back if it is stopped.
    fn run(&mut self, order: &str) -> Result<Option<Peer>, String> {
        let mut victim = self.victim()?;
        victim.tell(order);
        match fate(pid_of(&victim)) {
            Fate::Stopped => Ok(Some(victim)),
            Fate::Killed => Ok(None),
            Fate::Exited => Err(format!("never hit, or failed: {order}")),
        }
    }

    /// Has the survivor do everything; how long that took, and which units are missing.
    pub(super) fn check(&mut self, allowed: Allowed) -> Result<(Duration, String), String> {
        self.survivor.tell(&allowed.encode());
        let answer = hear_within(&mut self.survivor, STUCK);
        let answer = answer.ok_or("the survivor is stuck, or died")?;
        match answer.split(' ').collect::<Vec<_>>()[..] {
            ["ok", took, lost] => Ok((
                Duration::from_micros(took.parse().unwrap()),
                lost.to_owned(),
            )),
            _ => Err(answer),
        }
    }

    /// Gives back what the dead took along.
    pub(super) fn repair(&mut self) {
        self.survivor.tell("repair");
        let answer = hear_within(&mut self.survivor, STUCK);
        assert_eq!(answer.as_deref(), Some("ok"));
    }

    /// Continues those that are stopped: they must end their work, and leave everything whole.
    fn go_on(&mut self, stopped: Vec<Peer>) -> Result<Option<String>, String> {
        if stopped.is_empty() {
            return Ok(None);
        }
        let mut going = stopped;
        for victim in going.iter().rev() {
            go_on(pid_of(victim));
        }
        for victim in &mut going {
            let said = hear_within(victim, STUCK);
            if said.as_deref() != Some("done") {
                return Err("continued, it does not come to its end".into());
            }
        }
        let found = self.check(Allowed::default())?.1;
        // Whoever is asked for next hears that it is done.
        for mut victim in going {
            victim.tell("set signal.changed 0 STOP");
            self.ready.push(victim);
        }
        Ok(Some(found))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Before the directory in which they are still opening everything.
        self.ready.clear();
        let path = self.space.path();
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        // What those left that were killed while they made a namespace.
        let ours = format!("{}-", name.to_string_lossy());
        for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&ours) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn start(path: &Path, sabotage: Option<&str>, role: &str, what: &str) -> Peer {
    let mut command: Command = command(role, &[path.to_str().unwrap(), what]);
    if let Some(branch) = sabotage {
        // What then goes wrong is the driver's to say.
        command.env("STRAIT_SABOTAGE", branch).stderr(Stdio::null());
    }
    Peer::of(&mut command)
}

/// One line of the table that is printed.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) kills: u64,
    pub(super) stops: u64,
    /// How long a survivor took for everything after each kill.
    recovery: Vec<Duration>,
    pub(super) violations: Vec<String>,
}

pub(super) type Table = BTreeMap<&'static str, Row>;

/// How long a survivor took for everything, by what had happened.
pub(super) type Times = BTreeMap<&'static str, Vec<Duration>>;

fn sort_of(case: &Case, signal: &str) -> &'static str {
    match signal {
        "KILL" if case.owns || case.heir => "after the death of the mutant's owner",
        _ if case.scenario == "bell" => "after a death or stop before a set was rung",
        "KILL" => "after any other death",
        _ if case.transition => "beside one stopped with a name in transition",
        _ => "beside any other that is stopped",
    }
}

/// Runs the cases, each point at least `hits` times with each signal.
pub(super) fn run(cases: &[Case], hits: u64, sabotage: Option<&str>) -> (Table, Times) {
    let table = Mutex::new((Table::new(), Times::new()));
    let queue = Mutex::new(cases.iter());
    let work = |seed: u64| {
        let mut stage = Stage::new(sabotage, seed);
        loop {
            let Some(case) = queue.lock().unwrap().next() else {
                return;
            };
            let same = cases.iter().filter(|other| other.point == case.point);
            let trials = hits.div_ceil(same.count() as u64);
            for round in 0..2 * trials {
                let signal = ["KILL", "STOP"][usize::from(round % 2 == 1)];
                let found = stage.trial(case, signal);
                let mut table = table.lock().unwrap();
                let row = table.0.entry(case.point).or_default();
                match signal {
                    "KILL" => row.kills += 1,
                    _ => row.stops += 1,
                }
                match found {
                    Ok(took) => {
                        if signal == "KILL" {
                            row.recovery.push(took);
                        }
                        let sort = sort_of(case, signal);
                        table.1.entry(sort).or_default().push(took);
                    }
                    Err(what) => {
                        row.violations
                            .push(format!("{} {signal}: {what}", case.scenario));
                        drop(table);
                        // What is broken stays broken: a new world for the next.
                        stage = Stage::new(sabotage, seed + round);
                    }
                }
            }
        }
    };
    let seed = setting("STRAIT_SEED", u64::from(std::process::id()));
    println!("STRAIT_SEED={seed}");
    std::thread::scope(|scope| {
        scope.spawn(|| work(seed));
        scope.spawn(|| work(seed + 1_000_000));
    });
    table.into_inner().unwrap()
}

pub(super) fn print(table: &mut Table, times: &mut Times) {
    println!(
        "{:<18}{:>7}{:>7}{:>12}   a survivor has done everything after a kill in",
        "point", "kills", "stops", "violations"
    );
    for (point, row) in table {
        let (violations, took) = (row.violations.len(), percentiles(&mut row.recovery));
        println!(
            "{point:<18}{:>7}{:>7}{violations:>12}   {took}",
            row.kills, row.stops
        );
        for violation in row.violations.iter().take(3) {
            println!("    {violation}");
        }
    }
    println!("all operations by a survivor, and all sleepers woken:");
    for (sort, times) in times {
        println!("  {sort}: {}", percentiles(times));
    }
}

/// Of what was measured and is not asserted.
pub(crate) fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else {
        return "nothing measured".into();
    };
    let at = |percent: usize| times[last * percent / 100];
    let (count, max) = (times.len(), times[last]);
    format!("p50 {:?}, p99 {:?}, max {max:?} of {count}", at(50), at(99))
}
