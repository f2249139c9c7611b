//! The registry: ours with our client, and Debian's.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::id;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strait::ErrorKind;
use strait::rpc::onc::rpcbind::{self, Broadcast, Client, Netid, RemoteLimits, Service, Uaddr};
use strait::rpc::onc::xdr::{Error as XdrError, Reader, Writer};
use strait::rpc::onc::{
    Answer, Client as Rpc, Context, Procedure, Program, Refusal, Server, Status, status,
};

use super::server::{PROGRAM, Served, procedure, words};
use crate::peer::{self, Peer, Role, say, told};
use crate::world::{USERS, as_user, is_root, no_users, permitted, refused, skip, until, within};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("rpcbind.registry", registry),
    ("rpcbind.server", server),
    ("rpcbind.debian", debian),
    ("rpcbind.remote", remote),
];

const OF: (u32, u32) = (0x2000_0042, 3);

/// Serves a registry at that path, and over TCP and UDP of one port, which it says. With a second
/// argument it makes remote calls, two at a time, each for so many milliseconds.
fn registry(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = Service::options();
        if let Some(time) = arguments.get(1) {
            options = options.remote_calls(RemoteLimits {
                in_flight_max: 2,
                timeout: Duration::from_millis(time.parse().unwrap()),
            });
        }
        let service = options.create();
        let (mut server, at) = at_one_port(|server| {
            for program in service.programs() {
                server.add(program);
            }
        })
        .await;
        server.local(&arguments[0], 0o666).await.unwrap();
        for (netid, address) in server.places() {
            service.announce(netid, &address).unwrap();
        }
        let _running = server.start();
        say(at.port());
        tokio::task::spawn_blocking(told).await.unwrap();
    });
}

/// A server of that, over UDP and TCP of one port, which nobody else has of either.
async fn at_one_port(programs: impl Fn(&mut Server)) -> (Server, SocketAddr) {
    loop {
        let mut server = Server::new();
        programs(&mut server);
        let at = server.udp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        if server.tcp(at).await.is_ok() {
            return (server, at);
        }
    }
}

/// Listens, and registers where; says whether that was taken.
fn server(arguments: &[String]) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = Uaddr::Inet(listener.local_addr().unwrap());
    let client = Client::local(&arguments[0]).unwrap();
    let version = arguments[1].parse().unwrap();
    say(client.set((OF.0, version), Netid::Tcp, &at).unwrap());
    while let Some(line) = told() {
        match &*line {
            "unset" => say(client.unset((OF.0, version), None).unwrap()),
            _ => say(&at),
        }
    }
}

/// A registry in a process of its own.
struct Registry {
    _peer: Peer,
    directory: PathBuf,
    socket: PathBuf,
    at: SocketAddr,
}

impl Registry {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(more: &[&str]) -> Self {
        // Where all users may come: the directory of a namespace is its user's.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("strait-rpcbind-{}-{}", id(), COUNT.fetch_add(1, Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let socket = directory.join("registry.sock");
        let arguments = [&[socket.to_str().unwrap()], more].concat();
        let mut peer = Peer::start("rpcbind.registry", &arguments);
        let port: u16 = peer.hear().unwrap().parse().unwrap();
        let at = (Ipv4Addr::LOCALHOST, port).into();
        Self {
            _peer: peer,
            directory,
            socket,
            at,
        }
    }

    fn clients(&self) -> [Client; 3] {
        let local = Client::local(&self.socket).unwrap();
        [
            local,
            Client::tcp(self.at).unwrap(),
            Client::udp(self.at).unwrap(),
        ]
    }

