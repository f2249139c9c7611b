//! A process that lies without a pause, and a victim with another session beside.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FallocateFlags, fallocate};
use strait::channel::{Channel, Listener, Taken};
use strait::{Error, ErrorKind, wait};
use strait_sys::{futex, pass};

use super::liar::{
    CAPACITY, Greeting, HEAD, Liar, MORE, PAGE, STATE, TAIL, TORN, TOTAL, connected, greet,
    impostors, memory, proper,
};
use super::options;
use crate::channel::tempdir::Place;
use crate::death::watch::setting;
use crate::peer::{Peer, say};
use crate::world::{GUARD, Random, alone};

/// The longest timeout of anything that the victim calls.
const TIMEOUT: Duration = Duration::from_millis(4);
/// More than that after its timeout is a hang.
const HANG: Duration = Duration::from_secs(5);
/// What the victim's process may grow by: far less than what peers lay claim to.
const GROWTH_MAX: u64 = 48 << 20;

const LIES: [&str; 11] = [
    "honest",
    "scribble",
    "records",
    "heads",
    "torn",
    "bells",
    "punch",
    "mute",
    "flood",
    "half",
    "greetings",
];

// ---- the liar ------------------------------------------------------------------------------

/// Lies to whoever listens at `args[0]` in the way `args[1]`, with the seed `args[2]`.
pub(crate) fn liar(args: &[String]) {
    let path = Path::new(&args[0]);
    let mut random = Random::of_seed(args[2].parse().unwrap());
    let mut held = Vec::new();
    say("lying");
    loop {
        if args[1] == "greetings" {
            greetings(path, &mut random, &mut held);
            continue;
        }
        let Some(mut liar) = Liar::connect(path) else {
            std::thread::yield_now();
            continue;
        };
        let lie: fn(&mut Liar, &mut Random) = match &*args[1] {
            "honest" => honest,
            "scribble" => scribble,
            "records" => records,
            "heads" => heads,
            "torn" => torn,
            "bells" => bells,
            "punch" => punch,
            "mute" => mute,
            "flood" => flood,
            "half" => half,
            other => panic!("no such lie: {other}"),
        };
        // Until the victim has had enough of it.
        while !hung_up(&liar) {
            lie(&mut liar, &mut random);
        }
    }
}

