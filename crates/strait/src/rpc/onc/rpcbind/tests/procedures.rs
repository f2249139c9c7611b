//! Every procedure of every version: RFC 1833 sections 2.1 and 3.1.

use std::time::{SystemTime, UNIX_EPOCH};

use strait_wire::onc::rpcbind::{
    EntryV4, Mapping, Netbuf, Netid, Registration, RemoteArguments, Statistics, Uaddr, decode_list,
    v2, v3, v4,
};
use strait_wire::xdr::{Decode, Reader, to_vec};

use super::super::super::Refusal;
use super::super::{Service, ServiceOptions};
use super::{Client, rpcb};

const NETS: [&str; 5] = ["udp", "tcp", "udp6", "tcp6", "local"];
const ADDRESSES: [&str; 5] = [
    "0.0.0.0.3.9",
    "10.1.2.3.3.10",
    "::.3.11",
    "2001:db8::1.3.12",
    "/run/x.sock",
];

/// Without a look at who listens: these addresses are nobody's.
fn service() -> Service {
    ServiceOptions::default().keep_dead().create()
}

fn list<T>(bytes: &[u8], own: impl Fn(&mut Reader<'_>) -> T) -> Vec<T> {
    let mut from = Reader::new(bytes);
    let mut all = Vec::new();
    while from.boolean().unwrap() {
        all.push(own(&mut from));
    }
    from.finish().unwrap();
    all
}

#[test]
fn set_getaddr_getversaddr_and_unset_on_every_transport() {
    for version in [v3::VERSION, v4::VERSION] {
        let service = service();
        let user = Client::user(&service, 1000);
        let asks = [
            Client::udp(&service, "127.0.0.1:9", "127.0.0.1:111"),
            Client::tcp(&service, "127.0.0.1:9", "127.0.0.1:111"),
            Client::udp(&service, "[::1]:9", "[::1]:111"),
            Client::tcp(&service, "[2001:db8::9]:9", "[2001:db8::1]:111"),
            Client::user(&service, 5),
        ];
        for (netid, address) in NETS.into_iter().zip(ADDRESSES) {
            assert_eq!(
                user.call(version, v3::SET, &rpcb(700, 2, netid, address)),
                Ok(true)
            );
            let other = rpcb(700, 2, netid, "/elsewhere");
            assert_eq!(user.call(version, v3::SET, &other), Ok(false), "{netid}");
        }
        let seen = [
            "127.0.0.1.3.9",
            "10.1.2.3.3.10",
            "::1.3.11",
            "2001:db8::1.3.12",
            "/run/x.sock",
        ];
        for (client, seen) in asks.iter().zip(seen) {
            // The name of the transport is ignored, and a wrong version.
            for (netid, asked) in [("tcp", 2), ("junk", 2), ("", 77)] {
                let text = client.text(version, v3::GETADDR, &rpcb(700, asked, netid, ""));
                assert_eq!(text, seen);
            }
            assert_eq!(
                client.text(version, v3::GETADDR, &rpcb(701, 2, "tcp", "")),
                ""
            );
            let strict = client.raw(
                version,
                v4::GETVERSADDR,
                &to_vec(&rpcb(700, 77, "", "")).unwrap(),
            );
            if version == v3::VERSION {
                assert_eq!(strict, Err(Refusal::ProcedureUnavailable));
                continue;
            }
            assert_eq!(
                client.text(version, v4::GETVERSADDR, &rpcb(700, 77, "", "")),
                ""
            );
            assert_eq!(
                client.text(version, v4::GETVERSADDR, &rpcb(700, 2, "", "")),
                seen
            );
        }
        // One transport, then all that are left.
        let one = rpcb(700, 2, "udp", "");
        assert_eq!(user.call(version, v3::UNSET, &one), Ok(true));
        assert_eq!(user.call(version, v3::UNSET, &one), Ok(false));
        assert_eq!(
            user.call(version, v3::UNSET, &rpcb(700, 2, "junk", "")),
            Ok(false)
        );
        assert_eq!(service.entries().len(), 4);
        assert_eq!(
            user.call(version, v3::UNSET, &rpcb(700, 2, "", "")),
            Ok(true)
        );
        assert_eq!(service.entries(), []);
    }
}

#[test]
fn any_is_rewritten_to_what_the_caller_reached() {
    let service = service();
    let user = Client::user(&service, 0);
    for (netid, address) in [("tcp", "0.0.0.0.0.80"), ("tcp6", "::.0.80")] {
        assert_eq!(user.call(4, v3::SET, &rpcb(1, 1, netid, address)), Ok(true));
    }
    for (from, reached, seen) in [
        ("192.0.2.7:5", "192.0.2.1:111", "192.0.2.1.0.80"),
        (
            "[::ffff:192.0.2.7]:5",
            "[::ffff:192.0.2.1]:111",
            "192.0.2.1.0.80",
        ),
        ("[2001:db8::7]:5", "[2001:db8::1]:111", "2001:db8::1.0.80"),
        // A server that does not say where it was reached.
        ("192.0.2.7:5", "", "0.0.0.0.0.80"),
    ] {
        let client = Client::tcp(&service, from, reached);
        assert_eq!(
            client.text(3, v3::GETADDR, &rpcb(1, 1, "", "")),
            seen,
            "{from}"
        );
    }
    let results = user
        .raw(4, v4::GETADDRLIST, &to_vec(&rpcb(1, 1, "", "")).unwrap())
        .unwrap();
    let seen = list(&results, |from| {
        EntryV4::decode(from).unwrap().address.into_owned()
    });
    assert_eq!(seen, ["127.0.0.1.0.80", "::1.0.80"]);
}

#[test]
fn version_2_maps_ports_of_tcp_and_udp() {
    let service = service();
    let user = Client::user(&service, 1000);
    let mapping = |version, protocol, port| Mapping {
        program: 700,
        version,
        protocol,
        port,
    };
    assert_eq!(user.call(2, v2::SET, &mapping(3, 6, 2049)), Ok(true));
    assert_eq!(user.call(2, v2::SET, &mapping(3, 17, 2050)), Ok(true));
    assert_eq!(user.call(2, v2::SET, &mapping(3, 6, 2051)), Ok(false));
    for (protocol, port) in [(0, 5), (132, 5), (6, 0), (6, 65_536), (17, u32::MAX)] {
        assert_eq!(
            user.call(2, v2::SET, &mapping(4, protocol, port)),
            Ok(false)
        );
    }
    assert_eq!(
        user.call(4, v3::SET, &rpcb(700, 3, "tcp6", "::.1.1")),
        Ok(true)
    );
    for (version, protocol, port) in [(3, 6, 2049_u32), (3, 17, 2050), (9, 17, 2050), (3, 1, 0)] {
        assert_eq!(
            user.call(2, v2::GETPORT, &mapping(version, protocol, 0)),
            Ok(port)
        );
    }
    let none = Mapping {
        program: 701,
        ..mapping(3, 6, 0)
    };
    assert_eq!(user.call(2, v2::GETPORT, &none), Ok(0_u32));
    let dump = user.raw(2, v2::DUMP, &[]).unwrap();
    let dump = decode_list::<Mapping>(&mut Reader::new(&dump)).unwrap();
    assert_eq!(dump, [mapping(3, 17, 2050), mapping(3, 6, 2049)]);
    // Of both protocols, whatever it names; what version 2 does not know stays.
    assert_eq!(user.call(2, v2::UNSET, &mapping(3, 6, 1)), Ok(true));
    assert_eq!(user.call(2, v2::UNSET, &mapping(3, 6, 1)), Ok(false));
    assert_eq!(service.entries().len(), 1);
}

#[test]
fn dump_tells_owners_and_addresses_as_they_were_set() {
    let service = service();
    service
        .announce(
            Netid::Tcp,
            &Uaddr::parse(Netid::Tcp, "0.0.0.0.0.111").unwrap(),
        )
        .unwrap();
    let set = |client: Client, program| {
        client
            .call::<bool>(4, v3::SET, &rpcb(program, 1, "tcp", "0.0.0.0.4.1"))
            .unwrap()
    };
    assert!(set(Client::user(&service, 1000), 200_000));
    assert!(set(Client::user(&service, 0), 200_001));
    assert!(set(
        Client::tcp(&service, "127.0.0.1:9", "127.0.0.1:111"),
        200_002
    ));
    let far = Client::tcp(&service, "192.0.2.7:5", "192.0.2.1:111");
    for version in [v3::VERSION, v4::VERSION] {
        let dump = far.raw(version, v3::DUMP, &[]).unwrap();
        let all = list(&dump, |from| {
            let each = Registration::decode(from).unwrap();
            format!(
                "{} {} {} {} {}",
                each.program, each.version, each.netid, each.address, each.owner
            )
        });
        assert_eq!(
            all,
            [
                "100000 2 tcp 0.0.0.0.0.111 superuser",
                "100000 3 tcp 0.0.0.0.0.111 superuser",
                "100000 4 tcp 0.0.0.0.0.111 superuser",
                "200000 1 tcp 0.0.0.0.4.1 1000",
                "200001 1 tcp 0.0.0.0.4.1 superuser",
                "200002 1 tcp 0.0.0.0.4.1 unknown",
            ]
        );
    }
}

#[test]
fn getaddrlist_describes_each_transport() {
    let service = service();
    let user = Client::user(&service, 0);
    for (netid, address) in NETS.into_iter().zip(ADDRESSES) {
        assert_eq!(user.call(4, v3::SET, &rpcb(5, 1, netid, address)), Ok(true));
    }
    let results = user
        .raw(4, v4::GETADDRLIST, &to_vec(&rpcb(5, 1, "", "")).unwrap())
        .unwrap();
    let all = list(&results, |from| {
        let each = EntryV4::decode(from).unwrap();
        format!(
            "{} {} {} {}",
            each.netid, each.semantics, each.family, each.protocol
        )
    });
    assert_eq!(
        all,
        [
            "udp 1 inet udp",
            "tcp 3 inet tcp",
            "udp6 1 inet6 udp",
            "tcp6 3 inet6 tcp",
            "local 3 loopback -",
        ]
    );
    let none = user.raw(4, v4::GETADDRLIST, &to_vec(&rpcb(5, 2, "", "")).unwrap());
    assert_eq!(none, Ok(vec![0; 4]));
}

#[test]
fn gettime_and_the_two_forms_of_addresses() {
    let service = service();
    let tcp = Client::tcp(&service, "127.0.0.1:9", "127.0.0.1:111");
    let tcp6 = Client::tcp(&service, "[::1]:9", "[::1]:111");
    let user = Client::user(&service, 1);
    for version in [v3::VERSION, v4::VERSION] {
        let time: u32 = user.call(version, v3::GETTIME, &()).unwrap();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(now.abs_diff(time.into()) < 100, "{time} {now}");
        let text = |text: &str| {
            let mut args = Vec::new();
            strait_wire::xdr::Writer::new(&mut args)
                .string(text, 255)
                .unwrap();
            args
        };
        for (client, good, len) in [
            (&tcp, "10.1.2.3.8.1", 16),
            (&tcp6, "2001:db8::1.8.1", 28),
            (&user, "/run/x", 9),
        ] {
            let results = client.raw(version, v3::UADDR2TADDR, &text(good)).unwrap();
            let netbuf = Netbuf::decode(&mut Reader::new(&results)).unwrap();
            assert_eq!(netbuf.address.len(), len, "{good}");
            assert_eq!(client.text(version, v3::TADDR2UADDR, &netbuf), good);
        }
        // sockaddr_in as the kernel has it: family, then port and address in network order.
        let results = tcp
            .raw(version, v3::UADDR2TADDR, &text("10.1.2.3.8.1"))
            .unwrap();
        let netbuf = Netbuf::decode(&mut Reader::new(&results)).unwrap();
        assert_eq!(
            netbuf.address[..8],
            [&2_u16.to_ne_bytes()[..], &[8, 1, 10, 1, 2, 3]].concat()
        );
        for bad in [
            "",
            "10.1.2.3",
            "10.1.2.3.8.256",
            "::1.8.1",
            "/run/x",
            "junk",
        ] {
            let results = tcp.raw(version, v3::UADDR2TADDR, &text(bad)).unwrap();
            let netbuf = Netbuf::decode(&mut Reader::new(&results)).unwrap();
            assert_eq!((netbuf.len_max, netbuf.address.len()), (0, 0), "{bad}");
        }
        for bad in [
            &[][..],
            &[1],
            &[2, 0],
            &[2, 0, 1, 1, 127, 0, 0],
            &[0xff; 200],
        ] {
            let netbuf = Netbuf {
                len_max: 200,
                address: bad.into(),
            };
            assert_eq!(tcp.text(version, v3::TADDR2UADDR, &netbuf), "", "{bad:?}");
        }
    }
}

#[test]
fn getstat_counts_what_was_asked() {
    let service = service();
    let user = Client::user(&service, 7);
    assert_eq!(
        user.call(4, v3::SET, &rpcb(5, 1, "local", "/run/x")),
        Ok(true)
    );
    assert_eq!(
        user.call(4, v3::SET, &rpcb(5, 1, "local", "junk")),
        Ok(false)
    );
    for program in [5, 5, 6] {
        user.text(3, v3::GETADDR, &rpcb(program, 1, "", ""));
    }
    assert_eq!(user.call(4, v3::UNSET, &rpcb(5, 1, "", "")), Ok(true));
    let call = RemoteArguments {
        program: 5,
        version: 1,
        procedure: 2,
        arguments: [].as_slice().into(),
    };
    let call = to_vec(&call).unwrap();
    assert_eq!(
        user.raw(4, v4::INDIRECT, &call),
        Err(Refusal::ProcedureUnavailable)
    );
    let results = user.raw(4, v4::GETSTAT, &[]).unwrap();
    let mut from = Reader::new(&results);
    let [second, third, fourth] = [(); 3].map(|()| Statistics::decode(&mut from).unwrap());
    from.finish().unwrap();
    assert_eq!(second, Statistics::default());
    assert_eq!(third.calls[3], 3);
    let found: Vec<_> = third
        .addresses
        .iter()
        .map(|a| (a.program, a.success, a.failure))
        .collect();
    assert_eq!(found, [(5, 2, 0), (6, 0, 1)]);
    assert_eq!(
        (
            fourth.calls[1],
            fourth.calls[2],
            fourth.calls[10],
            fourth.calls[12]
        ),
        (2, 1, 1, 1)
    );
    assert_eq!((fourth.set, fourth.unset), (1, 1));
    let remote = &fourth.remote_calls[0];
    assert_eq!(
        (
            remote.program,
            remote.procedure,
            remote.failure,
            remote.indirect
        ),
        (5, 2, 1, 1)
    );
}

#[test]
fn what_is_no_procedure_of_that_version_says_so() {
    let user = Client::user(&service(), 0);
    for (version, numbers) in [
        (v2::VERSION, [6, 7, 12, u32::MAX]),
        (v3::VERSION, [9, 10, 11, 12]),
        (v4::VERSION, [13, 14, 99, u32::MAX]),
    ] {
        for number in numbers {
            let refused = user.raw(version, number, &[]);
            assert_eq!(
                refused,
                Err(Refusal::ProcedureUnavailable),
                "{version} {number}"
            );
        }
    }
}
