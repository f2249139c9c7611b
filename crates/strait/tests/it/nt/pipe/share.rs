//! One end in several processes: passed to a child, or sent.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use strait::nt::pipe::{self, ReadMode, Reader, SessionState, Writer};
use strait::{HandleSocket, Pass, Transferable, inherited, wait};

use super::*;
use crate::channel::numbered;
use crate::death::points_in;
use crate::death::watch::setting;
use crate::peer::{self, Peer, say, told};
use crate::world::{Random, alone, refused};

/// Bytes of a record of several writers.
const RECORD: usize = 100;

/// Does with what it inherited as it is told. Says a code where it fails, and is then done.
pub(super) fn heir(arguments: &[String]) {
    match &*arguments[0] {
        "reader" => obey(
            &inherited::<Reader>("end").unwrap(),
            |end, buffer| end.read(buffer).map(|len| (len, false)),
            |_, _| unreachable!("it reads only"),
        ),
        "writer" => obey(
            &inherited::<Writer>("end").unwrap(),
            |_, _| unreachable!("it writes only"),
            Writer::write,
        ),
        "client" => obey(
            &inherited::<Client>("end").unwrap(),
            |end, buffer| end.read(buffer).map(|part| (part.len, part.more)),
            Client::write,
        ),
        _ => {
            let session: Session = inherited("end").unwrap();
            say(format!(
                "{} {}",
                session.client().unwrap().pid,
                session.name()
            ));
            obey(
                &session,
                |end, buffer| end.read(buffer).map(|part| (part.len, part.more)),
                Session::write,
            );
            session.disconnect().unwrap();
            say(code(session.connect()));
            told();
        }
    }
}

fn obey<T>(
    end: &T,
    read: impl Fn(&T, &mut [u8]) -> Result<(usize, bool)>,
    write: impl Fn(&T, &[u8]) -> Result<usize>,
) {
    say("here");
    let mut buffer = [0; 64];
    while let Some(line) = told() {
        let (verb, text) = line.split_once(' ').unwrap();
        let failed = match verb {
            "done" => return,
            "write" => match write(end, text.as_bytes()) {
                Ok(len) => {
                    say(len);
                    continue;
                }
                Err(error) => error,
            },
            _ => match read(end, &mut buffer[..text.parse().unwrap()]) {
                Ok((len, more)) => {
                    let more = if more { "+" } else { "" };
                    say(format!("{}{more}", String::from_utf8_lossy(&buffer[..len])));
                    continue;
                }
                Err(error) => error,
            },
        };
        return say(failed.win32());
    }
}

/// Writes so many records that begin with its number, or for ever.
pub(super) fn recorder(arguments: &[String]) {
    let writer: Writer = inherited("end").unwrap();
    let own: u8 = arguments[0].parse().unwrap();
    say("here");
    told();
    for count in 0u32.. {
        let mut record = [own; RECORD];
        record[1..5].copy_from_slice(&count.to_le_bytes());
        writer.write(&record).unwrap();
    }
}

/// Says the number of each message it reads.
pub(super) fn taker(_: &[String]) {
    let client: Client = inherited("end").unwrap();
    say("here");
    let mut buffer = vec![0; 100_000];
    loop {
        match client.read(&mut buffer) {
            Ok(part) => {
                let message = &buffer[..part.len];
                let number = u64::from_le_bytes(*message.first_chunk().unwrap());
                assert!(message == numbered(number, part.len - 8), "{number}");
                assert!(!part.more);
                say(number);
            }
            Err(error) => return say(format!("end {}", error.win32())),
        }
    }
}

/// Writes messages that begin with its number, for ever.
pub(super) fn poster(arguments: &[String]) {
    let client: Client = inherited("end").unwrap();
    let own: u8 = arguments[0].parse().unwrap();
    let mut random = Random::of_seed(own.into());
    say("here");
    for number in 0.. {
        let mut message = vec![own; 8];
        message.extend(numbered(number, length(&mut random)));
        client.write(&message).unwrap();
    }
}

