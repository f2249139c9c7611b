//! Clients, against servers that are honest, slow, dead or lying.

mod limits;
mod server;
mod tasks;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::xdr::{Error, Reader, Writer};
use strait::rpc::onc::{AuthStat, Client, ClientOptions, Procedure, Status, status};

use crate::peer::{Peer, Role};
use crate::world::{GUARD, refused};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("onc.client.stream", server::on_tcp),
    ("onc.client.local", server::on_local),
    ("onc.client.datagrams", server::on_udp),
    ("onc.client.impatient", limits::impatient),
];

/// Longer than any test, so that a call ends by what it is about; never a measure.
fn options() -> ClientOptions {
    Client::options().timeout(GUARD)
}

fn procedure(number: u32) -> Procedure {
    Procedure {
        program: 0x2000_0001,
        version: 1,
        number,
    }
}

const ECHO: u32 = 1;

fn word(number: u32) -> impl FnOnce(&mut Writer<'_>) -> Result<(), Error> {
    move |to| {
        to.unsigned(number);
        Ok(())
    }
}

fn a_word(from: &mut Reader<'_>) -> Result<u32, Error> {
    from.unsigned()
}

/// The word, there and back.
fn echo(client: &Client, number: u32) -> strait::Result<u32> {
    client.call(procedure(ECHO), word(number), a_word)
}

/// Opaque data, there and back.
fn echo_bytes(client: &Client, bytes: &[u8]) -> strait::Result<Vec<u8>> {
    client.call(
        procedure(ECHO),
        |to| to.opaque(bytes, u32::MAX),
        |from| from.opaque(u32::MAX).map(<[u8]>::to_vec),
    )
}

fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn calls_of_any_size_come_back() {
    let (_server, at) = server::stream("honest");
    let client = options().record_max(9 << 20).tcp(at).unwrap();
    client.null(0x2000_0001, 1).unwrap();
    assert_eq!(client.peer(), at.to_string());
    for len in [0, 1, 3, 4, 4096, 65_536, 65_537, 1 << 20, 8 << 20, 5] {
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        assert_eq!(echo_bytes(&client, &bytes).unwrap(), bytes, "{len}");
    }
}

#[test]
fn local_sockets_and_given_streams_and_halves_carry_calls() {
    let place = place("threads");
    let path = place.join("rpc.sock");
    let mut server = Peer::start("onc.client.local", &["honest", path.to_str().unwrap()]);
    server.hear().unwrap();
    let client = options().local(&path).unwrap();
    assert_eq!(echo(&client, 1).unwrap(), 1);
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.set_nonblocking(true).unwrap();
    let client = options().stream(stream).unwrap();
    assert_eq!(echo(&client, 2).unwrap(), 2);
    let given = client;
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let client = options().halves(stream.try_clone().unwrap(), stream);
    assert_eq!(echo(&client, 4).unwrap(), 4);
    drop(server);
    refused(echo(&client, 5), ErrorKind::PeerGone);
    refused(echo(&given, 5), ErrorKind::PeerGone);
    refused(given.reconnect(), ErrorKind::Unsupported);
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn two_pipes_carry_calls() {
    let (answers, replying) = std::io::pipe().unwrap();
    let (asked, asking) = std::io::pipe().unwrap();
    let server = server::halves(asked, replying);
    let client = options().halves(answers, asking);
    for len in [0, 5, 300_000] {
        let bytes = vec![len as u8; len];
        assert_eq!(echo_bytes(&client, &bytes).unwrap(), bytes, "{len}");
    }
    drop(client);
    server.join().unwrap();
}

/// A directory of one test alone.
fn place(test: &str) -> std::path::PathBuf {
    let name = format!("strait-onc-client-{test}-{}", std::process::id());
    let place = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&place).unwrap();
    place
}

#[test]
fn replies_out_of_order_find_a_thousand_calls_of_one_thread() {
    let (_server, at) = server::stream("reverse");
    let client = options().tcp(at).unwrap();
    let count = 1000;
    let calls: Vec<_> = (0..count)
        .map(|at| {
            client
                .begin(procedure(ECHO), word(count - at), a_word)
                .unwrap()
        })
        .collect();
    for (at, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap(), count - at);
    }
}

