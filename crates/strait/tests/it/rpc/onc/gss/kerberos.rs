//! Kerberos 5, with MIT's KDC in a realm of the test's own, and libtirpc as the other side.

use std::fs;
use std::io::BufReader;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use strait::ErrorKind;
use strait::rpc::onc::gss::{Service, krb5};
use strait::rpc::onc::{Client, Server};

use super::{PROGRAM, SERVICES, Tested, count, echo, who};
use crate::peer::{self, Peer, hear, say, told};
use crate::world::{GUARD, skip, until};

/// What the server is called; `test/localhost` in the realm.
const NAME: &str = "test@localhost";

/// A realm with a KDC, in a directory of its own.
struct Realm {
    place: PathBuf,
    kdc: Option<Child>,
}

impl Drop for Realm {
    fn drop(&mut self) {
        if let Some(kdc) = &mut self.kdc {
            let _ = kdc.kill();
            let _ = kdc.wait();
        }
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// Why there can be no realm here, if there cannot.
fn missing() -> Option<String> {
    let programs = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit"];
    let lacks = programs.into_iter().find(|name| program(name).is_none());
    lacks.map(|name| {
        format!("no {name} here (Debian's krb5-kdc, krb5-admin-server and krb5-user have it)")
    })
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut places = folders.iter().map(|folder| Path::new(folder).join(name));
    places.find(|place| place.exists())
}

/// A port of the loopback interface that nobody has, in TCP and UDP.
fn free_port() -> u16 {
    loop {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stream.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

impl Realm {
    fn start(test: &str) -> Self {
        let name = format!("strait-onc-krb5-{test}-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        fs::create_dir_all(&place).unwrap();
        let mut realm = Self { place, kdc: None };
        let (at, port) = (realm.place.display(), free_port());
        let client = format!(
            "[libdefaults]\n default_realm = STRAIT.TEST\n dns_lookup_kdc = false\n \
             dns_canonicalize_hostname = false\n rdns = false\n \
             default_ccache_name = FILE:{at}/tickets\n\
             [realms]\n STRAIT.TEST = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
             [domain_realm]\n localhost = STRAIT.TEST\n"
        );
        let server = format!(
            "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n STRAIT.TEST = {{\n  database_name = {at}/principal\n  \
             key_stash_file = {at}/stash\n  acl_file = {at}/acl\n }}\n\
             [logging]\n kdc = FILE:{at}/kdc.log\n admin_server = FILE:{at}/admin.log\n"
        );
        fs::write(realm.place.join("krb5.conf"), client).unwrap();
        fs::write(realm.place.join("kdc.conf"), server).unwrap();
        realm.run(
            "kdb5_util",
            &["create", "-s", "-r", "STRAIT.TEST", "-P", "master"],
        );
        for ask in [
            "addprinc -randkey ada".to_owned(),
            "addprinc -randkey test/localhost".to_owned(),
            format!("ktadd -k {at}/ada.keytab ada"),
            format!("ktadd -k {at}/server.keytab test/localhost"),
        ] {
            realm.run("kadmin.local", &["-q", &ask]);
        }
        let mut kdc = Command::new(program("krb5kdc").unwrap());
        let kdc = realm.with(kdc.arg("-n"));
        let kdc = kdc.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        realm.kdc = Some(kdc.unwrap());
        let keytab = format!("{at}/ada.keytab");
        until("the KDC gives a ticket", || {
            realm.try_run("kinit", &["-k", "-t", &keytab, "ada"])
        });
        realm
    }

    /// The command, in this realm.
    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("KRB5_CONFIG", self.place.join("krb5.conf"))
            .env("KRB5_KDC_PROFILE", self.place.join("kdc.conf"))
            .env(
                "KRB5CCNAME",
                format!("FILE:{}/tickets", self.place.display()),
            )
            .env(
                "KRB5_KTNAME",
                format!("FILE:{}/server.keytab", self.place.display()),
            )
            .env("KRB5RCACHEDIR", &self.place)
    }

    fn try_run(&self, name: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program(name).unwrap());
        let command = command.args(arguments).stdin(Stdio::null());
        self.with(command).output().unwrap().status.success()
    }

    fn run(&self, name: &str, arguments: &[&str]) {
        let mut command = Command::new(program(name).unwrap());
        let command = command.args(arguments).stdin(Stdio::null());
        let done = self.with(command).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{name} {arguments:?}: {said}");
    }

    fn peer(&self, role: &str, arguments: &[&str]) -> Peer {
        Peer::of(self.with(&mut peer::command(role, arguments)))
    }

    /// The other side in C.
    fn make(&self) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rpc/onc/gss/peer.c");
        let made = self.place.join("peer");
        let mut compile = Command::new("gcc");
        compile.args(["-w", "-std=gnu17", "-I/usr/include/tirpc", "-o"]);
        let compiled = compile.arg(&made).arg(source).arg("-ltirpc").status();
        assert!(compiled.unwrap().success(), "{compile:?}");
        made
    }
}

/// Why there is no libtirpc to be the other side.
fn no_tirpc() -> Option<&'static str> {
    let there = Path::new("/usr/include/tirpc/rpc/rpcsec_gss.h").exists();
    (!there || program("gcc").is_none()).then_some("no gcc or libtirpc here")
}

/// Serves until its input ends.
pub(super) fn serve(_: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let _running = runtime.block_on(async {
        let options = Server::options().gss(krb5::Acceptor::new(Some(NAME)).unwrap());
        let mut server = Server::with(options);
        server.add(Tested::default());
        let any = || "127.0.0.1:0".parse().unwrap();
        say(server.tcp(any()).await.unwrap());
        say(server.udp(any()).await.unwrap());
        server.start()
    });
    while told().is_some() {}
}

/// Calls at that port with each service, over `tcp` or `udp`, and says who it is.
pub(super) fn call(arguments: &[String]) {
    for service in SERVICES {
        let initiator = krb5::Initiator::new(NAME).unwrap();
        let options = Client::options().timeout(GUARD).gss(initiator, service);
        let to = arguments[1].as_str();
        let client = match arguments[0].as_str() {
            "udp" => options.udp(to).unwrap(),
            _ => options.tcp(to).unwrap(),
        };
        client.null(PROGRAM, 1).unwrap();
        for len in [0, 1, 5, 1000, 60_000] {
            let bytes = vec![7; len];
            assert!(
                echo(&client, &bytes).unwrap() == bytes,
                "{len} with {service:?}"
            );
        }
        say(who(&client).unwrap());
    }
}

/// Calls with whatever ticket there is, and says the error.
pub(super) fn fail(arguments: &[String]) {
    let initiator = krb5::Initiator::new(NAME).unwrap();
    let options = Client::options()
        .timeout(GUARD)
        .gss(initiator, Service::Integrity);
    let error = count(&options.tcp(&*arguments[0]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    say(error);
}

fn proof(service: Service) -> String {
    format!("Proof {{ principal: \"ada@STRAIT.TEST\", service: {service:?} }}")
}

#[test]
fn kerberos_proves_calls_with_each_service() {
    if let Some(why) = missing() {
        return skip("kerberos", why);
    }
    let realm = Realm::start("own");
    let mut server = realm.peer("rpc.onc.gss.krb5.serve", &[]);
    let places = [server.hear().unwrap(), server.hear().unwrap()];
    for (how, place) in ["tcp", "udp"].into_iter().zip(&places) {
        let mut client = realm.peer("rpc.onc.gss.krb5.call", &[how, place]);
        for service in SERVICES {
            assert_eq!(client.hear(), Some(proof(service)), "over {how}");
        }
        assert!(client.finish().success());
    }
    // Without a ticket there is no context.
    realm.run("kdestroy", &[]);
    let mut client = realm.peer("rpc.onc.gss.krb5.fail", &[&places[0]]);
    let error = client.hear().unwrap();
    assert!(
        error.contains("there is no context of RPCSEC_GSS"),
        "{error}"
    );
}

#[test]
fn libtirpc_calls_a_server_of_ours_with_kerberos() {
    if let Some(why) = missing().or(no_tirpc().map(str::to_owned)) {
        return skip("kerberos and libtirpc", why);
    }
    let realm = Realm::start("client");
    let mut server = realm.peer("rpc.onc.gss.krb5.serve", &[]);
    let place = server.hear().unwrap();
    let port = place.rsplit(':').next().unwrap();
    let mut client = Command::new(realm.make());
    let client = realm.with(client.args(["client", port])).output().unwrap();
    let said = String::from_utf8_lossy(&client.stdout);
    let why = String::from_utf8_lossy(&client.stderr);
    assert!(client.status.success(), "{:?} {why}", client.status);
    let proofs = SERVICES.map(|service| format!("@{}", proof(service)));
    assert_eq!(said.lines().collect::<Vec<_>>(), proofs);
}

#[test]
fn a_client_of_ours_calls_a_server_of_libtirpc_with_kerberos() {
    if let Some(why) = missing().or(no_tirpc().map(str::to_owned)) {
        return skip("kerberos and libtirpc", why);
    }
    let realm = Realm::start("server");
    let mut server = Command::new(realm.make());
    let server = realm.with(server.arg("server")).stdout(Stdio::piped());
    let mut server = Stopped(server.spawn().unwrap());
    let port = hear(&mut BufReader::new(server.0.stdout.take().unwrap())).unwrap();
    let place = format!("127.0.0.1:{port}");
    let mut client = realm.peer("rpc.onc.gss.krb5.call", &["tcp", &place]);
    for service in 1..=3 {
        let said = client.hear().unwrap();
        assert!(said.ends_with(&format!(" {service}")), "{said}");
    }
    assert!(client.finish().success());
}

/// A process that ends with the test.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
