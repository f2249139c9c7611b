//! A server with a thread for each client: one is killed or stopped, and the others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use strait::ErrorKind;
use strait::channel::{Channel, Listener, Options};

use crate::channel::tempdir::Place;
use crate::death::table::percentiles;
use crate::death::watch::{pid_of, setting};
use crate::peer::{Peer, say, told};
use crate::world::{GUARD, until};

/// Connects, and once told so asks and hears without a pause.
pub(super) fn pinger(args: &[String]) {
    let begin = Instant::now();
    let opened = Channel::open(&args[0], &Options::new());
    let mut channel = opened.unwrap_or_else(|error| panic!("{error}, after {:?}", begin.elapsed()));
    say("here");
    let Some(_) = told() else { return };
    let mut buffer = [0; 64];
    loop {
        channel.send(&[7; 64]).unwrap();
        channel.recv(&mut buffer).unwrap().unwrap();
    }
}

/// What the server knows of one client.
#[derive(Debug, Default)]
struct Served {
    requests: AtomicU64,
    /// The longest time between two requests, in nanoseconds.
    gap: AtomicU64,
}

struct Client {
    served: Arc<Served>,
    peer: Peer,
    thread: JoinHandle<Option<ErrorKind>>,
}

impl Client {
    fn new(listener: &mut Listener) -> Self {
        let mut peer = Peer::start("channel.pinger", &[listener.path().to_str().unwrap()]);
        let channel = listener.accept_for(GUARD).unwrap();
        let channel = channel.expect("the client connects");
        assert_eq!(peer.hear().as_deref(), Some("here"));
        let served = Arc::new(Served::default());
        let by_server = served.clone();
        Self {
            served,
            peer,
            thread: std::thread::spawn(move || serve(channel, &by_server)),
        }
    }

    fn requests(&self) -> u64 {
        self.served.requests.load(Ordering::Relaxed)
    }

    fn await_requests(&self, more: u64) {
        let before = self.requests();
        until("it is served", || self.requests() >= before + more);
    }
}

fn serve(mut channel: Channel, served: &Served) -> Option<ErrorKind> {
    let mut request = [0; 64];
    let mut last = None;
    loop {
        match channel.recv(&mut request) {
            Ok(Some(len)) => {
                let now = Instant::now();
                if let Some(last) = last.replace(now) {
                    let gap = now.duration_since(last).as_nanos();
                    served
                        .gap
                        .fetch_max(gap.try_into().unwrap(), Ordering::Relaxed);
                }
                served.requests.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = channel.send(&request[..len]) {
                    return Some(error.kind());
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(error.kind()),
        }
    }
}

/// The longest gap of each of them while that runs.
fn gaps(others: &[Client], during: impl FnOnce()) -> Vec<Duration> {
    for other in others {
        other.served.gap.store(0, Ordering::Relaxed);
    }
    during();
    for other in others {
        other.await_requests(2);
    }
    let gap = |other: &Client| Duration::from_nanos(other.served.gap.load(Ordering::Relaxed));
    others.iter().map(gap).collect()
}

#[test]
fn a_server_serves_the_others_on_while_one_is_stopped_and_killed() {
    let rounds = setting("STRAIT_DEATH_HITS", 10);
    let place = Place::new();
    let options = Options::new();
    let mut listener = Listener::bind(place.0.join("socket"), 0o600, &options).unwrap();
    let mut others: Vec<_> = (0..3).map(|_| Client::new(&mut listener)).collect();
    for other in &mut others {
        other.peer.tell("go");
    }
    let (mut quiet, mut stopped, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    let window = Duration::from_millis(5);
    for _ in 0..rounds {
        let mut victim = Client::new(&mut listener);
        victim.peer.tell("go");
        victim.await_requests(20);
        let pid = pid_of(&victim.peer);
        // sleep: windows of one length are compared
        quiet.extend(gaps(&others, || std::thread::sleep(window)));
        kill_process(pid, Signal::STOP).unwrap();
        // sleep: as above
        stopped.extend(gaps(&others, || std::thread::sleep(window)));
        kill_process(pid, Signal::CONT).unwrap();
        victim.await_requests(20);
        killed.extend(gaps(&others, || {
            kill_process(pid, Signal::KILL).unwrap();
            // sleep: as above
            std::thread::sleep(window);
        }));
        let heard = victim.thread.join().unwrap();
        assert_eq!(heard, Some(ErrorKind::PeerGone));
    }
    for other in others {
        other.await_requests(10);
        drop(other.peer);
        assert_eq!(other.thread.join().unwrap(), Some(ErrorKind::PeerGone));
    }
    println!("longest gaps of the others in {window:?}:");
    println!("  beside a client at work:  {}", percentiles(&mut quiet));
    println!(
        "  beside one that is stopped: {}",
        percentiles(&mut stopped)
    );
    println!("  beside one that is killed:  {}", percentiles(&mut killed));
}
