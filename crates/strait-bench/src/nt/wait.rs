//! `nt.wait.any`, `nt.wait.all` and `nt.wait.mixed`: the one wait, over several.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Release};

use rustix::event::{EventfdFlags, eventfd};
use strait::nt::{Event, Semaphore};
use strait::wait::{self, Waitable};
use strait_sys::map::Map;

use crate::nt::space;
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Mechanism, Outcome, Placement, Side, Site,
};

fn waitables<T: Waitable>(objects: &[T]) -> Vec<&dyn Waitable> {
    objects
        .iter()
        .map(|object| object as &dyn Waitable)
        .collect()
}

const fn blocking(against: &'static str, limit: f64) -> Goal {
    Goal {
        job: Job::RTT,
        placement: Some(Placement::Same),
        against: Against::Row(against),
        limit: Limit::AtMost(limit),
    }
}

/// Far waits for any of 8 events, of which the last is set, and answers by an event; alone, any of
/// 64.
pub(super) struct Any {
    to: Event,
    /// Of these far waits for any; near has one.
    from: Vec<Event>,
    many: Vec<Event>,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Any {
    const ID: &'static str = "nt.wait.any";
    const ABOUT: &'static str =
        "wait for any of 8 events, the last set, reply by event (alone: of 64)";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[
        blocking("raw.futex", 1.5),
        Goal {
            job: Job::UNCONTENDED,
            placement: None,
            against: Against::Other("raw.waitv", Job::UNCONTENDED),
            limit: Limit::AtMost(1.0 / 50.0),
        },
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let space = space(site)?;
        let event = |name: String| Ok::<_, Failure>(space.event(name).create_or_open()?.0);
        let events = |name: &str, count| {
            let numbers = 0..count;
            numbers
                .map(|index| event(format!("{name}-{index}")))
                .collect::<Outcome<Vec<_>>>()
        };
        let (to, from) = match site.side() {
            Side::Near => (event("far-7".into())?, events("near", 1)?),
            Side::Far => (event("near-0".into())?, events("far", 8)?),
        };
        let many = if site.side() == Side::Near {
            events("many", 64)?
        } else {
            Vec::new()
        };
        Ok(Self {
            to,
            from,
            many,
            map,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        self.to.set()?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let won = wait::any(&waitables(&self.from))?;
        if won.index + 1 != self.from.len() {
            return Err(Failure::check(format!(
                "member {} was won, not the last",
                won.index
            )));
        }
        Ok(put_number(
            buffer,
            word(&self.map, self.other).load(Acquire),
        ))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        // Near alone does this; the last of the 64 is set.
        self.many[63].set()?;
        let won = wait::any(&waitables(&self.many))?;
        Ok(if won.index == 63 { sequence } else { u64::MAX })
    }
}

/// Takes 8 semaphores in one step, and gives them back one by one.
pub(super) struct All(Vec<Semaphore>);

impl Mechanism for All {
    const ID: &'static str = "nt.wait.all";
    const ABOUT: &'static str = "wait for all of 8 semaphores, and 8 releases";
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[Job::EIGHT];
    const ALONE: bool = true;
    const GOALS: &'static [Goal] = &[Goal {
        job: Job::EIGHT,
        placement: None,
        against: Against::Other("raw.sem", Job::EIGHT),
        limit: Limit::AtMost(1.0 / 4.0),
    }];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let space = space(site)?;
        let semaphore = |index: u32| {
            Ok::<_, Failure>(space.semaphore(index.to_string(), 1, 1).create_or_open()?.0)
        };
        Ok(Self((0..8).map(semaphore).collect::<Outcome<_>>()?))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        wait::all(&waitables(&self.0))?;
        for semaphore in &self.0 {
            if semaphore.release(1)? != 0 {
                return Err(Failure::check("one was not taken"));
            }
        }
        Ok(sequence)
    }
}

/// Waits for an event or a descriptor; the descriptor fires.
pub(super) struct Mixed {
    to: OwnedFd,
    from: OwnedFd,
    idle: Event,
}

impl Mechanism for Mixed {
    const ID: &'static str = "nt.wait.mixed";
    const ABOUT: &'static str = "wait for an event or an eventfd, the eventfd fires";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const GOALS: &'static [Goal] = &[blocking("raw.epoll", 2.5)];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let (from, to) = if site.side() == Side::Far {
            let [to, from] = site.take()?;
            (from, to)
        } else {
            let from = eventfd(0, EventfdFlags::CLOEXEC)?;
            let to = eventfd(0, EventfdFlags::CLOEXEC)?;
            site.give(&[from.as_fd(), to.as_fd()])?;
            (from, to)
        };
        Ok(Self {
            to,
            from,
            idle: Event::options().create()?,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        rustix::io::write(&self.to, message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let won = wait::any(&[&self.idle, &wait::readable(&self.from)])?;
        if won.index != 1 {
            return Err(Failure::check("the event was won, which nobody set"));
        }
        Ok(rustix::io::read(&self.from, buffer)?)
    }
}
