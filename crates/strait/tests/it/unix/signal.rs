//! Signals between processes: order, values, senders, limits, and what is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};
use rustix::thread::gettid;
use strait::nt::Event;
use strait::unix::process;
use strait::unix::signal::{
    self, Bell, ChildChange, Code, Disposition, Mask, Received, Receiver, Scope, Set, Signal,
};
use strait::wait::{self, Process, Waitable};
use strait::{ErrorKind, Result};
use strait_sys::spawn::{Signals, Start};

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, USERS, as_user, is_root, no_users, refused, skip, until};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("signal.receiver", receiver),
    ("signal.prober", prober),
    ("signal.sender", sender),
    ("signal.flood", flood),
    ("signal.latecomer", latecomer),
    ("signal.forker", forker),
    ("signal.parent", parent),
];

const ZERO: Duration = Duration::ZERO;

fn rt(n: u32) -> Signal {
    Signal::realtime(n).unwrap()
}

/// As a line: signal, code, sender and value.
fn shown(received: Option<Received>) -> String {
    let Some(one) = received else {
        return "nothing".into();
    };
    let sender = one.sender.map_or("nobody".into(), |sender| {
        let claimed = if sender.claimed { " claimed" } else { "" };
        format!("{}/{}{claimed}", sender.pid, sender.uid)
    });
    let value = one
        .value
        .map_or("-".into(), |value| value.word().to_string());
    format!("{} {:?} {sender} {value}", one.signal, one.code)
}

// ---- processes -----------------------------------------------------------------------------

/// Blocks the signals of `args`, and does as it is told.
fn receiver(args: &[String]) {
    let set: Set = args.iter().map(|name| name.parse().unwrap()).collect();
    let signals = set.block().unwrap();
    let event = Event::options().create().unwrap();
    say(gettid().as_raw_nonzero());
    while let Some(line) = told() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["recv"] => say(shown(signals.recv_for(GUARD).unwrap())),
            ["drain", count] => say(drain(&signals, count.parse().unwrap())),
            ["recv", count] => say(in_row(&signals, count.parse().unwrap())),
            ["try"] => say(shown(signals.try_recv().unwrap())),
            ["wait"] => {
                let members: [&dyn Waitable; 2] = [&event, &signals];
                let won = wait::any_for(&members, GUARD).unwrap().unwrap();
                say(format!(
                    "{} {}",
                    won.index,
                    shown(signals.try_recv().unwrap())
                ));
            }
            ["limit", limit] => {
                let maximum = getrlimit(Resource::Sigpending).maximum;
                let current = Some(limit.parse().unwrap());
                setrlimit(Resource::Sigpending, Rlimit { current, maximum }).unwrap();
                say("limited");
            }
            _ => panic!("{line}"),
        }
    }
}

/// Takes so many; their values, which must all be of one signal.
fn in_row(signals: &Receiver, count: usize) -> String {
    let values = (0..count).map(|_| {
        let one = signals.recv_for(GUARD).unwrap().expect("one is missing");
        one.value
            .map_or("-".into(), |value| value.int().to_string())
    });
    values.collect::<Vec<_>>().join(" ")
}

/// Takes the values from 0 up to a count, which must come in this order.
fn drain(signals: &Receiver, count: i32) -> String {
    for expected in 0..count {
        let found = signals.recv_for(GUARD).unwrap().and_then(|one| one.value);
        if found != Some(expected.into()) {
            return format!("{found:?} in the place of {expected}");
        }
    }
    "all in order".into()
}

/// Sends RTMIN+1 to the process `args[0]` with the values from 0 up to `args[1]`, and waits where
/// its queue is full; says how often that was.
fn flood(args: &[String]) {
    let pid = args[0].parse().unwrap();
    let mut full = 0_u64;
    for value in 0..args[1].parse::<i32>().unwrap() {
        while let Err(error) = signal::send_value(pid, rt(1), value) {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
            full += 1;
            std::thread::yield_now();
        }
    }
    say(full);
}

/// Sends `args[1]` to the process `args[0]` with the values 1 to `args[2]`, and stays.
fn sender(args: &[String]) {
    let pid = args[0].parse().unwrap();
    for value in 1..=args[2].parse::<i32>().unwrap() {
        signal::send_value(pid, args[1].parse().unwrap(), value).unwrap();
    }
    say("sent");
    told();
}

