//! Servers that grant TLS, or say so, and then do something else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::super::server::{record, words};
use crate::peer::{self, Peer};
use crate::world::GUARD;

/// The reply that grants TLS to the call of that number.
fn granted(xid: u32) -> Vec<u8> {
    let head = words(&[xid, 1, 0, 0, 8]);
    record(&[&head[..], b"STARTTLS", &[0; 4]].concat())
}

/// A server in another process that behaves like that.
pub(super) fn liar(behaviour: &str) -> (Peer, SocketAddr) {
    let mut peer = Peer::start("rpc.onc.tls.liar", &[behaviour]);
    let address = peer.hear().unwrap().parse().unwrap();
    (peer, address)
}

pub(crate) fn lie(arguments: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    peer::say(listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let behaviour = arguments[0].clone();
        std::thread::spawn(move || behave(&behaviour, stream.unwrap()));
    }
}

fn behave(behaviour: &str, mut stream: TcpStream) {
    let mut question = [0; 44];
    stream.read_exact(&mut question).unwrap();
    let xid = u32::from_be_bytes(*question[4..].first_chunk().unwrap());
    let plain = record(&words(&[xid, 1, 0, 0, 0, 0]));
    let say = |stream: &mut TcpStream, bytes: &[u8]| stream.write_all(bytes).unwrap();
    match behaviour {
        "without" => say(&mut stream, &plain),
        "wordy" => {
            let head = words(&[xid, 1, 0, 0, 8]);
            let wrong = [&head[..], b"STARTSSL", &[0; 4]].concat();
            say(&mut stream, &record(&wrong));
        }
        "behind" => say(&mut stream, &[granted(xid), plain].concat()),
        "other" => say(&mut stream, &granted(xid.wrapping_add(1))),
        "huge" => say(&mut stream, &words(&[0x8000_0000 | 2000])),
        "gone" => return,
        "cut" => {
            say(&mut stream, &granted(xid));
            // Its first words, and no answer to them.
            stream.read_exact(&mut [0; 64]).unwrap();
            return;
        }
        "silent" => say(&mut stream, &granted(xid)),
        "watching" => {
            say(&mut stream, &granted(xid));
            stream.set_read_timeout(Some(GUARD)).unwrap();
            let ended = std::io::copy(&mut stream, &mut std::io::sink());
            return peer::say(if ended.is_ok() { "gone" } else { "still there" });
        }
        "garbage" => {
            say(&mut stream, &granted(xid));
            stream.read_exact(&mut [0; 64]).unwrap();
            say(&mut stream, &plain.repeat(10));
        }
        other => panic!("nobody behaves like {other}"),
    }
    // Whatever the client says in clear text now is told to the test.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let call = words(&[super::PROGRAM, 1, super::procedure::WHO]);
    if rest.windows(call.len()).any(|bytes| bytes == call) {
        peer::say("a call in clear text");
    }
}
