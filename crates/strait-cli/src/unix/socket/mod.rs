//! `strait socket`: streams, packets and datagrams, here and far away.

mod address;
mod list;
mod relay;

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use strait::nt;
use strait::nt::Event;
use strait::unix::socket::{Address, Bytes, Connected, Datagram, Options, Packets, Socket};

use self::address::{Told, first_of};
pub(crate) use self::list::address as address_in;
use self::relay::{Carrier, End, in_time, relay, take_all};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// The end of a verb's help, with its example.
macro_rules! help {
    ($example:literal) => {
        concat!(
            "ADDRESS is /PATH or ./PATH, @NAME (abstract), tcp:HOST:PORT, udp:HOST:PORT or \
             vsock:CID:PORT.\n\
             Exit status: 0 when done, 124 when time ran out, 125 on an error.\n\
             Example: ",
            $example
        )
    };
}

/// The verbs of sockets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Listen(Listen),
    Connect(Connect),
    Send(Send),
    Recv(Recv),
    Info(Info),
    Ls(list::List),
}

/// Wait for a connection, and relay standard input and output over it
///
/// It ends when both ways are over: the end of standard input is the peer's end, and the other way
/// round. The time is for all of it, not only for a connection: what is on its way when it runs out
/// is lost. A path whose owner was killed
/// is taken over; any other that exists is refused.
#[derive(Args, Debug)]
#[command(after_help = help!("strait socket listen ./in.sock >> log < /dev/null"))]
pub(crate) struct Listen {
    /// Where it is reached; a port of 0 is drawn, and told
    address: String,
    /// Packets instead of a stream: what is read at once is one
    #[arg(long)]
    seqpacket: bool,
    /// Accept again when a connection is over, one after the other, until killed or nobody reads
    /// standard output; standard input is not sent
    #[arg(long)]
    keep: bool,
    /// Permission bits of a path's file, in octal; to connect takes the write bit
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    limit: Limit,
}

