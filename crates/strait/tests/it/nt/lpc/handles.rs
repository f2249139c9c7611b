//! Handles that go with requests and replies.

use std::sync::mpsc;
use std::time::Duration;

use strait::nt::lpc::{Call, Inbox, Message, Port};
use strait::nt::{Event, Mutant, Section, Semaphore};
use strait::{ErrorKind, Namespace, wait};

use super::{accept, client, scene};
use crate::peer::{Peer, say};
use crate::world::{GUARD, alone, descriptors, refused};

/// What goes with one message, at most.
const MOST: usize = 16;

/// Does with the handles what the request's first word says.
pub(super) fn server(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = Port::options().namespace(&space).create("port").unwrap();
    say("ready");
    let mut kept = Vec::new();
    port.serve(|call| obey(call, &mut kept)).unwrap();
}

fn obey(call: &mut Call<'_>, kept: &mut Vec<Event>) -> strait::Result<()> {
    let word: Vec<u8> = call
        .request()
        .iter()
        .copied()
        .take_while(|b| *b != b' ')
        .collect();
    match &word[..] {
        b"set" => {
            call.attached::<Event>(&[])?.set()?;
            call.reply(b"")
        }
        b"each" => {
            call.attached::<Event>(&[])?.set()?;
            call.attached::<Semaphore>(&[])?.release(2)?;
            call.attached::<Mutant>(&[])?.try_acquire()?;
            let section: Section = call.attached(&[])?;
            section.map::<strait::nt::Write>()?.write(0, b"seen")?;
            call.reply(b"")
        }
        b"give" => {
            let event = Event::options().shared().create()?;
            call.attach(&event)?;
            kept.push(event);
            let long = call.request().to_vec();
            call.reply(&long)
        }
        b"later" => {
            call.attach(&kept[0])?;
            call.defer()?.reply(b"later")
        }
        b"ring" => {
            kept.iter().try_for_each(|event| event.set().map(drop))?;
            call.reply(b"")
        }
        b"back" => {
            let answer = call.callback(b"sure?", GUARD)?;
            assert_eq!(answer.as_deref(), Some(&b"yes"[..]));
            call.attached::<Event>(&[])?.set()?;
            call.reply(b"")
        }
        b"wrong" => {
            let error = refused(call.attached::<Mutant>(&[]), ErrorKind::WrongKind);
            call.reply(error.to_string().as_bytes())
        }
        b"leave" => call.reply(
            call.attached_len()
                .to_string()
                .as_bytes()
                .to_vec()
                .as_slice(),
        ),
        b"count" => call.reply(descriptors().to_string().as_bytes()),
        other => panic!("{other:?}"),
    }
}

fn shared() -> Event {
    Event::options().shared().create().unwrap()
}

fn is_set(event: &Event) -> bool {
    wait::any_for(&[event], Duration::ZERO).unwrap().is_some()
}

#[test]
fn handles_go_with_requests_and_replies() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.handles", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let mut client = client(&space).connect("port").unwrap();
    // Of a message of one record, and of one of many.
    for len in [0, 100_000] {
        let event = shared();
        client.attach(&event).unwrap();
        let request = [b"set ", &vec![7; len][..]].concat();
        client.call(&request).unwrap();
        assert!(is_set(&event));
    }
    let (event, section) = (shared(), Section::options(4096).create().unwrap());
    let semaphore = Semaphore::options(0, 2).shared().create().unwrap();
    let mutant = Mutant::options().shared().create().unwrap();
    client.attach(&event).unwrap();
    client.attach(&semaphore).unwrap();
    client.attach(&mutant).unwrap();
    client.attach(&section).unwrap();
    client.call(b"each").unwrap();
    wait::all(&[&event, &semaphore]).unwrap();
    wait::any(&[&semaphore]).unwrap();
    let mut seen = [0; 4];
    section
        .map::<strait::nt::Read>()
        .unwrap()
        .read(0, &mut seen)
        .unwrap();
    assert_eq!(&seen, b"seen");
    // They wait while the server asks back.
    let event = shared();
    client.attach(&event).unwrap();
    client.call_with(b"back", |_| b"yes".to_vec()).unwrap();
    assert!(is_set(&event));
    // And back.
    let mut given = Vec::new();
    for len in [0, 200_000] {
        let request = [b"give ", &vec![9; len][..]].concat();
        assert_eq!(client.call(&request).unwrap(), request);
        assert_eq!(client.attached_len(), 1);
        given.push(client.attached::<Event>(&[]).unwrap());
        refused(client.attached::<Event>(&[]), ErrorKind::NotFound);
    }
    assert_eq!(client.call(b"later").unwrap(), b"later");
    given.push(client.attached(&[]).unwrap());
    assert!(given.iter().all(|event| !is_set(event)));
    client.call(b"ring").unwrap();
    assert!(is_set(&given[0]) && is_set(&given[1]));
    assert!(
        !is_set(&given[2]),
        "it is the first, which was reset by the wait"
    );
}

fn no_descriptors_stay() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.handles", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let mut client = client(&space).connect("port").unwrap();
    let event = shared();
    client.call(b"give").unwrap();
    let (theirs, ours) = (client.call(b"count").unwrap().to_vec(), descriptors());
    for _ in 0..20 {
        for _ in 0..MOST {
            client.attach(&event).unwrap();
        }
        refused(client.attach(&event), ErrorKind::LimitExceeded);
        assert_eq!(client.call(b"leave").unwrap(), b"16");
        client.attach(&event).unwrap();
        let said = client.call(b"wrong").unwrap().to_vec();
        assert!(said.starts_with(b"take attached handle"), "{said:?}");
        // Nobody takes it here.
        client.call(b"later").unwrap();
        assert_eq!(client.attached_len(), 1);
        // A handler that fails for the lack of one is its client's fault: the server goes on.
        refused(client.call(b"set").map(drop), ErrorKind::Refused);
        assert_eq!(client.attached_len(), 0, "of a message without");
    }
    assert_eq!(client.call(b"count").unwrap(), theirs);
    assert_eq!(descriptors(), ours);
    let private = Event::options().create().unwrap();
    refused(client.attach(&private), ErrorKind::Unsupported);
}

