//! The command line: what a person, or a script, writes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use strait_cli::written;

/// The longest time that the command takes, 2^64 nanoseconds, rounded down.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// One word: objects, keys, durations, sizes, and what a terminal is shown of it.
pub(crate) fn grammar(data: &[u8]) {
    let shown = written::shown(data);
    assert!(!shown.contains(char::is_control), "{shown:?}");
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let _ = written::is_object(text);
    if let Some(key) = written::key(text) {
        assert_eq!(written::key(&key), Some(key.clone()), "{text:?}");
    }
    if let Some(duration) = written::duration(text) {
        assert!(duration <= LONGEST, "{text:?}");
    }
    if let Some(size) = written::size(text) {
        assert_eq!(written::size(&size.to_string()), Some(size), "{text:?}");
    }
    assert!(written::quoted(text).len() >= text.len());
    for address in written::sockets(text) {
        assert!(text.contains(address));
    }
}

/// A whole command line, a word on each line. Verbs are understood, not run.
pub(crate) fn line(data: &[u8]) {
    let words = data.split(|byte| *byte == b'\n').take(WORDS_MAX);
    let words = words.map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<_> = std::iter::once("strait".into()).chain(words).collect();
    match written::line(&words) {
        Ok(verb) => assert!(!verb.is_empty()),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// Enough for every verb.
const WORDS_MAX: usize = 24;
