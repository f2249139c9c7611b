//! `strait rpc info`: what rpcinfo does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use strait::rpc::onc::Procedure;
use strait::rpc::onc::rpcbind::{
    Broadcast, Client, Netid, PORT, Registration, broadcast_addresses,
};

use super::host::{self, failed, unasked, wrong};
use super::ping::{self, To};
use crate::context::Context;
use crate::failure::Failure;
use crate::value;

/// Ask a registry what is registered, or call a program to see whether it answers
///
/// Without a mode: all that is registered, with addresses and owners.
#[derive(Args, Debug)]
#[command(
    override_usage = "strait rpc info [-p | -s | -m] [HOST]\n       \
                      strait rpc info -l HOST PROGRAM VERSION\n       \
                      strait rpc info {-t | -u | -T TRANSPORT} [-n PORT] HOST PROGRAM [VERSION]\n\
                      \x20      \
                      strait rpc info -T TRANSPORT -a ADDRESS PROGRAM [VERSION]\n       \
                  strait rpc info -b [--to IP[:PORT]]… PROGRAM VERSION\n       \
                      strait rpc info -d [-T TRANSPORT] [HOST] PROGRAM VERSION",
    after_help = "HOST is a name or an address, with :PORT if its registry is not at 111, or the \
                  path of a local socket; without it this machine's usual registry is asked. \
                  PROGRAM is a number or a name of /etc/rpc.\n\
                  Exit status: 0 if the answer came and every version that was called is ready, \
                  1 if not (of -b: nobody has answered), 2 for wrong arguments, 124 when no \
                  answer came in time.\n\
                  Example: strait rpc info -t localhost nfs 3"
)]
pub(crate) struct Info {
    /// What version 2 knows: programs, protocols and ports
    #[arg(short = 'p', long, group = "mode")]
    portmap: bool,
    /// A line for each program
    #[arg(short = 's', long, group = "mode")]
    short: bool,
    /// How often the registry was asked what
    #[arg(short = 'm', long, group = "mode")]
    statistics: bool,
    /// All transports of a version of a program
    #[arg(short = 'l', long, group = "mode")]
    list: bool,
    /// Call procedure 0 over TCP; without VERSION, of each that the program has
    #[arg(short = 't', long, group = "mode")]
    tcp: bool,
    /// The same over UDP
    #[arg(short = 'u', long, group = "mode")]
    udp: bool,
    /// Ask all hosts of the network who has a program, and collect answers for --timeout: a
    /// registry answers only if it makes remote calls, and the program does
    #[arg(short = 'b', long, group = "mode")]
    broadcast: bool,
    /// With -b, ask there instead of at the broadcast addresses of this machine's networks
    #[arg(long, value_name = "IP[:PORT]", requires = "broadcast", value_parser = place)]
    to: Vec<SocketAddr>,
    /// Take a registration back: one's own, or as root any
    #[arg(short = 'd', long, group = "mode")]
    delete: bool,
    /// The same over udp, tcp, udp6, tcp6 or local; with -d, take that registration only
    #[arg(short = 'T', long, value_name = "TRANSPORT", value_parser = netid)]
    transport: Option<Netid>,
    /// Call at this universal address, such as 127.0.0.1.0.111, without asking a registry
    #[arg(short = 'a', long, requires = "transport", group = "mode")]
    address: Option<String>,
    /// Call at this port, without asking a registry
    #[arg(
        short = 'n',
        long,
        conflicts_with = "address",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    port: Option<u16>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// How long to connect, and each answer, may take, and how long -b collects
    #[arg(long, value_name = "TIME", value_parser = value::duration, default_value = "10s")]
    timeout: Duration,
    /// HOST, PROGRAM, VERSION, as above
    #[arg(value_name = "WORD", hide = true)]
    words: Vec<String>,
}

