//! Crates import what the table allows.

use super::{Fake, none, one};

fn manifest(package: &str, rest: &str) -> String {
    format!("[package]\nname = \"{package}\"\n\n{rest}\n")
}

#[test]
fn a_manifest_names_a_forbidden_crate() {
    let sys = "crates/strait-sys/Cargo.toml";
    for rest in [
        "[dependencies]\nstrait.workspace = true",
        "[dev-dependencies]\nstrait = { path = \"../strait\" }",
        "[build-dependencies]\n\"strait-bench\" = \"1\"",
        "[target.'cfg(unix)'.dependencies]\nx = { package = \"strait-cli\", path = \"..\" }",
    ] {
        one(sys, &manifest("strait-sys", rest), 5, "crates");
    }
    one(
        sys,
        &manifest("strait-sys", "[dependencies.strait]\npath = \"\""),
        4,
        "crates",
    );
    for name in ["strait", "strait-sys", "strait-idl", "xtask"] {
        let wire = manifest("strait-wire", &format!("[dependencies]\n{name} = \"1\""));
        one("crates/strait-wire/Cargo.toml", &wire, 5, "crates");
    }
    let bench = manifest(
        "strait-bench",
        "[dependencies]\nstrait = \"1\"\nstrait-cli = \"1\" # why",
    );
    let finding = one("crates/strait-bench/Cargo.toml", &bench, 6, "crates");
    assert!(
        finding.contains("`strait-bench` must not import `strait-cli`"),
        "{finding}"
    );
}

#[test]
fn a_path_names_a_forbidden_crate() {
    one(
        "crates/strait-bench/src/main.rs",
        "//! Docs.\nuse strait_cli::verbs;\n",
        2,
        "crates",
    );
    one(
        "crates/strait-bench/src/main.rs",
        "//! Docs.\nuse strait_cli as cli;\n",
        2,
        "crates",
    );
    one(
        "crates/strait-sys/src/fd.rs",
        "//! Docs.\nfn f() { strait::g() }\n",
        2,
        "crates",
    );
    one(
        "crates/strait-wire/src/xdr/mod.rs",
        "//! Docs.\nuse strait_sys::socket;\n",
        2,
        "crates",
    );
    one(
        "crates/strait/src/error.rs",
        "//! Docs.\nextern crate strait_bench;\n",
        2,
        "crates",
    );
    one(
        "crates/strait/tests/it/main.rs",
        "//! Docs.\nuse strait_cli::x;\n",
        2,
        "crates",
    );
    one(
        "xtask/src/main.rs",
        "//! Docs.\nuse ::strait::wait;\n",
        2,
        "crates",
    );
}

#[test]
fn a_crate_needs_a_row() {
    let fake = Fake::with(
        "crates/strait-extra/Cargo.toml",
        &manifest("strait-extra", ""),
    );
    let path = "crates/strait-extra/Cargo.toml";
    let what = "`strait-extra` has no row in xtask's table of crates";
    assert_eq!(fake.findings(), [format!("{path}:1: {what} (crates)")]);
}

#[test]
fn what_the_table_allows_is_right() {
    none(
        "crates/strait/src/object/mod.rs",
        "//! Docs.\nuse strait_sys::futex;\n",
    );
    none(
        "crates/strait/src/rpc/onc/mod.rs",
        "//! Docs.\nuse strait_wire::onc;\n",
    );
    none(
        "crates/strait-bench/src/row.rs",
        "//! Docs.\nuse strait_sys::futex;\nuse strait::wait;\n",
    );
    none(
        "crates/strait-cli/src/main.rs",
        "//! Docs.\nuse strait_sys::signal;\nfn f() { strait_bench::run(strait::x()) }\n",
    );
    // Other people's crates, and a section that is no list of dependencies.
    let rest = "[features]\nstrait = []\n\n[dependencies]\nlibc = \"0.2\"";
    none(
        "crates/strait-sys/Cargo.toml",
        &manifest("strait-sys", rest),
    );
}
