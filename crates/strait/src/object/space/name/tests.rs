//! Tests of the module above.

use proptest::prelude::*;

use super::*;

#[test]
fn what_nt_allows_is_a_name_and_what_it_forbids_is_not() {
    for good in [
        "job-done",
        "C:/tmp/x",
        "a b",
        "*?<>|\"",
        "\0",
        "é",
        "..",
        ".",
        "x\u{10ffff}",
    ] {
        assert!(Name::parse(good).is_ok(), "{good:?}");
    }
    let kind = |text: &str| Name::parse(text).unwrap_err().kind();
    assert_eq!(kind(""), ErrorKind::InvalidName);
    assert_eq!(kind(r"a\b"), ErrorKind::PathNotFound);
    assert!(Name::parse(&"x".repeat(32_766)).is_ok());
    assert_eq!(kind(&"x".repeat(32_767)), ErrorKind::InvalidName);
    assert!(Name::parse(&"\u{10000}".repeat(16_383)).is_ok());
    assert_eq!(kind(&"\u{10000}".repeat(16_384)), ErrorKind::InvalidName);
}

#[test]
fn prefixes_choose_a_namespace_and_are_no_part_of_the_name() {
    let parse = |text: &str| Name::parse_bytes(text.as_bytes());
    assert_eq!(
        parse(r"Global\x").unwrap(),
        (Name::parse("x").unwrap(), Prefix::Global)
    );
    assert_eq!(
        parse(r"Local\x").unwrap(),
        (Name::parse("x").unwrap(), Prefix::Local)
    );
    assert_eq!(
        parse("x").unwrap(),
        (Name::parse("x").unwrap(), Prefix::None)
    );
    assert_eq!(
        parse(r"Local\Global\x").unwrap_err().kind(),
        ErrorKind::PathNotFound
    );
    assert_eq!(
        parse(r"Global\").unwrap_err().kind(),
        ErrorKind::InvalidName
    );
}

#[test]
fn lone_surrogates_survive_and_pairs_become_one() {
    let (lone, _) = Name::from_utf16(&[0xd800, 0x41]).unwrap();
    assert_eq!(lone.as_bytes(), [0xed, 0xa0, 0x80, 0x41]);
    let (pair, _) = Name::from_utf16(&[0xd83d, 0xde00]).unwrap();
    assert_eq!(pair.as_bytes(), "😀".as_bytes());
    assert!(Name::from_utf16(&[0xdc00; 32_766]).is_ok());
    assert!(Name::from_utf16(&[0xdc00; 32_767]).is_err());
}

#[test]
fn keys_are_file_names_and_no_two_names_share_one() {
    let long = "x".repeat(300);
    let names = [
        "x", "X", "%78", "o", "ox", "h", "a/b", "a%2Fb", "\0", "%00", ".", "..", &long,
    ];
    let keys: Vec<_> = names
        .iter()
        .map(|name| Name::parse(name).unwrap().key())
        .collect();
    for (index, key) in keys.iter().enumerate() {
        assert!(is_key(key) && key.len() <= 210, "{key}");
        assert!(!key.contains(['/', '\0']), "{key}");
        assert!(!keys[..index].contains(key), "{key}");
    }
    assert_eq!(keys[0], "ox");
    assert_eq!(keys[2], "o%2578");
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
    fn what_is_escaped_is_unescaped(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let escaped = escape(&bytes);
        prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        let path = unescape_path(&escaped);
        prop_assert_eq!(path.map(|path| path.as_os_str().as_bytes().to_vec()), Some(bytes));
    }

    #[test]
    fn nothing_that_looks_escaped_makes_unescaping_panic(text in "[%a-fA-F0-9é]{0,40}") {
        let _ = unescape_path(&text);
    }

    #[test]
    fn a_sign_is_no_digit(digit in "[0-9A-F]") {
        prop_assert_eq!(unescape_path(&format!("%+{digit}")), None);
    }

    #[test]
    fn any_utf16_is_a_name_or_an_error(
        units in proptest::collection::vec(
            prop_oneof![any::<u16>(), 0xd7f0..0xe010_u16, Just(0x5c)], 0..80,
        ),
    ) {
        let plain = !units.is_empty() && !units.contains(&0x5c);
        match Name::from_utf16(&units) {
            Err(_) => prop_assert!(!plain),
            Ok((name, _)) => {
                prop_assert_eq!(utf16_len(name.as_bytes()), units.len());
                let key = name.key();
                prop_assert!(is_key(&key) && key.len() <= 210 && !key.contains(['/', '\0']));
            }
        }
    }

    #[test]
    fn two_names_never_share_a_key(
        one in "[ -\\[\\]-~é%.]{1,210}", change in 0..210_usize, with in "[ -\\[\\]-~é%.]",
    ) {
        let mut other: Vec<char> = one.chars().collect();
        let at = change % other.len();
        other[at] = with.chars().next().unwrap();
        let other: String = other.into_iter().collect();
        let keys = [&one, &other].map(|name| Name::parse(name).unwrap().key());
        prop_assert_eq!(keys[0] == keys[1], one == other);
    }
}
