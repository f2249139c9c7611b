//! Generated types, written and read.

use strait_wire::xdr::{self, Decode, Encode, Error, Quadruple, Reader, What, Writer};

use crate::{borrowed, dialect, lists, names, types, unions};

/// What is written is read as the same value, and takes so many bytes.
fn round<T: Encode + for<'a> Decode<'a> + PartialEq + std::fmt::Debug>(value: &T, len: usize) {
    let bytes = xdr::to_vec(value).unwrap();
    assert_eq!(bytes.len(), len, "{value:?}");
    assert_eq!(&xdr::from_slice::<T>(&bytes).unwrap(), value);
    for short in 0..len {
        assert!(
            xdr::from_slice::<T>(&bytes[..short]).is_err(),
            "{value:?} cut at {short}"
        );
    }
}

fn refused<T: for<'a> Decode<'a> + std::fmt::Debug>(bytes: &[u8]) -> Error {
    xdr::from_slice::<T>(bytes).unwrap_err()
}

#[test]
fn every_type_goes_round() {
    let numbers = types::Numbers {
        a: -1,
        b: u32::MAX,
        c: i64::MIN,
        d: u64::MAX,
        e: 0.5,
        f: -2.25,
        g: Quadruple([7; 16]),
        h: true,
    };
    round(&numbers, 4 + 4 + 8 + 8 + 4 + 8 + 16 + 4);
    let bytes = types::Bytes {
        fixed: *b"12345",
        at_most: vec![1; 16],
        any: vec![],
        text: "häuser".into(),
        anything: String::new(),
    };
    round(&bytes, 8 + 20 + 4 + 12 + 4);
    round(&types::Empty {}, 0);
    round(&types::Holder::default(), 12);
    let arrays = types::Arrays {
        fixed: [1, 2, 3],
        wide: [u64::MAX, 0],
        at_most: vec![-5; 16],
        points: vec![types::Point { x: 1, y: 2 }],
        corners: [types::Point::default(), types::Point { x: 3, y: 4 }],
        palette: vec![types::Colour::Red, types::Colour::Blue],
        flags: vec![true, false],
        all: vec![numbers],
        key: [9; 40],
    };
    round(&arrays, 12 + 16 + 68 + 12 + 16 + 12 + 12 + 60 + 40);
    round(&types::Options::default(), 12);
    let options = types::Options {
        number: Some(5),
        place: Some(types::Point { x: 1, y: 2 }),
        paint: Some(types::Colour::Green),
    };
    round(&options, 8 + 12 + 8);
    let aliased = types::Aliased {
        one: 1,
        some: vec![1, 2],
        names: vec!["a".into(), "12345678".into()],
        name: "b".into(),
        sum: *b"0123",
        place: None,
        two: [types::Colour::Red; 2],
        perhaps: Some(3),
        sums: vec![[1; 4]],
    };
    round(&aliased, 4 + 12 + 24 + 8 + 4 + 4 + 8 + 8 + 8);
}

#[test]
fn constants_are_the_numbers_of_the_file() {
    assert_eq!(
        (types::LIMIT, types::HEX, types::OCTAL),
        (16_u32, u32::MAX, 0o755)
    );
    assert_eq!(
        (types::NEGATIVE, types::BIG, types::SMALL),
        (-7_i32, u64::MAX, i64::MIN)
    );
    assert_eq!(types::GREETING, "hello \"world\"");
    assert_eq!(dialect::Others::ALIAS_OF_SAME, dialect::Others::Same);
    assert_eq!(i32::from(dialect::Others::OctalTen), 10);
    assert_eq!(i32::from(dialect::Others::FromConst), 7);
    assert_eq!(
        dialect::Implicit::try_from(8),
        Ok(dialect::Implicit::Eighth)
    );
    assert_eq!(dialect::Implicit::try_from(9), Err(9));
    assert_eq!(dialect::NAME_LEN, 31);
}

