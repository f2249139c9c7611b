//! Hosts, programs and versions as a person writes them.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use strait::rpc::onc::rpcbind::{Client, Netid, PORT, SOCKET};
use strait::rpc::onc::{self, Status, peer, status};
use strait::{Error, ErrorKind};

use crate::failure::{Failure, TIMED_OUT, USAGE};

/// Programs by name: `rpc(5)`.
const NAMES: &str = "/etc/rpc";

/// What is wrong with the arguments.
pub(crate) fn wrong(message: impl Into<String>) -> Failure {
    Failure {
        message: message.into(),
        status: USAGE,
    }
}

/// An error of the library; of time, with the status of that.
pub(crate) fn failed(error: Error) -> Failure {
    failed_on(error.subject(), &error)
}

/// The same, of something that is called so.
pub(crate) fn failed_on(subject: &str, error: &Error) -> Failure {
    let failure = Failure::on(subject, error);
    match error.kind() {
        ErrorKind::TimedOut => Failure {
            status: TIMED_OUT,
            ..failure
        },
        _ => failure,
    }
}

/// Name and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
pub(crate) fn parts(host: &str, port: u16) -> Result<(String, u16), Failure> {
    let bare = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    };
    match host.rsplit_once(':') {
        // Of IPv6, without a port.
        Some((name, _)) if name.contains(':') && !name.ends_with(']') => Ok((bare(host), port)),
        Some((name, number)) => match number.parse() {
            Ok(number @ 1..) => Ok((bare(name), number)),
            _ => Err(wrong(format!(
                "{host}: {number:?} is no port, which is a number from 1 to 65535"
            ))),
        },
        None => Ok((bare(host), port)),
    }
}

/// The addresses of a name for that transport, which is told where it has none: of datagrams the
/// first alone is tried. What says nothing of IPv6 means IPv4 where there is both.
pub(crate) fn addresses(name: &str, port: u16, netid: Netid) -> Result<Vec<SocketAddr>, Failure> {
    let found = (name, port).to_socket_addrs();
    let found = found.map_err(|error| Failure::io(name, &error))?;
    let (six, four): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    match netid {
        Netid::Tcp6 | Netid::Udp6 if six.is_empty() => Err(Failure::new(format!(
            "{name}: no address of IPv6, which {netid} is"
        ))),
        Netid::Tcp6 | Netid::Udp6 => Ok(six),
        _ => Ok([four, six].concat()),
    }
}

/// The registry of a host, over TCP or that transport; without a host this machine's, by its local
/// socket where that is to be had. So long it may take to connect, and each answer.
pub(crate) fn registry(
    host: Option<&str>,
    netid: Netid,
    timeout: Duration,
) -> Result<Client, Failure> {
    let options = onc::Client::options().timeout(timeout);
    let local = |rpc| Client::over(rpc, Netid::Local);
    let tcp = |rpc| inet(rpc, (Netid::Tcp, Netid::Tcp6));
    let client = match host {
        None => match options.clone().local(SOCKET) {
            Err(error) if error.kind() != ErrorKind::TimedOut => {
                options.tcp((Ipv4Addr::LOCALHOST, PORT)).map(tcp)
            }
            connected => connected.map(local),
        },
        Some(path) if is_path(path) => options.local(Path::new(path)).map(local),
        Some(host) => {
            let (name, port) = parts(host, PORT)?;
            // A registry knows of IPv6 wherever it is asked.
            let to = &*addresses(&name, port, Netid::Tcp)?;
            match netid {
                Netid::Udp | Netid::Udp6 => options
                    .udp(to)
                    .map(|rpc| inet(rpc, (Netid::Udp, Netid::Udp6))),
                _ => options.tcp(to).map(tcp),
            }
        }
    };
    client.map_err(|error| silent(failed(error)))
}

fn inet(rpc: onc::Client, (v4, v6): (Netid, Netid)) -> Client {
    // IPv6 is written in brackets.
    let is_six = rpc.peer().contains('[');
    Client::over(rpc, if is_six { v6 } else { v4 })
}

/// An error of a call to a registry: whether there is one at all.
pub(crate) fn unasked(error: Error) -> Failure {
    let is_answered = match (status(&error), error.kind()) {
        (Some(Status::ProgramUnavailable), _) => false,
        (None, ErrorKind::TimedOut | ErrorKind::PeerGone) => false,
        // Over UDP.
        (None, ErrorKind::Refused) => error.errno().is_none(),
        _ => true,
    };
    match peer(&error) {
        Some(peer) if !is_answered => silent(failed_on(peer, &error)),
        _ => failed(error),
    }
}

fn silent(failure: Failure) -> Failure {
    Failure {
        message: format!("no registry (rpcbind) answers at {}", failure.message),
        ..failure
    }
}

pub(crate) fn is_path(host: &str) -> bool {
    ["/", "./", "../"].iter().any(|way| host.starts_with(way))
}

/// A program by its number or its name in `/etc/rpc`.
pub(crate) fn program(word: &str) -> Result<u32, Failure> {
    if let Some(number) = number(word) {
        return Ok(number);
    }
    let found = names()
        .into_iter()
        .find(|(_, names)| names.iter().any(|name| name == word));
    found.map(|(number, _)| number).ok_or_else(|| {
        wrong(format!(
            "{word}: neither a number nor the name of a program in {NAMES}"
        ))
    })
}

pub(crate) fn version(word: &str) -> Result<u32, Failure> {
    number(word).ok_or_else(|| wrong(format!("{word}: a version is a number")))
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// Names of programs by number, the first of each being the usual one.
pub(crate) fn names() -> Vec<(u32, Vec<String>)> {
    let text = std::fs::read_to_string(NAMES).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line
            .split('#')
            .next()?
            .split_whitespace()
            .map(str::to_owned);
        let name = words.next()?;
        let number = words.next()?.parse().ok()?;
        Some((number, std::iter::once(name).chain(words).collect()))
    };
    text.lines().filter_map(line).collect()
}

/// The usual name; empty if it has none.
pub(crate) fn name(names: &[(u32, Vec<String>)], program: u32) -> String {
    let found = names.iter().find(|(number, _)| *number == program);
    found
        .and_then(|(_, names)| names.first().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{USAGE, parts};

    #[test]
    fn a_host_may_have_a_port() {
        for (host, name, port) in [
            ("here", "here", 111),
            ("here:77", "here", 77),
            ("10.0.0.1", "10.0.0.1", 111),
            ("10.0.0.1:77", "10.0.0.1", 77),
            ("::1", "::1", 111),
            ("[::1]", "::1", 111),
            ("[::1]:77", "::1", 77),
            ("fe80::1%7", "fe80::1%7", 111),
        ] {
            let found = parts(host, 111).ok();
            assert_eq!(found, Some((name.to_owned(), port)), "{host}");
        }
        for host in ["here:", "here:0", "10.0.0.1:99999", "[::1]:x", "here:-1"] {
            let failure = parts(host, 111).unwrap_err();
            assert_eq!(failure.status, USAGE, "{host}");
            assert!(
                failure.message.starts_with(&format!("{host}: \"")),
                "{host}"
            );
        }
    }
}
