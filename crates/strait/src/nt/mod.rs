//! The Windows NT objects, with NT's semantics at their edges, between any processes on Linux.
//!
//! All of them share one space of names per [`Namespace`](crate::Namespace), are born by options,
//! live as long as a handle in any process, and are members of [`any`](crate::wait::any) and
//! [`all`](crate::wait::all). What differs from NT stands in a table in each module.

/// The options every kind shares: where it is born or opened.
macro_rules! site_options {
    () => {
        /// Names it; `Local\` and `Global\` choose a namespace. Without a name it is private to
        /// this process, unless it is born `shared`; a section never is.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.site.name = Some(name.into());
            self
        }

        /// Names it by a checked name, for instance one from UTF-16.
        pub fn raw_name(mut self, name: crate::Name) -> Self {
            self.site.raw_name = Some(name);
            self
        }

        /// The namespace of the name; the user's own by default.
        pub fn namespace(mut self, namespace: &crate::Namespace) -> Self {
            self.site.space = Some(namespace.clone());
            self
        }

        /// Owner, group and mode of a new object.
        pub fn security(mut self, security: crate::Security) -> Self {
            self.site.security = security;
            self
        }

        /// The name stays without a handle, until it is made temporary (OBJ_PERMANENT).
        pub fn permanent(mut self) -> Self {
            self.site.permanent = true;
            self
        }

        /// The rights to open with; all of them by default.
        pub fn rights(mut self, rights: crate::Rights) -> Self {
            self.rights = rights;
            self
        }
    };
}

/// Without a name: a memory of its own, so that handles can go to other processes.
macro_rules! shared_option {
    () => {
        /// Unnamed, but in memory of its own (one descriptor), so that handles to it can be
        /// passed and sent to other processes.
        pub fn shared(mut self) -> Self {
            self.site.shared = true;
            self
        }
    };
}

/// What a typed handle of every kind can do; `handle()` gives the handle in it, `over` makes one.
macro_rules! handle_methods {
    ($type:ident, $kind:expr) => {
        impl $type {
            /// A handle of its own with these rights or fewer. NT: DuplicateHandle.
            ///
            /// # Errors
            /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) for rights that this handle lacks;
            /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a private object.
            pub fn duplicate(&self, rights: crate::Rights) -> crate::Result<Self> {
                Self::over(self.handle().duplicate(rights)?)
            }

            /// Makes the name stay without a handle. NT: NtMakePermanentObject.
            ///
            /// # Errors
            /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without
            /// [`Rights::DELETE`](crate::Rights::DELETE);
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it has no name.
            pub fn make_permanent(&self) -> crate::Result<()> {
                self.handle().set_permanent(true)
            }

            /// Lets the name go with the last handle. NT: NtMakeTemporaryObject.
            ///
            /// # Errors
            /// As [`make_permanent`](Self::make_permanent).
            pub fn make_temporary(&self) -> crate::Result<()> {
                self.handle().set_permanent(false)
            }

            /// Its name, if it has one.
            #[must_use]
            pub fn name(&self) -> Option<&crate::Name> {
                self.handle().name.as_ref()
            }

            /// What this handle may do.
            #[must_use]
            pub fn rights(&self) -> crate::Rights {
                self.handle().rights
            }

            /// Whether two handles are of one object. NT: NtCompareObjects.
            #[must_use]
            pub fn is_same(&self, other: &Self) -> bool {
                self.handle().is_same(other.handle())
            }
        }

        impl crate::Transferable for $type {
            fn pack(&self, verb: &'static str) -> crate::Result<crate::object::transfer::Parcel> {
                crate::object::transfer::Parcel::of_handle(self.handle(), verb)
            }

            fn raw(&self) -> Option<crate::object::transfer::RawRef<'_>> {
                Some(crate::object::transfer::RawRef(self.handle()))
            }

            fn unpack(
                parcel: crate::object::transfer::Parcel,
                spaces: &[crate::Namespace],
            ) -> crate::Result<Self> {
                Self::over(parcel.into_handle($kind, spaces)?)
            }
        }
    };
}

/// [`handle_methods`] for a kind that waits: it holds an `object`.
macro_rules! waiting_handle {
    ($type:ident, $kind:expr) => {
        impl $type {
            fn handle(&self) -> &crate::object::handle::Handle {
                &self.object.handle
            }
        }

        handle_methods!($type, $kind);
    };
}

pub mod event;
pub mod event_pair;
pub mod lpc;
pub mod mutant;
pub mod pipe;
pub mod section;
pub mod semaphore;
pub mod status;
pub mod timer;

use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::Result;
use crate::object::wait::{self, Waitable, Won};

pub use self::event::{Event, EventOptions, EventState};
pub use self::event_pair::{EventPair, EventPairOptions, EventPairState, Half};
pub use self::mutant::{Mutant, MutantGuard, MutantOptions, MutantState};
pub use self::section::{Frozen, GRANULARITY, Section, SectionOptions};
pub use self::semaphore::{LIMIT_MAX, Semaphore, SemaphoreOptions, SemaphoreState};
pub use self::timer::{Timer, TimerOptions, TimerState};
pub use crate::object::Reset;
pub use crate::object::view::{Mapping, Read, View, Write};

/// What [`signal_and_wait`] can signal: an event is set, a mutant and a semaphore are released
/// once.
pub trait Signal {
    /// Signals it.
    ///
    /// # Errors
    /// As the set or release of its kind.
    fn signal(&self) -> Result<()>;
}

impl Signal for Event {
    fn signal(&self) -> Result<()> {
        self.set().map(drop)
    }
}

impl Signal for Semaphore {
    fn signal(&self) -> Result<()> {
        self.release(1).map(drop)
    }
}

impl Signal for Mutant {
    fn signal(&self) -> Result<()> {
        self.release().map(drop)
    }
}

/// Signals one object, then waits on another, or on the same. The wait is registered before the
/// signal is given: an answering pulse is not missed. `None`: the time ran out.
///
/// # Errors
/// A signal that fails, such as a release of a semaphore at its limit, fails the call before any
/// waiting. Otherwise as [`any`](crate::wait::any).
#[doc(alias = "SignalObjectAndWait")]
pub fn signal_and_wait(
    signal: &dyn Signal,
    waitable: &dyn Waitable,
    timeout: Option<Duration>,
) -> Result<Option<Won>> {
    wait::signal_then_any(
        || signal.signal(),
        &[waitable],
        timeout.map(Deadline::after),
    )
}

impl crate::Namespace {
    /// Options for an event of this namespace.
    pub fn event(&self, name: impl Into<String>) -> EventOptions {
        Event::options().namespace(self).name(name)
    }

    /// Options for an event pair of this namespace.
    pub fn event_pair(&self, name: impl Into<String>) -> EventPairOptions {
        EventPair::options().namespace(self).name(name)
    }

    /// Options for a mutant of this namespace.
    pub fn mutant(&self, name: impl Into<String>) -> MutantOptions {
        Mutant::options().namespace(self).name(name)
    }

    /// Options for a semaphore of this namespace, with its initial count and its limit.
    pub fn semaphore(&self, name: impl Into<String>, initial: u32, limit: u32) -> SemaphoreOptions {
        Semaphore::options(initial, limit)
            .namespace(self)
            .name(name)
    }

    /// Options for a section of this namespace, with its length in bytes.
    pub fn section(&self, name: impl Into<String>, len: u64) -> SectionOptions {
        Section::options(len).namespace(self).name(name)
    }

    /// Options for a timer of this namespace.
    pub fn timer(&self, name: impl Into<String>) -> TimerOptions {
        Timer::options().namespace(self).name(name)
    }
}
