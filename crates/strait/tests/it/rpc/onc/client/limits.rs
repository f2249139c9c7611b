//! What clients and servers put up with in a value, and how much a client keeps for those who have
//! given up.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::xdr::{Error, Limits, Padding, Reader, Writer};
use strait::rpc::onc::{self, Server};

use super::super::examples::kv_server;
use super::super::server::{record, words};
use super::{ECHO, a_word, echo, options, procedure, server, word};
use crate::peer::{Peer, say};
use crate::world::{GUARD, refused};

const LENIENT: Limits = Limits {
    depth: 200,
    padding: Padding::Lenient,
};

/// AUTH_SYS of a machine "a", behind whose name something stands.
const DIRTY: [u32; 8] = [1, 24, 0, 1, 0x6100_0001, 7, 8, 0];

fn ask(at: SocketAddr, credential: &[u32], key: u32) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    // GET of the key-value service, whose key is one letter.
    let header = words(&[9, 0, 2, 0x2000_0042, 1, 2]);
    let call = [&header[..], &words(credential), &words(&[0, 0, 1, key])].concat();
    stream.write_all(&record(&call)).unwrap();
    let mut mark = [0; 4];
    stream.read_exact(&mut mark).unwrap();
    let mut reply = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
    stream.read_exact(&mut reply).unwrap();
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn padding_is_zero_for_a_server_unless_leniency_was_asked_for() {
    let not_found = words(&[9, 1, 0, 0, 0, 0, 1]);
    let garbage = words(&[9, 1, 0, 0, 0, 4]);
    let bad = words(&[9, 1, 1, 1, 1]);
    for (limits, expected) in [
        (Limits::default(), [&not_found, &garbage, &bad]),
        (LENIENT, [&not_found; 3]),
    ] {
        let mut server = Server::with(Server::options().xdr(limits));
        server.add(kv_server::dispatcher());
        let at = server.tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let _running = server.start();
        let ask = move |credential: &'static [u32], key| {
            tokio::task::spawn_blocking(move || ask(at, credential, key))
        };
        let replies = [
            ask(&[0, 0], 0x6100_0000).await.unwrap(),
            ask(&[0, 0], 0x6100_0001).await.unwrap(),
            ask(&DIRTY, 0x6100_0000).await.unwrap(),
        ];
        assert_eq!(replies.each_ref(), expected, "{limits:?}");
    }
}

/// Three levels, each a word.
fn nested(from: &mut Reader<'_>) -> Result<u32, Error> {
    from.nested(|from| {
        from.unsigned()?;
        from.nested(|from| {
            from.unsigned()?;
            from.nested(Reader::unsigned)
        })
    })
}

#[tokio::test]
async fn clients_have_limits_of_their_own() {
    let (_server, at) = server::stream("honest");
    let dirty = |to: &mut Writer<'_>| {
        to.opaque_fixed(b"\0\0\0\x01a\0\0\x01");
        Ok(())
    };
    let three = |to: &mut Writer<'_>| {
        to.opaque_fixed(&[0; 12]);
        Ok(())
    };
    let letter = |from: &mut Reader<'_>| from.string(1).map(str::len);
    let shallow = |depth| Limits {
        depth,
        ..Limits::default()
    };
    let to = procedure(ECHO);
    for (limits, is_dirty_taken, is_deep_taken) in [
        (Limits::default(), false, true),
        (LENIENT, true, true),
        (shallow(3), false, true),
        (shallow(2), false, false),
    ] {
        let tasks = options().xdr(limits).tcp_async(at).await.unwrap();
        let one = tasks.call(to, dirty, letter).await;
        let other = tasks.call(to, three, nested).await;
        let blocking = tokio::task::spawn_blocking(move || {
            let client = options().xdr(limits).tcp(at).unwrap();
            let begun = client.begin(to, three, nested).unwrap();
            (client.call(to, dirty, letter), begun.wait())
        });
        let (same, same_deep) = blocking.await.unwrap();
        for outcome in [one.map(drop), same.map(drop)] {
            match is_dirty_taken {
                true => outcome.unwrap(),
                false => drop(refused(outcome, ErrorKind::Broken)),
            }
        }
        for outcome in [other, same_deep] {
            match is_deep_taken {
                true => assert_eq!(outcome.unwrap(), 0),
                false => drop(refused(outcome, ErrorKind::Broken)),
            }
        }
    }
}

/// A gate keeper who listens, and reads nothing.
fn deaf() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

#[tokio::test]
async fn calls_that_were_given_up_take_no_place() {
    let (listener, at) = deaf();
    let few = || options().in_flight_max(1);
    let brief = Duration::from_millis(1);
    let client = few().tcp_async(at).await.unwrap().within(brief);
    let blocking = tokio::task::spawn_blocking(move || {
        let client = few().tcp(at).unwrap().within(brief);
        for _ in 0..50 {
            refused(echo(&client, 1), ErrorKind::TimedOut);
            let begun = client.begin(procedure(ECHO), word(2), a_word).unwrap();
            refused(begun.wait(), ErrorKind::TimedOut);
        }
    });
    for _ in 0..50 {
        let call = client.call(procedure(ECHO), word(1), a_word);
        refused(call.await, ErrorKind::TimedOut);
    }
    blocking.await.unwrap();
    drop(listener);
}

/// Makes calls to who reads nothing, each for a moment, and says how much memory that took.
pub(super) fn impatient(arguments: &[String]) {
    let at: SocketAddr = arguments[0].parse().unwrap();
    let brief = Duration::from_micros(200);
    let bytes = vec![7; 64 << 10];
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let client = onc::Client::options().tcp_async(at).await.unwrap();
        let client = client.within(brief);
        for _ in 0..4000 {
            let arguments = |to: &mut Writer<'_>| to.opaque(&bytes, u32::MAX);
            let call = client.call(procedure(ECHO), arguments, |_| Ok(()));
            refused(call.await, ErrorKind::TimedOut);
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    say(line.unwrap().trim().trim_end_matches(" kB"));
}

/// 256 MiB are called, and nothing of it is taken.
#[test]
fn calls_that_were_given_up_are_not_queued_without_end() {
    let (_listener, at) = deaf();
    let mut client = Peer::start("onc.client.impatient", &[&at.to_string()]);
    let peak: u64 = client.hear().unwrap().parse().unwrap();
    println!("{peak} kB at most");
    assert!(peak < 64 << 10, "{peak} kB");
}
