//! Imports inside `strait` go down only.

use super::{Fake, none, one};

const EVENT: &str = "crates/strait/src/nt/event.rs";

fn file(body: &str) -> String {
    format!("//! Docs.\n{body}\n")
}

#[test]
fn upward_by_use() {
    let finding = one(
        "crates/strait/src/object/life.rs",
        &file("use crate::nt::Event;"),
        2,
        "floors",
    );
    assert!(finding.contains("`crate::nt::Event` is an upward import: object is floor 1, nt is"));
}

#[test]
fn upward_by_inline_path() {
    one(
        "crates/strait/src/error.rs",
        &file("fn f() { crate::object::g() }"),
        2,
        "floors",
    );
}

#[test]
fn upward_inside_a_use_tree() {
    let body =
        "use crate::{\n    error::Error,\n    object::{self, Kind},\n    rpc::{onc, dce},\n};";
    let findings = Fake::with("crates/strait/src/nt/event.rs", &file(body)).findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(
        findings
            .iter()
            .all(|finding| finding.contains("event.rs:5: `crate::rpc::"))
    );
}

#[test]
fn upward_by_super() {
    one(
        "crates/strait/src/channel/ring.rs",
        &file("use super::super::unix;"),
        2,
        "floors",
    );
    one(
        "crates/strait/src/channel/mod.rs",
        &file("use super::smb::Server;"),
        2,
        "floors",
    );
}

#[test]
fn upward_from_a_test() {
    let body = "#[cfg(test)]\nmod tests {\n    use crate::nt::Event;\n}";
    one("crates/strait/src/object/life.rs", &file(body), 4, "floors");
}

#[test]
fn upward_through_a_reexport_of_lib() {
    let fake = Fake::new()
        .and(
            "crates/strait/src/lib.rs",
            &file("pub use crate::nt::{Event as Bell};"),
        )
        .and("crates/strait/src/object.rs", &file("use crate::Bell;"));
    let findings = fake.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(
        findings[0].contains("`crate::Bell` is an upward import"),
        "{findings:#?}"
    );
}

#[test]
fn sideways_between_families() {
    let finding = one(EVENT, &file("use crate::unix::fifo;"), 2, "floors");
    assert!(
        finding.contains("nt and unix are both floor 3"),
        "{finding}"
    );
    one(
        "crates/strait/src/streams/head.rs",
        &file("use crate::unix::pipe;"),
        2,
        "floors",
    );
}

#[test]
fn sideways_between_files_of_a_family() {
    one(
        EVENT,
        &file("use crate::nt::semaphore::Semaphore;"),
        2,
        "floors",
    );
    one(
        EVENT,
        &file("use super::semaphore::Semaphore;"),
        2,
        "floors",
    );
    // Through what mod.rs exports, by a glob, and by the family itself.
    one(EVENT, &file("use crate::nt::Semaphore;"), 2, "floors");
    one(EVENT, &file("use super::*;"), 2, "floors");
    one(EVENT, &file("use crate::nt;"), 2, "floors");
    one(
        "crates/strait/src/nt/status.rs",
        &file("use super::event::Event;"),
        2,
        "floors",
    );
    one(
        "crates/strait/src/unix/fifo.rs",
        &file("use crate::unix::pipe;"),
        2,
        "floors",
    );
}

#[test]
fn the_whole_crate_and_lib_itself() {
    let finding = one(EVENT, &file("use crate as all;"), 2, "floors");
    assert!(finding.contains("names the whole crate"), "{finding}");
    let finding = one(EVENT, &file("fn f() { crate::nowhere::g() }"), 2, "floors");
    assert!(finding.contains("reaches into lib.rs"), "{finding}");
}

#[test]
fn a_room_without_a_floor() {
    let finding = one("crates/strait/src/common.rs", &file(""), 1, "floors");
    assert!(finding.contains("`common` has no floor"), "{finding}");
}

#[test]
fn downward_is_right() {
    none(
        EVENT,
        &file("use crate::error::Error;\nuse crate::object::wait;\nuse super::status::Code;"),
    );
    none(
        "crates/strait/src/rpc/onc.rs",
        &file("use crate::{smb, nt::pipe, unix, channel, error};"),
    );
}

#[test]
fn inside_one_mechanism_is_right() {
    none(
        "crates/strait/src/nt/pipe/named.rs",
        &file("use super::Pipe;\nuse crate::nt::pipe::quota;"),
    );
    none(
        "crates/strait/src/nt/event/tests.rs",
        &file("use super::*;\nuse crate::nt::event::Event;"),
    );
    none(
        "crates/strait/src/object/wait/any.rs",
        &file("use crate::object::life;\nuse super::set;"),
    );
    none(
        "crates/strait/src/streams/head.rs",
        &file("use super::queue::Queue;"),
    );
    none(
        EVENT,
        &file("mod inner {\n    use super::Event;\n    use super::super::status;\n}"),
    );
}

#[test]
fn reexports_are_right() {
    none(
        "crates/strait/src/lib.rs",
        &file("pub use nt::event::Event;\npub use crate::object::wait;"),
    );
    none(
        "crates/strait/src/nt/mod.rs",
        &file("pub use self::event::Event;\npub use crate::nt::timer::*;"),
    );
    none("crates/strait/src/nt/tests.rs", &file("use super::*;"));
}

#[test]
fn text_is_no_import() {
    none(
        EVENT,
        &file("/// Not crate::rpc::onc.\n// nor crate::smb\nconst A: &str = \"crate::unix::x\";"),
    );
    none(
        EVENT,
        &file("pub(in crate::nt) fn f() -> impl Sized + use<> {}"),
    );
}
