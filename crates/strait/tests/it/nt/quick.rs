//! Quick LPC between processes: calls of every length, views, deadlines, refusals, deaths, lies.

use std::sync::Barrier;
use std::time::Duration;

use strait::nt::lpc::{Client, Extent, Message, Port, PortView, Quick};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace};

use super::fails;
use crate::peer::{self, Peer, say, told};
use crate::world::{GUARD, refused, until};

pub(crate) const ROLES: &[(&str, peer::Role)] = &[
    ("quick.server", server),
    ("quick.client", client),
    ("quick.vandal", vandal),
];

const NAME: &str = "calc";
const VIEW: u64 = 64 << 10;

fn port(space: &Namespace) -> Port {
    Port::options().namespace(space).create(NAME).unwrap()
}

fn connect(space: &Namespace) -> Quick {
    let options = Quick::options().namespace(space);
    options.connect_quick(NAME).unwrap()
}

fn space_of(arguments: &[String]) -> Namespace {
    Namespace::directory(&arguments[0]).unwrap()
}

fn start(role: &str, space: &Namespace) -> Peer {
    let mut peer = Peer::start(role, &[space.path().to_str().unwrap()]);
    assert_eq!(peer.hear().as_deref(), Some("ready"));
    peer
}

/// Answers with the reverse; some requests have a meaning.
fn server(arguments: &[String]) {
    let port = port(&space_of(arguments));
    say("ready");
    let ended = port.serve_quick(|call| match call.request() {
        b"who" => call.reply(call.client().pid.to_string().as_bytes()),
        b"lose it" => Ok(()),
        b"hang" => {
            say("hangs");
            std::thread::park_timeout(GUARD);
            Ok(())
        }
        b"close" => {
            call.reply(b"it will")?;
            port.close();
            Ok(())
        }
        _ => {
            if let Some(Extent { offset, len }) = call.extent() {
                let (offset, mut bytes) = (offset as usize, vec![0; len as usize]);
                let view = call.session().view().unwrap();
                view.read(offset, &mut bytes).unwrap();
                bytes.reverse();
                view.write(offset, &bytes).unwrap();
            }
            let mut reply = call.request().to_vec();
            reply.reverse();
            call.reply(&reply)
        }
    });
    say(ended.is_ok());
}

/// Calls when told, and says what came.
fn client(arguments: &[String]) {
    let mut quick = connect(&space_of(arguments));
    say("ready");
    while let Some(line) = told() {
        match quick.call(line.as_bytes()) {
            Ok(reply) => say(String::from_utf8_lossy(reply)),
            Err(error) => say(format!("{:?}", error.kind())),
        }
    }
}

#[test]
fn calls_of_every_length_are_answered() {
    let space = Namespace::temporary().unwrap();
    let mut server = start("quick.server", &space);
    let mut quick = connect(&space);
    assert_eq!(quick.server().pid, server.child.id());
    let who = std::process::id().to_string();
    assert_eq!(quick.call(b"who").unwrap(), who.as_bytes());
    let lens = [
        0,
        1,
        8,
        55,
        56,
        57,
        64,
        119,
        120,
        121,
        1000,
        8192,
        40_000,
        1 << 20,
    ];
    for len in lens.into_iter().chain(lens.into_iter().rev()) {
        let request: Vec<u8> = (0..len).map(|at: usize| (at * 7 + len) as u8).collect();
        let mut wanted = request.clone();
        wanted.reverse();
        assert_eq!(quick.call(&request).unwrap(), wanted, "{len} bytes");
        let mut into = vec![0; len];
        assert_eq!(quick.call_into(&request, &mut into).unwrap(), len);
        assert_eq!(into, wanted, "{len} bytes");
    }
    let longest = quick.message_max();
    fails(
        quick.call(&vec![0; longest + 1]),
        ErrorKind::TooLong,
        NtStatus::PORT_MESSAGE_TOO_LONG,
        NtStatus::PORT_MESSAGE_TOO_LONG.win32(),
    );
    // A reply for which there is no room is lost, wherever it lies; the next one is not.
    for len in [100, 4000] {
        refused(
            quick.call_into(&vec![1; len], &mut [0; 16]),
            ErrorKind::TooLong,
        );
        assert_eq!(quick.call(b"on").unwrap(), b"no");
    }
    assert_eq!(quick.call(b"close").unwrap(), b"it will");
    assert_eq!(server.hear().as_deref(), Some("true"));
    refused(quick.call(b"still there?"), ErrorKind::PeerGone);
}

#[test]
fn a_reply_that_is_not_given_is_told() {
    let space = Namespace::temporary().unwrap();
    let _server = start("quick.server", &space);
    let mut quick = connect(&space);
    for _ in 0..3 {
        let error = refused(quick.call(b"lose it"), ErrorKind::Refused);
        assert_eq!(error.nt_status(), NtStatus::LPC_REPLY_LOST);
        assert_eq!(quick.call(b"on").unwrap(), b"no");
    }
}

