//! The client for async tasks, on tokio.

mod batch;
mod channel;
mod connect;
mod gss;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::client::{Draft, Form, Order};
use strait_wire::onc::message::{NULL, Procedure, Xid};
use strait_wire::xdr::{self, Reader, Writer};
use tokio::io::Interest;
use tokio::sync::Notify;

use super::calls::{Calls, Outcome, Waiter};
use super::failure::{End, Failure};
use super::gss::Session;
use super::inbox::Inbox;
use super::options::{ClientOptions, connected};
use super::transport::{Socket, Transport};
use super::{Coded, is_forgotten, lent};
use crate::error::{ErrorKind, Result};
use crate::rpc::onc::watched::Watched;

pub use self::batch::AsyncBatch;

/// Bytes of calls that wait to be sent; who calls beyond them waits. One call may be longer.
const QUEUE_MAX: usize = 1 << 20;
/// Short calls that wait are joined up to this many bytes, and leave in one write.
const JOIN_MAX: usize = 64 << 10;
/// Reads before other tasks have their turn.
const READS: u32 = 16;

/// A client for async tasks: one connection, over which any number of tasks call at once. A clone
/// has the same connection.
///
/// Dropping the future of a call forgets the call: the server may carry it out, and its reply is
/// dropped. One task reads for all; it ends with the connection, or when the last clone is dropped
/// and what was called before has been sent. Connecting anew is making a new client.
#[derive(Clone)]
pub struct AsyncClient {
    handle: Arc<Handle>,
    timeout: Duration,
}

/// What all clones have.
struct Handle {
    link: Arc<Link>,
    credential: OpaqueAuth<'static>,
    /// With RPCSEC_GSS.
    session: Option<Session>,
    xdr: xdr::Limits,
    peer: String,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end_session();
        self.link.state().is_closing = true;
        self.link.wake.notify_one();
    }
}

/// What callers share with the task.
struct Link {
    transport: Box<dyn Transport>,
    state: Mutex<State>,
    /// The task has something to do.
    wake: Notify,
    /// There is room in the queue.
    room: Notify,
}

struct State {
    calls: Calls,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in it, of which `sent` of the first have gone.
    queued: usize,
    sent: usize,
    is_closing: bool,
}

/// A call that is encoded, its bytes, and its arguments if they may be needed again.
type Drafted = (Draft, Vec<u8>, Option<Vec<u8>>);

impl AsyncClient {
    fn new(options: ClientOptions, socket: Socket, peer: String) -> Result<Self> {
        let fd = socket.as_raw_fd();
        let link = Arc::new(Link::new(&options, Box::new(socket)));
        let fd = Watched::new(Polled(fd, Served(link.clone())));
        let fd = fd.map_err(|error| connected(&error, &peer))?;
        let inbox = Inbox::new(link.transport.form(), options.record_max);
        tokio::spawn(run(fd, inbox, options.timeout));
        Ok(Self::of(options, link, peer))
    }

    fn of(options: ClientOptions, link: Arc<Link>, peer: String) -> Self {
        let handle = Handle {
            link,
            credential: options.credential,
            session: options.gss.map(Session::new),
            xdr: options.xdr,
            peer,
        };
        Self {
            handle: Arc::new(handle),
            timeout: options.timeout,
        }
    }

    /// The same client, whose calls may take so long in place of [`ClientOptions::timeout`].
    pub fn within(&self, timeout: Duration) -> Self {
        let handle = self.handle.clone();
        Self { handle, timeout }
    }

    /// What it is connected to.
    #[must_use]
    pub fn peer(&self) -> String {
        self.handle.peer.clone()
    }

