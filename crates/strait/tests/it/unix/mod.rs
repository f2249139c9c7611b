//! The mechanisms of Linux and System V, between real processes.

pub(crate) mod process;
pub(crate) mod signal;

use crate::peer::Role;

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("unix.receiver", signal::receiver),
    ("unix.prober", signal::prober),
    ("unix.sender", signal::sender),
    ("unix.latecomer", signal::latecomer),
    ("unix.forker", signal::forker),
    ("unix.parent", signal::parent),
    ("unix.inheritor", process::inheritor),
];
