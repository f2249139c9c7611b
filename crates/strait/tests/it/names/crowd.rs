//! Very many: a hundred thousand names, ten thousand events without a descriptor.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::nt::Event;
use strait::{Birth, ErrorKind, Namespace};

use super::path;
use crate::peer::{Peer, say, told};
use crate::world::{GUARD, Random, alone, objects_in, refused, skip};

/// Most objects that one process of a crowd holds: each takes a map, of which Linux allows 65,530.
const MAPS_MAX: u64 = 60_000;
/// Descriptors that a process needs for itself.
const SPARE: u64 = 64;

/// Objects of one namespace, held by as many processes as their limits demand. Object `i` is the
/// event `crowd-<i>`. For tests here; a bench starts the role `names.hold` in the same way.
pub(crate) struct Crowd {
    /// With the range of objects each holds.
    pub(crate) holders: Vec<(Peer, std::ops::Range<u64>)>,
}

impl Crowd {
    /// Starts the holders and waits until everything is there; or why that cannot be.
    pub(crate) fn gather(space: &Namespace, count: u64) -> std::result::Result<Self, String> {
        let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let each = limit.saturating_sub(SPARE).min(MAPS_MAX).min(count);
        if each == 0 || count.div_ceil(each) > 64 {
            return Err(format!("{limit} descriptors a process are too few"));
        }
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"));
        let available = available
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .unwrap_or(u64::MAX);
        let room = rustix::fs::statvfs(space.path()).unwrap();
        let room = (room.f_bavail * room.f_frsize / 1024).min(available);
        if room < count * 8 {
            return Err(format!("{room} KiB of memory are too few"));
        }
        let mut holders: Vec<_> = (0..count.div_ceil(each))
            .map(|index| {
                let range = index * each..((index + 1) * each).min(count);
                let (from, to) = (range.start.to_string(), range.end.to_string());
                (Peer::start("names.hold", &[path(space), &from, &to]), range)
            })
            .collect();
        for (holder, range) in &mut holders {
            let said = holder.hear();
            assert_eq!(said.as_deref(), Some("held"), "{range:?}");
        }
        Ok(Self { holders })
    }

    /// The process that holds object `index`.
    fn holder(&mut self, index: u64) -> &mut Peer {
        let mut holders = self.holders.iter_mut();
        let found = holders.find(|(_, range)| range.contains(&index));
        &mut found.unwrap().0
    }
}

fn crowd_name(index: u64) -> String {
    format!("crowd-{index}")
}

/// Holds the objects from `args[1]` until `args[2]`; answers `set I` and `look I`, ends at `end`.
pub(crate) fn hold(args: &[String]) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .unwrap();
    let space = Namespace::directory(&args[0]).unwrap();
    let (from, to): (u64, u64) = (args[1].parse().unwrap(), args[2].parse().unwrap());
    let held: Vec<Event> = (from..to)
        .map(|index| space.event(crowd_name(index)).create().unwrap())
        .collect();
    say("held");
    while let Some(line) = told() {
        let (verb, index) = line.split_once(' ').unwrap_or((&line, "0"));
        let index: u64 = index.parse().unwrap();
        match verb {
            "set" => say(held[usize::try_from(index - from).unwrap()].set().unwrap()),
            "look" => say(held[usize::try_from(index - from).unwrap()]
                .query()
                .unwrap()
                .set),
            _ => break,
        }
    }
    drop(held);
    say("closed");
}

#[test]
fn a_hundred_thousand_names_in_one_namespace() {
    alone(
        "names::crowd::a_hundred_thousand_names_in_one_namespace",
        || {
            const COUNT: u64 = 100_000;
            let space = Namespace::temporary().unwrap();
            let mut crowd = match Crowd::gather(&space, COUNT) {
                Ok(crowd) => crowd,
                Err(why) => return skip("a_hundred_thousand_names_in_one_namespace", why),
            };
            assert_eq!(objects_in(space.path()), 100_000);
            let mut random = Random::of_test("a_hundred_thousand_names_in_one_namespace");
            for _ in 0..500 {
                let index = random.next() % COUNT;
                let (event, birth) = space.event(crowd_name(index)).create_or_open().unwrap();
                assert_eq!(birth, Birth::Opened);
                let holder = crowd.holder(index);
                // One and the same object, and no neighbour of it.
                assert_eq!(holder.ask(&format!("set {index}")), "false", "{index}");
                assert!(event.wait_for(GUARD).unwrap());
                assert_eq!(holder.ask(&format!("look {index}")), "false");
                drop(event);
                // Others hold it: our close took nothing along.
                assert!(space.event(crowd_name(index)).open().is_ok());
                let mine = format!("mine-{index}");
                let (event, birth) = space.event(&*mine).create_or_open().unwrap();
                assert_eq!(birth, Birth::Created);
                drop(event);
                refused(space.event(&*mine).open(), ErrorKind::NotFound);
            }
            assert_eq!(objects_in(space.path()), 100_000);
            let (mut killed, dead) = crowd.holders.swap_remove(0);
            killed.kill();
            for index in dead.clone().step_by(97) {
                refused(space.event(crowd_name(index)).open(), ErrorKind::NotFound);
            }
            let reborn = space.event(crowd_name(dead.start)).create().unwrap();
            assert!(!reborn.query().unwrap().set);
            for (_, living) in &crowd.holders {
                for index in living.clone().step_by(97) {
                    assert!(space.event(crowd_name(index)).open().is_ok(), "{index}");
                }
            }
            drop(reborn);
            for (holder, _) in &mut crowd.holders {
                assert_eq!(holder.ask("end"), "closed");
            }
            space.collect().unwrap();
            assert_eq!(objects_in(space.path()), 0, "every name has gone");
        },
    );
}

// ---- 10,000 without a descriptor -------------------------------------------------------------

fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// 10,000 unnamed events where 256 descriptors are allowed.
pub(crate) fn unnamed(_: &[String]) {
    const COUNT: u64 = 10_000;
    let few = Some(256);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: few,
            maximum: few,
        },
    )
    .unwrap();
    let before = resident_bytes();
    let events: Vec<Event> = (0..COUNT)
        .map(|_| Event::options().create().unwrap())
        .collect();
    for event in &events {
        assert!(!event.set().unwrap());
    }
    let each = resident_bytes().saturating_sub(before) / COUNT;
    for event in &events {
        assert!(event.wait_for(std::time::Duration::ZERO).unwrap());
        assert!(!event.query().unwrap().set);
    }
    drop(events);
    // The memory is used again, and what was set there before does not show.
    let again: Vec<Event> = (0..COUNT)
        .map(|_| Event::options().create().unwrap())
        .collect();
    assert!(again.iter().all(|event| !event.query().unwrap().set));
    say(each);
}

#[test]
fn ten_thousand_unnamed_events_under_256_descriptors() {
    let mut peer = Peer::start("names.unnamed", &[]);
    let each: u64 = peer.hear().expect("it survived").parse().unwrap();
    eprintln!("memory of an unnamed event: {each} bytes");
    assert!(each < 2048, "{each} bytes for an event");
    assert!(peer.finish().success());
}
