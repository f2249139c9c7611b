//! A peer that lies in the handshake and in the memory: it loses its own session, by an error that
//! says what it did, and nobody else loses anything.

pub(crate) mod liar;
mod ordeal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use strait::channel::{Channel, Listener, Options, Taken};
use strait::nt::pipe;
use strait::nt::status::NtStatus;
use strait::{Error, ErrorKind, Pass};
use strait_sys::{futex, memfd};

use crate::channel::tempdir::Place;
use crate::peer::Role;
use crate::world::{GUARD, Random, refused};

use self::liar::{
    CAPACITY, Greeting, HEAD, LOAN, Liar, MORE, PAGE, PIPE, STATE, TAIL, TORN, TOTAL, connected,
    greet, impostors, listening, memory, pair, proper,
};

pub(crate) const ROLES: &[(&str, Role)] = &[("channel.liar", ordeal::liar)];

fn options() -> Options {
    Options::new().capacity(4096).message_max(1 << 20)
}

/// What a victim that accepts answers to such a greeting.
fn accepting(bytes: &[u8], files: &[BorrowedFd<'_>]) -> strait::Result<Channel> {
    let (near, far) = pair();
    greet(&near, bytes, files);
    Channel::accept(far, &options())
}

/// What a victim that connects says to such an answer.
fn connecting(bytes: &[u8], files: &[BorrowedFd<'_>]) -> strait::Result<Channel> {
    let (near, far) = pair();
    // The answer may be there before the question.
    greet(&near, bytes, files);
    Channel::connect(far, &options())
}

#[track_caller]
fn broken<T>(result: strait::Result<T>, why: &str) -> Error {
    let error = refused(result, ErrorKind::Broken);
    assert!(error.why().contains(why), "{error}: not because {why}");
    error
}

// ---- the handshake -------------------------------------------------------------------------

#[test]
fn descriptors_that_are_no_memory_are_refused() {
    let hello = Greeting::hello().bytes();
    let welcome = Greeting::welcome().bytes();
    let (good, bells) = (proper(), memory(PAGE as u64));
    for (what, impostor) in impostors() {
        println!("{what}");
        let why = "not memory of a sealed size";
        broken(accepting(&hello, &[impostor.as_fd()]), why);
        broken(
            connecting(&welcome, &[impostor.as_fd(), bells.as_fd()]),
            why,
        );
        broken(connecting(&welcome, &[good.as_fd(), impostor.as_fd()]), why);
    }
}

#[test]
fn memory_of_a_wrong_size_or_mode_is_refused() {
    let hello = Greeting::hello().bytes();
    let welcome = Greeting::welcome().bytes();
    let len = PAGE as u64 + CAPACITY;
    let (good, bells) = (proper(), memory(PAGE as u64));
    for wrong in [1, PAGE as u64, len - 1, len + 1, 2 * len, 1 << 40] {
        let wrong = memory(wrong);
        let why = "another size than it said";
        broken(accepting(&hello, &[wrong.as_fd()]), why);
        broken(connecting(&welcome, &[wrong.as_fd(), bells.as_fd()]), why);
    }
    broken(
        connecting(&welcome, &[good.as_fd(), good.as_fd()]),
        "another size than it said",
    );
    // A bell page that cannot be written, by its descriptor or by a seal.
    let looks = memfd::reopen_read_only(bells.as_fd()).unwrap();
    let why = "bell page cannot be mapped";
    broken(connecting(&welcome, &[good.as_fd(), looks.as_fd()]), why);
    memfd::add_seals(bells.as_fd(), memfd::SealFlags::WRITE).unwrap();
    broken(connecting(&welcome, &[good.as_fd(), bells.as_fd()]), why);
    // Memory that can be written and not read.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&good));
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let writes = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    broken(accepting(&hello, &[writes.as_fd()]), "cannot be mapped");
}

#[test]
fn a_peer_brings_no_more_memory_than_it_may() {
    let (good, bells) = (proper(), memory(PAGE as u64));
    let limited = |bytes| options().peer_memory_max(bytes);
    let accepting = |greeting: &Greeting, file: &OwnedFd, options: &Options| {
        let (near, far) = pair();
        greet(&near, &greeting.bytes(), &[file.as_fd()]);
        let met = Channel::accept(far, options);
        let mut answer = vec![0; 8192];
        let flags = rustix::net::RecvFlags::DONTWAIT;
        let (_, len) = rustix::net::recv(&near, &mut answer[..], flags).unwrap();
        (met, String::from_utf8_lossy(&answer[..len]).into_owned())
    };
    let connecting = |greeting: &Greeting, file: &OwnedFd, options: &Options| {
        let (near, far) = pair();
        greet(&near, &greeting.bytes(), &[file.as_fd(), bells.as_fd()]);
        Channel::connect(far, options)
    };
    // At the limit, and one byte more.
    let (hello, welcome) = (Greeting::hello(), Greeting::welcome());
    let just = limited(usize::try_from(CAPACITY).unwrap());
    let less = limited(usize::try_from(CAPACITY).unwrap() - 1);
    accepting(&hello, &good, &just).0.unwrap();
    connecting(&welcome, &good, &just).unwrap();
    let why = "it brings 65536 bytes of memory, and a peer may bring 65535";
    let (met, told) = accepting(&hello, &good, &less);
    broken(met, why);
    assert!(told.contains(why), "the peer is told so: {told}");
    broken(connecting(&welcome, &good, &less), why);
    // All that a greeting can lay claim to, where nothing was said about it; what it has is no lie.
    let large = memory(PAGE as u64 + (257 << 30));
    let claim = |mut greeting: Greeting| {
        (greeting.capacity, greeting.blocks) = (1 << 30, 256);
        greeting.block_len = 1 << 30;
        greeting
    };
    let why = "a peer may bring 1073741824";
    broken(accepting(&claim(hello), &large, &options()).0, why);
    broken(connecting(&claim(welcome), &large, &options()), why);
    // One's own memory is not a peer's.
    Channel::pair(&limited(4096).capacity(8192)).unwrap();
}

#[test]
fn too_few_and_too_many_descriptors_are_refused() {
    let hello = Greeting::hello().bytes();
    let welcome = Greeting::welcome().bytes();
    let (good, bells) = (proper(), memory(PAGE as u64));
    broken(accepting(&hello, &[]), "without its memory");
    broken(connecting(&welcome, &[]), "without its memory");
    broken(connecting(&welcome, &[good.as_fd()]), "without its memory");
    let before = crate::world::descriptors();
    for count in [2, 3, 4, 8, 9, 100, 253] {
        let many = vec![good.as_fd(); count];
        let error = refused(accepting(&hello, &many), ErrorKind::Broken);
        assert!(!error.why().is_empty(), "{error}");
        let mut many = vec![good.as_fd(), bells.as_fd(), good.as_fd()];
        many.resize(count.max(3), good.as_fd());
        let error = refused(connecting(&welcome, &many), ErrorKind::Broken);
        assert!(!error.why().is_empty(), "{error}");
    }
    // Nor do pipes and refusals come with more.
    let mut hello = Greeting::hello();
    hello.role = PIPE;
    let (near, far) = pair();
    greet(&near, &hello.bytes(), &[good.as_fd(), good.as_fd()]);
    broken(pipe::Reader::accept(far), "nobody asked for");
    let mut answer = Greeting::welcome();
    answer.role = PIPE;
    let (near, far) = pair();
    greet(
        &near,
        &answer.bytes(),
        &[good.as_fd(), bells.as_fd(), good.as_fd()],
    );
    broken(pipe::Writer::connect(far, 4096), "nobody asked for");
    let mut refusal = Greeting::welcome();
    (refusal.verb, refusal.code) = (2, 9);
    broken(
        connecting(&refusal.bytes(), &[good.as_fd()]),
        "nobody asked for",
    );
    crate::world::until("none of them stays open", || {
        // Other tests open and close too.
        crate::world::descriptors() <= before + 64
    });
}

/// Whoever listens where a plain channel is expected may serve many: the end that this makes knows
/// where to knock, which an heir would not.
#[test]
fn an_end_with_a_doorbell_is_not_passed_on() {
    let (good, bells, bell) = (proper(), memory(PAGE as u64), memory(PAGE as u64));
    let mut welcome = Greeting::welcome();
    (welcome.flags, welcome.door) = (2, 5);
    let files = [good.as_fd(), bells.as_fd(), bell.as_fd()];
    let (near, far) = pair();
    greet(&near, &welcome.bytes(), &files);
    let channel = Channel::connect(far, &options()).unwrap();
    let plain = connecting(&Greeting::welcome().bytes(), &files[..2]).unwrap();
    let mut command = crate::peer::command("channel.heir.echo", &[]);
    let error = refused(command.pass("end", &channel), ErrorKind::Unsupported);
    assert!(error.why().contains("many of a server"), "{error}");
    let (mut sender, receiver) = channel.split();
    refused(command.pass("end", &sender), ErrorKind::Unsupported);
    refused(command.pass("end", &receiver), ErrorKind::Unsupported);
    // It works here, as without a try.
    sender.send(b"x").unwrap();
    command.pass("end", &plain).unwrap();
}

#[test]
fn greetings_that_say_something_else_are_refused() {
    type Change = fn(&mut Greeting);
    let shape = "a shape that is not allowed";
    let cases: &[(Change, &str)] = &[
        (|it| it.magic[7] = b'X', "does not speak"),
        (|it| it.version = 0, "another version"),
        (|it| it.version = 2, "another version"),
        (|it| it.verb = 3, "no known kind"),
        (|it| it.code = 1, "no known kind"),
        (|it| it.flags = 4, "nobody understands"),
        (|it| it.flags = u32::MAX, "nobody understands"),
        (|it| it.end[11] = 1, "nobody understands"),
        (|it| it.capacity = 0, shape),
        (|it| it.capacity = 2048, shape),
        (|it| it.capacity = 3 * 4096, shape),
        (|it| it.capacity = 2 << 30, shape),
        (|it| it.capacity = u64::MAX, shape),
        (|it| it.blocks = 1, shape),
        (|it| it.block_len = 4096, shape),
        (|it| (it.blocks, it.block_len) = (257, 4096), shape),
        (|it| (it.blocks, it.block_len) = (1, 100), shape),
        (|it| (it.blocks, it.block_len) = (1, 2 << 30), shape),
        (|it| it.len = 1, "not as long as it says"),
        (|it| it.len = u32::MAX, "not as long as it says"),
        (|it| it.payload = vec![1], "not as long as it says"),
        (
            |it| (it.payload, it.len) = (vec![1; 4097], 4097),
            "too long",
        ),
        (|it| it.payload = vec![1; 9000], "too long"),
        // The last: these are said to be in order, and are not what was asked for.
        (|it| it.role = 7, "something else"),
        (|it| it.verb ^= 1, "greeting"),
    ];
    let (good, bells) = (proper(), memory(PAGE as u64));
    for (number, (change, why)) in cases.iter().enumerate() {
        println!("case {number}: {why}");
        let mut hello = Greeting::hello();
        change(&mut hello);
        broken(accepting(&hello.bytes(), &[good.as_fd()]), why);
        let mut welcome = Greeting::welcome();
        change(&mut welcome);
        let files = [good.as_fd(), bells.as_fd()];
        let why = if hello.role == 7 {
            "serves something else"
        } else {
            why
        };
        broken(connecting(&welcome.bytes(), &files), why);
    }
    // A refusal in words that are none.
    let mut refusal = Greeting::welcome();
    (refusal.verb, refusal.code) = (2, 9);
    (refusal.payload, refusal.len) = (vec![0xff; 4096], 4096);
    refused(connecting(&refusal.bytes(), &[]), ErrorKind::Refused);
}

#[test]
fn random_greetings_make_nobody_fail_otherwise() {
    let mut random = Random::of_test("channel greetings");
    let good = proper();
    let kinds = [ErrorKind::Broken, ErrorKind::PeerGone, ErrorKind::Refused];
    for round in 0..2000 {
        let mut bytes = [Greeting::hello(), Greeting::welcome()][round % 2].bytes();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            bytes[at] = random.next().to_le_bytes()[0];
        }
        bytes.resize(1 + random.below(100), random.next().to_le_bytes()[0]);
        let files = vec![good.as_fd(); random.below(4)];
        let met = match random.below(2) {
            0 => accepting(&bytes, &files),
            _ => connecting(&bytes, &files),
        };
        if let Err(error) = met {
            assert!(kinds.contains(&error.kind()), "{error}: {bytes:?}");
        }
    }
}

#[test]
fn whoever_goes_during_the_handshake_is_gone() {
    let hello = Greeting::hello().bytes();
    // Without a word, and half way: nothing comes any more, and an answer would be heard.
    let (near, far) = pair();
    drop(near);
    refused(Channel::accept(far, &options()), ErrorKind::PeerGone);
    let (near, far) = pair();
    rustix::net::shutdown(&near, rustix::net::Shutdown::Write).unwrap();
    refused(Channel::accept(far, &options()), ErrorKind::PeerGone);
    let (near, far) = pair();
    let hangs_up = std::thread::spawn(move || {
        rustix::net::recv(&near, &mut [0; 100][..], rustix::net::RecvFlags::empty()).unwrap();
        drop(near);
    });
    refused(Channel::connect(far, &options()), ErrorKind::PeerGone);
    hangs_up.join().unwrap();
    // Having greeted well: a session begins, and ends.
    let (near, far) = pair();
    greet(&near, &hello, &[proper().as_fd()]);
    rustix::net::shutdown(&near, rustix::net::Shutdown::Write).unwrap();
    let mut victim = Channel::accept(far, &options()).unwrap();
    refused(victim.recv(&mut [0; 8]), ErrorKind::PeerGone);
    refused(victim.send(b"x"), ErrorKind::PeerGone);
}

#[test]
fn a_crowd_that_connects_and_stalls_keeps_nobody_out() {
    let place = Place::new();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o600, &options()).unwrap();
    let crowd: Vec<OwnedFd> = (0..300).map(|_| connected(&path).unwrap()).collect();
    let client = std::thread::spawn(move || Channel::open(&path, &options()));
    assert!(listener.accept_for(GUARD).unwrap().is_some());
    client.join().unwrap().unwrap();
    drop(crowd);
}

