//! Storms over channels: one side is killed or stopped at a random moment or at a named point
//! while messages of all lengths flow both ways. The survivor hears of it, has every message that
//! was sent whole, in order and once, and nothing of any other.

mod server;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions, kill_process, waitpid};
use strait::channel::{Channel, Listener, Options};
use strait_sys::kill;

use crate::channel::tempdir::Place;
use crate::death::points_in;
use crate::death::table::percentiles;
use crate::death::watch::{Ledger, STUCK, go_on, hear_within, pid_of, setting};
use crate::peer::{Peer, Role, say, told};
use crate::world::Random;

use self::traffic::{End, Flow, Journal, call, drain, pour, pour_in_turn};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("channel.victim", victim),
    ("channel.pinger", server::pinger),
];

// The victim's numbers in the ledger.
const BEGUN: usize = 0;
const SENT: usize = 1;

/// The smallest ring, the usual one and a larger one.
const CAPACITIES: [usize; 3] = [4096, 32 << 10, 256 << 10];

/// A sender comes there only after many messages in a row to a reader that is awake.
const SELDOM: &[&str] = &["channel.fenced", "channel.lean"];

/// Points of ends that are given to other holders.
const SHARING: &[&str] = &["channel.alone", "channel.arrived", "channel.shared"];

/// Points of a server of many and of its clients, and of pipes that are shared, which have tables
/// of their own: plain channels have none of these.
const ELSEWHERE: &[&str] = &[
    "channel.some",
    "door.bell",
    "door.bit",
    "door.summary",
    "flow.marked",
    "flow.summed",
    "flow.told",
];

impl Journal for Ledger {
    fn begun(&self, count: u64) {
        self.put(BEGUN, count);
    }

    fn sent(&self, count: u64) {
        self.put(SENT, count);
    }
}

/// Told `side what capacity seed point nth signal`, has a session until it is killed. At `-` no
/// point is armed.
fn victim(args: &[String]) {
    let place = PathBuf::from(&args[0]);
    let ledger = Ledger::of(&place);
    say("ready");
    let Some(order) = told() else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let capacity: usize = words[2].parse().unwrap();
    let seed: u64 = words[3].parse().unwrap();
    if words[4] != "-" {
        let signal = match words[6] {
            "KILL" => kill::Signal::Kill,
            _ => kill::Signal::Stop,
        };
        kill::arm(words[4], words[5].parse().unwrap(), signal);
    }
    let options = traffic::options(capacity);
    let path = place.join("socket");
    let channel = if words[0] == "connect" {
        Channel::open(path, &options).unwrap()
    } else {
        let mut listener = Listener::bind(path, 0o600, &options).unwrap();
        say("bound");
        listener.accept_for(STUCK).unwrap().unwrap()
    };
    let count = AtomicU64::new(0);
    let mut random = Random::of_seed(!seed);
    let end = if words[1] == "calls" {
        call(channel, true, &mut random, &ledger, &count)
    } else {
        let (mut sender, mut receiver) = channel.split();
        let shares = words[1] == "shares";
        std::thread::spawn(move || {
            let mut random = Random::of_seed(seed);
            let error = if shares {
                pour_in_turn(sender, &mut random, capacity, &ledger)
            } else {
                pour(&mut sender, &mut random, capacity, &ledger)
            };
            panic!("the survivor does not go: {error}");
        });
        drain(&mut receiver, &mut random, capacity, &count)
    };
    let why = match end {
        End::Closed => "the survivor closed".into(),
        End::Failed(error) => error.to_string(),
        End::Wrong(what) => what,
    };
    panic!("the victim, after {count:?} messages: {why}");
}

/// How and when the victim dies or stops.
#[derive(Copy, Clone, Debug)]
enum Blow<'a> {
    /// So long after it was told to begin: mostly during the handshake.
    Early(Duration),
    /// So long after its first message.
    Late(Duration),
    /// At the nth hit of the point.
    Point(&'a str, u64),
}

