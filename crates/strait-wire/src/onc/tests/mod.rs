//! Tests of ONC RPC: the tables of RFC 5531 and 1833, every limit, and two machines with a bad
//! network between them.

mod auth;
mod cache;
mod client;
mod message;
mod pair;
mod record;
mod rpcbind;
mod server;
mod simulation;

use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use super::message::Procedure;
use crate::time::Time;
use crate::xdr::{Decode, Encode, from_slice, to_vec};

const PROCEDURE: Procedure = Procedure {
    program: 0x2000_0001,
    version: 3,
    number: 5,
};

/// The bytes of these words.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn ms(ms: u64) -> Time {
    Time::default().after(Duration::from_millis(ms))
}

/// `value` is written as these bytes, and they are read as it.
fn both_ways<'a, T: Encode + Decode<'a> + Debug + PartialEq>(value: &T, bytes: &'a [u8]) {
    assert_eq!(to_vec(value).unwrap(), bytes, "{value:?}");
    assert_eq!(&from_slice::<T>(bytes).unwrap(), value);
}
