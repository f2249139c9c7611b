//! What the other processes do.

use strait::unix::ipc::Key;
use strait::unix::msg::{Buffer, Queue, Select};
use strait::{Birth, wait};

use super::{select, text};
use crate::peer::{say, told};
use crate::world::GUARD;

/// Does with the queue `args[0]` what it is told, and says what came of it.
pub(super) fn worker(args: &[String]) {
    let queue = Queue::from_id(args[0].parse().unwrap()).unwrap();
    say("ready");
    while let Some(line) = told() {
        let mut words = line.split(' ');
        let verb = words.next().unwrap();
        let mut next = || words.next().unwrap_or_default();
        let answer = match verb {
            "send" => {
                let kind = next().parse().unwrap();
                let result = queue.send(kind, next().as_bytes());
                result.map(|()| "sent".to_owned())
            }
            "recv" => {
                let select = select(next(), words.next());
                queue.recv(select).map(|message| text(&message))
            }
            "recv-into" => {
                let mut buffer = Buffer::new(64);
                let select = select(next(), words.next());
                let result = queue.recv_into(select, &mut buffer);
                result.map(|()| format!("{} {}", buffer.kind(), buffer.bytes().len()))
            }
            "recv-for" => queue
                .recv_for(select(next(), words.next()), GUARD)
                .map(|message| text(&message.unwrap())),
            "send-for" => queue
                .send_for(1, b"late", GUARD)
                .map(|sent| sent.to_string()),
            "wait" => {
                let receiving = queue.receiving(select(next(), words.next())).unwrap();
                let won = wait::any(&[&receiving]);
                won.and_then(|_| receiving.take())
                    .map(|message| text(&message.unwrap()))
            }
            other => panic!("no such order: {other}"),
        };
        say(answer.unwrap_or_else(|error| format!("{:?}", error.kind())));
    }
}

/// Makes or finds the queue of the key `args[0]` when told to, and says which.
pub(super) fn birth(args: &[String]) {
    let key = Key::new(args[0].parse().unwrap());
    say("ready");
    while told().is_some() {
        let (queue, birth) = Queue::create_or_open(key, 0o600).unwrap();
        assert!(queue.try_send(1, b"").unwrap());
        let born = if birth == Birth::Created {
            "created"
        } else {
            "opened"
        };
        say(format!("{born} {}", queue.id()));
    }
}

/// Takes numbers from the queue `args[0]` by waits until it gets none, and says how many and their
/// sum.
pub(super) fn racer(args: &[String]) {
    let queue = Queue::from_id(args[0].parse().unwrap()).unwrap();
    let receiving = queue.receiving(Select::Lowest(9)).unwrap();
    let (mut count, mut sum) = (0, 0);
    say("ready");
    loop {
        wait::any(&[&receiving]).unwrap();
        let message = receiving.take().unwrap().unwrap();
        if message.bytes.is_empty() {
            return say(format!("{count} {sum}"));
        }
        count += 1;
        sum += message.value::<u64>().unwrap();
    }
}
