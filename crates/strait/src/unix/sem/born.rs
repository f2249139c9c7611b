//! Making a set whose values nobody sees before they are there.

use std::time::{Duration, SystemTime};

use strait_sys::sysv_sem::{self, VALUE_MAX};
use strait_sys::time::Deadline;
use strait_sys::{Errno, kill};

use super::fail::{self, Doing};
use super::{Op, Set, down, up};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Birth;
use crate::unix::ipc::{Key, Kind, facts};

/// How long [`Set::create_or_open`] waits for the maker of a set.
pub const PUBLISHING_MAX: Duration = Duration::from_secs(10);

/// The pauses between two looks at a set that is being made: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

impl Set {
    /// Makes a set with these values, and publishes them: see
    /// [`create_or_open`](Self::create_or_open).
    ///
    /// # Errors
    /// As [`create`](Self::create); [`ErrorKind::LimitExceeded`] for a value above 32,767;
    /// [`ErrorKind::Denied`] if the mode lets not even its owner change the set.
    pub fn create_with(key: Key, values: &[u16], mode: u32) -> Result<Self> {
        if let Some(wrong) = values.iter().find(|value| **value > VALUE_MAX) {
            let subject = Kind::Set.of_key(key);
            let why = format!("{wrong} units: a semaphore holds at most 32,767");
            return Err(Error::new(ErrorKind::LimitExceeded, "create", subject).because(why));
        }
        let Ok(count) = u16::try_from(values.len()) else {
            return Err(fail::of_birth(key, values.len(), Errno::INVAL));
        };
        Self::create(key, count, mode)?.publish(values)
    }

    /// Makes a set with these values, or finds the set of this key once its values are there.
    ///
    /// The kernel makes a set of zeros that everybody can find at once, so that a second process
    /// could take it for finished (W. R. Stevens, *UNIX Network Programming* 2, 11.4). Therefore
    /// the maker publishes all values by *one* operation, the set's first: what the kernel notes as
    /// the time of the last operation is "never" until then. Whoever opens waits for that time, at
    /// most [`PUBLISHING_MAX`]. A maker that is killed in between leaves a set which nobody takes
    /// for finished.
    ///
    /// Other programs can take part if they do the same. A set whose values were only *set*
    /// (`semctl` with `SETVAL`), never operated on, looks unfinished: [`open`](Self::open) it.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with), but for a set of this key;
    /// [`ErrorKind::InvalidInput`] if the set that was found has another number of semaphores;
    /// [`ErrorKind::Busy`], naming who made it, if it was not published in time;
    /// [`ErrorKind::Denied`] if this user may not look at it.
    pub fn create_or_open(key: Key, values: &[u16], mode: u32) -> Result<(Self, Birth)> {
        Self::create_or_open_for(key, values, mode, PUBLISHING_MAX)
    }

    /// [`create_or_open`](Self::create_or_open) that waits for at most `timeout`; zero only looks.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn create_or_open_for(
        key: Key,
        values: &[u16],
        mode: u32,
        timeout: Duration,
    ) -> Result<(Self, Birth)> {
        let deadline = Deadline::after(timeout);
        let (mut pause, longest) = PAUSE;
        loop {
            match Self::create_with(key, values, mode) {
                Err(error) if error.kind() == ErrorKind::Exists => {}
                other => return other.map(|set| (set, Birth::Created)),
            }
            // Before the look: what is found after the deadline still counts.
            let late = deadline.passed();
            let unfinished = match Self::open(key).and_then(|set| set.finished(values.len())) {
                Ok(Ok(set)) => return Ok((set, Birth::Opened)),
                Ok(Err(unfinished)) => Some(unfinished),
                // It went meanwhile: perhaps it can be made now.
                Err(error) if [ErrorKind::NotFound, ErrorKind::Removed].contains(&error.kind()) => {
                    None
                }
                Err(error) => return Err(error),
            };
            if late {
                return Err(not_published(key, unfinished));
            }
            // sleep: the kernel tells nobody that a set was operated on
            std::thread::sleep(pause.min(deadline.left()));
            pause = longest.min(pause * 2);
        }
    }

    /// Adds the values to the new set's zeros, as its first operation.
    fn publish(self, values: &[u16]) -> Result<Self> {
        kill::point("sem.created");
        let adds = values.iter().zip(0..).filter(|(value, _)| **value > 0);
        let mut ops: Vec<Op> = adds.map(|(value, number)| up(number).by(*value)).collect();
        let most = sysv_sem::limits().map_or(500, |limits| limits.ops) as usize;
        let set = if ops.len() > most {
            // More than one operation can add: they are set before, and published by one that
            // changes nothing.
            ops = match values.first() {
                Some(&VALUE_MAX) => vec![down(0), up(0)],
                _ => vec![up(0), down(0)],
            };
            self.raw.set_values(values)
        } else {
            if ops.is_empty() {
                ops = vec![up(0), down(0)];
            }
            Ok(())
        };
        let published = set.and_then(|()| self.raw.op(&ops));
        published.map_err(|errno| {
            let error = fail::of(&self, errno, Doing::Op(ops.len()));
            // Nobody has taken it for finished, and nobody ever would.
            let _ = self.raw.remove();
            error
        })?;
        Ok(self)
    }

    /// The set if its values are there, or else what the kernel knows of it.
    fn finished(self, count: usize) -> Result<std::result::Result<Self, sysv_sem::Stat>> {
        let stat = self.look(Doing::Stat)?;
        if stat.count != count {
            let error = Error::new(ErrorKind::InvalidInput, "open", fail::subject(&self));
            return Err(error.because(format!(
                "it has {} semaphores, not {count}: the key may be another program's",
                stat.count
            )));
        }
        if stat.otime == 0 {
            return Ok(Err(stat));
        }
        Ok(Ok(self))
    }
}

fn not_published(key: Key, unfinished: Option<sysv_sem::Stat>) -> Error {
    let Some(stat) = unfinished else {
        return Kind::Set.comes_and_goes(key);
    };
    let made = facts::time(stat.ctime).and_then(|made| SystemTime::now().duration_since(made).ok());
    let ago = made.map_or_else(String::new, |ago| format!(" {} s ago", ago.as_secs()));
    let subject = Kind::Set.of_id(key, stat.id);
    Error::new(ErrorKind::Busy, "open", subject).because(format!(
        "its creator, uid {}, made it{ago} and has not published its values: he is stopped or dead \
         (`ipcrm -s {}` removes it), or does not use create_or_open (then open it)",
        stat.perm.cuid, stat.id
    ))
}
