//! A client and a server with a bad network between them, by seeds.
//!
//! A failure prints the seed; `STRAIT_SEED=N` runs that one alone.

use core::time::Duration;
use std::env;
use std::panic::{self, AssertUnwindSafe};

use super::pair::{Outcome, Pair, Random, Weather};

const SEEDS: u64 = 200;
const CALLS: u32 = 50;

/// Runs `one` with each seed, or with the one that is asked for. It counts what the network did to
/// it, which with all seeds is something.
fn with_seeds(one: impl Fn(u64) -> usize) {
    if let Ok(seed) = env::var("STRAIT_SEED") {
        one(seed.parse().expect("STRAIT_SEED is a number"));
        return;
    }
    let mut suffered = 0;
    for seed in 0..SEEDS {
        match panic::catch_unwind(AssertUnwindSafe(|| one(seed))) {
            Ok(counted) => suffered += counted,
            Err(panic) => {
                std::println!("STRAIT_SEED={seed} shows it again");
                panic::resume_unwind(panic);
            }
        }
    }
    assert!(suffered > 0, "the network was too good to show anything");
}

fn calm() -> Weather {
    Weather {
        loss: 0,
        twice: 0,
        delay_ms: 20,
        cut: 0,
    }
}

fn run(seed: u64, stream: bool, weather: Weather, patience: Duration) -> Pair {
    let mut pair = Pair::new(seed, stream, weather);
    for number in 0..CALLS {
        pair.call(number, patience);
    }
    pair.run();
    pair
}

fn count(pair: &Pair, outcome: Outcome) -> usize {
    let outcomes = pair.outcomes.values();
    outcomes.filter(|ended| **ended == outcome).count()
}

/// Every call is answered, and done once, however often it and its reply are lost, doubled and
/// overtaken.
#[test]
fn datagrams_are_lost_doubled_and_overtaken_and_each_call_is_done_once() {
    with_seeds(|seed| {
        let mut random = Random(!seed);
        let weather = Weather {
            loss: random.below(40),
            twice: random.below(40),
            // Longer than the first pauses: calls are repeated while they are being done.
            delay_ms: 1 + random.below(1500),
            cut: 0,
        };
        let pair = run(seed, false, weather, Duration::from_secs(600));
        assert_eq!(
            count(&pair, Outcome::Doubled),
            CALLS as usize,
            "{weather:?}"
        );
        assert!(pair.done.values().all(|times| *times == 1), "{weather:?}");
        assert_eq!(pair.done.len(), CALLS as usize);
        pair.repeated
    });
}

/// With little patience some calls are given up, and none is done twice for that.
#[test]
fn a_call_that_is_given_up_is_done_once_at_most() {
    with_seeds(|seed| {
        let weather = Weather {
            loss: 50,
            twice: 20,
            ..calm()
        };
        let pair = run(seed, false, weather, Duration::from_secs(3));
        assert!(pair.done.values().all(|times| *times == 1));
        assert_eq!(pair.outcomes.len(), CALLS as usize);
        assert_eq!(count(&pair, Outcome::Cut), 0);
        count(&pair, Outcome::TimedOut)
    });
}

#[test]
fn streams_come_in_pieces_and_each_reply_finds_its_call() {
    with_seeds(|seed| {
        let pair = run(seed, true, calm(), Duration::from_secs(600));
        assert_eq!(count(&pair, Outcome::Doubled), CALLS as usize);
        assert!(pair.done.values().all(|times| *times == 1));
        pair.overtaken
    });
}

#[test]
fn a_stream_that_is_cut_ends_every_call_and_repeats_none() {
    with_seeds(|seed| {
        let weather = Weather { cut: 5, ..calm() };
        let pair = run(seed, true, weather, Duration::from_secs(600));
        assert_eq!(pair.outcomes.len(), CALLS as usize);
        assert!(pair.done.values().all(|times| *times == 1));
        assert_eq!(count(&pair, Outcome::TimedOut), 0);
        count(&pair, Outcome::Cut)
    });
}
