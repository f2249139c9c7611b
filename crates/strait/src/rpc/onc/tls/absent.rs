//! Without the feature `tls`: the same types, of which there are no values.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::time::Deadline;

use crate::error::{Error, Result};
use crate::rpc::onc::client::failure::End;
use crate::rpc::onc::client::transport::Socket;
use crate::rpc::onc::server::event::Dropped;
use crate::rpc::onc::server::shared::Shared;
use crate::rpc::onc::server::socket::Stream;

pub(in crate::rpc::onc) const HANDSHAKE_MEMORY: usize = 80 << 10;

#[derive(Clone, Debug)]
pub(in crate::rpc::onc) enum Wanted {}

impl Wanted {
    pub(in crate::rpc::onc) fn start(
        &self,
        _: Socket,
        _: &str,
        _: (Deadline, Duration),
    ) -> Result<Socket> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn nowhere(what: &str) -> Error {
        Error::new(crate::ErrorKind::Unsupported, "start TLS with", what)
    }
}

#[derive(Debug)]
pub(in crate::rpc::onc) enum Line {}

impl Line {
    pub(in crate::rpc::onc) fn try_send(
        &self,
        _: BorrowedFd<'_>,
        _: &[u8],
    ) -> std::result::Result<usize, Errno> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn is_within_message(&self) -> bool {
        match *self {}
    }

    pub(in crate::rpc::onc) fn try_receive(
        &self,
        _: BorrowedFd<'_>,
        _: &mut [u8],
    ) -> std::result::Result<usize, Errno> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn end(&self, _: Errno) -> End {
        match *self {}
    }

    pub(in crate::rpc::onc) fn close(&self, _: BorrowedFd<'_>) {
        match *self {}
    }
}

#[derive(Clone, Debug)]
pub(in crate::rpc::onc) enum TlsServer {}

impl TlsServer {
    pub(in crate::rpc::onc) fn is_required(&self) -> bool {
        match *self {}
    }
}

#[expect(dead_code, reason = "TLS is never granted")]
pub(in crate::rpc::onc) enum Asked {
    Granted(Vec<u8>),
    TurnedAway(Vec<u8>),
}

pub(in crate::rpc::onc) fn asked(_: &Shared, _: &[u8], _: bool) -> Option<Asked> {
    None
}

#[expect(dead_code, reason = "there is no handshake")]
pub(in crate::rpc::onc) enum Shaken {
    Done(Option<Arc<[u8]>>),
    Long,
}

#[derive(Debug)]
pub(in crate::rpc::onc) enum Secure {}

impl Secure {
    pub(in crate::rpc::onc) fn begin(server: &TlsServer) -> Option<Box<Self>> {
        match *server {}
    }

    pub(in crate::rpc::onc) fn poll_shake(
        &mut self,
        _: &Stream,
        _: &mut Poller<'_>,
    ) -> Poll<io::Result<Shaken>> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn make_room(&mut self) {
        match *self {}
    }

    pub(in crate::rpc::onc) fn poll_read_ready(
        &mut self,
        _: &Stream,
        _: &mut Poller<'_>,
    ) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn poll_write(
        &mut self,
        _: &Stream,
        _: &mut Poller<'_>,
        _: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(in crate::rpc::onc) fn close(&mut self, _: &Stream) {
        match *self {}
    }
}

pub(in crate::rpc::onc) fn dropped(error: &io::Error) -> Dropped {
    Dropped::Failed(error.kind())
}
