//! Threads that are called out of a system call.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use crate::Errno;
use crate::thread::Interruptible;

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
