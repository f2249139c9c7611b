//! The loops around a mechanism's steps: they number, time and verify every message.
//!
//! They are generic, so that a step of five nanoseconds is not measured through a pointer; the
//! engine sees them through [`Driver`], once per chunk.

use std::hint::black_box;

use strait_sys::time::monotonic_ns;

use crate::engine::link::Receipt;
use crate::mechanism::message::Pattern;
use crate::{Carries, Failure, Job, Measure, Mechanism, Outcome, Side, Site};

/// Number of the first message of each direction.
const FIRST: u64 = 1;
/// Bytes that carry a bare sequence number.
const VALUE_LEN: usize = 8;
/// Round trips whose messages are made before the first of them and verified after the last: a side
/// that is busy in between lets the other's look at a shared cache line come first, and then each
/// of its writes there waits for the line, which is not the mechanism's doing.
const BATCH: usize = 32;
/// Most bytes of a message for that: the messages of a batch shall stay in the nearest cache.
const BATCHED_MAX: usize = 256;

/// One side of an opened mechanism, ready to run chunks.
pub(crate) trait Driver {
    /// Runs `count` steps. `trips` collects the time of each one where the measure has trips.
    fn run(&mut self, count: u32, trips: Option<&mut Vec<u32>>) -> Outcome<Receipt>;

    /// Whether the far side has a part in it.
    fn needs_far(&self) -> bool;
}

/// Opens `M` here and puts the loops around it.
pub(crate) fn drive<M: Mechanism>(site: &mut Site<'_>) -> Outcome<Box<dyn Driver>> {
    Ok(Box::new(Driven::<M> {
        side: site.side(),
        job: site.job(),
        messages: Messages::new::<M>(site.side(), site.job())?,
        mechanism: M::open(site)?,
    }))
}

struct Driven<M> {
    mechanism: M,
    side: Side,
    job: Job,
    messages: Messages,
}

/// The messages of both directions and how far they have come.
struct Messages {
    /// Bytes are patterns; without them a message is its number.
    patterns: Option<(Pattern, Pattern)>,
    /// One of each for every trip of a batch.
    out: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
    lens: Vec<usize>,
    sent: u64,
    received: u64,
}

impl Messages {
    fn new<M: Mechanism>(side: Side, job: Job) -> Outcome<Self> {
        let (own, other) = match side {
            Side::Near => (Side::Near, Side::Far),
            Side::Far => (Side::Far, Side::Near),
        };
        let bytes = M::CARRIES == Carries::Bytes && job.bytes() > 0;
        let patterns = if bytes {
            let pattern = |from| Pattern::new(job.bytes(), job.check, from);
            // Alone, or before an echo, a side verifies what it sent itself.
            let is_own = M::ALONE || M::ECHOES;
            Some((pattern(own)?, pattern(if is_own { own } else { other })?))
        } else {
            None
        };
        let len = patterns.as_ref().map_or(VALUE_LEN, |(own, _)| own.len());
        let out = patterns
            .as_ref()
            .map_or_else(|| vec![0; len], |(own, _)| own.blank());
        let trips = match job.measure {
            Measure::Rtt | Measure::Scale if len <= BATCHED_MAX => BATCH,
            _ => 1,
        };
        Ok(Self {
            patterns,
            out: vec![out; trips],
            buffers: vec![vec![0; len]; trips],
            lens: vec![0; trips],
            sent: FIRST,
            received: FIRST,
        })
    }

    /// How many have been verified on this side so far.
    fn verified(&self, job: Job) -> u64 {
        match job.measure {
            // No message: a step that came back counts itself.
            Measure::Uncontended | Measure::Connect => self.sent,
            _ => self.received,
        }
    }

    /// Makes the next messages.
    #[inline]
    fn make(&mut self, count: usize) {
        for out in &mut self.out[..count] {
            match &self.patterns {
                Some((own, _)) => own.stamp(out, self.sent),
                None => out.copy_from_slice(&self.sent.to_le_bytes()),
            }
            self.sent += 1;
        }
    }

    /// Verifies the messages that came.
    #[inline]
    fn verify(&mut self, count: usize) -> Outcome<()> {
        for (buffer, len) in self.buffers.iter().zip(&self.lens[..count]) {
            let message = buffer.get(..*len).ok_or_else(|| too_long(*len))?;
            verified(self.patterns.as_mut(), message, self.received)?;
            self.received += 1;
        }
        Ok(())
    }
}

#[inline]
fn verified(patterns: Option<&mut (Pattern, Pattern)>, message: &[u8], due: u64) -> Outcome<()> {
    match patterns {
        Some((_, other)) => other.verify(message, due),
        None => match message.first_chunk::<VALUE_LEN>() {
            Some(bytes) if u64::from_le_bytes(*bytes) == due => Ok(()),
            Some(bytes) => Err(out_of_order(u64::from_le_bytes(*bytes), due)),
            None => Err(too_long(message.len())),
        },
    }
}

#[cold]
fn too_long(len: usize) -> Failure {
    Failure::check(format!("a message of {len} bytes, which nobody sent"))
}

#[cold]
fn out_of_order(came: u64, due: u64) -> Failure {
    Failure::check(format!("message {came} came where {due} was due"))
}

