//! What those who are not trusted try.

use std::net::UdpSocket;

use strait_wire::onc::rpcbind::{Mapping, RemoteArguments, Statistics, v2, v3, v4};
use strait_wire::xdr::{Decode, Reader, Writer, to_vec};

use super::super::super::Refusal;
use super::super::statistics::COUNTED_MAX;
use super::super::{REPLY_FACTOR_MAX, RemoteLimits, Service, ServiceOptions};
use super::{Client, rpcb};

fn service() -> Service {
    ServiceOptions::default().keep_dead().create()
}

#[test]
fn only_this_machine_registers() {
    let service = service();
    let good = rpcb(700, 1, "tcp", "0.0.0.0.3.9");
    let mapping = Mapping {
        program: 700,
        version: 1,
        protocol: 6,
        port: 777,
    };
    for from in [
        "192.0.2.7:5",
        "[2001:db8::7]:700",
        "[::ffff:192.0.2.7]:5",
        "0.0.0.0:1",
    ] {
        for stranger in [Client::tcp, Client::udp].map(|by| by(&service, from, "192.0.2.1:111")) {
            assert_eq!(stranger.call(2, v2::SET, &mapping), Ok(false), "{from}");
            for version in [3, 4] {
                assert_eq!(stranger.call(version, v3::SET, &good), Ok(false), "{from}");
            }
        }
    }
    // What no loopback interface has brought.
    let forged = Client::udp(&service, "[::ffff:127.0.0.1]:5", "[2001:db8::1]:111");
    assert_eq!(forged.call(4, v3::SET, &good), Ok(false));
    assert_eq!(service.entries(), []);
    let near = Client::tcp(&service, "127.0.0.1:5", "127.0.0.1:111");
    assert_eq!(near.call(4, v3::SET, &good), Ok(true));
    for from in ["192.0.2.7:5", "[2001:db8::7]:700"] {
        let stranger = Client::udp(&service, from, "192.0.2.1:111");
        assert_eq!(stranger.call(2, v2::UNSET, &mapping), Ok(false), "{from}");
        assert_eq!(
            stranger.call(4, v3::UNSET, &rpcb(700, 1, "", "")),
            Ok(false),
            "{from}"
        );
    }
    assert_eq!(service.entries().len(), 1);
    // Who came over the loopback may be anybody here, and unsets nothing that a user owns.
    let user = Client::user(&service, 1000);
    assert_eq!(user.call(4, v3::UNSET, &rpcb(700, 1, "", "")), Ok(false));
    assert_eq!(near.call(4, v3::UNSET, &rpcb(700, 1, "", "")), Ok(true));
}

#[test]
fn junk_is_not_registered() {
    let service = service();
    let root = Client::user(&service, 0);
    for (netid, address) in [
        ("", "0.0.0.0.3.9"),
        ("TCP", "0.0.0.0.3.9"),
        ("sctp", "0.0.0.0.3.9"),
        ("tcp ", "0.0.0.0.3.9"),
        ("tcp\n", "0.0.0.0.3.9"),
        ("tcp", ""),
        ("tcp", "junk"),
        ("tcp", "0.0.0.0"),
        ("tcp", "0.0.0.0.3"),
        ("tcp", "0.0.0.0.3.256"),
        ("tcp", "0.0.0.0.0.0"),
        ("tcp", "0.0.0.0.03.9"),
        ("tcp", "0.0.0.0.+3.9"),
        ("tcp", "256.0.0.0.3.9"),
        ("tcp", "0.0.0.0.3.9.1"),
        ("tcp", "255.255.255.255.3.9"),
        ("udp", "224.0.0.1.3.9"),
        ("tcp", "::.3.9"),
        ("tcp6", "0.0.0.0.3.9"),
        ("tcp6", "fe80::1%eth0.3.9"),
        ("udp6", "ff02::1.3.9"),
        ("local", "relative"),
        ("local", ""),
        ("local", "/nul\0inside"),
    ] {
        for version in [3, 4] {
            let junk = rpcb(700, 1, netid, address);
            assert_eq!(
                root.call(version, v3::SET, &junk),
                Ok(false),
                "{netid:?} {address:?}"
            );
        }
    }
    let long = "/".repeat(108);
    assert_eq!(
        root.call(4, v3::SET, &rpcb(700, 1, "local", &long)),
        Ok(false)
    );
    assert_eq!(
        root.call(4, v3::SET, &rpcb(700, 1, "local", &long[..107])),
        Ok(true)
    );
    for version in 2..=5 {
        let own = rpcb(100_000, version, "tcp", "0.0.0.0.3.9");
        assert_eq!(
            root.call(4, v3::SET, &own),
            Ok(false),
            "the registry's own program"
        );
    }
    assert_eq!(service.entries().len(), 1);
}