    fn server(&self, version: u32) -> (Peer, String) {
        let arguments = [self.socket.to_str().unwrap(), &version.to_string()];
        let mut peer = Peer::start("rpcbind.server", &arguments);
        let said = peer.hear().unwrap();
        (peer, said)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What no test calls.
struct Idle(u32);

impl Program for Idle {
    fn program(&self) -> u32 {
        OF.0
    }

    fn version(&self) -> u32 {
        self.0
    }

    fn dispatch(
        self: Arc<Self>,
        _: Context,
        _: u32,
        _: &[u8],
        _: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        Err(Refusal::ProcedureUnavailable)
    }
}

#[test]
fn a_server_registers_all_it_serves_for_as_long_as_it_wants() {
    let registry = Registry::start();
    let [local, tcp, udp] = registry.clients();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, at) = runtime.block_on(at_one_port(|server| {
        server.add(Idle(1)).add(Idle(3));
    }));
    let registered = server.register(&local).unwrap();
    assert_eq!(registered.len(), 4);
    let here = Some(Uaddr::Inet(at));
    for client in [&local, &tcp, &udp] {
        for netid in [Netid::Tcp, Netid::Udp] {
            assert_eq!(
                client.address(OF, netid).unwrap(),
                here,
                "{client:?} {netid}"
            );
            // A wrong version finds the nearest.
            assert_eq!(client.port((OF.0, 9), netid).unwrap(), Some(at.port()));
        }
        assert_eq!(
            client.address((OF.0, 2), client.netid()).unwrap().is_some(),
            client.netid() != Netid::Local
        );
        assert_eq!(client.address(OF, Netid::Local).unwrap(), None);
        let all = client.dump().unwrap();
        assert_eq!(
            all.iter().filter(|each| each.program == OF.0).count(),
            4,
            "{client:?}"
        );
        assert_eq!(client.addresses(OF).unwrap().unwrap().len(), 2);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(now.abs_diff(client.time().unwrap().unwrap().into()) < 100);
    }
    assert_eq!(local.statistics().unwrap().unwrap()[2].set, 4);
    // The registry's own are nobody's to take.
    refused(
        local.register((100_000, 4), Netid::Tcp, &Uaddr::Inet(at)),
        ErrorKind::Refused,
    );
    drop(registered);
    assert_eq!(tcp.port(OF, Netid::Tcp).unwrap(), None);
    assert_eq!(tcp.dump().unwrap().len(), 9);
}

#[test]
fn who_was_killed_disappears_and_makes_way_for_the_next() {
    let registry = Registry::start();
    let [client, ..] = registry.clients();
    let (mut living, said) = registry.server(1);
    assert_eq!(said, "true");
    let (mut dying, said) = registry.server(3);
    assert_eq!(said, "true");
    let port = |version| {
        let exact = client.addresses((OF.0, version)).unwrap().unwrap();
        exact.first().map(|each| each.address.clone().into_owned())
    };
    let address = dying.ask("where");
    until("both are seen to listen", || {
        // It answers what it has seen; another look comes a second later.
        port(1).is_some() && port(3).as_deref() == Some(&*address)
    });
    dying.kill();
    until("the dead one is gone", || port(3).is_none());
    assert_eq!(port(1).unwrap(), living.ask("where"));
    let (mut next, said) = registry.server(3);
    assert_eq!(said, "true");
    assert_eq!(port(3).unwrap(), next.ask("where"));
    assert_eq!(next.ask("unset"), "true");
    assert_eq!(port(3), None);
}

#[test]
fn a_users_registration_is_taken_back_by_nobody_else() {
    let test = "a_users_registration_is_taken_back_by_nobody_else";
    if let Some(why) = no_users() {
        return skip(test, why);
    }
    let registry = Registry::start();
    let start = |uid, version: &str| {
        let arguments = [registry.socket.to_str().unwrap(), version];
        let mut command = peer::command("rpcbind.server", &arguments);
        Peer::of(as_user(&mut command, uid))
    };
    let mut ann = start(USERS[0], "3");
    assert_eq!(ann.hear().unwrap(), "true");
    let mut bob = start(USERS[1], "3");
    assert_eq!(bob.hear().unwrap(), "false", "it is taken");
    assert_eq!(bob.ask("unset"), "false");
    let [root, tcp, udp] = registry.clients();
    assert!(!tcp.unset(OF, None).unwrap() && !udp.unset(OF, None).unwrap());
    let all = tcp.dump().unwrap();
    let owner = all.iter().find(|each| each.program == OF.0).unwrap();
    assert_eq!(owner.owner, USERS[0].to_string());
    assert!(root.unset(OF, None).unwrap());
    assert_eq!(ann.ask("unset"), "false", "root has taken it back");
}

/// In a network and a /run of its own, where Debian's rpcbind starts.
const ROOM: &str = "ip link set lo up && mount -t tmpfs none /run && rpcbind -f & exec \"$@\"";

fn debian(_: &[String]) {
    let mut client = None;
    until("rpcbind is up", || {
        client = Client::local("/run/rpcbind.sock").ok();
        client.is_some()
    });
    let client = client.unwrap();
    let at = Uaddr::parse(Netid::Tcp, "127.0.0.1.8.1").unwrap();
    let registered = client.register(OF, Netid::Tcp, &at).unwrap();
    let others = [
        Client::usual().unwrap(),
        Client::tcp((Ipv4Addr::LOCALHOST, 111)).unwrap(),
        Client::udp((Ipv4Addr::LOCALHOST, 111)).unwrap(),
    ];
    for other in &others {
        say(other.address(OF, Netid::Tcp).unwrap().unwrap());
        say(other.port((OF.0, 9), Netid::Tcp).unwrap().unwrap());
        let all = other.dump().unwrap();
        say(all
            .iter()
            .any(|each| each.program == OF.0 && each.owner == "superuser"));
        say(other
            .mappings()
            .unwrap()
            .iter()
            .any(|each| each.port == 2049));
        say(other.time().unwrap().is_some());
        say(other.statistics().unwrap().unwrap()[2].set);
    }
    drop(registered);
    say(client.address(OF, Netid::Tcp).unwrap().is_none());
    let left = client.dump().unwrap();
    say(left.iter().any(|each| each.program == OF.0));
}

#[test]
fn debians_rpcbind_knows_what_our_client_registers() {
    let test = "debians_rpcbind_knows_what_our_client_registers";
    let wrapper = ["unshare", "-mnp", "--fork", "--mount-proc", "--kill-child"];
    let has = |name: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin"]
            .iter()
            .any(|at| std::path::Path::new(at).join(name).exists())
    };
    if !is_root() || !permitted(&wrapper) {
        return skip(test, "no namespaces of its own, which need root");
    }
    if !has("rpcbind") || !has("ip") {
        return skip(test, "no rpcbind here (`cargo xtask peers` installs it)");
    }
    let wrapper = [&wrapper[..], &["sh", "-c", ROOM, "sh"]].concat();
    let mut peer = Peer::of(&mut within(&wrapper, &peer::command("rpcbind.debian", &[])));
    // On its local socket Debian's lists no addresses, and version 2 knows a port alone.
    let seen = ["0.0.0.0.8.1", "127.0.0.1.8.1", "127.0.0.1.8.1"];
    for (netid, seen) in ["local", "tcp", "udp"].into_iter().zip(seen) {
        let said: Vec<String> = (0..5).map_while(|_| peer.hear()).collect();
        assert_eq!(said, [seen, "2049", "true", "true", "true"], "{netid}");
        assert!(peer.hear().is_some_and(|set| set != "0"), "{netid}");
    }
    assert_eq!(peer.hear().unwrap(), "true", "the guard has taken it back");
    assert_eq!(peer.hear().unwrap(), "false", "there is nothing left");
}