#[test]
fn bounds_hold_in_both_directions() {
    let mut bytes = types::Bytes {
        at_most: vec![0; 17],
        ..types::Bytes::default()
    };
    let too_long = What::TooLong { len: 17, max: 16 };
    assert_eq!(xdr::to_vec(&bytes).unwrap_err().what, too_long);
    bytes.at_most.truncate(16);
    xdr::to_vec(&bytes).unwrap();
    let aliased = types::Aliased {
        one: 0,
        some: vec![],
        names: vec!["123456789".into()],
        name: String::new(),
        sum: [0; 4],
        place: None,
        two: [types::Colour::Red; 2],
        perhaps: None,
        sums: vec![],
    };
    let what = What::TooLong { len: 9, max: 8 };
    assert_eq!(
        xdr::to_vec(&aliased).unwrap_err().what,
        what,
        "the alias's own bound"
    );
    let mut reader = Reader::new(&[0, 0, 0, 9]);
    assert_eq!(types::decode_label(&mut reader).unwrap_err().what, what);
    let mut reader = Reader::new(&[0, 0, 0, 6]);
    let what = What::TooLong { len: 6, max: 5 };
    assert_eq!(types::decode_counters(&mut reader).unwrap_err().what, what);
}

#[test]
fn what_is_sent_as_int_is_held_to_its_range() {
    let mut old = dialect::CommonHolder {
        id: [0; 12],
        place: dialect::CommonHolderPlace {
            inside: 1,
            choice: dialect::CommonHolderPlaceChoice::Case3(
                dialect::CommonHolderPlaceChoiceTwoOrThree { deep: 5 },
            ),
        },
        side: dialect::CommonHolderSide::Right,
    };
    round(&old, 12 + 4 + 8 + 4);
    old.place.choice = dialect::CommonHolderPlaceChoice::Default(9);
    round(&old, 12 + 4 + 4 + 4);
    let bytes = [0, 0, 1, 0];
    let mut to = Vec::new();
    dialect::Typed { x: 256 }
        .encode(&mut Writer::new(&mut to))
        .unwrap();
    assert_eq!(to, bytes);
    let error = refused::<names::TryFrom>(&[0, 0, 0x80, 0]);
    let what = What::Range(0x8000);
    assert_eq!(error, Error { at: 0, what });
    assert_eq!(
        xdr::from_slice::<names::TryFrom>(&[0xff, 0xff, 0x80, 0]).unwrap(),
        names::TryFrom { value: i16::MIN }
    );
}

#[test]
fn an_enumeration_and_a_union_refuse_what_they_do_not_know() {
    let what = What::Enum(4);
    assert_eq!(
        refused::<types::Colour>(&[0, 0, 0, 4]),
        Error { at: 0, what }
    );
    let what = What::Arm(4);
    assert_eq!(
        refused::<unions::ByEnum>(&[0, 0, 0, 4]),
        Error { at: 0, what }
    );
    let what = What::Enum(9);
    assert_eq!(
        refused::<unions::ByDefault>(&[0, 0, 0, 9]),
        Error { at: 0, what }
    );
    let what = What::Bool(2);
    assert_eq!(
        refused::<unions::Perhaps>(&[0, 0, 0, 2]),
        Error { at: 0, what }
    );
    let what = What::Arm(1);
    assert_eq!(
        refused::<unions::OnlyFalse>(&[0, 0, 0, 1]),
        Error { at: 0, what }
    );
}

