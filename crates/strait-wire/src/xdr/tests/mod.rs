//! Tests of XDR: RFC 4506's own picture of each type, the limits, and any values and any bytes.

mod any;
mod limits;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Debug;

use super::{DecodeOwned, Encode, Error, Limits, Padding, Quadruple, Reader, What, Writer};
use super::{from_slice, to_vec};

/// What `write` writes.
fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes))?;
    Ok(bytes)
}

fn both_ways<T: Encode + DecodeOwned + Debug + PartialEq>(value: T, bytes: &[u8]) {
    assert_eq!(to_vec(&value).unwrap(), bytes, "{value:?} is written");
    assert_eq!(
        from_slice::<T>(bytes).unwrap(),
        value,
        "{bytes:02x?} is read"
    );
    for end in 0..bytes.len() {
        let error = from_slice::<T>(&bytes[..end]).unwrap_err();
        assert!(matches!(error.what, What::Short { .. }), "{error}");
    }
    let longer = [bytes, &[0]].concat();
    let what = What::Trailing { left: 1 };
    let at = bytes.len();
    assert_eq!(from_slice::<T>(&longer), Err(Error { at, what }));
}

#[test]
fn numbers_are_big_endian() {
    both_ways((), &[]);
    both_ways(-2_i32, &[0xff, 0xff, 0xff, 0xfe]);
    both_ways(i32::MIN, &[0x80, 0, 0, 0]);
    both_ways(u32::MAX - 1, &[0xff, 0xff, 0xff, 0xfe]);
    both_ways(-2_i64, &[255, 255, 255, 255, 255, 255, 255, 254]);
    both_ways(0x0102_0304_0506_0708_u64, &[1, 2, 3, 4, 5, 6, 7, 8]);
    both_ways(1.5_f32, &[0x3f, 0xc0, 0, 0]);
    both_ways(-0.0_f64, &[0x80, 0, 0, 0, 0, 0, 0, 0]);
    let bytes = core::array::from_fn(|i| u8::try_from(i).unwrap());
    both_ways(Quadruple(bytes), &bytes);
    both_ways(true, &[0, 0, 0, 1]);
    both_ways(false, &[0; 4]);
}

#[test]
fn not_a_number_keeps_its_bits() {
    for bits in [0x7fc0_1234, 0x7f80_0001, 0xffff_ffff_u32] {
        let read: f32 = from_slice(&bits.to_be_bytes()).unwrap();
        assert_eq!(to_vec(&read).unwrap(), bits.to_be_bytes());
    }
}

#[test]
fn optional_data_is_a_bool_and_perhaps_a_value() {
    both_ways(None::<u32>, &[0; 4]);
    both_ways(Some(7_u32), &[0, 0, 0, 1, 0, 0, 0, 7]);
    both_ways(Some(Box::new(7_u32)), &[0, 0, 0, 1, 0, 0, 0, 7]);
    both_ways(Some(()), &[0, 0, 0, 1]);
}

#[test]
fn a_bool_is_0_or_1() {
    for word in [2, 0x0100_0000, u32::MAX] {
        let bytes = [[0; 4], word.to_be_bytes()].concat();
        let mut reader = Reader::new(&bytes);
        reader.unsigned().unwrap();
        let error = reader.boolean().unwrap_err();
        assert_eq!((error.at, error.what), (4, What::Bool(word)));
    }
}

/// RFC 4506 sections 4.9 to 4.11: length, bytes, zero up to a multiple of four.
#[test]
fn opaque_and_strings_are_filled_up_with_zero() {
    for (text, bytes) in [
        ("", &b"\0\0\0\0"[..]),
        ("a", b"\0\0\0\x01a\0\0\0"),
        ("ab", b"\0\0\0\x02ab\0\0"),
        ("abc", b"\0\0\0\x03abc\0"),
        ("abcd", b"\0\0\0\x04abcd"),
        ("é", b"\0\0\0\x02\xc3\xa9\0\0"),
    ] {
        assert_eq!(written(|to| to.string(text, 4)).unwrap(), bytes);
        assert_eq!(
            written(|to| to.string_bytes(text.as_bytes(), 4)).unwrap(),
            bytes
        );
        assert_eq!(written(|to| to.opaque(text.as_bytes(), 4)).unwrap(), bytes);
        let fixed = written(|to| {
            to.opaque_fixed(text.as_bytes());
            Ok(())
        });
        assert_eq!(fixed.unwrap(), bytes[4..]);

        let mut reader = Reader::new(bytes);
        assert_eq!(reader.string(4).unwrap(), text);
        reader.finish().unwrap();
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.string_bytes(4).unwrap(), text.as_bytes());
        let mut reader = Reader::new(&bytes[4..]);
        assert_eq!(reader.opaque_fixed(text.len()).unwrap(), text.as_bytes());
        reader.finish().unwrap();
    }
    let mut reader = Reader::new(b"abcde\0\0\0");
    assert_eq!(reader.opaque_array::<5>().unwrap(), *b"abcde");
    reader.finish().unwrap();
}

