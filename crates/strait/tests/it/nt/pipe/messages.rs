//! Messages, bytes and quotas.

use strait::nt::pipe::{Part, Peeked, ReadMode, Waiting};

use super::*;

fn read(session: &Session, room: usize) -> (Vec<u8>, bool) {
    let mut buffer = vec![0; room];
    let Part { len, more, .. } = session.read(&mut buffer).unwrap();
    buffer.truncate(len);
    (buffer, more)
}

#[test]
fn a_message_is_read_in_parts_by_whoever_comes() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    client.write(b"hello, world").unwrap();
    client.write(b"").unwrap();
    client.write(b"next").unwrap();
    assert_eq!(read(&session, 5), (b"hello".to_vec(), true));
    let peeked = |room: usize| {
        let mut buffer = vec![0; room];
        let Peeked {
            len,
            available,
            left,
            ..
        } = session.peek(&mut buffer).unwrap();
        (buffer[..len].to_vec(), available, left)
    };
    assert_eq!(peeked(4), (b", wo".to_vec(), 11, 3));
    assert_eq!(peeked(99), (b", world".to_vec(), 11, 0));
    assert_eq!(read(&session, 0), (Vec::new(), true));
    let other = std::thread::scope(|scope| scope.spawn(|| read(&session, 3)).join().unwrap());
    assert_eq!(other, (b", w".to_vec(), true));
    assert_eq!(read(&session, 4), (b"orld".to_vec(), false));
    assert_eq!(
        read(&session, 9),
        (Vec::new(), false),
        "a message without bytes"
    );
    assert_eq!(read(&session, 9), (b"next".to_vec(), false));
    assert_eq!(peeked(9), (Vec::new(), 0, 0));
}

#[test]
fn a_message_pipe_is_read_as_bytes_until_somebody_says_otherwise() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    assert_eq!(
        (session.read_mode(), client.read_mode()),
        (ReadMode::Message, ReadMode::Bytes)
    );
    for message in [&b"one"[..], b"", b"two", b"three"] {
        session.write(message).unwrap();
    }
    let mut buffer = [0; 64];
    let mut peeked = [0; 64];
    assert_eq!(client.peek(&mut peeked).unwrap().len, 11);
    assert_eq!(client.read(&mut buffer[..4]).unwrap().len, 4);
    assert_eq!(
        client.read(&mut buffer[4..]).unwrap(),
        Part {
            len: 7,
            more: false
        }
    );
    assert_eq!(&buffer[..11], b"onetwothree");
    assert_eq!(&peeked[..11], b"onetwothree");
    // A message without bytes is read as none.
    session.write(b"").unwrap();
    assert_eq!(client.read(&mut buffer).unwrap().len, 0);
    session.write(b"part").unwrap();
    assert_eq!(client.read(&mut buffer[..1]).unwrap().len, 1);
    client.set_read_mode(ReadMode::Message).unwrap();
    assert_eq!(
        client.read(&mut buffer).unwrap(),
        Part {
            len: 3,
            more: false
        }
    );
}

#[test]
fn bytes_are_a_stream() {
    let space = space();
    let (session, client) = joined(&space, server(&space));
    is_code(
        client.set_read_mode(ReadMode::Message),
        ErrorKind::InvalidInput,
        87,
    );
    client.write(b"abc").unwrap();
    assert_eq!(client.write(b"").unwrap(), 0, "nothing at all");
    client.write(b"defg").unwrap();
    assert_eq!(read(&session, 5).0, b"abcde");
    assert_eq!(read(&session, 5).0, b"fg");
    client.write(b"").unwrap();
    assert_eq!(session.peek(&mut []).unwrap().available, 0);
    // A read of no bytes waits for some, and takes none.
    let done = Count::default();
    beside(
        || {
            assert_eq!(session.read(&mut []).unwrap().len, 0);
            done.add();
        },
        || {
            client.write(b"").unwrap();
            client.write(b"x").unwrap();
        },
    );
    assert_eq!(read(&session, 5).0, b"x");
}

#[test]
fn messages_longer_than_any_buffer_arrive_whole() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message().quotas(4096, 4096));
    let long: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let write = || {
        for cut in [0, 1, 7, 100_000] {
            assert_eq!(client.write(&long[cut..]).unwrap(), long.len() - cut);
        }
    };
    beside(write, || {
        let mut buffer = vec![0; long.len()];
        assert_eq!(
            session.read(&mut buffer).unwrap(),
            Part {
                len: long.len(),
                more: false
            }
        );
        assert!(buffer == long);
        // In parts of all sizes.
        for cut in [1, 7, 100_000] {
            let (mut done, mut room) = (cut, 1);
            loop {
                let end = buffer.len().min(done + room);
                let part = session.read(&mut buffer[done..end]).unwrap();
                assert!(buffer[done..done + part.len] == long[done..done + part.len]);
                done += part.len;
                if !part.more {
                    break;
                }
                room = room * 3 % 70_001;
            }
            assert_eq!(done, long.len());
        }
    });
}

#[test]
fn a_write_ends_when_no_more_than_the_quota_is_unread() {
    for message in [true, false] {
        let space = space();
        let options = server(&space).quotas(10, 10);
        let options = if message { options.message() } else { options };
        let (session, client) = joined(&space, options);
        assert_eq!(client.writable().unwrap(), 10);
        client.write(b"123456").unwrap();
        assert_eq!(client.writable().unwrap(), 4);
        let mut long = client.write_overlapped(b"abcdefgh".to_vec()).unwrap();
        until("it is all there", || {
            session.peek(&mut []).unwrap().available == 14
        });
        assert_eq!(long.try_result().unwrap(), None, "four bytes too many");
        // What comes later is small, and waits behind it.
        let mut small = client.write_overlapped(b"z".to_vec()).unwrap();
        session.read(&mut [0; 3]).unwrap();
        assert_eq!(long.try_result().unwrap(), None);
        session.read(&mut [0; 1]).unwrap();
        assert_eq!(long.wait_for(GUARD).unwrap().unwrap().len, 8);
        session.read(&mut [0; 1]).unwrap();
        assert_eq!(small.wait_for(GUARD).unwrap().unwrap().len, 1);
    }
}

