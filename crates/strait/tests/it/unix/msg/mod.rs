//! System V message queues between processes.

mod errors;
mod peers;
mod trade;
mod waits;

use std::ops::Deref;

use strait::unix::ipc::Key;
use strait::unix::msg::{Message, Queue, Select};

use crate::peer::{Peer, Role};
use crate::world::until;

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("msg.worker", peers::worker),
    ("msg.birth", peers::birth),
    ("msg.racer", peers::racer),
    ("msg.stranger", errors::stranger),
    ("msg.owner", errors::owner),
    ("msg.long", errors::long),
    ("msg.blind", errors::blind),
];

/// A queue without a key that goes with the value, also when the test fails.
struct Gone(Queue);

impl Gone {
    fn new() -> Self {
        Self(Queue::create(Key::PRIVATE, 0o600).unwrap())
    }

    /// With room for so many bytes.
    fn of_bytes(bytes: u64) -> Self {
        let queue = Self::new();
        queue.set_bytes_max(bytes).unwrap();
        queue
    }

    fn worker(&self) -> Peer {
        Peer::start("msg.worker", &[&self.id().to_string()])
    }

    /// What is in it, untouched.
    fn texts(&self) -> Vec<String> {
        self.peek().map(|message| text(&message.unwrap())).collect()
    }
}

impl Deref for Gone {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.0.remove();
    }
}

/// A message as the worker says it: type and text.
fn text(message: &Message) -> String {
    let bytes = String::from_utf8_lossy(&message.bytes);
    format!("{} {bytes}", message.kind)
}

/// The numbers of msgsnd(2) and msgrcv(2).
#[cfg(target_arch = "x86_64")]
const CALLS: [&str; 2] = ["69", "70"];
#[cfg(target_arch = "aarch64")]
const CALLS: [&str; 2] = ["189", "188"];

/// Waits until a thread of the process sleeps in msgsnd or msgrcv.
pub(crate) fn until_blocked(peer: &Peer) {
    let tasks = format!("/proc/{}/task", peer.child.id());
    until("it sleeps in the queue", || {
        let threads = std::fs::read_dir(&tasks).unwrap();
        threads.flatten().any(|thread| {
            let call = std::fs::read_to_string(thread.path().join("syscall"));
            call.is_ok_and(|call| CALLS.iter().any(|number| call.starts_with(number)))
        })
    });
}

fn select(word: &str, number: Option<&str>) -> Select {
    let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
    match word {
        "type" => Select::Type(number),
        "lowest" => Select::Lowest(number),
        "except" => Select::Except(number),
        _ => Select::Any,
    }
}
