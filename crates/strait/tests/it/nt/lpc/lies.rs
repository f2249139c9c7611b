//! LPC: what clients bring and send that is not so costs them their connection, and nobody else.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use strait::nt::lpc::{Inbox, Message, PortView, QuickCall};
use strait::{ErrorKind, Namespace};
use strait_sys::map::{Access, Map};
use strait_sys::{memfd, pass};

use super::{accept, client as options, options as born};
use crate::channel::lies::liar::{
    CAPACITY, Greeting, HEAD, LOAN, RING, connected, greet, listening, memory, proper,
};
use crate::peer::{Peer, say, told};
use crate::world::{GUARD, refused};

/// The role of a port's sessions.
pub(super) const PORT: u32 = u32::from_be_bytes(*b"LPC1");
/// What a client asks for: a server thread of its own, and a view.
const QUICK: u8 = 1;
const VIEW: u8 = 2;
const PAGE: u64 = 4096;
/// A page more than a view has, unless the receiver allows more.
const LONG: u64 = (64 << 20) + PAGE;

/// Where the one port of that namespace listens.
pub(super) fn place(space: &Namespace) -> PathBuf {
    let entries = fs::read_dir(space.path()).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_socket =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    paths.find(is_socket).unwrap()
}

/// A socket on which a client of the port in that namespace has greeted, with a file beside.
fn ask(space: &Namespace, flags: u8, part: (u64, u64), file: &OwnedFd) -> OwnedFd {
    let socket = connected(&place(space)).unwrap();
    let mut hello = Greeting::hello();
    hello.role = PORT;
    hello.payload = vec![0; 32];
    hello.payload[..2].copy_from_slice(&[1, flags]);
    hello.payload[8..16].copy_from_slice(&part.0.to_le_bytes());
    hello.payload[16..24].copy_from_slice(&part.1.to_le_bytes());
    hello.len = 32;
    let looks = memfd::reopen_read_only(proper().as_fd()).unwrap();
    greet(&socket, &hello.bytes(), &[looks.as_fd(), file.as_fd()]);
    socket
}

/// Views that cannot be mapped: of each the part that is claimed, and the file.
fn views() -> Vec<(&'static str, (u64, u64), OwnedFd)> {
    let sealed = memfd_create(c"sealed", MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&sealed, PAGE).unwrap();
    fcntl_add_seals(&sealed, SealFlags::FUTURE_WRITE).unwrap();
    let read_only = memfd::reopen_read_only(memory(PAGE).as_fd()).unwrap();
    let (whole, page) = ((0, PAGE), memory(PAGE));
    let another = || page.try_clone().unwrap();
    vec![
        ("of no length", (0, 0), another()),
        ("longer than any", (0, u64::MAX), another()),
        ("longer than its file", (0, 2 * PAGE), another()),
        ("beyond its file", (u64::MAX, 2), another()),
        ("between pages", (8, 16), another()),
        ("for reading", whole, read_only),
        ("sealed against writing", whole, sealed),
        ("longer than allowed", (0, LONG), memory(LONG)),
        ("no memory", whole, File::open("/dev/zero").unwrap().into()),
    ]
}

/// Asks with each of the views, and says how each was answered.
pub(super) fn viewer(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let quick = if args[1] == "quick" { QUICK } else { 0 };
    for (what, part, file) in views() {
        let socket = ask(&space, VIEW | quick, part, &file);
        let mut answer = [0; 8192];
        let (len, _) = pass::recv(socket.as_fd(), &mut answer, 4).unwrap();
        // The verb of a refusal.
        assert!(len > 12 && answer[10] == 2, "{what}: {:?}", &answer[..len]);
    }
    say("refused");
}

#[test]
fn views_that_cannot_be_mapped_end_no_server() {
    for form in ["messages", "quick"] {
        let space = Namespace::temporary().unwrap();
        let port = born(&space).create("port").unwrap();
        thread::scope(|scope| {
            let served = scope.spawn(|| match form {
                "quick" => port.serve_quick(|call| call.reply(b"on")),
                _ => port.serve(|call| call.reply(b"on")),
            });
            let mut liar = Peer::start("lpc.viewer", &[space.path().to_str().unwrap(), form]);
            assert_eq!(liar.hear().as_deref(), Some("refused"));
            assert!(!served.is_finished(), "the server goes on");
            if form == "quick" {
                let mut quick = options(&space).connect_quick("port").unwrap();
                assert_eq!(quick.call(b"").unwrap(), b"on");
            } else {
                let mut client = options(&space).connect("port").unwrap();
                assert_eq!(client.call(b"").unwrap(), b"on");
            }
            port.close();
            served.join().unwrap().unwrap();
        });
    }
}

