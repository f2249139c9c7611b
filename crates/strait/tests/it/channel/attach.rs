//! Handles that go with messages.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use strait::channel::{Channel, Options, Taken};
use strait::nt::{Event, Semaphore};
use strait::{ErrorKind, Namespace};

use crate::channel::{meet, options};
use crate::peer::{self, say, told};
use crate::world::{alone, descriptors, refused};

pub(crate) const ROLES: &[(&str, peer::Role)] = &[("channel.taker", taker)];

/// Sets what events it is sent, releases what semaphores, and writes to what pipes.
fn taker(arguments: &[String]) {
    let mut channel = Channel::open(&arguments[0], &options(arguments)).unwrap();
    let space = [Namespace::directory(Path::new(&arguments[2])).unwrap()];
    let mut bytes = Vec::new();
    while channel.receiver().recv_vec(&mut bytes).unwrap().is_some() {
        let receiver = channel.receiver();
        for byte in &bytes[..bytes.len().min(16)] {
            match byte {
                b'e' => {
                    receiver.attached::<Event>(&space).unwrap().set().unwrap();
                }
                b's' => {
                    let semaphore: Semaphore = receiver.attached(&space).unwrap();
                    semaphore.release(1).map(drop).unwrap();
                }
                b'p' => {
                    let pipe: OwnedFd = receiver.attached(&[]).unwrap();
                    std::fs::File::from(pipe).write_all(b"here").unwrap();
                }
                _ => {}
            }
        }
        channel.send(&bytes).unwrap();
    }
    say("end");
    while told().is_some() {}
}

#[test]
fn what_could_not_be_sent_in_time_keeps_its_handles() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("late").create().unwrap();
    let (mut near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    let mut message = b"e".to_vec();
    message.resize(20_000, b'.');
    near.sender().attach(&event).unwrap();
    for _ in 0..2 {
        // Some of it is out, and nobody reads.
        let sent = near.sender().send_for(&message, Duration::from_millis(5));
        assert!(!sent.unwrap());
        let taken = far.receiver().try_recv(&mut [0; 20_000]).unwrap();
        assert_eq!(taken, Taken::TimedOut);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| near.send(&message).unwrap());
        let mut buffer = Vec::new();
        far.receiver().recv_vec(&mut buffer).unwrap();
        assert!(buffer == message);
    });
    let receiver = far.receiver();
    assert_eq!(receiver.attached_len(), 1);
    receiver.attached::<Event>(&[space]).unwrap().set().unwrap();
    event.wait().unwrap();
}

#[test]
fn handles_come_with_their_message_and_in_order() {
    let space = Namespace::temporary().unwrap();
    let mut met = meet("channel.taker", 4096, &[space.path().to_str().unwrap()]);
    let named = space.event("named").create().unwrap();
    let unnamed = Event::options()
        .shared()
        .namespace(&space)
        .create()
        .unwrap();
    let semaphore = space.semaphore("s", 0, 9).create().unwrap();
    let mut reply = vec![0; 70_000];
    for round in 0..40 {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let sender = met.channel.sender();
        sender.attach(&named).unwrap();
        sender.attach(&semaphore).unwrap();
        sender.attach(&OwnedFd::from(writer)).unwrap();
        sender.attach(&unnamed).unwrap();
        // With messages of one record, and of several.
        let mut message = b"espe".to_vec();
        message.resize(if round % 2 == 0 { 4 } else { 60_000 }, b'.');
        met.channel.send(&message).unwrap();
        // Between them one without, which must not disturb.
        met.channel.send(b"nothing").unwrap();
        assert_eq!(met.channel.recv(&mut reply).unwrap(), Some(message.len()));
        assert_eq!(met.channel.recv(&mut reply).unwrap(), Some(7));
        named.wait().unwrap();
        unnamed.wait().unwrap();
        semaphore.wait().unwrap();
        // The far side has closed the only other writing end.
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "here");
    }
}

