//! The server of a named pipe: the name, its instances, and what clients hear.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::channel::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::doorman;
use crate::nt::pipe::end::{Mode, ReadMode};
use crate::nt::pipe::fault::fault;
use crate::nt::pipe::greeting::{Access, Asked, Nature, PipeName, capacity, grow};
use crate::nt::pipe::session::{Instance, Session};
use crate::nt::pipe::{QUOTA, QUOTA_MAX, TIMEOUT};
use crate::nt::status::NtStatus;
use crate::object::kind::Birth;
use crate::object::space::socket::Listening;
use crate::object::{Namespace, Security};

/// Any number of instances, in [`ServerOptions::instances`].
pub const UNLIMITED: u32 = 255;

const CREATE: &str = "create pipe";

/// How a named pipe is born.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerOptions {
    name: String,
    space: Option<Namespace>,
    security: Security,
    message: bool,
    read_mode: Option<ReadMode>,
    nowait: bool,
    access: Access,
    instances: u32,
    quotas: (usize, usize),
    first: bool,
    timeout: Duration,
}

impl ServerOptions {
    /// Each write is a message, read as one: at both ends, once the client has
    /// [set its read mode](crate::nt::pipe::Client::set_read_mode).
    pub fn message(mut self) -> Self {
        self.message = true;
        self
    }

    /// How the server reads; by messages from a message pipe unless said otherwise.
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = Some(mode);
        self
    }

    /// The server's calls do not wait. NT: PIPE_NOWAIT.
    pub fn nowait(mut self) -> Self {
        self.nowait = true;
        self
    }

    /// Which way data goes; both unless said otherwise.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Instances there may be at a time: 1 to 254, or [`UNLIMITED`], the default.
    pub fn instances(mut self, max: u32) -> Self {
        self.instances = max;
        self
    }

    /// Bytes that may lie unread on the way to the server, and on the way to a client, until writes
    /// wait: 4,096 unless said otherwise, and for 0; at most [`QUOTA_MAX`].
    pub fn quotas(mut self, inbound: usize, outbound: usize) -> Self {
        self.quotas = (inbound, outbound);
        self
    }

    /// Fails if there is a pipe of that name. NT: FILE_FLAG_FIRST_PIPE_INSTANCE.
    pub fn first_instance(mut self) -> Self {
        self.first = true;
        self
    }

    /// How long clients wait who leave that to the server: 50 ms unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The namespace of the name; the user's own by default.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.space = Some(namespace.clone());
        self
    }

    /// Who may open it: by permission to write.
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Makes the pipe, or a further instance of one of this process's, which listens from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] for a name that does not begin with `\\.\pipe\`;
    /// [`ErrorKind::InvalidInput`] for options out of range, and for messages to be read from a
    /// pipe of bytes; [`ErrorKind::Denied`] if the pipe exists and was to be the first, or goes
    /// another way; [`ErrorKind::Busy`] if it has its instances; [`ErrorKind::Unsupported`] if
    /// another process has it.
    #[doc(alias = "CreateNamedPipe")]
    #[doc(alias = "NtCreateNamedPipeFile")]
    pub fn create(self) -> Result<Server> {
        let name = PipeName::parse(&self.name, self.space.as_ref(), CREATE)?;
        let nature = self.nature(&name)?;
        let read_mode = self.read_mode.unwrap_or(if self.message {
            ReadMode::Message
        } else {
            ReadMode::Bytes
        });
        let (holder, birth) = doorman::pipe_of(&name, || self.make(&name, nature))?;
        let pipe = holder.pipe();
        if birth == Birth::Opened {
            if self.first || pipe.nature.access != self.access {
                let why = if self.first {
                    "it exists already"
                } else {
                    "its other instances go another way"
                };
                return Err(fault(NtStatus::ACCESS_DENIED, CREATE, &name.shown).because(why));
            }
            if read_mode == ReadMode::Message && !pipe.nature.message {
                return Err(fault(NtStatus::INVALID_PARAMETER, CREATE, &name.shown)
                    .because("its other instances carry bytes, not messages"));
            }
        }
        let server = Server {
            holder,
            birth,
            read_mode,
            nowait: self.nowait,
            spare: Mutex::default(),
        };
        let first = server.further()?;
        *server.spare() = Some(first);
        Ok(server)
    }

    fn nature(&self, name: &PipeName) -> Result<Nature> {
        let invalid =
            |why: String| Err(fault(NtStatus::INVALID_PARAMETER, CREATE, &name.shown).because(why));
        if self.read_mode == Some(ReadMode::Message) && !self.message {
            return invalid("a pipe of bytes has no messages to read".into());
        }
        let Some(max) = u8::try_from(self.instances).ok().filter(|max| *max != 0) else {
            return invalid(format!(
                "a pipe has 1 to 254 instances, or any number (255), not {}",
                self.instances
            ));
        };
        let quota = |bytes: usize| if bytes == 0 { QUOTA } else { bytes as u64 };
        let (quota_in, quota_out) = (quota(self.quotas.0), quota(self.quotas.1));
        if quota_in.max(quota_out) > QUOTA_MAX {
            return invalid(format!("a quota is at most {QUOTA_MAX} bytes"));
        }
        Ok(Nature {
            message: self.message,
            access: self.access,
            max,
            quota_in,
            quota_out,
        })
    }

    fn make(&self, name: &PipeName, nature: Nature) -> Result<Pipe> {
        // Whoever may write the socket's file may connect; the rest of the mode is as good.
        let listening = name.place().listen(self.security.bits().bits());
        let listening = listening.map_err(|error| match error.kind() {
            ErrorKind::Exists if self.first => {
                fault(NtStatus::ACCESS_DENIED, CREATE, &name.shown).because("it exists already")
            }
            ErrorKind::Exists => Error::new(ErrorKind::Unsupported, CREATE, &*name.shown).because(
                "another process has a pipe of that name: all instances are one process's here",
            ),
            _ => error.during(CREATE, &*name.shown),
        })?;
        Ok(Pipe {
            id: doorman::number(),
            listening: Mutex::new(Some(listening)),
            name: name.shown.clone(),
            nature,
            timeout: self.timeout,
            places: Mutex::default(),
            waiters: AtomicU32::new(0),
        })
    }
}

