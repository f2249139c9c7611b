//! Named places where a test can have its process die or stop.
//!
//! A protocol that survives the death of a participant names its steps:
//! `kill::point("event.set.stored")`. In a product build that is nothing. With the feature
//! `test-kit` each hit is counted, and a process told so by `arm` or by `STRAIT_KILL=name:nth:KILL`
//! (or `STOP`) raises the signal at the nth hit. A test then prints the points that were hit and
//! fails for one that never was.
//!
//! A test is worth what it would find: [`sabotaged`] is asked at the branches that recover from a
//! death, and `STRAIT_SABOTAGE=name,name` takes those branches out, in test processes only.
//!
//! `signal(7)`; the signal goes to the calling thread, so that nothing runs past the point.

#[cfg(feature = "test-kit")]
pub use armed::{Signal, arm, disarm, hits, known, point, sabotaged};

/// A step at which a participant may die. Nothing without the feature `test-kit`.
#[cfg(not(feature = "test-kit"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Whether a test has removed the recovery branch of that name. Never without `test-kit`.
#[cfg(not(feature = "test-kit"))]
#[inline(always)]
#[must_use]
pub fn sabotaged(_branch: &str) -> bool {
    false
}

#[cfg(feature = "test-kit")]
mod armed {
    use core::ffi::c_int;
    use core::ptr::null_mut;
    use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
    use std::sync::{Once, OnceLock};

    /// The most different names one process counts; further ones still kill.
    const POINTS_MAX: usize = 512;

    /// No locks: a point may be hit in a forked child or with anything held.
    static POINTS: [Point; POINTS_MAX] = [const { Point::new() }; POINTS_MAX];
    static ARMED: AtomicPtr<Armed> = AtomicPtr::new(null_mut());

    /// What happens at the armed point.
    #[derive(Copy, Clone, Debug, Eq, PartialEq)]
    pub enum Signal {
        /// SIGKILL: the process is gone, with nothing undone.
        Kill,
        /// SIGSTOP: the process stands still until somebody sends SIGCONT.
        Stop,
    }

    impl Signal {
        const fn number(self) -> c_int {
            match self {
                Self::Kill => libc::SIGKILL,
                Self::Stop => libc::SIGSTOP,
            }
        }
    }

    struct Point {
        /// Set once, to a leaked name.
        name: AtomicPtr<Named>,
        hits: AtomicU64,
    }

    struct Named {
        name: &'static str,
        /// How many were named before it.
        order: u64,
    }

    impl Point {
        const fn new() -> Self {
            Self {
                name: AtomicPtr::new(null_mut()),
                hits: AtomicU64::new(0),
            }
        }

        fn named(&self) -> Option<&'static Named> {
            let name = self.name.load(Ordering::Acquire);
            // SAFETY: null, or a leaked box that is never changed.
            unsafe { name.as_ref() }
        }

