//! One end in several processes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use strait::channel::{Channel, Options, Receiver, Sender, Taken};
use strait::nt::{Event, Semaphore};
use strait::{ErrorKind, HandleSocket, Pass, inherited};

use crate::channel::numbered;
use crate::peer::{self, Peer, say, told};
use crate::world::{GUARD, Random, alone, refused, until};

pub(crate) const ROLES: &[(&str, peer::Role)] = &[
    ("channel.heir.echo", echo),
    ("channel.heir.sender", sender),
    ("channel.heir.receiver", receiver),
    ("channel.heir.late", late),
    ("channel.heir.attaching", attaching),
];

/// Sends everything back, reversed.
fn echo(_: &[String]) {
    let mut channel: Channel = inherited("end").unwrap();
    say("here");
    let mut bytes = Vec::new();
    while channel.receiver().recv_vec(&mut bytes).unwrap().is_some() {
        bytes.reverse();
        channel.send(&bytes).unwrap();
    }
    say("end");
}

/// Sends numbered messages that begin with its own number.
fn sender(arguments: &[String]) {
    let mut sender: Sender = inherited("end").unwrap();
    let own: u64 = arguments[0].parse().unwrap();
    let count: u64 = arguments[1].parse().unwrap();
    let len_max: usize = arguments[2].parse().unwrap();
    let mut random = Random::of_seed(own);
    say("here");
    assert_eq!(told().as_deref(), Some("go"));
    for number in 0..count {
        let mut message = own.to_le_bytes().to_vec();
        message.extend(numbered(number, random.below(len_max)));
        sender.send(&message).unwrap();
    }
    say("sent");
}

/// Says the number of each message it receives, and at the end that it was the end.
fn receiver(_: &[String]) {
    let mut receiver: Receiver = inherited("end").unwrap();
    say("here");
    let mut bytes = Vec::new();
    loop {
        match receiver.recv_vec(&mut bytes) {
            Ok(Some(_)) => {
                let number = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                assert!(bytes == numbered(number, bytes.len() - 8), "{number}");
                say(number);
            }
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                break;
            }
        }
    }
    say("end");
}

/// Sends a message, with an event.
fn attaching(_: &[String]) {
    let mut sender: Sender = inherited("end").unwrap();
    let event = Event::options().shared().create().unwrap();
    sender.attach(&event).unwrap();
    sender.send(b"with an event").unwrap();
}

/// Takes what it was given when it is told, and says what came of it.
fn late(_: &[String]) {
    say("here");
    told();
    match inherited::<Sender>("end") {
        Ok(mut sender) => {
            sender.send(b"taken").unwrap();
            say("taken");
        }
        Err(error) => say(format!("{:?}", error.kind())),
    }
    told();
}

fn start<T: strait::Transferable>(role: &str, arguments: &[&str], end: &T) -> Peer {
    let mut command = peer::command(role, arguments);
    command.pass("end", end).unwrap();
    Peer::of(&mut command)
}

#[test]
fn an_end_goes_to_a_child_which_then_has_it_alone() {
    alone(
        "channel::share::an_end_goes_to_a_child_which_then_has_it_alone",
        || {
            for capacity in [4096, 64 << 10] {
                let (mut near, far) = Channel::pair(&Options::new().capacity(capacity)).unwrap();
                near.send(b"before").unwrap();
                let mut child = start("channel.heir.echo", &[], &far);
                drop(far);
                assert_eq!(child.hear().as_deref(), Some("here"));
                let mut reply = Vec::new();
                near.receiver().recv_vec(&mut reply).unwrap();
                assert_eq!(reply, b"erofeb");
                for len in [0, 1, 100, 5000, 100_000] {
                    let message = numbered(7, len);
                    near.send(&message).unwrap();
                    near.receiver().recv_vec(&mut reply).unwrap();
                    reply.reverse();
                    assert!(reply == message, "{len} bytes");
                }
                // Its death is heard, and what it had not sent never comes.
                child.kill();
                refused(near.recv(&mut [0; 8]), ErrorKind::PeerGone);
                refused(near.send(b"x"), ErrorKind::PeerGone);
            }
        },
    );
}

