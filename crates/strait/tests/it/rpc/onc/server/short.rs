//! Shorter credentials that a server hands out.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use strait::ErrorKind;
use strait::rpc::onc::xdr::{Error, Reader};
use strait::rpc::onc::{AsyncClient, Client as Rpc, ClientOptions, Procedure};

use super::{Client, PROGRAM, Served, procedure, record, results, words};
use crate::world::{GUARD, refused};

/// AUTH_SYS of user 7, group 8, on a machine without a name.
const SYS: [u32; 7] = [1, 20, 0, 0, 7, 8, 0];
/// What a handler sees of that.
const SEEN: [u32; 2] = [1, 7];
/// Denied, AUTH_ERROR, AUTH_REJECTEDCRED.
const REJECTED: [u32; 4] = [1, 1, 1, 2];

/// A call of SAID with that credential.
fn said(xid: u32, credential: &[u8]) -> Vec<u8> {
    let header = words(&[xid, 0, 2, PROGRAM, 1, procedure::SAID]);
    [&header[..], credential, &words(&[0, 0])].concat()
}

fn ask<S: Read + Write>(client: &mut Client<S>, xid: u32, credential: &[u8]) -> Vec<u8> {
    let call = record(&said(xid, credential));
    client.stream.write_all(&call).unwrap();
    client.reply()
}

/// The credential in a reply that hands one out.
#[track_caller]
fn handed_out(reply: &[u8], xid: u32) -> Vec<u8> {
    // Success, with a verifier AUTH_SHORT of 24 bytes, which are a credential of 16.
    assert_eq!(reply[..20], words(&[xid, 1, 0, 2, 24]), "{reply:x?}");
    assert_eq!(reply[20..28], words(&[2, 16]));
    assert_eq!(reply[44..], [words(&[0]), words(&SEEN)].concat());
    reply[20..44].to_vec()
}

#[test]
fn a_short_credential_stands_for_the_long_one_on_its_connection() {
    let mut served = Served::start(&["short=100"]);
    let mut client = served.client();
    let short = handed_out(&ask(&mut client, 1, &words(&SYS)), 1);
    for xid in 2..5 {
        assert_eq!(results(&ask(&mut client, xid, &short), xid), words(&SEEN));
    }
    assert_eq!(served.count("short"), 3);
    let again = handed_out(&ask(&mut client, 5, &words(&SYS)), 5);
    assert_eq!(again, short, "the same for the same");
    // AUTH_NONE gets none.
    assert_eq!(
        results(&ask(&mut client, 6, &words(&[0, 0])), 6),
        words(&[0, u32::MAX])
    );
    let mut other = served.client();
    let mut local = Client::over(UnixStream::connect(&served.path).unwrap());
    let reply = ask(&mut other, 7, &short);
    assert_eq!(reply, words(&[&[7], &REJECTED[..]].concat()), "another's");
    let reply = ask(&mut local, 8, &short);
    assert_eq!(reply, words(&[&[8], &REJECTED[..]].concat()), "another's");
    for junk in [
        words(&[2, 0]),
        words(&[2, 4, 9]),
        words(&[2, 16, 0, 0, 0, 0]),
    ] {
        let reply = ask(&mut client, 9, &junk);
        assert_eq!(reply, words(&[&[9], &REJECTED[..]].concat()), "{junk:?}");
    }
    assert_eq!(results(&ask(&mut client, 10, &short), 10), words(&SEEN));
    assert_eq!(served.count("short"), 4);
}

