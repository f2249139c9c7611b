//! Pipes and fork: a child leaves its parent's ends alone.

use strait::nt::pipe::{self, ReadMode};

use super::*;
use crate::nt::lpc::forked::in_a_child;
use crate::peer::Peer;
use crate::world::{alone, refused};

fn a_child_is_refused() {
    let space = space();
    let options = server(&space).message().read_mode(ReadMode::Message);
    let server = options.create().unwrap();
    let mut peer = Peer::start("nt.pipe.client", &[space.path().to_str().unwrap()]);
    let session = server.connect().unwrap();
    peer.hear().unwrap();
    let (reader, writer) = pipe::anonymous(0).unwrap();
    writer.write(b"parent's").unwrap();
    assert_eq!(peer.ask("write first"), "5");
    assert_eq!(peer.ask("mode message"), "message");
    let mut held = Some((session, reader, writer));
    in_a_child(|| {
        let (session, reader, writer) = held.take().unwrap();
        let mut buffer = [0; 9];
        let kind = ErrorKind::Unsupported;
        refused(session.read(&mut buffer), kind);
        refused(session.write(b"child's"), kind);
        refused(session.peek(&mut buffer), kind);
        refused(session.flush(), kind);
        refused(session.transact(b"child's", &mut buffer), kind);
        refused(session.read_overlapped(vec![0; 9]), kind);
        refused(session.write_overlapped(vec![0; 9]), kind);
        refused(reader.read(&mut buffer), kind);
        refused(writer.write(b"child's"), kind);
        // What it drops is its parent's still.
    });
    let (session, reader, writer) = held.as_mut().unwrap();
    let mut buffer = [0; 64];
    assert_eq!(session.read(&mut buffer).unwrap().len, 5);
    assert_eq!(&buffer[..5], b"first");
    peer.tell("call again");
    assert_eq!(session.read(&mut buffer).unwrap().len, 5);
    session.write(b"and back").unwrap();
    assert_eq!(peer.hear().as_deref(), Some("and back"));
    assert_eq!(reader.read(&mut buffer).unwrap(), 8);
    assert_eq!(&buffer[..8], b"parent's");
    assert_eq!(writer.write(b"on").unwrap(), 2);
    assert_eq!(reader.read(&mut buffer).unwrap(), 2);
}

#[test]
fn a_child_of_a_fork_is_refused_and_takes_nothing() {
    const TEST: &str = "nt::pipe::forked::a_child_of_a_fork_is_refused_and_takes_nothing";
    alone(TEST, a_child_is_refused);
}
