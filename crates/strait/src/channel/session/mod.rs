//! A session: how it begins, the memory and the socket of its two sides, who holds them, and how
//! the death of the other is heard.

pub(crate) mod connect;
pub(crate) mod hello;
pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod memory;
pub(crate) mod share;
pub(crate) mod watch;