/// In one record, in several, and longer than the ring.
fn length(random: &mut Random) -> usize {
    let len = [500, 5000, 60_000][random.below(3)];
    random.below(len)
}

fn start<T: Transferable>(role: &str, arguments: &[&str], end: &T) -> Peer {
    let mut command = peer::command(role, arguments);
    command.pass("end", end).unwrap();
    let mut child = Peer::of(&mut command);
    assert_eq!(child.hear().as_deref(), Some("here"));
    child
}

#[test]
fn a_child_reads_what_its_parent_writes_and_the_end() {
    alone(
        "nt::pipe::share::a_child_reads_what_its_parent_writes_and_the_end",
        || {
            let (reader, mut writer) = pipe::anonymous(16).unwrap();
            writer.write(b"before").unwrap();
            let mut child = start("nt.pipe.heir", &["reader"], &reader);
            drop(reader);
            assert_eq!(child.ask("read 3"), "bef");
            assert_eq!(child.ask("read 64"), "ore");
            // More than the quota waits for the child.
            child.tell("read 64");
            let mut text = vec![b'x'; 64];
            writer.write_all(&text).unwrap();
            assert_eq!(child.hear(), String::from_utf8(text.clone()).ok());
            text.truncate(8);
            writer.write_all(&text).unwrap();
            drop(writer);
            assert_eq!(child.ask("read 64"), "xxxxxxxx");
            assert_eq!(child.ask("read 64"), "109");
            // The other way round, and by SIGKILL.
            let (reader, writer) = pipe::anonymous(16).unwrap();
            let mut child = start("nt.pipe.heir", &["reader"], &reader);
            drop(reader);
            let broken = beside(|| code(writer.write(&[0; 1 << 20])), || child.kill());
            // Before the write began, or while it waited.
            assert!([232, 109].contains(&broken), "{broken}");
            is_code(writer.write(b"x"), ErrorKind::PeerGone, 232);
        },
    );
}

#[test]
fn a_pipe_ends_with_the_last_of_its_writers() {
    alone(
        "nt::pipe::share::a_pipe_ends_with_the_last_of_its_writers",
        || {
            let (mut reader, writer) = pipe::anonymous(0).unwrap();
            writer.write(b"mine ").unwrap();
            let mut first = start("nt.pipe.heir", &["writer"], &writer);
            let mut second = start("nt.pipe.heir", &["writer"], &writer);
            drop(writer);
            assert_eq!(first.ask("write one"), "3");
            let mut bytes = [0; 64];
            assert_eq!(reader.read(&mut bytes).unwrap(), 8);
            assert_eq!(&bytes[..8], b"mine one");
            assert!(first.finish().success());
            assert_eq!(second.ask("write two"), "3");
            assert_eq!(reader.read(&mut bytes).unwrap(), 3);
            assert_eq!(wait::any_for(&[&reader], ZERO).unwrap(), None);
            // Without a word of its own.
            second.kill();
            assert!(wait::any_for(&[&reader], GUARD).unwrap().is_some());
            is_code(Reader::read(&reader, &mut bytes), ErrorKind::PeerGone, 109);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
        },
    );
}

#[test]
fn what_several_write_comes_whole_also_if_they_are_killed() {
    alone(
        "nt::pipe::share::what_several_write_comes_whole_also_if_they_are_killed",
        || {
            const ROUNDS: u8 = 30;
            let (mut reader, writer) = pipe::anonymous(512).unwrap();
            let begin = |own: u8| {
                let mut child = start("nt.pipe.recorder", &[&own.to_string()], &writer);
                child.tell("go");
                child
            };
            let mut random = Random::of_seed(31);
            let mut children: Vec<_> = (0..3).map(begin).collect();
            let mut next = [0u32; 256];
            for round in 3..ROUNDS {
                for _ in 0..random.below(200) {
                    let mut record = [0; RECORD];
                    reader.read_exact(&mut record).unwrap();
                    let own = record[0];
                    let count = u32::from_le_bytes(*record[1..].first_chunk().unwrap());
                    assert_eq!(count, next[usize::from(own)], "of {own}");
                    assert!(record[5..].iter().all(|byte| *byte == own));
                    next[usize::from(own)] += 1;
                }
                let victim = random.below(children.len());
                children[victim].kill();
                children[victim] = begin(round);
            }
            // What they have written and no more: then the quota is free, whoever was killed.
            children.iter_mut().for_each(Peer::kill);
            while reader.peek(&mut []).unwrap().available != 0 {
                reader.read_exact(&mut [0; RECORD]).unwrap();
            }
            assert_eq!(
                writer
                    .write_overlapped(vec![1; 512])
                    .unwrap()
                    .wait()
                    .unwrap()
                    .len,
                512
            );
            drop(writer);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 512);
        },
    );
}

