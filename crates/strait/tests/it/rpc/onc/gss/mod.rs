//! RPCSEC_GSS, with a mechanism of this test's own: clients and a server in processes of their own,
//! and others between them.

use std::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use strait::rpc::onc::auth::Flavor;
use strait::rpc::onc::gss::Service;
use strait::rpc::onc::xdr::{Error, Reader, Writer};
use strait::rpc::onc::{
    Answer, AuthStat, Client, ClientOptions, Context, Limits, Procedure, Program, Refusal, Server,
    Status, status,
};
use strait::{ErrorKind, Namespace};

use crate::peer::{self, Peer, say, told};
use crate::world::GUARD;

mod datagrams;
mod hostile;
#[cfg(feature = "krb5")]
mod kerberos;
mod mechanism;
mod middle;
mod panics;
mod window;

use mechanism::{ADA, Party};

pub(crate) const ROLES: &[(&str, peer::Role)] = &[
    ("rpc.onc.gss", serve),
    ("rpc.onc.gss.panics", panics::call),
    #[cfg(feature = "krb5")]
    ("rpc.onc.gss.krb5.serve", kerberos::serve),
    #[cfg(feature = "krb5")]
    ("rpc.onc.gss.krb5.call", kerberos::call),
    #[cfg(feature = "krb5")]
    ("rpc.onc.gss.krb5.fail", kerberos::fail),
];

const PROGRAM: u32 = 0x2000_0077;
/// Returns its arguments.
const ECHO: u32 = 1;
/// Says who calls, and how that is protected.
const WHO: u32 = 2;
/// Counts, and returns the count.
const COUNT: u32 = 3;
/// Refuses with SYSTEM_ERR.
const FAIL: u32 = 4;

const SERVICES: [Service; 3] = [Service::None, Service::Integrity, Service::Privacy];

const fn procedure(number: u32) -> Procedure {
    Procedure {
        program: PROGRAM,
        version: 1,
        number,
    }
}

#[derive(Default)]
struct Tested(AtomicU32);

impl Program for Tested {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        1
    }

    fn dispatch(
        self: Arc<Self>,
        context: Context,
        procedure: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        match procedure {
            ECHO => reply.extend_from_slice(args),
            WHO => {
                let proof = context.gss.map(|proof| format!("{proof:?}"));
                let to = &mut Writer::new(&mut reply);
                to.string(&proof.unwrap_or_default(), u32::MAX).unwrap();
            }
            COUNT => Writer::new(&mut reply).unsigned(self.0.fetch_add(1, SeqCst) + 1),
            FAIL => return Err(Refusal::SystemError),
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(Box::pin(ready(Ok(reply))))
    }
}

/// Serves in a directory until its input ends.
fn serve(settings: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let directory = PathBuf::from(&settings[0]);
    let mut limits = Limits::default();
    let mut options = Server::options().gss(ADA);
    for setting in &settings[1..] {
        match setting.as_str() {
            "required" => options = options.require(Flavor::GSS),
            "privacy" => options = options.gss_at_least(Service::Privacy),
            "one context" => limits.gss.contexts = 1,
            "four contexts" => limits.gss.contexts = 4,
            "window of four" => limits.gss.window = 4,
            other => panic!("{other}"),
        }
    }
    let running = runtime.block_on(async {
        let space = directory.join("space");
        let _ = std::fs::create_dir(&space);
        let space = Namespace::directory(&space).unwrap();
        let mut server = Server::with(options.limits(limits).namespace(&space));
        server.add(Tested::default());
        let any = || "127.0.0.1:0".parse().unwrap();
        say(server.tcp(any()).await.unwrap());
        say(server.udp(any()).await.unwrap());
        server.local(directory.join("socket"), 0o600).await.unwrap();
        server.channel("calls").unwrap();
        server.start()
    });
    say("ready");
    while let Some(word) = told() {
        match word.as_str() {
            "panicked" => say(running.stats().panicked),
            _ => say(memory()),
        }
    }
}

/// The most memory that this process has had, in kilobytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

struct Served {
    peer: Peer,
    tcp: SocketAddr,
    udp: SocketAddr,
    directory: PathBuf,
}

