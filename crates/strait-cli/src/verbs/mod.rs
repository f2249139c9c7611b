//! The verbs that are not of one kind of object: one file each.

pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod gc;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod rpc;
pub(crate) mod run;
pub(crate) mod survey;
pub(crate) mod wait;
