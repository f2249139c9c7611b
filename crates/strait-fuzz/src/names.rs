//! Names and addresses in words.

use strait::unix::ipc::Key;
use strait::unix::mqueue::Queue;
use strait::unix::signal::Signal;
use strait::unix::socket::Address;
use strait::{ErrorKind, NAME_UTF16_MAX, Name};

/// An address as a person writes it.
pub(crate) fn address(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse::<Address>().ok(), Some(address));
    }
}

/// Names of NT objects, POSIX queues, System V keys and signals.
pub(crate) fn name(data: &[u8]) {
    let (pairs, _) = data.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().copied().map(u16::from_le_bytes).collect();
    if let Ok((name, _)) = Name::from_utf16(&units) {
        assert!(name.as_bytes().len() <= NAME_UTF16_MAX / 2 * 3);
        assert!(!name.to_string().contains(char::is_control), "{name}");
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(name) = Name::parse(text) {
        assert_eq!(name.as_bytes(), data);
    }
    assert!(!Key::derive(text).is_private());
    if let Ok(signal) = text.parse::<Signal>() {
        assert_eq!(signal.to_string().parse(), Ok(signal));
    }
    // A queue of that name is not there, or is not touched.
    if let Err(error) = Queue::open(text) {
        assert_ne!(error.kind(), ErrorKind::InvalidInput, "{text:?}: {error}");
    }
}