impl Served {
    fn start(test: &str, settings: &[&str]) -> Self {
        let name = format!("strait-onc-gss-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self::again(directory, settings)
    }

    fn again(directory: PathBuf, settings: &[&str]) -> Self {
        let all = [&[directory.to_str().unwrap()], settings].concat();
        let mut peer = Peer::start("rpc.onc.gss", &all);
        let tcp = peer.hear().unwrap().parse().unwrap();
        let udp = peer.hear().unwrap().parse().unwrap();
        assert_eq!(peer.hear().unwrap(), "ready");
        Self {
            peer,
            tcp,
            udp,
            directory,
        }
    }

    fn local(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn count(&self) -> u32 {
        let client = options(Service::Integrity).tcp(self.tcp).unwrap();
        count(&client).unwrap() - 1
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn options(service: Service) -> ClientOptions {
    Client::options().timeout(GUARD).gss(ADA, service)
}

fn a_word(from: &mut Reader<'_>) -> Result<u32, Error> {
    from.unsigned()
}

fn echo(client: &Client, bytes: &[u8]) -> strait::Result<Vec<u8>> {
    client.call(
        procedure(ECHO),
        |to| to.opaque(bytes, u32::MAX),
        |from| from.opaque(u32::MAX).map(<[u8]>::to_vec),
    )
}

fn count(client: &Client) -> strait::Result<u32> {
    client.call(procedure(COUNT), |_| Ok(()), a_word)
}

fn who(client: &Client) -> strait::Result<String> {
    let text = |from: &mut Reader<'_>| from.string(u32::MAX).map(str::to_owned);
    client.call(procedure(WHO), |_| Ok(()), text)
}

/// The call fails with that kind, and with that status.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: strait::Result<T>, kind: ErrorKind, said: Option<Status>) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), status(&error)), (kind, said), "{error}");
}

#[test]
fn every_service_carries_calls_over_every_transport() {
    let served = Served::start("every", &[]);
    let space = Namespace::directory(served.directory.join("space")).unwrap();
    for service in SERVICES {
        let clients = [
            options(service).tcp(served.tcp).unwrap(),
            options(service).udp(served.udp).unwrap(),
            options(service).local(served.local()).unwrap(),
            options(service).namespace(&space).channel("calls").unwrap(),
        ];
        for client in &clients {
            let proof = format!("Proof {{ principal: \"ada\", service: {service:?} }}");
            assert_eq!(who(client).unwrap(), proof);
            for len in [0, 1, 4, 1000, 50_000] {
                let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
                assert!(
                    echo(client, &bytes).unwrap() == bytes,
                    "{len} with {service:?}"
                );
            }
            client.null(PROGRAM, 1).unwrap();
            refused(
                client.call(procedure(FAIL), |_| Ok(()), a_word),
                ErrorKind::Refused,
                Some(Status::SystemError),
            );
            refused(
                client.null(PROGRAM + 1, 1),
                ErrorKind::Unsupported,
                Some(Status::ProgramUnavailable),
            );
            refused(
                client.call(procedure(99), |_| Ok(()), a_word),
                ErrorKind::Unsupported,
                Some(Status::ProcedureUnavailable),
            );
        }
    }
}

#[test]
fn calls_in_flight_and_calls_gathered_are_proven_too() {
    let served = Served::start("flight", &[]);
    let client = options(Service::Privacy).tcp(served.tcp).unwrap();
    let calls = client.batch(|batch| {
        for _ in 0..50 {
            batch.call_oneway(procedure(COUNT), |_| Ok(()))?;
        }
        (0..500)
            .map(|at| {
                let word = move |to: &mut Writer<'_>| {
                    to.unsigned(at);
                    Ok(())
                };
                batch.begin(procedure(ECHO), word, a_word)
            })
            .collect::<strait::Result<Vec<_>>>()
    });
    for (at, call) in (0..).zip(calls.unwrap()) {
        assert_eq!(call.wait().unwrap(), at);
    }
    let large = vec![7; 1 << 20];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(echo(&client, &large[..20_000]).unwrap().len() == 20_000);
                }
            });
        }
    });
    assert!(echo(&client, &large).unwrap() == large);
    assert_eq!(count(&client).unwrap(), 51);
}

