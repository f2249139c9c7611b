//! Which System V object is meant: a key in one of its forms, or the kernel's number.
//!
//! | written | means |
//! | --- | --- |
//! | `0x5100`, `20736` | the object with this key, as `ipcs` shows it |
//! | `/srv/orders:1`, `/srv/orders:A` | the key that `ftok(3)` makes of the path and the project |
//! | `name:orders` | the key that Strait derives from this name |
//! | `id:32769` | the object with this number, whatever its key |
//! | `private` | a new object without a key, for `create` alone |

use std::fmt;
use std::num::NonZeroU8;
use std::path::PathBuf;

use strait::unix::ipc::Key;

use crate::failure::Failure;

/// What was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// A key as a number; never private.
    Key(Key),
    /// A file and a project, for `ftok(3)`.
    Path(PathBuf, NonZeroU8),
    /// A name from which a key is derived.
    Name(String),
    /// The kernel's number.
    Id(i32),
    /// No key: `IPC_PRIVATE`.
    Private,
}

/// Reads one; for the command line's parser.
pub(crate) fn read(text: &str) -> Result<Written, String> {
    if text == "private" {
        return Ok(Written::Private);
    }
    if let Some(name) = text.strip_prefix("name:") {
        return match name {
            "" => Err("write name:NAME".into()),
            name => Ok(Written::Name(name.into())),
        };
    }
    if let Some(id) = text.strip_prefix("id:") {
        return match id.parse() {
            Ok(id) if id >= 0 => Ok(Written::Id(id)),
            _ => Err("write id:N with the number that `list` shows".into()),
        };
    }
    if let Some((path, project)) = text.rsplit_once(':') {
        return match project_of(project) {
            Some(project) if !path.is_empty() => Ok(Written::Path(path.into(), project)),
            _ => Err("write PATH:PROJECT with a project of 1 to 255, or one character".into()),
        };
    }
    match number(text) {
        Some(key) if key.is_private() => {
            Err("key 0 is no key: `create private` makes an object without one".into())
        }
        Some(key) => Ok(Written::Key(key)),
        None => Err(
            "write a key, such as 0x5100, PATH:PROJECT or name:NAME, or the kernel's number as \
             id:N"
                .into(),
        ),
    }
}

/// A key is 32 bits, which some show with a sign and some without.
fn number(text: &str) -> Option<Key> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let digits = Some(digits).filter(|digits| !digits.starts_with('+'))?;
        return u32::from_str_radix(digits, 16).ok().map(Key::new);
    }
    let signed = text.parse::<i32>().ok().map(i32::cast_unsigned);
    signed.or_else(|| text.parse().ok()).map(Key::new)
}

/// Digits are a number, any other single character is itself, as C programs write `'A'`.
fn project_of(text: &str) -> Option<NonZeroU8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() && !byte.is_ascii_digit() => NonZeroU8::new(*byte),
        _ => text.parse().ok(),
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Path(path, project) => write!(f, "{}:{project}", path.display()),
            Self::Name(name) => write!(f, "name:{name}"),
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Private => f.write_str("private"),
        }
    }
}

impl Written {
    /// The key to make an object with.
    pub(crate) fn key(&self) -> Result<Key, Failure> {
        match self {
            Self::Key(key) => Ok(*key),
            Self::Path(path, project) => Key::from_path(path, *project).map_err(Failure::of),
            Self::Name(name) => Ok(Key::derive(name)),
            Self::Id(_) => Err(Failure::new(format!(
                "{self}: the kernel chooses the number; write a key, or private"
            ))),
            Self::Private => Ok(Key::PRIVATE),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_written() -> impl Strategy<Value = Written> {
        prop_oneof![
            (1..=u32::MAX).prop_map(|key| Written::Key(Key::new(key))),
            ("[^\0]{1,9}(:[a-z]?)?", any::<NonZeroU8>())
                .prop_filter("other forms", |(path, _)| {
                    !path.starts_with("name:") && !path.starts_with("id:")
                })
                .prop_map(|(path, project)| Written::Path(path.into(), project)),
            ".{1,20}".prop_map(Written::Name),
            (0..=i32::MAX).prop_map(Written::Id),
            Just(Written::Private),
        ]
    }

    proptest! {
        #[test]
        fn every_form_is_read_back(written in any_written()) {
            prop_assert_eq!(read(&written.to_string()), Ok(written));
        }

        #[test]
        fn any_text_is_a_form_or_refused(text in "(name:|id:|0x|/)?[-+:0-9a-zé]{0,12}") {
            if let Ok(written) = read(&text) {
                prop_assert_eq!(read(&written.to_string()), Ok(written));
            }
        }
    }

    #[test]
    fn keys_have_several_forms() {
        let key = |number| Ok(Written::Key(Key::new(number)));
        assert_eq!(read("0x5100"), key(0x5100));
        assert_eq!(read("0xffffffff"), key(0xffff_ffff));
        assert_eq!(read("20736"), key(0x5100));
        assert_eq!(read("-5"), key(0xffff_fffb));
        assert_eq!(read("4294967291"), key(0xffff_fffb));
        assert_eq!(read("id:32769"), Ok(Written::Id(32_769)));
        assert_eq!(read("id:0"), Ok(Written::Id(0)));
        assert_eq!(read("name:a:b"), Ok(Written::Name("a:b".into())));
        assert_eq!(read("private"), Ok(Written::Private));
        let project = |number| NonZeroU8::new(number).unwrap();
        let path = |number| Ok(Written::Path("/srv/a:b".into(), project(number)));
        assert_eq!(read("/srv/a:b:1"), path(1));
        assert_eq!(read("/srv/a:b:255"), path(255));
        assert_eq!(read("/srv/a:b:A"), path(b'A'));
        assert_eq!(
            read("here:x"),
            Ok(Written::Path("here".into(), project(b'x')))
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in [
            "",
            "0",
            "0x0",
            "0x",
            "0x+5",
            "0x100000000",
            "4294967296",
            "-2147483649",
            "orders",
            "id:",
            "id:-1",
            "id:x",
            "name:",
            "/srv/orders",
            "/srv/orders:",
            "/srv/orders:0",
            "/srv/orders:256",
            "/srv/orders:AB",
            ":1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
