//! An instance of a named pipe, as its server holds it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::channel::{Channel, Identity, Impersonation};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::end::{End, Facts, Mode};
use crate::nt::pipe::fault::fault;
use crate::nt::pipe::greeting::Asked;
use crate::nt::pipe::operation::{Begin, Lane, Operation, Outcome};
use crate::nt::pipe::server::{Holder, Pipe};
use crate::nt::status::NtStatus;

/// The states of an instance.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub enum SessionState {
    /// The server has cut the client off (FILE_PIPE_DISCONNECTED_STATE, 1).
    Disconnected = 1,
    /// It waits for a client (2).
    Listening = 2,
    /// A client is there (3).
    Connected = 3,
    /// The client has closed; what it sent can be read (4).
    Closing = 4,
}

/// How a client came.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Connection {
    /// While the call waited.
    Arrived,
    /// Before (ERROR_PIPE_CONNECTED, 535).
    Already,
}

#[derive(Debug)]
enum State {
    Listening,
    /// A client is being answered.
    Arriving,
    Connected(Arc<End>, bool),
    Disconnected,
}

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// None where the connection came from another process.
    pipe: Option<Arc<Pipe>>,
    name: Arc<str>,
    state: Mutex<State>,
    changed: Condvar,
    mode: Arc<Mode>,
    /// Connections that are waited for by operations.
    connects: Arc<Lane>,
}

impl Instance {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state once a client who is being answered is there, or is not: a moment.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while matches!(*state, State::Arriving) {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(*self.state(), State::Listening)
    }

    /// A client is coming, if it listens still.
    pub(super) fn expect(&self) -> bool {
        let mut state = self.state();
        let listens = matches!(*state, State::Listening);
        if listens {
            *state = State::Arriving;
        }
        listens
    }

