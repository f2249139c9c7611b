//! `rpc.onc.*`: a procedure of ONC RPC that returns its argument, over each transport.

use std::future::ready;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use strait::rpc::onc::xdr::{Reader, Writer};
use strait::rpc::onc::{
    Answer, Client, ClientOptions, Context, Procedure, Program, Refusal, Running, Server,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Placement, Side,
    Site, Waits,
};

/// opaque ECHO(opaque) = 1, opaque<> both ways.
pub const ECHO: Procedure = Procedure {
    program: 0x2000_0e40,
    version: 1,
    number: 1,
};
/// void SETTLE(void) = 2: near has all replies.
const SETTLE: Procedure = Procedure { number: 2, ..ECHO };
const NAME: &str = "onc";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const KIB: Job = Job::sized(Measure::Rtt, 1 << 10);
const KIB_64: Job = Job::sized(Measure::Rtt, 64 << 10);
const MIB: Job = Job::sized(Measure::Rtt, 1 << 20);
/// What goes there and back.
pub(crate) const SIZES: &[Job] = &[Job::RTT, KIB, KIB_64, MIB];
/// Calls in flight, where there are several.
pub(crate) const FLIGHT: u32 = 32;

/// What carries the calls.
pub(super) trait Way: 'static {
    const ID: &'static str;
    const ABOUT: &'static str;
    const MEASURES: &'static [Job] = SIZES;
    const WAITS: Waits = Waits::Blocks;
    const GOALS: &'static [Goal] = &[];
    /// The same bytes without RPC.
    const RAW: Option<&'static str> = None;
    /// Of the row of procedure 0.
    const NULL: &'static str;
    const NULL_GOALS: &'static [Goal] = &[];

    /// Far: where near shall connect to.
    async fn listen(site: &Site<'_>, server: &mut Server) -> Outcome<String>;

    /// Near.
    fn connect(site: &Site<'_>, options: ClientOptions, place: &str) -> Outcome<Client>;
}

/// A goal where both sides share a CPU.
pub(super) const fn at_most(job: Job, raw: &'static str, limit: f64) -> Goal {
    Goal {
        job,
        placement: Some(Placement::Same),
        against: Against::Row(raw),
        limit: Limit::AtMost(limit),
    }
}

/// Over TCP.
pub(super) enum Tcp {}

impl Way for Tcp {
    const ID: &'static str = "rpc.onc.tcp";
    const ABOUT: &'static str = "ONC RPC over TCP, a call that returns its argument";
    const GOALS: &'static [Goal] = &[
        at_most(Job::RTT, "rival.libtirpc.tcp", 1.0),
        at_most(KIB, "rival.libtirpc.tcp", 1.0),
        at_most(KIB_64, "rival.libtirpc.tcp", 1.0),
        at_most(MIB, "rival.libtirpc.tcp", 1.0),
    ];
    const RAW: Option<&'static str> = Some("raw.tcp");
    const NULL: &'static str = "rpc.onc.tcp.null";
    const NULL_GOALS: &'static [Goal] = &[
        at_most(Job::RTT, "raw.tcp", 1.15),
        at_most(Job::RTT, "rival.libtirpc.tcp.null", 1.0),
    ];

    async fn listen(_: &Site<'_>, server: &mut Server) -> Outcome<String> {
        Ok(server.tcp(LOOPBACK).await?.to_string())
    }

    fn connect(_: &Site<'_>, options: ClientOptions, place: &str) -> Outcome<Client> {
        Ok(options.tcp(place)?)
    }
}

/// Over UDP.
pub(super) enum Udp {}

impl Way for Udp {
    const ID: &'static str = "rpc.onc.udp";
    const ABOUT: &'static str = "ONC RPC over UDP, a call that returns its argument";
    const MEASURES: &'static [Job] = &[Job::RTT, KIB];
    const RAW: Option<&'static str> = Some("raw.udp");
    const NULL: &'static str = "rpc.onc.udp.null";

    async fn listen(_: &Site<'_>, server: &mut Server) -> Outcome<String> {
        Ok(server.udp(LOOPBACK).await?.to_string())
    }

    fn connect(_: &Site<'_>, options: ClientOptions, place: &str) -> Outcome<Client> {
        Ok(options.udp(place)?)
    }
}