#[test]
fn what_lies_in_a_view_is_answered_in_place() {
    let space = Namespace::temporary().unwrap();
    let _server = start("quick.server", &space);
    let view = PortView::create(VIEW).unwrap();
    let options = Quick::options().namespace(&space).view(&view);
    let mut quick = options.connect_quick(NAME).unwrap();
    let text = b"at the end";
    let extent = Extent {
        offset: VIEW - text.len() as u64,
        len: text.len() as u64,
    };
    let at = extent.offset as usize;
    quick.view().unwrap().write(at, text).unwrap();
    // One that goes with its extent in the mailbox, and one that does not fit there.
    for len in [2, 110] {
        assert_eq!(quick.call_at(extent, &vec![b'x'; len]).unwrap().len(), len);
    }
    let mut found = [0; 10];
    quick.view().unwrap().read(at, &mut found).unwrap();
    assert_eq!(&found, text, "turned around twice");
    let beyond = Extent {
        offset: extent.offset + 1,
        ..extent
    };
    refused(quick.call_at(beyond, b""), ErrorKind::InvalidInput);
    assert_eq!(quick.call(b"on").unwrap(), b"no", "nothing was sent");
}

#[test]
fn plain_data_goes_as_it_is() {
    let space = Namespace::temporary().unwrap();
    let port = port(&space);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            port.serve_quick(|call| match call.read::<[u64; 3]>() {
                Ok(numbers) => call.reply_with(&numbers.iter().sum::<u64>()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    call.reply(b"?")
                }
            })
            .unwrap();
        });
        let mut quick = connect(&space);
        assert_eq!(quick.ask::<_, u64>(&[1_u64, 2, 39]).unwrap(), 42);
        refused(quick.ask::<_, u64>(&1_u8), ErrorKind::InvalidInput);
        assert_eq!(quick.ask::<_, u8>(&1_u8).unwrap(), b'?');
        port.close();
    });
}

#[test]
fn a_call_that_is_given_up_delays_only_the_next_of_its_client() {
    let space = Namespace::temporary().unwrap();
    let port = port(&space);
    let gate = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            port.serve_quick(|call| {
                if call.request().starts_with(b"slow") {
                    gate.wait();
                }
                let reply = call.request().to_vec();
                call.reply(&reply)
            })
            .unwrap();
        });
        let mut quick = connect(&space);
        let mut other = connect(&space);
        let short = Duration::from_millis(20);
        // In the mailbox, and in the ring.
        for len in [0, 3000] {
            let slow = [b"slow".to_vec(), vec![0; len]].concat();
            assert_eq!(quick.call_for(&slow, short).unwrap(), None);
            assert_eq!(quick.call_for(b"next", short).unwrap(), None);
            assert_eq!(other.call(b"other").unwrap(), b"other");
            gate.wait();
            assert_eq!(quick.call_for(b"next", GUARD).unwrap(), Some(&b"next"[..]));
            assert_eq!(quick.call(b"and on").unwrap(), b"and on");
        }
        port.close();
    });
}

#[test]
fn a_killed_server_ends_the_call() {
    let space = Namespace::temporary().unwrap();
    let mut server = start("quick.server", &space);
    let mut client = start("quick.client", &space);
    let mut quick = connect(&space);
    client.tell("hang");
    assert_eq!(server.hear().as_deref(), Some("hangs"));
    server.kill();
    assert_eq!(client.hear().as_deref(), Some("PeerGone"));
    let error = refused(quick.call(b"anybody?"), ErrorKind::PeerGone);
    assert_eq!(error.nt_status(), NtStatus::PORT_DISCONNECTED);
    // The name is free.
    drop(port(&space));
}

#[test]
fn a_killed_client_gives_its_thread_back() {
    for in_call in [true, false] {
        let space = Namespace::temporary().unwrap();
        let options = || Quick::options().namespace(&space);
        let port = Port::options().namespace(&space).threads_max(2);
        let port = port.create(NAME).unwrap();
        let (entered, gate) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                port.serve_quick(|call| {
                    if call.request() == b"hang" {
                        entered.wait();
                        gate.wait();
                    }
                    call.reply(b"here")
                })
                .unwrap();
            });
            let mut client = start("quick.client", &space);
            let mut quick = connect(&space);
            refused(options().connect_quick(NAME), ErrorKind::Refused);
            if in_call {
                client.tell("hang");
                entered.wait();
            }
            client.kill();
            // The others are served on, and its place is free once its thread has seen it.
            assert_eq!(quick.call(b"x").unwrap(), b"here");
            if in_call {
                gate.wait();
            }
            until("its thread is free", || {
                options().connect_quick(NAME).is_ok()
            });
            port.close();
        });
    }
}

