//! The ends of a channel: what is sent, received, lent, enclosed, handed over and waited for.

pub(crate) mod attach;
pub(crate) mod loan;
pub(crate) mod mailbox;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod wait;
