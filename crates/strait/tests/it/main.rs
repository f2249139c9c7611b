//! The one integration binary. For the second process it runs itself again with a role: see
//! [`peer`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod death;
mod lies;
mod names;
mod nt;
mod peer;
mod seats;
mod smoke;
mod tasks;
mod tiers;
mod transfer;
mod waits;
mod world;

/// What another process of a test does, by name.
const ROLES: &[&[(&str, peer::Role)]] = &[OWN, tiers::ROLES, waits::ROLES];

const OWN: &[(&str, peer::Role)] = &[
    ("smoke.echo", smoke::echo),
    ("seats.taker", seats::taker),
    ("world.nothing", world::nothing),
    ("access.owner", access::owner),
    ("access.stranger", access::stranger),
    ("access.looker", access::looker),
    ("access.member", access::member),
    ("access.founder", access::founder),
    ("access.outsider", access::outsider),
    ("access.reader", access::reader),
    ("access.listener", access::listener),
    ("access.global", access::global),
    ("access.refused", access::refused_global),
    ("access.dying", access::dying),
    ("access.neighbour", access::neighbour),
    ("access.heir", access::heir),
    ("access.returned", access::returned),
    ("access.own", access::own),
    ("transfer.child", transfer::child),
    ("transfer.bare", transfer::bare),
    ("transfer.execs", transfer::execs),
    ("transfer.child_of_itself", transfer::child_of_itself),
    ("transfer.sender", transfer::sender),
    ("transfer.silent", transfer::forked::silent),
    ("transfer.islander", transfer::spaces::islander),
    ("transfer.local", transfer::spaces::local),
    ("lies.liar", lies::liar),
    ("lies.victim", lies::victim),
    ("lies.cutter", lies::cutter),
    ("lies.sleeper", lies::sleeper),
    ("lies.stopper", lies::stopper),
    ("nt.holder", nt::holder),
    ("nt.setter", nt::setter),
    ("nt.filer", nt::section::filer),
    ("names.hold", names::hold),
    ("names.unnamed", names::unnamed),
    ("names.take", names::take),
    ("names.race", names::race),
    ("names.keep", names::keep),
    ("names.temporary", names::temporary),
    ("names.lease", names::foreign::lease),
    ("names.guest", names::foreign::guest),
    ("names.full", names::foreign::full),
    ("names.roomless", names::foreign::roomless),
];

/// Not a test of its own: the entry of the processes that tests start.
#[test]
fn role() {
    peer::run(&ROLES.concat());
}