    /// Whether calls go within TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.handle.link.transport.is_encrypted()
    }

    /// Calls a procedure: `arguments` writes its arguments, and `results` reads its results, all of
    /// them. `arguments` runs at the first poll.
    ///
    /// # Errors
    /// As for [`Client::call`](super::Client::call).
    pub async fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
        results: impl FnOnce(&mut Reader<'_>) -> std::result::Result<R, xdr::Error>,
    ) -> Result<R> {
        let fail = |failure: Failure| failure.error(procedure, &self.handle.peer);
        let results_come = self.timed(self.exchange(procedure, arguments));
        let bytes = results_come.await.map_err(fail)?;
        let mut from = Reader::with_limits(&bytes, self.handle.xdr);
        let decoded = results(&mut from).and_then(|value| from.finish().map(|()| value));
        decoded.map_err(|error| fail(Failure::Results(error)))
    }

    /// Calls a procedure that is not answered, or whose answer nobody waits for. It returns when
    /// the call is sent, or waits to be, after others.
    ///
    /// # Errors
    /// As for [`call`](Self::call), of what happens before the reply.
    pub async fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Result<()> {
        let post = async {
            if let Some(session) = &self.handle.session {
                return self.post_sealed(session, procedure, arguments).await;
            }
            let (draft, out, _) = self.draft(procedure, None, arguments)?;
            self.handle
                .link
                .post(out, |calls, out| calls.launch_oneway(&draft, out))
                .await
        };
        let posted = self.timed(post).await;
        posted.map_err(|failure| failure.error(procedure, &self.handle.peer))
    }

    /// Calls procedure 0, which every program has: whether it is there.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub async fn null(&self, program: u32, version: u32) -> Result<()> {
        let procedure = Procedure {
            program,
            version,
            number: NULL,
        };
        self.call(procedure, |_| Ok(()), |_| Ok(())).await
    }

    /// Within this client's time.
    async fn timed<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, Failure>>,
    ) -> std::result::Result<T, Failure> {
        let within = self.timeout;
        let timed = tokio::time::timeout(within, work).await;
        timed.unwrap_or_else(|_| {
            let strays = self.handle.link.state().calls.strays.clone();
            Err(Failure::TimedOut { within, strays })
        })
    }

    /// Sends a call and waits for its results.
    async fn exchange(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Vec<u8>, Failure> {
        if let Some(session) = &self.handle.session {
            return self.exchange_sealed(session, procedure, arguments).await;
        }
        let link = &self.handle.link;
        let short = match self.handle.credential.flavor {
            Flavor::SYS => link.state().calls.short(),
            _ => None,
        };
        let (draft, out, again) = self.draft(procedure, short.as_deref(), arguments)?;
        let outcome = link.answer(&draft, out).await;
        let Some(again) = again.filter(|_| is_forgotten(&outcome)) else {
            return outcome;
        };
        link.state().calls.drop_short();
        let (draft, out, _) = self.draft(procedure, None, |to| {
            to.opaque_fixed(&again);
            Ok(())
        })?;
        link.answer(&draft, out).await
    }

    /// Encodes a call; with `short` in place of the credential the arguments are kept.
    fn draft(
        &self,
        procedure: Procedure,
        short: Option<&OpaqueAuth<'_>>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Drafted, Failure> {
        let mut out = Vec::new();
        let draft = self.draft_into(&mut out, procedure, short, arguments)?;
        let again = short.map(|_| out[draft.arguments()].to_vec());
        Ok((draft, out, again))
    }

    /// Appends an encoded call.
    fn draft_into(
        &self,
        out: &mut Vec<u8>,
        procedure: Procedure,
        short: Option<&OpaqueAuth<'_>>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Draft, Failure> {
        let credential = short.unwrap_or(&self.handle.credential);
        let order = Order::new(procedure).credential(lent(credential));
        let form = self.handle.link.transport.form();
        form.draft(&order, out, arguments).map_err(Failure::Draft)
    }
}

