//! Operations: pending, done, cancelled, dropped, and told of.

use strait::nt::pipe::{Completions, Immediate, ReadMode, Waiting};
use strait::nt::status::NtStatus;
use strait::wait;

use super::*;
use crate::channel::numbered;
use crate::peer::{Peer, told};
use crate::world::Random;

#[test]
fn a_pending_read_ends_with_what_comes() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    let mut read = session.read_overlapped(vec![0; 4]).unwrap();
    assert_eq!(read.status(), NtStatus::PENDING);
    assert_eq!(read.try_result().unwrap(), None);
    let later = session.read_overlapped(vec![0; 64]).unwrap();
    assert_ne!(read.id(), later.id());
    client.write(b"longer").unwrap();
    let won = wait::any_for(&[&read], GUARD).unwrap();
    assert_eq!(won.unwrap().index, 0);
    assert_eq!(read.status(), NtStatus::BUFFER_OVERFLOW);
    let done = read.try_result().unwrap().unwrap();
    assert_eq!(
        (&done.buffer[..], done.len, done.more),
        (&b"long"[..], 4, true)
    );
    assert_eq!(code(read.try_result()), 230, "once");
    // In the order in which they began.
    let done = later.wait().unwrap();
    assert_eq!((&done.buffer[..done.len], done.more), (&b"er"[..], false));
    // What can be done at once is, and says so in the same way.
    client.write(b"now").unwrap();
    let at_once = session.read_overlapped(vec![0; 64]).unwrap();
    assert_eq!(at_once.status(), NtStatus::SUCCESS);
    assert!(wait::any_for(&[&at_once], ZERO).unwrap().is_some());
    assert_eq!(at_once.wait().unwrap().len, 3);
    let written = client.write_overlapped(b"x".to_vec()).unwrap();
    assert_eq!(written.status(), NtStatus::SUCCESS);
    drop(client);
    until_closing(&session);
    session.read(&mut [0; 9]).unwrap();
    is_code(session.read_overlapped(vec![0]), ErrorKind::PeerGone, 109);
}

#[test]
fn an_operation_is_cancelled_once() {
    let space = space();
    let (session, client) = joined(&space, server(&space).quotas(4, 4));
    let running = session.read_overlapped(vec![0; 9]).unwrap();
    let queued = session.read_overlapped(vec![0; 9]).unwrap();
    queued.cancel().unwrap();
    is_code(queued.cancel(), ErrorKind::NotFound, 1168);
    is_code(queued.wait(), ErrorKind::Cancelled, 995);
    running.cancel().unwrap();
    is_code(running.cancel(), ErrorKind::NotFound, 1168);
    is_code(running.wait(), ErrorKind::Cancelled, 995);
    is_code(session.cancel_all(), ErrorKind::NotFound, 1168);
    let _reads = [(); 3].map(|()| session.read_overlapped(vec![0; 9]).unwrap());
    assert_eq!(session.cancel_all().unwrap(), 3);
    // A write that is given up leaves what it has written.
    let write = client.write_overlapped(vec![1; 9]).unwrap();
    until("it is there", || {
        session.peek(&mut []).unwrap().available == 9
    });
    write.cancel().unwrap();
    is_code(write.wait(), ErrorKind::Cancelled, 995);
    assert_eq!(session.read(&mut [0; 99]).unwrap().len, 9);
}

#[test]
fn an_operation_that_waits_for_another_thread_s_call_is_cancelled_at_once() {
    let space = space();
    let (session, client) = joined(&space, server(&space));
    let session = std::sync::Arc::new(session);
    let other = session.clone();
    let reads = std::thread::spawn(move || other.read(&mut [0; 9]).unwrap());
    // Sooner or later the other thread is the one whose turn it is.
    for round in 0..500 {
        let mut read = session.read_overlapped(vec![0; 9]).unwrap();
        // In some rounds it has left the queue, and waits for the other's call.
        for _ in 0..round % 50 {
            std::thread::yield_now();
        }
        read.cancel().unwrap();
        is_code(read.wait_for(GUARD), ErrorKind::Cancelled, 995);
    }
    client.write(b"it").unwrap();
    assert_eq!(reads.join().unwrap().len, 2);
    client.write(b"then").unwrap();
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    assert_eq!(read.wait().unwrap().len, 4);
}

