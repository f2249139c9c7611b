//! The registry's types and addresses.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::super::rpcbind::{
    AddressInfo, CallitResult, EntryV4, LIST_MAX, Mapping, NETID_MAX, Netbuf, Netid, OWNER_MAX,
    PATH_MAX, Registration, RemoteArguments, RemoteCallInfo, RemoteResult, Statistics, UADDR_MAX,
    Uaddr, decode_list, encode_list, v2, v3, v4,
};
use super::{both_ways, words};
use crate::xdr::{Reader, What, Writer, from_slice, to_vec};

const MAPPING: Mapping = Mapping {
    program: 100_003,
    version: 3,
    protocol: 6,
    port: 2049,
};

#[test]
fn mappings_and_their_lists_are_as_section_3_1_has_them() {
    both_ways(&MAPPING, &words(&[100_003, 3, 6, 2049]));
    let mut bytes = vec![];
    encode_list(&[MAPPING, MAPPING], &mut Writer::new(&mut bytes)).unwrap();
    let node = [1, 100_003, 3, 6, 2049];
    assert_eq!(bytes, words(&[&node[..], &node, &[0]].concat()));
    let read = decode_list::<Mapping>(&mut Reader::new(&bytes));
    assert_eq!(read.unwrap(), [MAPPING, MAPPING]);
}

#[test]
fn a_list_ends_at_its_limit() {
    let node = words(&[1, 9]);
    for (nodes, ends) in [(LIST_MAX, true), (LIST_MAX + 1, false)] {
        let mut bytes = node.repeat(nodes as usize);
        bytes.extend([0; 4]);
        let list = decode_list::<u32>(&mut Reader::new(&bytes));
        assert_eq!(list.is_ok(), ends);
        if let Err(error) = list {
            let (len, max) = (nodes.into(), LIST_MAX);
            let at = 8 * LIST_MAX as usize;
            assert_eq!((error.at, error.what), (at, What::TooLong { len, max }));
        }
    }
}

#[test]
fn the_other_types_are_as_the_rfc_has_them() {
    let registration = Registration {
        program: 100_003,
        version: 4,
        netid: "tcp".into(),
        address: "1.2.3.4.8.1".into(),
        owner: "root".into(),
    };
    let bytes = [
        &words(&[100_003, 4, 3])[..],
        b"tcp\0\0\0\0\x0b1.2.3.4.8.1\0\0\0\0\x04root",
    ]
    .concat();
    both_ways(&registration, &bytes);
    let read: Registration<'_> = from_slice(&bytes).unwrap();
    assert!(matches!(read.address, Cow::Borrowed(_)), "lent");

    let entry = EntryV4 {
        address: "a".into(),
        netid: "udp".into(),
        semantics: 1,
        family: "inet".into(),
        protocol: "udp".into(),
    };
    both_ways(
        &entry,
        b"\0\0\0\x01a\0\0\0\0\0\0\x03udp\0\0\0\0\x01\0\0\0\x04inet\0\0\0\x03udp\0",
    );
    let netbuf = Netbuf {
        len_max: 16,
        address: b"\x02"[..].into(),
    };
    both_ways(&netbuf, b"\0\0\0\x10\0\0\0\x01\x02\0\0\0");
    let remote = RemoteArguments {
        program: 1,
        version: 2,
        procedure: 3,
        arguments: b"args"[..].into(),
    };
    both_ways(&remote, b"\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04args");
    let result = RemoteResult {
        address: "a".into(),
        results: b""[..].into(),
    };
    both_ways(&result, b"\0\0\0\x01a\0\0\0\0\0\0\0");
    let result = CallitResult {
        port: 7,
        results: b"r"[..].into(),
    };
    both_ways(&result, b"\0\0\0\x07\0\0\0\x01r\0\0\0");
    both_ways(&statistics(), &statistics_bytes());
}

fn statistics() -> Statistics<'static> {
    Statistics {
        calls: core::array::from_fn(|i| i32::try_from(i).unwrap()),
        set: 1,
        unset: 2,
        addresses: vec![AddressInfo {
            program: 3,
            version: 4,
            success: 5,
            failure: 6,
            netid: "udp".into(),
        }],
        remote_calls: vec![RemoteCallInfo {
            program: 7,
            version: 8,
            procedure: 9,
            success: 10,
            failure: 11,
            indirect: 12,
            netid: "tcp".into(),
        }],
    }
}

