//! LPC: what a port's two sides see of each other, at every edge.

mod again;
mod crowd;
mod deadline;
mod death;
mod examples;
mod fault;
pub(crate) mod forked;
mod handles;
mod identity;
mod lies;
mod typed;

use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use strait::nt::lpc::{
    Answer, Client, ClientOptions, DATA_MAX, Extent, Inbox, Message, Port, PortOptions, PortView,
};
use strait::nt::status::NtStatus;
use strait::nt::{Section, Write};
use strait::wait::{self, Waitable};
use strait::{ErrorKind, Namespace, Rights};

use super::fails;
use crate::peer::{Role, say};
use crate::world::{GUARD, refused};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("lpc.server", server),
    ("lpc.client", death::client),
    ("lpc.callers", crowd::callers),
    ("lpc.silent", death::silent),
    ("lpc.undecided", death::undecided),
    ("lpc.idle", deadline::idle),
    ("lpc.caller", identity::caller),
    ("lpc.adder", typed::adder),
    ("lpc.example", examples::serve),
    ("lpc.handles", handles::server),
    ("lpc.newcomer", again::newcomer),
    ("lpc.crowded", again::crowded),
    ("lpc.relay", fault::relay),
    ("lpc.refusing", fault::refusing),
    ("lpc.closing", death::closing),
    ("lpc.knocking", death::knocking),
    ("lpc.answering_last", death::answering_last),
    ("lpc.asking_once", death::asking_once),
    ("lpc.viewer", lies::viewer),
    ("lpc.misfit", lies::misfit),
    ("lpc.flooder", lies::flooder),
    ("lpc.flooding", lies::flooding),
    ("lpc.lying", lies::lying),
];

/// Answers each request by its bytes in reverse, until it is told to end or killed.
fn server(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = options(&space).create("port").unwrap();
    say("ready");
    thread::scope(|scope| {
        scope.spawn(|| {
            crowd::obey(&port);
            port.close();
        });
        port.serve(reply_reversed).unwrap();
    });
}

fn reply_reversed(call: &mut strait::nt::lpc::Call<'_>) -> strait::Result<()> {
    let mut bytes = call.request().to_vec();
    bytes.reverse();
    call.reply(&bytes)
}

fn options(space: &Namespace) -> PortOptions {
    Port::options().namespace(space)
}

fn client(space: &Namespace) -> ClientOptions<'_> {
    Client::options().namespace(space)
}

/// A port, and what its server does on a thread of its own beside the client's `body`.
fn scene<R: Send>(serve: impl FnOnce(Inbox) -> R + Send, body: impl FnOnce(&Namespace)) -> R {
    let space = Namespace::temporary().unwrap();
    let port = options(&space).create("port").unwrap();
    let inbox = port.inbox();
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(inbox));
        body(&space);
        serving.join().unwrap()
    })
}

/// Accepts the one client that comes.
fn accept(inbox: &mut Inbox) {
    match inbox.receive().unwrap() {
        Message::Connect(request) => drop(request.accept(b"").unwrap()),
        other => panic!("not a client: {other:?}"),
    }
}

/// The next request.
macro_rules! request {
    ($inbox:expr) => {
        match $inbox.receive().unwrap() {
            Message::Request(call) => call,
            other => panic!("not a request: {other:?}"),
        }
    };
}

#[test]
fn names_of_ports() {
    let space = Namespace::temporary().unwrap();
    let missing = client(&space).connect("port");
    fails(
        missing,
        ErrorKind::NotFound,
        NtStatus::OBJECT_NAME_NOT_FOUND,
        2,
    );
    let port = options(&space).create("port").unwrap();
    let again = options(&space).create("port");
    fails(
        again,
        ErrorKind::Exists,
        NtStatus::OBJECT_NAME_COLLISION,
        183,
    );
    // Case counts, and objects have names of their own.
    let other = options(&space).create("Port").unwrap();
    let _event = space.event("port").create().unwrap();
    drop((port, other));
    let gone = client(&space).connect("port");
    fails(
        gone,
        ErrorKind::NotFound,
        NtStatus::OBJECT_NAME_NOT_FOUND,
        2,
    );
    let wrong = options(&space).create(r"no\such");
    fails(
        wrong,
        ErrorKind::PathNotFound,
        NtStatus::OBJECT_PATH_NOT_FOUND,
        3,
    );
    for (most, clients) in [(0, 1), ((1 << 30) + 1, 1), (64, 0)] {
        let wrong = options(&space)
            .message_max(most)
            .clients_max(clients)
            .create("p");
        fails(
            wrong,
            ErrorKind::InvalidInput,
            NtStatus::INVALID_PARAMETER,
            87,
        );
    }
}

