//! What is written on the command line, and read: objects, values, and whole lines of words.
//!
//! The functions here are for tests that read any text; each answers what the text means, in the
//! form in which it can be read again where it has one.

pub(crate) mod member;
pub(crate) mod value;

use std::ffi::OsString;
use std::time::Duration;

use strait::rpc::onc::xdr::{Reader, Writer};
use strait_idl::onc::{Specification, Type};

use crate::unix;
use crate::verbs::rpc::json;

/// A whole command line, the program's name first: the verb it means, or what is wrong with it.
///
/// # Errors
/// A message for the person who wrote it.
pub fn line(words: &[OsString]) -> Result<String, String> {
    let read = crate::parse(words).map_err(|error| error.to_string())?;
    Ok(read.1)
}

/// An object, such as `event:NAME`; whether it is one.
#[must_use]
pub fn is_object(text: &str) -> bool {
    member::read(text).is_ok()
}

/// The key of a System V object, or its number.
#[must_use]
pub fn key(text: &str) -> Option<String> {
    unix::key::read(text).ok().map(|key| key.to_string())
}

/// A duration, such as `1m30s`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    value::duration(text).ok()
}

/// A number of bytes, such as `64K`.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    value::size(text).ok()
}

/// A word as a shell must be given it.
#[must_use]
pub fn quoted(word: &str) -> String {
    value::quoted(word)
}

/// Bytes as a terminal is given them: on one line, without anything that steers it.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    unix::text::escaped(bytes, true)
}

/// The addresses in the text of `/proc/net/unix`.
pub fn sockets(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(unix::socket::address_in)
}

/// The value of a type of a `.x` file that the bytes begin with, as JSON, and its length.
///
/// # Errors
/// They begin with none: what is wrong, and where.
pub fn json_of(tree: &Specification, of: &Type, xdr: &[u8]) -> Result<(String, usize), String> {
    let mut from = Reader::new(xdr);
    let json = json::text(tree, of, "value", &mut from);
    let json = json.map_err(|wrong| wrong.to_string())?;
    Ok((json, from.position()))
}

/// JSON as a value of a type of a `.x` file.
///
/// # Errors
/// It is none: what is wrong, and where.
pub fn xdr_of(tree: &Specification, of: &Type, json: &str) -> Result<Vec<u8>, String> {
    let value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut xdr = Vec::new();
    let mut to = Writer::new(&mut xdr);
    json::bytes(tree, of, "value", &value, &mut to).map_err(|wrong| wrong.to_string())?;
    Ok(xdr)
}
