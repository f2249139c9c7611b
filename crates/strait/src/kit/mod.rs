//! What is private otherwise, for tests and fuzz targets. Nothing here is promised to anybody.
//!
//! What is read of other processes comes through the kernel, whose files and records no test can
//! fill with any bytes; these take the bytes themselves.

mod channel;

pub use self::channel::{Calls, flow, hello, records, session};

use rustix::net::SocketAddrAny;
use strait_sys::siginfo::Info;

use crate::error::Result;
use crate::object::transfer;
use crate::unix::socket::Address;
use crate::unix::{msg, signal};

/// The signals in the text of `/proc/PID/status`, and whether the process is a zombie.
#[must_use]
pub fn status(text: &str) -> (Option<signal::Look>, bool) {
    (signal::parse(text), signal::is_zombie(text))
}

/// What a receiver is told of a signal.
///
/// # Errors
/// For a number that is no signal's.
pub fn received(info: &Info) -> Result<signal::Received> {
    signal::Received::of(info)
}

/// An address that came from the kernel; `None` for a family that is not ours.
#[must_use]
pub fn address(raw: &SocketAddrAny) -> Option<Address> {
    Address::of(raw)
}

/// The numbers of the descriptors that `STRAIT_HANDLES` says were passed under a name.
///
/// # Errors
/// As for [`inherited`](crate::inherited).
pub fn passed(given: &str, name: &str) -> Result<Vec<i32>> {
    Ok(transfer::passed(given, name)?.numbers)
}

/// A line of `/proc/sysvipc/msg`.
#[must_use]
pub fn queue(line: &str) -> Option<msg::Stat> {
    msg::row(line)
}
