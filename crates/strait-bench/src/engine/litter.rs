//! What a row may leave behind, and its removal.
//!
//! A row knows the System V keys and the directory of its mechanisms before they are opened, so
//! whoever survives can remove what they made: the supervisor when a side dies, a side when the
//! supervisor does.

use std::ffi::CString;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use strait_sys::{mqueue, sysv_msg, sysv_sem, sysv_shm};

use crate::raw;

/// How often a directory is removed, and how long after one another: both sides may be at it, and
/// what they have started may still make files.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// Removes everything with these keys and everything in `place`.
pub(crate) fn sweep(key: i32, keys: usize, place: &Path) {
    for key in (key..).take(keys) {
        // What is not there needs no removal, and nobody is left to hear of what cannot be removed.
        if let Ok(queue) = sysv_msg::Queue::open(key) {
            let _ = queue.remove();
        }
        if let Ok(set) = sysv_sem::Set::open(key) {
            let _ = set.remove();
        }
        if let Ok(segment) = sysv_shm::Segment::open(key) {
            let _ = segment.remove();
        }
        for name in raw::mqueue_names(key)
            .into_iter()
            .filter_map(|name| CString::new(name).ok())
        {
            let _ = mqueue::unlink(&name);
        }
    }
    for _ in 0..ATTEMPTS {
        match std::fs::remove_dir_all(place) {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            // sleep: nothing tells when the others are done
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
