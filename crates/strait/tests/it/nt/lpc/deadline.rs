//! Connecting within a time, to a server that decides nothing; waits that something else ends.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use strait::nt::lpc::{Message, Port, PortView, Quick};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace, wait};

use super::{client, fails, options};
use crate::peer::{Peer, say, told};
use crate::world::{GUARD, alone, descriptors, until};

const SHORT: Duration = Duration::from_millis(50);

/// A server that looks at nobody until it is told to.
pub(super) fn idle(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = Port::options().namespace(&space).create("port").unwrap();
    say("ready");
    while told().as_deref() == Some("count") {
        say(descriptors());
    }
    let mut inbox = port.inbox();
    let Message::Connect(request) = inbox.receive().unwrap() else {
        panic!("somebody connects");
    };
    say(String::from_utf8_lossy(request.data()));
    request.refuse(b"").unwrap();
}

fn timed_out<T>(result: strait::Result<T>) {
    fails(
        result.map(drop),
        ErrorKind::TimedOut,
        NtStatus::IO_TIMEOUT,
        121,
    );
}

fn server_that_decides_nothing() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.idle", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let (theirs, ours) = (server.ask("count"), descriptors());
    let view = PortView::create(4096).unwrap();
    let options = || client(&space).data(b"impatient").view(&view);
    timed_out(options().connect_for("port", SHORT));
    timed_out(options().ask_for("port", SHORT));
    timed_out(options().connect_quick_for("port", SHORT));
    timed_out(options().connect_for("port", Duration::ZERO));
    drop(view);
    assert_eq!(descriptors(), ours);
    until("the server has dropped them", || {
        server.ask("count") == theirs
    });
    // Of those who gave up it hears nothing, even so soon.
    timed_out(client(&space).data(b"impatient").connect_for("port", SHORT));
    server.tell("receive");
    drop(client(&space).data(b"patient").ask("port").unwrap());
    assert_eq!(server.hear().as_deref(), Some("patient"));
}

#[test]
fn a_server_that_decides_nothing_costs_no_more_than_the_time() {
    const TEST: &str =
        "nt::lpc::deadline::a_server_that_decides_nothing_costs_no_more_than_the_time";
    alone(TEST, server_that_decides_nothing);
}

#[test]
fn a_stopped_server_costs_no_more_than_the_time() {
    use rustix::process::{Pid, Signal, kill_process};
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.server", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::STOP).unwrap();
    timed_out(client(&space).connect_for("port", SHORT));
    timed_out(
        Quick::options()
            .namespace(&space)
            .connect_quick_for("port", SHORT),
    );
    kill_process(pid, Signal::CONT).unwrap();
    let connected = client(&space).connect_for("port", crate::world::GUARD);
    assert_eq!(connected.unwrap().call(b"abc").unwrap(), b"cba");
}

#[test]
fn a_descriptor_ends_a_wait_for_messages_too() {
    let space = Namespace::temporary().unwrap();
    let port = options(&space).create("port").unwrap();
    let (tell, hear) = mpsc::channel();
    let (told, teller) = std::io::pipe().unwrap();
    let waiting = thread::spawn(move || {
        let inbox = port.inbox();
        for _ in 0..50 {
            let won = wait::any(&[&inbox, &wait::readable(&told)]).unwrap();
            tell.send(won.index).unwrap();
            (&told).read_exact(&mut [0]).unwrap();
        }
    });
    for _ in 0..50 {
        // sleep: so that the other most likely sleeps; it passes also where that does not.
        thread::sleep(Duration::from_millis(1));
        (&teller).write_all(b"!").unwrap();
        assert_eq!(hear.recv_timeout(GUARD), Ok(1), "the wait ends");
    }
    waiting.join().unwrap();
}
