//! A process with write access that lies: others get answers, errors or wrong states, and live on.
//!
//! A liar works on the files of a namespace until it is killed, while victims in other processes do
//! everything that can be done with the objects. A victim must not panic, die of a signal, or be
//! kept longer than its deadline and a guard against hanging.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use strait::nt::{Event, EventPair, Mutant, Read, Reset, Section, Semaphore, Timer, View, Write};
use strait::wait::{self, Key, Set};
use strait::{ErrorKind, HandleSocket, Namespace, Result, Rights, nt};
use strait_sys::futex;
use strait_sys::map::{Access, Map};
use strait_sys::ofd_lock::{Lock, try_lock};

use crate::peer::{Peer, say, told};
use crate::world::{GUARD, Random, refused, until};

/// How long victims stand it.
const ORDEAL: Duration = Duration::from_millis(1500);
/// The longest timeout of anything that a victim calls.
const TIMEOUT: Duration = Duration::from_millis(4);
/// More than that after its timeout is a hang.
const HANG: Duration = Duration::from_secs(5);

const NAMES: [&str; 7] = [
    "auto", "manual", "pair", "mutant", "units", "timer", "bytes",
];

// ---- the liar ------------------------------------------------------------------------------

/// A file of the namespace, as its enemy has it.
struct Prey {
    file: File,
    map: Map,
    len: u64,
}

impl Prey {
    fn all(place: &Path) -> Vec<Self> {
        let names = NAMES.iter().map(|name| format!("o{name}"));
        let names = names.chain([".txn".to_owned()]);
        let open = |name: String| {
            let file = File::options()
                .read(true)
                .write(true)
                .open(place.join(name))
                .unwrap();
            let len = file.metadata().unwrap().len();
            let map = Map::shared(
                file.as_fd(),
                0,
                usize::try_from(len).unwrap(),
                Access::Write,
            );
            Self {
                map: map.unwrap(),
                file,
                len,
            }
        };
        names.map(open).collect()
    }

    /// Most lies go where they hurt: the first bytes, and of the table its first records.
    fn offset(&self, random: &mut Random) -> usize {
        let len = usize::try_from(self.len).unwrap();
        let near = if random.below(8) == 0 {
            len
        } else {
            len.min(16 * 1024)
        };
        random.below(near / 8) * 8
    }
}

/// Lies to all who use the namespace `args[0]` in the way `args[1]`, with the seed `args[2]`.
pub(crate) fn liar(args: &[String]) {
    let prey = Prey::all(Path::new(&args[0]));
    let mut random = Random::of_seed(args[2].parse().unwrap());
    let lie: fn(&[Prey], &mut Random) = match &*args[1] {
        "scribble" => scribble,
        "marks" => marks,
        "truncate" => truncate,
        "punch" => punch,
        "lock" => lock,
        "flood" => flood,
        other => panic!("no such lie: {other}"),
    };
    say("lying");
    loop {
        lie(&prey, &mut random);
    }
}

fn scribble(prey: &[Prey], random: &mut Random) {
    let one = &prey[random.below(prey.len())];
    for _ in 0..64 {
        let word = one.map.word::<u64>(one.offset(random)).unwrap();
        let value = match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            2 => random.next() & 0x0000_000f_0000_ffff,
            _ => random.next(),
        };
        word.store(value, Ordering::Relaxed);
    }
    // sleep: between two strokes, so that some of what the victims do gets through
    std::thread::sleep(Duration::from_micros(50));
}

/// Marks of transactions that never were, of any slot, and records that say anything.
fn marks(prey: &[Prey], random: &mut Random) {
    let (table, objects) = prey.split_last().unwrap();
    let one = &objects[random.below(objects.len())];
    for core in [128, 256] {
        let mark = random.next() & !0xff | 4 | random.next() & 3;
        one.map
            .word::<u64>(core)
            .unwrap()
            .store(mark, Ordering::Relaxed);
    }
    let record = 4096 + 512 * random.below(4096);
    let status = random.next();
    table
        .map
        .word::<u64>(record)
        .unwrap()
        .store(status, Ordering::Relaxed);
    std::hint::spin_loop();
}