#[test]
fn each_message_is_read_by_one_of_several_and_none_is_lost_with_the_killed() {
    alone(
        "nt::pipe::share::each_message_is_read_by_one_of_several_and_none_is_lost_with_the_killed",
        || {
            const COUNT: usize = 2000;
            let space = space();
            let (session, client) = joined(&space, server(&space).message().quotas(9000, 9000));
            client.set_read_mode(ReadMode::Message).unwrap();
            let begin = || start("nt.pipe.taker", &[], &client);
            let mut random = Random::of_seed(41);
            let mut children: Vec<_> = (0..3).map(|_| begin()).collect();
            let mut heard = Vec::new();
            let mut killed = 0;
            for number in 0..COUNT {
                session
                    .write(&numbered(number as u64, length(&mut random)))
                    .unwrap();
                if number % 100 == 99 {
                    let victim = random.below(children.len());
                    children[victim].kill();
                    killed += 1;
                    heard.push(std::mem::replace(&mut children[victim], begin()));
                }
            }
            drop(client);
            session.flush().unwrap();
            drop(session);
            heard.extend(children);
            let mut seen = [false; COUNT];
            let mut ends = 0;
            for child in &mut heard {
                while let Some(line) = child.hear() {
                    if line.starts_with("end") {
                        assert_eq!(line, "end 109");
                        ends += 1;
                    } else if let Ok(number) = line.parse::<usize>() {
                        assert!(
                            !std::mem::replace(&mut seen[number], true),
                            "{number} twice"
                        );
                    }
                }
            }
            assert_eq!(ends, 3);
            // One that dies may have read a message that it had no time to tell of.
            let lost = seen.iter().filter(|seen| !**seen).count();
            assert!(lost <= killed, "{lost} lost by {killed} deaths");
        },
    );
}

#[test]
fn the_rest_of_a_message_is_read_in_another_process() {
    alone(
        "nt::pipe::share::the_rest_of_a_message_is_read_in_another_process",
        || {
            let space = space();
            let (session, client) = joined(&space, server(&space).message());
            client.set_read_mode(ReadMode::Message).unwrap();
            session.write(b"one message").unwrap();
            session.write(b"another").unwrap();
            let part = client.read(&mut [0; 4]).unwrap();
            assert_eq!((part.len, part.more), (4, true));
            let mut child = start("nt.pipe.heir", &["client"], &client);
            assert_eq!(child.ask("read 3"), "mes+");
            let mut buffer = [0; 64];
            let peeked = client.peek(&mut buffer).unwrap();
            assert_eq!((peeked.len, peeked.available), (4, 11));
            let part = client.read(&mut buffer).unwrap();
            assert_eq!((&buffer[..part.len], part.more), (&b"sage"[..], false));
            assert_eq!(child.ask("read 64"), "another");
            // One of several records, whose end is not written yet.
            let long = vec![b'l'; 100_000];
            std::thread::scope(|scope| {
                scope.spawn(|| session.write(&long).unwrap());
                assert_eq!(child.ask("read 10"), format!("{}+", "l".repeat(10)));
                let mut rest = vec![0; 100_000];
                let part = client.read(&mut rest).unwrap();
                assert_eq!((part.len, part.more), (99_990, false));
                assert!(rest[..99_990] == long[10..]);
            });
            // Both write, and each is answered.
            assert_eq!(child.ask("write from the child"), "14");
            client.write(b"from the parent").unwrap();
            let part = session.read(&mut buffer).unwrap();
            assert_eq!(&buffer[..part.len], b"from the child");
            let part = session.read(&mut buffer).unwrap();
            assert_eq!(&buffer[..part.len], b"from the parent");
            drop(client);
            assert_eq!(session.state(), SessionState::Connected);
            child.kill();
            until_closing(&session);
            is_code(session.read(&mut buffer), ErrorKind::PeerGone, 109);
        },
    );
}