#[test]
fn the_last_of_several_to_go_closes_the_end() {
    alone(
        "channel::share::the_last_of_several_to_go_closes_the_end",
        || {
            let (near, mut far) = Channel::pair(&Options::new()).unwrap();
            let (mut sending, receiving) = near.split();
            let mut child = start("channel.heir.sender", &["5", "3", "40"], &sending);
            assert_eq!(child.hear().as_deref(), Some("here"));
            sending.send(b"from the parent").unwrap();
            drop(sending);
            let mut buffer = [0; 100];
            assert_eq!(far.recv(&mut buffer).unwrap(), Some(15));
            let moment = Duration::from_millis(10);
            let nothing = far.recv_for(&mut buffer, moment).unwrap();
            assert_eq!(nothing, Taken::TimedOut, "the child holds it");
            assert_eq!(child.ask("go"), "sent");
            for number in 0..3u64 {
                let len = far.recv(&mut buffer).unwrap().unwrap();
                assert_eq!(buffer[..8], 5u64.to_le_bytes());
                assert_eq!(buffer[8..len], numbered(number, len - 16));
            }
            assert_eq!(
                far.recv(&mut buffer).unwrap(),
                None,
                "in order, as both have closed"
            );
            assert!(child.finish().success());
            drop(receiving);
        },
    );
}

#[test]
fn what_a_dead_sender_attached_comes_with_no_others_message() {
    alone(
        "channel::share::what_a_dead_sender_attached_comes_with_no_others_message",
        || {
            let (near, mut far) = Channel::pair(&Options::new()).unwrap();
            let (mut sending, _receiving) = near.split();
            let mut command = peer::command("channel.heir.attaching", &[]);
            command.env("STRAIT_KILL", "channel.enclosed:1:KILL");
            command.pass("end", &sending).unwrap();
            assert!(!Peer::of(&mut command).finish().success());
            let semaphore = Semaphore::options(0, 1).shared().create().unwrap();
            sending.attach(&semaphore).unwrap();
            sending.send(b"with a semaphore").unwrap();
            assert_eq!(far.recv(&mut [0; 64]).unwrap(), Some(16));
            let came: Semaphore = far.receiver().attached(&[]).unwrap();
            came.release(1).map(drop).unwrap();
            semaphore.wait().unwrap();
        },
    );
}

#[test]
fn what_several_send_comes_whole_and_each_in_order() {
    alone(
        "channel::share::what_several_send_comes_whole_and_each_in_order",
        || {
            let count = 400u64;
            let (near, mut far) = Channel::pair(&Options::new().capacity(8192)).unwrap();
            let (sending, _receiving) = near.split();
            // Up to several rings long: such a message is its sender's from first to last.
            let mut children: Vec<_> = (0..4)
                .map(|own| {
                    let (own, count) = (own.to_string(), count.to_string());
                    start("channel.heir.sender", &[&own, &count, "12000"], &sending)
                })
                .collect();
            drop(sending);
            for child in &mut children {
                assert_eq!(child.hear().as_deref(), Some("here"));
            }
            for child in &mut children {
                child.tell("go");
            }
            let mut next = [0u64; 4];
            let mut bytes = Vec::new();
            while far.receiver().recv_vec(&mut bytes).unwrap().is_some() {
                let own = usize::from(bytes[0]);
                assert!(bytes[8..] == numbered(next[own], bytes.len() - 16));
                next[own] += 1;
            }
            assert_eq!(next, [count; 4]);
        },
    );
}

