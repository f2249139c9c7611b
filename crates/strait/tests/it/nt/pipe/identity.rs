//! Acting as the client.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use strait::Security;
use strait::nt::pipe::ReadMode;

use super::*;
use crate::peer::{Peer, command, say, told};
use crate::world::{USERS, as_user, is_root, no_users, skip};

/// Makes itself heard at the pipe of `args[0]`.
pub(crate) fn thief(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let options = client(&space);
    let options = if args[1] == "shy" {
        options.identification()
    } else {
        options
    };
    let client = options.open().unwrap();
    client.write(b"x").unwrap();
    say("written");
    told();
}

fn me() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

#[test]
fn a_thread_acts_as_the_client_and_the_others_do_not() {
    const TEST: &str = "a_thread_acts_as_the_client_and_the_others_do_not";
    if let Some(why) = no_users() {
        return skip(TEST, why);
    }
    let Open { space, path } = &Open::new("act");
    let open = Security::private().mode(0o666);
    let server = server(space).security(open).create().unwrap();
    let mut command = command("nt.pipe.thief", &[path, "bold"]);
    let mut peer = Peer::of(as_user(&mut command, USERS[0]));
    let session = server.connect().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("written"));
    is_code(session.impersonate(), ErrorKind::Denied, 1368);
    session.read(&mut [0; 9]).unwrap();
    let secret = space.path().join("secret");
    fs::write(&secret, b"root's").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let before = me();
    let guard = session.impersonate().unwrap();
    assert_eq!(me(), (USERS[0], USERS[0]));
    assert!(fs::read(&secret).is_err(), "the client may not read it");
    crate::world::refused(session.impersonate(), ErrorKind::Busy);
    let made = std::env::temp_dir().join(format!("strait-pipe-{}", std::process::id()));
    fs::write(&made, b"").unwrap();
    guard.revert();
    assert_eq!(me(), before);
    assert_eq!(fs::metadata(&made).unwrap().uid(), USERS[0]);
    fs::remove_file(&made).unwrap();
    assert!(fs::read(&secret).is_ok());
}

#[test]
fn only_one_thread_changes() {
    if let Some(why) = no_users() {
        return skip("only_one_thread_changes", why);
    }
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (answer, answered) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            answer.send(me()).unwrap();
        }
    });
    let guard = strait_sys::identity::assume(USERS[1], USERS[1], &[]).unwrap();
    ask.send(()).unwrap();
    assert_eq!(answered.recv().unwrap(), (0, 0));
    assert_eq!(me(), (USERS[1], USERS[1]));
    drop(guard);
    assert_eq!(me(), (0, 0));
    drop(ask);
    other.join().unwrap();
}

#[test]
fn a_client_may_forbid_it_and_a_server_without_the_right_cannot() {
    let space = space();
    let server = server(&space).create().unwrap();
    let path = space.path().to_str().unwrap();
    let mut shy = Peer::start("nt.pipe.thief", &[path, "shy"]);
    let session = server.connect().unwrap();
    assert_eq!(shy.hear().as_deref(), Some("written"));
    session.read(&mut [0; 9]).unwrap();
    is_code(session.impersonate(), ErrorKind::Denied, 1346);
    // One's own user is no other.
    let mut bold = Peer::start("nt.pipe.thief", &[path, "bold"]);
    let session = server.connect().unwrap();
    assert_eq!(bold.hear().as_deref(), Some("written"));
    session.read(&mut [0; 9]).unwrap();
    let before = me();
    drop(session.impersonate().unwrap());
    assert_eq!(me(), before);
    if !is_root() || no_users().is_some() {
        return skip("without the right", "only root can become two other users");
    }
    // Without the capabilities: asked of a thread that has given them up for good.
    std::thread::spawn(|| {
        let user = rustix::process::Uid::from_raw(USERS[0]);
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        let refused = strait_sys::identity::assume(USERS[1], USERS[1], &[]);
        assert_eq!(refused.err(), Some(strait_sys::Errno::PERM));
    })
    .join()
    .unwrap();
}

#[test]
fn the_reply_to_a_transaction_was_read_from_the_client() {
    let space = space();
    let server = server(&space).message().read_mode(ReadMode::Message);
    let server = server.create().unwrap();
    let shy = client(&space).identification().open().unwrap();
    let session = server.connect().unwrap();
    is_code(session.impersonate(), ErrorKind::Denied, 1368);
    beside(
        || shy.read(&mut [0; 9]).and_then(|_| shy.write(b"reply")),
        || session.transact(b"request", &mut [0; 9]).unwrap(),
    )
    .unwrap();
    is_code(session.impersonate(), ErrorKind::Denied, 1346);
}
