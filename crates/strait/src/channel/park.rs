//! Sleeping until the peer has published, and waking it if it sleeps.
//!
//! Each direction of a session has two waiting places: the receiver's, for records, and the
//! sender's, for room. Who goes to sleep counts that up in its own memory, looks once more, and
//! sleeps on its bell. Who publishes looks at the count, and rings once for each: else every
//! message until the sleeper runs would pay for a wake-up.
//!
//! *Publish, then look at the count* and *count, then look at what is published* need a full fence
//! between their halves on both sides. Somebody who publishes again and again to a peer that is
//! awake says in its memory that it goes on without: whoever sees that when it goes to sleep fences
//! for both by membarrier(2). The first ring ends it.
//!
//! Before it sleeps, a waiter spins if that has paid lately: for as long as about one and a half
//! wake-ups take, or not at all, since nothing between bridges two sleepers. It never spins where
//! the peer needs this processor; there it yields a few times, and stops doing so for a while where
//! somebody else took the time.

use strait_sys::time::{self, Deadline};
use strait_sys::{cpu, kill};

use crate::object::flaw;

/// What a waiting place shares with the peer: mapped memory and futexes, or a model's.
pub(crate) trait Park {
    /// Publications in a row that found the peer awake until fences are left out.
    const LEAN_AFTER: u32 = 32;
    /// Everything stored before is seen by others before anything loaded after is taken.
    fn full_fence(&self);
    /// The same against the compiler alone.
    fn light_fence(&self);
    /// How often the peer has gone to sleep at the other end of this place.
    fn peer_sleeps(&self) -> u32;
    /// Wakes the peer.
    fn ring(&self);
    /// Whether the peer may be promised publications without fences.
    fn may_be_lean(&self) -> bool;
    /// Says whether this side publishes without fences.
    fn say_lean(&self, lean: bool);
    /// Counts one more sleep of this side, in one step: others may sleep at the same place, and a
    /// count that went back could be one that the peer has rung for.
    fn count_sleep(&self);
    /// Whether the peer publishes without fences.
    fn peer_is_lean(&self) -> bool;
    /// A full fence of every running thread of the peer.
    fn heavy_fence(&self);
    /// The value of this side's bell.
    fn bell(&self) -> u32;
    /// Sleeps while the bell has that value. True if it was rung.
    fn sleep(&self, bell: u32, until: Option<Deadline>) -> bool;
    /// When the peer last rang, in ticks.
    fn rang_at(&self) -> u64;
    /// Says on which processor this side runs.
    fn say_cpu(&self, cpu: u32);
    /// The processor that the peer was seen on last.
    fn peer_cpu(&self) -> u32;
}

/// How a wait on a waiting place ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Waited {
    /// What was waited for is there.
    Ready,
    /// It will not come.
    Over,
    TimedOut,
}

/// How to wait before sleeping.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Spin {
    /// As it has paid lately; on one processor the peer is let run by `sched_yield(2)`.
    #[default]
    Adaptive,
    /// Adaptive on several processors, and sleeping at once on one.
    NoYield,
    /// Always sleep at once: for those who wait long and often, or must save power.
    Never,
}

/// One side of a waiting place.
#[derive(Debug)]
pub(crate) struct Waiter<P> {
    pub(crate) park: P,
    /// The peer's sleep that was rung for last.
    pub(super) rung: u32,
    pub(super) lean: bool,
    pub(super) streak: u32,
    pub(super) cpu: u32,
    pub(super) policy: Policy,
}

impl<P: Park> Waiter<P> {
    pub(crate) fn new(park: P, spin: Spin) -> Self {
        let cpu = cpu::quick();
        park.say_cpu(cpu);
        // Another holder of this end may have said so, and died.
        park.say_lean(false);
        Self {
            // One that is sleeping now is rung for.
            rung: park
                .peer_sleeps()
                .wrapping_sub(u32::from(!flaw("heir: as if it had rung"))),
            park,
            lean: false,
            streak: 0,
            cpu,
            policy: Policy::new(spin),
        }
    }