fn truncate(prey: &[Prey], random: &mut Random) {
    let one = &prey[random.below(prey.len())];
    let cut = [0, one.len / 2, 128, 4096][random.below(4)];
    one.file.set_len(cut.min(one.len)).unwrap();
    // sleep: while the victims meet the short file
    std::thread::sleep(Duration::from_micros(300));
    one.file.set_len(one.len).unwrap();
}

fn punch(prey: &[Prey], random: &mut Random) {
    let one = &prey[random.below(prey.len())];
    let at = random.next() % one.len;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(
        &one.file,
        flags,
        at & !4095,
        4096 * (1 + random.next() % 16),
    )
    .unwrap();
    // sleep: between two holes
    std::thread::sleep(Duration::from_micros(100));
}

/// Holds every lock that can be had: byte 0 of each object, every seat of the table.
fn lock(prey: &[Prey], _: &mut Random) {
    let (table, objects) = prey.split_last().unwrap();
    for one in objects {
        let _ = try_lock(one.file.as_fd(), Lock::Write, 0, 1).unwrap();
    }
    for seat in 0..=4096 {
        let _ = try_lock(table.file.as_fd(), Lock::Write, 4096 + seat, 1).unwrap();
    }
    // sleep: before the next try for those that were taken
    std::thread::sleep(Duration::from_millis(1));
}

fn flood(prey: &[Prey], random: &mut Random) {
    let one = &prey[random.below(prey.len())];
    let near = random.below(3) > 0;
    let at = if near { 128 } else { one.offset(random) };
    let _ = futex::wake(one.map.look::<u32>(at).unwrap(), u32::MAX);
}

// ---- the victims ---------------------------------------------------------------------------

struct Victim {
    space: Namespace,
    auto: Event,
    manual: Event,
    looks: Event,
    pair: EventPair,
    mutant: Mutant,
    units: Semaphore,
    timer: Timer,
    bytes: Section,
    view: View<Write>,
    set: Set,
    keys: Vec<Key>,
    random: Random,
    heard: BTreeMap<String, u32>,
    /// When the present call began, in milliseconds since the start; 0 between calls.
    since: Arc<AtomicU64>,
}

fn born(space: &Namespace) -> Vec<Box<dyn std::any::Any>> {
    vec![
        Box::new(space.event("auto").create().unwrap()),
        Box::new(
            space
                .event("manual")
                .reset(Reset::Manual)
                .look_waits()
                .create()
                .unwrap(),
        ),
        Box::new(space.event_pair("pair").create().unwrap()),
        Box::new(space.mutant("mutant").create().unwrap()),
        Box::new(space.semaphore("units", 5, 50).create().unwrap()),
        Box::new(space.timer("timer").create().unwrap()),
        Box::new(space.section("bytes", 1 << 16).create().unwrap()),
    ]
}

impl Victim {
    fn new(place: &Path, seed: u64) -> Result<Self> {
        let space = Namespace::directory(place)?;
        let manual = space.event("manual").open()?;
        let bytes = space.section("bytes", 0).open()?;
        Ok(Self {
            auto: space.event("auto").open()?,
            looks: manual.duplicate(Rights::LOOK)?,
            manual,
            pair: space.event_pair("pair").open()?,
            mutant: space.mutant("mutant").open()?,
            units: space.semaphore("units", 0, 1).open()?,
            timer: space.timer("timer").open()?,
            view: bytes.map::<Write>()?,
            bytes,
            set: Set::new()?,
            keys: Vec::new(),
            random: Random::of_seed(seed),
            heard: BTreeMap::new(),
            since: Arc::default(),
            space,
        })
    }

    /// Handles that are not broken yet, in the place of those that are.
    fn renew(&mut self) -> Result<()> {
        let fresh = Self::new(self.space.path(), self.random.next())?;
        let heard = std::mem::take(&mut self.heard);
        let since = self.since.clone();
        *self = fresh;
        (self.heard, self.since) = (heard, since);
        Ok(())
    }