#[test]
fn what_a_dropped_read_had_got_goes_to_the_next() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    client.write(b"one").unwrap();
    client.write(b"two").unwrap();
    drop(session.read_overlapped(vec![0; 2]).unwrap());
    let mut buffer = [0; 9];
    assert_eq!(session.peek(&mut buffer).unwrap().len, 3);
    assert_eq!(&buffer[..3], b"one");
    let part = session.read(&mut buffer).unwrap();
    assert_eq!((&buffer[..part.len], part.more), (&b"on"[..], true));
    assert_eq!(session.read(&mut buffer).unwrap().len, 1);
    // One that waits is cancelled.
    session.read(&mut buffer).unwrap();
    drop(session.read_overlapped(vec![0; 9]).unwrap());
    client.write(b"three").unwrap();
    let part = session.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..part.len], b"three");
}

#[test]
fn what_is_given_back_is_there_for_waits_and_for_reads_that_wait() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    let readable = session.readable().unwrap();
    client.write(b"one").unwrap();
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    assert_eq!(wait::any_for(&[&readable], ZERO).unwrap(), None);
    // Somebody waits for what comes, and somebody reads it.
    let won = beside(
        || wait::any_for(&[&readable], GUARD).unwrap().is_some(),
        || drop(read),
    );
    assert!(won);
    assert_eq!(session.read(&mut [0; 9]).unwrap().len, 3);
    assert_eq!(wait::any_for(&[&readable], ZERO).unwrap(), None);
    client.write(b"first").unwrap();
    let first = session.read_overlapped(vec![0; 9]).unwrap();
    let mut second = session.read_overlapped(vec![0; 9]).unwrap();
    drop(first);
    let done = second.wait_for(GUARD).unwrap().expect("it is woken");
    assert_eq!(&done.buffer[..done.len], b"first");
    // A set is told as well.
    let set = wait::Set::new().unwrap();
    set.add(&readable).unwrap();
    client.write(b"once more").unwrap();
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    let told = beside(|| set.wait_for(GUARD).unwrap().is_some(), || drop(read));
    assert!(told);
}

#[test]
fn what_is_given_back_waits_for_no_read_that_waits() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    // Sooner or later the second read waits when the first is dropped.
    for _ in 0..100 {
        client.write(b"first").unwrap();
        let first = session.read_overlapped(vec![0; 9]).unwrap();
        let mut second = session.read_overlapped(vec![0; 9]).unwrap();
        for _ in 0..20 {
            std::thread::yield_now();
        }
        let (tell, told) = std::sync::mpsc::channel();
        let at_once = std::thread::scope(|scope| {
            scope.spawn(move || {
                drop(first);
                tell.send(()).unwrap();
            });
            let at_once = told.recv_timeout(GUARD).is_ok();
            if !at_once {
                client.write(b"so that it ends").unwrap();
            }
            at_once
        });
        assert!(at_once, "it waits for another read's data");
        let done = second.wait_for(GUARD).unwrap().expect("it is woken");
        assert_eq!(&done.buffer[..done.len], b"first");
    }
}

#[test]
fn what_is_given_back_is_read_in_the_order_in_which_it_was_written() {
    let space = space();
    let (session, client) = joined(&space, server(&space));
    client.write(b"abcdef").unwrap();
    let read = || session.read_overlapped(vec![0; 2]).unwrap();
    let (ab, cd, ef) = (read(), read(), read());
    drop(cd);
    drop(ab);
    let mut buffer = [0; 9];
    let mut is_next = |room: usize, expected: &[u8]| {
        let part = session.read(&mut buffer[..room]).unwrap();
        assert_eq!(&buffer[..part.len], expected);
    };
    is_next(1, b"a");
    // What was given back once is again, before what stood behind it.
    drop(session.read_overlapped(vec![0; 9]).unwrap());
    drop(ef);
    for expected in [b"b", &b"cd"[..], b"ef"] {
        is_next(9, expected);
    }
}

