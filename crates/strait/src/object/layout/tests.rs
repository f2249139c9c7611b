//! Tests of the module above.

use proptest::prelude::*;

use super::*;

fn header(name: &[u8]) -> Header {
    Header {
        kind: Kind::Semaphore,
        flags: 0,
        domain: 7,
        id: 9,
        limit: 8,
        data_len: 0,
        permanent: true,
        name: name.to_vec(),
        states: [3 << 32 | 1, 0],
    }
}

#[test]
fn a_header_survives_its_bytes() {
    for name in [
        &b""[..],
        b"slots",
        &[b'x'; 1536],
        &[b'y'; 1537],
        &[b'z'; NAME_MAX],
    ] {
        let header = header(name);
        let bytes = header.encode();
        assert_eq!(bytes.len() % PAGE, 0);
        assert_eq!(Header::needed(&bytes[..PAGE]), bytes.len());
        assert_eq!(Header::decode(&bytes, bytes.len() as u64).unwrap(), header);
    }
}

#[test]
fn every_truncation_and_any_flipped_bit_of_the_fixed_part_is_noticed_or_harmless() {
    let bytes = header(b"slots").encode();
    for len in 0..bytes.len() {
        assert!(Header::decode(&bytes[..len], bytes.len() as u64).is_err() || len >= 2565);
        assert!(Header::decode(&bytes, len as u64).is_err());
    }
    for at in 0..32 {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            let read = Header::decode(&wrong, bytes.len() as u64);
            // A flipped kind or a shortened name within the page is another valid header.
            assert!(
                read.is_err() || (12..16).contains(&at) || (24..32).contains(&at),
                "{at}.{bit}"
            );
        }
    }
}

#[test]
fn a_longer_name_than_any_is_refused() {
    let mut bytes = header(b"slots").encode();
    let len = u32::try_from(NAME_MAX + 1).unwrap();
    bytes[28..32].copy_from_slice(&len.to_le_bytes());
    assert_eq!(
        Header::decode(&bytes, bytes.len() as u64)
            .unwrap_err()
            .kind(),
        ErrorKind::Layout
    );
}

fn properties() -> ProptestConfig {
    ProptestConfig {
        cases: 2048,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn no_bytes_make_decoding_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..6000),
        sound in 0..64_usize,
        len in prop_oneof![0..20_000_u64, any::<u64>()],
    ) {
        let _ = Header::decode(&bytes, len);
        prop_assert!(Header::needed(&bytes) <= (NAME + NAME_MAX).next_multiple_of(PAGE));
        // The first bytes are right, so that what follows is read at all.
        let mut bytes = bytes;
        let good = header(b"slots").encode();
        let sound = sound.min(bytes.len());
        bytes[..sound].copy_from_slice(&good[..sound]);
        let _ = Header::recognise(&bytes);
        let _ = Header::decode(&bytes, len);
        let _ = Header::decode(&bytes, good.len() as u64);
    }

    #[test]
    fn what_decodes_encodes_to_the_same(
        name in proptest::collection::vec(any::<u8>(), 0..2000),
        (domain, id) in any::<(u64, u32)>(),
        (limit, states, permanent) in any::<(u64, [u64; 2], bool)>(),
        data_len in 0..1_u64 << 40,
    ) {
        let header = Header {
            domain, id, limit, states, permanent, data_len, ..header(&name)
        };
        let bytes = header.encode();
        prop_assert_eq!(Header::decode(&bytes, header.file_len()).unwrap(), header);
    }
}