impl fmt::Debug for AsyncClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncClient")
            .field("peer", &self.handle.peer)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Link {
    fn new(options: &ClientOptions, transport: Box<dyn Transport>) -> Self {
        let state = State {
            calls: options.calls(transport.form()),
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            is_closing: false,
        };
        Self {
            transport,
            state: Mutex::new(state),
            wake: Notify::new(),
            room: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call that `launch` gives its number, once there is room, and sends what can be.
    async fn post<T>(
        &self,
        mut out: Vec<u8>,
        launch: impl FnOnce(&mut Calls, &mut [u8]) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Before the look, so that room made after it is heard of.
            room.as_mut().enable();
            {
                let mut state = self.state();
                state.calls.check_open()?;
                if state.queued == 0 || state.queued + out.len() <= QUEUE_MAX {
                    let launched = launch(&mut state.calls, &mut out)?;
                    let form = self.transport.form();
                    let is_datagram = form == Form::DATAGRAM;
                    state.push(out, form == Form::RECORD);
                    state.send(&*self.transport);
                    // Of datagrams the task has to know when they are due again.
                    if is_datagram || state.queued > 0 {
                        self.wake.notify_one();
                    }
                    return Ok(launched);
                }
            }
            room.await;
        }
    }

    /// Posts a call and waits for its results.
    async fn answer(&self, draft: &Draft, out: Vec<u8>) -> std::result::Result<Vec<u8>, Failure> {
        let call = self.begin(out, |calls, out| calls.launch(draft, out));
        call.await?.outcome().await
    }

    /// Posts a call that `launch` begins.
    async fn begin(
        &self,
        out: Vec<u8>,
        launch: impl FnOnce(&mut Calls, &mut [u8]) -> std::result::Result<Xid, Failure>,
    ) -> std::result::Result<InFlight<'_>, Failure> {
        let xid = self.post(out, launch).await?;
        Ok(InFlight { link: self, xid })
    }

    /// Takes what has come; true: perhaps there is more.
    fn receive(&self, inbox: &mut Inbox) -> bool {
        let form = self.transport.form();
        let read = self.transport.try_receive(inbox);
        let mut state = self.state();
        match read {
            Ok(Some(0)) if form == Form::RECORD => {
                let end = End::closed(!inbox.is_drained());
                state.calls.end(&end);
            }
            Ok(Some(len)) => inbox.filled(len),
            Ok(None) => return false,
            Err(Errno::CONNREFUSED) if form == Form::DATAGRAM => state.calls.unreachable(None),
            Err(errno) => state.calls.end(&self.transport.end(errno)),
        }
        loop {
            match inbox.next() {
                Ok(true) => drop(state.calls.take_in(inbox.message(), None)),
                Ok(false) => return state.calls.ended().is_none(),
                Err(error) => {
                    state.calls.end(&End::record(error));
                    return false;
                }
            }
        }
    }
}

impl State {
    fn push(&mut self, out: Vec<u8>, can_join: bool) {
        self.queued += out.len();
        match self.queue.back_mut() {
            Some(last) if can_join && last.len() + out.len() <= JOIN_MAX => last.extend(out),
            _ => self.queue.push_back(out),
        }
    }

    /// Sends what can be sent now.
    fn send(&mut self, transport: &dyn Transport) {
        let is_datagram = transport.form() == Form::DATAGRAM;
        while let Some(first) = self.queue.front() {
            match transport.try_send(&first[self.sent..]) {
                Ok(len) => self.gone(len),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) if is_datagram => {
                    if errno == Errno::CONNREFUSED {
                        self.calls.unreachable(None);
                    }
                    // Like one that is lost: if its call waits still, it is sent again.
                    self.gone(first_len(&self.queue));
                }
                Err(errno) => {
                    self.calls.close(transport.end(errno));
                    self.queue.clear();
                    (self.queued, self.sent) = (0, 0);
                }
            }
        }
    }

    /// So much of the first has gone.
    fn gone(&mut self, len: usize) {
        self.sent += len;
        self.queued -= len;
        if self.sent == first_len(&self.queue) {
            self.queue.pop_front();
            self.sent = 0;
        }
    }
}