/// Sends a request of a length that is no type's, and says how that ended.
pub(super) fn misfit(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    // Whom the server may not act as: it need not be able to either.
    let options = options(&space).identification();
    let requests: [&[u8]; 2] = [b"odd", &[0; 8]];
    // Connected until the end.
    if args[1] == "quick" {
        let mut quick = options.connect_quick("port").unwrap();
        let kinds = requests.map(|request| quick.call(request).unwrap_err().kind());
        say(format!("{kinds:?}"));
        told();
    } else {
        let mut client = options.connect("port").unwrap();
        let kinds = requests.map(|request| client.call(request).unwrap_err().kind());
        say(format!("{kinds:?}"));
        told();
    }
}

#[test]
fn what_a_client_sends_or_forbids_ends_no_server() {
    for form in ["messages", "quick", "loop"] {
        let space = Namespace::temporary().unwrap();
        let port = born(&space).create("port").unwrap();
        thread::scope(|scope| {
            let served = scope.spawn(|| match form {
                "messages" => port.serve(|call| {
                    let numbers: [u32; 2] = call.read()?;
                    if numbers == [0; 2] {
                        drop(call.impersonate()?);
                    }
                    call.reply_with(&numbers)
                }),
                "quick" => port.serve_quick(answer),
                _ => port.inbox().receive().and_then(|message| match message {
                    Message::Connect(request) => request.accept_quick(b"")?.serve(answer),
                    other => panic!("{other:?}"),
                }),
            });
            let path = space.path().to_str().unwrap();
            let kind = if form == "messages" { form } else { "quick" };
            let mut liar = Peer::start("lpc.misfit", &[path, kind]);
            assert_eq!(liar.hear().as_deref(), Some("[Refused, Refused]"), "{form}");
            assert!(!served.is_finished(), "the server goes on");
            match form {
                "messages" => {
                    let mut client = options(&space).connect("port").unwrap();
                    assert_eq!(client.ask::<_, [u32; 2]>(&[1_u32, 2]).unwrap(), [1, 2]);
                }
                "quick" => {
                    let mut quick = options(&space).connect_quick("port").unwrap();
                    assert_eq!(quick.ask::<_, [u32; 2]>(&[1_u32, 2]).unwrap(), [1, 2]);
                }
                _ => assert!(liar.finish().success()),
            }
            port.close();
            served.join().unwrap().unwrap();
        });
    }
}

fn answer(call: &mut QuickCall<'_>) -> strait::Result<()> {
    let numbers: [u32; 2] = call.read()?;
    if numbers == [0; 2] {
        drop(call.impersonate()?);
    }
    call.reply_with(&numbers)
}

#[test]
fn views_have_the_length_that_either_side_allows() {
    let space = Namespace::temporary().unwrap();
    let port = born(&space).view_max(2 * PAGE).create("port").unwrap();
    let [fits, longer] = [2 * PAGE, 3 * PAGE].map(|len| PortView::create(len).unwrap());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut inbox = port.inbox();
            let mut views = [&fits, &longer, &longer].into_iter();
            loop {
                // The clients that go are of no interest.
                let Message::Connect(request) = inbox.receive()? else {
                    continue;
                };
                match views.next() {
                    Some(view) => drop(request.view(view).accept(b"")?),
                    None => return request.accept(b"").map(drop),
                }
            }
        });
        let asks = || options(&space).view_max(2 * PAGE);
        let client = asks().view(&fits).connect("port").unwrap();
        assert!(client.server_view().is_some());
        drop(client);
        let error = refused(asks().connect("port"), ErrorKind::Broken);
        assert!(error.why().contains("8192 are allowed"), "{error}");
        let none = options(&space).view_max(0).connect("port");
        refused(none, ErrorKind::Broken);
        let no = options(&space).view(&longer).connect("port");
        let error = refused(no, ErrorKind::Refused);
        assert!(error.why().contains("12288 bytes, and 8192 are"), "{error}");
        let error = refused(served.join().unwrap(), ErrorKind::Broken);
        assert!(error.why().contains("8192 are allowed"), "{error}");
    });
}

/// The longest message of the port below.
const MOST: usize = 1000;

/// Sends much while the server waits for its answer to a callback.
pub(super) fn flooder(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mut client = options(&space).connect("port").unwrap();
    for count in [2, 3] {
        client.call_for(b"ask", Duration::ZERO).unwrap();
        for _ in 0..count {
            client.datagram(&[7; MOST]).unwrap();
        }
        say("sent");
        // The callback is answered by nobody.
        let ended = client.call(b"go on").map(<[u8]>::to_vec);
        say(ended.map_or_else(|error| format!("{:?}", error.kind()), |_| "on".into()));
    }
}