#[test]
fn arguments_that_are_none_are_garbage() {
    let service = service();
    let root = Client::user(&service, 0);
    let good = to_vec(&rpcb(700, 1, "tcp", "0.0.0.0.3.9")).unwrap();
    for procedure in [
        v3::SET,
        v3::UNSET,
        v3::GETADDR,
        v4::GETVERSADDR,
        v4::GETADDRLIST,
    ] {
        for len in 0..good.len() {
            assert_eq!(
                root.raw(4, procedure, &good[..len]),
                Err(Refusal::GarbageArguments)
            );
        }
        let longer = [&good[..], &[0; 4]].concat();
        assert_eq!(
            root.raw(4, procedure, &longer),
            Err(Refusal::GarbageArguments)
        );
    }
    for (procedure, version) in [
        (v3::DUMP, 2),
        (v3::DUMP, 4),
        (v3::GETTIME, 3),
        (v4::GETSTAT, 4),
    ] {
        assert_eq!(
            root.raw(version, procedure, &[0; 4]),
            Err(Refusal::GarbageArguments)
        );
    }
    for (netid, address, owner) in [(33, 1, 1), (1, 256, 1), (1, 1, 256), (0xffff_fff0, 1, 1)] {
        let mut args = Vec::new();
        let mut to = Writer::new(&mut args);
        to.unsigned(700);
        to.unsigned(1);
        for len in [netid, address, owner] {
            to.unsigned(len);
            to.opaque_fixed(&vec![b'a'; usize::try_from(len.min(300)).unwrap()]);
        }
        assert_eq!(root.raw(4, v3::SET, &args), Err(Refusal::GarbageArguments));
    }
    assert_eq!(service.entries(), []);
}

#[test]
fn a_strangers_datagram_is_never_answered_by_more_than_thrice_its_length() {
    let service = service();
    let root = Client::user(&service, 0);
    for program in 1..=200 {
        assert_eq!(
            root.call(4, v3::SET, &rpcb(program, 1, "udp", "10.0.0.1.3.9")),
            Ok(true)
        );
    }
    let stranger = Client::udp(&service, "192.0.2.7:53", "192.0.2.1:111");
    let forms = to_vec(&rpcb(1, 1, "", "")).unwrap();
    let mut refused = 0;
    for version in [2, 3, 4] {
        for procedure in 1..=12 {
            for args in [&[][..], &forms] {
                let Ok(results) = stranger.raw(version, procedure, args) else {
                    refused += 1;
                    continue;
                };
                let (request, reply) = (40 + args.len(), 24 + results.len());
                assert!(
                    reply <= REPLY_FACTOR_MAX * request,
                    "{version} {procedure}: {reply}"
                );
            }
        }
    }
    assert!(refused > 0);
    for version in [2, 3, 4] {
        assert_eq!(
            stranger.raw(version, v3::DUMP, &[]),
            Err(Refusal::SystemError)
        );
        // TCP gives it, and so does UDP to this machine.
        let tcp = Client::tcp(&service, "192.0.2.7:53", "192.0.2.1:111");
        let near = Client::udp(&service, "127.0.0.1:53", "127.0.0.1:111");
        assert!(tcp.raw(version, v3::DUMP, &[]).unwrap().len() > 4000);
        assert!(near.raw(version, v3::DUMP, &[]).unwrap().len() > 4000);
    }
    assert_eq!(
        stranger.text(4, v3::GETADDR, &rpcb(1, 1, "", "")),
        "10.0.0.1.3.9"
    );
}

