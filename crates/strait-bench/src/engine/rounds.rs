//! Near's work: rounds of chunks, each between two chunks of the probe.
//!
//! A round runs one chunk of the subject and one of each thing it is compared with. It is dropped
//! when a side was switched off its CPU against its will during one of its chunks (on separate
//! CPUs; on one CPU the two sides displace each other by design), when the probes around a chunk
//! disagree, or when others used the CPUs while its window lasted.

use std::mem;
use std::time::{Duration, Instant};

use strait_sys::time::monotonic_ns;

use super::drive::Driver;
use super::load::{Load, involuntary_switches};
use super::protocol::{Chunk, Measured, Plan, Round};
use super::stats;
use crate::engine::link::{Link, Order, Receipt};
use crate::{Failure, Measure, Outcome, Placement};

/// Over how long foreign load is looked at.
const WINDOW: Duration = Duration::from_millis(250);
/// Two probes agree when neither took this much longer than the other.
const AGREE: f64 = 1.3;
/// Every so many rounds the trips of the subject are timed one by one, for the percentile.
const TRIPS_EVERY: usize = 4;
/// With fewer undisturbed rounds a row takes half as long again.
const ROUNDS_MIN: usize = 8;
/// Single trips kept.
const TRIPS_MAX: usize = 1 << 20;
/// Length of a probe's chunk, while that of a subject is the plan's.
const PROBE_US: u64 = 300;
/// The most steps in a chunk.
const COUNT_MAX: u64 = 1 << 18;

/// Measures what `plan` says until its budget is used up. `alive` is told now and then.
pub(crate) fn measure(
    plan: &Plan,
    link: &Link,
    drivers: Vec<Box<dyn Driver>>,
    pair: [u32; 2],
    alive: &mut dyn FnMut() -> Outcome<()>,
) -> Outcome<Measured> {
    let mut bench = Bench {
        link,
        step_ns: vec![0.0; drivers.len()],
        strict: plan.placement == Some(Placement::Split),
        streams: streams(plan),
        trips: Vec::new(),
        verified: 0,
        drivers,
    };
    for slot in 0..bench.drivers.len() {
        bench.warm_up(slot)?;
        alive()?;
    }
    let budget = Duration::from_millis(plan.budget_ms);
    let (end, latest) = (
        Instant::now() + budget,
        Instant::now() + budget.mul_f64(1.5),
    );
    let mut measured = Measured::default();
    while Instant::now() < end || (measured.rounds.len() < ROUNDS_MIN && Instant::now() < latest) {
        bench.window(plan, pair, &mut measured)?;
        alive()?;
    }
    let clock = clock_ns();
    measured.p99 = stats::percentile(&mut bench.trips, 0.99).map(|ns| (ns - clock).max(0.0));
    measured.verified = bench.verified;
    Ok(measured)
}

/// Whether each candidate is a stream, whose clock starts with far's first message.
fn streams(plan: &Plan) -> Vec<bool> {
    plan.candidates
        .iter()
        .map(|one| matches!(one.job.measure, Measure::Oneway | Measure::Bandwidth))
        .collect()
}

struct Bench<'a> {
    link: &'a Link,
    drivers: Vec<Box<dyn Driver>>,
    streams: Vec<bool>,
    /// What a step took last time, by slot.
    step_ns: Vec<f64>,
    /// Look for involuntary switches and disagreeing probes.
    strict: bool,
    trips: Vec<u32>,
    verified: u64,
}

/// Time and trouble of one chunk.
#[derive(Clone, Copy)]
struct Timed {
    ns: f64,
    clean: bool,
}

