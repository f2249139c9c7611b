//! Who is there, on a kernel before 6.5, which names no process by a descriptor.

use std::time::Duration;

use strait::unix::socket::{Listener, PassCredentials, PassProcess, Received, Seqpacket};
use strait::{ErrorKind, wait};
use strait_sys::{Errno, seccomp};

use super::unique;
use crate::peer::{Peer, command, say};
use crate::world::{GUARD, refused};

/// Accepts a speaker and says how that went.
pub(super) fn kernel(_: &[String]) {
    seccomp::deny_socket_options(&seccomp::PIDFD_OPTIONS, Errno::NOPROTOOPT).unwrap();
    let at = unique("old");
    let listener = Listener::listen(&at).unwrap();
    let mut peer = Peer::start("socket.sender", &[&at.to_string()]);
    let socket: Seqpacket = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(peer.hear().unwrap(), std::process::id().to_string());
    socket.set(PassCredentials(true)).unwrap();
    let error = refused(socket.set(PassProcess(true)), ErrorKind::Unsupported);
    assert!(error.to_string().contains("SO_PASSPIDFD"), "{error}");
    let mut beside = Received::new(0);
    for text in ["silent", "said"] {
        let mut buffer = [0; 16];
        let came = socket.recv_message(&mut buffer, &mut beside).unwrap();
        assert_eq!(&buffer[..came.len], text.as_bytes());
        assert!(beside.process().is_none());
    }
    // Its id is told all the same, and leads to the process as long as that is not waited for.
    assert_eq!(beside.sender().unwrap().pid, peer.child.id());
    let process = socket.peer_process().unwrap();
    assert!(!process.is_exact());
    let now = Duration::ZERO;
    assert!(wait::any_for(&[&process], now).unwrap().is_none());
    peer.kill();
    assert!(wait::any_for(&[&process], GUARD).unwrap().is_some());
    // Now nobody has the id; unless it was given out again, and then it says that it may be wrong.
    match socket.peer_process() {
        Ok(process) => assert!(!process.is_exact()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
    }
    say("as documented");
}

#[test]
fn without_pidfds_from_the_kernel_a_peer_is_looked_up_by_its_id() {
    let mut old = Peer::of(&mut command("socket.old_kernel", &[]));
    assert_eq!(old.hear().as_deref(), Some("as documented"));
}
