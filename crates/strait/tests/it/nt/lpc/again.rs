//! LPC: a client that nobody has heard asks again, and one that cannot be let in is told why.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, setrlimit};
use strait::nt::lpc::Client;
use strait::nt::pipe;
use strait::{ErrorKind, Namespace, Security};
use strait_sys::pass;

use super::lies::{PORT, place};
use super::{client as options, options as born};
use crate::channel::lies::liar::{Greeting, PIPE, greet, listening, pair};
use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, as_user, is_root, no_users, refused, skip};

/// A user of whom nobody else has descriptors on their way.
const USER: u32 = 48_613;
/// More than anybody is asked.
const MANY: u32 = 1000;

/// Where a port or pipe listened that is gone, whose file somebody else takes.
fn taken_over(space: &Namespace, form: &str) -> (PathBuf, OwnedFd) {
    let port = (form != "pipe").then(|| born(space).create("port").unwrap());
    let server = (form == "pipe").then(|| {
        let server = pipe::Server::options(r"\\.\pipe\port").namespace(space);
        server.create().unwrap()
    });
    let path = place(space);
    drop((port, server));
    let listener = listening(&path);
    (path, listener)
}

/// Hangs up on so many of those who come; the next one.
fn hang_up(listener: &OwnedFd, count: u32) -> Option<OwnedFd> {
    let in_time = Timespec::try_from(GUARD).unwrap();
    for _ in 0..count {
        let came = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&in_time));
        assert_eq!(came, Ok(1), "it does not ask again");
        drop(rustix::net::accept(listener).ok()?);
    }
    rustix::net::accept(listener).ok()
}

/// Connects, and says how that ended.
pub(super) fn newcomer(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = || options(&space);
    let opened = match (&*args[1], &*args[2]) {
        ("pipe", _) => {
            let name = r"\\.\pipe\port";
            pipe::Client::options(name).namespace(&space).open().err()
        }
        ("quick", "in time") => port().connect_quick_for("port", GUARD).err(),
        ("quick", _) => port().connect_quick("port").err(),
        (_, "in time") => port().connect_for("port", GUARD).err(),
        (_, "hasty") => port().connect_for("port", Duration::from_millis(40)).err(),
        _ => port().connect("port").err(),
    };
    say(opened.map_or_else(
        || "open".into(),
        |error| format!("{:?} {error}", error.kind()),
    ));
}

fn newcomer_to(space: &Namespace, form: &str, how: &str) -> Peer {
    Peer::start("lpc.newcomer", &[space.path().to_str().unwrap(), form, how])
}

#[test]
fn who_was_hung_up_on_unheard_asks_again() {
    let cases = [
        ("messages", "in time"),
        ("messages", "for good"),
        ("quick", "in time"),
        ("pipe", "for good"),
    ];
    for (form, how) in cases {
        let space = Namespace::temporary().unwrap();
        let (_, listener) = taken_over(&space, form);
        let mut newcomer = newcomer_to(&space, form, how);
        let socket = hang_up(&listener, 3).unwrap();
        let (len, _) = pass::recv(socket.as_fd(), &mut [0; 8192], 4).unwrap();
        assert!(len > 0, "it greets");
        let mut refusal = Greeting::hello();
        (refusal.verb, refusal.code) = (2, 1);
        refusal.role = if form == "pipe" { PIPE } else { PORT };
        (refusal.capacity, refusal.len) = (4096, 5);
        refusal.payload = b"heard".to_vec();
        if form == "pipe" {
            // STATUS_PIPE_NOT_AVAILABLE.
            refusal.code = 0xC000_00AC;
        }
        greet(&socket, &refusal.bytes(), &[]);
        let heard = newcomer.hear().unwrap();
        let expected = if form == "pipe" {
            "no instance listens"
        } else {
            "heard"
        };
        assert!(heard.contains(expected), "{form}: {heard}");
    }
}

#[test]
fn who_is_never_heard_gives_up_and_says_so() {
    for (how, least) in [("for good", 5), ("hasty", 1)] {
        let space = Namespace::temporary().unwrap();
        let (_, listener) = taken_over(&space, "messages");
        let mut newcomer = newcomer_to(&space, "messages", how);
        let stop = listener.try_clone().unwrap();
        thread::scope(|scope| {
            let asked = scope.spawn(move || {
                let mut asked = 0;
                while asked < MANY && rustix::net::accept(&listener).is_ok() {
                    asked += 1;
                }
                asked
            });
            let heard = newcomer.hear().unwrap();
            rustix::net::shutdown(&stop, rustix::net::Shutdown::Both).unwrap();
            let asked = asked.join().unwrap();
            let is_true = heard.contains("too many connect") || heard.starts_with("TimedOut");
            assert!(is_true, "{heard}");
            assert!((least..20).contains(&asked), "{how}: {asked} times");
        });
    }
}