    /// One call, chosen at random.
    fn call(&mut self) -> Result<()> {
        let pick = self.random.below(12);
        if self.random.below(40) == 0 {
            return self.renew();
        }
        match pick {
            0 => self.events(),
            1 => self.pairs_and_mutants(),
            2 => self.units_and_timers(),
            3 => self.several(),
            4 => self.memory(),
            5 | 6 => self.names(),
            7 => self.set(),
            8 => self.handles(),
            _ => self.look(),
        }
    }

    fn events(&mut self) -> Result<()> {
        match self.random.below(9) {
            0 => self.auto.set().map(drop),
            1 => self.auto.wait_for(TIMEOUT).map(drop),
            2 => self.auto.pulse().map(drop),
            3 => self.auto.reset().map(drop),
            4 => self.manual.set().map(drop),
            5 => self.manual.reset().map(drop),
            6 => self.manual.pulse().map(drop),
            7 => self.manual.wait_for(TIMEOUT).map(drop),
            _ => self.looks.wait_for(TIMEOUT).map(drop),
        }
    }

    fn pairs_and_mutants(&mut self) -> Result<()> {
        match self.random.below(5) {
            0 => self.pair.set_low_wait_high_for(TIMEOUT).map(drop),
            1 => self.pair.set_high_wait_low_for(TIMEOUT).map(drop),
            2 => self.mutant.release().map(drop),
            3 => self.mutant.acquire_for(TIMEOUT).map(std::mem::forget),
            _ => self.mutant.acquire_for(TIMEOUT).map(drop),
        }
    }

    fn units_and_timers(&mut self) -> Result<()> {
        match self.random.below(6) {
            0 => self.units.release(1).map(drop),
            1 => self.units.wait_for(TIMEOUT).map(drop),
            2 => self.timer.set(TIMEOUT / 2),
            3 => self
                .timer
                .set_periodic(TIMEOUT / 4, Duration::from_micros(1)),
            4 => self.timer.cancel(),
            _ => self.timer.wait_for(TIMEOUT).map(drop),
        }
    }

    fn several(&mut self) -> Result<()> {
        let (low, high) = (self.pair.low(), self.pair.high());
        let members: [&dyn wait::Waitable; 7] = [
            &self.mutant,
            &self.auto,
            &self.units,
            &self.manual,
            &self.timer,
            &low,
            &high,
        ];
        let from = self.random.below(6);
        match self.random.below(3) {
            0 => wait::any_for(&members[from..], TIMEOUT).map(drop),
            1 => wait::all_for(&members[from..from + 2], TIMEOUT).map(drop),
            _ => nt::signal_and_wait(&self.auto, &self.manual, Some(TIMEOUT)).map(drop),
        }
    }

    fn memory(&mut self) -> Result<()> {
        let mut bytes = [0; 300];
        let at = self.random.below(65_000);
        self.view.read(at, &mut bytes)?;
        self.view.write(at, &bytes)?;
        self.view
            .word::<u64>(at & !7)?
            .fetch_add(1, Ordering::SeqCst);
        let part = self.bytes.map_part::<Read>(0, 8192)?;
        part.read(4000, &mut bytes)
    }

    fn names(&mut self) -> Result<()> {
        let name = NAMES[self.random.below(NAMES.len())];
        match self.random.below(6) {
            0 => self.space.event(name).create_or_open().map(drop),
            1 => self
                .space
                .semaphore(name, 0, 1)
                .rights(Rights::LOOK)
                .open()
                .map(drop),
            2 => self.space.section(name, 1).open()?.map::<Read>().map(drop),
            3 => self.space.collect().map(drop),
            4 => {
                let own = self.space.event(format!("own{}", self.random.below(3)));
                let (own, _) = own.create_or_open()?;
                own.set()?;
                own.wait_for(TIMEOUT).map(drop)
            }
            _ => Namespace::directory(self.space.path())?
                .mutant(name)
                .open()
                .map(drop),
        }
    }

