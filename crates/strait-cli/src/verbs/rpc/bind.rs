//! `strait rpc bind`: a registry of programs, for as long as it runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use strait::rpc::onc::Server;
use strait::rpc::onc::rpcbind::{self, Netid, PORT, RemoteLimits, SOCKET, Service, Uaddr};
use strait::rpc::onc::server::{Event, Whom};
use strait::{Error, ErrorKind};

use crate::context::{Context, note};
use crate::failure::Failure;
use crate::value;

/// How often two transports are tried to be given one port that is drawn.
const DRAWS: u32 = 16;

/// Be the registry of programs (rpcbind, portmapper), until killed
///
/// It prints where it listens, a line for each transport. Without options that is a port of its own
/// choice, over TCP and UDP of 127.0.0.1, which takes no privilege.
///
/// Programs of this machine register: over the socket, where each is its user's own, or over the
/// loopback, where whoever comes that way may take it back. A program that was killed disappears
/// once it was seen to listen no more. Remote calls (CALLIT, BCAST, INDIRECT) are made only with
/// --indirect.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 125 on an error; else it runs until it is killed.\n\
                  Example: strait rpc bind --port 0 --socket ./rpcbind.sock\n\
                  As root: strait rpc bind --usual"
)]
pub(crate) struct Bind {
    /// The port, of TCP and UDP; 0 is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// An address to listen at, as often as wanted; `::` takes IPv4 as well
    #[arg(long = "address", value_name = "IP", default_value = "127.0.0.1")]
    addresses: Vec<IpAddr>,
    /// The path of a local socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where everybody looks for it: port 111 of all addresses, and /run/rpcbind.sock
    #[arg(long, conflicts_with_all = ["port", "addresses", "socket"])]
    usual: bool,
    /// Permission bits of the socket's file, in octal; to call takes the write bit
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0666")]
    mode: u32,
    /// Registrations stay where nobody listens any more: for programs in other network namespaces
    #[arg(long)]
    keep_dead: bool,
    /// Call programs of this machine for whoever asks (CALLIT, BCAST, INDIRECT), as rpcinfo -b
    /// wants it: strangers reach them so from an address of this machine
    #[arg(long)]
    indirect: bool,
    /// Print where it listens as JSON, in one line
    #[arg(long)]
    json: bool,
}

/// Where it listens.
pub(super) type Place = (Netid, Uaddr);

impl Bind {
    pub(crate) fn run(mut self, context: &mut Context) -> Result<ExitCode, Failure> {
        if self.usual {
            self.port = PORT;
            self.addresses = vec![Ipv6Addr::UNSPECIFIED.into()];
            self.socket = Some(SOCKET.into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::io("start the runtime", &error))?;
        runtime.block_on(self.serve(context))
    }

    async fn serve(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut options = Service::options();
        if self.keep_dead {
            options = options.keep_dead();
        }
        if self.indirect {
            options = options.remote_calls(RemoteLimits::default());
        }
        let service = options.create();
        let server = Server::options()
            .reply_factor_max(rpcbind::REPLY_FACTOR_MAX, Whom::Strangers)
            .on_event(|event| complain("rpc bind", &event));
        let mut server = Server::with(server);
        for program in service.programs() {
            server.add(program);
        }
        for address in &self.addresses {
            self.listen(&mut server, *address)
                .await
                .map_err(Failure::of)?;
        }
        if let Some(path) = &self.socket {
            server.local(path, self.mode).await.map_err(Failure::of)?;
        }
        let places = server.places();
        for (netid, address) in &places {
            // An address that was listened at is one.
            let _ = service.announce(*netid, address);
        }
        let running = server.start();
        tell(context, (&places, None), self.json)?;
        std::future::pending::<()>().await;
        drop(running);
        Ok(ExitCode::SUCCESS)
    }

    /// Listens over TCP and UDP at one port.
    async fn listen(&self, server: &mut Server, ip: IpAddr) -> Result<(), Error> {
        if self.port == 0 {
            return draw(server, ip).await;
        }
        let mut at = SocketAddr::new(ip, self.port);
        if let Err(error) = server.tcp(at).await {
            if !self.usual || error.kind() == ErrorKind::Exists {
                return Err(error);
            }
            // Without IPv6 there is IPv4.
            at.set_ip(Ipv4Addr::UNSPECIFIED.into());
            server.tcp(at).await?;
        }
        server.udp(at).await.map(drop)
    }
}

/// Prints where it listens: at addresses that a registry knows, and the name of channels.
pub(super) fn tell(
    context: &mut Context,
    (places, channel): (&[Place], Option<&str>),
    json: bool,
) -> Result<(), Failure> {
    if json {
        let all = places.iter().map(|(netid, address)| {
            json!({
                "netid": netid.name(), "address": shown(address), "uaddr": address.to_string(),
                "port": address.port(),
            })
        });
        // No registry knows a name.
        let channel = channel.map(|name| json!({ "netid": "channel", "address": name }));
        context
            .out
            .json_line(&json!(all.chain(channel).collect::<Vec<_>>()))?;
    } else {
        for (netid, address) in places {
            context.out.line(&format!("{netid} {}", shown(address)))?;
        }
        if let Some(name) = channel {
            context.out.line(&format!("channel {name}"))?;
        }
    }
    context.out.finish()
}

/// Takes a port that is free over both: UDP first, which has fewer users.
async fn draw(server: &mut Server, ip: IpAddr) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        // Found out with a socket of its own: what a server listens at, it keeps.
        let probe = std::net::TcpListener::bind((ip, 0)).and_then(|probe| probe.local_addr());
        let port = probe.map_or(0, |at| at.port());
        let at = SocketAddr::new(ip, port);
        tries += 1;
        let done = match server.udp(at).await {
            Ok(at) => return server.tcp(at).await.map(drop),
            Err(error) => error,
        };
        if done.kind() != ErrorKind::Exists || tries == DRAWS {
            return Err(done);
        }
    }
}

fn shown(address: &Uaddr) -> String {
    match address {
        Uaddr::Inet(address) => address.to_string(),
        Uaddr::Local(path) => path.clone(),
    }
}

/// What an operator may want to know goes to standard error; idle connections are no news.
pub(super) fn complain(verb: &str, event: &Event) {
    if let Event::Exhausted { .. }
    | Event::Panicked { .. }
    | Event::Datagram { .. }
    | Event::Unsent { .. } = event
    {
        note(verb, &event.to_string());
    }
}