// ---- calls for others ------------------------------------------------------------------------

fn of(number: u32) -> Procedure {
    Procedure {
        program: PROGRAM,
        version: 1,
        number,
    }
}

fn rest(from: &mut Reader<'_>) -> Result<Vec<u8>, XdrError> {
    from.opaque_fixed(from.remaining()).map(<[u8]>::to_vec)
}

fn indirect(client: &Client, of: Procedure, arguments: &[u8]) -> strait::Result<(Uaddr, Vec<u8>)> {
    let encode = |to: &mut Writer<'_>| {
        to.opaque_fixed(arguments);
        Ok(())
    };
    client.indirect(of, encode, rest)
}

fn refusal(client: &Client, of: Procedure) -> Option<Status> {
    status(&indirect(client, of, &[]).unwrap_err())
}

/// What is heard of those who answer, in a while.
fn heard(to: SocketAddr, version: u32, number: u32) -> Vec<(Uaddr, Vec<u8>)> {
    let mut all = Vec::new();
    let encode = |to: &mut Writer<'_>| {
        to.opaque_fixed(b"here");
        Ok(())
    };
    // sleep: silence has no event; whoever speaks ends it.
    Broadcast::to([to])
        .version(version)
        .within(Duration::from_millis(700))
        .call(of(number), encode, rest, |heard| {
            all.push((heard.address, heard.results));
            ControlFlow::Break(())
        })
        .unwrap();
    all
}

/// A program in a process of its own, registered by UDP and TCP.
fn served(registry: &Registry) -> Served {
    let served = Served::start(&[]);
    let [local, ..] = registry.clients();
    let udp = (Ipv4Addr::UNSPECIFIED, served.udp.port()).into();
    for version in [1, 3] {
        let of = (PROGRAM, version);
        assert!(local.set(of, Netid::Udp, &Uaddr::Inet(udp)).unwrap());
        let tcp = Uaddr::Inet(served.tcp);
        assert!(local.set(of, Netid::Tcp, &tcp).unwrap());
    }
    served
}