/// A name with its instances.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) id: u64,
    /// `None` once the last holder has gone.
    listening: Mutex<Option<Listening>>,
    pub(super) name: Arc<str>,
    pub(super) nature: Nature,
    pub(super) timeout: Duration,
    places: Mutex<Places>,
    /// Clients that wait for an instance to listen.
    pub(super) waiters: AtomicU32,
}

#[derive(Debug, Default)]
struct Places {
    /// Servers and sessions.
    holders: u32,
    instances: u32,
    /// Those that listen, the longest first.
    listening: VecDeque<Weak<Instance>>,
}

impl Pipe {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the socket that it listens on; `None` if it does so no more.
    pub(super) fn with_socket<T>(&self, run: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        let listening = self.listening.lock();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);
        listening.as_ref().map(|listening| run(&listening.socket))
    }

    /// The name goes.
    fn close(self: &Arc<Self>) {
        let listening = self.listening.lock();
        drop(listening.unwrap_or_else(PoisonError::into_inner).take());
        doorman::forget(self);
        while let Some(instance) = self.pick() {
            instance.set_disconnected();
        }
    }

    /// Whether the name is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.with_socket(|_| ()).is_none()
    }

    /// One more instance.
    pub(super) fn enter(&self) -> Result<()> {
        let mut places = self.places();
        let max = u32::from(self.nature.max);
        if max != UNLIMITED && places.instances >= max {
            return Err(fault(NtStatus::INSTANCE_NOT_AVAILABLE, CREATE, &self.name));
        }
        places.instances += 1;
        Ok(())
    }

    pub(super) fn leave(&self) {
        self.places().instances -= 1;
    }

    pub(super) fn instances(&self) -> u32 {
        self.places().instances
    }

    /// The instance listens now.
    pub(super) fn listens(&self, instance: &Arc<Instance>) {
        self.places().listening.push_back(Arc::downgrade(instance));
        if self.waiters.load(Ordering::SeqCst) != 0 {
            doorman::ring();
        }
    }

    /// Whether any instance listens.
    pub(super) fn is_listening(&self) -> bool {
        // Not under the lock: the last handle of an instance may be dropped here.
        let all: Vec<_> = self.places().listening.iter().cloned().collect();
        all.iter().any(|instance| {
            instance
                .upgrade()
                .is_some_and(|instance| instance.is_listening())
        })
    }

    /// Takes the instance that has listened longest: a client is coming.
    fn pick(&self) -> Option<Arc<Instance>> {
        loop {
            let weak = self.places().listening.pop_front()?;
            if let Some(instance) = weak.upgrade()
                && instance.expect()
            {
                return Some(instance);
            }
        }
    }

    /// The client did not come after all.
    pub(super) fn listens_again(&self, instance: &Arc<Instance>) {
        self.places().listening.push_front(Arc::downgrade(instance));
    }

    /// Answers a client: with an instance for it, or by a refusal.
    pub(super) fn answer(
        &self,
        payload: &[u8],
        picked: &mut Option<(Arc<Instance>, Asked)>,
    ) -> std::result::Result<Vec<u8>, u32> {
        let asked = Asked::decode(payload).ok_or(NtStatus::INVALID_PARAMETER.0)?;
        let (access, wanted) = (self.nature.access, asked.access);
        if wanted.server_reads() && !access.server_reads()
            || wanted.server_writes() && !access.server_writes()
        {
            return Err(NtStatus::ACCESS_DENIED.0);
        }
        let needed = capacity(self.nature.quota_in) as u64;
        if asked.capacity < needed && wanted.server_reads() {
            return Err(grow(needed));
        }
        let instance = self.pick().ok_or(NtStatus::PIPE_NOT_AVAILABLE.0)?;
        *picked = Some((instance, asked));
        Ok(self.nature.encode().into())
    }

    /// What the server brings to a connection.
    pub(super) fn options(&self) -> Options {
        Options::new().capacity(capacity(self.nature.quota_out))
    }
}

