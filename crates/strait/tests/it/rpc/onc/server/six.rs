//! IPv6.

use std::net::{TcpListener, UdpSocket};

use strait::rpc::onc::rpcbind::{Netid, Uaddr};
use strait::rpc::onc::{Client as Rpc, Procedure, Server};

use super::{PROGRAM, Served, call, procedure, results, words};
use crate::world::{GUARD, skip};

const WHO: Procedure = Procedure {
    program: PROGRAM,
    version: 1,
    number: procedure::WHO,
};

/// What is called, and the port that the server says was reached.
type Who = (u32, u32, u32);

fn who(from: &mut strait::rpc::onc::xdr::Reader<'_>) -> Result<Who, strait::rpc::onc::xdr::Error> {
    Ok((from.unsigned()?, from.unsigned()?, from.unsigned()?))
}

fn is_absent(test: &str) -> bool {
    let absent = TcpListener::bind("[::1]:0").is_err();
    if absent {
        skip(test, "no IPv6 here");
    }
    absent
}

#[tokio::test]
async fn calls_are_made_and_answered_over_ipv6() {
    if is_absent("calls_are_made_and_answered_over_ipv6") {
        return;
    }
    let served = Served::start(&["six=1"]);
    let (tcp, udp) = (served.tcp, served.udp);
    assert!(tcp.is_ipv6() && udp.is_ipv6());
    let by_tcp = (0, 0, tcp.port().into());
    let by_udp = (1, 0, udp.port().into());
    let blocking = tokio::task::spawn_blocking(move || {
        let options = || Rpc::options().timeout(GUARD);
        let clients = [options().tcp(tcp).unwrap(), options().udp(udp).unwrap()];
        clients.map(|client| client.call(WHO, |_| Ok(()), who).unwrap())
    });
    assert_eq!(blocking.await.unwrap(), [by_tcp, by_udp]);
    let options = || Rpc::options().timeout(GUARD);
    let client = options().tcp_async(tcp).await.unwrap();
    assert_eq!(client.call(WHO, |_| Ok(()), who).await.unwrap(), by_tcp);
    let client = options().udp_async(udp).await.unwrap();
    assert_eq!(client.call(WHO, |_| Ok(()), who).await.unwrap(), by_udp);
}

#[test]
fn what_listens_at_any_address_of_ipv6_hears_ipv4_and_answers_from_where_it_was_asked() {
    if is_absent("what_listens_at_any_address_of_ipv6_hears_ipv4") {
        return;
    }
    let served = Served::start(&["six=1"]);
    for (from, asked) in [
        ("[::]:0", format!("[::1]:{}", served.udp.port())),
        ("0.0.0.0:0", format!("127.7.8.9:{}", served.udp.port())),
    ] {
        let client = UdpSocket::bind(from).unwrap();
        client.set_read_timeout(Some(GUARD)).unwrap();
        client
            .send_to(&call(1, procedure::WHO, &[]), &asked)
            .unwrap();
        let mut reply = [0; 64];
        let (len, answered) = client.recv_from(&mut reply).unwrap();
        assert_eq!(answered.to_string(), asked);
        let port = served.udp.port().into();
        assert_eq!(results(&reply[..len], 1), words(&[1, 0, port]));
    }
}

#[tokio::test]
async fn a_registry_is_told_of_both_where_both_are_heard() {
    if is_absent("a_registry_is_told_of_both_where_both_are_heard") {
        return;
    }
    let mut server = Server::new();
    let one = server.tcp("[::1]:0".parse().unwrap()).await.unwrap();
    let any = server.udp("[::]:0".parse().unwrap()).await.unwrap();
    let four = (std::net::Ipv4Addr::UNSPECIFIED, any.port()).into();
    let expected = [
        (Netid::Tcp6, Uaddr::Inet(one)),
        (Netid::Udp, Uaddr::Inet(four)),
        (Netid::Udp6, Uaddr::Inet(any)),
    ];
    assert_eq!(server.places(), expected);
}
