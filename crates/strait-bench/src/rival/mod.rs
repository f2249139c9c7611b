//! Other libraries that do what Strait does, from their published crates, or as they are installed:
//! with the feature `rivals` only, as they take a minute to build.
//!
//! Each is used as its documentation has it, with the defaults it comes with. They are there to be
//! compared with: none is recommended, and goals against them are judged only where they are built.
//! iceoryx2 leaves a page in `/dev/shm` and empty folders in `/tmp/iceoryx2`, which all its users
//! share.

mod iceoryx2;
mod interprocess;
mod ipc_channel;
mod libtirpc;

use crate::mechanism::{Entry, entry};

/// The rows.
pub const TABLE: &[Entry] = &[
    entry::<iceoryx2::Event>(),
    entry::<iceoryx2::Request>(),
    entry::<iceoryx2::Blocking>(),
    entry::<iceoryx2::Publish>(),
    entry::<iceoryx2::Loan>(),
    entry::<ipc_channel::Channel>(),
    entry::<interprocess::LocalSocket>(),
    entry::<libtirpc::Null<libtirpc::Tcp>>(),
    entry::<libtirpc::Echo<libtirpc::Tcp>>(),
    entry::<libtirpc::Turns<libtirpc::Tcp>>(),
    entry::<libtirpc::Null<libtirpc::Local>>(),
    entry::<libtirpc::Echo<libtirpc::Local>>(),
    entry::<libtirpc::Turns<libtirpc::Local>>(),
];
