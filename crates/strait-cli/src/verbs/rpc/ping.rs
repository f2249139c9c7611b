//! The null call: whether a program answers.

use std::net::SocketAddr;
use std::time::Duration;

use strait::Error;
use strait::rpc::onc::rpcbind::{Netid, Uaddr};
use strait::rpc::onc::{Client, ClientOptions, Status, peer, status};

use super::host::{addresses, failed, failed_on, is_path, parts, registry, unasked, wrong};
use crate::failure::Failure;

/// Versions that are called, where a program says itself which it has.
const VERSIONS_MAX: u32 = 64;

/// Where a program is to be called.
#[derive(Debug)]
pub(crate) enum To<'w> {
    /// Where the registry of that host says.
    Registered(&'w str),
    /// At that port of the host.
    Port(&'w str, u16),
    /// At that address.
    Address(&'w str),
}

/// One version that was called, and what became of it.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) version: u32,
    /// What is wrong, if it is not ready.
    pub(crate) error: Option<Failure>,
}

/// Connects to a program; a registry may take so long for that, and so long for its answer.
pub(crate) fn connect(
    to: &To<'_>,
    netid: Netid,
    of: (u32, u32),
    (options, timeout): (ClientOptions, Duration),
) -> Result<Client, Failure> {
    let at = match to {
        To::Registered(host) => match address(host, netid, of, timeout)? {
            // Where the host was found, the program is too, whatever the registry calls it.
            Uaddr::Inet(at) if !is_path(host) => {
                let at = addresses(&parts(host, 0)?.0, at.port(), netid)?;
                return over(options, netid, &at);
            }
            at => at,
        },
        To::Port(..) if netid == Netid::Local => return Err(wrong("local has no ports")),
        To::Port(host, port) => {
            let at = addresses(&parts(host, 0)?.0, *port, netid)?;
            return over(options, netid, &at);
        }
        To::Address(text) => Uaddr::parse(netid, text).map_err(|error| {
            wrong(format!(
                "{text}: {error} (such as 127.0.0.1.0.111 or ::1.0.111, or a path)"
            ))
        })?,
    };
    match at {
        Uaddr::Inet(at) => over(options, netid, &[at]),
        Uaddr::Local(path) => options.local(path).map_err(failed),
    }
}

fn over(options: ClientOptions, netid: Netid, at: &[SocketAddr]) -> Result<Client, Failure> {
    let client = match netid {
        Netid::Udp | Netid::Udp6 => options.udp(at),
        _ => options.tcp(at),
    };
    client.map_err(failed)
}

/// Where the registry of that host says.
pub(crate) fn address(
    host: &str,
    netid: Netid,
    of: (u32, u32),
    timeout: Duration,
) -> Result<Uaddr, Failure> {
    let registry = registry(Some(host), netid, timeout)?;
    let found = registry.address(of, netid).map_err(unasked)?;
    found.ok_or_else(|| {
        Failure::new(format!(
            "{host}: program {:#x} is not registered for {netid}",
            of.0
        ))
    })
}

/// Calls procedure 0 of that version, or of each that the program says it has.
pub(crate) fn call(
    client: &Client,
    program: u32,
    version: Option<u32>,
) -> Result<Vec<Called>, Failure> {
    let versions = match version {
        Some(version) => version..=version,
        // There is hardly a version 0: the program then says what there is.
        None => match client.null(program, 0) {
            Ok(()) => 0..=0,
            Err(error) => match status(&error) {
                // None would be ready then, and nothing wrong.
                Some(Status::ProgramMismatch { low, high }) if low <= high => {
                    low..=high.min(low.saturating_add(VERSIONS_MAX - 1))
                }
                _ => return Err(failed(error)),
            },
        },
    };
    let called = |version| {
        // Which program it was, is told in decimal beside this.
        let bare = |error: Error| failed_on(peer(&error).unwrap_or(error.subject()), &error);
        Called {
            version,
            error: client.null(program, version).err().map(bare),
        }
    };
    Ok(versions.map(called).collect())
}