#[test]
fn a_killed_sender_leaves_nothing_torn_to_the_others() {
    alone(
        "channel::share::a_killed_sender_leaves_nothing_torn_to_the_others",
        || {
            let (near, mut far) = Channel::pair(&Options::new().capacity(8192)).unwrap();
            let (sending, _receiving) = near.split();
            let mut random = Random::of_seed(11);
            let begin = |own: u64| {
                let mut child = start(
                    "channel.heir.sender",
                    &[&own.to_string(), "1000000000", "9000"],
                    &sending,
                );
                assert_eq!(child.hear().as_deref(), Some("here"));
                child.tell("go");
                child
            };
            let mut children: Vec<_> = (0..3).map(begin).collect();
            let mut next: BTreeMap<u64, u64> = BTreeMap::new();
            let mut bytes = Vec::new();
            for round in 3..40 {
                for _ in 0..random.below(60) {
                    let taken = far.receiver().recv_vec(&mut bytes).unwrap();
                    assert!(taken.is_some(), "somebody sends still");
                    let own = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                    let number = next.entry(own).or_default();
                    assert!(
                        bytes[8..] == numbered(*number, bytes.len() - 16),
                        "of {own}"
                    );
                    *number += 1;
                }
                let victim = random.below(children.len());
                children[victim].kill();
                children[victim] = begin(round);
            }
        },
    );
}

#[test]
fn each_message_goes_to_one_of_several_and_none_is_lost_with_the_killed() {
    alone(
        "channel::share::each_message_goes_to_one_of_several_and_none_is_lost_with_the_killed",
        || {
            let (mut near, far) = Channel::pair(&Options::new().capacity(8192)).unwrap();
            let (_sending, receiving) = far.split();
            let mut random = Random::of_seed(21);
            let begin = || {
                let mut child = start("channel.heir.receiver", &[], &receiving);
                assert_eq!(child.hear().as_deref(), Some("here"));
                child
            };
            let mut children: Vec<_> = (0..3).map(|_| begin()).collect();
            let mut said: Vec<std::io::Lines<_>> = Vec::new();
            let mut killed = 0;
            let count = 3000u64;
            for number in 0..count {
                near.send(&numbered(number, random.below(6000))).unwrap();
                if number % 100 == 99 {
                    let victim = random.below(children.len());
                    children[victim].kill();
                    killed += 1;
                    let mut dead = std::mem::replace(&mut children[victim], begin());
                    said.push(lines(&mut dead));
                }
            }
            // The parent's copy goes too: the end is theirs alone.
            drop(receiving);
            near.sender().flush();
            drop(near);
            said.extend(children.iter_mut().map(lines));
            let mut seen = vec![false; usize::try_from(count).unwrap()];
            for line in said.into_iter().flatten().map_while(Result::ok) {
                let Some((_, number)) = line.rsplit_once('@') else {
                    continue;
                };
                let Ok(number) = number.parse::<usize>() else {
                    continue;
                };
                assert!(
                    !std::mem::replace(&mut seen[number], true),
                    "{number} twice"
                );
            }
            // One that dies may have received one message that it had no time to tell of.
            let lost = seen.iter().filter(|seen| !**seen).count();
            assert!(lost <= killed, "{lost} lost by {killed} deaths");
        },
    );
}

/// What it says until it ends.
fn lines(child: &mut Peer) -> std::io::Lines<std::io::BufReader<std::process::ChildStdout>> {
    use std::io::BufRead;
    let empty = std::process::Command::new("true")
        .stdout(Stdio::piped())
        .spawn();
    let mut empty = empty.unwrap();
    let nothing = std::io::BufReader::new(empty.stdout.take().unwrap());
    empty.wait().unwrap();
    std::mem::replace(&mut child.output, nothing).lines()
}

