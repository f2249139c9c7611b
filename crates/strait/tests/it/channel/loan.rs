//! Messages that are read where the sender wrote them.

use std::time::Duration;

use strait::ErrorKind;
use strait::channel::{Channel, Lent, Message, Options, Receiver, Taken};

use crate::channel::{Met, meet, meet_with, numbered, options};
use crate::peer::{self, say, told};
use crate::world::{GUARD, Random, refused};

pub(crate) const ROLES: &[(&str, peer::Role)] =
    &[("channel.lender", lender), ("channel.keeper", keeper)];

const BLOCKS: u32 = 3;
const BLOCK_LEN: usize = 64 << 10;

fn lends(options: Options) -> Options {
    options.blocks(BLOCKS, BLOCK_LEN)
}

fn lending() -> Options {
    lends(Options::new().capacity(4096))
}

/// Sends numbered messages, lent and copied, for ever or so many.
fn lender(arguments: &[String]) {
    let options = lends(options(arguments));
    let mut channel = Channel::open(&arguments[0], &options).unwrap();
    let mut random = Random::of_seed(arguments[2].parse().unwrap());
    let count = arguments[3].parse().unwrap();
    for number in 0..count {
        let message = numbered(number, random.below(BLOCK_LEN - 8));
        if random.below(4) == 0 {
            channel.send(&message[..message.len().min(2000)]).unwrap();
            continue;
        }
        let mut loan = channel.sender().loan(BLOCK_LEN).unwrap();
        let (first, second) = message.split_at(random.below(message.len()));
        loan.write(first.len(), second).unwrap();
        loan.write(0, first).unwrap();
        if random.below(8) == 0 {
            // Taken, and not sent.
            let _second = channel.sender().try_loan(1).unwrap();
        }
        channel.sender().send_loan(loan, message.len()).unwrap();
    }
    say("sent");
    while told().is_some() {}
}

/// Receives what is lent and keeps it.
fn keeper(arguments: &[String]) {
    let mut channel = Channel::open(&arguments[0], &options(arguments)).unwrap();
    let mut kept = Vec::new();
    say("here");
    while told().is_some() {
        kept.push(lent(channel.receiver()));
        say("kept");
    }
}

fn lent(receiver: &mut Receiver) -> Lent {
    match receiver.recv_message(&mut []).unwrap() {
        Some(Message::Lent(lent)) => lent,
        other => panic!("{other:?} is no loan"),
    }
}

fn bytes_of(lent: &Lent) -> Vec<u8> {
    let mut bytes = vec![0; lent.len()];
    lent.read(0, &mut bytes).unwrap();
    bytes
}

fn check(bytes: &[u8], number: u64) {
    let sent = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(sent, number);
    assert!(
        bytes == numbered(number, bytes.len() - 8),
        "message {number}"
    );
}

fn lender_met(seed: u64, count: u64) -> Met {
    let (seed, count) = (seed.to_string(), count.to_string());
    meet("channel.lender", 4096, &[&seed, &count])
}

#[test]
fn lent_messages_come_whole_and_in_order_among_others() {
    let count = 600;
    let mut met = lender_met(7, count);
    let mut random = Random::of_seed(8);
    let mut buffer = vec![0; BLOCK_LEN];
    let mut kept: Vec<(u64, Lent)> = Vec::new();
    for number in 0..count {
        // Received as any other, which copies it.
        if random.below(5) == 0 {
            let len = met.channel.recv(&mut buffer).unwrap().unwrap();
            check(&buffer[..len], number);
            continue;
        }
        match met.channel.receiver().recv_message(&mut buffer).unwrap() {
            Some(Message::Copied(len)) => check(&buffer[..len], number),
            Some(Message::Lent(lent)) => kept.push((number, lent)),
            None => panic!("the sender has not closed"),
        }
        // The sender waits for blocks: they are given back in any order.
        while kept.len() >= BLOCKS as usize - 1 {
            let (number, lent) = kept.swap_remove(random.below(kept.len()));
            check(&bytes_of(&lent), number);
            let last = lent.look::<u64>(0).unwrap();
            assert_eq!(last.load(std::sync::atomic::Ordering::Relaxed), number);
        }
    }
    assert_eq!(met.peer.hear().as_deref(), Some("sent"));
    for (number, lent) in kept {
        check(&bytes_of(&lent), number);
    }
}