#[test]
fn opaque_is_lent_and_not_copied() {
    let bytes = written(|to| to.opaque(b"lent", 4)).unwrap();
    let lent = Reader::new(&bytes).opaque(4).unwrap();
    assert_eq!(lent.as_ptr(), bytes[4..].as_ptr());
}

#[test]
fn padding_is_zero_unless_leniency_was_asked_for() {
    let lenient = Limits {
        padding: Padding::Lenient,
        ..Limits::default()
    };
    for i in 5..8 {
        let mut bytes = *b"\0\0\0\x01a\0\0\0";
        bytes[i] = 1;
        let error = Reader::new(&bytes).opaque(1).unwrap_err();
        assert_eq!((error.at, error.what), (i, What::Padding));
        let mut reader = Reader::with_limits(&bytes, lenient);
        assert_eq!(reader.opaque(1).unwrap(), b"a");
        reader.finish().unwrap();
    }
}

#[test]
fn a_string_is_utf_8_and_the_error_says_where_it_is_not() {
    let bytes = written(|to| to.string_bytes(b"ab\xff", 3)).unwrap();
    let error = Reader::new(&bytes).string(3).unwrap_err();
    assert_eq!((error.at, error.what), (6, What::Utf8));
}

#[test]
fn arrays_have_a_count_unless_they_are_fixed() {
    let bytes = [0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8];
    let each = |to: &mut Writer<'_>, number: &u32| number.encode(to);
    assert_eq!(written(|to| to.array(&[7, 8], 2, each)).unwrap(), bytes);
    assert_eq!(written(|to| to.numbers(&[7_u32, 8], 2)).unwrap(), bytes);
    assert_eq!(
        written(|to| to.array_fixed(&[7, 8], each)).unwrap(),
        bytes[4..]
    );
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.array(2, Reader::unsigned).unwrap(), [7, 8]);
    reader.finish().unwrap();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.numbers::<u32>(2).unwrap(), [7, 8]);
    reader.finish().unwrap();
    let mut reader = Reader::new(&bytes[4..]);
    assert_eq!(reader.array_fixed(Reader::unsigned).unwrap(), [7, 8]);
    reader.finish().unwrap();
    let error = Reader::new(&bytes[4..]).array_fixed::<_, 3>(Reader::unsigned);
    assert_eq!(error.unwrap_err().at, 8);
}

#[test]
fn a_list_is_read_and_written_in_a_loop() {
    let nodes: Vec<u32> = (0..100_000).collect();
    let bytes = written(|to| {
        to.list(&nodes, |to, node| {
            to.unsigned(*node);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(bytes.len(), 8 * nodes.len() + 4);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.list(Reader::unsigned).unwrap(), nodes);
    reader.finish().unwrap();
}

#[test]
fn a_writer_keeps_what_was_there_and_counts_its_own() {
    let mut bytes = vec![9];
    let mut writer = Writer::new(&mut bytes);
    writer.int(1);
    assert_eq!(writer.position(), 4);
    let error = writer.opaque(b"ab", 1).unwrap_err();
    assert_eq!(
        (error.at, error.what),
        (4, What::TooLong { len: 2, max: 1 })
    );
    assert_eq!(bytes, [9, 0, 0, 0, 1]);
}

#[test]
fn errors_say_where_and_what() {
    let error = Reader::new(&[0, 0, 0, 9]).opaque(8).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 0: length 9 is above the bound 8"
    );
    let error = Reader::new(&[0; 3]).hyper().unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 0: the value takes at least 8 bytes and 3 are left"
    );
}