#[test]
fn no_descriptor_is_lost_or_kept() {
    alone("channel::attach::no_descriptor_is_lost_or_kept", || {
        let before = {
            // Whatever the first session needs for good.
            drop(Channel::pair(&Options::new()).unwrap());
            descriptors()
        };
        let (mut near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
        let (_reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let open = descriptors();
        // Not taken: closed with the next receive.
        near.sender().attach(&writer).unwrap();
        near.sender().attach(&writer).unwrap();
        near.send(b"two").unwrap();
        assert_eq!(descriptors(), open, "they are on their way");
        far.recv(&mut [0; 8]).unwrap();
        assert_eq!(far.receiver().attached_len(), 2);
        drop(far.receiver().attached::<OwnedFd>(&[]).unwrap());
        near.send(b"none").unwrap();
        far.recv(&mut [0; 8]).unwrap();
        assert_eq!(descriptors(), open);
        refused(far.receiver().attached::<OwnedFd>(&[]), ErrorKind::NotFound);
        // Of another kind: refused and closed.
        near.sender().attach(&writer).unwrap();
        near.send(b"a pipe").unwrap();
        far.recv(&mut [0; 8]).unwrap();
        let error = refused(far.receiver().attached::<Event>(&[]), ErrorKind::Layout);
        assert_eq!(error.operation(), "take attached handle");
        assert_eq!(descriptors(), open);
        // Of a message that was given up in the middle.
        near.sender().attach(&writer).unwrap();
        let moment = Duration::from_millis(5);
        assert!(!near.sender().send_for(&[1; 9000], moment).unwrap());
        near.send(b"instead").unwrap();
        assert_eq!(far.recv(&mut [0; 9000]).unwrap(), Some(7));
        // It was not sent: what was attached goes with the next that is.
        assert_eq!(far.receiver().attached_len(), 1);
        drop(far.receiver().attached::<OwnedFd>(&[]).unwrap());
        assert_eq!(descriptors(), open);
        // Attached and never sent.
        near.sender().attach(&writer).unwrap();
        drop((near, far, writer, _reader));
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn a_full_socket_is_busy_and_blocks_nobody() {
    let (mut near, mut far) = Channel::pair(&Options::new()).unwrap();
    let (_reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    for _ in 0..16 {
        near.sender().attach(&writer).unwrap();
    }
    refused(near.sender().attach(&writer), ErrorKind::LimitExceeded);
    near.send(b"message").unwrap();
    let mut sent = 1;
    let busy = loop {
        near.sender().attach(&writer).unwrap();
        match near.send(b"message") {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "the socket takes them all");
    };
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
    for number in 0..sent {
        assert_eq!(far.recv(&mut [0; 8]).unwrap(), Some(7));
        let came = if number == 0 { 16 } else { 1 };
        assert_eq!(far.receiver().attached_len(), came, "message {number}");
    }
    // What was attached goes with the next message after all.
    near.send(b"message").unwrap();
    far.recv(&mut [0; 8]).unwrap();
    far.receiver().attached::<OwnedFd>(&[]).unwrap();
}

#[test]
fn handles_outlive_their_sender_on_the_way() {
    let (mut near, mut far) = Channel::pair(&Options::new()).unwrap();
    let (_reader, writer) = std::io::pipe().unwrap();
    // Something unread at the sender makes its end a reset.
    far.sender()
        .attach(&OwnedFd::from(writer.try_clone().unwrap()))
        .unwrap();
    far.send(b"unread").unwrap();
    near.sender().attach(&OwnedFd::from(writer)).unwrap();
    near.send(b"last").unwrap();
    drop(near);
    assert_eq!(far.recv(&mut [0; 8]).unwrap(), Some(4));
    far.receiver().attached::<OwnedFd>(&[]).unwrap();
    assert_eq!(far.recv(&mut [0; 8]).unwrap(), None);
}
