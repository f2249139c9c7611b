//! Acting as the client of a port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use strait::nt::lpc::{Call, Inbox, Message, Port, QuickCall, QuickSession};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace, Security};

use super::{accept, client, fails};
use crate::nt::pipe::Open;
use crate::peer::{Peer, command, say, told};
use crate::world::{USERS, as_user, no_users, refused, skip};

/// Calls once, in the form and with the leave that it is told.
pub(super) fn caller(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let options = client(&space);
    let options = match &*args[1] {
        "shy" => options.identification(),
        _ => options,
    };
    // Connected until the end, of which the server hears nothing.
    if args[2] == "quick" {
        let mut quick = options.connect_quick("port").unwrap();
        say(String::from_utf8_lossy(quick.call(b"?").unwrap()));
        told();
    } else {
        let mut client = options.connect("port").unwrap();
        say(String::from_utf8_lossy(client.call(b"?").unwrap()));
        told();
    }
}

fn me() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

fn mismatch<T>(result: strait::Result<T>) {
    fails(
        result.map(drop),
        ErrorKind::InvalidInput,
        NtStatus::REPLY_MESSAGE_MISMATCH,
        317,
    );
}

/// What both forms of a call can do.
trait Caller {
    fn act(&self) -> strait::Result<strait::nt::lpc::Impersonation>;
    fn answer(&mut self);
}

impl Caller for Call<'_> {
    fn act(&self) -> strait::Result<strait::nt::lpc::Impersonation> {
        self.impersonate()
    }

    fn answer(&mut self) {
        self.reply(b"done").unwrap();
    }
}

impl Caller for QuickCall<'_> {
    fn act(&self) -> strait::Result<strait::nt::lpc::Impersonation> {
        self.impersonate()
    }

    fn answer(&mut self) {
        self.reply(b"done").unwrap();
    }
}

/// As another user, who may not read the secret.
fn acts(mut call: impl Caller, secret: &Path) {
    let before = me();
    let guard = call.act().unwrap();
    assert_eq!(me(), (USERS[0], USERS[0]));
    assert!(fs::read(secret).is_err(), "the client may not read it");
    refused(call.act(), ErrorKind::Busy);
    guard.revert();
    assert_eq!(me(), before);
    assert!(fs::read(secret).is_ok());
    call.answer();
    mismatch(call.act());
}

fn may_not(mut call: impl Caller) {
    fails(
        call.act().map(drop),
        ErrorKind::Denied,
        NtStatus::BAD_IMPERSONATION_LEVEL,
        1346,
    );
    call.answer();
}

fn quick_request(inbox: &mut Inbox) -> QuickSession {
    match inbox.receive().unwrap() {
        Message::Connect(request) => request.accept_quick(b"").unwrap(),
        other => panic!("not a client: {other:?}"),
    }
}

#[test]
fn a_server_acts_as_its_client() {
    const TEST: &str = "a_server_acts_as_its_client";
    if let Some(why) = no_users() {
        return skip(TEST, why);
    }
    let Open { space, path } = &Open::new("act-port");
    let secret = space.path().join(".secret");
    fs::write(&secret, b"root's").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let open = Security::private().mode(0o666);
    let port = Port::options().namespace(space).security(open);
    let port = port.create("port").unwrap();
    let mut inbox = port.inbox();
    let start = |leave, form| {
        let mut command = command("lpc.caller", &[path, leave, form]);
        Peer::of(as_user(&mut command, USERS[0]))
    };
    let mut bold = start("bold", "message");
    accept(&mut inbox);
    match inbox.receive().unwrap() {
        Message::Request(call) => acts(call, &secret),
        other => panic!("not a request: {other:?}"),
    }
    assert_eq!(bold.hear().as_deref(), Some("done"));
    let mut bold = start("bold", "quick");
    let mut session = quick_request(&mut inbox);
    acts(session.receive().unwrap().unwrap(), &secret);
    assert_eq!(bold.hear().as_deref(), Some("done"));
}

#[test]
fn a_client_may_forbid_that_the_server_acts_as_it() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let port = Port::options().namespace(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    let mut shy = Peer::start("lpc.caller", &[&path, "shy", "message"]);
    accept(&mut inbox);
    match inbox.receive().unwrap() {
        Message::Request(call) => may_not(call),
        other => panic!("not a request: {other:?}"),
    }
    assert_eq!(shy.hear().as_deref(), Some("done"));
    let mut shy = Peer::start("lpc.caller", &[&path, "shy", "quick"]);
    let mut session = quick_request(&mut inbox);
    may_not(session.receive().unwrap().unwrap());
    assert_eq!(shy.hear().as_deref(), Some("done"));
    // One's own user is no other; but nobody acts for one who waits for nothing.
    let mut bold = Peer::start("lpc.caller", &[&path, "bold", "message"]);
    accept(&mut inbox);
    let before = me();
    match inbox.receive().unwrap() {
        Message::Request(mut call) => {
            drop(call.impersonate().unwrap());
            assert_eq!(me(), before);
            call.answer();
            mismatch(call.impersonate());
        }
        other => panic!("not a request: {other:?}"),
    }
    assert_eq!(bold.hear().as_deref(), Some("done"));
}
