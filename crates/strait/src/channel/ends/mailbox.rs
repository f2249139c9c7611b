//! Calls that are handed over directly: one request and its reply, in two lines of the bell page.
//!
//! Both sides write the same lines, in turn: what the processors move to and fro is as little as it
//! can be. Up to 56 bytes take one line, up to 120 both; what is longer goes through the ring, and
//! the mailbox only says so. Its first word, written last, says whose turn it is by a number that
//! both sides count: odd while a request is there, even while a reply is.
//!
//! A peer that scribbles there garbles its own call: what is read is copied out once, and its
//! length checked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::Shutdown;
use strait_sys::kill;
use strait_sys::window::Window;

use crate::channel::layout::{APART, CLOSED, DEAF, MAILBOX};
use crate::channel::link::Link;
use crate::channel::park::Waited;
use crate::channel::sender::Patience;
use crate::channel::{Channel, Peer, Taken};
use crate::error::{Error, ErrorKind, Result};

/// Most bytes that are handed over in the mailbox itself.
pub(crate) const POST_MAX: usize = APART - HEAD;
/// Where the bytes begin.
const HEAD: usize = 8;
/// Where the second line begins.
const SECOND: u64 = 64;

/// What a post is, beside its bytes. Bits 32..40 of the first word are the length, 40..48 flags.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Post(u64);

impl Post {
    const IN_RING: u64 = 1 << 40;
    /// The bytes begin with what this stands for, among the users of the mailbox.
    pub(crate) const EXTENT: u64 = 1 << 41;
    /// It says only that there will be no reply.
    pub(crate) const LOST: u64 = 1 << 42;
    const KNOWN: u64 = 0x7ff << 32 | 0xffff_ffff;

    #[inline]
    const fn number(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    #[inline]
    const fn len(self) -> usize {
        (self.0 >> 32 & 0xff) as usize
    }

    #[inline]
    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    const fn is_possible(self) -> bool {
        self.0 & !Self::KNOWN == 0 && self.len() <= POST_MAX
    }
}

/// What became of a wait for the other side.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    Ours(Post),
    TimedOut,
    End,
}

/// A session whose messages are handed over directly.
#[derive(Debug)]
pub(crate) struct Mailbox {
    channel: Channel,
    lines: Window,
    /// The number of the last post, of either side.
    number: u32,
}

/// Ends the session of a mailbox, whatever its thread is doing.
#[derive(Debug)]
pub(crate) struct Stop(Arc<Link>);

const CALL: &str = "call";

impl Mailbox {
    /// Both sides must want it.
    pub(crate) fn new(channel: Channel) -> Result<Self> {
        let lines = Window::new(&channel.sender.link().bells, MAILBOX, APART);
        let lines = lines.ok_or_else(|| Error::new(ErrorKind::Broken, CALL, ""))?;
        Ok(Self {
            channel,
            lines,
            number: 0,
        })
    }

    pub(crate) fn peer(&self) -> &Peer {
        self.channel.peer()
    }

    pub(crate) fn link(&self) -> &Link {
        self.channel.sender.link()
    }

    pub(crate) fn stop(&self) -> Stop {
        Stop(self.channel.sender.link().clone())
    }

    /// Ends the session: the peer broke the rules of whoever uses the mailbox.
    #[cold]
    pub(crate) fn break_off(&self, why: &'static str) -> Error {
        self.channel.sender.link().break_off(CALL, why)
    }

    /// A child of a fork would take its parent's turn.
    #[inline]
    fn check_own(&self) -> Result<()> {
        let link = self.link();
        if link.is_foreign() {
            return Err(link.foreign(CALL));
        }
        Ok(())
    }