#[test]
fn calls_that_do_not_wait_say_so() {
    for message in [true, false] {
        let space = space();
        let options = server(&space).quotas(10, 10);
        let options = if message { options.message() } else { options };
        let (session, client) = joined(&space, options);
        client.set_waiting(Waiting::Never);
        session.set_waiting(Waiting::Never);
        is_code(session.read(&mut [0; 9]), ErrorKind::TimedOut, 232);
        assert_eq!(client.write(&[1; 11]).unwrap(), 0, "more than the quota");
        assert_eq!(client.write(&[1; 6]).unwrap(), 6);
        assert_eq!(client.write(&[1; 5]).unwrap(), 0);
        assert_eq!(client.write(&[1; 4]).unwrap(), 4);
        assert_eq!(client.write(&[1; 1]).unwrap(), 0);
        assert_eq!(session.peek(&mut []).unwrap().available, 10);
        while session.read(&mut [0; 64]).is_ok() {}
        // A read that waits counts as much as it has room for.
        session.set_waiting(Waiting::Blocking);
        let waits = session.read_overlapped(vec![0; 16]).unwrap();
        let mut written = 0;
        until("the read waits", || {
            written = client.write(&[2; 20]).unwrap();
            written != 0
        });
        let got = waits.wait().unwrap();
        assert_eq!((got.len, got.more), (16, message));
        // A message whole; of bytes as many as were waited for.
        assert_eq!(written, if message { 20 } else { 16 });
    }
}

#[test]
fn a_flush_ends_when_everything_is_read() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    client.flush().unwrap();
    client.write(b"one").unwrap();
    client.write(b"").unwrap();
    let mut flushed = client.flush_overlapped().unwrap();
    session.read(&mut [0; 9]).unwrap();
    assert_eq!(
        flushed.try_result().unwrap(),
        None,
        "one without bytes is left"
    );
    session.read(&mut [0; 9]).unwrap();
    assert!(flushed.wait_for(GUARD).unwrap().is_some());
    client.write(b"two").unwrap();
    let flush = beside(|| code(client.flush()), || session.disconnect().unwrap());
    assert_eq!(flush, 233);
}

#[test]
fn a_transaction_is_a_message_and_its_reply() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    let mut reply = [0; 4];
    is_code(
        client.transact(b"?", &mut reply),
        ErrorKind::WrongState,
        230,
    );
    client.set_read_mode(ReadMode::Message).unwrap();
    session.write(b"unasked").unwrap();
    is_code(client.transact(b"?", &mut reply), ErrorKind::Busy, 231);
    client.read(&mut [0; 9]).unwrap();
    let answer = || {
        assert_eq!(read(&session, 9).0, b"2 + 2");
        session.write(b"surely 4").unwrap();
    };
    beside(answer, || {
        let part = client.transact(b"2 + 2", &mut reply).unwrap();
        assert_eq!((part.len, part.more, &reply), (4, true, b"sure"));
        assert_eq!(
            client.read(&mut reply).unwrap(),
            Part {
                len: 4,
                more: false
            }
        );
        assert_eq!(&reply, b"ly 4");
    });
    let space = super::space();
    let (_session, client) = joined(&space, server(&space));
    is_code(
        client.transact(b"?", &mut reply),
        ErrorKind::WrongState,
        230,
    );
}

#[test]
fn a_write_that_does_not_wait_gives_a_pending_read_what_there_is_room_for() {
    let space = space();
    let (session, client) = joined(&space, server(&space));
    client.set_waiting(Waiting::Never);
    let read = session.read_overlapped(vec![0; 64 << 10]).unwrap();
    let mut wrote = 0;
    until("the read waits", || {
        wrote = client.write(&[7; 100_000]).unwrap();
        wrote > 0
    });
    let done = read.wait().unwrap();
    assert!(wrote > 4096 && wrote <= 64 << 10, "{wrote}");
    assert!(done.len <= wrote && done.buffer[..done.len].iter().all(|byte| *byte == 7));
}

#[test]
fn nobody_who_does_not_wait_is_held_up_by_a_transaction_whose_request_waits() {
    use strait::nt::status::NtStatus;
    let space = space();
    let (session, client) = joined(&space, server(&space).message().quotas(8, 8));
    client.set_read_mode(ReadMode::Message).unwrap();
    let (client, request) = (std::sync::Arc::new(client), [1; 100]);
    let caller = client.clone();
    let calls = std::thread::spawn(move || caller.transact(&request, &mut [0; 9]).unwrap());
    until("the request is there", || {
        session.peek(&mut []).unwrap().available == 100
    });
    let (tell, told) = std::sync::mpsc::channel();
    let looker = client.clone();
    std::thread::spawn(move || {
        let seen = looker.peek(&mut [0; 9]).unwrap();
        let read = looker.read_overlapped(vec![0; 9]).unwrap();
        tell.send((seen.available, read.status())).unwrap();
    });
    assert_eq!(told.recv_timeout(GUARD), Ok((0, NtStatus::PENDING)));
    assert_eq!(read(&session, 200).0.len(), 100);
    session.write(b"reply").unwrap();
    assert_eq!(calls.join().unwrap().len, 5);
}
