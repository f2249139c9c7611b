//! Addresses of sockets on the command line: names are looked up, and what was taken is told.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

use clap::Args;
use rustix::io::Errno;
use serde_json::json;
use strait::unix::socket::Address;

use crate::context::Context;
use crate::failure::{Failure, answer};

/// What was written, with names looked up; where a name has several addresses, all of them.
fn addresses(text: &str, datagrams: bool) -> Result<Vec<Address>, Failure> {
    let wrong = |why: &str| Failure::new(format!("{text}: {why}"));
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    match (scheme, datagrams) {
        ("tcp", true) => return Err(wrong("TCP has no datagrams: listen, or connect")),
        ("udp", false) => return Err(wrong("UDP has no connections: send, or recv")),
        ("vsock", true) => return Err(wrong("vsock has no datagrams here")),
        ("tcp" | "udp", _) if rest.parse::<SocketAddr>().is_err() => {
            if let Some(why) = wrong_port(scheme, rest) {
                return Err(wrong(&why));
            }
            let found = rest.to_socket_addrs().map_err(|error| {
                let said = answer(&error);
                wrong(said.trim_start_matches("failed to lookup address information: "))
            })?;
            return Ok(found.map(Address::Inet).collect());
        }
        _ => {}
    }
    let read = text.parse::<Address>().map(|address| vec![address]);
    read.map_err(|error| match rest.parse::<u16>() {
        Ok(_) if !["", "vsock", "unix"].contains(&scheme) => {
            wrong(&format!("write {}:{text}", internet(datagrams)))
        }
        _ => wrong(error.why()),
    })
}

/// What an internet address begins with.
fn internet(datagrams: bool) -> &'static str {
    if datagrams { "udp" } else { "tcp" }
}

/// Why this is no host and port; `None`: it may be one.
fn wrong_port(scheme: &str, text: &str) -> Option<String> {
    let host = text.strip_suffix(':').unwrap_or(text);
    let port = host.rsplit(':').next().unwrap_or_default();
    let whole = match host {
        "" => "localhost".to_owned(),
        _ if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]"),
        _ if port == host || host.ends_with(']') => host.to_owned(),
        _ => {
            let why = format!("`{port}` is no port: write a number, 0 to 65535");
            return port.parse::<u16>().is_err().then_some(why);
        }
    };
    Some(format!("the port is missing: write {scheme}:{whole}:80"))
}

/// The first of the addresses that succeeds.
pub(super) fn first_of<T>(
    text: &str,
    datagrams: bool,
    mut attempt: impl FnMut(&Address) -> strait::Result<T>,
) -> Result<T, Failure> {
    let mut failed = None;
    for address in addresses(text, datagrams)? {
        match attempt(&address) {
            Ok(done) => return Ok(done),
            Err(error) => failed = Some((address, error)),
        }
    }
    Err(match failed {
        None => Failure::new(format!("{text}: no such host")),
        Some((_, error)) if error.errno() == Some(Errno::PROTOTYPE.raw_os_error()) => {
            let mut failure = Failure::of(error);
            failure.message.push_str(" (--seqpacket, or not)");
            failure
        }
        Some((Address::Path(path), error)) => Failure::at(&path, error),
        Some((_, error)) => Failure::of(error),
    })
}

/// How is told which address was taken.
#[derive(Args, Debug)]
pub(super) struct Told {
    /// Once it can be reached, first print its address on a line
    #[arg(long)]
    ready: bool,
    /// That line as JSON: {"ready":true,"address":"tcp:127.0.0.1:4711"}
    #[arg(long, requires = "ready")]
    json: bool,
}

impl Told {
    /// Tells the address that was taken. One that the kernel has drawn is told in any case.
    pub(super) fn tell(
        &self,
        context: &mut Context,
        (is, asked): (Address, &Address),
        datagrams: bool,
    ) -> Result<(), Failure> {
        let (drawn, port) = match (asked, &is) {
            (Address::Inet(asked), Address::Inet(is)) => {
                (asked.port() == 0, Some(is.port().into()))
            }
            (Address::Vsock { port: asked, .. }, Address::Vsock { port, .. }) => {
                (asked != port, Some(*port))
            }
            _ => (*asked == Address::Unnamed, None),
        };
        let shown = match &is {
            Address::Inet(_) => format!("{}:{is}", internet(datagrams)),
            _ => is.to_string(),
        };
        if self.json {
            let mut told = json!({ "ready": true, "address": shown });
            if let Some(port) = port {
                told["port"] = port.into();
            }
            context.out.json_line(&told)?;
        } else if self.ready {
            context.out.line(&shown)?;
        } else if drawn {
            context.note(&format!("the address is {shown}"));
        }
        context.out.finish()
    }
}
