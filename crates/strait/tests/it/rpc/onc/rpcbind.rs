//! The registry: ours with our client, and Debian's.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::id;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use strait::ErrorKind;
use strait::rpc::onc::rpcbind::{Client, Netid, Service, Uaddr};
use strait::rpc::onc::{Answer, Context, Program, Refusal, Server};

use crate::peer::{self, Peer, Role, say, told};
use crate::world::{USERS, as_user, is_root, no_users, permitted, refused, skip, until, within};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("rpcbind.registry", registry),
    ("rpcbind.server", server),
    ("rpcbind.debian", debian),
];

const OF: (u32, u32) = (0x2000_0042, 3);

/// Serves a registry at that path, and over TCP and UDP of one port, which it says.
fn registry(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = Service::new();
        let mut server = Server::new();
        for program in service.programs() {
            server.add(program);
        }
        server.local(&arguments[0], 0o666).await.unwrap();
        let at = server.udp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        server.tcp(at).await.unwrap();
        for (netid, address) in server.places() {
            service.announce(netid, &address).unwrap();
        }
        let _running = server.start();
        say(at.port());
        tokio::task::spawn_blocking(told).await.unwrap();
    });
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
        // Where all users may come: the directory of a namespace is its user's.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("strait-rpcbind-{}-{}", id(), COUNT.fetch_add(1, Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let socket = directory.join("registry.sock");
        let mut peer = Peer::start("rpcbind.registry", &[socket.to_str().unwrap()]);
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
    let mut server = Server::new();
    server.add(Idle(1)).add(Idle(3));
    let at = runtime
        .block_on(server.udp((Ipv4Addr::LOCALHOST, 0).into()))
        .unwrap();
    runtime.block_on(server.tcp(at)).unwrap();
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