fn statistics_bytes() -> alloc::vec::Vec<u8> {
    let calls: alloc::vec::Vec<u32> = (0..13).collect();
    [
        &words(&calls)[..],
        &words(&[1, 2, 1, 3, 4, 5, 6, 3]),
        b"udp\0",
        &words(&[0, 1, 7, 8, 9, 10, 11, 12, 3]),
        b"tcp\0",
        &words(&[0]),
    ]
    .concat()
}

#[test]
fn texts_end_at_their_limits() {
    let text = |len: u32| "x".repeat(len as usize);
    let sound = Registration {
        netid: text(NETID_MAX).into(),
        address: text(UADDR_MAX).into(),
        owner: text(OWNER_MAX).into(),
        ..Registration::default()
    };
    both_ways(&sound, &to_vec(&sound).unwrap());
    for (netid, address, owner) in [
        (NETID_MAX + 1, 0, 0),
        (0, UADDR_MAX + 1, 0),
        (0, 0, OWNER_MAX + 1),
    ] {
        let wrong = Registration {
            netid: text(netid).into(),
            address: text(address).into(),
            owner: text(owner).into(),
            ..Registration::default()
        };
        let error = to_vec(&wrong).unwrap_err();
        assert!(matches!(error.what, What::TooLong { .. }));
        let mut bytes = words(&[0, 0]);
        let mut to = Writer::new(&mut bytes);
        for text in [&wrong.netid, &wrong.address, &wrong.owner] {
            to.string(text, u32::MAX).unwrap();
        }
        let error = from_slice::<Registration<'_>>(&bytes).unwrap_err();
        assert!(matches!(error.what, What::TooLong { .. }));
    }
}

#[test]
fn procedures_have_the_numbers_of_the_rfc() {
    let two = [v2::SET, v2::UNSET, v2::GETPORT, v2::DUMP, v2::CALLIT];
    assert_eq!(two, [1, 2, 3, 4, 5]);
    let three = [
        [v3::SET, v3::UNSET, v3::GETADDR, v3::DUMP],
        [v3::CALLIT, v3::GETTIME, v3::UADDR2TADDR, v3::TADDR2UADDR],
    ];
    assert_eq!(three.concat(), [1, 2, 3, 4, 5, 6, 7, 8]);
    let four = [
        v4::BCAST,
        v4::GETVERSADDR,
        v4::INDIRECT,
        v4::GETADDRLIST,
        v4::GETSTAT,
    ];
    assert_eq!(four, [5, 9, 10, 11, 12]);
    assert_eq!((v2::VERSION, v3::VERSION, v4::VERSION), (2, 3, 4));
}

#[test]
fn addresses_are_parsed_and_printed() {
    for (netid, text, address) in [
        (Netid::Tcp, "127.0.0.1.0.111", "127.0.0.1:111"),
        (Netid::Udp, "0.0.0.0.8.1", "0.0.0.0:2049"),
        (
            Netid::Tcp,
            "255.255.255.255.255.255",
            "255.255.255.255:65535",
        ),
        (Netid::Tcp6, "::.0.111", "[::]:111"),
        (Netid::Udp6, "2001:db8::1.8.1", "[2001:db8::1]:2049"),
        (Netid::Tcp6, "::ffff:1.2.3.4.8.1", "[::ffff:1.2.3.4]:2049"),
    ] {
        let uaddr = Uaddr::parse(netid, text).unwrap();
        assert_eq!(uaddr, Uaddr::Inet(address.parse().unwrap()));
        assert_eq!(uaddr.to_string(), text);
    }
    let path = "/run/rpcbind.sock";
    let uaddr = Uaddr::parse(Netid::Local, path).unwrap();
    assert_eq!(uaddr, Uaddr::Local(path.into()));
    assert_eq!((uaddr.to_string().as_str(), uaddr.port()), (path, None));
}

