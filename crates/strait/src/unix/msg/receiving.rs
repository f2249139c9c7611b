//! A queue as a member of waits, and receiving with a time-out by it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strait_sys::sysv_msg::{Flags, TYPE_LEN};
use strait_sys::time::Deadline;
use strait_sys::{Errno, fork};

use super::fail::{self, Doing};
use super::{Buffer, Message, Queue, Select};
use crate::error::Result;
use crate::object::wait::source::Source;
use crate::object::wait::{self, Member, Waitable};

/// A message to come, as a member of a [wait](crate::wait), by [`Queue::receiving`].
///
/// The wait that it wins takes the message, which is then in here: [`take`](Self::take) hands it
/// out. Until then it is ready again at once. A wait for all only looks, and `take` then receives.
///
/// A wait that it does not win, or that is given up, has taken nothing, with one exception: the
/// kernel cannot look for an *empty* message without taking it. Such a one, and a message that was
/// won and not taken, is put back at the *end* of the queue when this is dropped, if there is room;
/// it is lost if the process is killed first.
#[derive(Debug)]
#[must_use = "a message is received by waiting for this and taking it out"]
pub struct Receiving {
    shared: Arc<Shared>,
    source: Arc<dyn Source>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    number: i64,
    flags: Flags,
    takes: bool,
    /// In which process, counted by forks.
    born: u32,
    /// Taken from the queue and not handed out yet: what a wait has won, and empty ones.
    held: Mutex<VecDeque<Message>>,
}

impl Queue {
    /// What `select` means in this queue, to be waited for together with other things.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a type below 1. What else is
    /// wrong the wait says.
    pub fn receiving(&self, select: Select) -> Result<Receiving> {
        self.member(select, true)
    }

    /// The same for a wait that only looks: what it wins stays in the queue, but for an empty
    /// message, and another receiver may take it first.
    ///
    /// # Errors
    /// As [`receiving`](Self::receiving).
    pub fn looking(&self, select: Select) -> Result<Receiving> {
        self.member(select, false)
    }

    fn member(&self, select: Select, takes: bool) -> Result<Receiving> {
        let (number, flags) = self.wanted(select)?;
        let shared = Arc::new(Shared {
            queue: *self,
            number,
            flags,
            takes,
            born: fork::generation(),
            held: Mutex::default(),
        });
        let source: Arc<dyn Source> = shared.clone();
        Ok(Receiving { shared, source })
    }

    /// [`recv`](Self::recv) that waits for at most `timeout`; `None`: no such message came.
    ///
    /// The kernel has no such call: while there is no message a thread waits for one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and as [`wait::any`].
    pub fn recv_for(&self, select: Select, timeout: Duration) -> Result<Option<Message>> {
        if let Some(message) = self.try_recv(select)? {
            return Ok(Some(message));
        }
        let receiving = self.receiving(select)?;
        wait::any_for(&[&receiving], timeout)?;
        Ok(receiving.shared.held().pop_front())
    }

    /// [`recv_into`](Self::recv_into) that waits for at most `timeout`; false: none came.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and as [`wait::any`].
    pub fn recv_into_for(
        &self,
        select: Select,
        buffer: &mut Buffer,
        timeout: Duration,
    ) -> Result<bool> {
        if self.try_recv_into(select, buffer)? {
            return Ok(true);
        }
        let deadline = Deadline::after(timeout);
        // So that what does not fit stays where it is.
        let looking = self.looking(select)?;
        while wait::any_for(&[&looking], deadline.left())?.is_some() {
            if let Some(empty) = looking.shared.held().pop_front() {
                buffer.empty(empty.kind);
                return Ok(true);
            }
            if self.try_recv_into(select, buffer)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Receiving {
    /// The message that a wait has won; else one that is there now, if there is one.
    ///
    /// # Errors
    /// As [`Queue::try_recv`].
    pub fn take(&self) -> Result<Option<Message>> {
        let shared = &self.shared;
        let won = shared.held().pop_front();
        if won.is_some() {
            return Ok(won);
        }
        shared.try_recv()
    }
}

impl Waitable for Receiving {
    fn member(&self) -> Member<'_> {
        Member::source(&self.source)
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_recv(&self) -> Result<Option<Message>> {
        match self.queue.take(self.number, self.flags | Flags::NOWAIT) {
            Ok(message) => Ok(Some(message)),
            Err(Errno::NOMSG) => Ok(None),
            Err(errno) => Err(fail::of(&self.queue, errno, Doing::Recv(0))),
        }
    }

    /// Receives into no room at all: what has a text stays, and the kernel says that it is there.
    fn look(&self, flags: Flags) -> std::result::Result<(), Errno> {
        let mut kind = [0; TYPE_LEN];
        let result = self
            .queue
            .raw
            .recv_with(&mut kind, self.number, self.flags | flags);
        match result {
            Ok(_) => {
                let kind = i64::from_ne_bytes(kind);
                let bytes = Vec::new();
                self.held().push_back(Message { kind, bytes });
                Ok(())
            }
            Err(Errno::TOOBIG) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl Source for Shared {
    fn take(&self) -> Result<bool> {
        if !self.takes {
            return self.is_ready();
        }
        let mut held = self.held();
        if held.is_empty() {
            held.extend(self.try_recv()?);
        }
        Ok(!held.is_empty())
    }

    fn is_ready(&self) -> Result<bool> {
        if !self.held().is_empty() {
            return Ok(true);
        }
        match self.look(Flags::NOWAIT) {
            Ok(()) => Ok(true),
            Err(Errno::NOMSG) => Ok(false),
            Err(errno) => Err(fail::of(&self.queue, errno, Doing::Recv(0))),
        }
    }

    fn block(&self) -> std::result::Result<(), Errno> {
        self.look(Flags::NONE)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // After a fork it is the parent that holds the messages.
        if self.born != fork::generation() {
            return;
        }
        for message in std::mem::take(&mut *self.held()) {
            // Nobody is left to be told that there was no room, or no queue any more.
            let _ = self.queue.try_send(message.kind, &message.bytes);
        }
    }
}