    /// The client is there.
    pub(super) fn arrive(self: &Arc<Self>, channel: Channel, asked: Asked) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let nature = pipe.nature;
        let facts = Facts {
            message: nature.message,
            reads: nature.access.server_reads(),
            writes: nature.access.server_writes(),
            quota: nature.quota_out,
            server: true,
        };
        let end = End::new(channel, facts, self.mode.clone(), self.name.clone());
        let Ok(end) = end else {
            return self.expect_no_more();
        };
        let mut state = self.state();
        if matches!(*state, State::Arriving) {
            *state = State::Connected(end, asked.impersonation);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// No client comes any more.
    pub(super) fn set_disconnected(&self) {
        *self.state() = State::Disconnected;
        self.changed.notify_all();
    }

    /// The client did not come after all.
    pub(super) fn expect_no_more(self: &Arc<Self>) {
        let mut state = self.state();
        if matches!(*state, State::Arriving) {
            *state = State::Listening;
            drop(state);
            self.changed.notify_all();
            if let Some(pipe) = &self.pipe {
                pipe.listens_again(self);
            }
        }
    }

    /// Listens, if it was disconnected. How a client has come, if one has.
    fn begin_connect(self: &Arc<Self>) -> Result<Option<Connection>> {
        let mut state = self.settled();
        match &*state {
            State::Listening | State::Arriving => Ok(None),
            State::Connected(end, _) if end.is_closing() && !end.is_cut() => {
                Err(fault(NtStatus::PIPE_CLOSING, CONNECT, &self.name)
                    .because("a client has come and gone: disconnect first"))
            }
            State::Connected(end, _) if !end.is_cut() => Ok(Some(Connection::Already)),
            State::Connected(..) | State::Disconnected => {
                let Some(pipe) = &self.pipe else {
                    return Err(Error::new(ErrorKind::Unsupported, CONNECT, &*self.name)
                        .because("the process that made the pipe waits for its clients"));
                };
                *state = State::Listening;
                drop(state);
                pipe.listens(self);
                if pipe.is_closed() {
                    self.set_disconnected();
                    return Err(fault(NtStatus::PIPE_DISCONNECTED, CONNECT, &self.name));
                }
                Ok(None)
            }
        }
    }

    fn await_client(&self, stop: &dyn Fn() -> bool) -> Result<Connection> {
        let mut state = self.state();
        loop {
            let status = match &*state {
                State::Connected(..) => return Ok(Connection::Arrived),
                State::Disconnected => NtStatus::PIPE_DISCONNECTED,
                _ if stop() => NtStatus::CANCELLED,
                _ => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            return Err(fault(status, CONNECT, &self.name));
        }
    }

    /// Has those who wait for a client look again.
    fn wake(&self) {
        drop(self.state());
        self.changed.notify_all();
    }
}

const CONNECT: &str = "connect pipe";

/// An instance of a named pipe: listening, connected to a client, or disconnected.
#[derive(Debug)]
pub struct Session {
    instance: Arc<Instance>,
    _pipe: Option<Holder>,
}

impl Session {
    pub(super) fn listen(holder: &Holder, mode: Mode) -> Result<Self> {
        let pipe = holder.pipe();
        pipe.enter()?;
        let instance = Arc::new(Instance {
            pipe: Some(pipe.clone()),
            name: pipe.name.clone(),
            state: Mutex::new(State::Listening),
            changed: Condvar::new(),
            mode: Arc::new(mode),
            connects: Arc::default(),
        });
        pipe.listens(&instance);
        Ok(Self {
            instance,
            _pipe: Some(holder.clone()),
        })
    }

    /// A connection that another process has made.
    pub(super) fn of(end: Arc<End>, impersonation: bool) -> Self {
        let instance = Arc::new(Instance {
            pipe: None,
            name: end.name.clone(),
            mode: end.mode.clone(),
            state: Mutex::new(State::Connected(end, impersonation)),
            changed: Condvar::new(),
            connects: Arc::default(),
        });
        Self {
            instance,
            _pipe: None,
        }
    }

    /// The connection, and whether the client allows to be acted as.
    pub(super) fn connection(&self, verb: &'static str) -> Result<(Arc<End>, bool)> {
        let end = self.end(verb)?;
        let allowed = matches!(&*self.instance.state(), State::Connected(_, true));
        Ok((end, allowed))
    }

    /// The connection, or why there is none.
    fn end(&self, verb: &'static str) -> Result<Arc<End>> {
        self.connected(&self.instance.settled(), verb)
    }

    fn connected(&self, state: &State, verb: &'static str) -> Result<Arc<End>> {
        let status = match state {
            State::Connected(end, _) => return Ok(end.clone()),
            State::Disconnected => NtStatus::PIPE_DISCONNECTED,
            State::Listening | State::Arriving => NtStatus::PIPE_LISTENING,
        };
        Err(fault(status, verb, &self.instance.name))
    }

    fn end_to_peek(&self) -> Result<Arc<End>> {
        let verb = "look into pipe";
        self.end(verb)
            .map_err(|_| fault(NtStatus::INVALID_PIPE_STATE, verb, &self.instance.name))
    }

    fn mode(&self) -> &Mode {
        &self.instance.mode
    }

    /// Waits for a client, after [`disconnect`](Self::disconnect) for the next one.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) (232) if a client has come and gone:
    /// disconnect first. [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (536) if none is
    /// there and calls do not wait; it listens then.
    #[doc(alias = "ConnectNamedPipe")]
    pub fn connect(&self) -> Result<Connection> {
        if let Some(connection) = self.instance.begin_connect()? {
            return Ok(connection);
        }
        if self.mode().is_nowait() {
            return Err(fault(
                NtStatus::PIPE_LISTENING,
                CONNECT,
                &self.instance.name,
            ));
        }
        self.instance.await_client(&|| false)
    }

    /// [`connect`](Self::connect) as an operation.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect); [`ErrorKind::WrongState`](crate::ErrorKind::WrongState)
    /// (535) if a client is there already.
    pub fn connect_overlapped(&self) -> Result<Operation> {
        if self.instance.begin_connect()?.is_some() {
            return Err(fault(
                NtStatus::PIPE_CONNECTED,
                CONNECT,
                &self.instance.name,
            ));
        }
        let waiting = Arc::downgrade(&self.instance);
        let begin = Begin {
            port: self.mode().port(),
            wake: Box::new(move || {
                if let Some(instance) = waiting.upgrade() {
                    instance.wake();
                }
            }),
            reader: None,
            name: self.instance.name.clone(),
        };
        let instance = self.instance.clone();
        self.instance.connects.begin(
            begin,
            Box::new(move |operation| {
                let connected = instance.await_client(&|| operation.stops());
                operation.settle(connected.map(|_| Outcome::default()));
            }),
        )
    }

    /// Cuts the client off: what is under way in either direction is discarded, and calls that wait
    /// on either side fail (233).
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (536) while it listens;
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) (233) if it is disconnected.
    #[doc(alias = "DisconnectNamedPipe")]
    pub fn disconnect(&self) -> Result<()> {
        let mut state = self.instance.settled();
        let end = self.connected(&state, "disconnect pipe")?;
        *state = State::Disconnected;
        drop(state);
        end.link.cut();
        self.instance.changed.notify_all();
        Ok(())
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> SessionState {
        match &*self.instance.settled() {
            State::Listening | State::Arriving => SessionState::Listening,
            State::Disconnected => SessionState::Disconnected,
            State::Connected(end, _) if end.is_cut() => SessionState::Disconnected,
            State::Connected(end, _) if end.is_closing() => SessionState::Closing,
            State::Connected(..) => SessionState::Connected,
        }
    }

    /// Who the client is, as the kernel said when it opened the pipe.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) or
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) without a client.
    #[doc(alias = "GetNamedPipeClientProcessId")]
    pub fn client(&self) -> Result<Identity> {
        Ok(Identity::of(&self.end("identify client of pipe")?.link))
    }

    /// Has the calling thread act as the client until the guard is dropped: files and objects are
    /// opened with the client's rights. Other threads stay who they are.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied): 1368 before anything was read from the
    /// client, 1346 if it does not allow it, 1314 without CAP_SETUID and CAP_SETGID;
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if the thread acts as somebody already.
    #[doc(alias = "ImpersonateNamedPipeClient")]
    pub fn impersonate(&self) -> Result<Impersonation> {
        let verb = "impersonate client of pipe";
        let (end, allowed) = self.connection(verb)?;
        if !end.has_read() {
            return Err(end.fault(NtStatus::CANNOT_IMPERSONATE, verb));
        }
        if !allowed {
            return Err(end.fault(NtStatus::BAD_IMPERSONATION_LEVEL, verb));
        }
        Impersonation::of(&end.link, verb, &end.name).map_err(|error| match error.kind() {
            ErrorKind::Denied => error.with_status(NtStatus::PRIVILEGE_NOT_HELD.0),
            _ => error,
        })
    }

    /// Instances of the pipe; 0 where it came from another process, which alone knows.
    #[must_use]
    pub fn instances(&self) -> u32 {
        let pipe = self.instance.pipe.as_ref();
        pipe.map_or(0, |pipe| pipe.instances())
    }

    /// The name of the pipe, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.instance.name
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.instance.state(), State::Disconnected);
        if let State::Connected(end, _) = state {
            end.close();
        }
        self.instance.connects.cancel_all();
        self.instance.changed.notify_all();
        if let Some(pipe) = &self.instance.pipe {
            pipe.leave();
        }
    }
}

end_methods!(Session);