/// What a trial found.
#[derive(Debug, Default)]
struct Found {
    /// From the kill until both ends knew, where the moment of the kill is known.
    heard: Option<Duration>,
    messages: u64,
    /// The session had begun.
    met: bool,
}

/// A place for one victim after another, and an honest session beside.
struct Stage {
    place: Place,
    ledger: Ledger,
    ready: Option<Peer>,
    random: Random,
    beside: Beside,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let place = Place::new();
        Self {
            ledger: Ledger::of(&place.0),
            ready: None,
            random: Random::of_seed(seed),
            beside: Beside::new(),
            place,
        }
    }

    /// One that waits for its order; the next one starts meanwhile.
    fn newcomer(&mut self) -> Result<Peer, String> {
        let begin = || Peer::start("channel.victim", &[self.place.0.to_str().unwrap()]);
        let mut peer = self.ready.take().unwrap_or_else(begin);
        self.ready = Some(begin());
        match hear_within(&mut peer, STUCK).as_deref() {
            Some("ready") => Ok(peer),
            other => Err(format!("a newcomer cannot begin: {other:?}")),
        }
    }

    fn trial(&mut self, blow: Blow<'_>, signal: &str) -> Result<Found, String> {
        let mut peer = self.newcomer()?;
        let capacity = CAPACITIES[self.random.below(CAPACITIES.len())];
        let seed = self.random.next() >> 1;
        let connects = self.random.below(2) == 0;
        self.ledger.put(BEGUN, 0);
        self.ledger.put(SENT, 0);
        let armed = match blow {
            Blow::Point(point, nth) => format!("{point} {nth} {signal}"),
            _ => "- 0 KILL".to_owned(),
        };
        let side = if connects { "connect" } else { "accept" };
        let what = match blow {
            Blow::Point(point, _) if point.starts_with("mailbox.") => "calls",
            Blow::Point(point, _) if SHARING.contains(&point) => "shares",
            Blow::Point(..) => "flow",
            _ => ["calls", "calls", "shares", "flow", "flow", "flow", "flow"][self.random.below(7)],
        };
        let options = traffic::options(capacity);
        let path = self.place.0.join("socket");
        let order = format!("{side} {what} {capacity} {seed} {armed}");
        let mut listener = connects.then(|| Listener::bind(&path, 0o600, &options).unwrap());
        peer.tell(&order);
        if let Blow::Early(after) = blow {
            let pid = pid_of(&peer);
            // The peer is waited for below, and not before: the number stays its own.
            std::thread::spawn(move || {
                // sleep: the moment is random, that is what is tested
                std::thread::sleep(after);
                let _ = kill_process(pid, Signal::KILL);
            });
        }
        let met = match &mut listener {
            Some(listener) => accepted(listener, &mut peer),
            None => opened(&path, &options, &mut peer),
        };
        drop(listener);
        let channel = match (met, blow) {
            (Ok(channel), _) => channel,
            (Err(_), Blow::Early(_) | Blow::Point(..)) if is_over(&mut peer) => {
                return Ok(Found::default());
            }
            (Err(why), _) => return Err(format!("{order}: no session: {why}")),
        };
        let flow = if what == "calls" {
            Flow::answer(channel, seed ^ 0x5a5a)
        } else {
            Flow::start(channel, seed ^ 0x5a5a, capacity)
        };
        let found = self.blow(blow, signal, &mut peer, &flow);
        let found = found.and_then(|heard| self.reconcile(&flow, heard));
        found.map_err(|why| format!("{order}: {why}"))
    }

    /// Lets it fall, and waits until the survivor knows.
    fn blow(
        &mut self,
        blow: Blow<'_>,
        signal: &str,
        peer: &mut Peer,
        flow: &Flow,
    ) -> Result<Option<Duration>, String> {
        if signal == "STOP" {
            stopped(peer)?;
            self.beside.goes_on()?;
            let before = flow.count();
            go_on(pid_of(peer));
            // Its own session goes on where it stood.
            await_count(flow, before + 2)?;
        }
        if let Blow::Late(after) = blow {
            await_count(flow, 1)?;
            // sleep: the moment is random, that is what is tested
            std::thread::sleep(after);
        }
        let mut at = None;
        if matches!(blow, Blow::Late(_)) || signal == "STOP" {
            at = Some(Instant::now());
            kill_process(pid_of(peer), Signal::KILL).unwrap();
        }
        let heard = flow.mourned(STUCK)?;
        let status = ended(peer).ok_or("it lives on: the point is never hit")?;
        if !was_killed(status) {
            return Err(format!("it ended by itself: {status}"));
        }
        Ok(at.map(|at| heard.duration_since(at)))
    }

    /// Whether what was received is what was sent.
    fn reconcile(&self, flow: &Flow, heard: Option<Duration>) -> Result<Found, String> {
        let (sent, begun) = (self.ledger.get(SENT), self.ledger.get(BEGUN));
        let received = flow.count();
        if !(sent..=begun).contains(&received) {
            return Err(format!(
                "{received} messages of at least {sent} and at most {begun}"
            ));
        }
        Ok(Found {
            heard,
            messages: received,
            met: true,
        })
    }
}

