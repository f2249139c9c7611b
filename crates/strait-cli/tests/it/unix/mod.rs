//! The verbs of Linux and System V.

mod fifo;
mod mqueue;
mod msg;
mod peers;
mod sem;
mod shm;
mod signal;
mod socket;

use crate::world::{Ran, World};

/// Runs lines of sh(1) in which `$DIR` is a directory that goes with them.
fn sh(world: &World, script: &str) -> Ran {
    world.sh(&format!(
        "DIR=$(mktemp -d); trap 'rm -rf \"$DIR\"' EXIT\n{script}"
    ))
}
