//! The engine: plans rows, starts pairs of processes, drives and times them, draws figures.

pub(crate) mod draw;
pub(crate) mod drive;
pub(crate) mod link;
pub(crate) mod litter;
pub(crate) mod load;
pub(crate) mod pair;
pub(crate) mod plan;
pub(crate) mod protocol;
pub(crate) mod role;
pub(crate) mod rounds;
pub(crate) mod stats;