/// Waits for a client that may die on its way.
fn accepted(listener: &mut Listener, peer: &mut Peer) -> Result<Channel, String> {
    let begin = Instant::now();
    while begin.elapsed() < STUCK {
        let moment = Duration::from_millis(10);
        match listener.accept_for(moment) {
            Ok(Some(channel)) => return Ok(channel),
            Ok(None) if peer.child.try_wait().is_ok_and(|status| status.is_some()) => {
                return Err("it is dead".into());
            }
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("nobody connects".into())
}

fn opened(path: &PathBuf, options: &Options, peer: &mut Peer) -> Result<Channel, String> {
    if hear_within(peer, STUCK).as_deref() != Some("bound") {
        return Err("it does not listen".into());
    }
    Channel::open(path, options).map_err(|error| error.to_string())
}

fn is_over(peer: &mut Peer) -> bool {
    ended(peer).is_some()
}

/// How it ended, if it does in time.
fn ended(peer: &mut Peer) -> Option<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Ok(Some(status)) = peer.child.try_wait() {
            return Some(status);
        }
        if begin.elapsed() > STUCK {
            return None;
        }
        std::thread::yield_now();
    }
}

/// Waits until it stands still.
fn stopped(peer: &Peer) -> Result<(), String> {
    let begin = Instant::now();
    let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
    loop {
        match waitpid(Some(pid_of(peer)), options).unwrap() {
            Some((_, status)) if status.stopped() => return Ok(()),
            Some((_, status)) => return Err(format!("it ended in place of stopping: {status:?}")),
            None if begin.elapsed() > STUCK => return Err("the point is never hit".into()),
            None => std::thread::yield_now(),
        }
    }
}

fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::KILL.as_raw())
}