#[test]
fn every_kind_of_union_goes_round() {
    use unions::{ByDefault, ByEnum, ByInt, ByUnsigned, Kind, OnlyFalse, OnlyTrue, Perhaps};
    round(&ByEnum::KindNone, 4);
    round(&ByEnum::KindText("text".into()), 12);
    round(&ByEnum::KindMany(vec![1, 2]), 16);
    round(&unions::AllOfEnum::KindNone(3), 8);
    round(&unions::AllOfEnum::KindNumber(3), 8);
    round(&unions::AllOfEnum::KindLater, 4);
    round(&ByDefault::KindNumber(3), 12);
    round(&ByDefault::Default(Kind::KindLater, "why".into()), 12);
    round(&ByInt::Magic(*b"abc"), 8);
    round(&ByInt::CaseMinus1, 4);
    round(&ByInt::Case16(ByEnum::KindNumber(1)), 12);
    round(&ByInt::Default(5), 4);
    round(&ByUnsigned::Case4294967295(5), 8);
    round(&Perhaps::True(0.5), 12);
    round(&Perhaps::False, 4);
    round(&OnlyTrue::False, 4);
    round(&OnlyTrue::True(1), 8);
    round(&OnlyFalse::False(1), 8);
    assert_eq!(ByInt::Default(5).discriminant(), 5);
    assert_eq!(ByInt::CaseMinus1.discriminant(), -1);
    let lie = ByInt::Default(7);
    assert_eq!(xdr::to_vec(&lie).unwrap_err().what, What::Arm(7));
    let lie = ByDefault::Default(Kind::KindNumber, String::new());
    assert_eq!(xdr::to_vec(&lie).unwrap_err().what, What::Arm(1));
}

/// Words of which many are values of something: mostly small ones, which are flags, lengths and
/// cases too.
fn some_words(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let word = |number: u32| match number % 16 {
        0..=7 => 0,
        8..=12 => number >> 8 & 3,
        13 => number >> 8 & 15,
        14 => u32::from_be_bytes(*b"ab\0\0"),
        _ => number,
    };
    (0..200).flat_map(|_| word(next()).to_be_bytes()).collect()
}

/// What is read by each of these functions is written by the other as the same bytes.
macro_rules! read_and_written {
    ($($name:expr => $decode:expr, $encode:expr;)*) => {$(
        let mut read = 0;
        for seed in 0..3000 {
            let input = some_words(seed);
            let mut from = Reader::new(&input);
            if let Ok(value) = $decode(&mut from) {
                read += 1;
                let mut written = Vec::new();
                $encode(&value, &mut Writer::new(&mut written)).unwrap();
                assert_eq!(written, input[..from.position()], "{value:?}");
            }
        }
        assert!(read >= 10, "{} was read {read} times", $name);
    )*};
    (types $($of:ty)*) => {
        read_and_written!{$(stringify!($of) => <$of>::decode, <$of>::encode;)*}
    };
    (lists $($of:ty)*) => {
        read_and_written!{$(stringify!($of) => <$of>::decode_list, <$of>::encode_list;)*}
    };
}

#[test]
fn whatever_is_read_is_written_as_it_was() {
    read_and_written! { types
        types::Numbers types::Bytes types::Arrays types::Options types::Holder types::Aliased
        unions::ByEnum unions::AllOfEnum unions::ByDefault unions::ByInt unions::ByUnsigned
        unions::Perhaps unions::OnlyTrue unions::OnlyFalse
        lists::Chain lists::Tree lists::Forest lists::Ping lists::Expression
        dialect::Old dialect::CommonHolder dialect::Movement dialect::Typed
        borrowed::Item<'_> borrowed::Content<'_> borrowed::Branch<'_> borrowed::Plain
    }
    read_and_written! { lists
        lists::Node lists::MountBody lists::Group lists::Branch
        borrowed::Node<'_> borrowed::Pedigree<'_>
    }
}

