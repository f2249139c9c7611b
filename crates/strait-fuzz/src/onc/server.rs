//! A server, and the bytes of one connection to it.

use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;

use strait::rpc::onc::xdr::{self, Reader, Writer};
use strait::rpc::onc::{Answer, AuthStat, Context, Limits, Program, Refusal, Server, auth};
use strait_wire::onc::message::{Accepted, Denied, Xid};
use strait_wire::onc::record::{Caps, mark};
use strait_wire::onc::server::{self as wire, Programs, parse_call};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const PROGRAM: u32 = 7;
/// Versions 1 and 3: a call of version 2 is told of both.
const VERSIONS: [u32; 2] = [1, 3];
/// Small, so that inputs reach beyond it.
const CAPS: Caps = Caps {
    record: 512,
    fragments: 5,
};

struct Small(u32);

/// opaque ECHO(opaque<64>) = 1.
const ECHO: u32 = 1;
/// The same, after others had their turn.
const LATER: u32 = 2;
/// No reply.
const SILENT: u32 = 3;
/// AUTH_ERROR.
const GUARDED: u32 = 4;

impl Program for Small {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        self.0
    }

    fn dispatch(
        self: Arc<Self>,
        _: Context,
        procedure: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let results = results(procedure, args)?;
        reply.extend_from_slice(&results);
        Ok(Box::pin(async move {
            if procedure == LATER {
                tokio::task::yield_now().await;
            }
            Ok(reply)
        }))
    }
}

/// What the program returns, encoded.
fn results(procedure: u32, args: &[u8]) -> Result<Vec<u8>, Refusal> {
    match procedure {
        ECHO | LATER => {
            let mut from = Reader::new(args);
            let bytes = from.opaque(64).and_then(|it| from.finish().map(|()| it));
            let bytes = bytes.map_err(|_| Refusal::GarbageArguments)?;
            let mut results = Vec::new();
            let written = Writer::new(&mut results).opaque(bytes, 64);
            written.map_err(|_| Refusal::SystemError)?;
            Ok(results)
        }
        SILENT => Err(Refusal::Silence),
        GUARDED => Err(Refusal::Auth(AuthStat::TOO_WEAK)),
        _ => Err(Refusal::ProcedureUnavailable),
    }
}

/// What a client of that stream is owed.
#[derive(Default)]
struct Owed {
    replies: Vec<Vec<u8>>,
    /// Some of them wait for others, and come in any order.
    is_mixed: bool,
    /// The connection is closed in the midst of it, and what waits is lost.
    is_cut: bool,
}

impl Owed {
    fn of(stream: &[u8]) -> Self {
        let mut programs = Programs::default();
        for version in VERSIONS {
            programs.insert(PROGRAM, version, ());
        }
        let (records, is_cut) = super::records(stream, CAPS);
        let mut owed = Self {
            is_cut,
            ..Self::default()
        };
        for record in records {
            match parse_call(&record, &wire::Caps::default()) {
                Ok(call) => owed.add(&programs, &call),
                Err(wire::Answer::Reply { message, .. }) => owed.replies.push(message),
                Err(wire::Answer::Drop(_)) => {
                    owed.is_cut = true;
                    break;
                }
            }
        }
        owed
    }

    fn add(&mut self, programs: &Programs<()>, call: &wire::Call<'_>) {
        let procedure = call.header.procedure;
        self.is_mixed |= procedure.number == LATER;
        let said = match programs.find(procedure.program, procedure.version) {
            Err(status) => Err(Said::Status(status)),
            Ok(()) if procedure.number == 0 => Ok(Vec::new()),
            Ok(()) => results(procedure.number, call.arguments).map_err(Said::of),
        };
        self.replies.extend(reply(call.header.xid, said));
    }
}

enum Said {
    Status(Accepted),
    Denied(Denied),
    Nothing,
}

impl Said {
    fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::GarbageArguments => Self::Status(Accepted::GarbageArguments),
            Refusal::ProcedureUnavailable => Self::Status(Accepted::ProcedureUnavailable),
            Refusal::Auth(why) => Self::Denied(Denied::Auth(why)),
            Refusal::Silence => Self::Nothing,
            other => panic!("the program does not say {other:?}"),
        }
    }
}

fn reply(xid: Xid, said: Result<Vec<u8>, Said>) -> Option<Vec<u8>> {
    let (mut reply, none) = (Vec::new(), auth::OpaqueAuth::NONE);
    match said {
        Ok(results) => wire::success(&mut reply, xid, &none, |to| {
            to.opaque_fixed(&results);
            Ok::<_, xdr::Error>(())
        })
        .expect("a short reply"),
        Err(Said::Status(status)) => {
            wire::refuse(&mut reply, xid, &none, status).expect("no verifier");
        }
        Err(Said::Denied(denied)) => wire::deny(&mut reply, xid, denied),
        Err(Said::Nothing) => return None,
    }
    Some(reply)
}

/// The first byte says in which pieces the others come.
pub(crate) fn server(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let came = super::run(serve(stream, usize::from(*piece) + 1));
    let mut owed = Owed::of(stream);
    let (mut replies, _) = super::records(&came, Caps::default());
    let whole: Vec<u8> = replies.iter().flat_map(|it| marked(it)).collect();
    assert_eq!(came, whole, "each reply is one fragment, and whole");
    if !owed.is_mixed {
        assert_eq!(replies, owed.replies);
        return;
    }
    for list in [&mut owed.replies, &mut replies] {
        list.sort();
    }
    let mut due = owed.replies.iter();
    let all_due = replies.iter().all(|reply| due.any(|it| it == reply));
    assert!(all_due, "{replies:?} of {:?}", owed.replies);
    assert!(owed.is_cut || replies.len() == owed.replies.len());
}

fn marked(record: &[u8]) -> Vec<u8> {
    [&mark(record.len()).expect("short")[..], record].concat()
}

/// What a server returns to that stream.
async fn serve(stream: &[u8], piece: usize) -> Vec<u8> {
    let (here, there) = Pair::pair().expect("two sockets");
    let mut server = Server::with(Server::options().limits(Limits {
        record_max: CAPS.record,
        fragments_max: CAPS.fragments,
        // Few, so that it also waits.
        calls_per_connection: 3,
        replies_per_connection: 200,
        ..Limits::default()
    }));
    for version in VERSIONS {
        server.add(Small(version));
    }
    server.serve_stream(there).expect("a connected stream");
    let running = server.start();
    here.set_nonblocking(true).expect("a socket");
    let here = UnixStream::from_std(here).expect("a socket");
    let (mut from, mut to) = here.into_split();
    let sent = async {
        for piece in stream.chunks(piece) {
            if to.write_all(piece).await.is_err() {
                // It is closed already.
                break;
            }
            // Once to see it, once to read it.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        let _ = to.shutdown().await;
    };
    let mut came = Vec::new();
    // An end that leaves bytes unread is told as a reset, behind what has come.
    let (_, _) = tokio::join!(sent, from.read_to_end(&mut came));
    while running.stats().calls_in_flight > 0 {
        tokio::task::yield_now().await;
    }
    came
}