#[test]
fn a_stopped_holder_delays_nobody_beyond_his_time() {
    alone(
        "channel::share::a_stopped_holder_delays_nobody_beyond_his_time",
        || {
            let (near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
            let (mut sending, _receiving) = near.split();
            let mut child = start(
                "channel.heir.sender",
                &["1", "1000000000", "9000"],
                &sending,
            );
            assert_eq!(child.hear().as_deref(), Some("here"));
            child.tell("go");
            // It stops in the middle of a message of several rings: nobody receives the rest.
            let mut bytes = Vec::new();
            for _ in 0..20 {
                far.receiver().recv_vec(&mut bytes).unwrap();
            }
            let pid = rustix::process::Pid::from_child(&child.child);
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
            let moment = Duration::from_millis(20);
            // Whether it has the turn now is its luck; neither call may hang.
            let _ = sending.try_send(b"now").unwrap();
            let _ = sending.send_for(b"soon", moment).unwrap();
            child.kill();
            let sent = std::thread::spawn(move || {
                sending.send(b"the living go on").unwrap();
                sending
            });
            while far.receiver().recv_vec(&mut bytes).unwrap().is_some() {
                if bytes == b"the living go on" {
                    break;
                }
            }
            drop(sent.join().unwrap());
        },
    );
}

#[test]
fn an_end_is_taken_once_and_by_its_own_kind() {
    alone(
        "channel::share::an_end_is_taken_once_and_by_its_own_kind",
        || {
            let (near, mut far) = Channel::pair(&Options::new()).unwrap();
            let (sending, _receiving) = near.split();
            let mut command = peer::command("channel.heir.late", &[]);
            command.pass("end", &sending).unwrap();
            let mut first = Peer::of(&mut command);
            let mut second = Peer::of(&mut command);
            drop((command, sending));
            assert_eq!(first.hear().as_deref(), Some("here"));
            assert_eq!(second.hear().as_deref(), Some("here"));
            assert_eq!(first.ask("take"), "taken");
            assert_eq!(second.ask("take"), "NotFound");
            assert_eq!(far.recv(&mut [0; 8]).unwrap(), Some(5));

            let (near, mut far) = Channel::pair(&Options::new()).unwrap();
            let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            let (sending, receiving) = near.split();
            one.send_handle(&sending).unwrap();
            refused(other.receive_handle::<Receiver>(&[]), ErrorKind::WrongKind);
            one.send_handle(&sending).unwrap();
            refused(
                other.receive_handle::<strait::nt::Event>(&[]),
                ErrorKind::Layout,
            );
            one.send_handle(&sending).unwrap();
            let mut heir: Sender = other.receive_handle(&[]).unwrap();
            heir.send(b"sent").unwrap();
            drop(sending);
            heir.send(b"alone").unwrap();
            drop((heir, receiving));
            assert_eq!(far.recv(&mut [0; 8]).unwrap(), Some(4));
            assert_eq!(far.recv_for(&mut [0; 8], GUARD).unwrap(), Taken::Message(5));
            assert_eq!(far.recv(&mut [0; 8]).unwrap(), None);
        },
    );
}

#[test]
fn what_is_in_this_process_alone_is_not_given_away() {
    let (near, far) = Channel::pair(&Options::new()).unwrap();
    let (mut sending, _receiving) = near.split();
    sending.push(b"unseen").unwrap();
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    refused(one.send_handle(&sending), ErrorKind::Busy);
    sending.flush();
    one.send_handle(&sending).unwrap();
    let (near, _far) = Channel::pair(&Options::new().shareable(false)).unwrap();
    refused(one.send_handle(&near), ErrorKind::Unsupported);
    drop(far);
}

#[test]
fn a_forked_child_does_not_use_its_parents_end() {
    alone(
        "channel::share::a_forked_child_does_not_use_its_parents_end",
        || {
            let (mut near, mut far) = Channel::pair(&Options::new()).unwrap();
            near.send(b"from the parent").unwrap();
            let mut child = None;
            // The watcher gives itself its name once it runs.
            until("no thread is left but ours", || {
                let forked = strait_sys::fork::run_child(|| {
                    let unsupported = |result: strait::Result<()>| {
                        result.is_err_and(|error| error.kind() == ErrorKind::Unsupported)
                    };
                    let refused = unsupported(near.send(b"from the child"))
                        && unsupported(far.recv(&mut [0; 16]).map(drop));
                    u8::from(!refused)
                });
                child = forked.ok();
                child.is_some()
            });
            let options = rustix::process::WaitOptions::empty();
            let (_, status) = rustix::process::waitpid(child, options).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0));
            assert_eq!(far.recv(&mut [0; 16]).unwrap(), Some(15));
            near.send(b"goes on").unwrap();
            assert_eq!(far.recv(&mut [0; 16]).unwrap(), Some(7));
        },
    );
}
