//! Other implementations: programs of rpcgen and libtirpc, which `cargo xtask peers` installs.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use strait::rpc::onc::rpcbind::{self, Netid, Uaddr};
use strait::rpc::onc::{self, AuthStat, Status, auth, status, xdr};
use tokio::runtime::Runtime;

use super::examples::kv_client;
use crate::peer::{self, Peer, Role, say};
use crate::world::{Random, is_root, permitted, skip, until, within};
use every::every_prog::{self, v1};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "made from a file, and not used whole"
)]
mod every;
mod service;
mod values;

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("foreign.serve", service::serve),
    ("foreign.rpcbind", with_rpcbind),
];

/// Values that go there and back over each transport.
const VALUES: usize = 100;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A directory of one test alone.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let name = format!("strait-onc-foreign-{test}-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why the programs in C cannot be made here, if they cannot.
fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    *MISSING.get_or_init(|| {
        let there = |name: &str, ask: &str| {
            let mut asked = Command::new(name);
            let asked = asked.arg(ask).stdout(Stdio::null()).stderr(Stdio::null());
            asked.status().is_ok()
        };
        if !there("gcc", "--version") {
            return Some("no gcc here");
        }
        if !there("rpcgen", "--version") || !Path::new("/usr/include/tirpc/rpc/rpc.h").exists() {
            return Some("no rpcgen or libtirpc here (`cargo xtask peers` installs them)");
        }
        None
    })
}

/// Makes `client` or `server` in that place.
fn make(place: &Place, what: &str) -> String {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = crate_root.join("tests/it/rpc/onc/foreign");
    let copy = |from: PathBuf| {
        fs::copy(&from, place.0.join(from.file_name().unwrap())).unwrap();
    };
    for name in ["common.h", "client.c", "server.c", "every.x"] {
        copy(here.join(name));
    }
    copy(crate_root.join("examples/kv/kv.x"));
    let stub = if what == "client" { "-l" } else { "-m" };
    let mut compile = Command::new("gcc");
    compile.args(["-w", "-std=gnu17", "-I/usr/include/tirpc", "-o", what]);
    compile.arg(format!("{what}.c")).current_dir(&place.0);
    for name in ["every", "kv"] {
        for (part, end) in [("-h", ".h"), ("-c", "_xdr.c"), (stub, "_stub.c")] {
            let to = format!("{name}{end}");
            let mut generate = Command::new("rpcgen");
            generate.args(["-N", "-M", part, "-o", &to, &format!("{name}.x")]);
            let made = generate.current_dir(&place.0).status().unwrap();
            assert!(made.success(), "{generate:?}");
            if end != ".h" {
                compile.arg(to);
            }
        }
    }
    let made = compile.arg("-ltirpc").status().unwrap();
    assert!(made.success(), "{compile:?}");
    place.path(what)
}

