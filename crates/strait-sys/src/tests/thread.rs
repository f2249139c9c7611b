//! Threads that are called out of a system call.

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use super::{Role, this_test};
use crate::Errno;
use crate::thread::{Interruptible, accept_interrupts, install};

#[test]
fn a_thread_asleep_in_the_kernel_is_called_out() {
    for _ in 0..200 {
        let (say, hear) = channel();
        let thread = Interruptible::spawn("test", move |stop| {
            say.send(Errno::INTR).unwrap();
            while !stop.load(Ordering::SeqCst) {
                let ended = rustix::event::poll(&mut [], None);
                say.send(ended.unwrap_err()).unwrap();
            }
        })
        .unwrap();
        // It is about to sleep, or sleeps.
        hear.recv().unwrap();
        drop(thread);
        assert!(hear.iter().all(|ended| ended == Errno::INTR));
    }
}

#[test]
fn a_parked_thread_is_called_out_and_unparked() {
    let (say, hear) = channel();
    let thread = Interruptible::spawn("test", move |stop| {
        while !stop.load(Ordering::SeqCst) {
            std::thread::park();
            say.send(()).unwrap();
        }
    })
    .unwrap();
    thread.unpark();
    hear.recv().unwrap();
    drop(thread);
}

extern "C" fn programs(_signal: libc::c_int) {}

/// Exchanges the handler of SIGURG, as a program does.
fn handler(handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: the handlers of these tests do nothing.
    unsafe { libc::signal(libc::SIGURG, handler) }
}

#[test]
fn a_handler_that_the_program_installs_at_the_same_time_stays() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "program").passes();
    }
    let own = programs as extern "C" fn(libc::c_int) as libc::sighandler_t;
    handler(own);
    // As one that looked before.
    install();
    assert_eq!(handler(libc::SIG_DFL), own);
    let start = Barrier::new(3);
    for round in 0..5_000 {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    accept_interrupts();
                });
            }
            start.wait();
            handler(own);
        });
        assert_eq!(handler(libc::SIG_DFL), own, "round {round}");
    }
    accept_interrupts();
    assert!(![own, libc::SIG_DFL].contains(&handler(libc::SIG_DFL)));
}
