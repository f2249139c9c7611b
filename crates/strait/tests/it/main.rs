//! The one integration binary. For the second process it runs itself again with a role: see
//! [`peer`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers become bytes of test data"
)]

mod channel;
mod death;
mod names;
mod nt;
mod peer;
mod rpc;
mod transfer;
mod trust;
mod unix;
mod waits;
mod world;

// What `strait_idl` makes for its own tests names it so.
use strait::rpc::onc;

/// What another process of a test does, by name.
const ROLES: &[&[(&str, peer::Role)]] = &[
    OWN,
    channel::ROLES,
    channel::attach::ROLES,
    channel::loan::ROLES,
    channel::share::ROLES,
    channel::lies::ROLES,
    channel::storm::ROLES,
    channel::stranger::ROLES,
    death::ROLES,
    death::seats::ROLES,
    death::storm::ROLES,
    names::ROLES,
    nt::ROLES,
    nt::quick::ROLES,
    nt::lpc::ROLES,
    nt::pipe::ROLES,
    rpc::onc::examples::ROLES,
    rpc::onc::foreign::ROLES,
    rpc::onc::gss::ROLES,
    rpc::onc::lent::ROLES,
    rpc::onc::rpcbind::ROLES,
    rpc::onc::channel::ROLES,
    rpc::onc::client::ROLES,
    rpc::onc::server::ROLES,
    rpc::onc::tls::ROLES,
    transfer::ROLES,
    trust::ROLES,
    unix::fifo::ROLES,
    unix::mqueue::ROLES,
    unix::msg::ROLES,
    unix::peers::ROLES,
    unix::pipe::ROLES,
    unix::process::ROLES,
    unix::signal::ROLES,
    unix::socket::ROLES,
    unix::sem::ROLES,
    unix::shm::ROLES,
    waits::ROLES,
    waits::tiers::ROLES,
];

const OWN: &[(&str, peer::Role)] = &[
    ("smoke.echo", nt::smoke::echo),
    ("world.nothing", world::nothing),
];

/// Not a test of its own: the entry of the processes that tests start.
#[test]
fn role() {
    peer::run(&ROLES.concat());
}