fn hung_up(liar: &Liar) -> bool {
    let mut fds = [PollFd::new(&liar.socket, PollFlags::RDHUP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).unwrap() > 0
}

/// Not a lie: what an honest peer costs that is as busy.
fn honest(liar: &mut Liar, random: &mut Random) {
    for _ in 0..64 {
        let read = liar.read_so_far();
        if liar.at.wrapping_sub(read) < CAPACITY / 2 {
            liar.message(&[7; 256][..random.below(256)]);
        }
        let head = liar.theirs.look::<u64>(HEAD).unwrap();
        liar.put(TAIL, head.load(Ordering::Acquire));
    }
    bells(liar, random);
}

/// Random words everywhere.
fn scribble(liar: &mut Liar, random: &mut Random) {
    for _ in 0..64 {
        let (map, len) = match random.below(4) {
            0 => (&liar.own, liar.own.len()),
            1 => (&liar.bells, liar.bells.len()),
            _ => (&liar.own, PAGE),
        };
        let word = map.word::<u64>(random.below(len / 8) * 8).unwrap();
        // Mostly words that mean something: a closed session is no ordeal.
        let value = match random.below(4) {
            0 => random.next(),
            1 => random.next() & 0xffff_fff8,
            _ => random.next() & 0x0003_0000_03f8,
        };
        if word.address() != liar.own.address() + STATE || random.below(64) == 0 {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// A sound session but for its records.
fn records(liar: &mut Liar, random: &mut Random) {
    let head = liar.theirs.look::<u64>(HEAD).unwrap();
    liar.put(TAIL, head.load(Ordering::Acquire));
    for _ in 0..16 {
        // A reader that is behind is not what is wrong here.
        if liar.at.wrapping_sub(liar.read_so_far()) > CAPACITY - 128 {
            return;
        }
        let flags = [0, 0, MORE, MORE, TOTAL | MORE, TORN, TOTAL, 1 << 34][random.below(8)];
        let total = random.next() >> random.below(64);
        let len = if flags & TOTAL == 0 {
            random.below(64)
        } else {
            8
        };
        let mut bytes = total.to_ne_bytes().to_vec();
        bytes.resize(len, 7);
        let wrong = if random.below(64) == 0 {
            random.next()
        } else {
            0
        };
        liar.record((flags | len as u64) ^ wrong, &bytes);
        liar.publish();
    }
}

/// Heads and tails that may be true.
fn heads(liar: &mut Liar, random: &mut Random) {
    let head = liar
        .theirs
        .look::<u64>(HEAD)
        .unwrap()
        .load(Ordering::Acquire);
    let unread = random.below(4096) as u64 & !7;
    liar.put(TAIL, head.wrapping_sub(unread));
    let more = (random.next() % CAPACITY) & !7;
    liar.put(HEAD, liar.read_so_far() + more);
}

/// Messages that are given up, for ever.
fn torn(liar: &mut Liar, _: &mut Random) {
    while liar.at.wrapping_sub(liar.read_so_far()) < CAPACITY - 64 {
        liar.record(TOTAL | MORE | 8, &1000_u64.to_ne_bytes());
        liar.record(MORE | 8, &[1; 8]);
        liar.record(TORN, &[]);
        liar.publish();
    }
}

/// Rings for nothing.
fn bells(liar: &mut Liar, random: &mut Random) {
    for bell in 0..4 {
        let word = liar.bells.word::<u32>(bell * 128).unwrap();
        word.store(
            u32::try_from(random.next() >> 32).unwrap(),
            Ordering::SeqCst,
        );
        let _ = futex::wake(word, u32::MAX);
    }
}

/// Takes away the pages of what both look at, beside messages.
fn punch(liar: &mut Liar, random: &mut Random) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if random.below(4) == 0 {
        liar.message(b"sound");
    }
    let (file, len) = match random.below(4) {
        0 => (&liar.bells_file, PAGE),
        1 => (&liar.file, PAGE),
        _ => (&liar.file, liar.own.len()),
    };
    let at = random.below(len / PAGE) * PAGE;
    fallocate(file, flags, at as u64, PAGE as u64).unwrap();
}

/// Reads nothing and says nothing.
fn mute(liar: &mut Liar, _: &mut Random) {
    let mut fds = [PollFd::new(&liar.socket, PollFlags::RDHUP)];
    poll(&mut fds, None).unwrap();
}

/// Messages without end, by the ring and by the socket, with descriptors.
fn flood(liar: &mut Liar, _: &mut Random) {
    for _ in 0..64 {
        if liar.at.wrapping_sub(liar.read_so_far()) < CAPACITY - 1024 {
            liar.message(&[7; 1000]);
        }
        let file = liar.file.as_fd();
        greet(&liar.socket, &[1; 512], &[file; 200]);
    }
}

/// Says that it goes, and stays.
fn half(liar: &mut Liar, random: &mut Random) {
    liar.message(b"sound");
    if random.below(8) == 0 {
        let how = [rustix::net::Shutdown::Write, rustix::net::Shutdown::Both];
        let _ = rustix::net::shutdown(&liar.socket, how[random.below(2)]);
    }
}

/// Begins sessions in every wrong way, and stalls in some.
fn greetings(path: &Path, random: &mut Random, held: &mut Vec<std::os::fd::OwnedFd>) {
    let Ok(socket) = connected(path) else { return };
    let mut greeting = Greeting::hello();
    let files = impostors();
    let good = proper();
    match random.below(7) {
        0 => greet(
            &socket,
            &greeting.bytes(),
            &[files[random.below(9)].1.as_fd()],
        ),
        1 => greet(
            &socket,
            &greeting.bytes(),
            &vec![good.as_fd(); random.below(253)],
        ),
        2 => {
            let mut bytes = greeting.bytes();
            let at = random.below(bytes.len());
            bytes[at] = random.next().to_le_bytes()[0];
            greet(&socket, &bytes, &[good.as_fd()]);
        }
        // All that may be brought, of which no page is there.
        3 => {
            (greeting.capacity, greeting.blocks) = (1 << 29, 256);
            greeting.block_len = 1 << 21;
            let large = memory(PAGE as u64 + (1 << 30));
            greet(&socket, &greeting.bytes(), &[large.as_fd()]);
            let _ = pass::recv(socket.as_fd(), &mut [0; 8192], 3);
        }
        4 => greet(&socket, &[0; 64][..1 + random.below(63)], &[]),
        5 => {
            held.truncate(100);
            held.insert(0, socket);
        }
        _ => {}
    }
}

// ---- the victim ----------------------------------------------------------------------------

/// What sessions came to, by kind and reason.
type Ends = BTreeMap<String, u64>;

/// Accepts one after another, and does everything with it that has a limit.
fn victim(mut listener: Listener, over: &AtomicBool, seed: u64) -> Ends {
    let mut random = Random::of_seed(seed);
    let mut ends = Ends::new();
    while !over.load(Ordering::Relaxed) {
        let Some(mut channel) = listener.accept_for(TIMEOUT).unwrap() else {
            continue;
        };
        let begin = Instant::now();
        let end = loop {
            if begin.elapsed() > 20 * TIMEOUT {
                break "none: the victim had enough".to_owned();
            }
            let before = Instant::now();
            let called = call(&mut channel, &mut random);
            assert!(before.elapsed() < HANG, "a call hung");
            match called {
                Ok(true) => {}
                Ok(false) => break "the end".to_owned(),
                Err(error) if error.kind() == ErrorKind::TooLong => {
                    *ends.entry(told(&error)).or_default() += 1;
                }
                Err(error) => break told(&error),
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    ends
}

fn told(error: &Error) -> String {
    let kinds = [ErrorKind::Broken, ErrorKind::PeerGone, ErrorKind::TooLong];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(!error.why().is_empty(), "{error} does not say why");
    // Lengths aside.
    let why = error
        .why()
        .replace(|letter: char| letter.is_ascii_digit(), "");
    format!("{:?}: {why}", error.kind())
}

/// One call; false once the peer has closed.
fn call(channel: &mut Channel, random: &mut Random) -> strait::Result<bool> {
    let mut bytes = [0; 3000];
    let taken = match random.below(7) {
        0 => channel.receiver().try_recv(&mut bytes)?,
        1 => channel.recv_for(&mut bytes, TIMEOUT)?,
        2 => channel.recv_for(&mut bytes[..10], TIMEOUT)?,
        3 => {
            let _ = wait::any_for(&[channel.receiver()], TIMEOUT)?;
            let _ = channel.receiver().next_len()?;
            Taken::TimedOut
        }
        4 => {
            channel.sender().try_send(&bytes[..random.below(500)])?;
            Taken::TimedOut
        }
        5 => {
            channel.sender().send_for(&bytes, TIMEOUT)?;
            Taken::TimedOut
        }
        _ => {
            let _ = wait::any_for(&[channel.sender()], TIMEOUT)?;
            Taken::TimedOut
        }
    };
    Ok(taken != Taken::End)
}

/// The median and the 99th percentile of round trips with an honest peer while that runs.
fn round_trips(channel: &mut Channel, until: Instant) -> (Duration, Duration) {
    let mut times = Vec::new();
    let mut reply = [0; 64];
    while Instant::now() < until {
        let before = Instant::now();
        channel.send(&[7; 64]).unwrap();
        let taken = channel.recv_for(&mut reply, GUARD).unwrap();
        assert_eq!(taken, Taken::Message(64), "another session stands still");
        times.push(before.elapsed());
    }
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_peer_that_lies_loses_its_own_session_and_others_go_on() {
    let name = "channel::lies::ordeal::a_peer_that_lies_loses_its_own_session_and_others_go_on";
    alone(name, ordeal);
}

fn ordeal() {
    let mut random = Random::of_test("channel lies");
    // How long the victim stands each.
    let ordeal = Duration::from_millis(setting("STRAIT_ORDEAL_MS", 300));
    let mut beside = super::super::meet("channel.echo", 4096, &[]);
    let (quiet, _) = round_trips(&mut beside.channel, Instant::now() + ordeal);
    println!("round trips of another session, when it is quiet: {quiet:?}");
    let before = resident();
    let mut busy = quiet;
    for lie in LIES {
        let place = Place::new();
        let path = place.0.join("socket");
        let listener = Listener::bind(&path, 0o600, &options()).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let seed = random.next();
        let seen = over.clone();
        let victim: JoinHandle<Ends> = std::thread::spawn(move || victim(listener, &seen, seed));
        let seed = random.next().to_string();
        let mut liar = Peer::start("channel.liar", &[path.to_str().unwrap(), lie, &seed]);
        assert_eq!(liar.hear().as_deref(), Some("lying"));
        let (median, worst) = round_trips(&mut beside.channel, Instant::now() + ordeal);
        over.store(true, Ordering::Relaxed);
        let ends = victim.join().expect("the victim lives");
        assert!(
            liar.child.try_wait().unwrap().is_none(),
            "{lie}: the liar failed"
        );
        drop(liar);
        if lie == "honest" {
            busy = median;
        }
        let times = |base: Duration| median.as_secs_f64() / base.as_secs_f64();
        println!(
            "{lie}: {median:?} (p99 {worst:?}), {:.1} of quiet, {:.1} of beside an honest one",
            times(quiet),
            times(busy)
        );
        for (end, count) in &ends {
            println!("    {count:>6} {end}");
        }
        let sessions: u64 = ends.values().sum();
        assert!(sessions > 0, "{lie}: no session");
        let grown = resident().saturating_sub(before);
        println!("    grown by {} KiB", grown / 1024);
        assert!(grown < GROWTH_MAX, "{lie}: grown by {grown} bytes");
    }
}
