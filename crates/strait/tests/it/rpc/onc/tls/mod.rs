//! TLS: between our own, with OpenSSL as Python has it, and with those who mean harm.

mod calls;
mod hostile;
mod liars;
pub(in crate::rpc::onc) mod pki;
mod python;
mod refusals;

use strait::rpc::onc::xdr::{Error, Reader, Writer};
use strait::rpc::onc::{Client, ClientOptions, Procedure, Tls};

use self::pki::{NAME, Pki};
use super::server::{PROGRAM, Served, procedure};
use crate::peer::Role;
use crate::world::GUARD;

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("rpc.onc.tls.liar", liars::lie),
    ("rpc.onc.tls.system", calls::trusting),
    ("rpc.onc.tls.half", hostile::half),
    ("rpc.onc.tls.halves", hostile::halves),
];

/// A server with a sound certificate, and what more is said of it.
fn serving(pki: &Pki, more: &str, settings: &[&str]) -> Served {
    let path = pki.issue("server", &pki::SOUND);
    let tls = format!("tls={path}{more}");
    Served::start(&[&[&*tls], settings].concat())
}

/// Calls within TLS of a sound server. Longer than any test, so that a call ends by what it is
/// about; never a measure.
fn options(pki: &Pki) -> ClientOptions {
    with(&Tls::required(NAME, &pki.roots()).unwrap())
}

fn with(tls: &Tls) -> ClientOptions {
    let options = Client::options().timeout(GUARD);
    options.tls(tls.clone(), (PROGRAM, 1))
}

fn number(number: u32) -> Procedure {
    Procedure {
        program: PROGRAM,
        version: 1,
        number,
    }
}

fn bytes(bytes: &[u8]) -> impl FnOnce(&mut Writer<'_>) -> Result<(), Error> {
    move |to| to.opaque(bytes, u32::MAX)
}

fn some_bytes(from: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    from.opaque(u32::MAX).map(<[u8]>::to_vec)
}

/// There and back.
fn echo(client: &Client, data: &[u8]) -> strait::Result<Vec<u8>> {
    client.call(number(procedure::ECHO), bytes(data), some_bytes)
}

/// 3: within TLS.
fn who(client: &Client) -> strait::Result<u32> {
    client.call(
        number(procedure::WHO),
        |_| Ok(()),
        |from| {
            let kind = from.unsigned()?;
            from.unsigned()?;
            from.unsigned().map(|_| kind)
        },
    )
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