    /// Hands over a message of two parts, the first of a length that is a multiple of 8. It must be
    /// this side's turn. False: the time was up, and nothing was sent; or the other side had begun
    /// to receive, and the session is over.
    #[inline]
    pub(crate) fn post(
        &mut self,
        flags: u64,
        parts: [&[u8]; 2],
        patience: Patience,
    ) -> Result<bool> {
        self.check_own()?;
        if self.channel.sender.is_deaf() {
            return Err(self.channel.sender.gone(CALL));
        }
        let len = parts[0].len() + parts[1].len();
        if len > POST_MAX {
            return self.post_in_ring(flags, parts, patience);
        }
        if !parts[0].is_empty() {
            self.lines.write(HEAD as u64, parts[0]);
        }
        self.lines.write((HEAD + parts[0].len()) as u64, parts[1]);
        self.say((len as u64) << 32 | flags);
        Ok(true)
    }

    #[cold]
    #[inline(never)]
    fn post_in_ring(&mut self, flags: u64, parts: [&[u8]; 2], patience: Patience) -> Result<bool> {
        let sender = &mut self.channel.sender;
        if parts[0].len() + parts[1].len() <= sender.piece_max() {
            if !sender.deliver(parts, patience, false)? {
                return Ok(false);
            }
            sender.show();
            self.say(Post::IN_RING | flags);
            return Ok(true);
        }
        // The other side must read while this one writes.
        self.say(Post::IN_RING | flags);
        let sent = self.channel.sender.deliver(parts, patience, true)?;
        if !sent {
            self.stop().stop();
        }
        Ok(sent)
    }

    /// Passes the turn to the other side.
    #[inline]
    fn say(&mut self, what: u64) {
        self.number = self.number.wrapping_add(1);
        kill::point("mailbox.written");
        let word = u64::from(self.number) | what;
        self.lines.word(0).store(word, Ordering::Release);
        self.channel.sender.waiter.published();
    }

    /// Waits until the other side has posted. What it posted is taken by [`copy`](Self::copy) or
    /// [`copy_growing`](Self::copy_growing), once.
    #[inline]
    pub(crate) fn turn(&mut self, patience: Patience) -> Result<Turn> {
        self.check_own()?;
        let wanted = self.number.wrapping_add(1);
        let receiver = &mut self.channel.receiver;
        let lines = &self.lines;
        let post = || Post(lines.word(0).load(Ordering::Acquire));
        let is_there = || {
            lines.prefetch(SECOND);
            post().number() == wanted
        };
        if !is_there() {
            let link = &receiver.link;
            let over = || link.is_over(CLOSED);
            match receiver.waiter.wait(is_there, over, patience.deadline()) {
                Waited::Ready => {}
                Waited::TimedOut => return Ok(Turn::TimedOut),
                Waited::Over => return receiver.over().map(|_| Turn::End),
            }
        }
        let post = post();
        if post.number() != wanted || !post.is_possible() {
            return Err(self.break_off("what is in its mailbox is no message"));
        }
        Ok(Turn::Ours(post))
    }

    /// Copies the post to `buffer`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`]: it is still to be taken.
    #[inline]
    pub(crate) fn copy(
        &mut self,
        post: Post,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken> {
        let taken = if post.has(Post::IN_RING) {
            self.channel.receiver.take(buffer, patience)?
        } else {
            let len = post.len();
            let Some(bytes) = buffer.get_mut(..len) else {
                return Err(self.channel.receiver.too_long(len as u64, buffer.len()));
            };
            self.lines.read(HEAD as u64, bytes);
            Taken::Message(len)
        };
        if taken != Taken::TimedOut {
            self.number = post.number();
        }
        Ok(taken)
    }

    /// Copies the post to a buffer that grows if need be, up to the limit of the channel's options.
    #[inline]
    pub(crate) fn copy_growing(
        &mut self,
        post: Post,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Taken> {
        if buffer.len() < POST_MAX {
            buffer.resize(POST_MAX, 0);
        }
        if !post.has(Post::IN_RING) {
            return self.copy(post, buffer, patience);
        }
        let taken = self.channel.receiver.recv_growing(buffer, patience)?;
        if taken != Taken::TimedOut {
            self.number = post.number();
        }
        Ok(taken)
    }
}

impl Stop {
    /// The thread ends once it looks; the peer is told.
    pub(crate) fn stop(&self) {
        self.0.say(CLOSED | DEAF);
        self.0.leave();
        let _ = rustix::net::shutdown(&self.0.socket, Shutdown::Both);
    }
}
