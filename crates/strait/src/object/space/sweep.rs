//! Retired seats: those whose sitters died between a decision and its end.
//!
//! Marks that name such a decision may stand on any object of the transaction, so the seat is given
//! out again only once every object with a name has been looked at and settled. One that cannot be
//! opened, or a transaction about an object without a name, keeps it retired.

use crate::object::commit::txn;
use crate::object::handle::Handle;
use crate::object::kind::{Kind, Rights};
use crate::object::space::Namespace;
use crate::object::space::life::{self, Mapping};
use crate::object::space::name::{Name, is_key};
use crate::object::spot::Object;
use crate::object::wait;

/// Settles all objects and gives out again what that allows. How many seats.
pub(super) fn readmit_seats(space: &Namespace) -> usize {
    let Ok(domain) = space.domain() else { return 0 };
    // Before the objects are looked at: who retires later may have marked one after its look.
    let retired = domain.retired();
    if retired.is_empty() {
        return 0;
    }
    let Ok(entries) = space.entries() else {
        return 0;
    };
    if !entries
        .iter()
        .filter(|entry| is_key(entry))
        .all(|entry| settle(space, entry))
    {
        return 0;
    }
    let readmitted = retired
        .iter()
        .filter(|(slot, decision)| domain.readmit(*slot, *decision));
    readmitted.count()
}

/// Removes what marks stand on the object. False: it may still bear one.
fn settle(space: &Namespace, key: &str) -> bool {
    let held = match life::open(space, key, Mapping::Write) {
        Ok(Some(held)) => held,
        // Nobody holds it, so nobody will read a mark on it.
        Ok(None) => return true,
        Err(_) => return false,
    };
    let kind = held.header.kind;
    let Some(name) = Name::from_header(&held.header.name) else {
        return false;
    };
    let handle = Handle::named(space.clone(), name, key.to_owned(), held, kind, Rights::ALL);
    let Ok(handle) = handle else { return false };
    if kind == Kind::Section {
        return true;
    }
    let Ok(object) = Object::new(handle) else {
        return false;
    };
    (0..2).all(|core| txn::settled(&object.spot(core), &mut wait::steps()).is_ok())
}