#[test]
fn whoever_has_spoken_is_accepted_however_many_there_are() {
    let place = Place::new();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o600, &options()).unwrap();
    let clients: Vec<OwnedFd> = (0..200)
        .map(|_| {
            let socket = connected(&path).unwrap();
            greet(&socket, &Greeting::hello().bytes(), &[proper().as_fd()]);
            socket
        })
        .collect();
    for number in 0..clients.len() {
        let accepted = listener.accept_for(GUARD).unwrap();
        assert!(accepted.is_some(), "only {number}");
    }
}

#[test]
fn who_is_hung_up_on_before_he_was_heard_asks_again() {
    let place = Place::new();
    let path = place.0.join("socket");
    let listener = listening(&path);
    let client = std::thread::spawn(move || Channel::open(&path, &options()));
    for unheard in [true, true, true, false] {
        let in_time = Timespec::try_from(GUARD).unwrap();
        let came = poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&in_time));
        assert_eq!(came, Ok(1), "it does not ask again");
        let socket = rustix::net::accept(&listener).unwrap();
        if !unheard {
            Channel::accept(socket, &options()).unwrap();
        }
    }
    client.join().unwrap().unwrap();
}

// ---- the memory ----------------------------------------------------------------------------

/// Receives until something else than a message comes.
fn receive(victim: &mut Channel) -> Error {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match victim.recv_for(&mut bytes, GUARD) {
            Ok(Taken::Message(_)) => {}
            Ok(other) => panic!("{other:?} in place of an error"),
            Err(error) => return error,
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn lies_in_the_ring_are_found_out() {
    type Lie = fn(&mut Liar);
    let longer = "longer than what it has published";
    let more = "published more than its ring holds";
    let cases: &[(Lie, &str)] = &[
        (|it| it.put(HEAD, CAPACITY + 8), more),
        (|it| it.put(HEAD, u64::MAX - 7), more),
        (|it| it.put(HEAD, 4), more),
        (|it| it.put(HEAD, 8), ""),
        (
            |it| {
                it.record(1000, b"few");
                it.publish();
            },
            longer,
        ),
        (
            |it| {
                it.record(0xffff_ffff, b"few");
                it.publish();
            },
            longer,
        ),
        (
            |it| {
                it.record(1 << 63 | 3, b"few");
                it.publish();
            },
            longer,
        ),
        (
            |it| {
                it.record(LOAN | 8, &[0; 8]);
                it.publish();
            },
            "not the whole of its message",
        ),
        (
            |it| {
                it.record(1 << 40 | 8, &[0; 8]);
                it.publish();
            },
            "did not",
        ),
        (
            |it| {
                it.record(MORE | 8, &[0; 8]);
                it.publish();
            },
            "has not begun",
        ),
        (
            |it| {
                it.record(TOTAL | 8, &20_u64.to_ne_bytes());
                it.publish();
            },
            "begins in another",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 7, &[0; 7]);
                it.publish();
            },
            "begins in another",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.publish();
            },
            "begins in another",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.record(MORE | 24, &[1; 24]);
                it.publish();
            },
            "not as long as it said",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.record(8, &[1; 8]);
                it.publish();
            },
            "not as long as it said",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.record(MORE | 20, &[1; 20]);
                it.publish();
            },
            "not as long as it said",
        ),
        (
            |it| {
                it.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
                it.record(MORE, &[]);
                it.publish();
            },
            "not as long as it said",
        ),
    ];
    for (number, (lie, why)) in cases.iter().enumerate() {
        println!("case {number}: {why}");
        let (mut liar, mut victim) = Liar::meet(&options());
        // Eight bytes of zeros are an empty message, and the truth.
        if why.is_empty() {
            lie(&mut liar);
            assert_eq!(victim.recv(&mut []).unwrap(), Some(0));
            continue;
        }
        liar.message(b"the truth");
        lie(&mut liar);
        broken::<()>(Err(receive(&mut victim)), why);
        // It is over, whoever asks.
        refused(victim.recv(&mut [0; 8]), ErrorKind::Broken);
        refused(victim.send(b"x"), ErrorKind::Broken);
        assert!(victim.receiver().is_ready());
    }
}