/// Over a local stream socket.
pub(super) enum Local {}

impl Way for Local {
    const ID: &'static str = "rpc.onc.local";
    const ABOUT: &'static str = "ONC RPC over a local socket, a call that returns its argument";
    const GOALS: &'static [Goal] = &[
        at_most(KIB_64, "raw.unix.stream", 1.5),
        at_most(Job::RTT, "rival.libtirpc.local", 1.0),
        at_most(KIB, "rival.libtirpc.local", 1.0),
        at_most(KIB_64, "rival.libtirpc.local", 1.0),
        at_most(MIB, "rival.libtirpc.local", 1.0),
    ];
    const RAW: Option<&'static str> = Some("raw.unix.stream");
    const NULL: &'static str = "rpc.onc.local.null";
    const NULL_GOALS: &'static [Goal] = &[at_most(Job::RTT, "rival.libtirpc.local.null", 1.0)];

    async fn listen(site: &Site<'_>, server: &mut Server) -> Outcome<String> {
        let path = site.place()?.join(NAME);
        server.local(path, 0o600).await?;
        Ok(String::new())
    }

    fn connect(site: &Site<'_>, options: ClientOptions, _: &str) -> Outcome<Client> {
        Ok(options.local(site.place()?.join(NAME))?)
    }
}

/// Over a channel.
pub(super) enum Channels {}

impl Way for Channels {
    const ID: &'static str = "rpc.onc.channel";
    const ABOUT: &'static str = "ONC RPC over a channel, a call that returns its argument";
    const NULL: &'static str = "rpc.onc.channel.null";
    const NULL_GOALS: &'static [Goal] = &[at_most(Job::RTT, "rpc.onc.local.null", 1.0)];
    const WAITS: Waits = Waits::Adapts;

    async fn listen(_: &Site<'_>, server: &mut Server) -> Outcome<String> {
        server.channel(NAME)?;
        Ok(String::new())
    }

    fn connect(site: &Site<'_>, options: ClientOptions, _: &str) -> Outcome<Client> {
        Ok(options.namespace(&super::space(site)?).channel(NAME)?)
    }
}

/// How many calls there have been, and how many are awaited.
#[derive(Default)]
pub(super) struct Count {
    done: AtomicU64,
    due: AtomicU64,
    /// Calls of procedure 0 that are awaited: the server answers them itself.
    null_due: AtomicU64,
    settled: AtomicU64,
    is_settled: Notify,
}

impl Count {
    fn settle(&self) {
        self.settled.fetch_add(1, SeqCst);
        self.is_settled.notify_one();
    }
}

/// The program: what a dispatcher made from a `.x` file does.
#[derive(Default)]
struct Echo(Arc<Count>);

/// The program of [`ECHO`], version 1.
#[must_use]
pub fn echo() -> impl Program {
    Echo::default()
}

impl Program for Echo {
    fn program(&self) -> u32 {
        ECHO.program
    }

    fn version(&self) -> u32 {
        ECHO.version
    }

    fn dispatch(
        self: Arc<Self>,
        _: Context,
        procedure: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        if procedure == SETTLE.number {
            self.0.settle();
            return Ok(Box::pin(ready(Ok(reply))));
        }
        if procedure != ECHO.number {
            return Err(Refusal::ProcedureUnavailable);
        }
        let mut from = Reader::new(args);
        let bytes = from.opaque(u32::MAX);
        let bytes = bytes.map_err(|_| Refusal::GarbageArguments)?;
        reply.reserve(args.len());
        let written = Writer::new(&mut reply).opaque(bytes, u32::MAX);
        written.map_err(|_| Refusal::SystemError)?;
        self.0.done.fetch_add(1, SeqCst);
        Ok(Box::pin(ready(Ok(reply))))
    }
}

/// One side's end.
pub(super) enum Rpc<W> {
    Client(Client, PhantomData<W>),
    Server {
        runtime: Runtime,
        running: Running,
        count: Arc<Count>,
    },
}