#[test]
fn a_registry_that_is_told_to_calls_for_others() {
    let registry = Registry::with(&["10000"]);
    let served = served(&registry);
    let udp = Uaddr::Inet(served.udp);
    for client in registry.clients() {
        let answer = indirect(&client, of(procedure::ECHO), b"there").unwrap();
        // Padded to four bytes, as arguments are.
        assert_eq!(answer, (udp.clone(), b"there\0\0\0".to_vec()), "{client:?}");
        let refused = |number| refusal(&client, of(number));
        assert_eq!(refused(77), Some(Status::ProcedureUnavailable));
        assert_eq!(refused(procedure::FAIL), Some(Status::SystemError));
        assert_eq!(refused(procedure::WAIT), Some(Status::GarbageArguments));
        let other = Procedure {
            version: 2,
            ..of(1)
        };
        let versions = Status::ProgramMismatch { low: 1, high: 3 };
        assert_eq!(refusal(&client, other), Some(versions));
        let absent = Procedure {
            program: 99,
            ..of(1)
        };
        assert_eq!(refusal(&client, absent), Some(Status::ProgramUnavailable));
    }
    // As nobody in particular, whoever asks.
    let sys = Rpc::options().sys().tcp(registry.at).unwrap();
    let sys = Client::over(sys, Netid::Tcp);
    let (_, said) = indirect(&sys, of(procedure::SAID), &[]).unwrap();
    assert_eq!(said, words(&[0, u32::MAX]));
    let (_, who) = indirect(&sys, of(procedure::WHO), &[]).unwrap();
    assert_eq!(who, words(&[1, 0, served.udp.port().into()]), "by UDP");
    for version in [2, 3, 4] {
        let heard = |number| heard(registry.at, version, number);
        assert_eq!(heard(procedure::ECHO), [(udp.clone(), b"here".to_vec())]);
        assert_eq!(heard(procedure::FAIL), [], "silent about failures");
        assert_eq!(heard(77), [], "silent about failures");
    }
    let [local, ..] = registry.clients();
    let told = local.statistics().unwrap().unwrap();
    let calls = |version: usize, number| {
        let mut all = told[version - 2].remote_calls.iter();
        let found = all.find(|each| {
            (each.program, each.version, each.procedure) == (PROGRAM, 1, number)
                && each.netid == "udp"
        });
        found.map(|each| (each.success, each.failure, each.indirect))
    };
    assert_eq!(calls(2, procedure::ECHO), Some((1, 0, 0)));
    assert_eq!(calls(3, 77).map(|(done, ..)| done), Some(0));
    assert_eq!(calls(4, procedure::ECHO), Some((2, 0, 1)));
}

#[test]
fn a_registry_never_calls_itself_for_others() {
    let registry = Registry::with(&["10000"]);
    let itself = (Ipv4Addr::UNSPECIFIED, registry.at.port()).into();
    let [local, tcp, udp] = registry.clients();
    // Under another number, too.
    for netid in [Netid::Udp, Netid::Tcp] {
        assert!(local.set((700, 4), netid, &Uaddr::Inet(itself)).unwrap());
    }
    let elsewhere = Uaddr::parse(Netid::Udp, "192.0.2.9.3.9").unwrap();
    assert!(local.set((701, 1), Netid::Udp, &elsewhere).unwrap());
    for (program, version) in [(100_000, 4), (700, 4), (701, 1)] {
        let dump = Procedure {
            program,
            version,
            number: 4,
        };
        for client in [&local, &tcp, &udp] {
            let refused = refusal(client, dump);
            assert_eq!(refused, Some(Status::ProgramUnavailable), "{program}");
        }
    }
}

#[test]
fn a_registry_makes_few_calls_at_a_time_and_none_for_ever() {
    let registry = Registry::with(&["10000"]);
    let mut served = served(&registry);
    let [local, tcp, udp] = registry.clients();
    let gate = 3_u32.to_be_bytes();
    let wait =
        |client: Client| std::thread::spawn(move || indirect(&client, of(procedure::WAIT), &gate));
    let waiting = [wait(local), wait(tcp.clone())];
    until("they are begun", || served.count("in-flight") == 2);
    assert_eq!(
        refusal(&udp, of(procedure::COUNT)),
        Some(Status::SystemError)
    );
    assert_eq!(heard(registry.at, 2, procedure::ECHO), []);
    served.client().call(procedure::OPEN, &gate);
    for call in waiting {
        call.join().unwrap().unwrap();
    }
    assert!(indirect(&udp, of(procedure::COUNT), &[]).is_ok());
    let hasty = Registry::with(&["50"]);
    let late = self::served(&hasty);
    let [_, tcp, _] = hasty.clients();
    let refused = indirect(&tcp, of(procedure::WAIT), &gate).unwrap_err();
    assert_eq!(status(&refused), Some(Status::SystemError));
    drop(late);
}

