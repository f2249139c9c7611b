//! Module docs, unsafe, ignored tests, unfinished code and sleeps.

use super::{none, one};

const PATH: &str = "crates/strait-cli/src/verb.rs";
const TEST: &str = "crates/strait/tests/it/event.rs";

fn file(body: &str) -> String {
    format!("//! Docs.\n{body}\n")
}

#[test]
fn module_docs() {
    one(PATH, "fn f() {}\n", 1, "module docs");
    one(PATH, "", 1, "module docs");
    one(PATH, "//!\nfn f() {}\n", 1, "module docs");
    one(
        PATH,
        "/// Of f.\nfn f() {}\n//! Too late.\n",
        1,
        "module docs",
    );
    none(PATH, "// Licence.\n\n#![forbid(x)]\n//! Docs.\n");
    none(PATH, "#![doc = include_str!(\"x\")]\n");
}

#[test]
fn unsafe_stays_in_its_crates() {
    let finding = one(PATH, &file("fn f() { unsafe { g() } }"), 2, "unsafe");
    assert!(finding.contains("unsafe in `strait-cli`"), "{finding}");
    one(
        "crates/strait/tests/it/main.rs",
        &file("unsafe fn f() {}"),
        2,
        "unsafe",
    );
    none("crates/strait-sys/src/fd.rs", &file("unsafe fn f() {}"));
    none(
        PATH,
        &file("#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";"),
    );
}

#[test]
fn ignored_tests_say_why() {
    one(
        TEST,
        &file("#[test]\n#[ignore]\nfn f() {}"),
        3,
        "ignored test",
    );
    one(
        TEST,
        &file("#[cfg_attr(not(a), ignore)]\nfn f() {}"),
        2,
        "ignored test",
    );
    none(
        TEST,
        &file("#[test]\n#[ignore = \"needs root\"]\nfn f() {}"),
    );
    none(TEST, &file("fn f(ignore: u8) { g(1, ignore); [ignore]; }"));
}

#[test]
fn unfinished_code() {
    one(PATH, &file("fn f() { todo!() }"), 2, "unfinished");
    one(
        PATH,
        &file("fn f() { unimplemented!(\"later\") }"),
        2,
        "unfinished",
    );
    one(PATH, &file("fn f() { dbg!(1); }"), 2, "unfinished");
    one(PATH, &file("// FIXME: later"), 2, "unfinished");
    one(PATH, &file("/* a\n XXX */"), 3, "unfinished");
    none(
        PATH,
        &file("fn todo() { let dbg = \"todo!() FIXME\"; } // XXXX"),
    );
}

#[test]
fn sleeps_in_tests_say_why() {
    one(TEST, &file("fn f() { std::thread::sleep(d) }"), 2, "sleep");
    one(
        TEST,
        &file("use std::thread::sleep;\nfn f() { sleep(d) }"),
        3,
        "sleep",
    );
    one(
        TEST,
        &file("fn f() {\n    // sleep:\n    thread::sleep(d);\n}"),
        4,
        "sleep",
    );
    one(
        TEST,
        &file("// sleep: of another\n\nfn f() { thread::sleep(d) }"),
        4,
        "sleep",
    );
    one(
        PATH,
        &file("mod tests {\n    fn f() { thread::sleep(d) }\n}"),
        3,
        "sleep",
    );
    none(
        TEST,
        &file("fn f() { thread::sleep(d) } // sleep: no event marks the end of it"),
    );
    none(
        TEST,
        &file("fn f() {\n    // sleep: nothing\n    // to wait for\n    thread::sleep(d);\n}"),
    );
    none(
        TEST,
        &file("fn f() { futex::sleep(d); word.sleep(d); }\nfn sleep() {}"),
    );
    none(PATH, &file("fn f() { thread::sleep(d) }"));
}