#[test]
fn nothing_is_handed_out_by_datagram_nor_unasked() {
    let served = Served::start(&["short=100"]);
    let short = handed_out(&ask(&mut served.client(), 1, &words(&SYS)), 1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.connect(served.udp).unwrap();
    let mut reply = [0; 100];
    socket.send(&said(2, &words(&SYS))).unwrap();
    let len = socket.recv(&mut reply).unwrap();
    assert_eq!(results(&reply[..len], 2), words(&SEEN), "no verifier");
    socket.send(&said(3, &short)).unwrap();
    let len = socket.recv(&mut reply).unwrap();
    assert_eq!(reply[..len], words(&[&[3], &REJECTED[..]].concat()));
    let plain = Served::start(&[]);
    let mut client = plain.client();
    assert_eq!(results(&ask(&mut client, 4, &words(&SYS)), 4), words(&SEEN));
    let reply = ask(&mut client, 5, &short);
    assert_eq!(reply, words(&[&[5], &REJECTED[..]].concat()));
}

#[test]
fn who_must_say_auth_sys_may_say_it_short() {
    let served = Served::start(&["short=100", "require=1"]);
    let mut client = served.client();
    let short = handed_out(&ask(&mut client, 1, &words(&SYS)), 1);
    assert_eq!(results(&ask(&mut client, 2, &short), 2), words(&SEEN));
}

const SAID: Procedure = Procedure {
    program: PROGRAM,
    version: 1,
    number: procedure::SAID,
};

fn a_caller(from: &mut Reader<'_>) -> Result<(u32, u32), Error> {
    Ok((from.unsigned()?, from.unsigned()?))
}

fn who(client: &Rpc) -> (u32, u32) {
    client.call(SAID, |_| Ok(()), a_caller).unwrap()
}

#[tokio::test]
async fn clients_use_what_they_are_handed_out_and_are_heard_when_it_is_forgotten() {
    let me = (1, rustix::process::geteuid().as_raw());
    let options = || ClientOptions::default().timeout(GUARD).sys();
    for (entries, is_kept) in [("short=100", true), ("short=1", false)] {
        let mut served = Served::start(&[entries]);
        let (tcp, path, space) = (served.tcp, served.path.clone(), served.space());
        let blocking = tokio::task::spawn_blocking(move || {
            let clients = [
                options().tcp(tcp).unwrap(),
                options().local(&path).unwrap(),
                options().namespace(&space).channel("calls").unwrap(),
            ];
            for _ in 0..5 {
                assert_eq!(clients.each_ref().map(who), [me; 3]);
            }
        });
        blocking.await.unwrap();
        let tasks: [AsyncClient; 2] = [
            options().tcp_async(tcp).await.unwrap(),
            options().local_async(&served.path).await.unwrap(),
        ];
        for _ in 0..5 {
            for client in &tasks {
                let call = client.call(SAID, |_| Ok(()), a_caller);
                assert_eq!(call.await.unwrap(), me);
            }
        }
        // Each has been the first to call once; with room for one alone, each is always too late.
        let expected = if is_kept { 5 * 4 } else { 0 };
        assert_eq!(served.count("short"), expected, "{entries}");
    }
}

#[test]
fn over_streams_a_call_is_the_same_at_whatever_length_its_caller_says_who_he_is() {
    let served = Served::start(&["short=100", "streams=1"]);
    let count = |xid, credential: &[u8]| {
        let header = words(&[xid, 0, 2, PROGRAM, 1, procedure::COUNT]);
        record(&[&header[..], credential, &words(&[0, 0])].concat())
    };
    let mut client = served.client();
    let mut ask = |call: &[u8]| {
        client.stream.write_all(call).unwrap();
        client.reply()
    };
    let done = ask(&count(7, &words(&SYS)));
    let short = &done[20..44];
    assert_eq!(ask(&count(7, short)), done, "said short");
    let again = count(7, &words(&SYS));
    let mut other = served.client();
    other.stream.write_all(&again).unwrap();
    assert_eq!(other.reply(), done, "over another connection");
    // Another user's call is another.
    let mut user = SYS;
    user[4] = 6;
    let others = ask(&count(7, &words(&user)));
    assert_eq!(others[others.len() - 4..], words(&[2]));
}

/// Hands out a short credential to whoever says AUTH_SYS, and forgets it at once. With `is_last`
/// nothing more is answered to who says it.
fn forget(mut stream: TcpStream, is_last: bool) -> std::io::Result<()> {
    loop {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark)?;
        let mut call = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
        stream.read_exact(&mut call)?;
        let xid = u32::from_be_bytes(*call.first_chunk().unwrap());
        if call[24..28] == words(&[1]) {
            let handed = words(&[xid, 1, 0, 2, 24, 2, 16, 1, 2, 3, 4, 0]);
            stream.write_all(&record(&[handed, words(&SEEN)].concat()))?;
            continue;
        }
        stream.write_all(&record(&words(&[&[xid], &REJECTED[..]].concat())))?;
        if is_last {
            stream.shutdown(Shutdown::Write)?;
            return std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
        }
    }
}

#[test]
fn a_call_that_is_made_again_says_at_length_who_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for is_last in [true, false] {
            let (stream, _) = listener.accept().unwrap();
            std::thread::spawn(move || forget(stream, is_last));
        }
    });
    let client = ClientOptions::default().timeout(GUARD).sys();
    let client = client.tcp(at).unwrap();
    let seen = (SEEN[0], SEEN[1]);
    assert_eq!(who(&client), seen);
    let early = client.begin(SAID, |_| Ok(()), a_caller).unwrap();
    refused(client.call(SAID, |_| Ok(()), a_caller), ErrorKind::PeerGone);
    client.reconnect().unwrap();
    // This connection has been handed out something too, which counts for nothing any more.
    assert_eq!(who(&client), seen);
    assert_eq!(early.wait().unwrap(), seen);
}
