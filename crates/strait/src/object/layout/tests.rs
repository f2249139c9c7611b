//! Tests of the module above.

use super::*;

fn header(name: &[u8]) -> Header {
    Header {
        kind: Kind::Semaphore,
        flags: 0,
        domain: 7,
        id: 9,
        generation: 1,
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