/// Says what came of signalling the process `args[0]`.
fn prober(args: &[String]) {
    let pid = args[0].parse().unwrap();
    let kind = |result: Result<()>| format!("{:?}", result.map_err(|error| error.kind()));
    let sent = kind(signal::send(pid, Signal::WINCH));
    say(format!("{} {sent}", kind(signal::probe(pid))));
    let continued = |pid| kind(signal::send(pid, Signal::CONT));
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
    let same = continued(pid);
    // In a session of its own nobody is of the same.
    rustix::process::setsid().unwrap();
    say(format!("{same} {}", continued(parent.unsigned_abs())));
}

/// Starts a process that blocks these from its start, in every thread: the harness runs roles
/// beside its own.
pub(crate) fn blocking(command: &mut Command, signals: &[Signal]) -> Peer {
    let blocked = strait_sys::signal::Set::new(signals.iter().copied());
    let signals = Signals {
        blocked,
        ..Signals::default()
    };
    let _start = Start::prepare(command, signals, None).unwrap();
    Peer::of(command)
}

struct Target {
    peer: Peer,
    pid: u32,
    thread: u32,
}

impl Target {
    fn start(signals: &[&str]) -> Self {
        Self::of(&mut command("signal.receiver", signals), signals)
    }

    fn of(command: &mut Command, signals: &[&str]) -> Self {
        let signals: Vec<_> = signals.iter().map(|name| name.parse().unwrap()).collect();
        let mut peer = blocking(command, &signals);
        let thread = peer.hear().unwrap().parse().unwrap();
        let pid = peer.child.id();
        Self { peer, pid, thread }
    }
}

