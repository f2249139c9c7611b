//! Records: how they are cut, and how they end.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::record::{
    self, Caps, Error, FRAGMENT_MAX, FRAGMENT_SMALL, FRAGMENTS_MAX, RECORD_MAX, ROOM_MAX, ROOM_MIN,
    Records,
};

fn fragment(bytes: &[u8], last: bool) -> Vec<u8> {
    let mark = u32::try_from(bytes.len()).unwrap() | u32::from(last) << 31;
    [&mark.to_be_bytes()[..], bytes].concat()
}

/// All records of `stream`, given in pieces of `piece` bytes.
fn take(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut records = Records::default();
    let mut taken = Vec::new();
    for piece in stream.chunks(piece) {
        records.push(piece);
        while let Some(record) = records.next_record().unwrap() {
            taken.push(record.to_vec());
        }
    }
    assert!(!records.is_within_record());
    taken
}

#[test]
fn a_record_is_lent_again_until_there_was_asked_for_room() {
    let mut records = Records::default();
    records.push(&fragment(b"ab", false));
    records.push(&fragment(b"c", true));
    records.push(&fragment(b"d", true));
    assert_eq!(records.record(), b"");
    records.next_record().unwrap().unwrap();
    assert_eq!(records.record(), b"abc");
    records.next_record().unwrap().unwrap();
    assert_eq!(records.record(), b"d");
    assert_eq!(records.next_record(), Ok(None));
    assert_eq!(records.record(), b"d");
    records.room();
    assert_eq!(records.record(), b"");
}

#[test]
fn a_record_is_sent_as_one_fragment() {
    let mut out = vec![1];
    let mark = record::begin(&mut out);
    out.extend_from_slice(b"abc");
    mark.end(&mut out).unwrap();
    let mark = record::begin(&mut out);
    mark.end(&mut out).unwrap();
    let mark = record::begin(&mut out);
    out.push(9);
    mark.cancel(&mut out);
    assert_eq!(out, b"\x01\x80\0\0\x03abc\x80\0\0\0");
    assert_eq!(record::mark(FRAGMENT_MAX), Ok([0xff; 4]));
    let (len, max) = (0x8000_0000, FRAGMENT_MAX);
    assert_eq!(record::mark(max + 1), Err(Error::TooLong { len, max }));
}

#[test]
fn fragments_are_put_together_however_they_come() {
    let stream = [
        fragment(b"whole", true),
        fragment(b"in ", false),
        fragment(b"", false),
        fragment(b"par", false),
        fragment(b"ts", true),
        fragment(b"", true),
        fragment(b"", false),
        fragment(b"", true),
        fragment(b"", false),
        fragment(b"late", true),
    ]
    .concat();
    let expected = [&b"whole"[..], b"in parts", b"", b"", b"late"];
    for piece in 1..=stream.len() {
        assert_eq!(take(&stream, piece), expected, "in pieces of {piece}");
    }
}

#[test]
fn a_record_of_one_fragment_is_lent_from_where_it_was_read() {
    let mut records = Records::default();
    let stream = fragment(&[7; 100], true);
    let room = records.room();
    let begin = room.as_ptr();
    room[..stream.len()].copy_from_slice(&stream);
    records.filled(stream.len());
    let record = records.next_record().unwrap().unwrap();
    assert_eq!(record.as_ptr(), begin.wrapping_add(4));
}

#[test]
fn a_stream_that_ends_within_a_record_was_cut() {
    let stream = [fragment(b"ab", false), fragment(b"cd", true)].concat();
    for end in 0..=stream.len() {
        let mut records = Records::default();
        records.push(&stream[..end]);
        let whole = records.next_record().unwrap().is_some();
        assert_eq!(whole, end == stream.len());
        let within = end > 0 && end < stream.len();
        assert_eq!(records.is_within_record(), within, "cut at {end}");
    }
    let mut records = Records::default();
    records.push(&fragment(b"", false));
    assert_eq!(records.next_record(), Ok(None));
    assert!(records.is_within_record(), "an empty fragment began one");
}

/// The whole record counts, not a fragment, and the mark is enough to know.
#[test]
fn a_record_ends_at_the_cap() {
    for first in [0, 1, 5000, RECORD_MAX] {
        for (more, ends) in [(0, true), (1, false)] {
            let mut records = Records::default();
            records.push(&fragment(&vec![1; first], false));
            assert_eq!(records.next_record(), Ok(None));
            let rest = RECORD_MAX - first + more;
            records.push(&record::mark(rest).unwrap());
            let (len, max) = (RECORD_MAX as u64 + 1, RECORD_MAX);
            let error = Error::TooLong { len, max };
            if ends {
                records.push(&vec![2; rest]);
                let record = records.next_record().unwrap().unwrap();
                assert_eq!(record.len(), RECORD_MAX);
                assert!(record[..first].iter().all(|byte| *byte == 1));
                assert!(record[first..].iter().all(|byte| *byte == 2));
            } else {
                assert_eq!(records.next_record(), Err(error));
                records.push(&fragment(b"sound", true));
                assert_eq!(records.next_record(), Err(error), "the stream is lost");
            }
        }
    }
}