#[test]
fn what_was_published_cannot_be_taken_back() {
    let (mut liar, mut victim) = Liar::meet(&options());
    let mut bytes = [0; 8];
    liar.message(b"one");
    liar.message(b"two");
    assert_eq!(victim.recv(&mut bytes).unwrap(), Some(3));
    assert_eq!(victim.recv(&mut bytes).unwrap(), Some(3));
    liar.put(HEAD, 16);
    broken(victim.recv(&mut bytes), "published more");
}

#[test]
fn lies_of_the_reader_are_found_out() {
    let never = "read what was never sent";
    for tail in [8, 4, CAPACITY, 1 << 63, 0_u64.wrapping_sub(4096 + 8)] {
        let (liar, mut victim) = Liar::meet(&options());
        liar.put(TAIL, tail);
        broken(victim.send(b"x"), never);
        refused(victim.recv(&mut [0; 8]), ErrorKind::Broken);
    }
    // Back to what it had not read yet.
    let (liar, mut victim) = Liar::meet(&options());
    let fill = |victim: &mut Channel| {
        while victim.sender().try_send(&[0; 500])? {}
        Ok::<_, Error>(())
    };
    fill(&mut victim).unwrap();
    liar.put(TAIL, 2048);
    fill(&mut victim).unwrap();
    liar.put(TAIL, 2000);
    broken(fill(&mut victim), never);
}