/// Connect, and relay standard input and output over the connection
///
/// It ends when both ways are over: the end of standard input is the peer's end, and the other way
/// round. The time is for all of it, not only for a connection: what is on its way when it runs out
/// is lost.
#[derive(Args, Debug)]
#[command(after_help = help!("echo ping | strait socket connect tcp:localhost:7 --timeout 5s"))]
pub(crate) struct Connect {
    /// Where to
    address: String,
    /// Packets instead of a stream: what is read at once is one
    #[arg(long)]
    seqpacket: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Send one datagram: a text, or all of standard input
#[derive(Args, Debug)]
#[command(after_help = help!("strait socket send udp:localhost:514 hello"))]
pub(crate) struct Send {
    /// Where to
    address: String,
    /// What to send; standard input without it
    text: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Take an address, and print the datagrams that come, as they are
#[derive(Args, Debug)]
#[command(after_help = help!("strait socket recv ./log.sock --keep --lines"))]
pub(crate) struct Recv {
    /// Where it is reached; a port of 0 is drawn, and told
    address: String,
    /// How many; the time is for all of them
    #[arg(long, default_value_t = 1, conflicts_with = "keep")]
    count: u64,
    /// As many as come, until killed
    #[arg(long)]
    keep: bool,
    /// A newline behind each
    #[arg(long)]
    lines: bool,
    /// Permission bits of a path's file, in octal; to send takes the write bit
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    limit: Limit,
}

/// Connect, and say who listens there: what the kernel vouches for
#[derive(Args, Debug)]
#[command(after_help = help!("strait socket info ./in.sock"))]
pub(crate) struct Info {
    /// Where to
    address: String,
    /// Packets instead of a stream
    #[arg(long)]
    seqpacket: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let done = match self {
            Self::Listen(listen) if listen.seqpacket => listen.run::<Packets>(context),
            Self::Listen(listen) => listen.run::<Bytes>(context),
            Self::Connect(connect) if connect.seqpacket => connect.run::<Packets>(),
            Self::Connect(connect) => connect.run::<Bytes>(),
            Self::Send(send) => send.run(),
            Self::Recv(recv) => recv.run(context),
            Self::Info(info) if info.seqpacket => info.run::<Packets>(context),
            Self::Info(info) => info.run::<Bytes>(context),
            Self::Ls(list) => return list.run(context),
        };
        done.map_err(Failure::into_error)
    }
}

// ---- connections ---------------------------------------------------------------------------

impl Listen {
    fn run<K: Connected>(self, context: &mut Context) -> Result<ExitCode, Failure>
    where
        Socket<K>: Carrier,
    {
        let left = self.limit.begin();
        let options = Options::<K>::default().mode(self.mode);
        let (listener, asked) = first_of(&self.address, false, |at| {
            Ok((options.listen(at)?, at.clone()))
        })?;
        let is = listener.local_address().map_err(Failure::of)?;
        self.told.tell(context, (is, &asked), false)?;
        loop {
            let accepted = match left() {
                Some(time) => listener.accept_for(time),
                None => listener.accept().map(Some),
            };
            let Some(socket) = accepted.map_err(Failure::of)? else {
                return Ok(TIMED_OUT.into());
            };
            if !self.keep {
                // Gone before the relay: what was one connection's is not offered again.
                drop(listener);
                return relayed(in_time(left(), move || relay(&socket))?);
            }
            let Some(end) = in_time(left(), move || take_all(&socket))? else {
                return Ok(TIMED_OUT.into());
            };
            match end? {
                End::Peer => {}
                End::Output => return Ok(ExitCode::SUCCESS),
                // One client's affair: the others are served on.
                End::Lost(failure) => context.note(&failure.message),
            }
        }
    }
}

/// The status of a relay that came to its end, or not.
fn relayed(result: Option<Result<(), Failure>>) -> Result<ExitCode, Failure> {
    let Some(result) = result else {
        return Ok(TIMED_OUT.into());
    };
    result.map(|()| ExitCode::SUCCESS)
}

fn connect<K: Connected>(
    address: &str,
    left: impl Fn() -> Option<Duration>,
) -> Result<Option<Socket<K>>, Failure> {
    first_of(address, false, |to| match left() {
        Some(time) => Socket::connect_for(to, time),
        None => Socket::connect(to).map(Some),
    })
}

impl Connect {
    fn run<K: Connected>(self) -> Result<ExitCode, Failure>
    where
        Socket<K>: Carrier,
    {
        let left = self.limit.begin();
        let Some(socket) = connect::<K>(&self.address, &left)? else {
            return Ok(TIMED_OUT.into());
        };
        relayed(in_time(left(), move || relay(&socket))?)
    }
}

impl Info {
    fn run<K: Connected>(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let limit = Limit {
            timeout: Some(Duration::from_secs(5)),
        };
        let Some(socket) = connect::<K>(&self.address, limit.begin())? else {
            return Ok(TIMED_OUT.into());
        };
        let peer = socket.peer().map_err(Failure::of)?;
        let groups = socket.peer_groups().map_err(Failure::of)?;
        let label = socket.peer_label().map_err(Failure::of)?;
        let label = label.map(|label| String::from_utf8_lossy(&label).into_owned());
        // The name is the other's choice: any bytes.
        let program = std::fs::read(format!("/proc/{}/comm", peer.pid)).unwrap_or_default();
        let program = String::from_utf8_lossy(program.trim_ascii_end());
        let program = program.escape_debug().to_string();
        if self.json {
            context.out.json(&json!({
                "address": self.address, "pid": peer.pid, "program": program,
                "uid": peer.uid, "gid": peer.gid, "groups": groups, "label": label,
            }))?;
        } else {
            let numbers: Vec<String> = groups.iter().map(u32::to_string).collect();
            let mut rows = vec![
                vec!["listener".into(), format!("{program}({})", peer.pid)],
                vec!["uid".into(), peer.uid.to_string()],
                vec!["gid".into(), peer.gid.to_string()],
                vec!["groups".into(), numbers.join(" ")],
            ];
            rows.extend(label.map(|label| vec!["label".into(), label]));
            context.out.table(&rows)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

// ---- datagrams -----------------------------------------------------------------------------

/// The longest datagram that is received, in bytes: a Unix socket's send buffer allows no more.
const DATAGRAM_MAX: usize = 4 << 20;

impl Send {
    fn run(self) -> Result<ExitCode, Failure> {
        let message = match &self.text {
            Some(text) => text.clone().into_bytes(),
            None => {
                let mut bytes = Vec::new();
                let limit = DATAGRAM_MAX as u64 + 1;
                let read = std::io::stdin().take(limit).read_to_end(&mut bytes);
                read.map_err(|error| Failure::io("read standard input", &error))?;
                bytes
            }
        };
        let sent = first_of(&self.address, true, |to| {
            let own = match to {
                Address::Inet(SocketAddr::V4(_)) => "0.0.0.0:0".parse()?,
                Address::Inet(_) => "[::]:0".parse()?,
                _ => Address::Unnamed,
            };
            let socket = Datagram::bind(&own)?;
            match self.limit.timeout {
                Some(timeout) => socket.send_to_for(&message, to, timeout),
                None => socket.send_to(&message, to).map(Some),
            }
        })?;
        Ok(if sent.is_some() {
            ExitCode::SUCCESS
        } else {
            TIMED_OUT.into()
        })
    }
}

impl Recv {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let options = Datagram::options().mode(self.mode);
        let time_left = self.limit.begin();
        let (socket, asked) = first_of(&self.address, true, |at| {
            Ok((options.bind(at)?, at.clone()))
        })?;
        let is = socket.local_address().map_err(Failure::of)?;
        self.told.tell(context, (is, &asked), true)?;
        let mut left = self.count;
        let mut buffer = vec![0; DATAGRAM_MAX];
        while self.keep || left > 0 {
            let came = match time_left() {
                Some(time) => socket.recv_for(&mut buffer, time),
                None => socket.recv(&mut buffer).map(Some),
            };
            let Some(came) = came.map_err(Failure::of)? else {
                return Ok(TIMED_OUT.into());
            };
            context.out.bytes(&buffer[..came.len])?;
            if self.lines {
                context.out.bytes(b"\n")?;
            }
            context.out.finish()?;
            left = left.saturating_sub(1);
        }
        Ok(ExitCode::SUCCESS)
    }
}

// ---- waiting for one -----------------------------------------------------------------------

/// How often is looked whether there is a socket: its birth announces nothing.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An event that is set once a socket has that address. It is looked for every 10 ms; its owner
/// does not notice.
pub(crate) fn to_wait(at: &Address) -> Result<Event, Failure> {
    let there = is_there(at)?;
    let options = || Event::options().reset(nt::Reset::Manual);
    if there {
        return options().set().create().map_err(Failure::of);
    }
    // Shared, for only such an event has a second handle.
    let event = options().shared().create().map_err(Failure::of)?;
    let bell = event.duplicate(strait::Rights::ALL).map_err(Failure::of)?;
    let at = at.clone();
    let watch = move || {
        // A path that is forbidden meanwhile may be allowed again.
        while !is_there(&at).unwrap_or(false) {
            // sleep: see above
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = bell.set();
    };
    let started = std::thread::Builder::new()
        .name("socket-watch".into())
        .spawn(watch);
    started.map_err(|error| Failure::io("start a thread", &error))?;
    Ok(event)
}

fn is_there(at: &Address) -> Result<bool, Failure> {
    match at {
        Address::Abstract(name) => list::has(name),
        other => other.is_bound().map_err(Failure::of),
    }
}