#[test]
fn small_fragments_end_at_their_number() {
    let max = FRAGMENTS_MAX;
    for len in [0, 1, FRAGMENT_SMALL - 1] {
        let small = fragment(&vec![1; len], false);
        let last = fragment(b"", true);
        let parts = max as usize - 1;
        let taken = take(&[small.repeat(parts), last.clone()].concat(), 1 << 20);
        assert_eq!(taken, [vec![1; len * parts]]);
        let mut records = Records::default();
        records.push(&[small.repeat(parts + 1), last].concat());
        let error = Error::TooManyFragments { max };
        assert_eq!(records.next_record(), Err(error));
        assert!(error.to_string().contains("more than 64 fragments"));
    }
    let mut records = Records::default();
    let small = fragment(b"x", false).repeat(max as usize);
    records.push(&small);
    assert_eq!(records.next_record(), Ok(None));
    assert!(records.is_within_record());
}

/// What libtirpc sends over a local socket: 1 MiB in fragments that are 9,000 bytes with their
/// mark.
#[test]
fn large_fragments_are_bounded_by_the_record() {
    let whole = vec![7; 1 << 20];
    let mut stream = Vec::new();
    for part in whole.chunks(8996) {
        stream.extend(fragment(part, false));
    }
    stream.extend(fragment(b"", true));
    assert_eq!(take(&stream, 65_536), [whole]);
    let mut records = Records::default();
    let endless = fragment(&[7; FRAGMENT_SMALL], false);
    let error = core::iter::repeat_with(|| {
        records.push(&endless);
        records.next_record().map(|record| record.is_some())
    });
    let ended = error
        .take(2 * RECORD_MAX / FRAGMENT_SMALL)
        .find(Result::is_err);
    assert!(matches!(ended, Some(Err(Error::TooLong { .. }))));
    assert!(records.memory() <= 2 * RECORD_MAX + ROOM_MAX);
}

#[test]
fn memory_follows_what_has_come_and_not_the_claim() {
    let mut records = Records::default();
    records.push(&record::mark(RECORD_MAX).unwrap());
    assert_eq!(records.next_record(), Ok(None));
    assert!(records.room().len() <= ROOM_MAX);
    assert!(records.memory() <= ROOM_MAX + ROOM_MIN);
    let mut come = 4;
    while come < RECORD_MAX {
        let len = records.room().len().min(50_000).min(RECORD_MAX - come);
        records.filled(len);
        come += len;
        assert!(records.next_record().unwrap().is_none());
        assert!(records.memory() <= 2 * come + ROOM_MAX + ROOM_MIN, "{come}");
    }
    assert!(records.room().len() >= 4);
    records.filled(4);
    assert_eq!(records.next_record().unwrap().unwrap().len(), RECORD_MAX);
    records.shrink();
    assert_eq!(records.memory(), 0);
    records.push(&fragment(b"next", true));
    assert_eq!(records.next_record(), Ok(Some(&b"next"[..])));
    records.push(b"\x80\0");
    records.shrink();
    assert_eq!(records.memory(), 2, "what has come stays");
    records.push(b"\0\x01x");
    assert_eq!(records.next_record(), Ok(Some(&b"x"[..])));
}

/// One buffer is enough for calls without end.
#[test]
fn room_comes_back_with_each_record() {
    let mut records = Records::default();
    for i in 0..10_000_u32 {
        let one = fragment(&i.to_be_bytes(), true);
        records.push(&[&one[..], &one, &one[..3]].concat());
        for _ in 0..2 {
            assert_eq!(records.next_record(), Ok(Some(&i.to_be_bytes()[..])));
        }
        assert_eq!(records.next_record(), Ok(None));
        records.push(&one[3..]);
        assert_eq!(records.next_record(), Ok(Some(&i.to_be_bytes()[..])));
    }
    assert!(records.memory() <= 2 * ROOM_MIN);
}

#[test]
fn other_caps_are_held_to() {
    let caps = Caps {
        record: 10,
        fragments: 1,
    };
    let mut records = Records::new(caps);
    records.push(&fragment(&[0; 10], true));
    assert_eq!(records.next_record().unwrap().unwrap().len(), 10);
    records.push(&fragment(&[0; 5], false));
    assert_eq!(records.next_record(), Ok(None));
    records.push(&fragment(&[0; 5], true));
    let error = Error::TooManyFragments { max: 1 };
    assert_eq!(records.next_record(), Err(error));
}

proptest! {
    #[test]
    fn any_records_come_back(
        all in vec(vec(vec(any::<u8>(), 0..40), 1..8), 0..6),
        pieces in vec(1..60_usize, 1..20),
    ) {
        let mut stream = Vec::new();
        for parts in &all {
            for (i, part) in parts.iter().enumerate() {
                stream.extend(fragment(part, i + 1 == parts.len()));
            }
        }
        let mut records = Records::default();
        let mut taken = Vec::new();
        let mut rest = &stream[..];
        for piece in pieces.iter().cycle() {
            let (piece, more) = rest.split_at((*piece).min(rest.len()));
            records.push(piece);
            while let Some(record) = records.next_record().unwrap() {
                taken.push(record.to_vec());
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        let expected: Vec<Vec<u8>> = all.iter().map(|parts| parts.concat()).collect();
        prop_assert_eq!(taken, expected);
    }
}
