//! The Windows NT objects, through the library as its users call it.

pub(crate) mod crowd;
mod event;
mod event_pair;
mod lpc;
mod mutant;
mod names;
mod pipe;
mod section;
mod semaphore;
mod timer;
mod wait;

use strait::Namespace;

use crate::mechanism::{Entry, entry};
use crate::{Against, Goal, Job, Limit, Outcome, Placement, Site};

/// The rows.
pub const TABLE: &[Entry] = &[
    entry::<event::Event>(),
    entry::<event_pair::EventPair>(),
    entry::<mutant::Mutant>(),
    entry::<semaphore::Semaphore>(),
    entry::<section::Section>(),
    entry::<timer::Timer>(),
    entry::<wait::Any>(),
    entry::<wait::All>(),
    entry::<wait::Mixed>(),
    entry::<pipe::Anonymous>(),
    entry::<pipe::Bytes>(),
    entry::<pipe::Messages>(),
    entry::<names::Open>(),
    entry::<names::Create>(),
    entry::<lpc::Message>(),
    entry::<lpc::View>(),
    entry::<lpc::Crowd>(),
    entry::<lpc::quick::Quick>(),
    entry::<lpc::quick::Blocking>(),
];

/// A blocking round trip costs at most 1.15 times a futex's, where that says something: both on
/// one CPU.
const NEAR_FUTEX: Goal = Goal {
    job: Job::RTT,
    placement: Some(Placement::Same),
    against: Against::Row("raw.futex"),
    limit: Limit::AtMost(1.15),
};

/// The namespace of a row: both sides see it, and it is removed with the row.
fn space(site: &Site<'_>) -> Outcome<Namespace> {
    Ok(Namespace::directory(site.place()?)?)
}