#[test]
fn calls_gathered_in_one_write_are_answered() {
    let (_server, at) = server::stream("honest");
    let client = options().tcp(at).unwrap();
    let calls = client
        .batch(|batch| {
            for _ in 0..100 {
                batch.call_oneway(procedure(ECHO), word(1))?;
            }
            (0..100)
                .map(|at| batch.begin(procedure(ECHO), word(at), a_word))
                .collect::<strait::Result<Vec<_>>>()
        })
        .unwrap();
    for (at, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap(), at);
    }
    client.call_oneway(procedure(ECHO), word(5)).unwrap();
    assert_eq!(echo(&client, 6).unwrap(), 6);
}

#[test]
fn sixteen_threads_call_over_one_connection() {
    for behaviour in ["honest", "pieces"] {
        let (_server, at) = server::stream(behaviour);
        let client = options().tcp(at).unwrap();
        thread::scope(|scope| {
            for me in 0..16 {
                let client = client.clone();
                scope.spawn(move || {
                    for round in 0..200 {
                        let number = me << 16 | round;
                        assert_eq!(echo(&client, number).unwrap(), number);
                    }
                });
            }
        });
    }
}

#[test]
fn large_calls_from_one_thread_do_not_wait_for_their_replies_to_be_read() {
    let (_server, at) = server::stream("glutton");
    let client = options().tcp(at).unwrap();
    let bytes = vec![7; 1 << 20];
    let calls: Vec<_> = (0..32)
        .map(|_| {
            client
                .begin(
                    procedure(ECHO),
                    |to| to.opaque(&bytes, u32::MAX),
                    |from| from.opaque(u32::MAX).map(<[u8]>::len),
                )
                .unwrap()
        })
        .collect();
    for call in calls {
        assert_eq!(call.wait().unwrap(), 1 << 20);
    }
}

#[test]
fn a_call_may_be_made_while_results_are_decoded() {
    let (_server, at) = server::stream("honest");
    let client = options().tcp(at).unwrap();
    let both = client.call(procedure(ECHO), word(1), |from| {
        let within = echo(&client, 2).unwrap();
        Ok((from.unsigned()?, within))
    });
    assert_eq!(both.unwrap(), (1, 2));
}

#[test]
fn a_late_reply_is_dropped_and_the_connection_goes_on() {
    let (_server, at) = server::stream("late");
    let client = options().tcp(at).unwrap();
    let short = client.within(Duration::from_millis(20));
    let error = refused(echo(&short, 1), ErrorKind::TimedOut);
    assert!(
        error
            .to_string()
            .contains("procedure 1 of program 0x20000001 version 1 at")
    );
    assert_eq!(echo(&client, 2).unwrap(), 2);
    assert_eq!(echo(&client, 3).unwrap(), 3);
}

#[test]
fn a_dropped_call_is_forgotten_and_others_go_on() {
    let (_server, at) = server::stream("late");
    let client = options().in_flight_max(1).tcp(at).unwrap();
    let first = client.begin(procedure(ECHO), word(1), a_word).unwrap();
    refused(echo(&client, 9), ErrorKind::LimitExceeded);
    drop(first);
    assert_eq!(echo(&client, 2).unwrap(), 2);
}

#[test]
fn replies_that_nobody_waits_for_are_bounded_in_bytes() {
    let (_server, at) = server::stream("honest");
    let client = options().uncollected_max(10_000).tcp(at).unwrap();
    let begin = |len: usize| {
        let arguments = |to: &mut Writer<'_>| to.opaque(&vec![1; len], u32::MAX);
        let results = |from: &mut Reader<'_>| from.opaque(u32::MAX).map(<[u8]>::len);
        client.begin(procedure(ECHO), arguments, results).unwrap()
    };
    // Of 4 bytes more each, which say the length: the second and the fourth have no room.
    let [first, second, third, fourth] = [4992, 5004, 4996, 4].map(begin);
    assert_eq!(echo(&client, 1).unwrap(), 1, "who waits reads them all");
    assert_eq!(first.wait().unwrap(), 4992);
    let error = refused(second.wait(), ErrorKind::LimitExceeded);
    let told = "its 5008 bytes of results were dropped";
    assert!(error.to_string().contains(told), "{error}");
    assert_eq!(third.wait().unwrap(), 4996);
    refused(fourth.wait(), ErrorKind::LimitExceeded);
    // What was collected, or forgotten, has made room.
    let [first, second] = [9996, 4].map(begin);
    assert_eq!(echo(&client, 2).unwrap(), 2);
    drop(first);
    refused(second.wait(), ErrorKind::LimitExceeded);
    let again = begin(9996);
    assert_eq!(echo(&client, 3).unwrap(), 3);
    assert_eq!(again.wait().unwrap(), 9996);
    // Who waits for his own has room, however long it is.
    assert_eq!(echo_bytes(&client, &[7; 100_000]).unwrap(), [7; 100_000]);
}