#[test]
fn a_message_of_any_claimed_length_takes_no_more_memory_than_is_allowed() {
    for total in [1 << 21, 1 << 40, u64::MAX] {
        let (mut liar, mut victim) = Liar::meet(&options());
        liar.record(TOTAL | MORE | 8, &u64::to_ne_bytes(total));
        liar.publish();
        let mut bytes = Vec::new();
        let error = refused(victim.receiver().recv_vec(&mut bytes), ErrorKind::TooLong);
        assert!(error.why().contains(&total.to_string()), "{error}");
        assert!(bytes.capacity() <= 1 << 20);
        refused(victim.recv(&mut [0; 8]), ErrorKind::TooLong);
    }
}

/// Runs it beside, and says whether it ended in time.
fn ends(call: impl FnOnce() + Send + 'static) -> bool {
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        call();
        told.send(()).unwrap();
    });
    hears.recv_timeout(GUARD).is_ok()
}

/// A ring full of that header, which is published again as often as the victim has read it, with
/// the bell of its reader.
struct Endless {
    liar: Arc<Liar>,
    stop: Arc<AtomicBool>,
    lying: JoinHandle<()>,
}

impl Endless {
    fn new(liar: Liar, header: u64) -> Self {
        for at in (0..CAPACITY).step_by(8) {
            liar.put(Liar::place(at), header);
        }
        let (liar, stop) = (Arc::new(liar), Arc::new(AtomicBool::new(false)));
        let (endless, stopped) = (liar.clone(), stop.clone());
        let lying = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                endless.put(HEAD, endless.read_so_far() + CAPACITY);
                let bell = endless.bells.word::<u32>(0).unwrap();
                bell.fetch_add(1, Ordering::SeqCst);
                let _ = futex::wake(bell, u32::MAX);
            }
        });
        Self { liar, stop, lying }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.lying.join().unwrap();
    }
}

