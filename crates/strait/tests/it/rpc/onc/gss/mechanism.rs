//! A mechanism with a key that both sides have: HMAC-SHA-256, over three tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sha2::{Digest, Sha256};
use strait::rpc::onc::gss::{
    Acceptor, Fault, Initiator, Major, Negotiation, SecurityContext, Step,
};

/// RFC 2104. The key has at most 64 bytes.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|each| each ^ byte).collect()
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    for part in parts {
        inner.update((part.len() as u64).to_be_bytes());
        inner.update(part);
    }
    let outer = Sha256::new_with_prefix(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

fn nonce() -> Vec<u8> {
    let mut nonce = [0; 16];
    let drawn = rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty());
    assert_eq!(drawn, Ok(16));
    nonce.to_vec()
}

fn defective() -> Fault {
    Fault::new(Major::DEFECTIVE_TOKEN, "not what comes next")
}

/// Somebody with a key: a client of that name, or a server.
#[derive(Clone)]
pub(super) struct Party {
    pub(super) key: &'static [u8],
    pub(super) name: &'static str,
}

pub(super) const ADA: Party = Party {
    key: b"a key of two",
    name: "ada",
};

/// A checksum that it panics of, or a token.
pub(super) const PANIC: &[u8] = b"panic";

pub(super) const EVE: Party = Party { name: "eve", ..ADA };

impl Initiator for Party {
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
        Ok(Box::new(Talk {
            key: self.key,
            is_client: true,
            name: self.name.into(),
            said: Vec::new(),
        }))
    }
}

impl Acceptor for Party {
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
        Ok(Box::new(Talk {
            key: self.key,
            is_client: false,
            name: String::new(),
            said: Vec::new(),
        }))
    }
}

/// Nonce and name; nonce and proof; proof.
struct Talk {
    key: &'static [u8],
    is_client: bool,
    name: String,
    /// This side's nonce, then the other's too.
    said: Vec<Vec<u8>>,
}

impl Talk {
    fn proof(&self, by: &[u8], nonces: [&[u8]; 2]) -> Vec<u8> {
        hmac(self.key, &[by, nonces[0], nonces[1], self.name.as_bytes()])
    }

    fn done(&self, nonces: [&[u8]; 2]) -> Arc<Shared> {
        let peer = if self.is_client {
            "the server"
        } else {
            &self.name
        };
        Arc::new(Shared {
            key: self.proof(b"key", nonces),
            is_client: self.is_client,
            peer: peer.to_owned(),
            count: AtomicU64::new(0),
        })
    }
}

impl Negotiation for Talk {
    fn step(&mut self, token: &[u8]) -> Result<Step, Fault> {
        assert!(token != PANIC, "asked to, by a token");
        let wrong = || Fault::new(Major::BAD_MIC, "the other side has another key");
        match (self.is_client, self.said.as_slice()) {
            (true, []) => {
                let mine = nonce();
                self.said = vec![mine.clone()];
                Ok(Step::Continue([&mine, self.name.as_bytes()].concat()))
            }
            (true, [mine]) => {
                let (theirs, proof) = token.split_at_checked(16).ok_or_else(defective)?;
                if self.proof(b"server", [mine, theirs]) != proof {
                    return Err(wrong());
                }
                let context = self.done([mine, theirs]);
                let token = Some(self.proof(b"client", [mine, theirs]));
                Ok(Step::Done { token, context })
            }
            (false, []) => {
                let (theirs, name) = token.split_at_checked(16).ok_or_else(defective)?;
                self.name = String::from_utf8(name.to_vec()).map_err(|_| defective())?;
                let mine = nonce();
                let proof = self.proof(b"server", [theirs, &mine]);
                self.said = vec![theirs.to_vec(), mine.clone()];
                Ok(Step::Continue([mine, proof].concat()))
            }
            (false, [theirs, mine]) if self.proof(b"client", [theirs, mine]) == token => {
                let context = self.done([theirs, mine]);
                let token = None;
                Ok(Step::Done { token, context })
            }
            _ => Err(wrong()),
        }
    }
}

/// What both sides have then.
struct Shared {
    key: Vec<u8>,
    is_client: bool,
    peer: String,
    count: AtomicU64,
}

impl Shared {
    fn sum(&self, by_client: bool, what: &[u8], message: &[u8]) -> Vec<u8> {
        hmac(&self.key, &[&[u8::from(by_client)], what, message])
    }

    /// As often as it is done twice, nothing is changed.
    fn crypt(&self, by_client: bool, count: &[u8], message: &[u8]) -> Vec<u8> {
        let blocks = message.chunks(32).zip(0_u64..);
        let crypt = |(block, at): (&[u8], u64)| -> Vec<u8> {
            let stream = self.sum(by_client, count, &at.to_be_bytes());
            block
                .iter()
                .zip(stream)
                .map(|(byte, key)| byte ^ key)
                .collect()
        };
        blocks.flat_map(crypt).collect()
    }
}

impl SecurityContext for Shared {
    fn mic(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.sum(self.is_client, b"mic", message))
    }

    fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault> {
        assert!(mic != PANIC, "asked to, by a checksum");
        match self.sum(!self.is_client, b"mic", message) == mic {
            true => Ok(()),
            false => Err(Fault::new(Major::BAD_MIC, "not a checksum of that")),
        }
    }

    fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let count = self.count.fetch_add(1, Relaxed).to_be_bytes();
        let hidden = self.crypt(self.is_client, &count, message);
        let sum = self.sum(self.is_client, b"wrap", &[&count[..], &hidden].concat());
        Ok([&count[..], &sum, &hidden].concat())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
        let (count, rest) = wrapped.split_at_checked(8).ok_or_else(defective)?;
        let (sum, hidden) = rest.split_at_checked(32).ok_or_else(defective)?;
        match self.sum(!self.is_client, b"wrap", &[count, hidden].concat()) == sum {
            true => Ok(self.crypt(!self.is_client, count, hidden)),
            false => Err(Fault::new(Major::BAD_MIC, "not wrapped by the other side")),
        }
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}