fn first_len(queue: &VecDeque<Vec<u8>>) -> usize {
    queue.front().map_or(0, Vec::len)
}

/// A call whose future lives.
struct InFlight<'a> {
    link: &'a Link,
    xid: Xid,
}

impl InFlight<'_> {
    /// Waits for its results.
    async fn outcome(self) -> std::result::Result<Vec<u8>, Failure> {
        let outcome = poll_fn(|context| {
            let mut state = self.link.state();
            if let Some(outcome) = state.calls.collect(self.xid) {
                return Poll::Ready(outcome);
            }
            let waiter = Waiter::Task(context.waker().clone());
            state.calls.wait(self.xid, waiter);
            Poll::Pending
        });
        match outcome.await? {
            Outcome::Results(bytes) | Outcome::Opened(bytes) => Ok(bytes),
            Outcome::Unproven(why) => Err(Failure::Unproven(why)),
            Outcome::Refused(refused) => Err(Failure::Refused(refused)),
            Outcome::Malformed(error) => Err(Failure::Malformed(error)),
            Outcome::Unreachable => Err(Failure::Unreachable),
            Outcome::Dropped { len, max } => Err(Failure::Dropped { len, max }),
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.link.state().calls.forget(self.xid);
    }
}

/// A link with a socket, as tokio wants its descriptor.
struct Polled(RawFd, Served);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A link that a task serves: without it no call is answered.
struct Served(Arc<Link>);

impl Drop for Served {
    fn drop(&mut self) {
        let why = "the runtime that its task ran on has ended";
        let end = End::new(ErrorKind::Cancelled, why);
        // Nothing, if it has ended in another way.
        self.0.state().calls.end(&end);
        self.0.room.notify_waiters();
    }
}

/// Reads and writes for all who call.
async fn run(mut fd: Watched<Polled>, mut inbox: Inbox, grace: Duration) {
    let Ok(link) = fd.fd().map(|fd| fd.get_ref().1.0.clone()) else {
        return;
    };
    let mut closing = None;
    loop {
        let (is_full, tick) = {
            let mut state = link.state();
            let mut is_refused = false;
            state.calls.tick(|datagram| {
                // One that cannot be sent now is like one that is lost.
                let sent = link.transport.try_send(datagram);
                is_refused |= sent == Err(Errno::CONNREFUSED);
            });
            if is_refused {
                state.calls.unreachable(None);
            }
            if state.is_closing {
                closing.get_or_insert_with(|| tokio::time::Instant::now() + grace.min(YEAR));
            }
            let is_idle = state.is_closing && state.queued == 0;
            if is_idle || state.calls.ended().is_some() {
                return;
            }
            (state.queued > 0, state.calls.next_tick())
        };
        if fd.ask_for_room(is_full).is_err() {
            return;
        }
        let Ok(fd) = fd.fd() else { return };
        let rest = tick.map_or(YEAR, Deadline::left);
        tokio::select! {
            // An error alone is that of a datagram which nobody received.
            ready = fd.ready(Interest::READABLE | Interest::ERROR) => {
                let Ok(mut ready) = ready else { return };
                let has_more = (0..READS).all(|_| link.receive(&mut inbox));
                if !has_more {
                    ready.clear_ready();
                }
                link.room.notify_waiters();
            }
            ready = fd.writable(), if is_full => {
                let Ok(mut ready) = ready else { return };
                let mut state = link.state();
                state.send(&*link.transport);
                if state.queued > 0 {
                    ready.clear_ready();
                }
                drop(state);
                link.room.notify_waiters();
            }
            () = link.wake.notified() => {}
            () = tokio::time::sleep(rest), if tick.is_some() => {}
            () = tokio::time::sleep_until(closing.unwrap_or_else(tokio::time::Instant::now)),
                if closing.is_some() => return,
        }
    }
}

/// Longer than anybody waits.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
