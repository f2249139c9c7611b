//! `strait rpc call`: a call whose arguments and results are JSON.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use strait::rpc::onc::rpcbind::Netid;
use strait::rpc::onc::xdr::Writer;
use strait::rpc::onc::{self, Client, ClientOptions};
use strait_idl::onc::{Procedure, Specification, Type};

use super::host::{failed, failed_on, is_path, parts, wrong};
use super::interface::{Called, Interface, Words};
use super::json::{self, Wrong};
use super::ping::{self, To};
use super::tls;
use crate::context::Context;
use crate::failure::{Failure, USAGE};
use crate::value;

/// How JSON and the types of a file belong together.
pub(super) const MAPPING: &str = "\
In JSON:
  int, hyper, char …      a number; beyond 2^53 a string is printed; \"123\", \"0xff\" are taken
  float, double           a number, \"Infinity\", \"-Infinity\", \"NaN\"
  quadruple               a string of 32 hexadecimal digits
  bool                    true, false
  enum                    its name; its number is taken
  string                  a string; {\"hex\": \"ff00\"} if it is not UTF-8
  opaque                  hexadecimal digits as a string; {\"text\": \"abc\"} is taken
  arrays                  an array
  struct                  an object with all members; a pointer may be left out
  union                   {\"case\": LABEL, \"value\": …}; void has no \"value\"
  T *                     the value or null; of T ** also {\"some\": null}
  struct T {…; T *next;}  a list: an array of nodes without next
  void                    null
At most 120 arrays and objects in one another.";

/// Call a procedure of a file of the RPC language, with JSON as its arguments, and print its
/// results as JSON on a line
#[derive(Args, Debug)]
#[command(
    after_help = format!(
        "HOST: a name or address, whose registry (rpcbind) is asked for the port; with :PORT, \
         without asking. tcp://HOST[:PORT] is the same, udp://HOST[:PORT] goes by datagrams; \
         unix:PATH is a local socket, channel:NAME a channel, by its name in the namespace \
         (--ns). TLS goes over TCP.\n\n{MAPPING}\n\n\
         Exit status: 0 with a result, 2 for wrong arguments, 124 when no answer came in time, \
         125 on an error.\n\
         Example: strait rpc call kv.x localhost:7000 PUT '\"colour\"' '{{\"text\": \"red\"}}'\n\
         Example: strait rpc call kv.x db.example:7000 --tls --tls-roots ca.pem GET '\"colour\"'\n\
         Example: echo '[1, 2, 3]' | strait rpc call sums.x unix:./sums.sock SUM -\n\
         Example: strait rpc call sums.x channel:sums SUM '[1, 2, 3]'"
    )
)]
pub(crate) struct Call {
    #[command(flatten)]
    interface: Interface,
    /// Where it is served
    host: String,
    /// The procedure, by name or number; not with --null
    #[arg(value_name = "PROC", required_unless_present = "null")]
    procedure: Option<String>,
    /// Its arguments, each as JSON; - is standard input
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The program, where the file has several: its name or number
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// The version, where not the highest that has the procedure: its name or number
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// The registry to be asked, HOST:PORT or a path, instead of port 111 of the host
    #[arg(long, value_name = "WHERE")]
    registry: Option<String>,
    /// How long to connect, and how long the answer, may take; the registry has as long
    #[arg(long, value_name = "TIME", value_parser = value::duration, default_value = "25s")]
    timeout: Duration,
    /// Say who calls (AUTH_SYS): user, groups and the name of this machine
    #[arg(long)]
    sys: bool,
    #[command(flatten)]
    tls: tls::Caller,
    /// Call procedure 0, which does nothing: whether the program is there
    #[arg(long, conflicts_with_all = ["procedure", "arguments"])]
    null: bool,
}

/// Where a call goes.
#[derive(Debug, PartialEq, Eq)]
enum Host<'h> {
    Local(&'h Path),
    /// A name in the namespace.
    Channel(&'h str),
    /// Without a port the registry knows it.
    Inet(Netid, &'h str, Option<u16>),
}

impl Call {
    pub(crate) fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let tree = self.interface.read()?;
        let words = Words {
            program: self.program.as_deref(),
            version: self.version.as_deref(),
            procedure: self.procedure.as_deref(),
        };
        let called = words.find(&tree)?;
        let host = host(&self.host)?;
        let arguments = match called.procedure {
            Some(procedure) => self.encode(&tree, procedure)?,
            None if self.arguments.is_empty() => Vec::new(),
            None => return Err(wrong("procedure 0 takes no arguments")),
        };
        let mut options = Client::options().timeout(self.timeout);
        if let Host::Channel(_) = host {
            options = options.namespace(&context.space()?);
        }
        let result = self.call(&tree, (&host, called), (options, &arguments))?;
        context.out.line(&result)?;
        context.out.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The arguments as they are sent.
    fn encode(&self, tree: &Specification, procedure: &Procedure) -> Result<Vec<u8>, Failure> {
        let takes = &procedure.arguments;
        if takes.len() != self.arguments.len() {
            let (count, plural) = match takes.len() {
                1 => (1, ""),
                count => (count, "s"),
            };
            let given = match self.arguments.len() {
                0 => "none was".to_owned(),
                1 => "1 was".to_owned(),
                count => format!("{count} were"),
            };
            return Err(wrong(format!(
                "{} takes {count} argument{plural}, and {given} given",
                procedure.name
            )));
        }
        let inputs = self.arguments.iter().filter(|word| *word == "-").count();
        if inputs > 1 {
            return Err(wrong("standard input can be one argument only"));
        }
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        for (i, (argument, word)) in takes.iter().zip(&self.arguments).enumerate() {
            let name = match &argument.name {
                Some(name) => format!("argument {} ({name})", i + 1),
                None => format!("argument {}", i + 1),
            };
            let value = parse(word).map_err(|why| wrong(format!("{name}: {why}")))?;
            json::bytes(tree, &argument.of, &name, &value, &mut writer)
                .map_err(|error| wrong(error.to_string()))?;
        }
        Ok(bytes)
    }

    /// Makes the call. Its results.
    fn call(
        &self,
        tree: &Specification,
        (host, called): (&Host<'_>, Called<'_>),
        (mut options, arguments): (ClientOptions, &[u8]),
    ) -> Result<String, Failure> {
        if self.sys {
            options = options.sys();
        }
        let of = (called.program.number, called.version.number);
        let name = match host {
            Host::Inet(Netid::Tcp, name, _) => Some(parts(name, 0)?.0),
            Host::Local(_) => None,
            Host::Inet(..) | Host::Channel(_) => {
                self.tls.check_clear(&self.host)?;
                None
            }
        };
        if let Some(tls) = self.tls.of(&self.host, name.as_deref())? {
            options = options.tls(tls, of);
        }
        let client = self.connect(host, of, options)?;
        let procedure = onc::Procedure {
            program: of.0,
            version: of.1,
            number: called.procedure.map_or(0, |procedure| procedure.number),
        };
        let result = called.procedure.map_or(&Type::Void, |each| &each.result);
        let mut undecoded: Option<Wrong> = None;
        let answer = client.call(
            procedure,
            |to| {
                to.opaque_fixed(arguments);
                Ok(())
            },
            |from| {
                json::text(tree, result, "result", from).map_err(|error| {
                    let xdr = error.xdr;
                    let unknown = from.error(onc::xdr::What::Hollow);
                    undecoded = Some(error);
                    xdr.unwrap_or(unknown)
                })
            },
        );
        answer.map_err(|error| match &undecoded {
            Some(error) => Failure::new(format!(
                "{} sent no result of this type: {error} (its fault, or {} is not its interface)",
                client.peer(),
                self.interface.file.display()
            )),
            None => told(error, called),
        })
    }

    fn connect(
        &self,
        host: &Host<'_>,
        of: (u32, u32),
        options: ClientOptions,
    ) -> Result<Client, Failure> {
        let (netid, name, port) = match host {
            Host::Local(path) => return options.local(path).map_err(failed),
            Host::Channel(name) => return options.channel(name).map_err(failed),
            Host::Inet(netid, name, port) => (*netid, *name, *port),
        };
        let port = match port {
            Some(port) => port,
            None => self.registered(name, netid, of)?,
        };
        ping::connect(&To::Port(name, port), netid, of, (options, self.timeout))
    }

    /// The port that the registry knows.
    fn registered(&self, name: &str, netid: Netid, of: (u32, u32)) -> Result<u16, Failure> {
        let registry = self.registry.as_deref().unwrap_or(name);
        let found = ping::address(registry, netid, of, self.timeout);
        let found = found.map_err(|failure| match failure.status {
            USAGE => failure,
            status => Failure {
                message: format!(
                    "{}; the registry was asked for the port, {name}:PORT goes without",
                    failure.message
                ),
                status,
            },
        })?;
        found
            .port()
            .ok_or_else(|| Failure::new(format!("{registry} names no port")))
    }
}

/// An error of a call, by the names of the file.
fn told(error: strait::Error, called: Called<'_>) -> Failure {
    let Some(peer) = onc::peer(&error) else {
        return failed(error);
    };
    let procedure = called
        .procedure
        .map_or("procedure 0", |each| each.name.as_str());
    let (program, version) = (called.program, called.version);
    let subject = format!(
        "{procedure} of {} ({:#x}) version {} at {peer}",
        program.name, program.number, version.number
    );
    failed_on(&subject, &error)
}

/// A word, or standard input, as JSON.
fn parse(word: &str) -> Result<Value, String> {
    let read = if word == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| format!("standard input: {}", crate::failure::answer(&error)))?;
        serde_json::from_str(&text)
    } else {
        serde_json::from_str(word)
    };
    read.map_err(|error| {
        let is_word = word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
        if is_word && !word.contains('"') {
            format!("not JSON: {error} (a string, or a name of an enum, is '\"{word}\"')")
        } else {
            format!("not JSON: {error}")
        }
    })
}

fn host(word: &str) -> Result<Host<'_>, Failure> {
    if let Some(path) = word.strip_prefix("unix:") {
        return Ok(Host::Local(Path::new(path)));
    }
    if is_path(word) {
        return Ok(Host::Local(Path::new(word)));
    }
    if let Some(name) = word.strip_prefix("channel:") {
        return Ok(Host::Channel(name));
    }
    let (netid, name) = match word.split_once("://") {
        Some(("tcp", name)) => (Netid::Tcp, name),
        Some(("udp", name)) => (Netid::Udp, name),
        Some((scheme, _)) => {
            return Err(wrong(format!(
                "{scheme}://: there is tcp://HOST, udp://HOST, unix:PATH and channel:NAME"
            )));
        }
        None => (Netid::Tcp, word),
    };
    if name.is_empty() || name.starts_with(':') && !name.starts_with("::") {
        return Err(wrong(format!("{word}: the host has no name")));
    }
    let (_, port) = parts(name, 0)?;
    Ok(Host::Inet(netid, name, (port != 0).then_some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_they_are_written() {
        let inet = |netid, name, port| Some(Host::Inet(netid, name, port));
        for (word, means) in [
            ("here", inet(Netid::Tcp, "here", None)),
            ("here:77", inet(Netid::Tcp, "here:77", Some(77))),
            ("tcp://here:77", inet(Netid::Tcp, "here:77", Some(77))),
            ("udp://10.0.0.1", inet(Netid::Udp, "10.0.0.1", None)),
            ("udp://[::1]:7", inet(Netid::Udp, "[::1]:7", Some(7))),
            ("unix:a/b", Some(Host::Local(Path::new("a/b")))),
            ("/run/x", Some(Host::Local(Path::new("/run/x")))),
            ("./x", Some(Host::Local(Path::new("./x")))),
            ("../x", Some(Host::Local(Path::new("../x")))),
            ("channel:kv", Some(Host::Channel("kv"))),
            (r"channel:Global\kv", Some(Host::Channel(r"Global\kv"))),
            ("http://here", None),
            ("tcp://", None),
            (":77", None),
            ("here:0", None),
            ("udp://here:99999", None),
            ("::1", inet(Netid::Tcp, "::1", None)),
        ] {
            assert_eq!(host(word).ok(), means, "{word}");
        }
    }
}