impl<M: Mechanism> Driver for Driven<M> {
    fn run(&mut self, count: u32, trips: Option<&mut Vec<u32>>) -> Outcome<Receipt> {
        if M::APART && self.side == Side::Near {
            return self.apart(count);
        }
        let before = self.messages.verified(self.job);
        let begin_ns = monotonic_ns();
        match (self.side, self.job.measure) {
            (Side::Near, Measure::Uncontended) => self.operate(count)?,
            (_, Measure::Connect) => self.repeat(count, trips, Self::meet)?,
            (Side::Near, Measure::Rtt | Measure::Scale) => {
                self.trips(count, trips, M::call)?;
            }
            (Side::Near, _) if M::ALONE => self.repeat(count, None, Self::ask)?,
            (Side::Near, Measure::Oneway | Measure::Bandwidth) => {
                self.repeat(count, None, Self::take)?;
            }
            (Side::Far, Measure::Rtt) if M::ECHOES => {
                self.mechanism.echo(count)?;
                self.messages.received += u64::from(count);
            }
            (Side::Far, Measure::Rtt | Measure::Scale) => {
                self.trips(count, None, |far, reply, buffer| far.serve(buffer, reply))?;
            }
            (Side::Far, Measure::Oneway | Measure::Bandwidth) => {
                self.repeat(count, None, Self::put)?;
                self.mechanism.flush()?;
            }
            (Side::Far, Measure::Uncontended) => {
                return Err(Failure::new("the far side has no part in this"));
            }
        }
        let end_ns = monotonic_ns();
        if (self.side, self.job.measure) == (Side::Near, Measure::Rtt) {
            self.mechanism.settle()?;
        }
        let verified = self.messages.verified(self.job) - before;
        Ok(Receipt {
            begin_ns,
            end_ns,
            verified,
            switches: 0,
        })
    }

    fn needs_far(&self) -> bool {
        !M::ALONE && self.job.measure != Measure::Uncontended
    }
}

impl<M: Mechanism> Driven<M> {
    fn apart(&mut self, count: u32) -> Outcome<Receipt> {
        let [begin_ns, end_ns] = self.mechanism.run_apart(self.messages.sent, count)?;
        self.messages.sent += u64::from(count);
        Ok(Receipt {
            begin_ns,
            end_ns,
            verified: count.into(),
            switches: 0,
        })
    }

    #[inline]
    fn repeat(
        &mut self,
        count: u32,
        trips: Option<&mut Vec<u32>>,
        step: impl Fn(&mut Self) -> Outcome<()>,
    ) -> Outcome<()> {
        let Some(trips) = trips else {
            for _ in 0..count {
                step(self)?;
            }
            return Ok(());
        };
        let mut before = monotonic_ns();
        for _ in 0..count {
            step(self)?;
            let after = monotonic_ns();
            trips.push(u32::try_from(after - before).unwrap_or(u32::MAX));
            before = after;
        }
        Ok(())
    }

    /// Round trips, of either side: made, gone through and verified in batches.
    #[inline]
    fn trips(
        &mut self,
        count: u32,
        mut trips: Option<&mut Vec<u32>>,
        trip: impl Fn(&mut M, &[u8], &mut [u8]) -> Outcome<usize>,
    ) -> Outcome<()> {
        let mut left = count as usize;
        while left > 0 {
            let batch = left.min(self.messages.out.len());
            left -= batch;
            self.messages.make(batch);
            let Messages {
                out, buffers, lens, ..
            } = &mut self.messages;
            let mut before = trips.is_some().then(monotonic_ns);
            for ((out, buffer), len) in out.iter().zip(buffers).zip(lens).take(batch) {
                *len = trip(&mut self.mechanism, black_box(out), buffer)?;
                if let (Some(trips), Some(before)) = (&mut trips, &mut before) {
                    let after = monotonic_ns();
                    trips.push(u32::try_from(after - *before).unwrap_or(u32::MAX));
                    *before = after;
                }
            }
            self.messages.verify(batch)?;
        }
        Ok(())
    }

    #[inline]
    fn ask(&mut self) -> Outcome<()> {
        self.trips(1, None, M::call)
    }

    #[inline]
    fn put(&mut self) -> Outcome<()> {
        self.messages.make(1);
        self.mechanism.send(black_box(&self.messages.out[0]))
    }

    #[inline]
    fn take(&mut self) -> Outcome<()> {
        self.messages.lens[0] = self.mechanism.recv(&mut self.messages.buffers[0])?;
        self.messages.verify(1)
    }

    #[inline]
    fn meet(&mut self) -> Outcome<()> {
        match self.side {
            Side::Near => self.mechanism.connect()?,
            Side::Far => self.mechanism.accept()?,
        }
        self.messages.sent += 1;
        Ok(())
    }

    #[inline]
    fn operate(&mut self, count: u32) -> Outcome<()> {
        for _ in 0..count {
            let due = self.messages.sent;
            let came = self.mechanism.op(black_box(due))?;
            if came != due {
                return Err(out_of_order(came, due));
            }
            self.messages.sent += 1;
        }
        Ok(())
    }
}
