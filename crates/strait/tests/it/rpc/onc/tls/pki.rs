//! Certificates, made when they are needed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use strait::rpc::onc::TlsServer;
use strait::rpc::onc::tls::{Identity, Roots};

/// The name that sound servers have.
pub(super) const NAME: &str = "server.test";

/// Certificates of one issuer, as files in a directory that goes with the value.
pub(super) struct Pki {
    pub(super) place: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate to be issued.
pub(super) struct Wish {
    pub(super) names: &'static [&'static str],
    pub(super) addresses: &'static [&'static str],
    /// Of its last day.
    pub(super) until: i32,
}

/// What a sound server has.
pub(super) const SOUND: Wish = Wish {
    names: &[NAME],
    addresses: &["127.0.0.1"],
    until: 2100,
};

impl Pki {
    /// With `roots.pem`.
    pub(super) fn new(test: &str) -> Self {
        let name = format!("strait-tls-{test}-{}", std::process::id());
        let place = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&place).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = called(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_after = date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(place.join("roots.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { place, issuer }
    }

    /// Issues a certificate, as `WHAT.pem` and `WHAT.key`, and gives the path without the ending.
    pub(super) fn issue(&self, what: &str, wish: &Wish) -> String {
        let names: Vec<_> = wish.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = called(what);
        let addresses = wish.addresses.iter();
        let addresses = addresses.map(|address| address.parse::<IpAddr>().unwrap());
        params
            .subject_alt_names
            .extend(addresses.map(SanType::IpAddress));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(wish.until, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.place.join(what);
        std::fs::write(path.with_extension("pem"), certificate.pem()).unwrap();
        std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
        std::fs::write(path.with_extension("der"), certificate.der()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(super) fn roots(&self) -> Roots {
        Roots::file(self.roots_file()).unwrap()
    }

    pub(super) fn roots_file(&self) -> PathBuf {
        self.place.join("roots.pem")
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

pub(super) fn identity(path: &str) -> Identity {
    Identity::files(format!("{path}.pem"), format!("{path}.key")).unwrap()
}

/// In the server's process: TLS as `PATH[,required][,all|likes]` says, where the issuers of
/// clients' certificates are in `roots.pem` beside the certificate.
pub(in crate::rpc::onc) fn server(words: &str) -> TlsServer {
    let mut words = words.split(',');
    let path = words.next().unwrap();
    let roots = || Roots::file(Path::new(path).with_file_name("roots.pem")).unwrap();
    let tls = TlsServer::new(identity(path)).unwrap();
    words.fold(tls, |tls, word| match word {
        "required" => tls.require_tls(),
        "all" => tls.require_certificates(&roots()).unwrap(),
        "likes" => tls.ask_certificates(&roots()).unwrap(),
        other => panic!("{other}"),
    })
}
