//! A sender that goes on and on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strait_sys::time::Deadline;

use super::*;
use crate::channel::Channel;
use crate::channel::layout::SHARED;

/// Sends records that are no whole message, while `goes_on`.
pub(crate) fn flood(channel: &mut Channel, flag: u64, goes_on: &AtomicBool) {
    let len = if flag == Header::TORN { 0 } else { 8 };
    let record = Header::new(len, flag);
    let guard = Deadline::after(Duration::from_secs(20));
    while goes_on.load(Ordering::SeqCst) {
        assert!(!guard.passed(), "it is heard for good");
        let out = &mut channel.sender().out;
        if out.has_room(record.span()).unwrap() {
            out.push(record, [&[], &[0; 8][..len as usize]]);
            channel.sender().flush();
        }
    }
}

#[test]
fn who_floods_one_thread_is_left_once_the_session_is_over() {
    let (mut near, mut far) = Channel::pair(&Options::new()).unwrap();
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let link = near.receiver().link.clone();
        let flooding = scope.spawn(|| flood(&mut far, Header::TORN, &goes_on));
        let reading = scope.spawn(move || {
            near.receiver()
                .recv_growing(&mut Vec::new(), Patience::Forever)
        });
        link.leave();
        let heard = reading.join().unwrap();
        assert!(!flooding.is_finished());
        goes_on.store(false, Ordering::SeqCst);
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::PeerGone);
    });
}

#[test]
fn the_rest_of_a_dead_holders_message_may_never_end() {
    let (mut near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    let receiver = near.receiver();
    // Another holder has had the beginning.
    let shared = receiver.link.own.word::<u32>(SHARED).unwrap();
    shared.store(End::Receiving.bit(), Ordering::SeqCst);
    receiver.input.lane.begin_pieces(0);
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&mut far, Header::MORE, &goes_on));
        let mut buffer = [0; 64];
        for _ in 0..20 {
            assert_eq!(receiver.try_recv(&mut buffer).unwrap(), Taken::TimedOut);
        }
        let taken = receiver.recv_for(&mut buffer, Duration::from_millis(20));
        assert_eq!(taken.unwrap(), Taken::TimedOut);
        assert!(!flooding.is_finished());
        goes_on.store(false, Ordering::SeqCst);
    });
}