#[test]
fn a_server_killed_within_its_reply_ends_every_call() {
    let (mut server, at) = server::stream("half");
    let client = options().tcp(at).unwrap();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || number))
            .map(|thread| thread.join().unwrap())
            .map(|number| {
                let client = &client;
                scope.spawn(move || echo(client, number))
            })
            .collect();
        assert_eq!(server.hear().unwrap(), "half");
        server.kill();
        for thread in threads {
            refused(thread.join().unwrap(), ErrorKind::PeerGone);
        }
    });
    let error = refused(echo(&client, 1), ErrorKind::PeerGone);
    assert!(strait::rpc::onc::status(&error).is_none());
    let error = refused(client.reconnect(), ErrorKind::Refused);
    assert!(
        error.to_string().starts_with("connect to 127.0.0.1:"),
        "{error}"
    );
}

#[test]
fn connecting_anew_is_for_all_clones() {
    let (_server, at) = server::stream("liar");
    let client = options().tcp(at).unwrap();
    let clone = client.clone();
    let error = refused(echo(&client, 1), ErrorKind::Broken);
    assert!(error.to_string().contains("2147483647 bytes"), "{error}");
    refused(echo(&clone, 1), ErrorKind::Broken);
    client.reconnect().unwrap();
    // The same lie: a connection there is.
    refused(echo(&clone, 1), ErrorKind::Broken);
}

#[test]
fn what_the_server_says_is_told_apart() {
    let (_server, at) = server::stream("statuses");
    let client = options().tcp(at).unwrap();
    let (low, high) = (3, 5);
    for (number, kind, said) in [
        (11, ErrorKind::Unsupported, Some(Status::ProgramUnavailable)),
        (
            12,
            ErrorKind::Unsupported,
            Some(Status::ProgramMismatch { low, high }),
        ),
        (
            13,
            ErrorKind::Unsupported,
            Some(Status::ProcedureUnavailable),
        ),
        (14, ErrorKind::Refused, Some(Status::GarbageArguments)),
        (15, ErrorKind::Refused, Some(Status::SystemError)),
        (
            16,
            ErrorKind::Unsupported,
            Some(Status::RpcMismatch { low, high }),
        ),
        (
            17,
            ErrorKind::Denied,
            Some(Status::Auth(AuthStat::TOO_WEAK)),
        ),
        (18, ErrorKind::Broken, None),
        (19, ErrorKind::Broken, None),
        (20, ErrorKind::Broken, None),
        (21, ErrorKind::Broken, None),
        (22, ErrorKind::Refused, Some(Status::SystemError)),
    ] {
        let outcome = client.call(procedure(number), word(number), a_word);
        let error = refused(outcome, kind);
        assert_eq!(status(&error), said, "{error}");
        // And the connection goes on.
        assert_eq!(echo(&client, number).unwrap(), number);
    }
}

#[test]
fn a_shorter_credential_is_used_until_it_is_not_taken_any_more() {
    let (_server, at) = server::stream("short");
    let client = options().sys().tcp(at).unwrap();
    let flavors: Vec<(u32, u32)> = (0..4)
        .map(|number| {
            let both = |from: &mut Reader<'_>| Ok((from.unsigned()?, from.unsigned()?));
            client.call(procedure(ECHO), word(number), both).unwrap()
        })
        .collect();
    // AUTH_SYS is 1, AUTH_SHORT is 2; the third was sent again in full.
    assert_eq!(flavors, [(0, 1), (1, 2), (2, 1), (3, 2)]);
}