#[test]
fn what_a_dead_sender_lent_can_still_be_read() {
    let mut met = lender_met(3, 1 << 40);
    let mut kept = Vec::new();
    let mut number = 0;
    while kept.len() < BLOCKS as usize {
        match met
            .channel
            .receiver()
            .recv_message(&mut vec![0; 4096])
            .unwrap()
        {
            Some(Message::Lent(lent)) => kept.push((number, lent)),
            Some(Message::Copied(_)) => {}
            None => panic!("the sender has not closed"),
        }
        number += 1;
    }
    met.peer.kill();
    let ended = loop {
        match met.channel.receiver().recv_message(&mut vec![0; 4096]) {
            Ok(Some(Message::Lent(_))) => panic!("it had no more blocks"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(ended.kind(), ErrorKind::PeerGone, "{ended}");
    for (number, lent) in kept {
        check(&bytes_of(&lent), number);
    }
}

#[test]
fn who_waits_for_a_block_gets_the_next_or_hears_of_the_readers_death() {
    let mut met = meet_with("channel.keeper", (4096, &lends), &[]);
    assert_eq!(met.peer.hear().as_deref(), Some("here"));
    for _ in 0..BLOCKS {
        let loan = met.channel.sender().loan(8).unwrap();
        met.channel.sender().send_loan(loan, 8).unwrap();
        met.peer.ask("take");
    }
    let sender = met.channel.sender();
    assert!(sender.try_loan(8).unwrap().is_none());
    let none = sender.loan_for(8, Duration::from_millis(20)).unwrap();
    assert!(none.is_none());
    let mut channel = met.channel;
    let waiting = std::thread::spawn(move || channel.sender().loan(8).map(drop));
    met.peer.kill();
    refused(waiting.join().unwrap(), ErrorKind::PeerGone);
}

#[test]
fn a_block_comes_back_when_it_is_dropped_and_wakes_who_waits() {
    let (mut near, mut far) = Channel::pair(&lending()).unwrap();
    for round in 0..200u64 {
        let mut loans = Vec::new();
        for _ in 0..BLOCKS {
            loans.push(near.sender().loan(BLOCK_LEN).unwrap());
        }
        assert!(
            near.sender().try_loan(1).unwrap().is_none(),
            "round {round}"
        );
        // One is dropped unsent, the others are sent.
        loans.pop();
        for mut loan in loans {
            loan.write(0, &round.to_le_bytes()).unwrap();
            near.sender().send_loan(loan, 8).unwrap();
        }
        let first = lent(far.receiver());
        let second = lent(far.receiver());
        assert_eq!(bytes_of(&first), round.to_le_bytes());
        let free = near.sender().loan(1).unwrap();
        assert!(near.sender().try_loan(1).unwrap().is_none());
        let waiting = std::thread::scope(|scope| {
            let sender = near.sender();
            let waiting = scope.spawn(move || sender.loan_for(1, GUARD).unwrap().is_some());
            drop(second);
            waiting.join().unwrap()
        });
        assert!(waiting, "the block that was given back");
        drop((first, free));
    }
}

#[test]
fn a_loan_must_fit_and_be_its_senders() {
    let (mut near, mut far) = Channel::pair(&lending()).unwrap();
    let (mut other, _its_far) = Channel::pair(&lending()).unwrap();
    refused(near.sender().loan(BLOCK_LEN + 1), ErrorKind::InvalidInput);
    let mut loan = near.sender().loan(100).unwrap();
    refused(loan.write(93, &[0; 8]), ErrorKind::InvalidInput);
    refused(loan.word::<u64>(96).map(|_| ()), ErrorKind::InvalidInput);
    refused(loan.word::<u64>(4).map(|_| ()), ErrorKind::InvalidInput);
    refused(near.sender().send_loan(loan, 101), ErrorKind::InvalidInput);
    let loan = near.sender().loan(100).unwrap();
    refused(other.sender().send_loan(loan, 1), ErrorKind::InvalidInput);
    let (mut poor, _its_far) = Channel::pair(&Options::new()).unwrap();
    refused(poor.sender().loan(0), ErrorKind::InvalidInput);
    // One that does not fit the buffer of a plain receive stays, and is lent still.
    let loan = near.sender().loan(100).unwrap();
    near.sender().send_loan(loan, 100).unwrap();
    assert_eq!(far.receiver().next_len().unwrap(), Some(100));
    let error = refused(far.recv(&mut [0; 99]), ErrorKind::TooLong);
    assert!(error.why().contains("100 bytes"), "{error}");
    let lent = lent(far.receiver());
    refused(lent.read(93, &mut [0; 8]), ErrorKind::InvalidInput);
    refused(lent.look::<u64>(96).map(|_| ()), ErrorKind::InvalidInput);
    let moment = Duration::from_millis(1);
    let nothing = far.receiver().recv_message_for(&mut [], moment).unwrap();
    assert!(matches!(nothing, Taken::TimedOut));
}