        fn name(&self) -> Option<&'static str> {
            self.named().map(|named| named.name)
        }
    }

    struct Armed {
        name: String,
        /// Hits until the signal.
        left: AtomicU64,
        signal: Signal,
    }

    /// A step at which a participant may die: counts, and raises the signal if armed and due.
    ///
    /// # Panics
    ///
    /// At the first hit, if the environment holds a `STRAIT_KILL` of another form.
    pub fn point(name: &'static str) {
        arm_from_environment();
        if let Some(point) = find(name) {
            point.hits.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: null, or a leaked box that is never changed but for its atomic.
        let armed = unsafe { ARMED.load(Ordering::Acquire).as_ref() };
        let Some(armed) = armed.filter(|armed| armed.name == name) else {
            return;
        };
        if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // SAFETY: neither signal can have a handler.
            unsafe { libc::raise(armed.signal.number()) };
        }
    }

    /// Has the `nth` hit of `name` from now on raise the signal: 1 is the next. Replaces what was
    /// armed.
    pub fn arm(name: &str, nth: u64, signal: Signal) {
        // First, or it would later replace what is armed here.
        arm_from_environment();
        set_armed(name, nth, signal);
    }

    fn set_armed(name: &str, nth: u64, signal: Signal) {
        let armed = Box::new(Armed {
            name: name.to_owned(),
            left: AtomicU64::new(nth),
            signal,
        });
        // What was armed before is leaked: a thread may be looking at it.
        ARMED.store(Box::into_raw(armed), Ordering::Release);
    }

    /// Has no point raise a signal any more.
    pub fn disarm() {
        arm_from_environment();
        ARMED.store(null_mut(), Ordering::Release);
    }

    /// The names hit so far in this process, in order of their first hits.
    #[must_use]
    pub fn known() -> Vec<&'static str> {
        let mut named: Vec<_> = POINTS.iter().filter_map(Point::named).collect();
        named.sort_by_key(|named| named.order);
        let mut names = Vec::new();
        for named in named {
            if !names.contains(&named.name) {
                names.push(named.name);
            }
        }
        names
    }

    /// How often a name was hit in this process.
    #[must_use]
    pub fn hits(name: &str) -> u64 {
        let named = POINTS.iter().filter(|point| point.name() == Some(name));
        named.map(|point| point.hits.load(Ordering::Relaxed)).sum()
    }

    /// The point's entry, made at the first hit; `None` when the table is full.
    ///
    /// Found by the address of the literal, in a few instructions: single-step kills walk through
    /// here. Two literals of one text have an entry each.
    fn find(name: &'static str) -> Option<&'static Point> {
        let start = (name.as_ptr().addr() >> 2).wrapping_mul(0x9e37_79b1) >> 7;
        for step in 0..POINTS_MAX {
            let point = &POINTS[(start + step) % POINTS_MAX];
            match point.name() {
                Some(found) if core::ptr::eq(found, name) => return Some(point),
                Some(_) => {}
                None if claim(point, name) => return Some(point),
                None => {}
            }
        }
        None
    }

    /// Names a free entry; whether it has that name afterwards.
    fn claim(point: &Point, name: &'static str) -> bool {
        static ORDER: AtomicU64 = AtomicU64::new(0);
        let order = ORDER.fetch_add(1, Ordering::Relaxed);
        let fresh = Box::into_raw(Box::new(Named { name, order }));
        let claimed =
            point
                .name
                .compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire);
        if claimed.is_err() {
            // SAFETY: from a box just now, and not published.
            drop(unsafe { Box::from_raw(fresh) });
        }
        point.name().is_some_and(|found| core::ptr::eq(found, name))
    }

    /// Whether a test has removed the recovery branch of that name, by `STRAIT_SABOTAGE`.
    #[must_use]
    pub fn sabotaged(branch: &str) -> bool {
        static REMOVED: OnceLock<Vec<String>> = OnceLock::new();
        let removed = REMOVED.get_or_init(|| {
            let names = std::env::var("STRAIT_SABOTAGE").unwrap_or_default();
            names.split(',').map(str::to_owned).collect()
        });
        removed.iter().any(|removed| removed == branch)
    }

    fn arm_from_environment() {
        static READ: Once = Once::new();
        READ.call_once(|| {
            if let Ok(text) = std::env::var("STRAIT_KILL") {
                let armed = parse(&text);
                // A test that arms nothing by a misspelling would pass for nothing.
                let (name, nth, signal) =
                    armed.expect("STRAIT_KILL is name:nth:KILL or name:nth:STOP");
                set_armed(name, nth, signal);
            }
        });
    }

    /// `name:nth:KILL` or `name:nth:STOP`; the name may contain colons.
    pub(super) fn parse(text: &str) -> Option<(&str, u64, Signal)> {
        let (rest, signal) = text.rsplit_once(':')?;
        let (name, nth) = rest.rsplit_once(':')?;
        let signal = match signal {
            "KILL" => Signal::Kill,
            "STOP" => Signal::Stop,
            _ => return None,
        };
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        (!name.is_empty()).then_some((name, nth, signal))
    }
}
