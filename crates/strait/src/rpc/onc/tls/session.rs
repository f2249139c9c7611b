//! A TLS connection without its socket, which is handed in with each call and never blocks.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConnection};

/// The protocol's name. RFC 9289 section 4.1.
pub(super) const ALPN: &[u8] = b"sunrpc";

/// Bytes that may come with nothing in them for who reads: records of TLS's own messages, and the
/// beginning of one that has something. Tickets for sessions to come have no bound in rustls, and
/// who reads them does nothing else as long as they come.
const BARREN_MAX: usize = 64 << 10;
/// What is said of a peer that goes beyond.
pub(super) const BARREN: &str = "sends messages of TLS without end, and nothing within it";

/// Why it does not go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The socket; `WouldBlock`: not yet.
    Io(io::Error),
    /// The peer, or this side's view of it.
    Tls(rustls::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One end of a TLS connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// So much of what [`write`](Self::write) was given is encrypted and has not wholly gone, so
    /// that it was not owned up to.
    taken: usize,
    /// Bytes that have come since there was something for [`take`](Self::take).
    barren: usize,
    /// The socket has ended.
    is_ended: bool,
}

impl Session {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let connection = ClientConnection::new(config, name)?;
        Ok(Self::new(connection.into()))
    }

    pub(super) fn server(connection: ServerConnection) -> Self {
        Self::new(connection.into())
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            taken: 0,
            barren: 0,
            is_ended: false,
        }
    }

    /// Goes on with the handshake, to its end if nothing blocks.
    pub(super) fn shake(&mut self, stream: &mut (impl Read + Write)) -> Result<(), Trouble> {
        loop {
            self.flush(stream)?;
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            if self.pull(stream)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.process(stream)?;
        }
    }

    /// Reads on until there is something for [`take`](Self::take), or the end.
    pub(super) fn fill(&mut self, stream: &mut (impl Read + Write)) -> Result<(), Trouble> {
        loop {
            let state = self.process(stream)?;
            if state.plaintext_bytes_to_read() > 0 {
                self.barren = 0;
                return Ok(());
            }
            if state.peer_has_closed() || self.is_ended {
                return Ok(());
            }
            if self.barren > BARREN_MAX {
                return Err(Trouble::Tls(rustls::Error::General(BARREN.to_owned())));
            }
            self.barren += self.pull(stream)?;
        }
    }

    /// What [`fill`](Self::fill) has found; 0 bytes are the end. A stream that was cut without a
    /// word of TLS ends too: what records say of their length tells whether anything is missing.
    pub(super) fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(room) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    /// Sends some of that, and owns up to it once it has wholly gone: until then the same bytes
    /// are to be given again, and more may follow them.
    pub(super) fn write(
        &mut self,
        stream: &mut (impl Read + Write),
        slices: &[IoSlice<'_>],
    ) -> Result<usize, Trouble> {
        loop {
            self.flush(stream)?;
            if self.taken > 0 || slices.iter().all(|slice| slice.is_empty()) {
                return Ok(std::mem::take(&mut self.taken));
            }
            // Bounded by rustls's own buffer of 64 KiB.
            self.taken = self.connection.writer().write_vectored(slices)?;
        }
    }

    pub(super) fn is_within_write(&self) -> bool {
        self.taken > 0
    }

    /// Whether it waits for room in the socket.
    pub(super) fn wants_room(&self) -> bool {
        self.connection.wants_write()
    }

    /// Says that nothing more comes, as far as the socket takes it now.
    pub(super) fn close(&mut self, stream: &mut (impl Read + Write)) {
        self.connection.send_close_notify();
        // Who does not take it is told by the socket's end.
        let _ = self.flush(stream);
    }

    /// What TLS has against the peer, where the socket has failed: its last words may lie there.
    pub(super) fn last_words(&mut self, stream: &mut (impl Read + Write)) -> Option<rustls::Error> {
        while matches!(self.pull(stream), Ok(1..)) {
            if let Err(Trouble::Tls(error)) = self.process(stream) {
                return Some(error);
            }
        }
        None
    }

    /// The protocol that both sides have named.
    pub(super) fn is_rpc(&self) -> bool {
        self.connection.alpn_protocol() == Some(ALPN)
    }

    /// The other side's own certificate.
    pub(super) fn certificate(&self) -> Option<Arc<[u8]>> {
        let chain = self.connection.peer_certificates()?;
        chain.first().map(|own| Arc::from(&own[..]))
    }

    fn pull(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        loop {
            match self.connection.read_tls(stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    self.is_ended |= matches!(read, Ok(0));
                    return read;
                }
            }
        }
    }

    fn process(&mut self, stream: &mut impl Write) -> Result<rustls::IoState, Trouble> {
        let processed = self.connection.process_new_packets();
        if processed.is_err() || self.wants_room() {
            // Why it ends, or a key's change; what finds no room goes before the next write.
            let _ = self.flush(stream);
        }
        processed.map_err(Trouble::Tls)
    }

    fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A socket's bytes, as far as they are there.
pub(super) struct Bytes<'a>(pub(super) BorrowedFd<'a>);

const NOW: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

impl Read for Bytes<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let (len, _) = recv(self.0, room, RecvFlags::DONTWAIT)?;
        Ok(len)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, NOW)?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut none = SendAncillaryBuffer::default();
        Ok(sendmsg(self.0, slices, &mut none, NOW)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
