//! The null call: whether a program answers.

use strait::rpc::onc::rpcbind::{Netid, Uaddr};
use strait::rpc::onc::{Client, ClientOptions, Status, status};

use super::host::{is_path, parts, registry, wrong};
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
    pub(crate) error: Option<String>,
}

/// Connects to a program.
pub(crate) fn connect(
    to: &To<'_>,
    netid: Netid,
    of: (u32, u32),
    options: ClientOptions,
) -> Result<Client, Failure> {
    let at = match to {
        To::Registered(host) if is_path(host) && netid == Netid::Local => address(host, netid, of)?,
        To::Registered(host) => match address(host, netid, of)? {
            // Where the host was found, the program is too, whatever the registry calls it.
            Uaddr::Inet(at) => return over(options, netid, (parts(host, 0).0, at.port())),
            local @ Uaddr::Local(_) => local,
        },
        To::Port(host, port) => return over(options, netid, (parts(host, 0).0, *port)),
        To::Address(text) => Uaddr::parse(netid, text).map_err(|error| {
            wrong(format!(
                "{text}: {error} (such as 127.0.0.1.0.111 or ::1.0.111, or a path)"
            ))
        })?,
    };
    match at {
        Uaddr::Inet(at) => over(options, netid, at),
        Uaddr::Local(path) => options.local(path).map_err(Failure::of),
    }
}

fn over(
    options: ClientOptions,
    netid: Netid,
    at: impl std::net::ToSocketAddrs,
) -> Result<Client, Failure> {
    let client = match netid {
        Netid::Udp | Netid::Udp6 => options.udp(at),
        _ => options.tcp(at),
    };
    client.map_err(Failure::of)
}

/// Where the registry of that host says.
pub(crate) fn address(host: &str, netid: Netid, of: (u32, u32)) -> Result<Uaddr, Failure> {
    let registry = registry(Some(host), netid)?;
    let found = registry.address(of, netid).map_err(Failure::of)?;
    found.ok_or_else(|| {
        Failure::new(format!(
            "{host}: program {} is not registered for {netid}",
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
                Some(Status::ProgramMismatch { low, high }) => {
                    low..=high.min(low.saturating_add(VERSIONS_MAX - 1))
                }
                _ => return Err(Failure::of(error)),
            },
        },
    };
    let called = |version| Called {
        version,
        error: client
            .null(program, version)
            .err()
            .map(|error| Failure::of(error).message),
    };
    Ok(versions.map(called).collect())
}
