//! The survey engine: every mechanism beside the raw kernel calls, checked and measured.
//!
//! Two real processes, *near* and *far*, talk through one mechanism; a third, the caller of
//! [`survey`], starts them, gives them their orders, and ends them when they fail or fall silent.
//! Every message carries a sequence number, and the other side compares each byte of it. Figures
//! are ratios between interleaved chunks of 1 to 4 ms, each between two chunks of a probe.
//!
//! Adding a mechanism is one file that implements [`Mechanism`] and one line in a table of
//! [`Entry`] values (see [`raw::TABLE`]).
//!
//! A program that surveys calls [`peer_main`] before anything else, as both sides are this very
//! program, started again with a hidden argument:
//!
//! ```no_run
//! use strait_bench::{Options, Silent, TABLE, peer_main, survey};
//!
//! fn main() -> std::process::ExitCode {
//!     if let Some(end) = peer_main(TABLE) {
//!         return end;
//!     }
//!     match survey(TABLE, &Options::default(), &mut Silent) {
//!         Ok(report) => {
//!             print!("{}", report.table());
//!             report.exit()
//!         }
//!         Err(refusal) => {
//!             eprintln!("{refusal}");
//!             2.into()
//!         }
//!     }
//! }
//! ```
#![forbid(unsafe_code)]

pub mod channel;

mod engine;
mod mechanism;
pub mod nt;
pub mod raw;
mod report;
#[cfg(feature = "rivals")]
pub mod rival;
pub mod rpc;
mod survey;
pub mod unix;

pub use engine::link::Site;
pub use engine::role::peer_main;
pub use mechanism::failure::{Failure, Outcome};
pub use mechanism::figure::{
    Against, Carries, Check, Goal, Job, Limit, Measure, Placement, Side, Waits,
};
pub use mechanism::{Entry, Mechanism, entry};
pub use report::{Machine, Report, Row};
pub use survey::command;
pub use survey::{Options, Plain, Progress, Refusal, Silent, survey};

/// Every mechanism that the survey knows: one line each.
pub const TABLE: &[&[Entry]] = &[
    nt::TABLE,
    unix::TABLE,
    channel::TABLE,
    rpc::TABLE,
    raw::TABLE,
    #[cfg(feature = "rivals")]
    rival::TABLE,
];
