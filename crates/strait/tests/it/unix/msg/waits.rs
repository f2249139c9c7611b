//! Queues in waits: what wins is taken, what loses is left.

use std::time::Duration;

use strait::nt::Event;
use strait::unix::msg::Select;
use strait::wait;

use super::{Gone, text, until_blocked};
use crate::peer::Peer;
use crate::world::GUARD;

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn a_message_wins_and_is_taken() {
    let queue = Gone::new();
    let never = Event::options().create().unwrap();
    let receiving = queue.receiving(Select::Type(2)).unwrap();
    assert!(
        wait::any_for(&[&never, &receiving], SHORT)
            .unwrap()
            .is_none()
    );
    queue.send(1, b"other").unwrap();
    queue.send(2, b"this").unwrap();
    queue.send(2, b"later").unwrap();
    let won = wait::any_for(&[&never, &receiving], GUARD)
        .unwrap()
        .unwrap();
    assert_eq!(won.index, 1);
    assert_eq!(queue.texts(), ["1 other", "2 later"]);
    // It is ready until it is taken out; then the next may come.
    assert_eq!(
        wait::any_for(&[&receiving], GUARD).unwrap().unwrap().index,
        0
    );
    assert_eq!(queue.texts().len(), 2);
    assert_eq!(text(&receiving.take().unwrap().unwrap()), "2 this");
    assert_eq!(text(&receiving.take().unwrap().unwrap()), "2 later");
    assert_eq!(receiving.take().unwrap(), None);
}

#[test]
fn a_sleeper_is_woken_by_its_type_alone() {
    let queue = Gone::new();
    for order in ["wait type 5", "wait except 4", "wait lowest 6"] {
        let mut peer = queue.worker();
        peer.hear();
        peer.tell(order);
        until_blocked(&peer);
        let other = if order.contains("lowest") { 7 } else { 4 };
        queue.send(other, b"not this").unwrap();
        queue.send(5, b"this").unwrap();
        assert_eq!(peer.hear().as_deref(), Some("5 this"), "{order}");
        assert_eq!(queue.texts(), [format!("{other} not this")]);
        queue.recv(Select::Any).unwrap();
    }
}

#[test]
fn a_loser_leaves_its_message() {
    let queue = Gone::new();
    let event = Event::options().create().unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    event.set().unwrap();
    queue.send(1, b"stays").unwrap();
    let won = wait::any_for(&[&event, &receiving], GUARD)
        .unwrap()
        .unwrap();
    assert_eq!(won.index, 0);
    assert_eq!(queue.texts(), ["1 stays"]);
    // Also one that its thread has seen.
    queue.recv(Select::Any).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait::any_for(&[&event, &receiving], GUARD));
        event.set().unwrap();
        assert_eq!(waiter.join().unwrap().unwrap().unwrap().index, 0);
    });
    queue.send(1, b"stays").unwrap();
    assert_eq!(queue.texts(), ["1 stays"]);
    drop(receiving);
    assert_eq!(queue.texts(), ["1 stays"]);
}

#[test]
fn a_wait_for_all_looks_and_does_not_take() {
    let queue = Gone::new();
    let event = Event::options().create().unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    queue.send(1, b"text").unwrap();
    assert!(
        wait::all_for(&[&event, &receiving], SHORT)
            .unwrap()
            .is_none()
    );
    event.set().unwrap();
    assert!(
        wait::all_for(&[&event, &receiving], GUARD)
            .unwrap()
            .is_some()
    );
    assert_eq!(queue.texts(), ["1 text"]);
    assert_eq!(text(&receiving.take().unwrap().unwrap()), "1 text");
}

#[test]
fn empty_messages_are_handed_over_or_put_back() {
    let queue = Gone::new();
    let receiving = queue.receiving(Select::Type(3)).unwrap();
    // Looking takes an empty one: it is in the receiving now, and goes back behind the others.
    queue.send(3, b"").unwrap();
    queue.send(3, b"full").unwrap();
    assert!(wait::all_for(&[&receiving], GUARD).unwrap().is_some());
    assert_eq!(queue.texts(), ["3 full"]);
    drop(receiving);
    assert_eq!(queue.texts(), ["3 full", "3 "]);
    queue.recv(Select::Any).unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    assert!(wait::any_for(&[&receiving], GUARD).unwrap().is_some());
    assert_eq!(text(&receiving.take().unwrap().unwrap()), "3 ");
    // To one who sleeps as well.
    let mut peer = queue.worker();
    peer.hear();
    for order in ["wait any", "recv-for any"] {
        peer.tell(order);
        until_blocked(&peer);
        queue.send(8, b"").unwrap();
        assert_eq!(peer.hear().as_deref(), Some("8"), "{order}");
    }
    assert_eq!(queue.texts().len(), 0);
    // What was won and never asked for goes back too.
    queue.send(1, b"won").unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    assert!(wait::any_for(&[&receiving], GUARD).unwrap().is_some());
    assert_eq!(queue.texts().len(), 0);
    drop(receiving);
    assert_eq!(queue.texts(), ["1 won"]);
}

#[test]
fn a_set_holds_a_queue() {
    let queue = Gone::new();
    let event = Event::options().create().unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    let set = wait::Set::new().unwrap();
    let of_event = set.add(&event).unwrap();
    let of_queue = set.add(&receiving).unwrap();
    assert!(set.wait_for(SHORT).unwrap().is_none());
    let mut peer = queue.worker();
    peer.hear();
    for round in 0..50 {
        peer.tell(&format!("send 1 {round}"));
        let won = set.wait_for(GUARD).unwrap().unwrap();
        assert_eq!(won.key, of_queue);
        assert_eq!(
            text(&receiving.take().unwrap().unwrap()),
            format!("1 {round}")
        );
        assert_eq!(peer.hear().as_deref(), Some("sent"));
        event.set().unwrap();
        assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, of_event);
    }
    assert_eq!(queue.texts().len(), 0);
}

#[test]
fn of_many_who_wait_one_gets_each_message() {
    let queue = Gone::new();
    let id = queue.id().to_string();
    let mut racers: Vec<Peer> = (0..4).map(|_| Peer::start("msg.racer", &[&id])).collect();
    for racer in &mut racers {
        assert_eq!(racer.hear().as_deref(), Some("ready"));
    }
    let numbers = 1..=1000_u64;
    for number in numbers.clone() {
        queue.send_value(1, &number).unwrap();
    }
    // An empty message goes to the wait itself; they come behind all others by their type.
    racers.iter().for_each(|_| queue.send(9, b"").unwrap());
    let mut total = (0, 0);
    for racer in &mut racers {
        let said = racer.hear().unwrap();
        let (count, sum) = said.split_once(' ').unwrap();
        total.0 += count.parse::<u64>().unwrap();
        total.1 += sum.parse::<u64>().unwrap();
    }
    assert_eq!(total, (1000, numbers.sum()));
    assert_eq!(queue.stat().unwrap().messages, 0);
}
