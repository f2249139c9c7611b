//! Hosts, programs and versions as a person writes them.

use std::path::Path;

use strait::rpc::onc::rpcbind::{Client, Netid, PORT};

use crate::failure::{Failure, USAGE};

/// Programs by name: `rpc(5)`.
const NAMES: &str = "/etc/rpc";

/// What is wrong with the arguments.
pub(crate) fn wrong(message: impl Into<String>) -> Failure {
    Failure {
        message: message.into(),
        status: USAGE,
    }
}

/// Name and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
pub(crate) fn parts(host: &str, port: u16) -> (String, u16) {
    let bare = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    };
    let is_six = host.parse::<std::net::Ipv6Addr>().is_ok();
    match host.rsplit_once(':') {
        Some((name, number)) if !is_six => match number.parse() {
            Ok(number) => (bare(name), number),
            Err(_) => (bare(host), port),
        },
        _ => (bare(host), port),
    }
}

/// The registry of a host, over TCP or that transport; without a host this machine's, by its local
/// socket where that is to be had.
pub(crate) fn registry(host: Option<&str>, netid: Netid) -> Result<Client, Failure> {
    let client = match host {
        None => Client::usual(),
        Some(path) if is_path(path) => Client::local(Path::new(path)),
        Some(host) => match netid {
            Netid::Udp | Netid::Udp6 => Client::udp(parts(host, PORT)),
            _ => Client::tcp(parts(host, PORT)),
        },
    };
    client.map_err(Failure::of)
}

pub(crate) fn is_path(host: &str) -> bool {
    host.starts_with('/') || host.starts_with("./")
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
    use super::parts;

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
        ] {
            assert_eq!(parts(host, 111), (name.to_owned(), port), "{host}");
        }
    }
}