/// What keeps the name of a pipe: of servers and sessions the last one takes it along, at once.
#[derive(Debug)]
pub(super) struct Holder(Arc<Pipe>);

impl Holder {
    /// Of a new pipe, the first one.
    pub(super) fn first(pipe: Pipe) -> Self {
        pipe.places().holders = 1;
        Self(Arc::new(pipe))
    }

    /// `None`: the last one has just gone.
    pub(super) fn further(pipe: &Arc<Pipe>) -> Option<Self> {
        let mut places = pipe.places();
        if places.holders == 0 {
            return None;
        }
        places.holders += 1;
        drop(places);
        Some(Self(pipe.clone()))
    }

    pub(super) fn pipe(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Clone for Holder {
    fn clone(&self) -> Self {
        self.0.places().holders += 1;
        Self(self.0.clone())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut places = self.0.places();
        places.holders -= 1;
        if places.holders != 0 {
            return;
        }
        drop(places);
        self.0.close();
    }
}

/// The server of a named pipe.
///
/// It keeps one instance listening while the limit allows it. When the last of servers and sessions
/// of the name is dropped, the name is gone.
#[derive(Debug)]
pub struct Server {
    holder: Holder,
    birth: Birth,
    read_mode: ReadMode,
    nowait: bool,
    /// The instance that listens on the server's own account.
    spare: Mutex<Option<Session>>,
}

impl Server {
    /// Options for a pipe of that name: bytes both ways, any number of instances.
    pub fn options(name: impl Into<String>) -> ServerOptions {
        ServerOptions {
            name: name.into(),
            space: None,
            security: Security::default(),
            message: false,
            read_mode: None,
            nowait: false,
            access: Access::Duplex,
            instances: UNLIMITED,
            quotas: (0, 0),
            first: false,
            timeout: TIMEOUT,
        }
    }

    fn spare(&self) -> MutexGuard<'_, Option<Session>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn further(&self) -> Result<Session> {
        let mode = Mode::default();
        mode.set_read(self.read_mode);
        mode.set_nowait(self.nowait);
        Session::listen(&self.holder, mode)
    }

    /// An instance in the state of listening: the server's own, or a further one. For those who
    /// keep each instance themselves, as NT's servers do.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the pipe has as many as it may have.
    pub fn instance(&self) -> Result<Session> {
        let spare = self.spare().take();
        spare.map_or_else(|| self.further(), Ok)
    }

    /// Waits for a client. A further instance listens afterwards, if there may be one.
    ///
    /// A client that has come and gone meanwhile is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if all instances that the pipe may have are in use;
    /// [`ErrorKind::WrongState`] (536) if no client is there and the server does not wait.
    pub fn connect(&self) -> Result<Session> {
        let session = self.instance()?;
        loop {
            match session.connect() {
                Ok(_) => break,
                Err(error) if error.nt_status() == NtStatus::PIPE_CLOSING => {
                    session.disconnect()?
                }
                Err(error) => {
                    self.spare().get_or_insert(session);
                    return Err(error);
                }
            }
        }
        let mut spare = self.spare();
        if spare.is_none() {
            // At the limit clients hear that all are busy.
            *spare = self.further().ok();
        }
        drop(spare);
        Ok(session)
    }

    /// Takes the name away, though sessions live on: nobody can connect any more, and who waits for
    /// a client hears that the pipe is disconnected (233). Without it the name goes with the last
    /// of servers and sessions.
    pub fn close(&self) {
        self.holder.pipe().close();
    }

    /// Whether the pipe was made by this call, or a further instance was (ERROR_ALREADY_EXISTS).
    #[must_use]
    pub fn birth(&self) -> Birth {
        self.birth
    }

    /// Instances of the pipe.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.holder.pipe().instances()
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.holder.pipe().name
    }
}
