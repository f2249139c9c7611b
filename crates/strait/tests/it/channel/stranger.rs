//! A peer of another user: it talks, and has no way to write what is not its own.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags, SealFlags, fallocate, fchmod, ftruncate, open};
use strait::ErrorKind;
use strait::channel::{Channel, Listener, Options, Taken};
use strait_sys::map::{Access, Map};
use strait_sys::{Errno, memfd, pass};

use crate::channel::lies::liar::{Greeting, connected, greet, listening, proper};
use crate::channel::tempdir::Place;
use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, USERS, as_user, no_users, refused, skip};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("channel.stranger", stranger),
    ("channel.burglar", burglar),
    ("channel.fence", fence),
    ("channel.host", host),
];

/// Asks and hears, as anybody may who may connect.
fn stranger(args: &[String]) {
    let opened = Channel::open(&args[0], &Options::new());
    if args[1] == "outside" {
        refused(opened, ErrorKind::Denied);
        return;
    }
    let mut channel = opened.unwrap();
    assert_eq!(channel.peer().uid, args[1].parse::<u32>().unwrap());
    let mut reply = [0; 8];
    for number in 0..100_u64 {
        channel.send(&number.to_le_bytes()).unwrap();
        assert_eq!(channel.recv(&mut reply).unwrap(), Some(8));
        assert_eq!(reply, (!number).to_le_bytes());
    }
}

/// Has a session by hand, and tries everything with the memory that it got for reading.
fn burglar(args: &[String]) {
    let socket = connected(Path::new(&args[0])).unwrap();
    let own = proper();
    let looks = memfd::reopen_read_only(own.as_fd()).unwrap();
    greet(&socket, &Greeting::hello().bytes(), &[looks.as_fd()]);
    let (_, files) = pass::recv(socket.as_fd(), &mut [0; 8192], 3).unwrap();
    let [theirs, bells] = <[OwnedFd; 2]>::try_from(files).unwrap();
    breaks_in_nowhere(&theirs);
    // The bell page is written by both, and is of one size for good.
    assert!(ftruncate(&bells, 0).is_err());
    assert!(ftruncate(&bells, 1 << 20).is_err());
    // What is behind the process is behind the kernel's own walls.
    let process = format!("/proc/{}", args[1]);
    assert!(
        File::options()
            .write(true)
            .open(format!("{process}/mem"))
            .is_err()
    );
    assert!(fs::read_dir(format!("{process}/fd")).is_err());
    say("done");
    // The session stays until the victim has looked.
    let _ = told();
}

/// Listens by hand, and tries the same with what a client brings.
fn fence(args: &[String]) {
    let socket = listening(Path::new(&args[0]));
    say("listening");
    let client = rustix::net::accept(&socket).unwrap();
    let (_, files) = pass::recv(client.as_fd(), &mut [0; 8192], 3).unwrap();
    let [theirs] = <[OwnedFd; 1]>::try_from(files).unwrap();
    breaks_in_nowhere(&theirs);
    say("done");
}

fn breaks_in_nowhere(theirs: &OwnedFd) {
    let len = usize::try_from(rustix::fs::fstat(theirs).unwrap().st_size).unwrap();
    let map = |access| Map::shared(theirs.as_fd(), 0, len, access);
    assert_eq!(map(Access::Write).unwrap_err(), Errno::ACCESS);
    assert!(map(Access::Read).is_ok(), "it is there to be read");
    let again = |flags| {
        let path = format!("/proc/self/fd/{}", theirs.as_raw_fd());
        open(path, flags | OFlags::CLOEXEC, Mode::empty())
    };
    for flags in [OFlags::RDWR, OFlags::WRONLY, OFlags::RDWR | OFlags::TRUNC] {
        assert_eq!(again(flags).unwrap_err(), Errno::ACCESS);
    }
    let whole = theirs.try_clone().unwrap();
    let mut file = File::from(whole);
    assert!(file.write_all(&[1; 8]).is_err());
    assert!(file.write_all_at(&[1; 8], 4096).is_err());
    assert!(file.set_len(0).is_err());
    let holes = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for how in [holes, FallocateFlags::ZERO_RANGE, FallocateFlags::empty()] {
        assert!(fallocate(theirs, how, 0, 4096).is_err());
    }
    assert_eq!(fchmod(theirs, Mode::from(0o666)).unwrap_err(), Errno::PERM);
    assert!(memfd::add_seals(theirs.as_fd(), SealFlags::WRITE).is_err());
}

