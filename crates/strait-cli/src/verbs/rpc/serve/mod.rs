//! `strait rpc serve`: a program whose calls a command answers, with JSON on both sides.

mod jobs;
mod program;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use strait::rpc::onc::rpcbind::{Netid, Registered};
use strait::rpc::onc::{Limits, Program as _, Server};
use strait::wait;
use strait_idl::onc::Specification;
use strait_sys::signal::Signal;

use self::jobs::{GRACE, Jobs};
use self::program::{Answers, Served, is_echo};
use super::bind::{self, Place};
use super::call::MAPPING;
use super::host::{self, unasked, wrong};
use super::interface::Interface;
use super::tls;
use crate::child::{self, Ends};
use crate::context::Context;
use crate::failure::Failure;
use crate::value;

/// How long a registry may take for a connection, and for each answer.
const REGISTRY: Duration = Duration::from_secs(10);

/// Answer the calls of a file of the RPC language with what a command makes of them: the arguments
/// are JSON on its standard input, and JSON on its standard output is the result
///
/// All programs and versions of the file are served. It prints where it listens, a line for each
/// transport; unless said otherwise that is a port of its own choice over TCP of 127.0.0.1.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("answer").args(["echo", "command"]).required(true)),
    override_usage = "strait rpc serve [OPTIONS] FILE.x {--echo | -- CMD…}",
    after_help = format!(
        "The command reads the argument itself; of several an array, of none null. It finds in its \
         environment STRAIT_RPC_PROGRAM, STRAIT_RPC_VERSION and STRAIT_RPC_PROCEDURE by name, \
         their numbers in STRAIT_RPC_PROGRAM_NUMBER, STRAIT_RPC_VERSION_NUMBER and \
         STRAIT_RPC_NUMBER, in STRAIT_RPC_CALLER who calls (over a local socket or a channel \
         also in STRAIT_CLIENT_PID, STRAIT_CLIENT_UID and STRAIT_CLIENT_GID), and in \
         STRAIT_RPC_SYS_UID \
         and STRAIT_RPC_SYS_GID what an AUTH_SYS caller says to be, which proves nothing.\n\
         It runs in a process group of its own, which is ended (SIGTERM, a second later SIGKILL) \
         when its time is over or the server is ended by SIGINT, SIGQUIT, SIGTERM or SIGHUP. If \
         it fails, says what is no result, or takes too long, the caller gets SYSTEM_ERR, and \
         standard error says why.\n\n{MAPPING}\n\n\
         Exit status: 124 when the registry does not answer in time (10 s), 125 on an error, 126 \
         or 127 for a command that cannot be run or is not \
         there; else it serves until a signal ends it.\n\
         Example: strait rpc serve sums.x --tcp 127.0.0.1:7000 -- jq -c add\n\
         Example: strait rpc serve kv.x --socket ./kv.sock -- ./kv.sh\n\
         Example: strait rpc serve sums.x --tls-cert sums.pem --tls-key sums.key --tls-required \
         -- jq -c add\n\
         Example: strait rpc serve sums.x --channel sums -- jq -c add\n\
         Example: strait rpc serve sums.x --echo"
    )
)]
pub(crate) struct Serve {
    #[command(flatten)]
    interface: Interface,
    /// Listen there over TCP; port 0 is drawn; as often as wanted
    #[arg(long, value_name = "IP:PORT", value_parser = place)]
    tcp: Vec<SocketAddr>,
    /// Receive datagrams there; port 0 is drawn; as often as wanted
    #[arg(long, value_name = "IP:PORT", value_parser = place)]
    udp: Vec<SocketAddr>,
    /// Listen at the path of a local socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Serve channels of that name in the namespace (--ns), to this user alone
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Permission bits of the socket's file, in octal; to call takes the write bit
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    #[command(flatten)]
    tls: tls::Called,
    /// Register at this machine's registry (rpcbind) while it serves
    #[arg(long)]
    register: bool,
    /// The same, at that registry: HOST:PORT or a path
    #[arg(long, value_name = "WHERE")]
    registry: Option<String>,
    /// How many commands run at a time; further calls wait
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    jobs: u16,
    /// How long a command may take
    #[arg(long, value_name = "TIME", value_parser = value::duration, default_value = "1m")]
    time_max: Duration,
    /// Print where it listens as JSON, in one line
    #[arg(long)]
    json: bool,
    /// Answer with the argument, where the result is of the same type
    #[arg(long)]
    echo: bool,
    /// What answers
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn place(word: &str) -> Result<SocketAddr, String> {
    let wanted = |_| "an address and a port are wanted, such as 127.0.0.1:7201 or [::1]:7201";
    word.parse().map_err(wanted).map_err(str::to_owned)
}

impl Serve {
    pub(crate) fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let tree = self.interface.read()?;
        self.check(&tree)?;
        // Before there are threads, and a path to leave behind.
        let ends = Ends::begin()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::io("start the runtime", &error))?;
        let jobs = Arc::new(Jobs::new(self.command.clone(), self.time_max));
        let answers = Arc::new(Answers::new(tree, self.jobs, Arc::clone(&jobs)));
        let ended = runtime.block_on(self.serve(context, &answers, &ends));
        jobs.close();
        runtime.shutdown_timeout(GRACE);
        Err(ends.die_of(ended?))
    }

    fn check(&self, tree: &Specification) -> Result<(), Failure> {
        let file = self.interface.file.display();
        let versions = || tree.programs.iter().flat_map(|program| &program.versions);
        if versions().next().is_none() {
            return Err(wrong(format!("{file} defines no program")));
        }
        if !self.echo {
            return child::check(&self.command);
        }
        let mut procedures = versions().flat_map(|version| &version.procedures);
        if procedures.any(|procedure| is_echo(tree, procedure)) {
            return Ok(());
        }
        Err(wrong(format!(
            "--echo: no procedure of {file} gives what it takes, one argument of the same type"
        )))
    }

    /// Until a signal comes; which.
    async fn serve(
        &self,
        context: &mut Context,
        answers: &Arc<Answers>,
        ends: &Ends,
    ) -> Result<Signal, Failure> {
        let limits = Limits {
            // The rest of what may come is bounded by its memory.
            calls_max: program::CALLS_MAX,
            ..Limits::default()
        };
        let mut options = Server::options()
            .limits(limits)
            .on_event(|event| bind::complain("rpc serve", &event));
        if let Some(tls) = self.tls.server()? {
            options = options.tls(tls);
        }
        if self.channel.is_some() {
            options = options.namespace(&context.space()?);
        }
        let mut server = Server::with(options);
        for program in Served::all(answers, self.echo) {
            server.add(program);
        }
        for address in &self.tcp {
            server.tcp(*address).await.map_err(Failure::of)?;
        }
        for address in &self.udp {
            server.udp(*address).await.map_err(Failure::of)?;
        }
        if let Some(path) = &self.socket {
            let listening = server.local(path, self.mode).await;
            listening.map_err(|error| Failure::at(path, error))?;
        }
        if let Some(name) = &self.channel {
            server.channel(name).map_err(Failure::of)?;
        }
        let places = server.places();
        if places.is_empty() && self.channel.is_none() {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            server.tcp(any).await.map_err(Failure::of)?;
        }
        let places = server.places();
        let registered = tokio::select! {
            signal = ended(ends) => return signal,
            registered = self.register(answers, places.clone()) => registered?,
        };
        let running = server.start();
        bind::tell(context, (&places, self.channel.as_deref()), self.json)?;
        let signal = ended(ends).await;
        // A registry that is silent by now is not waited for.
        let unset = tokio::task::spawn_blocking(|| drop(registered));
        let _ = tokio::time::timeout(GRACE, unset).await;
        // Their callers hear of it before the commands.
        running.stop(Duration::ZERO).await;
        signal
    }

    /// Registers all that is served at these places, if that is wanted. It is on a thread of its
    /// own, which holds nothing that is to be cleared up.
    async fn register(
        &self,
        answers: &Arc<Answers>,
        places: Vec<Place>,
    ) -> Result<Vec<Registered>, Failure> {
        if self.registry.is_none() && !self.register {
            return Ok(Vec::new());
        }
        let registry = self.registry.clone();
        let served = Served::all(answers, self.echo);
        let registering = tokio::task::spawn_blocking(move || {
            let registry = host::registry(registry.as_deref(), Netid::Tcp, REGISTRY)?;
            let mut registered = Vec::new();
            for each in served {
                for (netid, address) in &places {
                    let of = (each.program(), each.version());
                    registered.push(registry.register(of, *netid, address).map_err(unasked)?);
                }
            }
            Ok(registered)
        });
        let registered = registering.await;
        registered.map_err(|_| Failure::new("what registers has panicked"))?
    }
}

/// The signal that comes.
async fn ended(ends: &Ends) -> Result<Signal, Failure> {
    loop {
        let came = wait::any_async(&[&ends.readable()]).await;
        came.map_err(Failure::of)?;
        if let Some(signal) = ends.take() {
            return Ok(signal);
        }
    }
}