fn own() -> u32 {
    std::process::id()
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

// ---- order and values ----------------------------------------------------------------------

#[test]
fn fifty_queued_signals_arrive_all_and_in_order() {
    let mut to = Target::start(&["RTMIN+1"]);
    for value in -25..25 {
        signal::send_value(to.pid, rt(1), value).unwrap();
    }
    let all: Vec<String> = (-25..25).map(|value: i32| value.to_string()).collect();
    assert_eq!(to.peer.ask("recv 50"), all.join(" "));
    assert_eq!(to.peer.ask("try"), "nothing");
}

#[test]
fn the_lower_number_comes_first_and_of_one_number_the_first_sent() {
    let mut to = Target::start(&["USR1", "RTMIN+2", "RTMIN+5"]);
    for (signal, value) in [
        (rt(5), 1_usize),
        (rt(2), 2),
        (rt(5), 3),
        (rt(2), usize::MAX),
    ] {
        signal::send_value(to.pid, signal, value).unwrap();
    }
    signal::send(to.pid, Signal::USR1).unwrap();
    let (own, uid) = (own(), uid());
    let queued = |name: &str, value: usize| format!("{name} Queue {own}/{uid} claimed {value}");
    assert_eq!(to.peer.ask("recv"), format!("SIGUSR1 Kill {own}/{uid} -"));
    assert_eq!(to.peer.ask("recv"), queued("SIGRTMIN+2", 2));
    assert_eq!(to.peer.ask("recv"), queued("SIGRTMIN+2", usize::MAX));
    assert_eq!(to.peer.ask("recv"), queued("SIGRTMIN+5", 1));
    assert_eq!(to.peer.ask("recv"), queued("SIGRTMIN+5", 3));
    assert_eq!(to.peer.ask("try"), "nothing");
}

#[test]
fn standard_signals_coalesce_and_keep_the_first_value() {
    let mut to = Target::start(&["USR1"]);
    for value in 1..=3 {
        signal::send_value(to.pid, Signal::USR1, value).unwrap();
    }
    let (own, uid) = (own(), uid());
    let first = format!("SIGUSR1 Queue {own}/{uid} claimed 1");
    assert_eq!(to.peer.ask("recv"), first);
    assert_eq!(to.peer.ask("try"), "nothing");
}

#[test]
fn a_thread_a_group_and_a_pidfd_are_reached() {
    let signals = ["USR1", "USR2", "RTMIN+4"];
    let mut to = Target::of(
        command("signal.receiver", &signals).process_group(0),
        &signals,
    );
    let (own, uid) = (own(), uid());
    signal::send_thread(to.pid, to.thread, Signal::USR1).unwrap();
    assert_eq!(to.peer.ask("recv"), format!("SIGUSR1 Thread {own}/{uid} -"));
    signal::send_thread_value(to.pid, to.thread, rt(4), 9).unwrap();
    assert_eq!(to.peer.ask("recv 1"), "9");
    signal::send_group(to.pid, Signal::USR2).unwrap();
    assert_eq!(to.peer.ask("recv"), format!("SIGUSR2 Kill {own}/{uid} -"));
    let process = Process::open(to.pid).unwrap();
    let pidfd = process.pidfd().unwrap();
    signal::send_value_to(&pidfd, rt(4), 7).unwrap();
    assert_eq!(to.peer.ask("recv 1"), "7");
    signal::send_to(&pidfd, Signal::USR1, Scope::Process).unwrap();
    assert_eq!(to.peer.ask("recv"), format!("SIGUSR1 Kill {own}/{uid} -"));
    match signal::send_to(&pidfd, Signal::USR2, Scope::ProcessGroup) {
        Ok(()) => assert_eq!(to.peer.ask("recv"), format!("SIGUSR2 Kill {own}/{uid} -")),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
    }
    refused(
        signal::send_thread(to.pid, own, Signal::USR1),
        ErrorKind::PeerGone,
    );
}

// ---- limits and deaths ---------------------------------------------------------------------

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let name = "a_full_queue_refuses_and_loses_nothing";
    let signals = ["RTMIN+1", "RTMIN+2"];
    let mut peer = command("signal.receiver", &signals);
    // The queue is counted for all processes of a user: a user of its own, where that can be.
    match no_users() {
        None => drop(as_user(&mut peer, USERS[0])),
        Some(why) => skip(name, format!("{why}: with the queue of this user")),
    }
    let mut to = Target::of(&mut peer, &signals);
    let limit = 8 + signal::look(to.pid).unwrap().queue.queued;
    assert_eq!(to.peer.ask(&format!("limit {limit}")), "limited");
    let mut sent = 0;
    let full = loop {
        match signal::send_value(to.pid, rt(1), sent) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent <= 8, "more than the limit");
    };
    assert_eq!(full.kind(), ErrorKind::Exhausted, "{full}");
    assert!(full.why().contains("RLIMIT_SIGPENDING"), "{full}");
    assert!(sent > 0);
    let look = signal::look(to.pid).unwrap();
    assert_eq!(look.queue.limit, Some(limit));
    assert!(look.pending.contains(rt(1)) && look.blocked.contains(rt(2)));
    // kill(2) still gets through, and says less.
    signal::send(to.pid, rt(2)).unwrap();
    signal::send(to.pid, rt(2)).unwrap();
    let all: Vec<String> = (0..sent).map(|value| value.to_string()).collect();
    assert_eq!(to.peer.ask(&format!("recv {sent}")), all.join(" "));
    assert_eq!(to.peer.ask("recv"), "SIGRTMIN+2 Kill 0/0 -");
    assert_eq!(to.peer.ask("try"), "nothing");
    signal::send_value(to.pid, rt(1), 99).unwrap();
    assert_eq!(to.peer.ask("recv 1"), "99");
}

/// `cargo xtask soak` has a million of them.
#[test]
fn a_flood_of_values_passes_in_order_through_a_full_queue() {
    let count = std::env::var("STRAIT_SOAK_COUNT").unwrap_or_else(|_| "20000".into());
    let mut to = Target::start(&["RTMIN+1"]);
    let limit = 100 + signal::look(to.pid).unwrap().queue.queued;
    assert_eq!(to.peer.ask(&format!("limit {limit}")), "limited");
    let begin = std::time::Instant::now();
    let mut from = Peer::start("signal.flood", &[&to.pid.to_string(), &count]);
    // It takes none until the queue was full for the first time.
    until("the queue is full", || {
        signal::look(to.pid).unwrap().queue.queued >= limit
    });
    assert_eq!(to.peer.ask(&format!("drain {count}")), "all in order");
    let full: u64 = from.hear().unwrap().parse().unwrap();
    assert!(full > 0, "the queue was never full");
    let took = begin.elapsed();
    println!("{count} signals with values in {took:?}; the queue was full {full} times");
}

