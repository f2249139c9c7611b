//! `rival.libtirpc.*`: ONC RPC by libtirpc, its client with its server, each a program in C that is
//! built when the row is opened.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::Pid;
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use crate::rpc::{FLIGHT, SIZES};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

const SOURCE: &str = include_str!("peer.c");
/// `pkg-config --cflags libtirpc`, on Debian.
const HEADERS: &str = "/usr/include/tirpc";

/// What carries the calls.
pub(super) trait Way: 'static {
    const NAME: &'static str;
    const RAW: &'static str;
    const ECHO: &'static str;
    const NULL: &'static str;
    const TURNS: &'static str;
}

/// Over TCP.
pub(super) enum Tcp {}

impl Way for Tcp {
    const NAME: &'static str = "tcp";
    const RAW: &'static str = "raw.tcp";
    const ECHO: &'static str = "rival.libtirpc.tcp";
    const NULL: &'static str = "rival.libtirpc.tcp.null";
    const TURNS: &'static str = "rival.libtirpc.tcp.turns";
}

/// Over a local stream socket.
pub(super) enum Local {}

impl Way for Local {
    const NAME: &'static str = "local";
    const RAW: &'static str = "raw.unix.stream";
    const ECHO: &'static str = "rival.libtirpc.local";
    const NULL: &'static str = "rival.libtirpc.local.null";
    const TURNS: &'static str = "rival.libtirpc.local.turns";
}

/// Why there is no libtirpc here.
fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    *MISSING.get_or_init(|| {
        let mut gcc = Command::new("gcc");
        let gcc = gcc
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if gcc.status().is_err() {
            return Some("no gcc here");
        }
        let there = Path::new(HEADERS).join("rpc/rpc.h").exists();
        (!there).then_some("no headers of libtirpc here (libtirpc-dev)")
    })
}

/// Where the program and the socket are: not the site's place, where programs may not be run.
struct Place(PathBuf);

impl Place {
    fn new(site: &Site<'_>) -> Outcome<Self> {
        let name = format!("strait-bench-{}-{:x}", process::id(), site.key());
        let place = std::env::temp_dir().join(name);
        fs::create_dir_all(&place)?;
        Ok(Self(place))
    }

    fn program(&self) -> PathBuf {
        self.0.join("peer")
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The other side may have been first.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ended() -> Failure {
    Failure::new("the program of libtirpc has ended")
}

fn build(place: &Place) -> Outcome<()> {
    let source = place.0.join("peer.c");
    fs::write(&source, SOURCE)?;
    let mut compile = Command::new("gcc");
    compile.args(["-O2", "-w", "-std=gnu17", "-I", HEADERS, "-o"]);
    compile.arg(place.program()).arg(&source).arg("-ltirpc");
    let made = compile.output()?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr);
    Err(Failure::new(format!("gcc: {}", said.trim())))
}

/// The program of one side.
struct Peer {
    child: Child,
    /// There until the end: it is the program's, too.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// It runs where this side does.
    is_placed: bool,
    /// Calls of all orders, of a server.
    due: u64,
    calls: u32,
}

impl Peer {
    /// Near's calls with `len` bytes, so many to a round trip, or far's answers.
    fn open(site: &Site<'_>, way: &str, len: usize, calls: u32) -> Outcome<Self> {
        if site.side() == Side::Far {
            let place = Place::new(site)?;
            build(&place)?;
            let mut peer = Self::start(&place, calls, |server| {
                server.args(["server", way]).arg(place.socket());
            })?;
            let mut port = String::new();
            peer.output.read_line(&mut port)?;
            if !port.ends_with('\n') {
                return Err(ended());
            }
            site.tell(&[port.as_bytes(), place.0.as_os_str().as_bytes()].concat())?;
            // Near has no use for the files any more, once it is connected.
            site.hear()?;
            return Ok(peer);
        }
        let said = String::from_utf8(site.hear()?)?;
        let (port, place) = said.split_once('\n').unwrap_or_default();
        let place = Place(place.into());
        let mut peer = Self::start(&place, calls, |client| {
            client.args(["client", way]);
            match way {
                "tcp" => client.arg(port),
                _ => client.arg(place.socket()),
            };
            client.args([len.to_string(), calls.to_string()]);
        })?;
        peer.run(0, 0)?;
        site.tell(&[0])?;
        Ok(peer)
    }

    fn start(place: &Place, calls: u32, say: impl FnOnce(&mut Command)) -> Outcome<Self> {
        let mut program = Command::new(place.program());
        say(&mut program);
        let started = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self::of(started?, calls)
    }

    fn of(mut child: Child, calls: u32) -> Outcome<Self> {
        let missing = || Failure::new("a program without a pipe");
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
            is_placed: false,
            due: 0,
            calls,
        })
    }

    /// Has it do something, and waits for what it says of it.
    fn order<const N: usize>(&mut self, order: &[u64]) -> Outcome<[u8; N]> {
        if !self.is_placed {
            let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            sched_setaffinity(id, &sched_getaffinity(None)?)?;
        }
        let bytes: Vec<u8> = order.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.input.as_ref().ok_or_else(ended)?.write_all(&bytes)?;
        let mut said = [0; N];
        self.output.read_exact(&mut said)?;
        Ok(said)
    }

    fn run(&mut self, first: u64, count: u32) -> Outcome<[u64; 2]> {
        let times: [u8; 16] = self.order(&[count.into(), first])?;
        // The first order is given where the side was opened, and the next where it is to run.
        self.is_placed = count > 0;
        let (words, _) = times.as_chunks::<8>();
        Ok([words[0], words[1]].map(u64::from_le_bytes))
    }

    fn serve(&mut self, count: u32) -> Outcome<()> {
        self.due += u64::from(count) * u64::from(self.calls);
        let [_] = self.order(&[self.due])?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

macro_rules! mechanism {
    (
        $(#[$doc:meta])* $name:ident, $id:ident, $about:literal, $carries:ident, $jobs:expr,
        $calls:expr
    ) => {
        $(#[$doc])*
        pub(super) struct $name<W>(Peer, PhantomData<W>);

        impl<W: Way> Mechanism for $name<W> {
            const ID: &'static str = W::$id;
            const ABOUT: &'static str = $about;
            const CARRIES: Carries = Carries::$carries;
            const MEASURES: &'static [Job] = $jobs;
            const ECHOES: bool = true;
            const APART: bool = true;
            const YARDSTICK: bool = true;
            const BESIDE: Option<&'static str> = Some(W::RAW);

            fn missing() -> Option<&'static str> {
                missing()
            }

            fn open(site: &mut Site<'_>) -> Outcome<Self> {
                let len = match Self::CARRIES {
                    Carries::Bytes => site.job().bytes(),
                    _ => 0,
                };
                Ok(Self(Peer::open(site, W::NAME, len, $calls)?, PhantomData))
            }

            fn run_apart(&mut self, first: u64, count: u32) -> Outcome<[u64; 2]> {
                self.0.run(first, count)
            }

            fn echo(&mut self, count: u32) -> Outcome<()> {
                self.0.serve(count)
            }
        }
    };
}

mechanism!(
    /// A procedure that returns its argument.
    Echo, ECHO, "libtirpc, a call that returns its argument", Bytes, SIZES, 1
);
mechanism!(
    /// Procedure 0.
    Null, NULL, "libtirpc, procedure 0", Nothing, &[Job::RTT], 1
);
mechanism!(
    /// As many calls as others have in flight.
    Turns, TURNS, "libtirpc, 32 calls of procedure 0, one after the other", Nothing, &[Job::RTT],
    FLIGHT
);