fn await_count(flow: &Flow, count: u64) -> Result<(), String> {
    let begin = Instant::now();
    while flow.count() < count {
        if begin.elapsed() > STUCK {
            return Err(format!("stuck after {} messages", flow.count()));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// A session of the same process with somebody who is not killed.
struct Beside {
    channel: Channel,
    _peer: Peer,
    _place: Place,
}

impl Beside {
    fn new() -> Self {
        let met = super::meet("channel.echo", 4096, &[]);
        Self {
            channel: met.channel,
            _peer: met.peer,
            _place: met.place,
        }
    }

    fn goes_on(&mut self) -> Result<(), String> {
        let mut reply = [0; 8];
        for number in 0..20_u64 {
            let fail = |error: strait::Error| error.to_string();
            self.channel.send(&number.to_le_bytes()).map_err(fail)?;
            let taken = self.channel.recv_for(&mut reply, STUCK).map_err(fail)?;
            reply.reverse();
            if reply != number.to_le_bytes() {
                return Err(format!("the session beside it has {taken:?}"));
            }
        }
        Ok(())
    }
}

// ---- random kills --------------------------------------------------------------------------

#[derive(Debug, Default)]
struct Report {
    kills: u64,
    met: u64,
    messages: u64,
    heard: Vec<Duration>,
    wrong: Vec<String>,
}

/// 60 kills here, 10,000 in `cargo xtask storm`.
#[test]
fn whoever_survives_a_random_kill_has_what_was_sent_and_hears_of_it() {
    let kills = setting("STRAIT_STORM_KILLS", 60);
    let seed = Random::of_test("channel storm").next();
    let report = Mutex::new(Report::default());
    let left = AtomicU64::new(kills);
    let work = |seed: u64| {
        let mut stage = Stage::new(seed);
        let take = |left: u64| left.checked_sub(1);
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            let after = Duration::from_micros(stage.random.below(3000) as u64);
            let blow = match stage.random.below(8) {
                0 => Blow::Early(after),
                _ => Blow::Late(after),
            };
            let found = stage.trial(blow, "KILL");
            let mut report = report.lock().unwrap();
            report.kills += 1;
            match found {
                Ok(found) => {
                    report.met += u64::from(found.met);
                    report.messages += found.messages;
                    report.heard.extend(found.heard);
                }
                Err(why) => report.wrong.push(why),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(seed));
        scope.spawn(|| work(!seed));
    });
    let mut report = report.into_inner().unwrap();
    println!(
        "{} kills, {} in a session, which had received {} messages",
        report.kills, report.met, report.messages
    );
    println!(
        "from the kill until both ends knew: {}",
        percentiles(&mut report.heard)
    );
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert_eq!(report.kills, kills);
}

// ---- named points --------------------------------------------------------------------------

#[derive(Debug, Default)]
struct Row {
    kills: u64,
    stops: u64,
    wrong: Vec<String>,
}

/// Each is hit five times by each signal here, a hundred times in `cargo xtask storm`.
#[test]
fn at_every_point_of_a_channel_the_other_side_goes_on() {
    let hits = setting("STRAIT_DEATH_HITS", 5);
    let seed = Random::of_test("channel points").next();
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let mut points = BTreeSet::new();
    points_in(&package.join("src/channel"), &mut points);
    points.retain(|point| !ELSEWHERE.contains(&&**point));
    assert!(points.len() >= 5, "the sources are not where they were");
    let table = Arc::new(Mutex::new(BTreeMap::<&str, Row>::new()));
    let queue = Mutex::new(points.iter());
    let work = |seed: u64| {
        let mut stage = Stage::new(seed);
        loop {
            let Some(point) = queue.lock().unwrap().next() else {
                return;
            };
            for round in 0..2 * hits {
                let signal = ["KILL", "STOP"][usize::from(round % 2 == 1)];
                let nth_max = if SELDOM.contains(&&**point) { 1 } else { 40 };
                let nth = 1 + stage.random.below(nth_max) as u64;
                let found = stage.trial(Blow::Point(point, nth), signal);
                let mut table = table.lock().unwrap();
                let row = table.entry(point).or_default();
                match (found, signal) {
                    (Ok(_), "KILL") => row.kills += 1,
                    (Ok(_), _) => row.stops += 1,
                    (Err(why), _) => row.wrong.push(why),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(seed));
        scope.spawn(|| work(!seed));
    });
    let table = table.lock().unwrap();
    println!("{:<18}{:>7}{:>7}", "point", "kills", "stops");
    for (point, row) in table.iter() {
        println!("{point:<18}{:>7}{:>7}", row.kills, row.stops);
    }
    let wrong: Vec<_> = table.values().flat_map(|row| &row.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for point in &points {
        let row = table.get(&**point);
        let hit = row.is_some_and(|row| row.kills >= hits && row.stops >= hits);
        assert!(hit, "{point}: not hit {hits} times by each signal");
    }
}
