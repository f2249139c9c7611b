//! Pipes at NT's edges: states, messages, quotas, names, operations, and who is at the other end.

mod anonymous;
mod ends;
mod forked;
mod identity;
mod messages;
mod named;
mod overlapped;
mod share;
mod states;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use strait::nt::pipe::{Client, ClientOptions, Server, ServerOptions, Session};
use strait::{ErrorKind, Namespace, Result};

use crate::peer::Role;
use crate::world::{GUARD, until};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("nt.pipe.chatter", overlapped::chatter),
    ("nt.pipe.client", named::caller),
    ("nt.pipe.heir", share::heir),
    ("nt.pipe.poster", share::poster),
    ("nt.pipe.reader", named::reader),
    ("nt.pipe.recorder", share::recorder),
    ("nt.pipe.server", named::listener),
    ("nt.pipe.taker", share::taker),
    ("nt.pipe.thief", identity::thief),
];

const ZERO: Duration = Duration::ZERO;
const NAME: &str = r"\\.\pipe\p";

/// The Win32 code of a refusal, 0 of success.
#[track_caller]
fn code<T>(result: Result<T>) -> u32 {
    result.map_or_else(|error| error.win32(), |_| 0)
}

#[track_caller]
fn is_code<T>(result: Result<T>, kind: ErrorKind, win32: u32) {
    let error = crate::world::refused(result, kind);
    assert_eq!(error.win32(), win32, "{error}");
}

fn space() -> Namespace {
    Namespace::temporary().unwrap()
}

fn server(space: &Namespace) -> ServerOptions {
    Server::options(NAME).namespace(space)
}

fn client(space: &Namespace) -> ClientOptions {
    Client::options(NAME).namespace(space)
}

/// Both ends of a pipe born like that.
fn joined(space: &Namespace, options: ServerOptions) -> (Session, Client) {
    let server = options.create().unwrap();
    let session = server.instance().unwrap();
    let client = client(space).open().unwrap();
    session.connect().unwrap();
    (session, client)
}

/// What is at the other end is there for the session to see.
fn until_closing(session: &Session) {
    use strait::nt::pipe::SessionState;
    until("the client's end is seen", || {
        session.state() == SessionState::Closing
    });
}

/// Runs `block` in a thread of its own, `then` beside it, and gives what the first returned.
fn beside<T: Send, U>(block: impl FnOnce() -> T + Send, then: impl FnOnce() -> U) -> T {
    std::thread::scope(|scope| {
        let blocked = scope.spawn(block);
        // What it made lives until the other is done.
        let _kept = then();
        blocked.join().unwrap()
    })
}

/// A number that threads count up.
#[derive(Default)]
struct Count(AtomicU32);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A namespace that every user sees, gone with the value.
pub(crate) struct Open {
    pub(crate) space: Namespace,
    pub(crate) path: String,
}

impl Open {
    pub(crate) fn new(test: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("/dev/shm/strait-test-{test}-{}", std::process::id());
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let space = Namespace::directory(&path).unwrap();
        Self { space, path }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
