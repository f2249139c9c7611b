//! Retired seats: those whose sitters died between a decision and its end.
//!
//! Marks that name such a decision may stand on any object of the transaction, so the seat is given
//! out again only once each of them is known to bear none. The record says which they were:
//!
//! - one found in the directory is settled; where it may only be read, it is looked at;
//! - one that is not found has gone with its last handle, unless an entry could not be read at all:
//!   that could be any which was not found elsewhere, and keeps the seats of these;
//! - a private one has gone with its process;
//! - an unnamed shared one cannot be looked up, and keeps the seat.

use std::sync::Arc;

use crate::object::commit::domain::Domain;
use crate::object::commit::txn;
use crate::object::handle::Handle;
use crate::object::kind::{Kind, Rights};
use crate::object::layout::{self, ID_PRIVATE, ID_UNNAMED};
use crate::object::space::Namespace;
use crate::object::space::life::{self, Mapping};
use crate::object::space::name::{Name, is_key};
use crate::object::spot::Object;
use crate::object::wait;

/// What is known of the marks on the objects of a namespace.
#[derive(Debug, Default)]
struct Findings {
    /// Ids of objects that bear no mark which stood there before.
    settled: Vec<u32>,
    /// Ids of those that may.
    marked: Vec<u32>,
    /// Something could not be read.
    is_partial: bool,
}

/// Settles all objects and gives out again what that allows. How many seats.
pub(super) fn readmit_seats(space: &Namespace) -> usize {
    space.domain().map_or(0, |domain| readmit(&domain, space))
}

/// The same for a domain whose seats have run out.
pub(crate) fn make_room(domain: &Arc<Domain>) -> bool {
    Namespace::of_domain(domain).is_some_and(|space| readmit(domain, &space) > 0)
}

fn readmit(domain: &Domain, space: &Namespace) -> usize {
    // Before the objects are looked at: who retires later may have marked one after its look.
    let retired = domain.retired();
    if retired.is_empty() {
        return 0;
    }
    let Ok(entries) = space.entries() else {
        return 0;
    };
    let mut findings = Findings::default();
    for entry in entries.iter().filter(|entry| is_key(entry)) {
        findings.look_at(space, entry);
    }
    let readmitted = retired
        .iter()
        .filter(|(slot, decision)| domain.readmit(*slot, *decision, |id| findings.clear(id)));
    readmitted.count()
}

impl Findings {
    /// Whether the object that a record calls so bears no mark of it.
    fn clear(&self, id: u32) -> bool {
        let id = layout::word_id(id, 0);
        match id & ID_PRIVATE {
            ID_PRIVATE => true,
            ID_UNNAMED => false,
            _ if self.marked.contains(&id) => false,
            _ => !self.is_partial || self.settled.contains(&id),
        }
    }

    fn look_at(&mut self, space: &Namespace, key: &str) {
        let found = match open(space, key, Rights::ALL) {
            Err(()) => open(space, key, Rights::LOOK),
            found => found,
        };
        let object = match found {
            Ok(Some(Found::Object(object))) => object,
            Ok(Some(Found::Memory) | None) => return,
            Err(()) => {
                self.is_partial = true;
                return;
            }
        };
        let mut spots = (0..2).map(|core| object.spot(core));
        let clear = if object.handle.rights.writes() {
            spots.all(|spot| txn::settled(&spot, &mut wait::steps()).is_ok())
        } else {
            spots.all(|spot| !spot.glance().locked())
        };
        let id = layout::word_id(object.handle.header.id, 0);
        if clear && object.check_whole("collect").is_ok() {
            self.settled.push(id);
        } else {
            self.marked.push(id);
        }
    }
}

enum Found {
    Object(Box<Object>),
    /// A section: no mark can be on it.
    Memory,
}

/// `Ok(None)`: nobody holds it, so nobody will read a mark on it.
fn open(space: &Namespace, key: &str, rights: Rights) -> Result<Option<Found>, ()> {
    let mapping = if rights.writes() {
        Mapping::Write
    } else {
        Mapping::Look
    };
    let Some(held) = life::open(space, key, mapping).map_err(drop)? else {
        return Ok(None);
    };
    let kind = held.header.kind;
    let name = Name::from_header(&held.header.name).ok_or(())?;
    let handle = Handle::named(space.clone(), name, key.to_owned(), held, kind, rights);
    let handle = handle.map_err(drop)?;
    if kind == Kind::Section {
        return Ok(Some(Found::Memory));
    }
    let object = Object::new(handle).map_err(drop)?;
    Ok(Some(Found::Object(Box::new(object))))
}