#[test]
fn remote_calls_are_not_made() {
    let service = service();
    let call = RemoteArguments {
        program: 5,
        version: 1,
        procedure: 2,
        arguments: vec![7; 64].into(),
    };
    let call = to_vec(&call).unwrap();
    let datagram = Client::udp(&service, "192.0.2.7:53", "192.0.2.1:111");
    let stream = Client::tcp(&service, "192.0.2.7:53", "192.0.2.1:111");
    for version in [2, 3, 4] {
        assert_eq!(
            datagram.raw(version, v3::CALLIT, &call),
            Err(Refusal::Silence)
        );
        assert_eq!(
            stream.raw(version, v3::CALLIT, &call),
            Err(Refusal::ProcedureUnavailable)
        );
    }
    assert_eq!(
        datagram.raw(4, v4::INDIRECT, &call),
        Err(Refusal::ProcedureUnavailable)
    );
}

#[test]
fn remote_calls_of_strangers_give_no_more_than_thrice_what_they_say() {
    // A program whose results are as long as its argument says.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut call = [0; 1000];
        while let Ok((len, from)) = socket.recv_from(&mut call) {
            let words = |at: usize| u32::from_be_bytes(*call[at..].first_chunk().unwrap());
            assert_eq!((len, words(24), words(32)), (44, 0, 0), "AUTH_NONE alone");
            let mut reply = [&call[..4], &[0, 0, 0, 1], &[0; 16]].concat();
            reply.resize(24 + words(40) as usize, 7);
            socket.send_to(&reply, from).unwrap();
        }
    });
    let options = ServiceOptions::default().keep_dead();
    let service = options.remote_calls(RemoteLimits::default()).create();
    let root = Client::user(&service, 0);
    let [high, low] = at.port().to_be_bytes();
    let place = format!("0.0.0.0.{high}.{low}");
    assert_eq!(
        root.call(4, v3::SET, &rpcb(700, 1, "udp", &place)),
        Ok(true)
    );
    assert_eq!(
        root.call(
            4,
            v3::SET,
            &rpcb(701, 1, "udp", &place.replacen("0.0.0.0", "127.0.0.1", 1))
        ),
        Ok(true)
    );
    let call = |program, len: u32| {
        let arguments = len.to_be_bytes().to_vec().into();
        let call = RemoteArguments {
            program,
            version: 1,
            procedure: 1,
            arguments,
        };
        to_vec(&call).unwrap()
    };
    let stranger = Client::udp(&service, "192.0.2.7:53", "127.0.0.1:111");
    // The request has 40 bytes and 20: 180 may go back. The reply has 24, an address of 20 or 24,
    // and a length.
    assert!(stranger.raw(4, v4::INDIRECT, &call(700, 120)).is_ok());
    assert!(stranger.raw(4, v3::CALLIT, &call(700, 120)).is_ok());
    let refused = stranger.raw(4, v4::INDIRECT, &call(700, 160));
    assert_eq!(refused, Err(Refusal::SystemError));
    let silent = stranger.raw(4, v3::CALLIT, &call(700, 160));
    assert_eq!(silent, Err(Refusal::Silence));
    let near = Client::udp(&service, "127.0.0.1:53", "127.0.0.1:111");
    assert!(near.raw(4, v4::INDIRECT, &call(700, 1000)).is_ok());
    // Who reached another address does not get to what listens at the loopback alone.
    let outside = Client::udp(&service, "192.0.2.7:53", "192.0.2.1:111");
    let refused = outside.raw(4, v4::INDIRECT, &call(701, 4));
    assert_eq!(refused, Err(Refusal::ProgramUnavailable));
    assert!(near.raw(4, v4::INDIRECT, &call(701, 4)).is_ok());
}

#[test]
fn strangers_do_not_fill_the_statistics() {
    let service = service();
    let stranger = Client::udp(&service, "192.0.2.7:53", "192.0.2.1:111");
    for program in 0..2 * u32::try_from(COUNTED_MAX).unwrap() {
        stranger.text(3, v3::GETADDR, &rpcb(program, 1, "", ""));
    }
    let results = Client::user(&service, 0).raw(4, v4::GETSTAT, &[]).unwrap();
    let mut from = Reader::new(&results);
    let _second = Statistics::decode(&mut from).unwrap();
    let third = Statistics::decode(&mut from).unwrap();
    assert_eq!(third.addresses.len(), COUNTED_MAX);
    assert_eq!(usize::try_from(third.calls[3]).unwrap(), 2 * COUNTED_MAX);
}