#[test]
fn what_is_no_port_is_told_apart() {
    let space = Namespace::temporary().unwrap();
    let files = || {
        let entries = std::fs::read_dir(space.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let before = files();
    let port = options(&space).create("port").unwrap();
    let path = files().into_iter().find(|path| {
        !before.contains(path)
            && std::os::unix::fs::FileTypeExt::is_socket(
                &std::fs::metadata(path).unwrap().file_type(),
            )
    });
    let path = path.unwrap();
    drop(port);
    // Something else listens where the port was.
    let _stream = UnixListener::bind(&path).unwrap();
    let wrong = client(&space).connect("port");
    fails(wrong, ErrorKind::Layout, NtStatus::INVALID_PORT_HANDLE, 6);
}

#[test]
fn data_goes_with_a_connection_both_ways() {
    scene(
        |mut inbox| {
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            assert_eq!(request.data(), b"it is me");
            let (pid, uid) = (request.client().pid, request.client().uid);
            assert_eq!(
                (pid, uid),
                (std::process::id(), rustix::process::geteuid().as_raw())
            );
            assert!(!request.wants_quick() && request.view_len().is_none());
            let connection = request.context(77_u64).accept(b"be welcome").unwrap();
            assert_eq!(connection.context::<u64>(), Some(&77));
            let mut call = request!(inbox);
            assert_eq!(call.context::<u64>(), Some(&77));
            assert_eq!(call.context::<u32>(), None);
            assert!(call.connection().is_same(&connection));
            call.reply(b"").unwrap();
        },
        |space| {
            let mut client = client(space).data(b"it is me").connect("port").unwrap();
            assert_eq!(client.data(), b"be welcome");
            assert_eq!(client.message_max(), 1 << 20);
            assert_eq!(client.server().pid, std::process::id());
            assert_eq!(client.call(b"").unwrap(), b"");
        },
    );
}

#[test]
fn a_server_says_no() {
    scene(
        |mut inbox| {
            for _ in 0..3 {
                let Message::Connect(request) = inbox.receive().unwrap() else {
                    panic!("somebody connects");
                };
                match request.data() {
                    b"dropped" => drop(request),
                    data => {
                        let words = [data, b"?"].concat();
                        request.refuse(&words).unwrap();
                    }
                }
            }
        },
        |space| {
            let no = client(space).data(b"now").connect("port");
            let error = refused(no, ErrorKind::Refused);
            assert_eq!(error.nt_status(), NtStatus::PORT_CONNECTION_REFUSED);
            assert!(error.to_string().contains("now?"), "{error}");
            let Answer::Refused(data) = client(space).data(&[0, 255]).ask("port").unwrap() else {
                panic!("it is refused");
            };
            assert_eq!(data, [0, 255, b'?']);
            let no = client(space).data(b"dropped").connect("port");
            fails(no, ErrorKind::Refused, NtStatus::PORT_CONNECTION_REFUSED, 5);
        },
    );
}

#[test]
fn limits_of_what_goes_with_a_connection() {
    scene(
        |mut inbox| {
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            assert_eq!(request.data().len(), DATA_MAX);
            request.accept(&[1; DATA_MAX]).unwrap();
        },
        |space| {
            let long = [0; DATA_MAX + 1];
            let wrong = client(space).data(&long).connect("port");
            fails(
                wrong,
                ErrorKind::TooLong,
                NtStatus::PORT_MESSAGE_TOO_LONG,
                317,
            );
            let data = [7; DATA_MAX];
            let client = client(space).data(&data).connect("port").unwrap();
            assert_eq!(client.data(), [1; DATA_MAX]);
        },
    );
}

#[test]
fn a_client_can_insist_on_a_user() {
    let space = Namespace::temporary().unwrap();
    let _port = options(&space).create("port").unwrap();
    let own = rustix::process::geteuid().as_raw();
    let wrong = client(&space).server_uid(own + 1).connect("port");
    fails(wrong, ErrorKind::Denied, NtStatus::SERVER_SID_MISMATCH, 317);
}

#[test]
fn calls_of_every_length_are_answered_in_order() {
    scene(
        |mut inbox| {
            accept(&mut inbox);
            let mut ids = Vec::new();
            while let Message::Request(mut call) = inbox.receive().unwrap() {
                ids.push(call.id());
                reply_reversed(&mut call).unwrap();
            }
            assert_eq!(
                ids,
                (1..=6).collect::<Vec<u32>>(),
                "never 0, one after the other"
            );
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            // Empty, NT's inline limits, a ring's piece, more than the ring, and the port's limit.
            for len in [0, 304, 512, 8000, 100_000, 1 << 20] {
                let request: Vec<u8> = (0..len).map(|n| (n * 31) as u8).collect();
                let reply = client.call(&request).unwrap();
                assert!(reply.iter().eq(request.iter().rev()), "{len} bytes");
            }
            let long = client.call(&vec![0; (1 << 20) + 1]);
            fails(
                long.map(drop),
                ErrorKind::TooLong,
                NtStatus::PORT_MESSAGE_TOO_LONG,
                317,
            );
            let long = client.datagram(&vec![0; (1 << 20) + 1]);
            fails(
                long,
                ErrorKind::TooLong,
                NtStatus::PORT_MESSAGE_TOO_LONG,
                317,
            );
        },
    );
}

#[test]
fn what_is_no_reply() {
    scene(
        |mut inbox| {
            accept(&mut inbox);
            // A datagram, which comes before the request that was sent after it.
            let Message::Datagram(mut datagram) = inbox.receive().unwrap() else {
                panic!("a datagram");
            };
            assert_eq!((datagram.request(), datagram.id()), (&b"one way"[..], 0));
            assert!(!datagram.wants_reply());
            let wrong = |result| {
                fails(
                    result,
                    ErrorKind::InvalidInput,
                    NtStatus::REPLY_MESSAGE_MISMATCH,
                    317,
                );
            };
            wrong(datagram.reply(b"?"));
            wrong(datagram.defer().map(drop));
            wrong(datagram.callback(b"?", GUARD).map(drop));
            drop(datagram);
            let mut call = request!(inbox);
            let long = call.reply(&vec![0; (1 << 20) + 1]);
            fails(
                long,
                ErrorKind::TooLong,
                NtStatus::PORT_MESSAGE_TOO_LONG,
                317,
            );
            call.reply(b"once").unwrap();
            wrong(call.reply(b"twice"));
            drop(call);
            // Dropped: the client is told. And a deferred one likewise.
            drop(request!(inbox));
            drop(request!(inbox).defer().unwrap());
            let pending = request!(inbox).defer().unwrap();
            assert_eq!(pending.id(), 4);
            let Message::Request(mut call) = inbox.reply_receive(pending, b"later").unwrap() else {
                panic!("a request");
            };
            assert_eq!(call.request(), b"and on");
            call.reply(b"on").unwrap();
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            client.datagram(b"one way").unwrap();
            assert_eq!(client.call(b"1").unwrap(), b"once");
            for _ in 0..2 {
                let lost = client.call(b"2").map(drop);
                fails(lost, ErrorKind::Refused, NtStatus::LPC_REPLY_LOST, 1359);
            }
            assert_eq!(client.call(b"4").unwrap(), b"later");
            assert_eq!(client.call(b"and on").unwrap(), b"on");
        },
    );
}

#[test]
fn who_gave_up_gets_no_reply() {
    let (give_up, gave_up) = mpsc::channel();
    scene(
        move |mut inbox| {
            accept(&mut inbox);
            let pending = request!(inbox).defer().unwrap();
            assert!(pending.is_awaited());
            // The giving up comes before this one.
            let Message::Datagram(_) = inbox.receive().unwrap() else {
                panic!("a datagram");
            };
            assert!(!pending.is_awaited());
            let late = pending.reply(b"late");
            fails(
                late,
                ErrorKind::InvalidInput,
                NtStatus::REPLY_MESSAGE_MISMATCH,
                317,
            );
            // This one is late as well, but nobody has told.
            let mut call = request!(inbox);
            gave_up.recv().unwrap();
            call.reply(b"late").unwrap();
            drop(call);
            request!(inbox).reply(b"now").unwrap();
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            let short = Duration::from_millis(1);
            assert_eq!(client.call_for(b"quick?", short).unwrap(), None);
            client.datagram(b"").unwrap();
            assert_eq!(client.call_for(b"quick?", Duration::ZERO).unwrap(), None);
            give_up.send(()).unwrap();
            assert_eq!(client.call(b"well").unwrap(), b"now", "not the late one");
        },
    );
}

#[test]
fn a_server_asks_back() {
    let (over, is_over) = mpsc::channel();
    let (give_up, gave_up) = mpsc::channel();
    scene(
        move |mut inbox| {
            accept(&mut inbox);
            let mut call = request!(inbox);
            let first = call.callback(b"how many?", GUARD).unwrap().unwrap();
            let second = call.callback(&first, GUARD).unwrap().unwrap();
            assert_eq!(call.request(), b"sum", "the request stays");
            call.reply(&[&first[..], &second].concat()).unwrap();
            drop(call);
            // A client that has nobody to answer.
            let mut call = request!(inbox);
            let lost = call.callback(b"?", GUARD);
            fails(lost, ErrorKind::Refused, NtStatus::LPC_REPLY_LOST, 1359);
            call.reply(b"never mind").unwrap();
            drop(call);
            // One that does not answer in time; what it sent meanwhile is not lost.
            let mut call = request!(inbox);
            gave_up.recv().unwrap();
            let none = call.callback(b"?", Duration::from_millis(1)).unwrap();
            assert_eq!(none, None);
            // Then the client goes, and nobody could be answered.
            call.reply(b"").unwrap();
            drop(call);
            over.send(()).unwrap();
            match inbox.receive().unwrap() {
                Message::Datagram(datagram) => assert_eq!(datagram.request(), b"meanwhile"),
                other => panic!("{other:?}"),
            }
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            let mut asked = Vec::new();
            let reply = client.call_with(b"sum", |question| {
                asked.push(question.to_vec());
                vec![b'0' + asked.len() as u8; 2]
            });
            assert_eq!(reply.unwrap(), b"1122");
            assert_eq!(asked, [b"how many?".to_vec(), b"11".to_vec()]);
            assert_eq!(client.call(b"plain").unwrap(), b"never mind");
            // Neither answers nor reads until the server's patience is over.
            client.call_for(b"busy", Duration::ZERO).unwrap();
            client.datagram(b"meanwhile").unwrap();
            give_up.send(()).unwrap();
            is_over.recv().unwrap();
        },
    );
}

#[test]
fn a_server_begins() {
    scene(
        |mut inbox| {
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            let connection = request.accept(b"").unwrap();
            connection.datagram(b"news").unwrap();
            let ids = [
                connection.request(b"first?").unwrap(),
                connection.request(b"second?").unwrap(),
            ];
            assert_eq!(ids, [1, 2]);
            for (id, reply) in [(2, b"2"), (1, b"1")] {
                let Message::Reply(came) = inbox.receive().unwrap() else {
                    panic!("a reply");
                };
                assert_eq!((came.id(), came.bytes()), (id, &reply[..]));
                assert!(came.connection().is_same(&connection));
            }
            let mut call = request!(inbox);
            call.reply(b"").unwrap();
        },
        |space| {
            let mut client = client(space).connect("port").unwrap();
            let news = client.receive().unwrap();
            assert_eq!((news.id(), news.bytes()), (0, &b"news"[..]));
            let zero = client.reply(0, b"?");
            fails(
                zero,
                ErrorKind::InvalidInput,
                NtStatus::INVALID_PARAMETER,
                87,
            );
            let wrong = client.reply(1, b"?");
            fails(
                wrong,
                ErrorKind::InvalidInput,
                NtStatus::REPLY_MESSAGE_MISMATCH,
                317,
            );
            assert_eq!(client.receive().unwrap().id(), 1);
            assert_eq!(client.receive().unwrap().bytes(), b"second?");
            client.reply(2, b"2").unwrap();
            client.reply(1, b"1").unwrap();
            let twice = client.reply(1, b"1");
            fails(
                twice,
                ErrorKind::InvalidInput,
                NtStatus::REPLY_MESSAGE_MISMATCH,
                317,
            );
            client.call(b"done").unwrap();
        },
    );
}

#[test]
fn closing_is_told_to_either_side() {
    let (told, is_told) = mpsc::channel();
    scene(
        move |mut inbox| {
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            let connection = request.accept(b"").unwrap();
            let Message::Datagram(last) = inbox.receive().unwrap() else {
                panic!("what was sent before the end comes before it");
            };
            assert_eq!(last.request(), b"last");
            drop(last);
            match inbox.receive().unwrap() {
                Message::Closed(closed) => assert!(closed.is_same(&connection)),
                other => panic!("{other:?}"),
            }
            // Else the next client may be heard before the end of the first.
            told.send(()).unwrap();
            let gone = connection.datagram(b"too late");
            fails(gone, ErrorKind::PeerGone, NtStatus::PORT_DISCONNECTED, 6);
            // Now the other way round.
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            request.accept(b"").unwrap().close();
            assert!(matches!(inbox.receive().unwrap(), Message::Closed(_)));
        },
        |space| {
            let mut first = client(space).connect("port").unwrap();
            first.datagram(b"last").unwrap();
            drop(first);
            is_told.recv().unwrap();
            let mut second = client(space).connect("port").unwrap();
            let gone = second.receive().map(drop);
            fails(gone, ErrorKind::PeerGone, NtStatus::PORT_DISCONNECTED, 6);
            let gone = second.call(b"?").map(drop);
            fails(gone, ErrorKind::PeerGone, NtStatus::PORT_DISCONNECTED, 6);
        },
    );
}

#[test]
fn closing_the_port_ends_all() {
    let space = Namespace::temporary().unwrap();
    let port = options(&space).create("port").unwrap();
    thread::scope(|scope| {
        let serving = [(); 2].map(|()| scope.spawn(|| port.serve(|call| call.reply(b"yes"))));
        let mut client = client(&space).connect("port").unwrap();
        assert_eq!(client.call(b"?").unwrap(), b"yes");
        port.close();
        for serving in serving {
            serving.join().unwrap().unwrap();
        }
        let error = refused(port.inbox().receive(), ErrorKind::Removed);
        assert_eq!(error.nt_status(), NtStatus::PORT_DISCONNECTED);
    });
}

#[test]
fn views_carry_what_is_not_copied() {
    let space = Namespace::temporary().unwrap();
    let section = space.section("shared", 1 << 20).create().unwrap();
    let port = options(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    thread::scope(|scope| {
        scope.spawn(move || {
            let own = PortView::create(4096).unwrap();
            let Message::Connect(request) = inbox.receive().unwrap() else {
                panic!("somebody connects");
            };
            assert_eq!(request.view_len(), Some(1 << 20));
            let connection = request.view(&own).accept(b"").unwrap();
            connection
                .own_view()
                .unwrap()
                .write(0, b"from the server")
                .unwrap();
            let mut call = request!(inbox);
            let extent = call.extent().unwrap();
            assert_eq!(
                (extent.offset, extent.len, call.request()),
                (65_536, 5, &b"go"[..])
            );
            let view = connection.view().unwrap();
            let mut bytes = [0; 5];
            view.read(65_536, &mut bytes).unwrap();
            bytes.reverse();
            view.write(65_536, &bytes).unwrap();
            let beyond = Extent {
                offset: 1 << 20,
                len: 1,
            };
            fails(
                call.reply_at(beyond, b""),
                ErrorKind::InvalidInput,
                NtStatus::INVALID_VIEW_SIZE,
                5,
            );
            call.reply_at(extent, b"done").unwrap();
        });
        let given = PortView::of(&section).unwrap();
        let mut client = client(&space).view(&given).connect("port").unwrap();
        client.view().unwrap().write(65_536, b"hello").unwrap();
        for (offset, len) in [(1 << 20, 1), (0, (1 << 20) + 1), (u64::MAX, 2)] {
            let wrong = client.call_at(Extent { offset, len }, b"").map(drop);
            fails(
                wrong,
                ErrorKind::InvalidInput,
                NtStatus::INVALID_VIEW_SIZE,
                5,
            );
        }
        let extent = Extent {
            offset: 65_536,
            len: 5,
        };
        assert_eq!(client.call_at(extent, b"go").unwrap(), b"done");
        let mut bytes = [0; 15];
        section
            .map::<Write>()
            .unwrap()
            .read(65_536, &mut bytes[..5])
            .unwrap();
        assert_eq!(&bytes[..5], b"olleh");
        client.server_view().unwrap().read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"from the server");
    });
}

#[test]
fn what_can_be_no_view() {
    let space = Namespace::temporary().unwrap();
    for len in [0, (1 << 40) + 1] {
        fails(
            PortView::create(len),
            ErrorKind::InvalidInput,
            NtStatus::INVALID_VIEW_SIZE,
            5,
        );
    }
    let event = space.event("event").create().unwrap();
    refused(PortView::of(&event), ErrorKind::WrongKind);
    let section = Section::options(4096).create().unwrap();
    let reading = section.duplicate(Rights::LOOK).unwrap();
    refused(PortView::of(&reading), ErrorKind::Denied);
    assert!(PortView::of(&section).is_ok());
}

#[test]
fn ports_and_clients_are_waited_for_with_others() {
    let space = Namespace::temporary().unwrap();
    let port = options(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    let stop = space.event("stop").create().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = client(&space).connect("port").unwrap();
            for number in 0..200_u8 {
                client.datagram(&[number]).unwrap();
                // The reply is waited for among others too.
                let never = space.event("never").create_or_open().unwrap().0;
                let members: [&dyn Waitable; 2] = [&never, &client];
                assert_eq!(wait::any(&members).unwrap().index, 1);
                assert_eq!(client.receive().unwrap().bytes(), [number]);
            }
            stop.set().unwrap();
        });
        let mut answered = 0;
        loop {
            let members: [&dyn Waitable; 2] = [&inbox, &stop];
            if wait::any(&members).unwrap().index == 1 {
                break;
            }
            match inbox.receive_for(Duration::ZERO).unwrap() {
                Some(Message::Connect(request)) => drop(request.accept(b"").unwrap()),
                Some(Message::Datagram(call)) => {
                    let bytes = call.request().to_vec();
                    call.connection().datagram(&bytes).unwrap();
                    answered += 1;
                }
                Some(Message::Closed(_)) | None => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(answered, 200);
    });
    // Its end is nothing that the set below tells of.
    while port.connections() > 0 {
        let ended = inbox.receive_for(GUARD).unwrap();
        assert!(matches!(ended, Some(Message::Closed(_))), "{ended:?}");
    }
    // A set watches it as well.
    let set = wait::Set::new().unwrap();
    let key = set.add(&inbox).unwrap();
    let wakes = thread::spawn(move || client(&space).connect("port").map(drop));
    assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, key);
    drop((set, inbox, port));
    refused(wakes.join().unwrap(), ErrorKind::Refused);
}
