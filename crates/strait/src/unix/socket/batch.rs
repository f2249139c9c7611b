//! Many datagrams in one call.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use rustix::net::RecvFlags;
use strait_sys::mmsg;

use super::data::{receive_flags, send_flags, whole};
use super::failure::{Patience, attempt, fail};
use super::{Address, Arrival, Datagrams, Socket};
use crate::error::Result;

/// The most messages that one call sends or receives.
pub const BATCH_MAX: usize = mmsg::BATCH_MAX;

impl Socket<Datagrams> {
    /// Sends messages to the connected peer in one call, at most [`BATCH_MAX`]; waits for room for
    /// the first, and returns how many went (sendmmsg).
    ///
    /// # Errors
    /// As for [`send`](Self::send), for the first message. What a later one meets ends the batch.
    pub fn send_batch(&self, messages: &[IoSlice<'_>]) -> Result<usize> {
        attempt(
            self.as_fd(),
            PollFlags::OUT,
            Patience::Forever,
            |dont_wait| mmsg::send(self.as_fd(), messages, send_flags(dont_wait)),
        )
        .map(whole)
        .map_err(|errno| fail(errno, "send to", self.shown()))
    }

    /// Receives messages in one call, at most [`BATCH_MAX`] and one into each buffer, waiting for
    /// the first only; `arrivals` says what came, and from where (recvmmsg).
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_batch(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        arrivals: &mut Vec<(Arrival, Address)>,
    ) -> Result<()> {
        arrivals.clear();
        let received = attempt(
            self.as_fd(),
            PollFlags::IN,
            Patience::Forever,
            |dont_wait| {
                let flags = receive_flags(dont_wait) | RecvFlags::TRUNC;
                mmsg::recv(self.as_fd(), buffers, flags, |came| {
                    let from = came.from.as_ref().and_then(Address::of);
                    let arrival = Arrival {
                        len: came.len,
                        end: false,
                        lost: 0,
                    };
                    arrivals.push((arrival, from.unwrap_or(Address::Unnamed)));
                })
            },
        );
        received.map_err(|errno| fail(errno, "receive from", self.shown()))?;
        for ((arrival, _), buffer) in arrivals.iter_mut().zip(buffers) {
            arrival.lost = arrival.len.saturating_sub(buffer.len());
            arrival.len -= arrival.lost;
        }
        Ok(())
    }
}
