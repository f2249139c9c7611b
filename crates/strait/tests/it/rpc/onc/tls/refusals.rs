//! What is refused, and in which words.

use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::Tls;
use strait::rpc::onc::tls::{Identity, Roots};

use super::liars::{liar, liar_with};
use super::pki::{self, NAME, Pki, Wish};
use super::*;
use crate::world::{refused, until};

/// Both clients are told the same.
#[track_caller]
fn told(options: ClientOptions, at: std::net::SocketAddr, kind: ErrorKind, words: &str) {
    let error = refused(options.clone().tcp(at), kind);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("start TLS with {at}: ")),
        "{text}"
    );
    assert!(text.contains(words), "{text}\n  is to say: {words}");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let error = refused(runtime.block_on(options.tcp_async(at)), kind);
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_server_is_who_its_certificate_says_or_nobody() {
    let pki = Pki::new("who");
    let expired = Wish {
        until: 2001,
        ..pki::SOUND
    };
    let named = Wish {
        names: &["a.test", "*.b.test"],
        addresses: &["192.0.2.7"],
        ..pki::SOUND
    };
    let nameless = Wish {
        names: &[],
        addresses: &[],
        ..pki::SOUND
    };
    let denied = ErrorKind::Denied;
    for (wish, words) in [
        (&expired, "the server's certificate has expired"),
        (
            &named,
            "the server's certificate is for a.test, *.b.test, 192.0.2.7, and not for server.test",
        ),
        (
            &nameless,
            "the server's certificate is for no name, and not for server.test",
        ),
    ] {
        let path = pki.issue("server", wish);
        let mut served = Served::start(&[&format!("tls={path}")]);
        told(options(&pki), served.tcp, denied, words);
        until("the operator is told", || {
            served.has_told("TLS: the client does not take this side's certificate")
        });
        assert_eq!(served.client().call(procedure::ECHO, b"well"), b"well");
    }
    // An address that is not among its addresses, though among its names.
    let named = Wish {
        names: &["127.0.0.1.test"],
        addresses: &[],
        ..pki::SOUND
    };
    let served = Served::start(&[&format!("tls={}", pki.issue("server", &named))]);
    let tls = Tls::required("127.0.0.1", &pki.roots()).unwrap();
    let words = "is for 127.0.0.1.test, and not for 127.0.0.1";
    told(with(&tls), served.tcp, denied, words);
    // A wildcard stands for one label.
    let wild = Wish {
        names: &["*.b.test"],
        ..pki::SOUND
    };
    let served = Served::start(&[&format!("tls={}", pki.issue("server", &wild))]);
    let tls = |name| Tls::required(name, &pki.roots()).unwrap();
    with(&tls("c.b.test")).tcp(served.tcp).unwrap();
    told(with(&tls("b.test")), served.tcp, denied, "not for b.test");
    told(
        with(&tls("d.c.b.test")),
        served.tcp,
        denied,
        "not for d.c.b.test",
    );
    // Another issuer's.
    let other = Pki::new("another");
    let words = "the server's certificate was issued by none of the trusted roots";
    told(options(&other), served.tcp, denied, words);
}

#[test]
fn a_server_that_offers_no_tls_is_not_called() {
    let pki = Pki::new("none");
    let mut served = Served::start(&[]);
    let unsupported = ErrorKind::Unsupported;
    let words = "the server offers no TLS: AUTH_ERROR (AUTH_REJECTEDCRED); no call was made in \
                 clear text";
    told(options(&pki), served.tcp, unsupported, words);
    assert_eq!(
        served.count("calls"),
        0,
        "nothing but the question was sent"
    );
    let local = refused(options(&pki).local(&served.path), unsupported);
    assert!(local.to_string().contains("offers no TLS"), "{local}");
    let served = serving(&pki, "", &[]);
    let of = Client::options().timeout(GUARD);
    let of = of.tls(Tls::required(NAME, &pki.roots()).unwrap(), (7, 1));
    told(of, served.tcp, unsupported, "offers no TLS: PROG_UNAVAIL");
}

#[test]
fn a_server_that_lies_about_tls_is_not_called() {
    let pki = Pki::new("liars");
    for (behaviour, kind, words) in [
        (
            "without",
            ErrorKind::Unsupported,
            "its answer is without STARTTLS",
        ),
        (
            "wordy",
            ErrorKind::Unsupported,
            "its answer is without STARTTLS",
        ),
        (
            "behind",
            ErrorKind::Broken,
            "sends more in clear text behind its word for TLS",
        ),
        (
            "other",
            ErrorKind::Broken,
            "the server's answer is no reply to the question",
        ),
        (
            "huge",
            ErrorKind::Broken,
            "a record of 2000 bytes, and at most 1024 are allowed",
        ),
        (
            "gone",
            ErrorKind::PeerGone,
            "closed the connection in place of an answer",
        ),
        (
            "cut",
            ErrorKind::PeerGone,
            "closed the connection in the middle of the handshake",
        ),
        (
            "garbage",
            ErrorKind::Broken,
            "what the server sends is not TLS",
        ),
    ] {
        let (mut server, at) = liar(behaviour);
        told(options(&pki), at, kind, words);
        server.kill();
        assert_eq!(server.hear(), None, "{behaviour}: nothing in clear text");
    }
    let (_server, at) = liar("silent");
    let short = options(&pki).timeout(Duration::from_millis(100));
    let late = "the handshake was not finished within 100ms";
    told(short, at, ErrorKind::TimedOut, late);
    // One who takes clear text where TLS is not offered does not take it where it was.
    let tls = Tls::if_offered(NAME, &pki.roots()).unwrap();
    for (behaviour, kind) in [
        ("behind", ErrorKind::Broken),
        ("cut", ErrorKind::PeerGone),
        ("garbage", ErrorKind::Broken),
    ] {
        let (_server, at) = liar(behaviour);
        refused(with(&tls).tcp(at), kind);
    }
}

