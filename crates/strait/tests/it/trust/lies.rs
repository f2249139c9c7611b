//! A process with write access that lies: others get answers, errors or wrong states, and live on.
//!
//! A liar works on the files of a namespace until it is killed, while victims in other processes do
//! everything that can be done with the objects. A victim must not panic, die of a signal, or be
//! kept longer than its deadline and a guard against hanging.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use strait::nt::{Event, EventPair, Mutant, Read, Reset, Section, Semaphore, Timer, View, Write};
use strait::wait::{self, Key, Set};
use strait::{HandleSocket, Namespace, Result, Rights, nt};
use strait_sys::futex;
use strait_sys::map::{Access, Map};
use strait_sys::ofd_lock::{Lock, try_lock};

use crate::peer::{Peer, say, told};
use crate::world::{GUARD, Random};

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