#[test]
fn who_waits_for_a_pipe_asks_again() {
    let space = Namespace::temporary().unwrap();
    let (_, listener) = taken_over(&space, "pipe");
    let name = r"\\.\pipe\port";
    thread::scope(|scope| {
        let waits = scope.spawn(|| pipe::wait_for_in(&space, name, GUARD));
        let socket = hang_up(&listener, 3).unwrap();
        // An instance listens.
        rustix::net::send(&socket, &[0xff; 8], rustix::net::SendFlags::NOSIGNAL).unwrap();
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn a_call_of_a_pipe_keeps_its_time_whatever_is_promised() {
    use rustix::net::{RecvFlags, SendFlags, recv, send};
    let space = Namespace::temporary().unwrap();
    let (_, listener) = taken_over(&space, "pipe");
    let mut busy = Greeting::hello();
    (busy.verb, busy.code, busy.role, busy.capacity) = (2, 0xC000_00AC, PIPE, 4096);
    let stop = listener.try_clone().unwrap();
    thread::scope(|scope| {
        // Whoever asks hears that an instance listens, and whoever comes that none does.
        scope.spawn(|| {
            let since = std::time::Instant::now();
            while let Ok(socket) = rustix::net::accept(&listener) {
                if since.elapsed() > GUARD {
                    return;
                }
                let mut said = [0; 512];
                let len = recv(&socket, &mut said, RecvFlags::empty()).map_or(0, |(len, _)| len);
                if len == 8 {
                    let _ = send(&socket, &[0xff; 8], SendFlags::NOSIGNAL);
                } else {
                    greet(&socket, &busy.bytes(), &[]);
                }
            }
        });
        let client = pipe::Client::options(r"\\.\pipe\port").namespace(&space);
        let timeout = pipe::Timeout::For(Duration::from_millis(50));
        let since = std::time::Instant::now();
        let called = client.call(b"?", &mut [0; 9], timeout);
        let in_time = since.elapsed() < GUARD;
        rustix::net::shutdown(&stop, rustix::net::Shutdown::Both).unwrap();
        refused(called, ErrorKind::TimedOut);
        assert!(in_time, "it ended with the server");
    });
}

/// A user who has more descriptors on their way than it may: it serves a port and a pipe.
pub(super) fn crowded(args: &[String]) {
    let few = Rlimit {
        current: Some(100),
        maximum: Some(100),
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let space = Namespace::directory(&args[0]).unwrap();
    let security = || Security::private().mode(0o666);
    let create = |name| born(&space).security(security()).create(name).unwrap();
    let (port, quick) = (create("port"), create("quick"));
    let server = pipe::Server::options(r"\\.\pipe\pipe").namespace(&space);
    let server = server.security(security()).create().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| port.serve(|call| call.reply(b"on")).unwrap());
        scope.spawn(|| quick.serve_quick(|call| call.reply(b"on")).unwrap());
        scope.spawn(|| server.connect().unwrap().write(b"on").unwrap());
        let (near, far) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let full = loop {
            // Room for more on the socket is not what is short.
            let files = [file.as_fd(); 60];
            let flags = rustix::net::SendFlags::DONTWAIT;
            match pass::send_message(near.as_fd(), b"x", (&files, None), None, flags) {
                Ok(_) => {}
                Err(errno) => break errno,
            }
        };
        say(full.raw_os_error());
        told();
        drop((near, far));
        say("drained");
        told();
        port.close();
        quick.close();
    });
}

#[test]
fn a_user_without_room_for_descriptors_on_their_way_says_so_and_serves_on() {
    const TEST: &str = "a_user_without_room_for_descriptors_on_their_way_says_so_and_serves_on";
    if !is_root() {
        return skip(TEST, "only root has other users");
    }
    if let Some(why) = no_users() {
        return skip(TEST, why);
    }
    let open = crate::nt::pipe::Open::new("crowded");
    std::os::unix::fs::chown(&open.path, Some(USER), Some(USER)).unwrap();
    let mut command = command("lpc.crowded", &[&open.path]);
    let mut server = Peer::of(as_user(&mut command, USER));
    let too_many = rustix::io::Errno::TOOMANYREFS.raw_os_error();
    assert_eq!(server.hear().unwrap(), too_many.to_string());
    let connect = || options(&open.space).connect_for("port", GUARD);
    let quick = || options(&open.space).connect_quick_for("quick", GUARD);
    let pipe = || {
        let name = r"\\.\pipe\pipe";
        pipe::Client::options(name).namespace(&open.space).open()
    };
    let refusals = [
        refused(connect(), ErrorKind::Refused),
        refused(quick(), ErrorKind::Refused),
        refused(pipe(), ErrorKind::Exhausted),
    ];
    for error in refusals {
        assert!(error.why().contains("out of descriptors"), "{error}");
    }
    assert_eq!(server.ask("drain"), "drained");
    let mut client: Client = connect().unwrap();
    assert_eq!(client.call(b"").unwrap(), b"on");
    assert_eq!(quick().unwrap().call(b"").unwrap(), b"on");
    let client = pipe().unwrap();
    assert_eq!(client.read(&mut [0; 9]).unwrap().len, 2);
    assert!(server.finish().success());
}
