//! What strangers can write: each reader of it behind one function of bytes.
//!
//! A target takes any bytes and returns. It panics where a promise is broken, and nowhere else.
//! `cargo xtask fuzz` looks for bytes that make one panic, hang or eat memory, led by coverage; the
//! tests of this crate replay the corpus, `fuzz/corpus/NAME`, without it.
//!
//! A new target is a function, a row of `TARGETS`, and a folder of the corpus with one file.
#![cfg(feature = "test-kit")]
#![forbid(unsafe_code)]

mod command;
mod gss;
mod interface;
mod kernel;
mod message;
mod names;
mod namespace;
mod onc;
mod patch;
mod wire;

/// One target.
#[derive(Copy, Clone, Debug)]
pub struct Target {
    /// The name of its corpus, and what `cargo xtask fuzz --target` takes.
    pub name: &'static str,
    /// What reads the bytes.
    pub run: fn(&[u8]),
}

/// Every target, in the order of their names.
pub const TARGETS: &[Target] = &[
    target("address", names::address),
    target("channel", strait::kit::session),
    target("client", onc::client::client),
    target("control", message::control),
    target("flow", strait::kit::flow),
    target("fragments", wire::fragments),
    target("grammar", command::grammar),
    target("handle", message::handle),
    target("hello", strait::kit::hello),
    target("inherited", kernel::inherited),
    target("interface", interface::interface),
    target("line", command::line),
    target("message", message::message),
    target("name", names::name),
    target("namespace", namespace::namespace),
    target("proc", kernel::proc),
    target("records", strait::kit::records),
    target("registry", onc::registry::registry),
    target("rpc", wire::rpc),
    target("rpcbind", wire::rpcbind),
    target("server", onc::server::server),
    target("siginfo", kernel::siginfo),
    target("sockaddr", kernel::sockaddr),
    target("values", interface::values),
    target("xdr", wire::xdr),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target of that name.
#[must_use]
pub fn of_name(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