/// Runs the client in C, whose checks all must hold.
fn run(client: &str, how: &str, at: &str, random: &mut Random) {
    let mut child = Command::new(client)
        .args([how, at])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for _ in 0..VALUES {
        let value = xdr::to_vec(&values::any(random)).unwrap();
        // It may have ended: then it has said why, and the count below is missing.
        let _ = writeln!(input, "{}", hex(&value));
    }
    drop(input);
    let output = BufReader::new(child.stdout.take().unwrap());
    let said: Vec<String> = output.lines().map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{how} {at}: {said:?}");
    let own = hex(&xdr::to_vec(&values::own()).unwrap());
    assert_eq!(said, [format!("@{own}"), format!("@{VALUES}")], "{how}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn our_server_answers_a_client_of_rpcgen() {
    let test = "our_server_answers_a_client_of_rpcgen";
    if let Some(why) = missing() {
        return skip(test, why);
    }
    let place = Place::new("server");
    let client = make(&place, "client");
    let socket = place.path("socket");
    let mut server = Peer::start("foreign.serve", &[&socket]);
    let mut port = || {
        server
            .hear()
            .unwrap()
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned()
    };
    let mut random = Random::of_test(test);
    run(&client, "tcp", &port(), &mut random);
    run(&client, "udp", &port(), &mut random);
    run(&client, "local", &socket, &mut random);
}

#[test]
fn a_client_of_libtirpc_takes_the_short_credentials_of_our_server() {
    let test = "a_client_of_libtirpc_takes_the_short_credentials_of_our_server";
    if let Some(why) = missing() {
        return skip(test, why);
    }
    let place = Place::new("short");
    let client = make(&place, "client");
    let socket = place.path("socket");
    let mut random = Random::of_test(test);
    // Of ten minutes, and of none: then each is forgotten, and the long one comes again.
    for (age, is_used) in [("600000", true), ("0", false)] {
        let mut server = Peer::start("foreign.serve", &[&socket, age]);
        let tcp = server.hear().unwrap();
        server.hear().unwrap();
        let (_, port) = tcp.rsplit_once(':').unwrap();
        run(&client, "tcp", port, &mut random);
        run(&client, "local", &socket, &mut random);
        let count: u32 = server.ask("short").parse().unwrap();
        assert_eq!(count > 10, is_used, "{count} calls with a short credential");
    }
}

/// All that a client of ours may ask of a server in C.
fn ask(connect: impl Fn(onc::ClientOptions) -> onc::Client, random: &mut Random) {
    let client = v1::Client::over(connect(onc::Client::options()));
    for value in (0..VALUES).map(|_| values::any(random)) {
        let bytes = xdr::to_vec(&value).unwrap();
        assert_eq!(client.encoded(&value).unwrap(), bytes);
        assert_eq!(xdr::to_vec(&client.mirror(&value).unwrap()).unwrap(), bytes);
    }
    assert_eq!(client.mirror(&values::own()).unwrap(), values::own());

    assert_eq!(client.who().unwrap(), every::Caller::default());
    let by_name = v1::Client::over(connect(onc::Client::options().sys()));
    let seen = by_name.who().unwrap();
    assert_eq!(seen.flavor, auth::Flavor::SYS.0);
    assert_eq!(seen.uid, rustix::process::geteuid().as_raw());
    assert_eq!(seen.gid, rustix::process::getegid().as_raw());
    let mut groups: Vec<u32> = rustix::process::getgroups()
        .unwrap()
        .into_iter()
        .map(rustix::process::Gid::as_raw)
        .collect();
    groups.truncate(16);
    assert_eq!(seen.gids, groups);
    let machine = rustix::system::uname();
    assert_eq!(seen.machine, machine.nodename().to_str().unwrap());

    let refused = client.fail().unwrap_err();
    assert_eq!(status(&refused), Some(Status::SystemError));
    let connection = connect(onc::Client::options());
    let call = |program, version, number| {
        let procedure = onc::Procedure {
            program,
            version,
            number,
        };
        let refused = connection.call(procedure, |_| Ok(()), |_| Ok(()));
        status(&refused.unwrap_err()).unwrap()
    };
    let program = every_prog::PROGRAM;
    assert_eq!(call(program, 1, 99), Status::ProcedureUnavailable);
    assert_eq!(call(program, 1, 1), Status::GarbageArguments);
    let versions = Status::ProgramMismatch { low: 1, high: 1 };
    assert_eq!(call(program, 9, 0), versions);
    assert_eq!(call(0x2fff_ffff, 1, 0), Status::ProgramUnavailable);
    let odd = auth::OpaqueAuth {
        flavor: auth::Flavor(77),
        ..auth::OpaqueAuth::NONE
    };
    let odd = connect(onc::Client::options().credential(odd));
    let refused = status(&odd.null(program, 1).unwrap_err());
    assert_eq!(refused, Some(Status::Auth(AuthStat::REJECTED_CREDENTIAL)));
    assert_eq!(
        kv_client::use_it(connection.clone()).unwrap(),
        "tea/black: 1000 bytes\ntea/green: 6 bytes\n"
    );
}

fn c_server(server: &str, arguments: &[&str]) -> Peer {
    let mut command = Command::new(server);
    command.args(arguments);
    Peer::of(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
}

#[test]
fn a_server_of_rpcgen_answers_our_clients() {
    let test = "a_server_of_rpcgen_answers_our_clients";
    if let Some(why) = missing() {
        return skip(test, why);
    }
    let place = Place::new("clients");
    let socket = place.path("socket");
    let mut server = c_server(&make(&place, "server"), &[&socket]);
    let tcp: SocketAddr = server.hear().unwrap().parse().unwrap();
    let udp: SocketAddr = server.hear().unwrap().parse().unwrap();
    let mut random = Random::of_test(test);
    ask(|options| options.tcp(tcp).unwrap(), &mut random);
    ask(|options| options.udp(udp).unwrap(), &mut random);
    ask(|options| options.local(&socket).unwrap(), &mut random);
    runtime().block_on(async {
        let options = onc::Client::options();
        let tcp = options.clone().tcp_async(tcp).await.unwrap();
        let udp = options.clone().udp_async(udp).await.unwrap();
        let local = options.local_async(&socket).await.unwrap();
        for connection in [tcp, udp, local] {
            let client = v1::AsyncClient::over(connection);
            let value = values::any(&mut random);
            let bytes = xdr::to_vec(&value).unwrap();
            assert_eq!(client.encoded(&value).await.unwrap(), bytes);
        }
    });
}

/// In a network and a /run of its own, where Debian's rpcbind starts.
const ROOM: &str = "ip link set lo up && mount -t tmpfs none /run && rpcbind -f & exec \"$@\"";

/// Each side finds the other by Debian's rpcbind.
fn with_rpcbind(arguments: &[String]) {
    let [client, server, socket] = arguments else {
        panic!("{arguments:?}")
    };
    let mut registry = None;
    until("rpcbind is up", || {
        registry = rpcbind::Client::local("/run/rpcbind.sock").ok();
        registry.is_some()
    });
    let registry = registry.unwrap();
    let mut random = Random::of_test("with_rpcbind");
    runtime().block_on(async {
        let mut ours = service::server(onc::Server::options());
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        ours.tcp(any).await.unwrap();
        let _registered = ours.register(&registry).unwrap();
        let _running = ours.start();
        let client = client.clone();
        let work = move || run(&client, "rpcbind", "127.0.0.1", &mut random);
        tokio::task::spawn_blocking(work).await.unwrap();
    });
    say("found ours");
    let mut theirs = c_server(server, &[socket, "register"]);
    let at = theirs.hear().unwrap();
    let numbers = (every_prog::PROGRAM, v1::VERSION);
    // On its local socket it says 0.0.0.0.
    let asked = rpcbind::Client::tcp((Ipv4Addr::LOCALHOST, 111)).unwrap();
    let found = asked.address(numbers, Netid::Tcp).unwrap();
    assert_eq!(found, Some(Uaddr::Inet(at.parse().unwrap())));
    let random = &mut Random::of_test("with_rpcbind");
    ask(|options| options.tcp(&*at).unwrap(), random);
    say("found theirs");
}

#[test]
fn rpcbind_leads_to_ours_and_to_theirs() {
    let test = "rpcbind_leads_to_ours_and_to_theirs";
    let wrapper = ["unshare", "-mnp", "--fork", "--mount-proc", "--kill-child"];
    if let Some(why) = missing() {
        return skip(test, why);
    }
    if !is_root() || !permitted(&wrapper) {
        return skip(test, "no namespaces of its own, which need root");
    }
    if !Path::new("/usr/sbin/rpcbind").exists() {
        return skip(test, "no rpcbind here (`cargo xtask peers` installs it)");
    }
    let [place, other] = ["rpcbind", "rpcbind-client"].map(Place::new);
    let (server, client) = (make(&place, "server"), make(&other, "client"));
    let wrapper = [&wrapper[..], &["sh", "-c", ROOM, "sh"]].concat();
    let arguments = [&*client, &server, &place.path("socket")];
    let command = peer::command("foreign.rpcbind", &arguments);
    let mut peer = Peer::of(&mut within(&wrapper, &command));
    assert_eq!(peer.hear().as_deref(), Some("found ours"));
    assert_eq!(peer.hear().as_deref(), Some("found theirs"));
}