#[test]
fn a_list_of_100_000_nodes_needs_no_stack() {
    const NODES: i32 = 100_000;
    let work = || {
        let list: Vec<lists::Node> = (0..NODES).map(|number| lists::Node { number }).collect();
        let mut bytes = Vec::new();
        lists::encode_nodes(&list, &mut Writer::new(&mut bytes)).unwrap();
        assert_eq!(bytes.len(), 100_000 * 8 + 4);
        let mut from = Reader::new(&bytes);
        let read = lists::decode_nodes(&mut from).unwrap();
        from.finish().unwrap();
        assert_eq!(read, list);
        let copy = read.clone();
        drop((list, read));
        // Lent, too: each node has a part of no bytes.
        let bytes = [&[0, 0, 0, 1, 0, 0, 0, 0].repeat(100_000)[..], &[0; 4]].concat();
        let mut from = Reader::new(&bytes);
        let lent = borrowed::decode_nodes(&mut from).unwrap();
        from.finish().unwrap();
        assert_eq!(lent.len(), 100_000);
        assert_eq!(copy.len(), 100_000);
        assert!(format!("{copy:?}").len() > 100_000);
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn what_contains_itself_goes_round_down_to_the_limit() {
    let mut tree = lists::Tree::default();
    for value in 0..199 {
        let (left, right_hand) = (Some(Box::new(tree)), None);
        tree = lists::Tree {
            value,
            left,
            right_hand,
            weight: 1,
        };
    }
    round_once(&tree);
    let deeper = lists::Tree {
        left: Some(Box::new(tree)),
        ..lists::Tree::default()
    };
    assert_eq!(
        xdr::to_vec(&deeper).unwrap_err().what,
        What::TooDeep { max: 200 }
    );
    // A flag, a value, and on to the left, a thousand times.
    let bytes = [0, 0, 0, 5, 0, 0, 0, 1].repeat(1000);
    assert_eq!(
        refused::<lists::Tree>(&bytes).what,
        What::TooDeep { max: 200 }
    );
    let expression = |left| {
        lists::Expression::Case1(Some(Box::new(lists::Pair {
            left,
            right: lists::Expression::Case0(7),
        })))
    };
    round_once(&expression(expression(lists::Expression::Case1(None))));
    let ping = lists::Ping {
        count: 1,
        other: Some(Box::new(lists::Pong {
            other: None,
            last: true,
        })),
    };
    round_once(&ping);
    let forest = lists::Forest {
        trees: vec![lists::Forest::default(), lists::Forest::default()],
    };
    round_once(&forest);
}

fn round_once<T: Encode + for<'a> Decode<'a> + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = xdr::to_vec(value).unwrap();
    assert_eq!(&xdr::from_slice::<T>(&bytes).unwrap(), value);
}

#[test]
fn lists_of_lists_and_chains_go_round() {
    let node = |number| lists::Node { number };
    let chain = lists::Chain {
        length: 2,
        links: (node(1), vec![node(2)]),
    };
    round(&chain, 4 + 4 + 4 + 4 + 4);
    let group = |name: &str, members| lists::Group {
        name: name.into(),
        members,
    };
    let groups = [group("a", vec![node(1), node(2)]), group("b", vec![])];
    let mut bytes = Vec::new();
    lists::Group::encode_list(&groups, &mut Writer::new(&mut bytes)).unwrap();
    let read = lists::Group::decode_list(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(read, groups);
    let leaf = lists::Branch {
        name: "leaf".into(),
        children: vec![],
    };
    let branch = lists::Branch {
        name: "branch".into(),
        children: vec![leaf.clone(), leaf],
    };
    let mut bytes = Vec::new();
    let both = std::slice::from_ref(&branch);
    lists::Branch::encode_list(both, &mut Writer::new(&mut bytes)).unwrap();
    let read = lists::Branch::decode_list(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(read, [branch]);
    let hosts = [lists::MountBody {
        host: "h".into(),
        directory: "/d".into(),
    }];
    let mut bytes = Vec::new();
    lists::encode_mount_list(&hosts, &mut Writer::new(&mut bytes)).unwrap();
    assert_eq!(
        lists::decode_mount_list(&mut Reader::new(&bytes)).unwrap(),
        hosts
    );
}
