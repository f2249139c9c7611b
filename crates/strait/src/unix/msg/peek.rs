//! Looking into a queue without taking anything.

use strait_sys::Errno;
use strait_sys::sysv_msg::Flags;

use super::fail::{self, Doing};
use super::{Message, Queue};
use crate::error::Result;

/// The messages of a queue, from the oldest on, by [`Queue::peek`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Peek<'a> {
    queue: &'a Queue,
    /// Of the next one; none after the end or an error.
    index: Option<usize>,
}

impl Queue {
    /// Looks at its messages one after the other, and takes none. Nobody sees that they were
    /// looked at: neither who received last nor when is changed.
    ///
    /// Each step looks anew: of messages that others take meanwhile, one is passed over for each.
    /// Takes read permission, and a kernel built with CONFIG_CHECKPOINT_RESTORE, as distributions'
    /// are.
    #[doc(alias = "MSG_COPY")]
    pub fn peek(&self) -> Peek<'_> {
        Peek {
            queue: self,
            index: Some(0),
        }
    }

    /// The message at this index, 0 being the oldest; `None`: there are not so many.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) of a kernel that cannot;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without read permission;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    pub fn peek_at(&self, index: usize) -> Result<Option<Message>> {
        let Ok(index) = i64::try_from(index) else {
            return Ok(None);
        };
        match self.take(index, Flags::COPY | Flags::NOWAIT) {
            Ok(message) => Ok(Some(message)),
            Err(Errno::NOMSG) => Ok(None),
            Err(errno) => Err(fail::of(self, errno, Doing::Peek)),
        }
    }
}

impl Iterator for Peek<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index.take()?;
        let found = self.queue.peek_at(index);
        if let Ok(Some(_)) = found {
            self.index = index.checked_add(1);
        }
        found.transpose()
    }
}

impl std::iter::FusedIterator for Peek<'_> {}
