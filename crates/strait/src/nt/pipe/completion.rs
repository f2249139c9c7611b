//! Completion queues: one place that says which of many operations have ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::Result;
use crate::object::handle::{Blueprint, Site};
use crate::object::kind::Kind;
use crate::object::layout::FLAG_MANUAL;
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::State;

/// A flag of this process that stays set until it is reset.
pub(super) fn flag() -> Result<Arc<Object>> {
    let plan = Blueprint {
        kind: Kind::Event,
        flags: FLAG_MANUAL,
        limit: 0,
        data_len: 0,
        states: [State::new(false, 0), State::new(false, 0)],
    };
    let handle = Site::default().create(&plan, "begin operation")?;
    Ok(Arc::new(Object::new(handle)?))
}

/// Says that an operation has ended; its [`Operation`](super::Operation) has the result.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// The number that the pipe was associated with.
    pub key: usize,
    /// [`Operation::id`](super::Operation::id).
    pub id: u64,
}

/// What becomes of an operation that ends at once.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Immediate {
    /// It is told of like the others.
    #[default]
    Post,
    /// It is not: its caller knows. NT: FILE_SKIP_COMPLETION_PORT_ON_SUCCESS.
    Skip,
}

/// A completion queue of this process, waitable while something is in it. NT:
/// CreateIoCompletionPort.
#[derive(Clone, Debug)]
pub struct Completions(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    packets: Mutex<VecDeque<Completion>>,
    filled: Arc<Object>,
}

/// Where the operations of a handle are told of.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) queue: Completions,
    pub(super) key: usize,
    pub(super) immediate: Immediate,
}

impl Port {
    pub(super) fn new(queue: &Completions, key: usize, immediate: Immediate) -> Self {
        Self {
            queue: queue.clone(),
            key,
            immediate,
        }
    }
}

impl Completions {
    /// An empty queue.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) without memory.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(Queue {
            packets: Mutex::default(),
            filled: flag()?,
        })))
    }

    /// Adds a packet of the caller's own. NT: PostQueuedCompletionStatus.
    pub fn post(&self, key: usize, id: u64) {
        let mut packets = self
            .0
            .packets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        packets.push_back(Completion { key, id });
        // An object of this process alone does not fail.
        let _ = signal::set(&self.0.filled.spot(0), "complete operation");
    }

    /// Takes the oldest packet, if there is one.
    pub fn try_next(&self) -> Option<Completion> {
        let mut packets = self
            .0
            .packets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let packet = packets.pop_front();
        if packets.is_empty() {
            let _ = signal::reset(&self.0.filled.spot(0), "complete operation");
        }
        packet
    }

    /// Takes the oldest packet, and waits for one.
    ///
    /// # Errors
    /// As [`wait::any`](crate::wait::any).
    #[doc(alias = "GetQueuedCompletionStatus")]
    pub fn next(&self) -> Result<Completion> {
        loop {
            if let Some(packet) = self.try_next() {
                return Ok(packet);
            }
            wait::one_forever(&self.0.filled, 0)?;
        }
    }

    /// [`next`](Self::next) for at most `timeout`. `None`: the time ran out.
    ///
    /// # Errors
    /// As [`wait::any`](crate::wait::any).
    pub fn next_for(&self, timeout: Duration) -> Result<Option<Completion>> {
        let until = Deadline::after(timeout);
        loop {
            if let Some(packet) = self.try_next() {
                return Ok(Some(packet));
            }
            if wait::one(&self.0.filled, 0, || Some(until))?.is_none() {
                return Ok(self.try_next());
            }
        }
    }
}

/// Ready while something is in it. Nothing is taken.
impl Waitable for Completions {
    fn member(&self) -> Member<'_> {
        Member::object(&self.0.filled, 0)
    }
}