/// Records without end that make no message: whoever gave a limit is back in time.
#[test]
fn endless_records_hold_up_nobody_who_has_a_limit() {
    for header in [TORN, TORN | MORE] {
        let (liar, mut victim) = Liar::meet(&options());
        let endless = Endless::new(liar, header);
        let liar = endless.liar.clone();
        let ended = ends(move || {
            let mut bytes = [0; 2000];
            for _ in 0..200 {
                let before = liar.read_so_far();
                let taken = victim.receiver().try_recv(&mut bytes).unwrap();
                assert_eq!(taken, Taken::TimedOut);
                // One ring, and what was not said yet.
                assert!(liar.read_so_far() - before <= 2 * CAPACITY);
            }
            let moment = Duration::from_millis(5);
            victim.recv_for(&mut bytes, moment).unwrap();
        });
        endless.end();
        assert!(ended, "{header:x}");
    }
}

/// The same into a pipe: a read that does not wait has its answer, and one that waits is cancelled.
#[test]
fn endless_records_hold_up_no_reader_of_a_pipe() {
    for header in [TORN, TORN | MORE] {
        let (liar, reader) = Liar::meet_reader();
        let endless = Endless::new(liar, header);
        let ended = ends(move || {
            for _ in 0..20 {
                let read = reader.read_overlapped(vec![0; 2000]).unwrap();
                assert_eq!(read.status(), NtStatus::PENDING);
                read.cancel().unwrap();
                refused(read.wait(), ErrorKind::Cancelled);
            }
        });
        endless.end();
        assert!(ended, "{header:x}");
    }
    // Messages without bytes, read as bytes: that is an answer too.
    let (liar, reader) = Liar::meet_reader();
    let endless = Endless::new(liar, 0);
    let ended = ends(move || {
        for _ in 0..20 {
            assert_eq!(reader.read(&mut [0; 2000]).unwrap(), 0);
        }
    });
    endless.end();
    assert!(ended);
}

/// A reader whose tail moves all the time and never makes room.
#[test]
fn a_tail_that_never_rests_holds_up_nobody_who_has_a_limit() {
    let (liar, mut victim) = Liar::meet(&options());
    while victim.sender().try_send(&[0; 500]).unwrap() {}
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let lying = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            liar.put(TAIL, 8);
            liar.put(TAIL, 0);
        }
    });
    let moment = Duration::from_millis(5);
    let ended = ends(move || drop(victim.sender().send_for(&[0; 900], moment)));
    stop.store(true, Ordering::Relaxed);
    lying.join().unwrap();
    assert!(ended);
}

#[test]
fn who_says_that_it_closed_has_closed() {
    let (mut liar, mut victim) = Liar::meet(&options());
    liar.record(TOTAL | MORE | 8, &20_u64.to_ne_bytes());
    liar.record(MORE | 8, &[1; 8]);
    liar.publish();
    let moment = Duration::from_millis(5);
    assert_eq!(
        victim.recv_for(&mut [0; 100], moment).unwrap(),
        Taken::TimedOut
    );
    liar.put(STATE, 1);
    // Half a message is none.
    assert_eq!(victim.recv(&mut [0; 100]).unwrap(), None);
}
