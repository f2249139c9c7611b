//! LPC: whose fault a failure is that a handler hands on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use strait::nt::Event;
use strait::nt::lpc::{Client, Connection, Message, Port, QuickCall};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace, Result};

use super::{client as options, options as born};
use crate::peer::{Peer, say};
use crate::world::{GUARD, until};

/// Serves `port` by asking the port `other`, and says what failed, and how that ended.
pub(super) fn relay(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = born(&space)
        .on_failure(|client, error| say(format!("{:?} for {}", error.kind(), client.pid)))
        .create("port")
        .unwrap();
    let other = Mutex::new(options(&space).connect("other").unwrap());
    let relay = |word: u32| match word {
        0 => Err(end(&port)),
        word => other.lock().unwrap().ask::<_, u32>(&word),
    };
    let quickly = |call: &mut QuickCall<'_>| {
        let word = relay(call.read()?)?;
        call.reply_with(&word)
    };
    say("ready");
    let served = match &*args[1] {
        "messages" => port.serve(|call| {
            let word = relay(call.read()?)?;
            call.reply_with(&word)
        }),
        "quick" => port.serve_quick(quickly),
        _ => loop {
            let mut inbox = port.inbox();
            let served = match inbox.receive().unwrap() {
                Message::Connect(request) => request.accept_quick(b"").unwrap().serve(quickly),
                other => panic!("{other:?}"),
            };
            if served.is_err() {
                break served;
            }
        },
    };
    say(served.map_or_else(|error| format!("{:?}", error.kind()), |()| "served".into()));
}

/// Ends the server, on purpose.
fn end(port: &Port) -> strait::Error {
    port.close();
    port.inbox().receive().map(drop).unwrap_err()
}

/// Calls the relay with so many bytes.
fn call(space: &Namespace, form: &str, request: &[u8]) -> Result<Vec<u8>> {
    if form == "messages" {
        let mut client = options(space).connect("port")?;
        client.call(request).map(<[u8]>::to_vec)
    } else {
        let mut quick = options(space).connect_quick("port")?;
        quick.call(request).map(<[u8]>::to_vec)
    }
}

#[test]
fn a_failure_of_another_port_is_the_handlers_and_no_client_s() {
    let faults = [(3_u32, "InvalidInput"), (4, "Refused"), (5, "PeerGone")];
    for form in ["messages", "quick", "loop"] {
        for (word, kind) in faults {
            let space = Namespace::temporary().unwrap();
            let other = born(&space).create("other").unwrap();
            thread::scope(|scope| {
                let served = scope.spawn(|| {
                    other.serve(|call| match call.request() {
                        [2, ..] => call.reply(b"four"),
                        // Of a wrong length, none, and the end of the connection.
                        [3, ..] => call.reply(b"three"),
                        [5, ..] => {
                            call.connection().close();
                            Ok(())
                        }
                        _ => Ok(()),
                    })
                });
                let path = space.path().to_str().unwrap();
                let mut relay = Peer::start("lpc.relay", &[path, form]);
                assert_eq!(relay.hear().as_deref(), Some("ready"));
                let ask = |word: &[u8]| call(&space, form, word);
                assert_eq!(ask(&2_u32.to_le_bytes()).unwrap(), b"four");
                // Its own client's fault, which nobody else hears of.
                let error = ask(b"odd").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Refused, "{form}: {error}");
                let whose = "/port: refused (the request is not what the server expects: the \
                             message has 3 bytes, and its type 4";
                assert!(error.to_string().contains(whose), "{form}: {error}");
                assert_eq!(ask(&2_u32.to_le_bytes()).unwrap(), b"four");
                // And another's, of whom it is a client.
                let error = ask(&word.to_le_bytes()).unwrap_err();
                let whose = "/port: refused (the server's handler failed";
                assert!(error.to_string().contains(whose), "{form}: {error}");
                if form == "loop" {
                    // The loop is its caller's own.
                    assert_eq!(relay.hear().as_deref(), Some(kind), "{form} {word}");
                } else {
                    let told = format!("{kind} for {}", std::process::id());
                    assert_eq!(relay.hear(), Some(told.clone()), "{form} {word}");
                    let again = ask(&2_u32.to_le_bytes());
                    if word == 5 {
                        assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused);
                        assert_eq!(relay.hear(), Some(told));
                    } else {
                        assert_eq!(again.unwrap(), b"four", "others are served on");
                    }
                    // Only the handler itself ends it.
                    assert!(ask(&[0; 4]).is_err());
                    let last = format!("Removed for {}", std::process::id());
                    assert_eq!(relay.hear(), Some(last));
                    assert_eq!(relay.hear().as_deref(), Some("served"));
                }
                other.close();
                served.join().unwrap().unwrap();
            });
        }
    }
}

