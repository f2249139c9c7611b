//! What a peer can say of handles that is not so.

use super::*;
use crate::channel::layout::UNIT;
use crate::channel::{Channel, Options};

fn pair() -> (Channel, Channel) {
    Channel::pair(&Options::new().capacity(4096)).unwrap()
}

fn pipe() -> OwnedFd {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .unwrap()
        .0
}

/// Publishes a record without what its header announces.
fn forge(sender: &mut Sender, header: Header, bytes: &[u8]) {
    assert!(sender.out.has_room(header.span()).unwrap());
    sender.out.push(header, [bytes, &[]]);
    sender.flush();
}

fn put(channel: &mut Channel, packet: &[u8], files: &[&OwnedFd]) {
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let socket = channel.sender().link.socket.as_fd();
    pass::send(socket, packet, &files).unwrap();
}

#[track_caller]
fn is_broken(far: &mut Channel) {
    let error = far.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Broken, "{error}");
}

#[test]
fn counts_that_are_not_so_cost_the_session() {
    let with = |count| Header::new(8, 0).with_handles(count);
    // None came.
    let (mut near, mut far) = pair();
    forge(near.sender(), with(1), &[0; 8]);
    is_broken(&mut far);
    // More than there may be.
    let (mut near, mut far) = pair();
    forge(near.sender(), with(17), &[0; 8]);
    is_broken(&mut far);
    // One came where two were to.
    let (mut near, mut far) = pair();
    near.sender().attach(&pipe()).unwrap();
    assert_eq!(near.sender().enclose().unwrap().len(), 1);
    forge(near.sender(), with(2), &[0; 8]);
    is_broken(&mut far);
    // A handle in the middle of a message.
    let (mut near, mut far) = pair();
    let begins = Header::new(UNIT as u32, Header::TOTAL | Header::MORE);
    forge(near.sender(), begins, &16u64.to_ne_bytes());
    near.sender().attach(&pipe()).unwrap();
    near.sender().enclose().unwrap();
    forge(near.sender(), with(1), &[0; 8]);
    is_broken(&mut far);
}

#[test]
fn packets_that_make_no_sense_cost_the_session() {
    let file = pipe();
    let position = 0u64.to_le_bytes();
    let long = [&position[..], &[1, NOTE_MAX as u8 + 1], &[0; NOTE_MAX + 1]].concat();
    let packets: [(&[u8], usize); 6] = [
        (&position[..7], 0),
        // A descriptor too few, and one too many.
        (&[&position[..], &[2, 0]].concat(), 1),
        (&[&position[..], &[1, 0]].concat(), 2),
        // A note that is not there, and one that is too long.
        (&[&position[..], &[1, 9, 1]].concat(), 1),
        (&long, 1),
        (&[0; PACKET_MAX + 1], 1),
    ];
    for (packet, files) in packets {
        let (mut near, mut far) = pair();
        put(&mut near, packet, &vec![&file; files]);
        forge(near.sender(), Header::new(8, 0).with_handles(1), &[0; 8]);
        is_broken(&mut far);
    }
}

#[test]
fn handles_of_a_message_that_was_never_published_are_skipped() {
    let (mut near, mut far) = pair();
    let orphan = [&99u64.to_le_bytes()[..], &[1, 0]].concat();
    put(&mut near, &orphan, &[&pipe()]);
    near.sender().attach(&pipe()).unwrap();
    near.send(b"with one").unwrap();
    assert_eq!(far.recv(&mut [0; 64]).unwrap(), Some(8));
    assert_eq!(far.receiver().attached_len(), 1);
    far.receiver().attached::<OwnedFd>(&[]).unwrap();
}