#[test]
fn a_handshake_that_nobody_waits_for_any_more_ends() {
    let pki = Pki::new("dropped");
    let (mut server, at) = liar("watching");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let connecting = options(&pki).timeout(Duration::MAX).tcp_async(at);
        let moment = Duration::from_millis(100);
        let dropped = tokio::time::timeout(moment, connecting).await;
        assert!(dropped.is_err());
    });
    assert_eq!(server.hear().unwrap(), "gone");
    // It waits for all that blocks on its threads.
    drop(runtime);
}

#[test]
fn a_handshake_waits_for_a_thread_no_longer_than_for_the_server() {
    let pki = Pki::new("thread");
    let served = serving(&pki, "", &[]);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let (free, waits) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || waits.recv());
        let moment = Duration::from_millis(100);
        let connecting = options(&pki).timeout(moment).tcp_async(served.tcp);
        let connected = tokio::time::timeout(GUARD, connecting).await;
        let error = refused(connected.expect("without end"), ErrorKind::TimedOut);
        let words = "no thread was free within 100ms";
        assert!(error.to_string().contains(words), "{error}");
    });
    drop(free);
}

#[test]
fn a_server_that_sends_no_replies_but_words_of_tls_is_given_up() {
    let pki = Pki::new("tickets");
    let path = pki.issue("server", &pki::SOUND);
    let words = "the server sends messages of TLS without end, and nothing within it";
    let (_server, at) = liar_with("tickets", &path);
    let client = options(&pki).tcp(at).unwrap();
    let error = refused(who(&client), ErrorKind::Broken);
    assert!(error.to_string().contains(words), "{error}");
    let (_server, at) = liar_with("tickets", &path);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let client = options(&pki).tcp_async(at).await.unwrap();
        let error = refused(client.null(PROGRAM, 1).await, ErrorKind::Broken);
        assert!(error.to_string().contains(words), "{error}");
    });
}

#[test]
fn a_client_is_who_its_certificate_says_or_nobody() {
    let pki = Pki::new("clients");
    let mut served = serving(&pki, ",all", &[]);
    // The server says so after the handshake: a client may know it only by its first call.
    let first = |options: ClientOptions| {
        let called = options.tcp(served.tcp).and_then(|client| {
            // Bytes on their way must not keep the words from arriving.
            echo(&client, &pattern(1 << 20))
        });
        refused(called, ErrorKind::Denied).to_string()
    };
    let none = first(options(&pki));
    assert!(
        none.contains("the server requires a certificate of this side"),
        "{none}"
    );
    let tls = || Tls::required(NAME, &pki.roots()).unwrap();
    let other = Pki::new("others");
    let stranger = pki::identity(&other.issue("client", &pki::SOUND));
    let expired = Wish {
        until: 2001,
        ..pki::SOUND
    };
    let expired = pki::identity(&pki.issue("client", &expired));
    for (identity, alert) in [(stranger, "UnknownCA"), (expired, "CertificateExpired")] {
        let said = first(with(&tls().identity(&identity).unwrap()));
        let words = format!("the server does not take this side's certificate: {alert}");
        assert!(said.contains(&words), "{said}");
    }
    for words in [
        "TLS: the client shows no certificate, and one is required",
        "TLS: the client's certificate was issued by none of the trusted roots",
        "TLS: the client's certificate has expired",
    ] {
        until("the operator is told", || served.has_told(words));
    }
}

#[test]
fn what_cannot_be_used_is_said_at_once() {
    let pki = Pki::new("unfit");
    let said = |error: strait::Error| error.to_string();
    let invalid = ErrorKind::InvalidInput;
    let name = refused(
        Tls::required("no name!", &pki.roots()),
        ErrorKind::InvalidName,
    );
    assert_eq!(
        said(name),
        "verify the name no name!: not a valid name (it is neither a DNS name nor an IP address)"
    );
    let missing = refused(Roots::file("/no/such.pem"), ErrorKind::NotFound);
    assert!(said(missing).starts_with("read /no/such.pem: "));
    assert_eq!(
        said(refused(Roots::pem(b"nothing"), invalid)),
        "use certificates: invalid argument (it has no certificate (PEM))"
    );
    let (one, two) = (pki.issue("one", &pki::SOUND), pki.issue("two", &pki::SOUND));
    let mixed = Identity::files(format!("{one}.pem"), format!("{two}.key")).unwrap();
    let mixed = refused(strait::rpc::onc::TlsServer::new(mixed), invalid);
    assert_eq!(
        said(mixed),
        "use certificate and key: invalid argument (the key is not that of the certificate)"
    );
    let keyless = Identity::files(format!("{one}.pem"), format!("{one}.pem"));
    assert!(said(refused(keyless, invalid)).contains("it has no private key"));
}