#[test]
fn what_a_killed_sender_sent_arrives() {
    let mut to = Target::start(&["RTMIN+1"]);
    let mut from = Peer::start("signal.sender", &[&to.pid.to_string(), "RTMIN+1", "10"]);
    assert_eq!(from.hear().unwrap(), "sent");
    let pid = from.child.id();
    from.kill();
    let first = to.peer.ask("recv");
    assert_eq!(first, format!("SIGRTMIN+1 Queue {pid}/{} claimed 1", uid()));
    assert_eq!(to.peer.ask("recv 9"), "2 3 4 5 6 7 8 9 10");
}

#[test]
fn a_dead_receiver_is_gone_once_it_was_waited_for() {
    let mut to = Target::start(&["USR1"]);
    let process = Process::open(to.pid).unwrap();
    to.peer.child.kill().unwrap();
    wait::any_for(&[&process], GUARD).unwrap().unwrap();
    // A zombie takes signals without effect.
    signal::send_value(to.pid, rt(1), 1).unwrap();
    signal::probe(to.pid).unwrap();
    to.peer.child.wait().unwrap();
    for result in [
        signal::send(to.pid, Signal::USR1),
        signal::probe(to.pid),
        signal::send_to(&process.pidfd().unwrap(), Signal::USR1, Scope::Process),
        signal::look(to.pid).map(drop),
    ] {
        refused(result, ErrorKind::PeerGone);
    }
}

#[test]
fn another_users_process_is_refused() {
    let expected = "Err(Denied) Err(Denied)";
    if !is_root() {
        let denied = refused(signal::probe(1), ErrorKind::Denied);
        assert!(denied.why().contains("CAP_KILL"), "{denied}");
        return;
    }
    if let Some(why) = no_users() {
        return skip("another_users_process_is_refused", why);
    }
    let mut peer = command("signal.prober", &[&own().to_string()]);
    let mut peer = Peer::of(as_user(&mut peer, USERS[0]));
    assert_eq!(peer.hear().unwrap(), expected);
    // The exception for job control: anybody of the session may continue its processes.
    assert_eq!(peer.hear().unwrap(), "Ok(()) Err(Denied)");
}

// ---- what is refused -----------------------------------------------------------------------

#[test]
fn what_cannot_be_blocked_is_refused() {
    use Signal as S;
    for signal in [S::KILL, S::STOP, S::SEGV, S::BUS, S::FPE, S::ILL] {
        let error = refused(Set::new([S::USR1, signal]).block(), ErrorKind::InvalidInput);
        assert_eq!(error.subject(), signal.to_string());
        assert!(!error.why().is_empty());
        refused(Mask::block([signal]), ErrorKind::InvalidInput);
        refused(signal::ignore(signal), ErrorKind::InvalidInput);
        refused(signal::default(signal), ErrorKind::InvalidInput);
        refused(Bell::new(signal), ErrorKind::InvalidInput);
    }
    refused(Set::new([]).block(), ErrorKind::InvalidInput);
}

/// Has a thread that does not block what all others do.
fn latecomer(_: &[String]) {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (tell, unblocked) = std::sync::mpsc::channel();
    // The kernel cuts it at 15 bytes: in the middle of a letter.
    let early = std::thread::Builder::new().name("early-12345678é".into());
    let early = early.spawn(move || {
        let _open = Mask::unblock([Signal::TERM]).unwrap();
        tell.send(()).unwrap();
        stopped.recv().unwrap_err();
    });
    unblocked.recv().unwrap();
    let both = || Set::new([Signal::TERM, Signal::USR1]);
    let error = refused(both().block(), ErrorKind::InvalidInput);
    say(error.why());
    drop(stop);
    early.unwrap().join().unwrap();
    let signals = both().block().unwrap();
    let inherited = std::thread::spawn(|| signal::blocked().unwrap().contains(Signal::TERM));
    assert!(inherited.join().unwrap());
    // It may be received elsewhere than where it was blocked.
    let taken = std::thread::spawn(move || {
        say("ready");
        signals.recv_for(GUARD).unwrap().unwrap().signal
    });
    say(taken.join().unwrap());
}

