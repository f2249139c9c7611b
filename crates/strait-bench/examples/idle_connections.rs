//! What an idle connection costs a server of ONC RPC, in bytes of resident memory.
//!
//! ```sh
//! cargo run --release -p strait-bench --example idle_connections -- 10000
//! ```
//!
//! The server is this process, which nobody else uses; its clients are another. Each has made a
//! call of 1 KiB before it falls silent. Both need as many descriptors as there are connections.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::rpc::onc::{Client, Limits, Server};
use strait_bench::rpc::{ECHO, echo};

type Outcome = Result<(), Box<dyn Error>>;

const ARGUMENT: [u8; 1024] = [7; 1024];
const CONNECTIONS: usize = 10_000;
/// Descriptors for other things.
const SPARE: u64 = 64;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["clients", count, at] => hold(count.parse()?, at),
        [count] => measure(count.parse()?),
        _ => measure(CONNECTIONS),
    }
}

/// As many descriptors as the system lets this process have, if they are enough.
fn allow(count: usize) -> Outcome {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|most| most < count as u64 + SPARE) {
        return Err(format!("the limit of descriptors is {maximum:?} (`ulimit -Hn`)").into());
    }
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// The clients: says when all are there, and ends with its input.
fn hold(count: usize, at: &str) -> Outcome {
    allow(count)?;
    let connect = || {
        let client = Client::options().tcp(at)?;
        let len = client.call(
            ECHO,
            |to| to.opaque(&ARGUMENT, u32::MAX),
            |from| from.opaque(u32::MAX).map(<[u8]>::len),
        )?;
        assert_eq!(len, ARGUMENT.len(), "an echo");
        Ok::<_, strait::Error>(client)
    };
    let clients: Vec<Client> = (0..count).map(|_| connect()).collect::<Result<_, _>>()?;
    println!("{}", clients.len());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Bytes of resident memory of this process: `proc_pid_status(5)`.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let word = line.and_then(|text| text.split_whitespace().next());
    Ok(word.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

fn measure(count: usize) -> Outcome {
    allow(count)?;
    let limits = Limits {
        connections_max: count + 1,
        ..Limits::default()
    };
    let mut server = Server::with(Server::options().limits(limits));
    server.add(echo());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    runtime.block_on(async {
        let at = server.tcp(loopback).await?;
        let running = server.start();
        clients(1, at).await?;
        let before = resident()?;
        clients_then(count, at, || async {
            // Until what they were read into is given back.
            while running.stats().records_memory > 0 {
                // sleep: nobody tells of it.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let each = resident()?.saturating_sub(before) / count as u64;
            let stats = running.stats();
            println!("{each} bytes for each of {} connections", stats.connections);
            Ok(())
        })
        .await
    })
}

/// One that is gone again: what the first costs is not the others'.
async fn clients(count: usize, at: SocketAddr) -> Outcome {
    clients_then(count, at, || async { Ok(()) }).await
}

/// Has a process of its own connect as many clients, and does `then` while they are there.
async fn clients_then<F: Future<Output = Outcome>>(
    count: usize,
    at: SocketAddr,
    then: impl FnOnce() -> F,
) -> Outcome {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["clients", &count.to_string(), &at.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no pipe")?;
    let heard = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map(|_| line)
    });
    let said = heard.await??;
    if said.trim() != count.to_string() {
        return Err(format!("the clients ended: {:?}", child.wait()?).into());
    }
    let done = then().await;
    drop(child.stdin.take());
    child.wait()?;
    io::stdout().flush()?;
    done
}
