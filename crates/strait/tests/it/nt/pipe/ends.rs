//! Ends of one way, ends of both, and ends that nobody said.

use std::io::{Read, Write};

use super::*;
use crate::peer::Peer;
use crate::world::GUARD;

#[test]
fn one_way_ends_alone() {
    for message in [false, true] {
        let space = space();
        let options = server(&space);
        let (session, client) = joined(&space, if message { options.message() } else { options });
        client.write(b"question").unwrap();
        client.shutdown_write().unwrap();
        assert!(!client.is_flushed().unwrap());
        let mut buffer = [0; 64];
        // What was written before is there.
        assert_eq!(session.read(&mut buffer).unwrap().len, 8);
        assert!(client.is_flushed().unwrap());
        is_code(session.read(&mut buffer), ErrorKind::PeerGone, 109);
        is_code(client.write(b"more"), ErrorKind::WrongState, 232);
        is_code(
            client.write_overlapped(b"more".to_vec()),
            ErrorKind::WrongState,
            232,
        );
        // The client is there still, and reads.
        assert_eq!(session.state(), strait::nt::pipe::SessionState::Connected);
        assert!(!session.is_abandoned().unwrap());
        session.write(b"answer").unwrap();
        assert_eq!(client.read(&mut buffer).unwrap().len, 6);
        beside(
            || client.wait_closed().unwrap(),
            || {
                drop(session);
            },
        );
        is_code(client.read(&mut buffer), ErrorKind::PeerGone, 109);
        assert!(!client.is_abandoned().unwrap());
    }
}

#[test]
fn a_read_that_waits_hears_that_nothing_more_comes() {
    let space = space();
    let (session, client) = joined(&space, server(&space));
    beside(
        || is_code(session.read(&mut [0; 9]), ErrorKind::PeerGone, 109),
        || client.shutdown_write().unwrap(),
    );
    // Of the other way the same.
    beside(
        || is_code(client.read(&mut [0; 9]), ErrorKind::PeerGone, 109),
        || session.shutdown_write().unwrap(),
    );
}

#[test]
fn who_was_killed_has_not_closed() {
    let space = space();
    let path = space.path().to_str().unwrap().to_owned();
    for closes in [false, true] {
        let server = server(&space).message().create().unwrap();
        let mut peer = Peer::start("nt.pipe.client", &[&path]);
        let session = server.connect().unwrap();
        peer.hear().unwrap();
        assert_eq!(peer.ask("write part"), "4");
        let mut buffer = [0; 9];
        if closes {
            peer.close();
            peer.child.wait().unwrap();
        } else {
            peer.kill();
        }
        assert_eq!(session.read(&mut buffer).unwrap().len, 4);
        let error = session.read(&mut buffer).unwrap_err();
        assert_eq!(error.win32(), 109, "{error}");
        assert_eq!(session.is_abandoned().unwrap(), !closes, "{error}");
        let says_so = error.to_string().contains("without having closed it");
        assert_eq!(says_so, !closes, "{error}");
        let error = session.write(b"x").unwrap_err();
        assert_eq!(error.win32(), 232, "{error}");
        assert!(!error.to_string().contains("everything it sent"), "{error}");
    }
}

#[test]
fn a_name_goes_before_its_sessions() {
    let space = space();
    let server = server(&space).create().unwrap();
    let client = client(&space).open().unwrap();
    let session = server.connect().unwrap();
    let further = server.instance().unwrap();
    let heard = beside(|| further.connect(), || server.close());
    is_code(heard, ErrorKind::PeerGone, 233);
    is_code(further.connect(), ErrorKind::PeerGone, 233);
    is_code(super::client(&space).open(), ErrorKind::NotFound, 2);
    // Another may have it.
    let other = super::server(&space).create().unwrap();
    client.write(b"still").unwrap();
    assert_eq!(session.read(&mut [0; 9]).unwrap().len, 5);
    drop((session, further, server));
    let _third = super::client(&space).open().unwrap();
    other.connect().unwrap();
}

#[test]
fn opening_waits_for_an_instance_as_long_as_it_may() {
    let space = space();
    let server = server(&space).instances(1).create().unwrap();
    let _first = client(&space).open().unwrap();
    let session = server.connect().unwrap();
    is_code(client(&space).open_for(ZERO), ErrorKind::TimedOut, 121);
    let opened = beside(
        || client(&space).open_for(GUARD),
        || {
            session.disconnect().unwrap();
            session.connect().unwrap();
            session
        },
    );
    opened.unwrap();
}

#[test]
fn named_ends_are_streams() {
    let space = space();
    let (mut session, mut client) = joined(&space, server(&space).message());
    client.write_all(b"one ").unwrap();
    // Without bytes, and no end.
    client.write_all(b"").unwrap();
    Client::write(&client, b"").unwrap();
    client.write_all(b"two").unwrap();
    drop(client);
    let mut text = String::new();
    session.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one two");
}
