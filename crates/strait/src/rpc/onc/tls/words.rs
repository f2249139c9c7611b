//! What TLS says of a peer, in words.

use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};

use super::session::BARREN;
use crate::error::ErrorKind;

/// What is wrong, and how grave it is; `peer` is the other side.
pub(super) fn words(error: &Error, peer: &str) -> (ErrorKind, String) {
    match error {
        Error::InvalidCertificate(why) => (ErrorKind::Denied, certificate(why, peer)),
        Error::NoCertificatesPresented => (
            ErrorKind::Denied,
            format!("the {peer} shows no certificate, and one is required"),
        ),
        Error::AlertReceived(alert) => refusal(*alert, peer),
        Error::PeerIncompatible(why) => (
            ErrorKind::Unsupported,
            format!("the {peer} does not speak TLS 1.3 as it is required: {why:?}"),
        ),
        Error::NoApplicationProtocol
        | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            (ErrorKind::Unsupported, no_protocol(peer))
        }
        Error::InvalidMessage(_) => (
            ErrorKind::Broken,
            format!("what the {peer} sends is not TLS"),
        ),
        Error::General(why) if why == BARREN => (ErrorKind::Broken, format!("the {peer} {why}")),
        other => (
            ErrorKind::Broken,
            format!("the {peer}'s TLS is not sound: {other}"),
        ),
    }
}

/// RFC 9289 section 4.1: both sides name the protocol.
pub(super) fn no_protocol(peer: &str) -> String {
    format!("the {peer} does not name the protocol sunrpc in its handshake (ALPN)")
}

fn certificate(why: &CertificateError, peer: &str) -> String {
    use CertificateError as Why;

    let whose = format!("the {peer}'s certificate");
    match why {
        Why::Expired | Why::ExpiredContext { .. } => format!("{whose} has expired"),
        Why::NotValidYet | Why::NotValidYetContext { .. } => format!("{whose} is not valid yet"),
        Why::UnknownIssuer => format!("{whose} was issued by none of the trusted roots"),
        Why::NotValidForName => format!("{whose} is for another name"),
        Why::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = match names.as_slice() {
                [] => "no name".to_owned(),
                names => names.join(", "),
            };
            format!("{whose} is for {names}, and not for {}", expected.to_str())
        }
        Why::BadSignature => format!("{whose} was not signed by its issuer"),
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => {
            format!("{whose} is not meant for a {peer}")
        }
        other => format!("{whose} is not taken: {other}"),
    }
}

/// The name in `DnsName("name")`, as the verifier writes it.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest);
    inner.trim_end_matches(')').trim_matches('"')
}

/// What the other side has said before it hung up.
fn refusal(alert: AlertDescription, peer: &str) -> (ErrorKind, String) {
    use AlertDescription as Alert;

    match alert {
        Alert::CertificateRequired => (
            ErrorKind::Denied,
            format!("the {peer} requires a certificate of this side"),
        ),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => (
            ErrorKind::Denied,
            format!("the {peer} does not take this side's certificate: {alert:?}"),
        ),
        Alert::NoApplicationProtocol => (
            ErrorKind::Unsupported,
            format!("the {peer} does not speak the protocol sunrpc there (ALPN)"),
        ),
        Alert::ProtocolVersion => (
            ErrorKind::Unsupported,
            format!("the {peer} does not speak TLS 1.3"),
        ),
        alert => (
            ErrorKind::Broken,
            format!("the {peer} has broken the handshake off: {alert:?}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_they_are_written() {
        for (name, shown) in [
            ("DnsName(\"a.example\")", "a.example"),
            ("IpAddress(127.0.0.1)", "127.0.0.1"),
            ("other", "other"),
        ] {
            assert_eq!(bare(name), shown);
        }
    }
}