#[test]
fn blocking_is_refused_while_a_thread_does_not_block() {
    let mut late = command("signal.latecomer", &[]);
    let mut peer = blocking(&mut late, &[Signal::TERM, Signal::USR1]);
    let why = peer.hear().unwrap();
    let name = "\"early-12345678\u{fffd}\" does not block SIGTERM,";
    assert!(why.contains(name), "{why}");
    assert_eq!(peer.hear().unwrap(), "ready");
    signal::send(peer.child.id(), Signal::TERM).unwrap();
    assert_eq!(peer.hear().unwrap(), "SIGTERM");
    assert!(peer.finish().success());
}

#[test]
fn a_process_is_looked_at_whatever_its_name() {
    let place = std::env::temp_dir().join(format!("strait-name-{}", own()));
    std::fs::create_dir(&place).unwrap();
    let program = place.join(OsStr::from_bytes(b"\xff) Z\nSigIgn:\t0"));
    std::os::unix::fs::symlink("/bin/cat", &program).unwrap();
    let mut command = Command::new(&program);
    let nohup = process::Options::new().ignore([Signal::HUP]);
    let mut child = nohup.start(command.stdin(Stdio::piped())).unwrap();
    let ignored = signal::look(child.id()).unwrap().ignored;
    assert_eq!(ignored, Set::new([Signal::HUP]));
    assert!(child.wait().unwrap().success());
    std::fs::remove_dir_all(&place).unwrap();
}

/// Uses a receiver and a bell in a forked child.
fn forker(_: &[String]) {
    let signals = Set::new([Signal::USR1]).block().unwrap();
    let bell = Bell::new(Signal::USR2).unwrap();
    let before = signal::blocked().unwrap();
    signal::send(own(), Signal::USR1).unwrap();
    let child = strait_sys::fork::run_child(|| {
        refused(signals.try_recv(), ErrorKind::Unsupported);
        refused(bell.take(), ErrorKind::Unsupported);
        // The child's signal does not ring the parent's bell.
        signal::send(getpid().as_raw_nonzero().get().unsigned_abs(), Signal::USR2).unwrap();
        assert!(
            signal::pending().unwrap().is_empty(),
            "pending signals are not inherited"
        );
        assert_eq!(signal::blocked().unwrap(), before, "the mask is");
        drop(signals);
        let mine = Set::new([Signal::USR1]).block().unwrap();
        assert!(mine.try_recv().unwrap().is_none());
        0
    });
    let child = child.expect("one thread");
    let ended = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
    say(format!("{:?}", ended.unwrap().unwrap().1.exit_status()));
    say(format!("{:?}", bell.take().unwrap()));
    signal::send(own(), Signal::USR2).unwrap();
    // Any thread may be the one that is interrupted.
    wait::any_for(&[&bell], GUARD).unwrap().unwrap();
    say(format!("{:?}", bell.take().unwrap()));
}

#[test]
fn a_forked_child_has_its_own_signals() {
    let mut peer = blocking(&mut command("signal.forker", &[]), &[Signal::USR1]);
    assert_eq!(peer.hear().unwrap(), "Some(0)");
    assert_eq!(peer.hear().unwrap(), "None", "the child rang");
    assert_eq!(peer.hear().unwrap(), "Some(1)");
}

// ---- in this process -----------------------------------------------------------------------

#[test]
fn masks_undo_what_they_changed_in_any_order() {
    // The mask is this thread's alone.
    let blocked = |signal| signal::blocked().unwrap().contains(signal);
    let outer = Mask::block([rt(10), rt(11)]).unwrap();
    let inner = Mask::block([rt(11), rt(12)]).unwrap();
    drop(outer);
    assert_eq!([rt(10), rt(11), rt(12)].map(blocked), [false, false, true]);
    let open = Mask::unblock([rt(12), rt(13)]).unwrap();
    assert!(!blocked(rt(12)));
    drop(open);
    assert_eq!([rt(12), rt(13)].map(blocked), [true, false]);
    drop(inner);
    assert!(!blocked(rt(12)));
}

