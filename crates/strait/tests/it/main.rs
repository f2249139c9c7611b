//! The one integration binary. For the second process it runs itself again with a role: see
//! [`peer`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod death;
mod peer;
mod smoke;
mod tiers;
mod waits;

/// What another process of a test does, by name.
const ROLES: &[&[(&str, peer::Role)]] =
    &[&[("smoke.echo", smoke::echo)], tiers::ROLES, waits::ROLES];

/// Not a test of its own: the entry of the processes that tests start.
#[test]
fn role() {
    peer::run(&ROLES.concat());
}