    fn set(&mut self) -> Result<()> {
        if self.random.below(4) == 0
            && let Some(key) = self.keys.pop()
        {
            self.set.remove(key);
        }
        let low = self.pair.low();
        let members: [&dyn wait::Waitable; 6] = [
            &self.auto,
            &self.manual,
            &self.mutant,
            &self.units,
            &self.timer,
            &low,
        ];
        if self.keys.len() < 6 {
            self.keys.push(self.set.add(members[self.keys.len()])?);
        }
        self.set.wait_for(TIMEOUT).map(drop)
    }

    fn handles(&mut self) -> Result<()> {
        let (one, other) = UnixStream::pair().unwrap();
        match self.random.below(5) {
            0 => self.auto.duplicate(Rights::LOOK)?.query().map(drop),
            1 => self.manual.make_permanent(),
            2 => self.manual.make_temporary(),
            3 => {
                one.send_handle(&self.units)?;
                let known = std::slice::from_ref(&self.space);
                other
                    .receive_handle::<Semaphore>(known)?
                    .wait_for(TIMEOUT)
                    .map(drop)
            }
            _ => {
                one.send_handle(&self.bytes)?;
                let known = std::slice::from_ref(&self.space);
                let section: Section = other.receive_handle(known)?;
                section.map::<Write>()?.write(0, b"x")
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        self.auto.query()?;
        self.looks.query()?;
        self.pair.query()?;
        self.mutant.query()?;
        self.units.query()?;
        self.timer.query().map(drop)
    }

    fn suffer(&mut self) {
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < ORDEAL {
            let began = u64::try_from(start.elapsed().as_millis()).unwrap() + 1;
            self.since.store(began, Ordering::Relaxed);
            let result = self.call();
            self.since.store(0, Ordering::Relaxed);
            let kind = result.err().map_or("Ok".to_owned(), |error| {
                assert!(
                    !error.to_string().is_empty() && error.win32() != 317,
                    "{error}"
                );
                format!("{:?}", error.kind())
            });
            *self.heard.entry(kind).or_default() += 1;
            calls += 1;
        }
        assert!(
            calls > 20,
            "hardly anything was done in time: {:?}",
            self.heard
        );
    }
}

/// Ends the process if one call lasts for ever: it would not end by itself.
fn watch(since: Arc<AtomicU64>) {
    let start = Instant::now();
    std::thread::spawn(move || {
        loop {
            // sleep: a watchdog looks now and then
            std::thread::sleep(Duration::from_millis(50));
            let began = since.load(Ordering::Relaxed);
            let now = u64::try_from(start.elapsed().as_millis()).unwrap();
            if began != 0 && now > began + u64::try_from((TIMEOUT + HANG).as_millis()).unwrap() {
                eprintln!("a call hangs");
                std::process::abort();
            }
        }
    });
}

/// Does everything there is to do in `args[0]`, with the seed `args[1]`.
pub(crate) fn victim(args: &[String]) {
    let mut victim = Victim::new(Path::new(&args[0]), args[1].parse().unwrap()).unwrap();
    watch(victim.since.clone());
    say("ready");
    told();
    victim.suffer();
    say(format!("{:?}", victim.heard));
    told();
}

/// Starts the liar among victims; they stay whole. Then the liar ends, and `after` looks.
fn ordeal(test: &str, lie: &str, after: impl FnOnce(&Namespace)) {
    let space = Namespace::temporary().unwrap();
    let place = space.path().to_str().unwrap().to_owned();
    let objects = born(&space);
    let mut random = Random::of_test(test);
    let mut seed = || random.next().to_string();
    let mut victims: Vec<Peer> = (0..2)
        .map(|_| Peer::start("lies.victim", &[&place, &seed()]))
        .collect();
    for victim in &mut victims {
        assert_eq!(victim.hear().as_deref(), Some("ready"));
    }
    let mut liar = Peer::start("lies.liar", &[&place, lie, &seed()]);
    assert_eq!(liar.hear().as_deref(), Some("lying"));
    for victim in &mut victims {
        victim.tell("suffer");
    }
    for victim in &mut victims {
        let said = victim.hear();
        eprintln!("{test}: {said:?}");
        assert!(
            said.is_some(),
            "{test}: a victim died: {}",
            victim.child.wait().unwrap()
        );
    }
    assert!(
        liar.child.try_wait().unwrap().is_none(),
        "the liar has to lie to the end"
    );
    liar.kill();
    after(&space);
    for victim in victims {
        assert!(
            victim.finish().success(),
            "{test}: a victim failed as it closed"
        );
    }
    drop(objects);
}

#[test]
fn scribbling() {
    ordeal("scribbling", "scribble", |_| {});
}

#[test]
fn marks_of_nobody() {
    ordeal("marks_of_nobody", "marks", |_| {});
}

#[test]
fn truncating() {
    ordeal("truncating", "truncate", |_| {});
}

#[test]
fn punching_holes() {
    ordeal("punching_holes", "punch", |_| {});
}

/// What only delayed leaves nothing behind.
fn all_is_well(space: &Namespace) {
    let event = space.event("after").create().unwrap();
    assert!(!event.set().unwrap() && event.wait_for(GUARD).unwrap());
    let units = space.semaphore("units", 0, 1).open().unwrap();
    if units.query().unwrap().count == 0 {
        units.release(1).unwrap();
    }
    assert!(units.wait_for(GUARD).unwrap());
    assert!(
        Event::options()
            .namespace(space)
            .name("auto")
            .open()
            .unwrap()
            .query()
            .is_ok()
    );
}

#[test]
fn holding_locks() {
    ordeal("holding_locks", "lock", all_is_well);
}

#[test]
fn flooding_wakes() {
    ordeal("flooding_wakes", "flood", all_is_well);
}

// ---- truncation ----------------------------------------------------------------------------

/// Cuts the file `args[1]` of the namespace to `args[2]` bytes.
pub(crate) fn cutter(args: &[String]) {
    let at = Path::new(&args[0]).join(&args[1]);
    let file = File::options().write(true).open(at).unwrap();
    file.set_len(args[2].parse().unwrap()).unwrap();
}

fn cut(space: &Namespace, file: &str, len: u64) {
    let (place, len) = (space.path().to_str().unwrap(), len.to_string());
    let cutter = Peer::start("lies.cutter", &[place, file, &len]);
    assert!(cutter.finish().success());
}

#[test]
fn a_section_truncated_under_a_view_is_broken() {
    let space = Namespace::temporary().unwrap();
    let file = space.path().join(".file");
    for (len, name) in [(0, "all"), (4096 + 8 * 4096, "half")] {
        fs::write(&file, [7; 16 * 4096]).unwrap();
        let own = space.section(name, 1 << 16).create().unwrap();
        let over = space.section(format!("{name}-file"), 0).file(&file);
        let over = over.create().unwrap();
        for (section, victim) in [(&own, format!("o{name}")), (&over, ".file".to_owned())] {
            let whole = section.map::<Write>().unwrap();
            let looks = section.map::<Read>().unwrap();
            whole.write(60_000, b"tea").unwrap();
            cut(&space, &victim, len);
            let mut bytes = [1; 8];
            for view in 0..2 {
                let error = match view {
                    0 => looks.read(60_000, &mut bytes),
                    _ => whole.write(60_000, &bytes),
                };
                let error = refused(error, ErrorKind::Broken);
                assert!(error.to_string().contains(name), "{error}");
            }
            refused(whole.word::<u64>(60_000), ErrorKind::Broken);
            refused(looks.word::<u32>(0), ErrorKind::Broken);
            refused(whole.read(0, &mut bytes), ErrorKind::Broken);
            // A new view meets the same file.
            let again = section.map::<Read>().unwrap();
            refused(again.read(60_000, &mut bytes), ErrorKind::Broken);
            // A word that was had before reads as nothing, and asking afterwards tells.
            let lone = section.map::<Read>().unwrap();
            assert_eq!(lone.word::<u64>(60_000).unwrap().load(Ordering::SeqCst), 0);
            refused(lone.word::<u64>(60_000), ErrorKind::Broken);
        }
        let error = refused(space.section(name, 0).open(), ErrorKind::Layout);
        assert!(error.to_string().contains(&format!("/{name}")), "{error}");
    }
}

#[test]
fn a_truncated_object_is_broken_for_all_who_use_it() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("x").create().unwrap();
    let looks = event.duplicate(Rights::LOOK).unwrap();
    let mutant = space.mutant("m").owned().create().unwrap();
    let whole = space.event("whole").create().unwrap();
    let set = Set::new().unwrap();
    set.add(&whole).unwrap();
    set.add(&event).unwrap();
    cut(&space, "ox", 0);
    cut(&space, "om", 0);
    // The thread behind the set looks at it too, and so does a foreign event loop.
    let mut fds = [rustix::event::PollFd::new(
        &set,
        rustix::event::PollFlags::IN,
    )];
    let guard = rustix::event::Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(rustix::event::poll(&mut fds, Some(&guard)).unwrap(), 1);
    refused(set.wait_for(GUARD), ErrorKind::Broken);
    for error in [
        refused(event.set(), ErrorKind::Broken),
        refused(event.pulse(), ErrorKind::Broken),
        refused(event.wait_for(TIMEOUT), ErrorKind::Broken),
        refused(event.wait(), ErrorKind::Broken),
        refused(event.query().map(drop), ErrorKind::Broken),
        refused(looks.query().map(drop), ErrorKind::Broken),
        refused(wait::any_for(&[&event, &whole], TIMEOUT), ErrorKind::Broken),
        refused(wait::all_for(&[&whole, &event], TIMEOUT), ErrorKind::Broken),
    ] {
        assert!(error.to_string().contains("/x"), "{error}");
        assert_eq!(error.win32(), 1392, "{error}");
    }
    assert!(mutant.release().is_err() && mutant.query().is_err());
    assert!(mutant.try_acquire().is_err());
    // The other goes on.
    assert!(!whole.set().unwrap() && whole.wait_for(GUARD).unwrap());
}

/// Sleeps on `x` until told or woken; says which.
pub(crate) fn sleeper(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event("x").open().unwrap();
    say("asleep");
    let result = event.wait_for(Duration::from_secs(1));
    say(result.map_or_else(|error| format!("{:?}", error.kind()), |won| won.to_string()));
}

#[test]
fn a_truncated_table_says_so_instead_of_losing_decisions() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("x").create().unwrap();
    let mut sleeper = Peer::start("lies.sleeper", &[space.path().to_str().unwrap()]);
    assert_eq!(sleeper.hear().as_deref(), Some("asleep"));
    let state = || fs::read(space.path().join("ox")).unwrap()[128];
    until("somebody sleeps", || state() & 2 != 0);
    let len = fs::metadata(space.path().join(".txn")).unwrap().len();
    cut(&space, ".txn", 0);
    let error = refused(event.set(), ErrorKind::Broken);
    assert!(error.to_string().contains("commit table"), "{error}");
    // Nothing was decided, and the sleeper comes back at its deadline at the latest.
    assert_eq!(sleeper.hear().as_deref(), Some("false"));
    let fresh = Namespace::directory(space.path()).unwrap();
    refused(fresh.event("x").open(), ErrorKind::Layout);
    // Grown again it is a table of nobody: not the one of these objects.
    cut(&space, ".txn", len);
    refused(fresh.event("x").open(), ErrorKind::Layout);
    refused(wait::all_for(&[&event], TIMEOUT), ErrorKind::Broken);
}

