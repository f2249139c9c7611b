//! Looks at objects of a namespace of its own. Imports go by the crate's root, as a user's would.

use std::fs;
use std::time::Duration;

use super::{Depth, Life, Ownership, Seen, State, View, local_places, look, look_at, seats};
use crate::nt::{Event, Section};
use crate::{ErrorKind, Namespace, Reset};

fn view(space: &Namespace) -> View {
    look(std::slice::from_ref(space), Depth::Holders).unwrap()
}

fn named<'a>(view: &'a View, name: &str) -> &'a Seen {
    let is = |seen: &&Seen| {
        seen.name
            .as_ref()
            .is_some_and(|n| n.as_bytes() == name.as_bytes())
    };
    view.objects.iter().find(is).unwrap()
}

#[test]
fn states_come_in_words() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").set().create().unwrap();
    let manual = space.event("manual").reset(Reset::Manual).create().unwrap();
    let pair = space.event_pair("pair").create().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let slots = space.semaphore("slots", 3, 8).create().unwrap();
    let memory = space.section("memory", 5000).create().unwrap();
    let timer = space.timer("timer").create().unwrap();
    pair.set_high().unwrap();
    let guard = mutant.acquire().unwrap();
    let again = mutant.acquire().unwrap();
    let view = view(&space);
    let text = |name| named(&view, name).state.to_string();
    assert_eq!(text("event"), "set, auto");
    assert_eq!(text("manual"), "reset, manual");
    assert_eq!(text("pair"), "low reset, high set");
    let me = std::process::id();
    let tid = rustix::thread::gettid().as_raw_nonzero();
    assert_eq!(text("mutant"), format!("owned by {me}/{tid} depth 2"));
    assert_eq!(text("slots"), "3 of 8");
    assert_eq!(text("memory"), "8192 bytes");
    assert_eq!(text("timer"), "not set, auto");
    assert!(view.strangers.is_empty(), "{:?}", view.strangers);
    for seen in view.objects.iter().filter(|seen| seen.name.is_some()) {
        assert_eq!(seen.life, Life::Held);
        assert_eq!(seen.mode, 0o600);
        assert!(
            seen.holders
                .iter()
                .any(|holder| holder.pid == me && holder.handles == 1)
        );
    }
    drop((guard, again));
    let seen = look_at(&space, "mutant", Depth::Objects).unwrap();
    assert_eq!(seen.objects[0].state, State::Mutant(Ownership::Free));
    drop((event, manual, pair, slots, memory, timer));
}

#[test]
fn a_timer_shows_what_is_left() {
    let space = Namespace::temporary().unwrap();
    let timer = space.timer("timer").create().unwrap();
    let state = || {
        look_at(&space, "timer", Depth::Objects).unwrap().objects[0]
            .state
            .clone()
    };
    timer.set(Duration::from_secs(1000)).unwrap();
    let State::Timer {
        ready: false,
        due: Some(due),
        period: None,
        ..
    } = state()
    else {
        panic!("{:?}", state());
    };
    assert!(due <= Duration::from_secs(1000) && due > Duration::from_secs(100));
    timer.set(Duration::ZERO).unwrap();
    assert_eq!(state().to_string(), "expired, auto");
    timer.wait().unwrap();
    assert_eq!(state().to_string(), "not set, auto");
}

#[test]
fn durations_are_short() {
    let text = |ms| super::state::seconds(Duration::from_millis(ms));
    assert_eq!(text(2), "2.000ms");
    assert_eq!(text(250), "250ms");
    assert_eq!(text(1000), "1s");
    assert_eq!(text(4999), "4.9s");
    assert_eq!(text(1_000_500), "1000s");
}

#[test]
fn a_leftover_stays_and_its_name_is_free() {
    let space = Namespace::temporary().unwrap();
    space.event("old").permanent().create().unwrap();
    assert_eq!(named(&view(&space), "old").life, Life::Permanent);
    let file = space.path().join("oold");
    let mut bytes = fs::read(&file).unwrap();
    bytes[crate::object::layout::PERMANENT] = 0;
    fs::write(&file, bytes).unwrap();
    let seen = view(&space);
    assert_eq!(named(&seen, "old").life, Life::Leftover);
    assert!(named(&seen, "old").holders.is_empty());
    let error = look_at(&space, "old", Depth::Holders).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(file.exists());
}

#[test]
fn looking_does_not_keep_a_name() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("short").create().unwrap();
    let before = view(&space);
    drop(event);
    assert!(!space.path().join("oshort").exists());
    assert_eq!(named(&before, "short").life, Life::Held);
    assert!(view(&space).objects.iter().all(|seen| seen.name.is_none()));
}

#[test]
fn strangers_are_named_with_the_reason() {
    let space = Namespace::temporary().unwrap();
    let at = |entry: &str| space.path().join(entry);
    fs::write(at("ojunk"), [7; 9000]).unwrap();
    fs::write(at("oshort"), b"x").unwrap();
    fs::write(at("README"), b"x").unwrap();
    fs::create_dir(at("odirectory")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("olink")).unwrap();
    let fifo = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("ofifo"),
        rustix::fs::FileType::Fifo,
        fifo,
        0,
    )
    .unwrap();
    space.event("name").permanent().create().unwrap();
    fs::copy(at("oname"), at("oother")).unwrap();
    let mut cut = fs::read(at("oname")).unwrap();
    cut.extend([0; 10]);
    fs::write(at("olonger"), cut).unwrap();
    let view = view(&space);
    let why = |entry: &str| {
        let path = at(entry);
        let found = view.strangers.iter().find(|stranger| stranger.path == path);
        found.unwrap().why.clone()
    };
    assert_eq!(view.strangers.len(), 8);
    assert!(
        view.strangers
            .iter()
            .all(|stranger| stranger.why.starts_with("not an object: "))
    );
    assert!(why("ofifo").ends_with("a FIFO"));
    assert!(why("olink").ends_with("a symbolic link"));
    assert!(why("oother").ends_with("it holds another name"));
    assert!(why("olonger").contains("truncated"), "{}", why("olonger"));
    fs::remove_dir(at("odirectory")).unwrap();
}

#[test]
fn unnamed_objects_are_found_by_their_holders() {
    let space = Namespace::temporary().unwrap();
    let memory = Section::options(4096).namespace(&space).create().unwrap();
    let event = Event::options()
        .namespace(&space)
        .shared()
        .set()
        .create()
        .unwrap();
    let two = memory.duplicate(memory.rights()).unwrap();
    let view = view(&space);
    let mut ours = view.objects.iter().filter(|seen| seen.namespace == Some(0));
    let (first, second) = (ours.next().unwrap(), ours.next().unwrap());
    assert!(ours.next().is_none());
    let (section, flag) = match first.state {
        State::Section { .. } => (first, second),
        _ => (second, first),
    };
    assert_eq!(flag.state.to_string(), "set, auto");
    assert_eq!(section.full_name, "(unnamed section)");
    assert_eq!(section.holders[0].pid, std::process::id());
    assert_eq!(section.holders[0].handles, 2);
    drop((event, two));
}

#[test]
fn seats_are_counted_without_taking_one() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    let look = || seats(&space).unwrap();
    assert_eq!((look().living, look().retired, look().total), (0, 0, 4095));
    assert!(!event.wait_for(Duration::from_millis(1)).unwrap());
    assert_eq!(look().living, 1);
}

#[test]
fn the_local_namespace_is_in_one_of_its_places() {
    let local = Namespace::local().unwrap();
    assert!(local_places().contains(&local.path().to_path_buf()));
}