    /// Something was published: wakes the peer if it sleeps.
    #[inline]
    pub(crate) fn published(&mut self) {
        if self.lean || flaw("publish: no fence") {
            self.park.light_fence();
        } else {
            self.park.full_fence();
        }
        self.note_cpu();
        let sleeps = self.park.peer_sleeps();
        if sleeps != self.rung && !(flaw("ring: for a greater count") && sleeps < self.rung) {
            self.ring(sleeps);
        } else if !self.lean {
            self.count_awake();
        }
    }

    /// Others may publish at this place: with fences from here on.
    pub(crate) fn share(&mut self) {
        if self.lean {
            self.lean = false;
            self.park.say_lean(false);
            self.park.full_fence();
        }
    }

    #[cold]
    #[inline(never)]
    fn ring(&mut self, sleeps: u32) {
        kill::point("channel.ring");
        self.rung = sleeps;
        self.streak = 0;
        if self.lean {
            self.lean = flaw("ring: goes on without fences");
            self.park.say_lean(false);
            kill::point("channel.fenced");
        }
        self.park.ring();
        kill::point("channel.rang");
    }

    #[inline]
    fn count_awake(&mut self) {
        self.streak += 1;
        if self.streak >= P::LEAN_AFTER {
            self.go_lean();
        }
    }

    #[cold]
    #[inline(never)]
    fn go_lean(&mut self) {
        self.streak = 0;
        if self.park.may_be_lean() {
            self.park.say_lean(true);
            kill::point("channel.lean");
            // Seen before anything is published without one.
            if !flaw("go lean: no fence") {
                self.park.full_fence();
            }
            self.lean = true;
        }
    }

    #[inline]
    fn note_cpu(&mut self) -> u32 {
        let now = cpu::quick();
        if now != self.cpu {
            self.cpu = now;
            self.park.say_cpu(now);
        }
        now
    }

    /// Waits until `is_ready`, which the peer makes true by publishing, or `is_over`.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        is_ready: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
        until: Option<Deadline>,
    ) -> Waited {
        if is_ready() {
            return Waited::Ready;
        }
        let shares = self.park.peer_cpu() == self.note_cpu();
        if !shares && self.policy.spin(&is_ready) {
            return Waited::Ready;
        }
        self.sleep(&is_ready, &is_over, until, shares)
    }

    #[inline(never)]
    fn sleep(
        &mut self,
        is_ready: &impl Fn() -> bool,
        is_over: &impl Fn() -> bool,
        until: Option<Deadline>,
        shares: bool,
    ) -> Waited {
        if shares && self.policy.yields(is_ready) {
            return Waited::Ready;
        }
        let mut woken = false;
        loop {
            let bell = arm(&self.park);
            if is_ready() && !flaw("sleep: no look") {
                break;
            }
            // In this order: what the peer published before it went is still to be had.
            if is_over() {
                return if is_ready() && !flaw("over: no second look") {
                    Waited::Ready
                } else {
                    Waited::Over
                };
            }
            if until.is_some_and(Deadline::passed) {
                return Waited::TimedOut;
            }
            woken = self.park.sleep(bell, until);
            if is_ready() {
                break;
            }
        }
        if !shares {
            self.policy.slept(woken.then(|| self.park.rang_at()));
        }
        Waited::Ready
    }
}

/// Announces a sleep: after this, whoever publishes rings. The value of the bell to sleep on, if
/// nothing was published until now.
pub(crate) fn arm(park: &impl Park) -> u32 {
    let bell = park.bell();
    kill::point("channel.arm");
    park.count_sleep();
    kill::point("channel.armed");
    if !flaw("arm: no fence") {
        park.full_fence();
    }
    if park.peer_is_lean() {
        park.heavy_fence();
        kill::point("channel.heavy");
    }
    if flaw("arm: the bell last") {
        return park.bell();
    }
    bell
}