// ---- standing still ------------------------------------------------------------------------

/// Stops itself at the step `args[1]` of taking both semaphores, or of setting the event.
pub(crate) fn stopper(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let (a, b) = (
        space.semaphore("a", 0, 1).open(),
        space.semaphore("b", 0, 1).open(),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let event = space.event("e").open().unwrap();
    say("going");
    strait_sys::kill::arm(&args[1], 1, strait_sys::kill::Signal::Stop);
    if args[1].starts_with("all") {
        assert!(wait::all_for(&[&a, &b], GUARD).unwrap().is_some());
        say("won");
        a.release(1).unwrap();
        b.release(1).unwrap();
    } else {
        say(event.set().unwrap());
    }
    say("done");
}

struct Stage {
    space: Namespace,
    a: Semaphore,
    b: Semaphore,
    event: Event,
}

impl Stage {
    fn new() -> Self {
        let space = Namespace::temporary().unwrap();
        let event = space.event("e").reset(Reset::Manual).look_waits();
        Self {
            a: space.semaphore("a", 1, 1).create().unwrap(),
            b: space.semaphore("b", 1, 1).create().unwrap(),
            event: event.create().unwrap(),
            space,
        }
    }

    /// A peer that stands still there.
    fn stopped_at(&self, point: &str) -> Peer {
        let mut peer = Peer::start(
            "lies.stopper",
            &[self.space.path().to_str().unwrap(), point],
        );
        assert_eq!(peer.hear().as_deref(), Some("going"));
        let stat = format!("/proc/{}/stat", peer.child.id());
        until("it stops", || {
            let text = fs::read_to_string(&stat).unwrap();
            text.rsplit_once(") ").unwrap().1.starts_with('T')
        });
        peer
    }
}

fn go_on(peer: &Peer) {
    let pid = i32::try_from(peer.child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
}

#[test]
fn who_stops_before_the_decision_holds_nothing() {
    for point in ["all.marking", "all.marked"] {
        let stage = Stage::new();
        let mut peer = stage.stopped_at(point);
        assert_eq!(stage.a.query().unwrap().count, 1, "{point}");
        assert!(stage.a.wait_for(GUARD).unwrap(), "{point}");
        assert!(stage.b.wait_for(GUARD).unwrap(), "{point}");
        go_on(&peer);
        stage.a.release(1).unwrap();
        // Half of it is nothing.
        assert_eq!(stage.b.query().unwrap().count, 0);
        stage.b.release(1).unwrap();
        assert_eq!(peer.hear().as_deref(), Some("won"));
        assert_eq!(peer.hear().as_deref(), Some("done"));
        assert_eq!(
            stage.a.query().unwrap().count + stage.b.query().unwrap().count,
            2
        );
        // Likewise one that stops for ever.
        let mut peer = stage.stopped_at(point);
        assert!(
            wait::all_for(&[&stage.b, &stage.a], GUARD)
                .unwrap()
                .is_some()
        );
        peer.kill();
        assert_eq!(stage.a.release(1).unwrap() + stage.b.release(1).unwrap(), 0);
    }
}

#[test]
fn who_stops_after_the_decision_has_everything() {
    let stage = Stage::new();
    let mut peer = stage.stopped_at("all.committed");
    assert_eq!(
        stage.a.query().unwrap().count + stage.b.query().unwrap().count,
        0
    );
    assert!(!stage.a.wait_for(TIMEOUT).unwrap());
    let both: [&dyn wait::Waitable; 2] = [&stage.a, &stage.b];
    assert_eq!(wait::any_for(&both, TIMEOUT).unwrap(), None);
    go_on(&peer);
    assert_eq!(peer.hear().as_deref(), Some("won"));
    assert!(wait::all_for(&both, GUARD).unwrap().is_some());
    assert_eq!(peer.hear().as_deref(), Some("done"));
}

#[test]
fn who_stops_while_setting_delays_nobody() {
    let stage = Stage::new();
    let looks = stage.event.duplicate(Rights::LOOK).unwrap();
    let mut before = stage.stopped_at("signal.marked");
    assert!(!looks.query().unwrap().set && !stage.event.wait_for(TIMEOUT).unwrap());
    assert!(!looks.wait_for(TIMEOUT).unwrap());
    assert!(!stage.event.set().unwrap(), "the other has not decided");
    assert!(looks.wait_for(GUARD).unwrap());
    go_on(&before);
    assert_eq!(before.hear().as_deref(), Some("true"));
    assert!(stage.event.reset().unwrap());
    let mut after = stage.stopped_at("signal.woken");
    // It has decided: everybody sees it, also who can only look.
    assert!(looks.query().unwrap().set && looks.wait_for(GUARD).unwrap());
    assert!(stage.event.wait_for(GUARD).unwrap() && stage.event.reset().unwrap());
    go_on(&after);
    assert_eq!(after.hear().as_deref(), Some("false"));
    assert_eq!(after.hear().as_deref(), Some("done"));
    assert!(
        !stage.event.query().unwrap().set,
        "it does not set it a second time"
    );
}