#[test]
fn a_session_goes_on_in_a_child() {
    alone("nt::pipe::share::a_session_goes_on_in_a_child", || {
        let space = space();
        let server = server(&space).message().create().unwrap();
        let session = server.instance().unwrap();
        let mut command = peer::command("nt.pipe.heir", &["session"]);
        refused(command.pass("end", &session), ErrorKind::WrongState);
        let client = client(&space).open().unwrap();
        client.set_read_mode(ReadMode::Message).unwrap();
        session.connect().unwrap();
        command.pass("end", &session).unwrap();
        let mut child = Peer::of(&mut command);
        drop((command, session));
        let own = format!("{} {NAME}", std::process::id());
        assert_eq!(child.hear(), Some(own), "whose client it is");
        assert_eq!(child.hear().as_deref(), Some("here"));
        let mut reply = [0; 64];
        let answered = beside(
            || client.transact(b"ping", &mut reply).unwrap().len,
            || {
                assert_eq!(child.ask("read 64"), "ping");
                assert_eq!(child.ask("write pong!"), "5");
            },
        );
        assert_eq!(&reply[..answered], b"pong!");
        assert_eq!(child.ask("done now"), "50", "the parent has the name");
        is_code(client.read(&mut reply), ErrorKind::PeerGone, 233);
        // Which serves on.
        let session = server.instance().unwrap();
        let next = super::client(&space).open().unwrap();
        next.write(b"next").unwrap();
        assert_eq!(session.read(&mut reply).unwrap().len, 4);
    });
}

#[test]
fn what_is_in_this_process_alone_is_not_given_away() {
    let (one, other) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe::anonymous(4).unwrap();
    let read = reader.read_overlapped(vec![0; 9]).unwrap();
    let waits = || refused(one.send_handle(&reader), ErrorKind::Busy);
    until("the read waits", || one.send_handle(&reader).is_err());
    waits();
    writer.write(b"back").unwrap();
    until("it has ended", || {
        wait::any_for(&[&read], ZERO).unwrap().is_some()
    });
    drop(read);
    let error = waits();
    assert!(error.to_string().contains("read it first"), "{error}");
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 4);
    let pending = writer.write_overlapped(vec![0; 9]).unwrap();
    until("the write waits", || one.send_handle(&writer).is_err());
    reader.read(&mut [0; 9]).unwrap();
    assert_eq!(pending.wait().unwrap().len, 9);
    drop(other);
}

#[test]
fn an_end_is_received_as_what_it_is() {
    let (one, other) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe::anonymous(4).unwrap();
    one.send_handle(&reader).unwrap();
    refused(other.receive_handle::<Writer>(&[]), ErrorKind::WrongKind);
    one.send_handle(&reader).unwrap();
    let sent = other.receive_handle::<strait::channel::Channel>(&[]);
    refused(sent, ErrorKind::WrongKind);
    one.send_handle(&writer).unwrap();
    let heir: Writer = other.receive_handle(&[]).unwrap();
    heir.write(b"sent").unwrap();
    drop((heir, writer));
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer).unwrap(), 4);
    is_code(reader.read(&mut buffer), ErrorKind::PeerGone, 109);
}

const QUOTA: u64 = 9000;

/// Both ends of a pipe whose client two children share, one of which dies at a point.
struct Scene {
    session: Session,
    client: Client,
    victim: Peer,
    survivor: Peer,
    random: Random,
}

