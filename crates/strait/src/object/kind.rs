//! Kinds and rights.

use std::fmt;
use std::ops::BitOr;

use crate::error::{ErrorKind, Result};

/// What an object is.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Kind {
    /// [`crate::nt::Event`]
    Event,
    /// [`crate::nt::EventPair`]
    EventPair,
    /// [`crate::nt::Mutant`]
    Mutant,
    /// [`crate::nt::Semaphore`]
    Semaphore,
    /// [`crate::nt::Section`]
    Section,
    /// [`crate::nt::Timer`]
    Timer,
}

impl Kind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::Event,
        Self::EventPair,
        Self::Mutant,
        Self::Semaphore,
        Self::Section,
        Self::Timer,
    ];

    /// The word for it, as commands and messages use it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::EventPair => "eventpair",
            Self::Mutant => "mutant",
            Self::Semaphore => "semaphore",
            Self::Section => "section",
            Self::Timer => "timer",
        }
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Event => 1,
            Self::EventPair => 2,
            Self::Mutant => 3,
            Self::Semaphore => 4,
            Self::Section => 5,
            Self::Timer => 6,
        }
    }

    pub(crate) fn of_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a handle may do.
///
/// The kernel enforces three levels: nothing, [`Rights::LOOK`] (the memory is mapped read-only),
/// and everything. The finer rights bind cooperating code: a process whose handle lacks
/// [`Rights::MODIFY`] but has [`Rights::WAIT`] holds memory that it could write.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub struct Rights(u8);

impl Rights {
    /// Query, and wait on manual-reset events born with
    /// [`look_waits`](crate::nt::EventOptions::look_waits).
    pub const LOOK: Self = Self(1);
    /// Wait and take (SYNCHRONIZE). Taking writes, so the kernel grants it with everything.
    pub const WAIT: Self = Self(2);
    /// Set, reset, release, write (MODIFY_STATE, SECTION_MAP_WRITE).
    pub const MODIFY: Self = Self(4);
    /// Make permanent or temporary (DELETE).
    pub const DELETE: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Whether all of `other` is granted.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the kernel must give write access for these.
    pub(crate) fn writes(self) -> bool {
        self.0 & !Self::LOOK.0 != 0
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::ALL.0 == 0 && bits != 0).then_some(Self(bits))
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether a create-or-open made the object or found it.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub enum Birth {
    /// It was made, with the state asked for.
    Created,
    /// It existed; the state asked for was ignored.
    Opened,
}

/// How often what comes and goes is looked for.
const TRIES: u32 = 100;

impl Birth {
    /// Makes it, or opens what there is, where the kernel has no one call for both that says which
    /// it was. `None`: others made and removed it again and again meanwhile.
    pub(crate) fn settle<T>(
        create: impl Fn() -> Result<T>,
        open: impl Fn() -> Result<T>,
    ) -> Result<Option<(T, Self)>> {
        for _ in 0..TRIES {
            match create() {
                Err(error) if error.kind() == ErrorKind::Exists => {}
                made => return made.map(|made| Some((made, Self::Created))),
            }
            match open() {
                // It went in between.
                Err(error) if [ErrorKind::NotFound, ErrorKind::Removed].contains(&error.kind()) => {
                }
                found => return found.map(|found| Some((found, Self::Opened))),
            }
        }
        Ok(None)
    }
}

/// What taking an event or a timer does to it.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Reset {
    /// It stays ready for everybody until it is reset (a notification event).
    Manual,
    /// Whoever takes it resets it (a synchronization event).
    #[default]
    Auto,
}