impl<W: Way> Mechanism for Rpc<W> {
    const ID: &'static str = W::ID;
    const ABOUT: &'static str = W::ABOUT;
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = W::MEASURES;
    const WAITS: Waits = W::WAITS;
    const ECHOES: bool = true;
    const BESIDE: Option<&'static str> = W::RAW;
    const GOALS: &'static [Goal] = W::GOALS;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Near {
            let place = String::from_utf8(site.hear()?)?;
            let client = W::connect(site, Client::options(), &place)?;
            return Ok(Self::Client(client, PhantomData));
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let count = Arc::new(Count::default());
        let mut server = Server::with(Server::options().namespace(&super::space(site)?));
        server.add(Echo(Arc::clone(&count)));
        let (place, running) = runtime.block_on(async {
            let place = W::listen(site, &mut server).await?;
            Ok::<_, Failure>((place, server.start()))
        })?;
        // A message has at least one byte.
        site.tell(if place.is_empty() {
            b"-"
        } else {
            place.as_bytes()
        })?;
        Ok(Self::Server {
            runtime,
            running,
            count,
        })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let Self::Client(client, _) = self else {
            return Err(Failure::new("the other side calls"));
        };
        let max = u32::MAX;
        let len = client.call(
            ECHO,
            |to| to.opaque(request, max),
            |from| {
                let bytes = from.opaque(max)?;
                if let Some(room) = reply.get_mut(..bytes.len()) {
                    room.copy_from_slice(bytes);
                }
                Ok(bytes.len())
            },
        )?;
        Ok(len)
    }

    fn settle(&mut self) -> Outcome<()> {
        self.announce()
    }

    fn echo(&mut self, echoes: u32) -> Outcome<()> {
        let due = |count: &Count| count.due.fetch_add(echoes.into(), SeqCst) + u64::from(echoes);
        self.serve_until(due, |count, _| count.done.load(SeqCst))
    }
}

/// Procedure 0, which the server answers itself.
pub(super) struct Null<W>(Rpc<W>);

impl<W: Way> Mechanism for Null<W> {
    const ID: &'static str = W::NULL;
    const ABOUT: &'static str = "ONC RPC, procedure 0";
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const WAITS: Waits = W::WAITS;
    const ECHOES: bool = true;
    /// It carries nothing: what a call costs beside its argument.
    const YARDSTICK: bool = true;
    const BESIDE: Option<&'static str> = W::RAW;
    const GOALS: &'static [Goal] = W::NULL_GOALS;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Rpc::open(site).map(Self)
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let Rpc::Client(client, _) = &self.0 else {
            return Err(Failure::new("the other side calls"));
        };
        client.null(ECHO.program, ECHO.version)?;
        reply.copy_from_slice(request);
        Ok(request.len())
    }

    fn settle(&mut self) -> Outcome<()> {
        self.0.announce()
    }

    fn echo(&mut self, calls: u32) -> Outcome<()> {
        self.0.answer(calls.into())
    }
}

impl<W: Way> Rpc<W> {
    /// Near has all replies, and tells far: a timer there, or a look each time that nothing is to
    /// be done, would cost every call.
    ///
    /// It does not wait: far may stop serving before it has sent the reply to this.
    pub(super) fn announce(&mut self) -> Outcome<()> {
        let Self::Client(client, _) = self else {
            return Err(Failure::new("the other side calls"));
        };
        Ok(client.call_oneway(SETTLE, |_| Ok(()))?)
    }

    /// Serves until so many calls of procedure 0 have been answered.
    pub(super) fn answer(&mut self, calls: u64) -> Outcome<()> {
        let due = |count: &Count| count.null_due.fetch_add(calls, SeqCst) + calls;
        self.serve_until(due, |count, running| {
            let others = count.done.load(SeqCst) + count.settled.load(SeqCst);
            running.stats().calls - others
        })
    }

    /// Serves until near has the replies of all calls that are due.
    fn serve_until(
        &mut self,
        due: impl FnOnce(&Count) -> u64,
        done: impl Fn(&Count, &Running) -> u64,
    ) -> Outcome<()> {
        let Self::Server {
            runtime,
            running,
            count,
        } = self
        else {
            return Err(Failure::new("the other side answers"));
        };
        let due = due(count);
        runtime.block_on(async {
            while done(count, running) < due {
                count.is_settled.notified().await;
            }
        });
        Ok(())
    }
}
