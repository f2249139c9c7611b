//! How a server ends.

use std::net::TcpStream;

use super::{Served, procedure, results, words};
use crate::world::until;

#[test]
fn calls_in_progress_are_answered_before_the_end() {
    let mut served = Served::start(&[]);
    let mut client = served.client();
    let mut idle = served.client();
    idle.call(0, &[]);
    let waiting = client.send(procedure::WAIT, &words(&[1]));
    until("it is begun", || served.count("in-flight") == 1);
    served.peer.tell("stop 20000");
    assert!(idle.is_closed(), "nothing to be waited for");
    until("nobody listens", || TcpStream::connect(served.tcp).is_err());
    let late = client.send(procedure::COUNT, &[]);
    served.peer.tell("open");
    assert!(results(&client.reply(), waiting).is_empty());
    assert_ne!(late, waiting);
    assert!(client.is_closed(), "without a reply to the late one");
    assert_eq!(served.peer.hear().unwrap(), "cut 0");
}

#[test]
fn after_the_grace_calls_are_cut_and_counted() {
    let mut served = Served::start(&[]);
    let mut client = served.client();
    for gate in 1..=3 {
        client.send(procedure::WAIT, &words(&[gate]));
    }
    until("they are begun", || served.count("in-flight") == 3);
    assert_eq!(served.peer.ask("stop 50"), "cut 3");
    assert!(client.is_closed());
    assert!(served.peer.finish().success());
}
