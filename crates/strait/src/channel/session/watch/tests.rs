//! A program that closes numbers which are not its own, while sessions are watched.

use std::time::{Duration, Instant};

use super::WATCHER;
use crate::channel::{Channel, Options};

/// The number of the poll leads elsewhere from here on.
fn lose_poll() {
    let poll = WATCHER.with(|watcher| watcher.poll.clone());
    poll.unwrap().lose();
}

fn hears(channel: &mut Channel) {
    let since = Instant::now();
    while !channel.receiver().is_ready() {
        assert!(since.elapsed() < Duration::from_secs(20), "not heard");
        std::thread::yield_now();
    }
}

/// Of the other side of each only the socket is closed, as by its death: nothing is said.
fn die(channel: Channel) {
    let (sender, receiver) = channel.split();
    let _ = rustix::net::shutdown(&sender.link().socket, rustix::net::Shutdown::Both);
    std::mem::forget((sender, receiver));
}

#[test]
fn a_poll_that_is_closed_under_the_watcher_is_made_again() {
    for _ in 0..20 {
        let options = Options::new();
        let (mut first, first_peer) = Channel::pair(&options).unwrap();
        let (mut second, second_peer) = Channel::pair(&options).unwrap();
        lose_poll();
        // The thread sleeps on the old one still, and hears this; the next it hears of the new.
        die(first_peer);
        hears(&mut first);
        die(second_peer);
        hears(&mut second);
    }
}

#[test]
fn a_session_that_begins_finds_out_that_the_poll_is_closed() {
    for _ in 0..20 {
        let options = Options::new();
        let (mut first, first_peer) = Channel::pair(&options).unwrap();
        lose_poll();
        let (mut second, second_peer) = Channel::pair(&options).unwrap();
        die(second_peer);
        hears(&mut second);
        die(first_peer);
        hears(&mut first);
    }
}