#[test]
fn who_has_another_key_gets_no_context() {
    let served = Served::start("key", &[]);
    let stranger = Party {
        key: b"another key",
        name: "ada",
    };
    let options = Client::options().timeout(GUARD);
    let client = options
        .gss(stranger, Service::Integrity)
        .tcp(served.tcp)
        .unwrap();
    let error = count(&client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.contains("there is no context of RPCSEC_GSS: GSS_S_BAD_MIC"),
        "{text}"
    );
    assert_eq!(served.count(), 0);
}

#[test]
fn less_than_a_server_asks_for_is_too_weak() {
    let served = Served::start("weak", &["required", "privacy"]);
    let weak = Some(Status::Auth(AuthStat::TOO_WEAK));
    let nobody = Client::options().timeout(GUARD).tcp(served.tcp).unwrap();
    refused(count(&nobody), ErrorKind::Denied, weak);
    let less = options(Service::Integrity).tcp(served.tcp).unwrap();
    refused(count(&less), ErrorKind::Denied, weak);
    // Procedure 0 needs nothing.
    nobody.null(PROGRAM, 1).unwrap();
    less.null(PROGRAM, 1).unwrap();
    let enough = options(Service::Privacy).tcp(served.tcp).unwrap();
    assert_eq!(count(&enough).unwrap(), 1);
}

#[test]
fn a_server_that_does_not_know_the_mechanism_says_so() {
    let plain = crate::rpc::onc::server::Served::start(&[]);
    let client = options(Service::Integrity).local(&plain.path).unwrap();
    let rejected = Some(Status::Auth(AuthStat::REJECTED_CREDENTIAL));
    refused(count(&client), ErrorKind::Denied, rejected);
}

#[test]
fn after_the_server_has_begun_anew_a_client_makes_a_new_context_once() {
    let served = Served::start("anew", &[]);
    let client = options(Service::Integrity).local(served.local()).unwrap();
    assert_eq!(count(&client).unwrap(), 1);
    let directory = served.directory.clone();
    let mut served = served;
    served.peer.kill();
    let _served = Served::again(directory, &[]);
    refused(count(&client), ErrorKind::PeerGone, None);
    client.reconnect().unwrap();
    // The old handle is not known here.
    assert_eq!(count(&client).unwrap(), 1);
    assert_eq!(count(&client).unwrap(), 2);
}

#[test]
fn contexts_that_make_way_are_made_again() {
    let served = Served::start("way", &["one context"]);
    let first = options(Service::Privacy).tcp(served.tcp).unwrap();
    let second = options(Service::Privacy).udp(served.udp).unwrap();
    for round in 0..10 {
        assert_eq!(count(&first).unwrap(), 2 * round + 1);
        assert_eq!(count(&second).unwrap(), 2 * round + 2);
    }
}

#[test]
fn calls_of_tasks_are_proven_as_well() {
    let served = Served::start("tasks", &["required", "one context"]);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        for service in SERVICES {
            for client in [
                options(service).tcp_async(served.tcp).await.unwrap(),
                options(service).udp_async(served.udp).await.unwrap(),
                options(service).local_async(served.local()).await.unwrap(),
            ] {
                client.null(PROGRAM, 1).await.unwrap();
                let who = || {
                    let text = |from: &mut Reader<'_>| from.string(u32::MAX).map(str::to_owned);
                    client.call(procedure(WHO), |_| Ok(()), text)
                };
                let proof = format!("Proof {{ principal: \"ada\", service: {service:?} }}");
                assert_eq!(who().await.unwrap(), proof);
                // Another's context takes the place of this one, which is made again.
                served.count();
                assert_eq!(who().await.unwrap(), proof);
                client
                    .call_oneway(procedure(COUNT), |_| Ok(()))
                    .await
                    .unwrap();
                let word = |to: &mut Writer<'_>| {
                    to.unsigned(7);
                    Ok(())
                };
                let seven = client.call(procedure(ECHO), word, a_word).await.unwrap();
                assert_eq!(seven, 7);
            }
        }
    });
    // Nine without an answer, nine in between, and this one.
    let client = options(Service::None).tcp(served.tcp).unwrap();
    assert_eq!(count(&client).unwrap(), 19);
}
