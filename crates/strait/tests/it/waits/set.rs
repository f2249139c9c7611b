use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait::Namespace;
use strait::nt::{Event, Timer};
use strait::wait::{self, Process, Set};

use crate::death::watch::{STUCK, hear_within};
use crate::peer::Peer;

fn guard() -> Timespec {
    Timespec::try_from(STUCK).unwrap()
}

/// Sleeps until the set's descriptor is readable, as an event loop that knows nothing of it would.
fn polled(set: &Set) {
    let mut fds = [PollFd::new(set, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&guard())).unwrap(),
        1,
        "never announced"
    );
}

pub(crate) fn a_thousand_members_each_have_their_turn() {
    const MEMBERS: usize = 1000;
    let space = Namespace::temporary().unwrap();
    let set = Set::new().unwrap();
    let event = |index: usize| match index % 10 {
        0 => space.event(format!("e{index}")).create().unwrap(),
        _ => Event::options().create().unwrap(),
    };
    let events: Vec<Event> = (0..MEMBERS).map(event).collect();
    let keys: Vec<_> = events.iter().map(|event| set.add(event).unwrap()).collect();
    assert_eq!(set.len(), MEMBERS);
    assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
    // All at once: each is won exactly once.
    for event in &events {
        event.set().unwrap();
    }
    let mut won: Vec<_> = (0..MEMBERS)
        .map(|_| set.wait_for(STUCK).unwrap().expect("ready").key)
        .collect();
    assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), MEMBERS);
    // One by one, from another thread, while the set sleeps.
    std::thread::scope(|scope| {
        let (turn, next) = std::sync::mpsc::channel::<usize>();
        let events = &events;
        scope.spawn(move || {
            while let Ok(index) = next.recv() {
                events[index].set().unwrap();
            }
        });
        for index in (0..MEMBERS).step_by(7) {
            turn.send(index).unwrap();
            let won = set.wait_for(STUCK).unwrap().expect("announced");
            assert_eq!(won.key, keys[index]);
        }
        drop(turn);
    });
    assert!(set.remove(keys[5]) && !set.remove(keys[5]));
    events[5].set().unwrap();
    assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
    assert!(events[5].query().unwrap().set);
}

pub(crate) fn a_foreign_event_loop_polls_it() {
    let space = Namespace::temporary().unwrap();
    let set = Set::new().unwrap();
    let named = space.event("named").create().unwrap();
    let private = Event::options().create().unwrap();
    let keys = [&named, &private].map(|event| set.add(event).unwrap());
    let foreign = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&foreign, &set, EventData::new_u64(7), EventFlags::IN).unwrap();
    let heard = |wait: &Timespec| {
        let mut events = [epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; 4];
        epoll::wait(&foreign, &mut events[..], Some(wait)).unwrap()
    };
    for round in 0..20 {
        let index = round % 2;
        [&named, &private][index].set().unwrap();
        assert_eq!(heard(&guard()), 1, "round {round}");
        let won = set.wait_for(Duration::ZERO).unwrap().expect("it said so");
        assert_eq!(won.key, keys[index]);
        // Level-triggered: readable until a look finds nothing, quiet after it.
        while heard(&Timespec::default()) > 0 {
            assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
        }
    }
}

pub(crate) fn objects_descriptors_timers_and_processes_mix() {
    let space = Namespace::temporary().unwrap();
    let set = Set::new().unwrap();
    let event = space.event("event").create().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let timer = Timer::options().create().unwrap();
    let (pipe, mut writer) = std::io::pipe().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let fd = wait::readable(&pipe);
    let key = |member: &dyn wait::Waitable| set.add(member).unwrap();
    let keys = [key(&event), key(&timer), key(&fd)];
    let process = key(&Process::of(&child).unwrap());
    let delay = key(&wait::after(Duration::from_millis(5)));
    let won = || set.wait_for(STUCK).unwrap().expect("announced");
    assert_eq!(won().key, delay);
    assert!(set.remove(delay));
    event.set().unwrap();
    assert_eq!(won().key, keys[0]);
    timer.set(Duration::from_millis(1)).unwrap();
    polled(&set);
    assert_eq!(won().key, keys[1]);
    writer.write_all(b"x").unwrap();
    polled(&set);
    assert_eq!(won().key, keys[2]);
    assert!(set.remove(keys[2]));
    drop(child.stdin.take());
    assert_eq!(won().key, process);
    child.wait().unwrap();
    assert!(set.remove(process));
    // A mutant that an owner left.
    let owner = std::thread::spawn({
        let mutant = space.mutant("mutant").open().unwrap();
        move || std::mem::forget(mutant.acquire().unwrap())
    });
    owner.join().unwrap();
    let key = set.add(&mutant).unwrap();
    polled(&set);
    let won = won();
    assert_eq!((won.key, won.abandoned), (key, true));
    mutant.release().unwrap();
}

/// The set hears of a signal by the signal, and not by its look every 100 ms: that would take far
/// longer than the guard.
pub(crate) fn a_member_that_was_taken_announces_its_next_signal_at_once() {
    const ROUNDS: usize = 600;
    let space = Namespace::temporary().unwrap();
    let units = space.semaphore("units", 0, 1).create().unwrap();
    let events = super::any::four_events(&space);
    let set = Set::new().unwrap();
    for event in &events {
        set.add(event).unwrap();
    }
    set.add(&units).unwrap();
    let begin = Instant::now();
    for round in 0..ROUNDS {
        // The same one again and again: nothing else makes the set look.
        match events.get(round / 120) {
            Some(event) => assert!(!event.set().unwrap()),
            None => assert_eq!(units.release(1).unwrap(), 0),
        }
        polled(&set);
        assert!(set.wait_for(Duration::ZERO).unwrap().is_some());
        assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
        assert!(
            begin.elapsed() < STUCK,
            "{round} of {ROUNDS}: only by looking"
        );
    }
}

pub(crate) fn a_mutant_that_its_owner_frees_is_announced_at_once() {
    const ROUNDS: usize = 600;
    let space = Namespace::temporary().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let set = Set::new().unwrap();
    set.add(&mutant).unwrap();
    let theirs = space.mutant("mutant").open().unwrap();
    let ((tell, told), (say, said)) = (channel::<()>(), channel::<()>());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while told.recv().is_ok() {
                let guard = theirs.acquire().unwrap();
                say.send(()).unwrap();
                told.recv().unwrap();
                drop(guard);
            }
        });
        let begin = Instant::now();
        for round in 0..ROUNDS {
            tell.send(()).unwrap();
            said.recv().unwrap();
            assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
            tell.send(()).unwrap();
            polled(&set);
            assert!(
                begin.elapsed() < STUCK,
                "{round} of {ROUNDS}: only by looking"
            );
        }
        drop(tell);
    });
}

pub(crate) fn signals_from_another_process_are_announced() {
    let space = Namespace::temporary().unwrap();
    let ping = space.event("ping").create().unwrap();
    let pong = space.event("pong").create().unwrap();
    let set = Set::new().unwrap();
    set.add(&pong).unwrap();
    let mut peer = Peer::start("smoke.echo", &[space.path().to_str().unwrap(), "200"]);
    assert_eq!(hear_within(&mut peer, STUCK).as_deref(), Some("ready"));
    for _ in 0..200 {
        ping.set().unwrap();
        polled(&set);
        assert!(set.wait_for(STUCK).unwrap().is_some());
    }
    assert!(peer.finish().success());
}