/// When to spin and for how long: learned from what past waits would have needed.
#[derive(Debug)]
pub(super) struct Policy {
    spin: Spin,
    /// Ticks in a microsecond.
    scale: u64,
    /// What a wake-up takes, in ticks.
    latency: u64,
    /// Above 0 spinning pays.
    score: u32,
    /// When the present wait began.
    began: u64,
    /// Waits since the last trial spin, and after how many there is one.
    idle: u32,
    interval: u32,
    /// Waits to come without a yield, how many there will be next time, and good ones since.
    no_yields: u32,
    backoff: u32,
    good: u32,
}

const SCORE_MAX: u32 = 8;
/// What a spin in vain takes from the score.
const IN_VAIN: u32 = 3;
const INTERVAL_MIN: u32 = 16;
const INTERVAL_MAX: u32 = 1024;
/// Looks between two readings of the clock.
const LOOKS: u32 = 4;
const YIELDS: u32 = 4;
const BACKOFF_MIN: u32 = 64;
const BACKOFF_MAX: u32 = 1 << 20;
/// A yield that takes longer than this, in microseconds, let somebody else run.
const YIELD_US: u64 = 100;

impl Policy {
    pub(super) fn new(spin: Spin) -> Self {
        let scale = time::ticks_per_us();
        Self {
            spin,
            scale,
            latency: 30 * scale,
            score: 4,
            began: 0,
            idle: 0,
            interval: INTERVAL_MIN,
            no_yields: 0,
            backoff: BACKOFF_MIN,
            good: 0,
        }
    }

    fn budget(&mut self) -> u64 {
        if self.score > 0 {
            return self.latency + self.latency / 2;
        }
        self.idle += 1;
        if self.idle < self.interval {
            return 0;
        }
        self.idle = 0;
        self.latency * 2
    }

    #[inline]
    fn spin(&mut self, is_ready: &impl Fn() -> bool) -> bool {
        if self.spin == Spin::Never {
            return false;
        }
        self.began = time::ticks();
        let budget = self.budget();
        if budget == 0 {
            return false;
        }
        loop {
            for _ in 0..LOOKS {
                if is_ready() {
                    self.score = (self.score + 1).min(SCORE_MAX);
                    self.interval = INTERVAL_MIN;
                    return true;
                }
                std::hint::spin_loop();
            }
            if time::ticks().wrapping_sub(self.began) > budget {
                break;
            }
        }
        if self.score > 0 {
            self.score = self.score.saturating_sub(IN_VAIN);
        } else {
            self.interval = (self.interval * 2).min(INTERVAL_MAX);
        }
        false
    }

    /// Lets the peer run on this processor, if that is likely to be it.
    fn yields(&mut self, is_ready: &impl Fn() -> bool) -> bool {
        if self.spin != Spin::Adaptive {
            return false;
        }
        if self.no_yields > 0 {
            self.no_yields -= 1;
            return false;
        }
        let began = time::ticks();
        let slow = |now: u64| now.wrapping_sub(began) > YIELD_US * self.scale;
        for _ in 0..YIELDS {
            std::thread::yield_now();
            let (ready, slow) = (is_ready(), slow(time::ticks()));
            if ready && !slow {
                self.good += 1;
                if self.good > 4 * self.backoff {
                    self.backoff = BACKOFF_MIN;
                }
                return true;
            }
            if ready || slow {
                self.back_off();
                return ready;
            }
        }
        self.back_off();
        false
    }

    fn back_off(&mut self) {
        self.no_yields = self.backoff;
        self.backoff = (self.backoff * 4).min(BACKOFF_MAX);
        self.good = 0;
    }

    /// A sleep is over; when it was ended by a ring, when that was.
    fn slept(&mut self, rang: Option<u64>) {
        if self.spin == Spin::Never {
            return;
        }
        let now = time::ticks();
        let needed = match rang {
            // The peer says when: believed only within the wait.
            Some(rang) if self.began < rang && rang < now => {
                let latency = self.latency - self.latency / 8 + (now - rang) / 8;
                self.latency = latency.clamp(10 * self.scale, 100 * self.scale);
                rang - self.began
            }
            _ => now.wrapping_sub(self.began),
        };
        if needed < self.latency + self.latency / 2 {
            self.score = (self.score + 1).min(SCORE_MAX);
        } else {
            self.score = self.score.saturating_sub(1);
        }
    }
}