impl Scene {
    fn new(role: &str, point: &str, round: u64) -> Self {
        let space = space();
        let options = server(&space).message().read_mode(ReadMode::Message);
        let (session, client) = joined(&space, options.quotas(QUOTA as usize, QUOTA as usize));
        client.set_read_mode(ReadMode::Message).unwrap();
        let mut random = Random::of_seed(round);
        let mut command = peer::command(role, &["1"]);
        let nth = 1 + random.below(20);
        command.env("STRAIT_KILL", format!("{point}:{nth}:KILL"));
        command.pass("end", &client).unwrap();
        let survivor = start(role, &["2"], &client);
        Self {
            victim: Peer::of(&mut command),
            session,
            client,
            survivor,
            random,
        }
    }

    /// One of the two readers dies. How many messages nobody has.
    fn of_readers(mut self) -> usize {
        let outputs = [&mut self.victim.output, &mut self.survivor.output];
        let (sent, had) = std::thread::scope(|scope| {
            // All the while: one whose output is full would read no more.
            let had = outputs.map(|output| {
                let lines = std::iter::from_fn(move || peer::hear(output));
                scope.spawn(|| -> Vec<usize> {
                    lines.filter_map(|line| line.parse().ok()).collect()
                })
            });
            let (mut sent, mut after) = (0, 0);
            while after < 20 {
                let message = numbered(sent, length(&mut self.random));
                let mut write = self.session.write_overlapped(message).unwrap();
                let done = write.wait_for(GUARD).unwrap();
                assert!(done.is_some(), "nobody reads message {sent}");
                sent += 1;
                after += usize::from(self.victim.child.try_wait().unwrap().is_some());
            }
            drop(self.client);
            self.session.flush().unwrap();
            drop(self.session);
            (sent, had.map(|had| had.join().unwrap()).concat())
        });
        let mut seen = vec![false; usize::try_from(sent).unwrap()];
        for number in had {
            let before = std::mem::replace(&mut seen[number], true);
            assert!(!before, "{number} twice");
        }
        seen.iter().filter(|seen| !**seen).count()
    }

    /// One of the two writers dies.
    fn of_writers(mut self) {
        let (tell, hear) = std::sync::mpsc::channel();
        let session = self.session;
        let reading = std::thread::spawn(move || {
            let mut buffer = vec![0; 100_000];
            while let Ok(part) = session.read(&mut buffer) {
                tell.send(buffer[..part.len].to_vec()).unwrap();
            }
        });
        let mut next = [0; 3];
        let mut after = 0;
        while after < 20 {
            let message = hear.recv_timeout(GUARD).expect("the survivor writes on");
            let own = usize::from(message[0]);
            assert!(
                message[8..] == numbered(next[own], message.len() - 16),
                "{own}"
            );
            next[own] += 1;
            after += usize::from(self.victim.child.try_wait().unwrap().is_some());
        }
        self.survivor.kill();
        // Whatever of a message is there is dropped, and the quota is as free as it was.
        self.client.write(b"last").unwrap();
        while hear.recv_timeout(GUARD).expect("so does the parent") != b"last" {}
        assert_eq!(self.client.writable().unwrap(), QUOTA);
        drop(self.client);
        reading.join().unwrap();
    }
}

/// Each is hit five times here, a hundred times in `cargo xtask storm`.
#[test]
fn at_every_point_of_a_shared_end_the_others_go_on() {
    alone(
        "nt::pipe::share::at_every_point_of_a_shared_end_the_others_go_on",
        || {
            let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
            let mut points = BTreeSet::new();
            points_in(&package.join("src/channel/flow"), &mut points);
            assert!(points.len() >= 6, "the sources are not where they were");
            let hits = setting("STRAIT_DEATH_HITS", 5);
            for point in &points {
                let writes = ["channel.pushed", "channel.piece", "flow.summed"];
                for round in 0..hits {
                    println!("{point} {round}");
                    if writes.contains(&&**point) {
                        Scene::new("nt.pipe.poster", point, round).of_writers();
                    } else {
                        let lost = Scene::new("nt.pipe.taker", point, round).of_readers();
                        // What the dead one had in hand.
                        assert!(lost <= 1, "{lost} lost at {point}");
                    }
                }
            }
        },
    );
}
