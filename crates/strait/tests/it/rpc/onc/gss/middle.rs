//! Somebody between a client and a server, who changes what they say.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// Which way a message goes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// What becomes of each message, without its mark: those that go on in its place.
type Change = dyn FnMut(Way, Vec<u8>) -> Vec<Vec<u8>> + Send;

fn record(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut mark = [0; 4];
    stream.read_exact(&mut mark).ok()?;
    let mut message = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let mark = 0x8000_0000 | message.len() as u32;
    stream.write_all(&[&mark.to_be_bytes(), message].concat())
}

/// Stands in for a server of TCP, for one client, until that has gone.
pub(super) fn tcp(
    server: SocketAddr,
    change: impl FnMut(Way, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let change: Arc<Mutex<Change>> = Arc::new(Mutex::new(change));
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(server).unwrap();
        for (way, from, to) in [
            (Way::ToServer, &client, &server),
            (Way::ToClient, &server, &client),
        ] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let change = change.clone();
            thread::spawn(move || {
                while let Some(message) = record(&mut from) {
                    let changed = change.lock().unwrap()(way, message);
                    if changed
                        .iter()
                        .any(|message| send(&mut to, message).is_err())
                    {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

/// Stands in for a server of UDP, for one client, as long as the test's process lives.
pub(super) fn udp(
    server: SocketAddr,
    mut change: impl FnMut(Way, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        let mut client = None;
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let way = match from == server {
                true => Way::ToClient,
                false => Way::ToServer,
            };
            let to = match way {
                Way::ToServer => {
                    client = Some(from);
                    Some(server)
                }
                Way::ToClient => client,
            };
            for message in change(way, buffer[..len].to_vec()) {
                let _ = socket.send_to(&message, to.unwrap());
            }
        }
    });
    address
}