#[test]
fn a_registry_that_is_not_told_to_calls_for_nobody() {
    let registry = Registry::start();
    let _served = served(&registry);
    for client in registry.clients() {
        let refused = refusal(&client, of(procedure::ECHO));
        assert_eq!(refused, Some(Status::ProcedureUnavailable), "{client:?}");
    }
    assert_eq!(heard(registry.at, 2, procedure::ECHO), []);
    assert_eq!(heard(registry.at, 4, procedure::ECHO), []);
}

#[test]
fn a_broadcast_that_goes_nowhere_says_why() {
    let call = |to: Vec<SocketAddr>, version| {
        let call = Broadcast::to(to).version(version).call(
            of(0),
            |_| Ok(()),
            |_| Ok(()),
            |_| ControlFlow::Break(()),
        );
        call.unwrap_err().kind()
    };
    let four: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let six = "[::1]:1".parse().unwrap();
    assert_eq!(call(vec![], 2), ErrorKind::InvalidInput);
    assert_eq!(call(vec![four, six], 2), ErrorKind::InvalidInput);
    assert_eq!(call(vec![four], 5), ErrorKind::Unsupported);
}

/// In a network with a card of its own, whose broadcasts come back; Debian's rpcbind, which makes
/// remote calls.
const WIRED: &str = "ip link set lo up && ip link add d0 type veth peer name d1 \
    && ip addr add 10.9.0.1/24 broadcast + dev d0 && ip link set d0 up && ip link set d1 up \
    && mount -t tmpfs none /run && rpcbind -f -r & exec \"$@\"";

fn remote(_: &[String]) {
    let mut registry = None;
    until("rpcbind is up", || {
        registry = Client::local("/run/rpcbind.sock").ok();
        registry.is_some()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut server = Server::new();
    server.add(Idle(3));
    let any = (Ipv4Addr::UNSPECIFIED, 0).into();
    let at = runtime.block_on(server.udp(any)).unwrap();
    let _registered = server.register(&registry.unwrap()).unwrap();
    let _running = runtime.block_on(async { server.start() });
    let null = |number| Procedure {
        program: OF.0,
        version: OF.1,
        number,
    };
    // It answers from another port than was asked.
    let itself = vec![(Ipv4Addr::LOCALHOST, 111).into()];
    for version in [2, 3, 4] {
        for to in [itself.clone(), rpcbind::broadcast_addresses(111)] {
            let broadcast = Broadcast::to(to).version(version).within(Duration::MAX);
            let mut heard = String::new();
            let called = broadcast.call(
                null(0),
                |_| Ok(()),
                |_| Ok(()),
                |told| {
                    let is_right = told.address.port() == Some(at.port());
                    heard = format!("{} {is_right}", told.registry.ip());
                    ControlFlow::Break(())
                },
            );
            called.unwrap();
            say(heard);
        }
    }
}

#[test]
fn debians_rpcbind_answers_our_broadcast() {
    let test = "debians_rpcbind_answers_our_broadcast";
    let wrapper = ["unshare", "-mnp", "--fork", "--mount-proc", "--kill-child"];
    if !is_root() || !permitted(&wrapper) {
        return skip(test, "no namespaces of its own, which need root");
    }
    let has = |name: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin"]
            .iter()
            .any(|at| std::path::Path::new(at).join(name).exists())
    };
    if !has("rpcbind") || !has("ip") {
        return skip(test, "no rpcbind here (`cargo xtask peers` installs it)");
    }
    let card = "ip link add d0 type veth peer name d1";
    if !permitted(&[&wrapper[..], &["sh", "-c", card]].concat()) {
        return skip(test, "no network cards are to be made here");
    }
    let wrapper = [&wrapper[..], &["sh", "-c", WIRED, "sh"]].concat();
    let mut peer = Peer::of(&mut within(&wrapper, &peer::command("rpcbind.remote", &[])));
    for version in [2, 3, 4] {
        let heard = peer.hear();
        assert_eq!(heard.as_deref(), Some("127.0.0.1 true"), "{version}");
        let heard = peer.hear();
        assert_eq!(heard.as_deref(), Some("10.9.0.1 true"), "{version}");
    }
}
