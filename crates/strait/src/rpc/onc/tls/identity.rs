//! Certificates and keys, as they are found in files.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, ErrorKind, Result};

/// The longest file of certificates or keys that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;
/// Where distributions of Linux keep the roots that they trust.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Who is trusted to issue certificates.
#[derive(Clone)]
pub struct Roots(pub(super) RootCertStore);

impl Roots {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// As the file system says; [`ErrorKind::InvalidInput`]: it has no certificate, or one that is
    /// not well formed.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::of(&read(path)?, &path.display().to_string())
    }

    /// Certificates as PEM.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as for [`file`](Self::file).
    pub fn pem(pem: &[u8]) -> Result<Self> {
        Self::of(pem, "certificates")
    }

    /// Those that this machine trusts: of the file in `SSL_CERT_FILE`, or where distributions keep
    /// them. A certificate there that is not understood is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: there are none; otherwise as for [`file`](Self::file).
    pub fn system() -> Result<Self> {
        let named = std::env::var_os("SSL_CERT_FILE").map(Into::into);
        let known = SYSTEM.iter().map(|path| Path::new(path).to_owned());
        let path = named.or_else(|| known.into_iter().find(|path| path.exists()));
        let path = path.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find", "the system's certificates")
                .because(format!("at none of {}", SYSTEM.join(", ")))
        })?;
        let shown = path.display().to_string();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&read(&path)?, &shown)?);
        if roots.is_empty() {
            return Err(wrong(&shown, "it has no certificate that can be used"));
        }
        Ok(Self(roots))
    }

    fn of(pem: &[u8], shown: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, shown)? {
            let added = roots.add(certificate);
            added.map_err(|error| wrong(shown, error.to_string()))?;
        }
        Ok(Self(roots))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("len", &self.0.len()).finish()
    }
}

/// Who this side is: a certificate with those of its issuers, and its key.
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Of PEM files: the certificate first and then its issuers', and the key.
    ///
    /// # Errors
    /// As for [`Roots::file`]; that the key is another certificate's is told by who is given both.
    pub fn files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let shown = (chain.display().to_string(), key.display().to_string());
        Self::of((&read(chain)?, &shown.0), (&read(key)?, &shown.1))
    }

    /// The same as PEM.
    ///
    /// # Errors
    /// As for [`Roots::pem`].
    pub fn pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        Self::of((chain, "certificates"), (key, "key"))
    }

    fn of((chain, of_chain): (&[u8], &str), (key, of_key): (&[u8], &str)) -> Result<Self> {
        let chain = certificates(chain, of_chain)?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| wrong(of_key, format!("it has no private key: {error}")))?;
        Ok(Self { chain, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8], shown: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| wrong(shown, error.to_string()))?;
    if all.is_empty() {
        return Err(wrong(shown, "it has no certificate (PEM)"));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| {
        let errno = strait_sys::Errno::from_io_error(&error);
        let errno = errno.unwrap_or(strait_sys::Errno::IO);
        Error::kernel(errno, "read", path.display().to_string())
    })?;
    Ok(bytes)
}

fn wrong(shown: &str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "use", shown).because(why)
}
