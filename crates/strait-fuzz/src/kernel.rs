//! What the kernel tells of others: addresses, signals, texts of `/proc`, and the environment.

use strait::kit;
use strait::unix::socket::Address;
use strait_sys::siginfo::Info;
use strait_sys::sockaddr::{self, Name};

/// A socket address, its family first.
pub(crate) fn sockaddr(data: &[u8]) {
    let raw = sockaddr::of_bytes(data);
    match sockaddr::decode(&raw) {
        Name::Path(path) => assert!(!path.contains(&0)),
        Name::Abstract(name) => assert!(name.len() <= data.len()),
        _ => {}
    }
    if let Some(address) = kit::address(&raw) {
        let shown = address.to_string();
        // Of paths that are no UTF-8 a part is lost where they are shown.
        let is_path = matches!(address, Address::Path(_));
        assert!(is_path || !shown.contains(char::is_control), "{shown:?}");
        if let Address::Abstract(name) = &address
            && name.len() <= sockaddr::UNIX_MAX
        {
            assert_eq!(shown.parse().ok(), Some(address));
        }
    }
}

/// What came with a signal.
pub(crate) fn siginfo(data: &[u8]) {
    let mut bytes = [0; 32];
    let len = data.len().min(bytes.len());
    bytes[..len].copy_from_slice(&data[..len]);
    let info = Info::of_bytes(&bytes);
    if let Ok(received) = kit::received(&info) {
        assert_eq!(received.signal.number(), info.number());
    }
}

/// What a parent wrote into the environment.
pub(crate) fn inherited(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(numbers) = kit::passed(text, "x") {
        let says = |number: &i32| text.contains(&number.unsigned_abs().to_string());
        assert!(numbers.iter().all(says), "{text:?}");
    }
}

/// `/proc/PID/status`, and lines of `/proc/sysvipc/msg`.
pub(crate) fn proc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = kit::status(&text);
    for line in text.lines() {
        let _ = kit::queue(line);
    }
}
