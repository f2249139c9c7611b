//! How soon two processes that were idle spin again: after each pause of 30 ms, how many round
//! trips over a channel are slow before they are as fast as before it.
//!
//! ```sh
//! cargo run --release -p strait-bench --example resume
//! ```

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use strait::Namespace;
use strait::channel::{Channel, Listener, Options};
use strait_sys::cpu;

/// Between two bursts.
const IDLE: Duration = Duration::from_millis(30);
const PAUSES: usize = 200;
/// Round trips after each pause.
const TRIPS: usize = 64;
/// So many times the round trip of two that spin, and it is a slow one.
const SLOW: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        return echo(Path::new(&path));
    }
    if cpu::count() < 2 {
        return Err("it takes two CPUs: on one nobody spins".into());
    }
    let space = Namespace::temporary()?;
    let path = space.path().join("channel");
    let mut listener = Listener::bind(&path, 0o600, &Options::new())?;
    let mut far = Command::new(std::env::current_exe()?).arg(&path).spawn()?;
    let result = measure(&mut listener.accept()?);
    // It ends when the channel is closed.
    far.wait()?;
    result
}

/// The other process.
fn echo(path: &Path) -> Result<(), Box<dyn Error>> {
    cpu::pin(1)?;
    let mut channel = Channel::open(path, &Options::new())?;
    let mut buffer = [0; 64];
    while let Some(len) = channel.recv(&mut buffer)? {
        channel.send(&buffer[..len])?;
    }
    Ok(())
}

fn trip(channel: &mut Channel) -> Result<Duration, Box<dyn Error>> {
    let (begin, mut buffer) = (Instant::now(), [0; 64]);
    channel.send(&buffer)?;
    channel
        .recv(&mut buffer)?
        .ok_or("the other process ended")?;
    Ok(begin.elapsed())
}

fn measure(channel: &mut Channel) -> Result<(), Box<dyn Error>> {
    cpu::pin(0)?;
    let trips: Result<Vec<_>, _> = (0..200_000).map(|_| trip(channel)).collect();
    let mut trips = trips?;
    trips.drain(..100_000);
    trips.sort_unstable();
    let spinning = trips[trips.len() / 2];
    let (mut slow, mut firsts) = (Vec::new(), Vec::new());
    for _ in 0..PAUSES {
        // sleep: both sides are idle; that is what is measured.
        std::thread::sleep(IDLE);
        let burst: Result<Vec<_>, _> = (0..TRIPS).map(|_| trip(channel)).collect();
        let burst = burst?;
        // Up to the first of four fast ones: one alone may be luck.
        let fast = |four: &[Duration]| four.iter().all(|trip| *trip < spinning * SLOW);
        slow.push(burst.windows(4).position(fast).unwrap_or(TRIPS));
        firsts.push(burst[0]);
    }
    slow.sort_unstable();
    firsts.sort_unstable();
    println!("spinning: {spinning:?} a round trip");
    println!("the first after {IDLE:?} idle: {:?}", firsts[PAUSES / 2]);
    let (median, high, most) = (slow[PAUSES / 2], slow[PAUSES * 9 / 10], slow[PAUSES - 1]);
    println!("slow ones after {IDLE:?} idle: {median} (median), {high} (90 of 100), {most} (most)");
    Ok(())
}
