//! Calls that are handed over directly: one request and its reply, in one line of the bell page.
//!
//! Both sides write the same two lines, in turn: what the processors move to and fro is as little
//! as it can be. A peer that scribbles there garbles its own call: what is read is copied out once,
//! and its length checked. What does not fit goes through the ring, and the mailbox only says so.

use std::sync::atomic::Ordering;

use strait_sys::kill;
use strait_sys::window::Window;

use crate::channel::layout::{APART, CLOSED, DEAF, MAILBOX};
use crate::channel::park::Waited;
use crate::channel::sender::Patience;
use crate::channel::{Channel, Taken};
use crate::error::Result;

/// Most bytes that are handed over in the mailbox itself. Up to 56 take one line.
pub(crate) const POST_MAX: usize = APART - 8;
/// In the place of the length: the message is in the ring.
const IN_RING: u32 = u32::MAX;

/// The mailbox of a session, from one side.
#[derive(Debug)]
pub(crate) struct Mailbox {
    lines: Window,
    /// The number of the last post, of either side.
    number: u32,
}

impl Channel {
    /// The mailbox of this session; both sides must want it.
    pub(crate) fn mailbox(&self) -> Option<Mailbox> {
        Some(Mailbox {
            lines: Window::new(&self.sender.link.bells, MAILBOX, APART)?,
            number: 0,
        })
    }
}

impl Mailbox {
    #[inline]
    fn word(&self) -> u64 {
        self.lines.word(0).load(Ordering::Acquire)
    }

    /// Hands a message over. It must be this side's turn.
    #[inline]
    pub(crate) fn post(&mut self, channel: &mut Channel, message: &[u8]) -> Result<()> {
        let sender = &mut channel.sender;
        if sender.link.is_over(DEAF) {
            return Err(sender.gone("call"));
        }
        let len = if message.len() <= POST_MAX {
            self.lines.write(8, message);
            message.len() as u32
        } else {
            sender.deliver([&[], message], Patience::Forever, true)?;
            IN_RING
        };
        self.number = self.number.wrapping_add(1);
        kill::point("mailbox.written");
        let word = u64::from(self.number) | u64::from(len) << 32;
        self.lines.word(0).store(word, Ordering::Release);
        sender.waiter.published();
        Ok(())
    }

    /// Waits for the other side's message and copies it to `buffer`.
    #[inline]
    pub(crate) fn take(
        &mut self,
        channel: &mut Channel,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken> {
        let wanted = self.number.wrapping_add(1);
        let receiver = &mut channel.receiver;
        let lines = &self.lines;
        let link = &receiver.link;
        let is_there = || {
            lines.prefetch(64);
            lines.word(0).load(Ordering::Acquire) as u32 == wanted
        };
        if !is_there() {
            let waited =
                receiver
                    .waiter
                    .wait(is_there, || link.is_over(CLOSED), patience.deadline());
            match waited {
                Waited::Ready => {}
                Waited::TimedOut => return Ok(Taken::TimedOut),
                Waited::Over => return receiver.over(),
            }
        }
        let len = (self.word() >> 32) as u32;
        if len == IN_RING {
            let taken = receiver.take(buffer, patience)?;
            if taken != Taken::TimedOut {
                self.number = wanted;
            }
            return Ok(taken);
        }
        let len = len as usize;
        if len > POST_MAX {
            return Err(receiver
                .link
                .break_off("call", "a message in its mailbox has no possible length"));
        }
        let Some(bytes) = buffer.get_mut(..len) else {
            return Err(receiver.too_long(len as u64, buffer.len()));
        };
        self.lines.read(8, bytes);
        self.number = wanted;
        Ok(Taken::Message(len))
    }
}
