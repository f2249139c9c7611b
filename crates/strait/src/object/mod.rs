//! What is true of every object: kinds, names, lifetime, rights, waits, transfer.

pub(crate) mod commit;
pub(crate) mod handle;
pub(crate) mod kind;
pub(crate) mod layout;
pub(crate) mod space;
pub(crate) mod spot;
pub(crate) mod transfer;
pub(crate) mod view;
pub mod wait;
pub(crate) mod word;

pub use self::kind::{Birth, Kind, Reset, Rights};
pub use self::space::name::{NAME_UTF16_MAX, Name};
pub use self::space::secure::Security;
pub use self::space::{Collected, Namespace, Scope};

/// Whether a test has seeded this defect into the code: a model, or a storm through
/// `STRAIT_SABOTAGE`, must notice it. In a product build there is none.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn flaw(name: &str) -> bool {
    strait_sys::kill::sabotaged(name)
}

#[cfg(test)]
pub(crate) use self::commit::tests::flaw::flaw;
