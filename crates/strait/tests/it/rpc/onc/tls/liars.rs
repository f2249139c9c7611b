//! Servers that grant TLS, or say so, and then do something else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::cipher::OutboundPlainMessage;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig, ServerConnection,
};

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
    liar_with(behaviour, "")
}

/// The same with the certificate at that path.
pub(super) fn liar_with(behaviour: &str, path: &str) -> (Peer, SocketAddr) {
    let mut peer = Peer::start("rpc.onc.tls.liar", &[behaviour, path]);
    let address = peer.hear().unwrap().parse().unwrap();
    (peer, address)
}

pub(crate) fn lie(arguments: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    peer::say(listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let (behaviour, path) = (arguments[0].clone(), arguments[1].clone());
        std::thread::spawn(move || behave(&behaviour, &path, stream.unwrap()));
    }
}

fn behave(behaviour: &str, path: &str, mut stream: TcpStream) {
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
        "tickets" => {
            say(&mut stream, &granted(xid));
            send_tickets(&mut stream, path);
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

/// A ticket for a session to come, of one byte: RFC 8446 section 4.6.1.
const TICKET: &[u8; 18] = &[4, 0, 0, 14, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0];

/// Does a sound handshake, and then sends 4 MiB of tickets, and nothing else.
fn send_tickets(stream: &mut TcpStream, path: &str) {
    let chain = CertificateDer::pem_file_iter(format!("{path}.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(format!("{path}.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.unwrap();
    config.alpn_protocols = vec![b"sunrpc".to_vec()];
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(stream).unwrap();
    }
    let suite = tls.negotiated_cipher_suite().unwrap().tls13().unwrap();
    let (first, secrets) = tls.dangerous_extract_secrets().unwrap().tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("a suite that nobody knows");
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let tickets = TICKET.repeat(900);
    for sequence in (first..).take((4 << 20) / tickets.len()) {
        let message = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: ProtocolVersion::TLSv1_3,
            payload: (&*tickets).into(),
        };
        let record = encrypter.encrypt(message, sequence).unwrap().encode();
        // The client may have had enough of them before the last.
        if stream.write_all(&record).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}