#[test]
fn a_flood_during_a_callback_is_bounded_in_bytes() {
    let space = Namespace::temporary().unwrap();
    let port = born(&space).message_max(MOST).create("port").unwrap();
    let mut inbox = port.inbox();
    let mut flooder = Peer::start("lpc.flooder", &[space.path().to_str().unwrap()]);
    accept(&mut inbox);
    let asks_back = |inbox: &mut Inbox, flooder: &mut Peer, kind| {
        let Message::Request(mut call) = inbox.receive().unwrap() else {
            panic!("it calls");
        };
        assert_eq!(flooder.hear().as_deref(), Some("sent"));
        refused(call.callback(b"?", GUARD), kind);
    };
    asks_back(&mut inbox, &mut flooder, ErrorKind::Refused);
    for _ in 0..2 {
        match inbox.receive().unwrap() {
            Message::Datagram(datagram) => assert_eq!(datagram.request(), [7; MOST]),
            other => panic!("{other:?}"),
        }
    }
    match inbox.receive().unwrap() {
        Message::Request(mut call) => call.reply(b"on").unwrap(),
        other => panic!("{other:?}"),
    }
    assert_eq!(flooder.hear().as_deref(), Some("on"));
    asks_back(&mut inbox, &mut flooder, ErrorKind::PeerGone);
    assert_eq!(flooder.hear().as_deref(), Some("PeerGone"));
}

/// Sends as many long datagrams as a request has bytes, before it replies.
pub(super) fn flooding(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = born(&space).create("port").unwrap();
    say("ready");
    let served = port.serve(|call| {
        for _ in 0..call.request().len() {
            call.connection().datagram(&[7; 90_000])?;
        }
        call.reply(b"")
    });
    served.unwrap();
}

#[test]
fn a_flood_during_a_call_is_bounded_in_bytes() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.flooding", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let options = options(&space).message_max(100_000);
    let mut client = options.connect("port").unwrap();
    for (count, fits) in [(2, true), (3, false), (2, true)] {
        let called = client.call(&vec![0; count]).map(<[u8]>::len);
        if fits {
            assert_eq!(called.unwrap(), 0);
        } else {
            refused(called, ErrorKind::Exhausted);
        }
        for _ in 0..2 {
            assert_eq!(client.receive().unwrap().bytes(), [7; 90_000]);
        }
    }
}

/// Welcomes a client with a message that a port does not send.
pub(super) fn lying(args: &[String]) {
    let socket = listening(Path::new(&args[0]));
    say("ready");
    let client = rustix::net::accept(&socket).unwrap();
    let (len, _) = pass::recv(client.as_fd(), &mut [0; 8192], 4).unwrap();
    assert!(len > 0);
    let mut welcome = Greeting::welcome();
    welcome.role = PORT;
    welcome.payload = vec![0; 32];
    welcome.payload[0] = 1;
    welcome.payload[4..8].copy_from_slice(&1000_u32.to_le_bytes());
    welcome.len = 32;
    (welcome.blocks, welcome.block_len) = (1, PAGE);
    let file = memory(PAGE + CAPACITY + PAGE);
    let whole = usize::try_from(PAGE + CAPACITY).unwrap();
    let map = Map::shared(file.as_fd(), 0, whole, Access::Write).unwrap();
    let (header, bytes) = match &*args[1] {
        // Of the first block 64 bytes, lent once.
        "a loan" => (LOAN | 16, [0_u64, 64]),
        _ => (16, [u64::MAX; 2]),
    };
    for (at, word) in [header, bytes[0], bytes[1]].into_iter().enumerate() {
        map.word::<u64>(RING + 8 * at).unwrap().store(word, SeqCst);
    }
    map.word::<u64>(HEAD).unwrap().store(24, SeqCst);
    let looks = memfd::reopen_read_only(file.as_fd()).unwrap();
    let files = [looks.as_fd(), memory(PAGE).as_fd()].map(|file| file.try_clone_to_owned());
    let files = files.map(Result::unwrap);
    greet(
        &client,
        &welcome.bytes(),
        &[files[0].as_fd(), files[1].as_fd()],
    );
    // Connected until the end.
    told();
}

#[test]
fn a_server_that_sends_nonsense_is_heard_once() {
    for what in ["a loan", "no message"] {
        let space = Namespace::temporary().unwrap();
        let port = born(&space).create("port").unwrap();
        let path = place(&space);
        drop(port);
        let mut liar = Peer::start("lpc.lying", &[path.to_str().unwrap(), what]);
        assert_eq!(liar.hear().as_deref(), Some("ready"));
        let mut client = options(&space).connect("port").unwrap();
        refused(client.receive(), ErrorKind::Broken);
        // That was the end of it.
        refused(client.datagram(b"?"), ErrorKind::Broken);
        refused(client.receive(), ErrorKind::Broken);
    }
}
