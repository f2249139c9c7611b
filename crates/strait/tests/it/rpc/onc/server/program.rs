//! The server's process.

use std::collections::HashMap;
use std::future::ready;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::Namespace;
use strait::rpc::onc::auth::Flavor;
use strait::rpc::onc::server::{ShortLimits, Whom};
use strait::rpc::onc::xdr::{Reader, Writer};
use strait::rpc::onc::{Answer, Caller, Context, Limits, Program, Refusal, Server};
use tokio::sync::watch;

use super::{PROGRAM, procedure};
use crate::peer::{say, told};
use crate::world::until;

#[derive(Default)]
struct Shared {
    count: AtomicU32,
    gates: Mutex<HashMap<u32, watch::Sender<bool>>>,
}

impl Shared {
    fn gate(&self, gate: u32) -> watch::Sender<bool> {
        let mut gates = self.gates.lock().unwrap();
        gates
            .entry(gate)
            .or_insert_with(|| watch::Sender::new(false))
            .clone()
    }
}

struct Tested {
    version: u32,
    shared: Arc<Shared>,
}

impl Program for Tested {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn dispatch(
        self: Arc<Self>,
        context: Context,
        procedure: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let number = || {
            Reader::new(args)
                .unsigned()
                .map_err(|_| Refusal::GarbageArguments)
        };
        let shared = Arc::clone(&self.shared);
        let count = |reply: &mut Vec<u8>| {
            Writer::new(reply).unsigned(shared.count.fetch_add(1, SeqCst) + 1);
        };
        match procedure {
            procedure::ECHO => reply.extend_from_slice(args),
            procedure::COUNT => count(&mut reply),
            procedure::PANIC => panic!("asked to"),
            procedure::PANIC_TWICE => std::panic::panic_any(Falling(reply)),
            procedure::BYTES => reply.resize(reply.len() + number()? as usize, 7),
            procedure::FAIL => return Err(Refusal::SystemError),
            procedure::WHO => {
                let (kind, uid) = match context.caller {
                    Caller::Tcp(_) => (0, 0),
                    Caller::Udp(_) => (1, 0),
                    Caller::Local { uid, .. } => (2, uid),
                    Caller::Tls { .. } => (3, 0),
                    Caller::Pipe => (4, 0),
                    _ => return Err(Refusal::SystemError),
                };
                let port = context.reached.map_or(0, |reached| reached.port());
                for word in [kind, uid, port.into()] {
                    Writer::new(&mut reply).unsigned(word);
                }
            }
            procedure::CERTIFICATE => {
                if let Caller::Tls { certificate, .. } = &context.caller {
                    let certificate = certificate.as_deref().unwrap_or_default();
                    Writer::new(&mut reply)
                        .opaque(certificate, u32::MAX)
                        .unwrap();
                }
            }
            procedure::SAID => said(&context, &mut reply),
            procedure::OPEN => {
                self.shared.gate(number()?).send_replace(true);
            }
            procedure::WAIT | procedure::COUNT_AND_WAIT => {
                let mut gate = 0;
                if procedure == procedure::COUNT_AND_WAIT {
                    count(&mut reply);
                } else {
                    gate = number()?;
                }
                let mut open = self.shared.gate(gate).subscribe();
                return Ok(Box::pin(async move {
                    let _ = open.wait_for(|open| *open).await;
                    Ok(reply)
                }));
            }
            procedure::BYTES_LATER => return bytes_later(&shared, args, reply),
            procedure::PANIC_LATER => {
                return Ok(Box::pin(async {
                    tokio::task::yield_now().await;
                    panic!("asked to, later")
                }));
            }
            procedure::PANIC_AT_LAST => return Ok(Box::pin(Falling(reply))),
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(Box::pin(ready(Ok(reply))))
    }
}

fn said(context: &Context, reply: &mut Vec<u8>) {
    let uid = context.sys().map_or(u32::MAX, |sys| sys.uid);
    for word in [context.credential.flavor.0, uid] {
        Writer::new(reply).unsigned(word);
    }
}

fn bytes_later(shared: &Shared, args: &[u8], mut reply: Vec<u8>) -> Result<Answer, Refusal> {
    let mut from = Reader::new(args);
    let mut number = || from.unsigned().map_err(|_| Refusal::GarbageArguments);
    let (gate, len) = (number()?, number()?);
    let mut open = shared.gate(gate).subscribe();
    Ok(Box::pin(async move {
        let _ = open.wait_for(|open| *open).await;
        reply.resize(reply.len() + len as usize, 7);
        Ok(reply)
    }))
}

/// A reply that panics when it is dropped.
struct Falling(Vec<u8>);

impl Future for Falling {
    type Output = Result<Vec<u8>, Refusal>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(std::mem::take(&mut self.0)))
    }
}

