//! A sender that goes on and on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::channel::Channel;
use crate::channel::layout::SHARED;
use crate::channel::tests::step::at_steps;

/// More records than a ring of a page holds, some times over.
const MANY: u32 = 5000;
/// A few more than it holds of those that are used here.
const ONE_RING: u32 = 4096 / 8 + 8;

/// Sends a record that is no whole message, if there is room.
pub(crate) fn put(channel: &mut Channel, flag: u64) -> bool {
    let len = if flag == Header::TORN { 0 } else { 8 };
    let record = Header::new(len, flag);
    let out = &mut channel.sender().out;
    let has_room = out.has_room(record.span()).unwrap();
    if has_room {
        out.push(record, [&[], &[0; 8][..len as usize]]);
        channel.sender().flush();
    }
    has_room
}

/// At each of those steps one more comes; how many have.
fn goes_on(mut channel: Channel, flag: u64, step: &'static str) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    assert!(put(&mut channel, flag));
    at_steps(step, MANY, move || {
        counted.set(counted.get() + u32::from(put(&mut channel, flag)));
    });
    count
}

#[test]
fn who_floods_one_thread_is_left_once_the_session_is_over() {
    let (mut near, far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    let count = goes_on(far, Header::TORN, "gather: one more");
    near.receiver().link.leave();
    let heard = near
        .receiver()
        .recv_growing(&mut Vec::new(), Patience::Forever);
    assert_eq!(heard.unwrap_err().kind(), ErrorKind::PeerGone);
    assert!((100..ONE_RING).contains(&count.get()), "{}", count.get());
}

#[test]
fn the_rest_of_a_dead_holders_message_may_never_end() {
    let (mut near, far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    let receiver = near.receiver();
    // Another holder has had the beginning.
    let shared = receiver.link.own.word::<u32>(SHARED).unwrap();
    shared.store(End::Receiving.bit(), Ordering::SeqCst);
    receiver.input.lane.begin_pieces(0);
    let count = goes_on(far, Header::MORE, "orphans: one more");
    let mut buffer = [0; 64];
    for turn in 1..5 {
        let taken = if turn % 2 == 0 {
            receiver.recv_for(&mut buffer, Duration::from_nanos(1))
        } else {
            receiver.try_recv(&mut buffer)
        };
        assert_eq!(taken.unwrap(), Taken::TimedOut);
        assert!(
            (1..turn * ONE_RING).contains(&count.get()),
            "{}",
            count.get()
        );
    }
}
