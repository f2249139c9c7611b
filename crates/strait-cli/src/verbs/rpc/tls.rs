//! Calls within TLS, as the verbs say it.

use std::path::PathBuf;

use clap::Args;
use strait::rpc::onc::tls::{Identity, Roots, Tls, TlsServer};

use super::host::wrong;
use crate::failure::Failure;

/// With whom a call speaks TLS.
#[derive(Args, Debug)]
pub(super) struct Caller {
    /// Call within TLS (RFC 9289), and never in clear text; only the registry is asked in that
    #[arg(long)]
    tls: bool,
    /// Who may have issued the server's certificate, as a PEM file, instead of the system's roots
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_roots: Option<PathBuf>,
    /// The name or address that the server's certificate must have, instead of the host's
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// The certificate that is shown to a server that asks for one, as a PEM file
    #[arg(long, value_name = "FILE", requires_all = ["tls", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// Its key, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Caller {
    /// Refuses TLS with what cannot carry it.
    pub(super) fn check_clear(&self, to: &str) -> Result<(), Failure> {
        match self.tls {
            true => Err(wrong(format!(
                "{to}: TLS goes over TCP and local sockets, without --tls it can be called"
            ))),
            false => Ok(()),
        }
    }

    /// What is wanted of that place and its host, if anything is.
    pub(super) fn of(&self, to: &str, host: Option<&str>) -> Result<Option<Tls>, Failure> {
        if !self.tls {
            return Ok(None);
        }
        let Some(name) = self.tls_name.as_deref().or(host) else {
            return Err(wrong(format!(
                "{to}: no host by whose name the certificate could be checked: --tls-name gives one"
            )));
        };
        let roots = match &self.tls_roots {
            Some(file) => Roots::file(file),
            None => Roots::system(),
        };
        let tls = roots.and_then(|roots| Tls::required(name, &roots));
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => {
                let identity = Identity::files(chain, key);
                tls.and_then(|tls| tls.identity(&identity?))
            }
            _ => tls,
        };
        tls.map(Some).map_err(Failure::of)
    }
}

/// How a server speaks TLS.
#[derive(Args, Debug)]
pub(super) struct Called {
    /// Speak TLS (RFC 9289) to who asks for it over TCP, with the certificate of this PEM file,
    /// which its issuers' follow
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Within TLS, answer only who shows a certificate issued by one of this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_roots: Option<PathBuf>,
    /// Refuse calls in clear text over TCP, and all over UDP
    #[arg(long, requires = "tls_cert")]
    tls_required: bool,
}

impl Called {
    pub(super) fn server(&self) -> Result<Option<TlsServer>, Failure> {
        let (Some(chain), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let tls = Identity::files(chain, key).and_then(TlsServer::new);
        let tls = match &self.tls_client_roots {
            Some(file) => {
                let roots = Roots::file(file);
                tls.and_then(|tls| tls.require_certificates(&roots?))
            }
            None => tls,
        };
        let tls = match self.tls_required {
            true => tls.map(TlsServer::require_tls),
            false => tls,
        };
        tls.map(Some).map_err(Failure::of)
    }
}
