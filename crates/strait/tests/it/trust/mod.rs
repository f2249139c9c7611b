//! Whom one need not trust: those without permission, and those with it who lie.

mod access;
mod broken;
mod global;
mod lies;

use crate::peer::Role;

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("access.owner", access::owner),
    ("access.stranger", access::stranger),
    ("access.looker", access::looker),
    ("access.member", access::member),
    ("access.founder", access::founder),
    ("access.outsider", access::outsider),
    ("access.reader", access::reader),
    ("access.listener", access::listener),
    ("global.stage", global::stage),
    ("global.refused", global::refused_global),
    ("global.dying", global::dying),
    ("global.neighbour", global::neighbour),
    ("global.heir", global::heir),
    ("global.returned", global::returned),
    ("global.own", global::own),
    ("lies.liar", lies::liar),
    ("lies.victim", lies::victim),
    ("broken.cutter", broken::cutter),
    ("broken.sleeper", broken::sleeper),
    ("broken.stopper", broken::stopper),
];