#[test]
fn junk_is_no_address() {
    let long = String::from("/") + &"x".repeat(PATH_MAX);
    assert!(Uaddr::parse(Netid::Local, &long[..PATH_MAX]).is_ok());
    for (netid, text) in [
        (Netid::Tcp, ""),
        (Netid::Tcp, "."),
        (Netid::Tcp, ".."),
        (Netid::Tcp, "1.2.3.4"),
        (Netid::Tcp, "1.2.3.4.5"),
        (Netid::Tcp, "1.2.3.4.5.256"),
        (Netid::Tcp, "1.2.3.256.5.6"),
        (Netid::Tcp, "1.2.3.4.5.6.7"),
        (Netid::Tcp, "1.2.3.4.+5.6"),
        (Netid::Tcp, "1.2.3.4.05.6"),
        (Netid::Tcp, "01.2.3.4.5.6"),
        (Netid::Tcp, " 1.2.3.4.5.6"),
        (Netid::Tcp, "1.2.3.4.5.6 "),
        (Netid::Tcp, "1.2.3.4.5."),
        (Netid::Tcp, "::1.0.111"),
        (Netid::Tcp6, "127.0.0.1.0.111"),
        (Netid::Tcp6, "fe80::1%2.0.111"),
        (Netid::Tcp6, "[::1].0.111"),
        (Netid::Local, "relative"),
        (Netid::Local, ""),
        (Netid::Local, "/with\0end"),
        (Netid::Local, &long),
    ] {
        let error = Uaddr::parse(netid, text).unwrap_err();
        assert_eq!(error.netid, netid, "{text}");
    }
}

#[test]
fn any_address_is_what_the_caller_has_reached() {
    for (netid, text, reached, seen) in [
        (Netid::Tcp, "0.0.0.0.8.1", "10.0.0.7", "10.0.0.7.8.1"),
        (Netid::Tcp, "10.0.0.1.8.1", "10.0.0.7", "10.0.0.1.8.1"),
        (Netid::Tcp6, "::.8.1", "fe80::7", "fe80::7.8.1"),
        (Netid::Tcp6, "::.8.1", "10.0.0.7", "::.8.1"),
        (Netid::Tcp, "0.0.0.0.8.1", "fe80::7", "0.0.0.0.8.1"),
        (Netid::Local, "/a", "10.0.0.7", "/a"),
    ] {
        let uaddr = Uaddr::parse(netid, text).unwrap();
        assert_eq!(uaddr.seen_from(reached.parse().unwrap()).to_string(), seen);
    }
}

#[test]
fn transports_are_known_by_name_and_protocol() {
    for (netid, name, protocol, kind) in [
        (Netid::Udp, "udp", Some(17), (1, "inet", "udp")),
        (Netid::Tcp, "tcp", Some(6), (3, "inet", "tcp")),
        (Netid::Udp6, "udp6", Some(17), (1, "inet6", "udp")),
        (Netid::Tcp6, "tcp6", Some(6), (3, "inet6", "tcp")),
        (Netid::Local, "local", None, (3, "loopback", "-")),
    ] {
        assert_eq!(Netid::of_name(name), Some(netid));
        assert_eq!(
            (netid.to_string().as_str(), netid.protocol()),
            (name, protocol)
        );
        let names = (netid.family_name(), netid.protocol_name());
        assert_eq!((netid.semantics(), names.0, names.1), kind);
    }
    assert_eq!(Netid::of_name("unix"), Some(Netid::Local));
    for junk in ["", "TCP", "tcp ", "tcp4", "sctp"] {
        assert_eq!(Netid::of_name(junk), None);
    }
    assert_eq!(Netid::of_protocol(6), Some(Netid::Tcp));
    assert_eq!(Netid::of_protocol(17), Some(Netid::Udp));
    assert_eq!(Netid::of_protocol(132), None);
}

proptest! {
    #[test]
    fn any_text_is_the_address_that_it_prints_as_or_none(text in "[0-9.:a-f/]{0,24}") {
        for netid in Netid::ALL {
            if let Ok(uaddr) = Uaddr::parse(netid, &text) {
                let again = Uaddr::parse(netid, &uaddr.to_string());
                prop_assert_eq!(again, Ok(uaddr));
            }
        }
    }
}
