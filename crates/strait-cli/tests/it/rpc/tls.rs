//! `strait rpc serve --tls-cert` and `strait rpc call --tls`.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::Value;

use crate::world::{Ran, Running, World};

const ECHO: &str = "program ECHO { version ECHO_V1 { int SAME(int) = 1; } = 1; } = 0x20004323;";

struct Place {
    world: World,
    file: String,
}

impl Place {
    /// With `a.pem` and `a.key` of the name `a.test`, which is its own issuer; and with `b`.
    fn new() -> Self {
        let world = World::new();
        let file = world.space.path().join("echo.x");
        std::fs::write(&file, ECHO).unwrap();
        for name in ["a", "b"] {
            let mut params = CertificateParams::new([format!("{name}.test")]).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let path = world.space.path().join(name);
            std::fs::write(path.with_extension("pem"), certificate.pem()).unwrap();
            std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
        }
        let file = file.to_str().unwrap().to_owned();
        Self { world, file }
    }

    fn path(&self, name: &str) -> String {
        let path = self.world.space.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn serving(&self, more: &[&str]) -> (Running, String) {
        let (cert, key) = (self.path("a.pem"), self.path("a.key"));
        let words = ["rpc", "serve", &self.file, "--echo", "--json"];
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        let mut server = self.world.start(&[&words[..], &tls, more].concat());
        let places: Value = serde_json::from_str(&server.hear()).unwrap();
        let address = places[0]["address"].as_str().unwrap().to_owned();
        (server, address)
    }

    fn call(&self, host: &str, more: &[&str]) -> Ran {
        let words = ["rpc", "call", &self.file, host, "SAME", "7"];
        let words = [&words[..], more].concat();
        Ran::of(self.world.command(&words).output().unwrap())
    }

    #[track_caller]
    fn bad(&self, status: i32, host: &str, more: &[&str], why: &str) {
        let ran = self.call(host, more);
        assert_eq!((ran.status, &*ran.out), (Some(status), ""), "{ran:?}");
        assert!(ran.err.contains(why), "{ran:?}\n is to say: {why}");
    }
}

#[test]
fn calls_go_within_tls() {
    let place = Place::new();
    let (_server, host) = place.serving(&["--tls-required"]);
    let roots = place.path("a.pem");
    let tls = ["--tls", "--tls-roots", &roots, "--tls-name", "a.test"];
    let ran = place.call(&host, &tls);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(0), "7\n", ""));
    place.bad(125, &host, &[], "AUTH_TOOWEAK");
    let why = "the server's certificate is for a.test, and not for 127.0.0.1";
    place.bad(125, &host, &tls[..3], why);
    let why = "the server's certificate was issued by none of the trusted roots";
    let other = place.path("b.pem");
    let strange = ["--tls", "--tls-roots", &other, "--tls-name", "a.test"];
    place.bad(125, &host, &strange, why);
    let none = ["--tls", "--tls-roots", "/no/such.pem"];
    place.bad(125, &host, &none, "/no/such.pem: no such object");
    place.bad(2, &host, &["--tls-roots", &roots], "--tls");
    place.bad(2, "unix:/no/such", &tls[..3], "--tls-name");
    for clear in [format!("udp://{host}"), "channel:any".to_owned()] {
        let why = format!("{clear}: TLS goes over TCP and local sockets");
        place.bad(2, &clear, &tls, &why);
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let late = [&tls[..], &["--timeout", "50ms"]].concat();
    place.bad(124, &host, &late, "no answer to the question for TLS");
}

#[test]
fn callers_show_a_certificate_where_it_is_required() {
    let place = Place::new();
    let clients = place.path("b.pem");
    let (_server, host) = place.serving(&["--tls-client-roots", &clients]);
    let roots = place.path("a.pem");
    let tls = ["--tls", "--tls-roots", &roots, "--tls-name", "a.test"];
    let why = "the server requires a certificate of this side";
    place.bad(125, &host, &tls, why);
    let key = place.path("b.key");
    let shown = ["--tls-cert", &clients, "--tls-key", &key];
    let ran = place.call(&host, &[&tls[..], &shown].concat());
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(0), "7\n", ""));
    // It is not required of who calls without TLS.
    let ran = place.call(&host, &[]);
    assert_eq!((ran.status, &*ran.out), (Some(0), "7\n"));
}

#[test]
fn what_a_server_cannot_use_is_said() {
    let place = Place::new();
    let (cert, key) = (place.path("a.pem"), place.path("b.key"));
    let file = &place.file;
    let serve = format!("rpc serve {file} --echo --tls-cert {cert}");
    let ran = place.world.strait(&format!("{serve} --tls-key {key}"));
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert!(
        ran.err.contains("the key is not that of the certificate"),
        "{ran:?}"
    );
    let ran = place.world.strait(&format!("{serve} --tls-key {cert}"));
    assert!(ran.err.contains("it has no private key"), "{ran:?}");
    let ran = place.world.strait(&serve);
    assert_eq!(ran.status, Some(2), "{ran:?}");
}
