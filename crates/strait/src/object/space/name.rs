//! Names as NT allows them, and the file names they become.
//!
//! A name is any sequence of UTF-16 units but the backslash, 65,532 bytes at most; it is kept in
//! WTF-8, so that lone surrogates survive. `Local\` and `Global\` choose a namespace. Case counts.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Longest name in bytes of UTF-16 (two a unit).
pub const NAME_UTF16_MAX: usize = 65_532;
/// A key longer than this is a hash: file names end at 255 bytes.
const KEY_MAX: usize = 200;

/// Where a name leads by its prefix.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Prefix {
    None,
    Local,
    Global,
}

/// A checked name, without its prefix.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Name(Vec<u8>);

impl Name {
    /// From UTF-16, as Win32 callers hold names; lone surrogates are legal.
    ///
    /// # Errors
    /// As [`Name::parse`].
    pub fn from_utf16(units: &[u16]) -> Result<(Self, bool)> {
        let mut bytes = Vec::with_capacity(units.len());
        for unit in char::decode_utf16(units.iter().copied()) {
            match unit {
                Ok(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                // WTF-8: a lone surrogate takes the three bytes its number would take.
                Err(lone) => {
                    let unit = lone.unpaired_surrogate();
                    let [high, low] = unit.to_be_bytes();
                    bytes.push(0xe0 | high >> 4);
                    bytes.push(0x80 | (high & 0x0f) << 2 | low >> 6);
                    bytes.push(0x80 | low & 0x3f);
                }
            }
        }
        let (name, prefix) = Self::parse_bytes(&bytes)?;
        Ok((name, prefix == Prefix::Global))
    }

    /// Checks a name without a prefix.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if it is empty or longer than [`NAME_UTF16_MAX`];
    /// [`ErrorKind::PathNotFound`] if a backslash is in it.
    pub fn parse(text: &str) -> Result<Self> {
        Self::plain(text.as_bytes())
    }

    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<(Self, Prefix)> {
        let (prefix, rest) = if let Some(rest) = bytes.strip_prefix(br"Local\") {
            (Prefix::Local, rest)
        } else if let Some(rest) = bytes.strip_prefix(br"Global\") {
            (Prefix::Global, rest)
        } else {
            (Prefix::None, bytes)
        };
        Ok((Self::plain(rest)?, prefix))
    }

    fn plain(bytes: &[u8]) -> Result<Self> {
        let shown = || show(&bytes[..bytes.len().min(80)]);
        let invalid = |kind, why: &str| Err(Error::new(kind, "read name", shown()).because(why));
        if bytes.is_empty() {
            return invalid(ErrorKind::InvalidName, "it is empty");
        }
        if bytes.contains(&b'\\') {
            let why = r"a backslash may only follow Local or Global";
            return invalid(ErrorKind::PathNotFound, why);
        }
        if utf16_len(bytes) * 2 > NAME_UTF16_MAX {
            let why = "longer than 65,532 bytes of UTF-16";
            return invalid(ErrorKind::InvalidName, why);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The name of a pipe: a backslash is a character like others there.
    pub(crate) fn of_pipe(bytes: &[u8]) -> Result<Self> {
        let others: Vec<u8> = bytes
            .iter()
            .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
            .collect();
        Self::plain(&others)?;
        Ok(Self(bytes.to_vec()))
    }

    /// The name found in an object's header.
    pub(crate) fn from_header(bytes: &[u8]) -> Option<Self> {
        Self::plain(bytes).ok()
    }

    /// The bytes in WTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The file name: the name itself with what a file name cannot hold escaped, or, where that
    /// is too long, a hash. The two forms differ in their first letter.
    pub(crate) fn key(&self) -> String {
        if self.0.len() < KEY_MAX {
            let escaped = escape(&self.0);
            if escaped.len() < KEY_MAX {
                return format!("o{escaped}");
            }
        }
        self.hash()
    }

    pub(crate) fn hash(&self) -> String {
        let mut key = String::from("h");
        for byte in Sha256::digest(&self.0) {
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

/// A directory entry that is an object's.
pub(crate) fn is_key(entry: &str) -> bool {
    entry.starts_with(['o', 'h']) && entry.len() > 1
}

fn utf16_len(bytes: &[u8]) -> usize {
    // Every sequence is one unit, but for those of four bytes, which are two.
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
        + bytes.iter().filter(|byte| **byte >= 0xf0).count()
}

/// A name in a message: backslashes and quotes as they are, what a terminal would obey escaped.
fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        match letter {
            '\\' | '\'' | '"' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = show(&self.0[..self.0.len().min(120)]);
        f.write_str(&shown)?;
        if self.0.len() > 120 {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// Letters, digits and a few signs as they are, everything else as `%XX`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.+@~".contains(byte) {
            escaped.push(char::from(*byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

pub(crate) fn escape_path(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

/// The path that [`escape_path`] escaped; `None` for what it cannot have made.
pub(crate) fn unescape_path(escaped: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        // A sign would pass for a digit.
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|it| !it.starts_with('+'));
        bytes.push(u8::from_str_radix(digits?, 16).ok()?);
        rest = after;
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

/// A path as a message shows it.
pub(crate) fn show_path(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