#[test]
fn another_client_of_the_port_who_has_gone_ends_no_server() {
    let space = Namespace::temporary().unwrap();
    let port = born(&space).create("port").unwrap();
    let mut all: Vec<Connection> = Vec::new();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            port.serve(|call| {
                all.push(call.connection());
                all.iter().try_for_each(|one| one.datagram(b"news"))?;
                call.reply(b"told")
            })
        });
        let join = || options(&space).connect("port").unwrap();
        let mut first = join();
        assert_eq!(first.call(b"").unwrap(), b"told");
        drop(first);
        until("its end is seen", || port.connections() == 0);
        let mut second = join();
        let lost = second.call(b"").map(<[u8]>::len);
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Refused);
        assert!(!served.is_finished());
        port.close();
        served.join().unwrap().unwrap();
    });
}

/// Asks and waits for nothing, until the server has heard enough.
fn asks_on(client: &mut Client, enough: &AtomicBool) {
    while !enough.load(Ordering::SeqCst) {
        client.call_for(b"more", Duration::ZERO).unwrap();
    }
}

#[test]
fn a_client_that_takes_no_handles_is_busy_and_ends_no_server() {
    /// More than are on their way at a time, and those that are known to be given up beside.
    const REPLIES: usize = 700;
    let space = Namespace::temporary().unwrap();
    let port = born(&space).create("port").unwrap();
    let (tell, told) = mpsc::channel();
    let [enough, paused] = [false; 2].map(AtomicBool::new);
    let event = Event::options().shared().create().unwrap();
    let mut kept = Vec::new();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            port.serve(|call| {
                if call.request() == b"who" {
                    return call.reply(b"here");
                }
                kept.push(call.defer()?);
                if kept.len() < REPLIES {
                    return Ok(());
                }
                enough.store(true, Ordering::SeqCst);
                // A client that still asks takes replies as well.
                until("it asks no more", || paused.load(Ordering::SeqCst));
                for mut pending in kept.drain(..) {
                    pending.attach(&event)?;
                    let replied = pending.reply(b"one more");
                    if let Err(error) = &replied {
                        tell.send((error.kind(), error.to_string())).unwrap();
                    }
                    replied?;
                }
                Ok(())
            })
        });
        let mut client = options(&space).connect("port").unwrap();
        asks_on(&mut client, &enough);
        paused.store(true, Ordering::SeqCst);
        let (kind, words) = told.recv_timeout(GUARD).unwrap();
        assert_eq!(kind, ErrorKind::Busy, "{words}");
        assert!(
            words.contains("too many handles are on their way"),
            "{words}"
        );
        // It is served on, and so are others.
        assert_eq!(client.call_for(b"who", GUARD).unwrap(), Some(&b"here"[..]));
        let mut another = options(&space).connect("port").unwrap();
        assert_eq!(another.call(b"who").unwrap(), b"here");
        assert!(!served.is_finished());
        port.close();
        served.join().unwrap().unwrap();
    });
}

/// Refuses what it is told to, each in another way.
pub(super) fn refusing(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = born(&space).message_max(64).create("port").unwrap();
    say("ready");
    let served = match &*args[1] {
        "messages" => port.serve(|call| match call.request() {
            b"drop" => Ok(()),
            b"long" => call.reply(&[0; 65]),
            b"late" => call.defer()?.refuse("no time"),
            _ => call.refuse("exit status: 3"),
        }),
        _ => port.serve_quick(|call| match call.request() {
            b"drop" => Ok(()),
            b"long" => call.reply(&[0; 65]),
            b"late" => call.refuse("no time"),
            // Longer than a mailbox.
            b"much" => call.refuse(&"\u{e4}".repeat(300)),
            _ => call.refuse("exit status: 3"),
        }),
    };
    served.unwrap();
}

#[test]
fn a_client_is_told_why_it_has_no_reply() {
    let said = [
        ("drop", "the server dropped the request without a reply"),
        (
            "long",
            "the server's reply is too long: 65 bytes, where the port allows 64",
        ),
        ("late", "the server said: no time"),
        ("else", "the server said: exit status: 3"),
    ];
    for form in ["messages", "quick"] {
        let space = Namespace::temporary().unwrap();
        let path = space.path().to_str().unwrap();
        let mut server = Peer::start("lpc.refusing", &[path, form]);
        assert_eq!(server.hear().as_deref(), Some("ready"));
        for (request, why) in said {
            let error = call(&space, form, request.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert_eq!(error.nt_status(), NtStatus::LPC_REPLY_LOST);
            assert_eq!(
                error.to_string(),
                format!("call {path}/port: refused ({why})")
            );
        }
        let error = call(&space, form, &[0; 65]).unwrap_err();
        let why = format!("call {path}/port: too long (65 bytes, where the port allows 64)");
        assert_eq!(error.to_string(), why);
        if form == "quick" {
            let error = call(&space, form, b"much").unwrap_err();
            assert!(error.why().ends_with(&"\u{e4}".repeat(256)), "{error}");
        }
        let mut client = options(&space).connect("port").ok();
        let mut quick = options(&space).connect_quick("port").ok();
        server.kill();
        let gone = client.as_mut().map(|client| client.call(b"").map(drop));
        let gone = gone.or_else(|| quick.as_mut().map(|quick| quick.call(b"").map(drop)));
        let error = gone.unwrap().unwrap_err();
        let why = format!("call {path}/port: the other process is gone (");
        assert!(error.to_string().starts_with(&why), "{form}: {error}");
    }
}