impl Drop for Falling {
    fn drop(&mut self) {
        panic!("asked to, at last");
    }
}

/// Serves until its input ends, and answers questions.
pub(crate) fn serve(settings: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let directory = tempfile();
    let path = directory.join("socket");
    let told_events = Arc::clone(&events);
    let shared = Arc::new(Shared::default());
    let running = runtime.block_on(async {
        let space = directory.join("space");
        std::fs::create_dir(&space).unwrap();
        let space = Namespace::directory(&space).unwrap();
        let falls = settings.iter().any(|setting| setting == "falls=1");
        let options = options(settings).namespace(&space).on_event(move |event| {
            told_events.lock().unwrap().push(event.to_string());
            assert!(!falls, "asked to, of every event");
        });
        let mut server = Server::with(options);
        for version in [1, 3] {
            let shared = Arc::clone(&shared);
            server.add(Tested { version, shared });
        }
        let (one, any) = match settings.iter().any(|setting| setting == "six=1") {
            true => ("[::1]:0", "[::]:0"),
            false => ("127.0.0.1:0", "0.0.0.0:0"),
        };
        let tcp = server.tcp(one.parse().unwrap()).await.unwrap();
        let udp = server.udp(any.parse().unwrap()).await.unwrap();
        server.local(&path, 0o666).await.unwrap();
        server.channel("calls").unwrap();
        say(tcp);
        say(SocketAddr::from((tcp.ip(), udp.port())));
        say(path.display());
        server.start()
    });
    while let Some(line) = told() {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let stats = running.stats();
        match word {
            "connections" => say(stats.connections),
            "in-flight" => say(stats.calls_in_flight),
            "calls" => say(stats.calls),
            "repeated" => say(stats.repeated),
            "short" => say(stats.short),
            "records" => say(stats.records_memory),
            "replies" => say(stats.replies_memory),
            "dropped" => say(stats.dropped),
            "panicked" => say(stats.panicked),
            "events" => {
                let events = events.lock().unwrap();
                say(events.iter().filter(|event| event.contains(rest)).count());
            }
            "open" => say(shared.gate(rest.parse().unwrap()).send_replace(true)),
            // Kilobytes, now and at most.
            "VmRSS:" | "VmHWM:" => say(status(word)),
            "stop" => {
                // While it stops, gate 1 is opened by a line.
                std::thread::spawn(move || told().map(|_| shared.gate(1).send_replace(true)));
                let grace = Duration::from_millis(rest.parse().unwrap());
                say(format!("cut {}", runtime.block_on(running.stop(grace))));
                break;
            }
            other => panic!("{other}"),
        }
    }
    let _ = std::fs::remove_dir_all(directory);
}

/// Serves its standard input, and answers on its standard error, until nobody calls any more.
pub(crate) fn pipes(_: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let running = runtime.block_on(async {
        let mut server = Server::new();
        let (version, shared) = (1, Arc::default());
        server.add(Tested { version, shared });
        let calls = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let replies = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        server.serve_pipes(calls, replies).unwrap();
        server.start()
    });
    until("nobody calls any more", || running.stats().connections == 0);
}

fn options(settings: &[String]) -> strait::rpc::onc::ServerOptions {
    let mut limits = Limits::default();
    let mut options = Server::options();
    for setting in settings.iter().filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap();
        if name == "tls" {
            options = options.tls(crate::rpc::onc::tls::pki::server(value));
            continue;
        }
        let value: u64 = value.parse().unwrap();
        let time = Duration::from_millis(value);
        match name {
            "idle" => limits.idle = time,
            "record_time" => limits.record_time = time,
            "write_time" => limits.write_time = time,
            "replies" => limits.replies_memory = value as usize,
            "records" => limits.records_memory = value as usize,
            "record_max" => limits.record_max = value as usize,
            "falls" => {}
            "streams" => options = options.duplicates_on_streams(),
            "calls" => limits.calls_per_connection = value as usize,
            "calls_max" => limits.calls_max = value as usize,
            "connections" => limits.connections_max = value as usize,
            "short" => {
                options = options.short_credentials(ShortLimits {
                    entries: value as usize,
                    ..ShortLimits::default()
                });
            }
            "six" => {}
            "require" => options = options.require(Flavor(value as u32)),
            "factor" => options = options.reply_factor_max(value as usize, Whom::Everybody),
            "descriptors" => {
                let maximum = getrlimit(Resource::Nofile).maximum;
                let current = Some(value);
                setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
            }
            other => panic!("{other}"),
        }
    }
    options.limits(limits)
}

fn tempfile() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("strait-onc-{}", std::process::id()));
    // Of an earlier process of that number, whose test was killed.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    path
}

/// A line of this process's status, in kilobytes.
fn status(line: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status
        .lines()
        .find_map(|found| found.strip_prefix(line))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