/// Writes so many numbered messages, and stays until it is told that they were read.
pub(super) fn chatter(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let client = Client::options(NAME).namespace(&space).open().unwrap();
    let mut random = Random::of_seed(51);
    for number in 0..args[1].parse().unwrap() {
        let len = [20, 3000, 60_000][random.below(3)];
        client.write(&numbered(number, random.below(len))).unwrap();
    }
    told();
}

#[test]
fn nothing_is_lost_with_a_read_that_is_cancelled_while_data_comes() {
    const COUNT: u64 = 2000;
    let open = Open::new("cancelled");
    let server = server(&open.space).message().read_mode(ReadMode::Message);
    let server = server.create().unwrap();
    let peer = Peer::start("nt.pipe.chatter", &[&open.path, &COUNT.to_string()]);
    let session = server.connect().unwrap();
    let mut random = Random::of_seed(61);
    let mut message: Vec<u8> = Vec::new();
    let (mut next, mut cancelled) = (0, 0);
    while next < COUNT {
        let room = [10, 5000, 70_000][random.below(3)];
        let read = session.read_overlapped(vec![0; room]).unwrap();
        for _ in 0..random.below(3000) {
            std::hint::spin_loop();
        }
        let done = match random.below(4) {
            0 => {
                drop(read);
                continue;
            }
            1 => read.wait(),
            _ => {
                let _ = read.cancel();
                read.wait()
            }
        };
        match done {
            Ok(done) => {
                message.extend(&done.buffer[..done.len]);
                if !done.more {
                    assert!(message == numbered(next, message.len() - 8), "{next}");
                    message.clear();
                    next += 1;
                }
            }
            Err(error) => {
                assert_eq!(error.win32(), 995, "{error}");
                cancelled += 1;
            }
        }
    }
    assert!(cancelled > 0, "it was tried");
    assert!(peer.finish().success());
}

#[test]
fn a_write_goes_on_behind_what_others_write() {
    const SMALL: usize = 2000;
    const LEN: usize = 2000;
    const OTHERS: u8 = 255;
    let space = space();
    // Within the quota, and of so many small records that the ring has room for a part of it only.
    let (session, client) = joined(&space, server(&space).quotas(4096, 4096));
    let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    let mut others = 0;
    for _ in 0..SMALL {
        others += client.write(&[OTHERS]).unwrap();
    }
    let mut write = client.write_overlapped(bytes.clone()).unwrap();
    assert_eq!(
        write.try_result().unwrap(),
        None,
        "there is no room for all of it"
    );
    let seen = session.peek(&mut []).unwrap().available as usize;
    assert!(
        (SMALL + 1..SMALL + LEN).contains(&seen),
        "a part has gone: {seen}"
    );
    let behind = std::thread::scope(|scope| {
        // Who writes meanwhile comes before the rest or behind it.
        let other = scope.spawn(|| {
            let written = (0..100).map(|_| client.write(&[OTHERS; 10]).unwrap());
            written.sum::<usize>()
        });
        let mut got = Vec::new();
        let mut buffer = [0; 700];
        while got.len() < SMALL + LEN + 1000 {
            let part = session.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..part.len]);
        }
        others += other.join().unwrap();
        got
    });
    let done = write.wait().unwrap();
    assert_eq!((done.len, &done.buffer), (LEN, &bytes));
    let is_others = |byte: &&u8| **byte == OTHERS;
    assert!(behind[..SMALL].iter().all(|byte| *byte == OTHERS));
    assert_eq!(behind.iter().filter(is_others).count(), others);
    let own: Vec<u8> = behind.into_iter().filter(|byte| *byte != OTHERS).collect();
    assert!(own == bytes, "{} bytes, in another order", own.len());
    assert_eq!(session.peek(&mut []).unwrap().available, 0, "nothing twice");
}