/// Listens, and answers whoever connects.
fn host(args: &[String]) {
    let path = Path::new(&args[0]);
    let options = Options::new();
    let mut listener = Listener::bind(path, 0o666, &options).unwrap();
    say("listening");
    let mut channel = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(channel.peer().uid, 0);
    assert_eq!(channel.recv(&mut [0; 8]).unwrap(), Some(5));
    channel.send(b"welcome").unwrap();
    assert_eq!(channel.recv(&mut [0; 8]).unwrap(), None);
}

/// A directory in which others may have sockets.
fn open_place() -> Place {
    let place = Place::new();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
    place
}

fn as_stranger(role: &str, args: &[&str]) -> Peer {
    Peer::of(as_user(&mut command(role, args), USERS[0]))
}

#[test]
fn a_stranger_talks_where_he_may() {
    if let Some(why) = no_users() {
        return skip("a_stranger_talks_where_he_may", why);
    }
    let place = open_place();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o666, &Options::new()).unwrap();
    let peer = as_stranger("channel.stranger", &[path.to_str().unwrap(), "0"]);
    let mut channel = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(channel.peer().uid, USERS[0]);
    let mut request = [0; 8];
    while channel.recv(&mut request).unwrap().is_some() {
        let reply = !u64::from_le_bytes(request);
        // The last reply is read before it goes.
        channel.send(&reply.to_le_bytes()).unwrap();
    }
    assert!(peer.finish().success(), "see above what the peer found");
    drop(listener);
    // And not where he may not.
    let _listener = Listener::bind(&path, 0o600, &Options::new()).unwrap();
    let peer = as_stranger("channel.stranger", &[path.to_str().unwrap(), "outside"]);
    assert!(peer.finish().success(), "see above what the peer found");
}

#[test]
fn a_stranger_cannot_write_what_he_is_given_to_read() {
    if let Some(why) = no_users() {
        return skip("a_stranger_cannot_write_what_he_is_given_to_read", why);
    }
    let place = open_place();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o666, &Options::new()).unwrap();
    let pid = std::process::id().to_string();
    let mut peer = as_stranger("channel.burglar", &[path.to_str().unwrap(), &pid]);
    let mut channel = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(
        peer.hear().as_deref(),
        Some("done"),
        "see above what he did"
    );
    // Nothing happened to the session.
    let none = channel.recv_for(&mut [0; 8], std::time::Duration::from_millis(1));
    assert_eq!(none.unwrap(), Taken::TimedOut);
    assert!(channel.sender().try_send(b"still here").unwrap());
    assert!(peer.finish().success());
    refused(channel.recv(&mut [0; 8]), ErrorKind::PeerGone);
}

#[test]
fn nor_what_a_client_gives_him() {
    if let Some(why) = no_users() {
        return skip("nor_what_a_client_gives_him", why);
    }
    let place = open_place();
    let path = place.0.join("socket");
    let mut peer = as_stranger("channel.fence", &[path.to_str().unwrap()]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    refused(Channel::open(&path, &Options::new()), ErrorKind::PeerGone);
    assert_eq!(
        peer.hear().as_deref(),
        Some("done"),
        "see above what he did"
    );
    assert!(peer.finish().success());
}

#[test]
fn a_stranger_may_be_connected_to() {
    if let Some(why) = no_users() {
        return skip("a_stranger_may_be_connected_to", why);
    }
    let place = open_place();
    let path = place.0.join("socket");
    let mut peer = as_stranger("channel.host", &[path.to_str().unwrap()]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    let mut channel = Channel::open(&path, &Options::new()).unwrap();
    assert_eq!(channel.peer().uid, USERS[0]);
    channel.send(b"hello").unwrap();
    assert_eq!(channel.recv(&mut [0; 8]).unwrap(), Some(7));
    drop(channel);
    assert!(peer.finish().success());
}