#[test]
fn a_receiver_gives_the_mask_back_as_it_was() {
    let mask = Mask::block([rt(14)]).unwrap();
    let signals = Set::new([rt(14), rt(15)]).block_thread().unwrap();
    let me = u32::try_from(gettid().as_raw_nonzero().get()).unwrap();
    signal::send_thread_value(own(), me, rt(15), 5).unwrap();
    wait::any_for(&[&signals], GUARD).unwrap().unwrap();
    assert_eq!(signals.recv().unwrap().value.unwrap().int(), 5);
    assert!(wait::any_for(&[&signals], ZERO).unwrap().is_none());
    drop(signals);
    let blocked = signal::blocked().unwrap();
    assert!(blocked.contains(rt(14)) && !blocked.contains(rt(15)));
    drop(mask);
}

#[test]
fn dispositions_come_back() {
    let signal = rt(20);
    let now = || signal::disposition(signal).unwrap();
    assert_eq!(now(), Disposition::Default);
    let ignored = signal::ignore(signal).unwrap();
    assert_eq!(now(), Disposition::Ignore);
    signal::send(own(), signal).unwrap();
    assert!(signal::look(own()).unwrap().ignored.contains(signal));
    let default = signal::default(signal).unwrap();
    assert_eq!(now(), Disposition::Default);
    drop(default);
    drop(ignored);
    assert_eq!(now(), Disposition::Default);
    assert_ne!(signal::queue().unwrap().limit, Some(0));
    // Rust's start-up has seen to that.
    assert_eq!(
        signal::disposition(Signal::PIPE).unwrap(),
        Disposition::Ignore
    );
}

#[test]
fn a_bell_rings_and_wakes_a_wait() {
    let bell = Bell::new(rt(21)).unwrap();
    refused(Bell::new(rt(21)), ErrorKind::Busy);
    assert!(wait::any_for(&[&bell], ZERO).unwrap().is_none());
    assert_eq!(bell.take().unwrap(), None);
    signal::send(own(), rt(21)).unwrap();
    wait::any_for(&[&bell], GUARD).unwrap().unwrap();
    assert_eq!(bell.take().unwrap(), Some(1));
    assert!(signal::look(own()).unwrap().handled.contains(rt(21)));
    drop(bell);
    assert_eq!(signal::disposition(rt(21)).unwrap(), Disposition::Default);
}

/// Has children and says how they ended.
fn parent(_: &[String]) {
    let signals = Set::new([Signal::CHLD]).block().unwrap();
    for (script, change) in [
        ("exit 3", ChildChange::Exited(3)),
        ("kill -TERM $$", ChildChange::Killed(15)),
    ] {
        let mut child = Command::new("sh");
        let mut child = child.args(["-c", script]).spawn().unwrap();
        let told = signals.recv_for(GUARD).unwrap().unwrap();
        assert_eq!(told.code, Code::Child(change));
        assert_eq!(told.sender.unwrap().pid, child.id());
        child.wait().unwrap();
    }
    say("right");
}

#[test]
fn the_end_of_a_child_is_told_by_its_code() {
    let mut peer = blocking(&mut command("signal.parent", &[]), &[Signal::CHLD]);
    assert_eq!(peer.hear().as_deref(), Some("right"));
}

// ---- in a wait, for every tier -------------------------------------------------------------

/// A process waits for an event and signals together; the signal wakes it and is then taken.
pub(crate) fn a_signal_wakes_a_wait_with_an_event() {
    let mut to = Target::start(&["TERM", "RTMIN+1"]);
    let (own, uid) = (own(), uid());
    for round in 0..3 {
        to.peer.tell("wait");
        if round > 0 {
            // Asleep by then, most likely; it may not be, and must be right all the same.
            crate::death::watch::let_sleep(to.pid, i32::try_from(to.thread).unwrap());
        }
        signal::send_value(to.pid, rt(1), round).unwrap();
        let heard = to.peer.hear().unwrap();
        assert_eq!(
            heard,
            format!("1 SIGRTMIN+1 Queue {own}/{uid} claimed {round}")
        );
    }
    signal::send(to.pid, Signal::TERM).unwrap();
    assert_eq!(to.peer.ask("wait"), format!("1 SIGTERM Kill {own}/{uid} -"));
}
