//! The commit domain: how several objects change together, though any process may die or stop.
//!
//! A transaction has one *decision word*, the status in its author's record. It marks each object's
//! word with its record and sequence, decides by one compare-and-swap of the status, and then
//! replaces the marks by the final states. Who meets a mark needs only that object and that record
//! to bring the object back: it finishes what is committed, removes what is not, and after a short
//! patience aborts what is undecided. So there is no lock and no liveness probe, and a stopped or
//! killed author delays nobody.
//!
//! [`txn`] is the protocol alone, generic over its words, so that the model checker runs the same
//! source; [`domain`] is the table of records in a namespace, and
//! [`seat`] which thread sits where.

pub(crate) mod domain;
pub(crate) mod list;
pub(crate) mod seat;
pub(crate) mod txn;

#[cfg(test)]
pub(crate) mod tests;