#[test]
fn handles_that_nobody_takes_are_closed() {
    alone(
        "nt::lpc::handles::handles_that_nobody_takes_are_closed",
        no_descriptors_stay,
    );
}

#[test]
fn a_handle_comes_behind_what_is_kept_for_the_client() {
    scene(
        |mut inbox| {
            accept(&mut inbox);
            let Message::Request(mut call) = inbox.receive().unwrap() else {
                panic!("a request");
            };
            for _ in 0..20 {
                call.connection().datagram(&[7; 4000]).unwrap();
            }
            let event = shared();
            call.attach(&event).unwrap();
            call.reply(b"at last").unwrap();
            drop(call);
            // Goes on sending what is kept.
            let Message::Datagram(_) = inbox.receive().unwrap() else {
                panic!("a datagram");
            };
            assert!(is_set(&event));
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            assert_eq!(client.call(b"?").unwrap(), b"at last");
            client.attached::<Event>(&[]).unwrap().set().unwrap();
            client.datagram(b"done").unwrap();
            for _ in 0..20 {
                assert_eq!(client.receive().unwrap().bytes(), &[7; 4000]);
            }
        },
    );
}

#[test]
fn what_was_given_up_takes_its_handles_along() {
    let (fill, filled) = mpsc::channel();
    scene(
        move |mut inbox| {
            accept(&mut inbox);
            filled.recv().unwrap();
            loop {
                let Message::Request(mut call) = inbox.receive().unwrap() else {
                    panic!("a request");
                };
                assert_eq!(call.attached_len(), 0);
                let is_last = call.request() == b"last";
                // All but the last were given up.
                let _ = call.reply(b"ok");
                if is_last {
                    return;
                }
            }
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            for _ in 0..20 {
                let sent = client.call_for(&[7; 4000], Duration::ZERO).unwrap();
                assert_eq!(sent, None);
            }
            client.attach(&shared()).unwrap();
            assert_eq!(client.call_for(&[7; 4000], Duration::ZERO).unwrap(), None);
            fill.send(()).unwrap();
            assert_eq!(client.call_for(b"last", GUARD).unwrap(), Some(&b"ok"[..]));
        },
    );
}

/// What a server receives after a callback that was answered by nobody, while a client sent so many
/// datagrams with handles and called again.
fn after_a_callback(laden: usize, ended: ErrorKind, served: impl FnOnce(&mut Inbox) + Send) {
    let (go, gone) = std::sync::mpsc::channel();
    scene(
        move |mut inbox| {
            accept(&mut inbox);
            let Message::Request(mut call) = inbox.receive().unwrap() else {
                panic!("a request");
            };
            // Not before: the client would answer it with its request.
            gone.recv().unwrap();
            refused(call.callback(b"?", GUARD), ended);
            drop(call);
            served(&mut inbox);
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            client.call_for(b"ask me", Duration::ZERO).unwrap();
            let event = shared();
            for _ in 0..laden {
                client.attach(&event).unwrap();
                client.datagram(b"set").unwrap();
            }
            go.send(()).unwrap();
            // The callback is answered meanwhile, by a no.
            let called = client.call_for(b"done", GUARD);
            if ended == ErrorKind::Refused {
                assert!(called.unwrap().is_some() && is_set(&event));
            } else {
                refused(called, ErrorKind::PeerGone);
            }
        },
    );
}

#[test]
fn handles_stay_with_what_comes_during_a_callback() {
    after_a_callback(1, ErrorKind::Refused, |inbox| {
        match inbox.receive().unwrap() {
            Message::Datagram(mut datagram) => {
                datagram.attached::<Event>(&[]).unwrap().set().unwrap();
            }
            other => panic!("{other:?}"),
        }
        match inbox.receive().unwrap() {
            Message::Request(mut call) => call.reply(b"").unwrap(),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_handles_of_one_message_are_kept_during_a_callback() {
    after_a_callback(2, ErrorKind::PeerGone, |_| {});
}

#[test]
fn what_is_attached_goes_with_no_reply_to_the_server() {
    scene(
        |mut inbox| {
            accept(&mut inbox);
            match inbox.receive().unwrap() {
                Message::Datagram(hello) => drop(hello.connection().request(b"sure?").unwrap()),
                other => panic!("{other:?}"),
            }
            match inbox.receive().unwrap() {
                Message::Reply(reply) => assert_eq!(reply.bytes(), b"yes"),
                other => panic!("{other:?}"),
            }
            match inbox.receive().unwrap() {
                Message::Request(mut call) => {
                    call.attached::<Event>(&[]).unwrap().set().unwrap();
                    call.reply(b"").unwrap();
                }
                other => panic!("{other:?}"),
            }
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            client.datagram(b"hello").unwrap();
            let id = client.receive().unwrap().id();
            let event = shared();
            client.attach(&event).unwrap();
            client.reply(id, b"yes").unwrap();
            assert!(client.call_for(b"set", GUARD).unwrap().is_some());
            assert!(is_set(&event));
        },
    );
}