#[test]
fn a_server_that_does_not_read_costs_a_call_its_time_and_no_more() {
    let (mut server, at) = server::stream("deaf");
    let client = options()
        .timeout(Duration::from_millis(50))
        .tcp(at)
        .unwrap();
    server.hear().unwrap();
    // More than any buffer of the kernel takes.
    refused(echo_bytes(&client, &vec![0; 64 << 20]), ErrorKind::TimedOut);
    // A part of it was sent: nothing can follow, and that is said.
    let error = refused(echo(&client, 1), ErrorKind::Broken);
    assert!(
        error.to_string().contains("nothing more can be sent"),
        "{error}"
    );
    client.reconnect().unwrap();
    refused(echo(&client, 1), ErrorKind::TimedOut);
    refused(echo(&client, 1), ErrorKind::TimedOut);
}

#[test]
fn a_reply_beyond_the_limit_ends_the_connection() {
    let (_server, at) = server::stream("honest");
    let client = options().record_max(1000).tcp(at).unwrap();
    // The header of a reply takes 24 bytes, and the length 4.
    assert_eq!(echo_bytes(&client, &[1; 972]).unwrap().len(), 972);
    refused(echo_bytes(&client, &[1; 973]), ErrorKind::Broken);
    refused(echo(&client, 1), ErrorKind::Broken);
    client.reconnect().unwrap();
    assert_eq!(echo(&client, 1).unwrap(), 1);
}

#[test]
fn nobody_there_is_said_at_once() {
    refused(options().tcp(nobody()), ErrorKind::Refused);
    let client = options().udp(nobody()).unwrap();
    for _ in 0..3 {
        let error = refused(echo(&client, 1), ErrorKind::Refused);
        assert_eq!(error.errno(), Some(111), "{error}");
    }
}

#[test]
fn a_datagram_is_sent_until_it_is_answered() {
    let (_server, at) = server::datagrams("third");
    let retry = Duration::from_millis(2);
    let client = options().retry(retry, retry).udp(at).unwrap();
    assert_eq!(echo(&client, 1).unwrap(), 1);
}

#[test]
fn replies_of_strangers_and_broken_ones_are_dropped() {
    let (_server, at) = server::datagrams("foreign");
    let client = options().udp(at).unwrap();
    for number in 0..10 {
        assert_eq!(echo(&client, number).unwrap(), number);
    }
}

#[test]
fn datagrams_carry_up_to_their_limit() {
    let (_server, at) = server::datagrams("honest");
    let client = options().udp(at).unwrap();
    // A call's header takes 40 bytes, and the length 4: 65,507 is not a multiple of four.
    let bytes = vec![3; 65_504 - 44];
    assert_eq!(echo_bytes(&client, &bytes).unwrap(), bytes);
    refused(
        echo_bytes(&client, &vec![3; 65_505 - 44]),
        ErrorKind::TooLong,
    );
    assert_eq!(echo(&client, 1).unwrap(), 1);
    thread::scope(|scope| {
        for me in 0..8 {
            let client = &client;
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(echo(client, me).unwrap(), me)));
        }
    });
}

#[test]
fn a_datagram_that_is_not_answered_takes_its_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = options().udp(silent.local_addr().unwrap()).unwrap();
    let client = client.within(Duration::from_millis(30));
    refused(echo(&client, 1), ErrorKind::TimedOut);
    let call = client.begin(procedure(ECHO), word(1), a_word).unwrap();
    refused(call.wait(), ErrorKind::TimedOut);
    let mut buffer = [0; 100];
    assert_eq!(silent.recv(&mut buffer).unwrap(), 44);
}

#[test]
fn arguments_that_break_their_bounds_are_not_sent() {
    let (_server, at) = server::stream("honest");
    let client = options().tcp(at).unwrap();
    let call =
        |client: &Client| client.call(procedure(ECHO), |to| to.opaque(&[0; 5], 4), |_| Ok(()));
    refused(call(&client), ErrorKind::InvalidInput);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = client.call(procedure(ECHO), |_| panic!("on purpose"), a_word);
    }));
    assert!(panicked.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = client.call(procedure(ECHO), word(1), |_| -> Result<(), Error> {
            panic!("on purpose")
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(echo(&client, 1).unwrap(), 1);
}

/// A reader that panics.
struct Bomb;

impl Read for Bomb {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("on purpose")
    }
}

#[test]
fn a_reader_that_panics_holds_up_nobody() {
    let client = options().halves(Bomb, std::io::sink());
    for _ in 0..2 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| echo(&client, 1)));
        assert!(panicked.is_err());
    }
}