#[test]
fn a_connection_is_an_operation_too() {
    let space = space();
    let server = server(&space).create().unwrap();
    let session = server.instance().unwrap();
    let mut connect = session.connect_overlapped().unwrap();
    assert!(connect.try_result().unwrap().is_none());
    let _client = client(&space).open().unwrap();
    assert!(connect.wait_for(GUARD).unwrap().is_some());
    is_code(session.connect_overlapped(), ErrorKind::WrongState, 535);
    session.disconnect().unwrap();
    let connect = session.connect_overlapped().unwrap();
    connect.cancel().unwrap();
    is_code(connect.wait(), ErrorKind::Cancelled, 995);
    // With its session an operation ends.
    let connect = session.connect_overlapped().unwrap();
    drop(session);
    let error = connect.wait().unwrap_err();
    assert!([995, 233].contains(&error.win32()), "{error}");
    let space = super::space();
    let (session, client) = joined(&space, super::server(&space));
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    drop(session);
    is_code(read.wait(), ErrorKind::Cancelled, 995);
    until("the client sees the end", || {
        client.read(&mut [0; 9]).is_err()
    });
}

#[test]
fn a_disconnect_ends_what_is_pending() {
    let space = space();
    let (session, _client) = joined(&space, server(&space));
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    session.disconnect().unwrap();
    is_code(read.wait(), ErrorKind::PeerGone, 233);
    is_code(
        session.read_overlapped(vec![0; 9]),
        ErrorKind::PeerGone,
        233,
    );
}

#[test]
fn a_queue_tells_which_operations_have_ended() {
    let queue = Completions::new().unwrap();
    assert_eq!(queue.try_next(), None);
    assert_eq!(queue.next_for(ZERO).unwrap(), None);
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    session.associate(&queue, 7, Immediate::Post);
    client.associate(&queue, 8, Immediate::Skip);
    let read = session.read_overlapped(vec![0; 9]).unwrap();
    let write = client.write_overlapped(b"skipped".to_vec()).unwrap();
    let told = queue.next_for(GUARD).unwrap().unwrap();
    assert_eq!((told.key, told.id), (7, read.id()));
    assert_eq!(read.wait().unwrap().len, 7);
    assert_eq!(write.wait().unwrap().len, 7);
    client.write(b"x").unwrap();
    let at_once = session.read_overlapped(vec![0; 9]).unwrap();
    assert!(wait::any_for(&[&queue], ZERO).unwrap().is_some());
    assert_eq!(queue.next().unwrap().id, at_once.id());
    let pending = client.read_overlapped(vec![0; 9]).unwrap();
    pending.cancel().unwrap();
    let told = queue.next_for(GUARD).unwrap().unwrap();
    assert_eq!((told.key, told.id), (8, pending.id()));
    queue.post(1, 2);
    let told = queue.next().unwrap();
    assert_eq!((told.key, told.id), (1, 2));
    assert!(wait::any_for(&[&queue], ZERO).unwrap().is_none());
}

#[test]
fn operations_are_told_when_calls_do_not_wait() {
    let space = space();
    let (session, client) = joined(&space, server(&space).quotas(4, 4));
    session.set_waiting(Waiting::Never);
    is_code(
        session.read_overlapped(vec![0; 9]),
        ErrorKind::TimedOut,
        232,
    );
    client.set_waiting(Waiting::Never);
    let written = client.write_overlapped(vec![0; 9]).unwrap();
    assert_eq!(written.wait().unwrap().len, 0);
}

#[cfg(feature = "tokio")]
#[test]
fn an_operation_is_a_future() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let read = session.read_overlapped(vec![0; 9]).unwrap();
        client.write(b"await").unwrap();
        let done = read.await.unwrap();
        assert_eq!(&done.buffer[..done.len], b"await");
        let dropped = session.read_overlapped(vec![0; 9]).unwrap();
        drop(dropped.into_future());
        client.write(b"kept").unwrap();
        let read = session.read_overlapped(vec![0; 9]).unwrap();
        assert_eq!(read.await.unwrap().len, 4);
    });
}