impl Bench<'_> {
    /// Finds out how long a step takes.
    fn warm_up(&mut self, slot: usize) -> Outcome<()> {
        for count in [2, 16] {
            self.chunk(slot, 0, count, None)?;
        }
        let count = self.count(slot, PROBE_US);
        self.chunk(slot, 0, count, None).map(drop)
    }

    /// Rounds until foreign load is looked at; all of them are dropped if there was too much.
    fn window(&mut self, plan: &Plan, pair: [u32; 2], measured: &mut Measured) -> Outcome<()> {
        let before = Load::now(pair);
        let budget = Duration::from_millis(plan.budget_ms);
        let end = Instant::now() + WINDOW.min(budget);
        let (mut clean, mut disturbed) = (Vec::new(), Vec::new());
        while clean.is_empty() && disturbed.is_empty() || Instant::now() < end {
            let done = measured.rounds.len() + clean.len() + disturbed.len();
            match self.round(plan, done)? {
                (round, true) => clean.push(round),
                (round, false) => disturbed.push(round),
            }
        }
        if before
            .zip(Load::now(pair))
            .is_some_and(|(before, now)| before.foreign(now))
        {
            disturbed.append(&mut clean);
        }
        measured.rounds.append(&mut clean);
        measured.disturbed.append(&mut disturbed);
        Ok(())
    }

    /// How many steps fill `us` microseconds.
    fn count(&self, slot: usize, us: u64) -> u32 {
        let least = if self.streams[slot] { 8 } else { 4 };
        let steps = stats::whole((us * 1000) as f64 / self.step_ns[slot].max(0.1));
        u32::try_from(steps.clamp(least, COUNT_MAX)).unwrap_or(u32::MAX)
    }

    /// One chunk of every candidate, each between two of the probe; and whether all were clean.
    fn round(&mut self, plan: &Plan, done: usize) -> Outcome<(Round, bool)> {
        let mut before = self.probe()?;
        let mut clean = before.clean;
        let mut round = Round::default();
        for slot in 1..self.drivers.len() {
            if slot == 1 && done % TRIPS_EVERY == TRIPS_EVERY - 1 {
                self.sample_trips(slot, plan.chunk_us)?;
                before = self.probe()?;
            }
            let count = self.count(slot, plan.chunk_us);
            let timed = self.chunk(slot, count / 8, count, None)?;
            let after = self.probe()?;
            let agree = before.ns.max(after.ns) <= AGREE * before.ns.min(after.ns);
            clean &= timed.clean && after.clean && (agree || !self.strict);
            round.chunks.push(Chunk {
                ns: timed.ns,
                before: before.ns,
                after: after.ns,
            });
            before = after;
        }
        Ok((round, clean))
    }

    fn probe(&mut self) -> Outcome<Timed> {
        let count = self.count(0, PROBE_US);
        self.chunk(0, count / 8, count, None)
    }

    /// Times the trips of a chunk one by one, if it has trips and there is room.
    fn sample_trips(&mut self, slot: usize, us: u64) -> Outcome<()> {
        let count = self.count(slot, us);
        if self.trips.len() < TRIPS_MAX {
            let mut trips = mem::take(&mut self.trips);
            let result = self.chunk(slot, count / 8, count, Some(&mut trips));
            self.trips = trips;
            result?;
        }
        Ok(())
    }

    /// Runs `warm` steps and then `count` that are timed.
    fn chunk(
        &mut self,
        slot: usize,
        warm: u32,
        count: u32,
        trips: Option<&mut Vec<u32>>,
    ) -> Outcome<Timed> {
        // A stream starts from rest: its clock runs from far's first message to near's last.
        let warm = if self.streams[slot] { 0 } else { warm };
        let far = self.drivers[slot].needs_far();
        let switches = if self.strict {
            involuntary_switches()
        } else {
            0
        };
        if far {
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            self.link.order(Order {
                slot,
                count: warm + count,
            })?;
        }
        let driver = &mut self.drivers[slot];
        let warmed = if warm > 0 {
            driver.run(warm, None)?
        } else {
            Receipt::default()
        };
        let near = driver.run(count, trips)?;
        let there = if far {
            self.link.next_receipt()?
        } else {
            Receipt::default()
        };
        let switches = if self.strict {
            involuntary_switches() - switches
        } else {
            0
        };
        let verified = warmed.verified + near.verified;
        self.count_verified(
            slot,
            verified,
            u64::from(warm + count),
            far.then_some(there),
        )?;
        let begin = if far && self.streams[slot] {
            there.begin_ns
        } else {
            near.begin_ns
        };
        let ns = near.end_ns.saturating_sub(begin) as f64 / f64::from(count);
        self.step_ns[slot] = ns;
        Ok(Timed {
            ns,
            clean: switches == 0 && there.switches == 0,
        })
    }

    /// Every message must have been verified by the side that received it.
    fn count_verified(
        &mut self,
        slot: usize,
        near: u64,
        due: u64,
        far: Option<Receipt>,
    ) -> Outcome<()> {
        let far = far.map_or(0, |receipt| receipt.verified);
        let far_due = if self.drivers[slot].needs_far() && !self.streams[slot] {
            due
        } else {
            0
        };
        if (near, far) != (due, far_due) {
            return Err(Failure::check(format!(
                "of {due} messages near verified {near}, and far {far} of {far_due}"
            )));
        }
        if slot == 1 {
            self.verified += near + far;
        }
        Ok(())
    }
}

/// What reading the clock costs, to be taken off each trip.
fn clock_ns() -> f64 {
    let mut least = u64::MAX;
    for _ in 0..1000 {
        let before = monotonic_ns();
        least = least.min(monotonic_ns() - before);
    }
    least as f64
}