/// An address, with the usual port if it has none.
fn place(word: &str) -> Result<SocketAddr, String> {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    let ip: Result<IpAddr, _> = bare.parse();
    let at = ip.map(|ip| SocketAddr::new(ip, PORT)).or(word.parse());
    at.map_err(|_| "such as 192.0.2.255 or 192.0.2.255:111".to_owned())
}

fn netid(word: &str) -> Result<Netid, String> {
    let known = Netid::ALL.map(Netid::name).join(", ");
    Netid::of_name(word).ok_or(format!("not one of {known}"))
}

impl Info {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let netid = match (self.tcp, self.udp) {
            (true, _) => Some(Netid::Tcp),
            (_, true) => Some(Netid::Udp),
            _ => self.transport,
        };
        match (words.as_slice(), netid, &self.address) {
            ([program, version], _, _) if self.delete => self.remove(None, program, version),
            ([host, program, version], _, _) if self.delete => {
                self.remove(Some(host), program, version)
            }
            ([host, program, version], _, _) if self.list => {
                self.transports(context, host, (program, version))
            }
            ([program, version], _, _) if self.broadcast => {
                self.everybody(context, (program, version))
            }
            _ if self.delete || self.list || self.broadcast => {
                Err(wrong("PROGRAM and VERSION are wanted"))
            }
            ([program, version @ ..], Some(netid), Some(address)) if version.len() < 2 => {
                self.call(context, (&To::Address(address), netid), program, version)
            }
            ([host, program, version @ ..], Some(netid), None) if version.len() < 2 => {
                let to = match self.port {
                    Some(port) => To::Port(host, port),
                    None => To::Registered(host),
                };
                self.call(context, (&to, netid), program, version)
            }
            (_, Some(_), Some(_)) => Err(wrong("PROGRAM is wanted, and at most a VERSION")),
            (_, Some(_), None) => Err(wrong("HOST and PROGRAM are wanted, and at most a VERSION")),
            _ if self.port.is_some() => Err(wrong("-n goes with -t, -u or -T")),
            ([], None, _) => self.tell(context, None),
            ([host], None, _) => self.tell(context, Some(host)),
            _ => Err(wrong("at most a HOST is wanted; -t or -u call a program")),
        }
    }

    fn registry(&self, host: Option<&str>) -> Result<Client, Failure> {
        host::registry(host, Netid::Tcp, self.timeout)
    }

    fn print(
        &self,
        context: &mut Context,
        titles: &[&str],
        rows: Vec<Vec<Value>>,
    ) -> Result<ExitCode, Failure> {
        let keys = titles.iter();
        if self.json {
            let object = |row: Vec<Value>| -> Value {
                let pairs = keys.clone().map(|key| (*key).to_owned()).zip(row);
                Value::Object(pairs.collect())
            };
            context
                .out
                .json(&rows.into_iter().map(object).collect::<Vec<_>>())?;
        } else {
            let mut table = vec![keys.map(|key| key.to_uppercase()).collect::<Vec<_>>()];
            table.extend(rows.iter().map(|row| row.iter().map(cell).collect()));
            context.out.table(&table)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, context: &mut Context, host: Option<&str>) -> Result<ExitCode, Failure> {
        let registry = self.registry(host)?;
        if self.statistics {
            return self.counts(context, &registry);
        }
        let names = host::names();
        if self.portmap {
            let all = registry.mappings().map_err(unasked)?;
            let row = |each: &strait::rpc::onc::rpcbind::Mapping| {
                let protocol = Netid::of_protocol(each.protocol);
                let protocol =
                    protocol.map_or_else(|| each.protocol.to_string(), |netid| netid.to_string());
                let name = host::name(&names, each.program);
                vec![
                    json!(each.program),
                    json!(each.version),
                    json!(protocol),
                    json!(each.port),
                    json!(name),
                ]
            };
            let titles = ["program", "version", "protocol", "port", "service"];
            return self.print(context, &titles, all.iter().map(row).collect());
        }
        let all = registry.dump().map_err(unasked)?;
        if self.short {
            return self.print(context, &SHORT, short(&all, &names));
        }
        let row = |each: &Registration<'_>| {
            vec![
                json!(each.program),
                json!(each.version),
                json!(each.netid),
                json!(each.address),
                json!(host::name(&names, each.program)),
                json!(each.owner),
            ]
        };
        let titles = ["program", "version", "netid", "address", "service", "owner"];
        self.print(context, &titles, all.iter().map(row).collect())
    }

    fn counts(&self, context: &mut Context, registry: &Client) -> Result<ExitCode, Failure> {
        let all = registry.statistics().map_err(unasked)?;
        let all =
            all.ok_or_else(|| Failure::new("no registry of version 4 is there, which counts"))?;
        let mut rows = Vec::new();
        for (version, counts) in (2_u32..).zip(&all) {
            for (procedure, count) in counts.calls.iter().enumerate().filter(|(_, n)| **n != 0) {
                rows.push(vec![
                    json!(version),
                    json!(format!("calls of procedure {procedure}")),
                    json!(count),
                ]);
            }
            rows.push(vec![json!(version), json!("registered"), json!(counts.set)]);
            rows.push(vec![
                json!(version),
                json!("taken back"),
                json!(counts.unset),
            ]);
            for each in &counts.addresses {
                let asked = format!("asked for {} {} {}", each.program, each.version, each.netid);
                rows.push(vec![
                    json!(version),
                    json!(format!("{asked}: found")),
                    json!(each.success),
                ]);
                rows.push(vec![
                    json!(version),
                    json!(format!("{asked}: not found")),
                    json!(each.failure),
                ]);
            }
            for each in &counts.remote_calls {
                let of = format!(
                    "remote calls of {} {} procedure {}",
                    each.program, each.version, each.procedure
                );
                rows.push(vec![
                    json!(version),
                    json!(format!("{of}: done")),
                    json!(each.success),
                ]);
                rows.push(vec![
                    json!(version),
                    json!(format!("{of}: failed")),
                    json!(each.failure),
                ]);
            }
        }
        self.print(context, &["version", "what", "count"], rows)
    }

    fn transports(
        &self,
        context: &mut Context,
        host: &str,
        (program, version): (&str, &str),
    ) -> Result<ExitCode, Failure> {
        let of = (host::program(program)?, host::version(version)?);
        let all = self.registry(Some(host))?.addresses(of);
        let all = all.map_err(unasked)?;
        let none = || Failure::new(format!("{host}: no registry of version 4, which lists"));
        let all = all.ok_or_else(none)?;
        if all.is_empty() {
            let message = format!(
                "{host}: program {:#x} version {} is not registered",
                of.0, of.1
            );
            return Err(Failure::new(message));
        }
        let semantics = |number| match number {
            1 => "datagrams",
            2 => "stream",
            3 => "stream with orderly release",
            _ => "unknown",
        };
        let rows = all.iter().map(|each| {
            vec![
                json!(of.0),
                json!(of.1),
                json!(each.family),
                json!(each.protocol),
                json!(each.netid),
                json!(each.address),
                json!(semantics(each.semantics)),
            ]
        });
        let titles = [
            "program",
            "version",
            "family",
            "protocol",
            "netid",
            "address",
            "semantics",
        ];
        self.print(context, &titles, rows.collect())
    }

    fn call(
        &self,
        context: &mut Context,
        (to, netid): (&To<'_>, Netid),
        program: &str,
        version: &[&str],
    ) -> Result<ExitCode, Failure> {
        let program = host::program(program)?;
        let version = version
            .first()
            .map(|word| host::version(word))
            .transpose()?;
        let of = (program, version.unwrap_or(1));
        let options = strait::rpc::onc::Client::options().timeout(self.timeout);
        let client = ping::connect(to, netid, of, (options, self.timeout))?;
        let all = ping::call(&client, program, version)?;
        let status = all
            .iter()
            .find_map(|each| Some(each.error.as_ref()?.status));
        if self.json {
            let all = all.iter().map(|each| {
                json!({
                    "program": program, "version": each.version, "netid": netid.name(),
                    "ready": each.error.is_none(),
                    "error": each.error.as_ref().map(|error| &error.message),
                })
            });
            context.out.json(&all.collect::<Vec<_>>())?;
        } else {
            for each in &all {
                let what = format!("program {program} version {}", each.version);
                match &each.error {
                    None => context.out.line(&format!("{what} ready and waiting"))?,
                    Some(error) => context
                        .out
                        .line(&format!("{what} is not available: {}", error.message))?,
                }
            }
        }
        Ok(status.map_or(ExitCode::SUCCESS, ExitCode::from))
    }

    /// Asks all registries of the network.
    fn everybody(
        &self,
        context: &mut Context,
        (program, version): (&str, &str),
    ) -> Result<ExitCode, Failure> {
        let null = Procedure {
            program: host::program(program)?,
            version: host::version(version)?,
            number: 0,
        };
        let to = match self.to.is_empty() {
            true => broadcast_addresses(PORT),
            false => self.to.clone(),
        };
        let mut rows = Vec::new();
        let asked = Broadcast::to(to).within(self.timeout).call(
            null,
            |_| Ok(()),
            |_| Ok(()),
            |heard| {
                rows.push(vec![
                    json!(heard.registry.ip().to_string()),
                    json!(heard.address.to_string()),
                    json!(heard.address.port()),
                ]);
                ControlFlow::Continue(())
            },
        );
        asked.map_err(failed)?;
        let is_silent = rows.is_empty();
        if self.json || !is_silent {
            self.print(context, &["host", "address", "port"], rows)?;
        }
        match is_silent {
            true => Err(Failure::new(format!(
                "nobody has answered within {:?} (a registry answers only if it makes remote \
                 calls: strait rpc bind with --indirect, Debian's rpcbind with -r)",
                self.timeout
            ))),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    fn remove(
        &self,
        host: Option<&str>,
        program: &str,
        version: &str,
    ) -> Result<ExitCode, Failure> {
        let of = (host::program(program)?, host::version(version)?);
        let unset = self.registry(host)?.unset(of, self.transport);
        if unset.map_err(unasked)? {
            return Ok(ExitCode::SUCCESS);
        }
        let message = format!(
            "program {:#x} version {}: not registered, or another's (root takes back any, over the \
             local socket)",
            of.0, of.1
        );
        Err(Failure::new(message))
    }
}

const SHORT: [&str; 5] = ["program", "versions", "netids", "service", "owner"];

/// A value in a table. Texts are the registry's, whose they may be.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A row for each program.
fn short(all: &[Registration<'_>], names: &[(u32, Vec<String>)]) -> Vec<Vec<Value>> {
    let mut programs: BTreeMap<u32, (Vec<u32>, Vec<&str>, &str)> = BTreeMap::new();
    for each in all {
        let (versions, netids, _) =
            programs
                .entry(each.program)
                .or_insert((Vec::new(), Vec::new(), &each.owner));
        versions.push(each.version);
        if !netids.contains(&&*each.netid) {
            netids.push(&each.netid);
        }
    }
    let row = |(program, (mut versions, netids, owner)): (u32, (Vec<u32>, Vec<&str>, &str))| {
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.dedup();
        let name = host::name(names, program);
        vec![
            json!(program),
            json!(versions),
            json!(netids),
            json!(name),
            json!(owner),
        ]
    };
    programs.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_steers_no_terminal() {
        let shown = cell(&json!(["tcp\u{9b}2J", "\u{1b}c", 7]));
        assert_eq!(shown, "tcp\\u{9b}2J,\\u{1b}c,7");
    }
}