#[test]
fn each_form_is_refused_where_only_the_other_is_served() {
    let space = Namespace::temporary().unwrap();
    let port = port(&space);
    let options = || Client::options().namespace(&space);
    std::thread::scope(|scope| {
        let quick = scope.spawn(|| port.serve_quick(|call| call.reply(b"")));
        let error = refused(options().connect(NAME), ErrorKind::Refused);
        assert!(error.to_string().contains("Quick form only"), "{error}");
        port.close();
        quick.join().unwrap().unwrap();
    });
    drop(port);
    let port = self::port(&space);
    std::thread::scope(|scope| {
        scope.spawn(|| port.serve(|call| call.reply(b"")).unwrap());
        let error = refused(options().connect_quick(NAME), ErrorKind::Refused);
        assert!(error.to_string().contains("no Quick form"), "{error}");
        port.close();
    });
}

#[test]
fn a_server_of_both_forms_decides_for_each() {
    let space = Namespace::temporary().unwrap();
    let port = port(&space);
    let options = || Client::options().namespace(&space).data(b"me");
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut quick = options().connect_quick(NAME).unwrap();
            assert_eq!(quick.data(), b"welcome");
            assert_eq!(quick.call(b"quick").unwrap(), b"QUICK");
        });
        let mut inbox = port.inbox();
        let Message::Connect(request) = inbox.receive().unwrap() else {
            panic!("somebody connects");
        };
        assert!(request.wants_quick());
        assert_eq!(request.data(), b"me");
        let mut session = request.accept_quick(b"welcome").unwrap();
        session
            .serve(|call| call.reply(&call.request().to_ascii_uppercase()))
            .unwrap();
        client.join().unwrap();
    });
}

#[test]
fn a_handler_that_fails_ends_nothing_and_one_that_panics_the_port() {
    let space = Namespace::temporary().unwrap();
    for panics in [false, true] {
        let (tell, told) = std::sync::mpsc::channel();
        let options = Port::options().namespace(&space);
        let options = options.on_failure(move |client, error| {
            tell.send((client.pid, error.kind())).unwrap();
        });
        let port = options.create(NAME).unwrap();
        std::thread::scope(|scope| {
            let served = scope.spawn(|| {
                port.serve_quick(|call| {
                    assert!(!panics, "as the test wants it");
                    // A failure of its own; that the client sends what is no number is none.
                    if call.read::<u64>().is_err() {
                        return Port::options().message_max(0).create("p").map(drop);
                    }
                    Ok(())
                })
            });
            let mut idle = connect(&space);
            let mut quick = connect(&space);
            assert!(quick.call(b"no number").is_err());
            if panics {
                assert!(served.join().is_err());
                refused(idle.call(b"x"), ErrorKind::PeerGone);
                return;
            }
            let failure = told.recv_timeout(GUARD).unwrap();
            assert_eq!(failure, (std::process::id(), ErrorKind::InvalidInput));
            refused(quick.call(&[0; 8]), ErrorKind::Refused);
            refused(idle.call(&[0; 8]), ErrorKind::Refused);
            port.close();
            served.join().unwrap().unwrap();
            assert!(
                told.try_recv().is_err(),
                "a request that is dropped is no failure"
            );
        });
    }
}

/// Calls, and then fills the page that both sides write with noise, again and again.
fn vandal(arguments: &[String]) {
    use std::os::unix::fs::FileExt;
    let space = space_of(arguments);
    let mut round = 0_u64;
    say("ready");
    loop {
        let Ok(mut quick) = Quick::options().namespace(&space).connect_quick(NAME) else {
            continue;
        };
        quick.call(b"ten").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let bells = maps.lines().find(|line| line.contains("strait-bells"));
        let (from, _) = bells.unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let own = std::fs::File::options().write(true).open("/proc/self/mem");
        let own = own.unwrap();
        for _ in 0..40 {
            round += 1;
            let noise: Vec<u8> = (0..128_u64)
                .map(|at| (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8)
                .collect();
            // First whatever comes, then with the number that is waited for, so that it is looked
            // at; the lengths and flags are noise, or possible ones.
            own.write_all_at(&noise, from + 1024 + 8).unwrap();
            let number = round % 8;
            let what = if round.is_multiple_of(3) {
                (round % 121) << 32
            } else {
                noise[0] as u64 | (noise[1] as u64) << 40 | (noise[2] as u64) << 56
            };
            let word = (number | what).to_le_bytes();
            own.write_all_at(&word, from + 1024).unwrap();
        }
        drop(quick);
        if round == 4000 {
            say("done");
        }
    }
}

#[test]
fn who_scribbles_in_the_mailbox_spoils_its_own_calls_only() {
    let space = Namespace::temporary().unwrap();
    let port = port(&space);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            port.serve_quick(|call| {
                let reply = call.request().to_vec();
                call.reply(&reply)
            })
            .unwrap();
        });
        let mut quick = connect(&space);
        let mut vandal = start("quick.vandal", &space);
        let done = scope.spawn(move || {
            assert_eq!(vandal.hear().as_deref(), Some("done"));
            vandal.kill();
        });
        let mut number = 0_u64;
        while !done.is_finished() {
            number += 1;
            assert_eq!(quick.ask::<_, u64>(&number).unwrap(), number);
        }
        assert!(number > 0);
        done.join().unwrap();
        port.close();
    });
}
