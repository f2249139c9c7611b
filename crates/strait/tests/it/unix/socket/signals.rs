//! Signals end no call: the remaining time counts.

use std::sync::mpsc;

use strait::unix::signal::{self, Receiver, Set, Signal};
use strait::unix::socket::{Bytes, Datagram, Listener, Options, Received, Stream};
use strait_sys::interrupt;

use super::unique;
use crate::world::GUARD;

/// What `call` gives that sleeps through a hundred signals, and ends when it is released.
fn disturbed<T: Send>(call: impl FnOnce() -> T + Send, release: impl FnOnce()) -> T {
    std::thread::scope(|scope| {
        let (tell, hear) = mpsc::channel();
        let sleeper = scope.spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            call()
        });
        let id = hear.recv().unwrap();
        let before = interrupt::handled();
        while interrupt::handled() < before + 100 {
            interrupt::thread(id).expect("a signal ended the call");
            std::thread::yield_now();
        }
        assert!(!sleeper.is_finished(), "a signal ended the call");
        release();
        sleeper.join().unwrap()
    })
}

#[test]
fn signals_end_no_call() {
    interrupt::accept().unwrap();
    let (a, b) = Stream::pair().unwrap();
    let mut buffer = [0; 1 << 16];
    let send = || a.write_all(b"x").unwrap();
    assert_eq!(disturbed(|| b.read(&mut [0; 4]), send).unwrap(), 1);
    let read = disturbed(|| b.read_for(&mut [0; 4], GUARD), send);
    assert_eq!(read.unwrap(), Some(1));
    let mut beside = Received::new(1);
    let came = disturbed(|| b.recv_message(&mut [0; 4], &mut beside), send);
    assert_eq!(came.unwrap().len, 1);
    while a.try_write(&buffer).unwrap().is_some() {}
    let drain = || while b.try_read(&mut buffer).unwrap().is_some() {};
    assert!(disturbed(|| a.write(b"more"), drain).unwrap() > 0);

    let at = unique("signals");
    let listener: Listener<Bytes> = Options::default().backlog(0).listen(&at).unwrap();
    let connect = || drop(Stream::connect(&at).unwrap());
    disturbed(|| listener.accept(), connect).unwrap();
    disturbed(|| listener.accept_for(GUARD), connect)
        .unwrap()
        .unwrap();
    let _fills = Stream::connect(&at).unwrap();
    let accept = || drop(listener.accept().unwrap());
    disturbed(|| Stream::connect(&at), accept).unwrap();
    disturbed(|| Stream::connect_for(&at, GUARD), accept)
        .unwrap()
        .unwrap();

    let receiver = Datagram::bind(&at).unwrap();
    let sender = Datagram::connect(&at).unwrap();
    while sender.try_send(b"x").unwrap().is_some() {}
    let receive = || while receiver.try_recv(&mut [0; 4]).unwrap().is_some() {};
    disturbed(|| sender.send(b"x"), receive).unwrap();
    while sender.try_send(b"x").unwrap().is_some() {}
    disturbed(|| sender.send_to_for(b"x", &at, GUARD), receive)
        .unwrap()
        .unwrap();
}

#[test]
fn nor_do_they_end_the_wait_for_another() {
    interrupt::accept().unwrap();
    let wanted = Signal::realtime(21).unwrap();
    let take: [fn(&Receiver) -> signal::Received; 2] = [
        |signals| signals.recv().unwrap(),
        |signals| signals.recv_for(GUARD).unwrap().unwrap(),
    ];
    for take in take {
        let (tell, hear) = mpsc::channel();
        let receive = move || {
            let signals = Set::new([wanted]).block_thread().unwrap();
            tell.send(
                rustix::thread::gettid()
                    .as_raw_nonzero()
                    .get()
                    .unsigned_abs(),
            )
            .unwrap();
            take(&signals)
        };
        let send = || {
            let thread = hear.recv().unwrap();
            signal::send_thread_value(std::process::id(), thread, wanted, 7).unwrap();
        };
        let came = disturbed(receive, send);
        assert_eq!(
            (came.signal, came.value.map(|value| value.int())),
            (wanted, Some(7))
        );
    }
}
