//! Every bound, at the limit and one past it.

use alloc::vec::Vec;

use super::super::{DEPTH_MAX, Error, Limits, Padding, Reader, What, Writer};
use super::written;

#[test]
fn lengths_are_held_against_the_bound_of_the_type() {
    let too_long = What::TooLong { len: 5, max: 4 };
    for (len, expected) in [
        (4, Ok(())),
        (
            5,
            Err(Error {
                at: 0,
                what: too_long,
            }),
        ),
    ] {
        let bytes = written(|to| to.opaque(&[b'x'; 5][..len], 5)).unwrap();
        assert_eq!(Reader::new(&bytes).opaque(4).map(drop), expected);
        assert_eq!(Reader::new(&bytes).string(4).map(drop), expected);
        assert_eq!(
            written(|to| to.opaque(&[0; 5][..len], 4)).map(drop),
            expected
        );
        let numbers = &[1_u32, 2, 3, 4, 5][..len];
        let bytes = written(|to| to.numbers(numbers, 5)).unwrap();
        assert_eq!(Reader::new(&bytes).numbers::<u32>(4).map(drop), expected);
        let array = Reader::new(&bytes).array(4, Reader::unsigned);
        assert_eq!(array.map(drop), expected);
        assert_eq!(written(|to| to.numbers(numbers, 4)).map(drop), expected);
        let each = |to: &mut Writer<'_>, number: &u32| {
            to.unsigned(*number);
            Ok(())
        };
        assert_eq!(written(|to| to.array(numbers, 4, each)).map(drop), expected);
    }
}

/// With padding the largest length takes 4 GiB and more.
#[test]
fn a_length_near_4_gib_is_short_and_never_wraps() {
    for len in u32::MAX - 3..=u32::MAX {
        let bytes = [&len.to_be_bytes()[..], b"four"].concat();
        let need = (u64::from(len) + 3) & !3;
        let what = What::Short { need, left: 4 };
        let error = Error { at: 4, what };
        assert_eq!(Reader::new(&bytes).opaque(u32::MAX), Err(error));
        assert_eq!(Reader::new(&bytes).string(u32::MAX), Err(error));
    }
    let error = Reader::new(b"four").opaque_fixed(usize::MAX).unwrap_err();
    assert!(matches!(error.what, What::Short { .. }));
}

#[test]
fn a_count_is_held_against_what_is_left() {
    let mut bytes = written(|to| to.numbers(&[1_u32, 2, 3], 3)).unwrap();
    Reader::new(&bytes)
        .array(u32::MAX, Reader::unsigned)
        .unwrap();
    bytes[3] = 4;
    let what = What::Short { need: 16, left: 12 };
    let error = Error { at: 4, what };
    let array = Reader::new(&bytes).array(u32::MAX, Reader::unsigned);
    assert_eq!(array, Err(error));
    assert_eq!(Reader::new(&bytes).numbers::<u32>(u32::MAX), Err(error));
    bytes[..4].fill(0xff);
    let mut calls = 0;
    let array = Reader::new(&bytes).array(u32::MAX, |_| {
        calls += 1;
        Ok(())
    });
    assert!(matches!(array.unwrap_err().what, What::Short { .. }));
    assert_eq!(calls, 0);
}

/// A count of elements larger in memory than in the input takes memory as they are read.
#[test]
fn memory_follows_what_was_read() {
    let count = 1000;
    let bytes = [&u32::to_be_bytes(count)[..], &[0; 4000]].concat();
    let mut read = 0;
    let mut reader = Reader::new(&bytes);
    let array: Result<Vec<[u64; 512]>, _> = reader.array(count, |reader| {
        read += 1;
        match read {
            1 => Ok([0; 512]),
            _ => Err(reader.error(What::Hollow)),
        }
    });
    assert!(array.is_err());
    let whole = Reader::new(&bytes).array(count, |reader| reader.unsigned().map(|_| [0_u64; 4]));
    assert_eq!(whole.unwrap().len(), 1000);
}

#[test]
fn elements_that_take_no_bytes_are_not_counted() {
    let nothing = |_: &mut Writer<'_>, _: &()| Ok(());
    written(|to| to.array(&[(); 0], 9, nothing)).unwrap();
    let error = written(|to| to.array(&[(); 1], 9, nothing)).unwrap_err();
    assert_eq!(error.what, What::Hollow);
    Reader::new(&[0; 4]).array(9, |_| Ok(())).unwrap();
    let error = Reader::new(&[0, 0, 0, 1]).array(9, |_| Ok(()));
    assert!(matches!(error.unwrap_err().what, What::Short { .. }));
    let error = Reader::new(&[0, 0, 0, 1, 0, 0, 0, 0]).array(9, |_| Ok(()));
    assert_eq!(error.unwrap_err().what, What::Hollow);
}

/// As many levels as `levels`, each a word.
fn descend(reader: &mut Reader<'_>, levels: u32) -> Result<u32, Error> {
    match levels {
        0 => Ok(0),
        _ => reader.nested(|reader| {
            reader.unsigned()?;
            Ok(1 + descend(reader, levels - 1)?)
        }),
    }
}

fn descend_writing(writer: &mut Writer<'_>, levels: u32) -> Result<(), Error> {
    match levels {
        0 => Ok(()),
        _ => writer.nested(|writer| {
            writer.unsigned(0);
            descend_writing(writer, levels - 1)
        }),
    }
}

#[test]
fn nesting_ends_at_its_limit() {
    assert_eq!(DEPTH_MAX, 200, "what the documentation says");
    let bytes = [0; 4 * (DEPTH_MAX as usize + 1)];
    let mut reader = Reader::new(&bytes);
    assert_eq!(descend(&mut reader, DEPTH_MAX), Ok(DEPTH_MAX));
    // What was left can be entered again.
    let mut reader = Reader::new(&bytes);
    assert_eq!(descend(&mut reader, 100), Ok(100));
    assert_eq!(descend(&mut reader, 101), Ok(101));
    let what = What::TooDeep { max: DEPTH_MAX };
    let at = 4 * DEPTH_MAX as usize;
    let error = Error { at, what };
    assert_eq!(descend(&mut Reader::new(&bytes), DEPTH_MAX + 1), Err(error));
    written(|to| descend_writing(to, DEPTH_MAX)).unwrap();
    let writing = written(|to| descend_writing(to, DEPTH_MAX + 1));
    assert_eq!(writing, Err(error));

    let limits = Limits {
        depth: 2,
        padding: Padding::Strict,
    };
    descend(&mut Reader::with_limits(&bytes, limits), 2).unwrap();
    let error = descend(&mut Reader::with_limits(&bytes, limits), 3).unwrap_err();
    assert_eq!(error.what, What::TooDeep { max: 2 });
}
