//! What is true of every object: kinds, names, lifetime, rights, waits, transfer.

pub(crate) mod commit;
pub(crate) mod handle;
pub(crate) mod kind;
pub(crate) mod layout;
pub(crate) mod space;
pub(crate) mod spot;
pub(crate) mod transfer;
pub mod wait;
pub(crate) mod word;

pub use self::kind::{Birth, Kind, Reset, Rights};
pub use self::space::name::{NAME_UTF16_MAX, Name};
pub use self::space::secure::Security;
pub use self::space::{Collected, Namespace, Scope};
