//! The Rust that each file becomes, word for word. `UPDATE_GOLDEN=1` writes it anew.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use strait_idl::onc::{Compiler, Specification, Strings};

pub(crate) const FILES: &[&str] = &[
    "borrowed", "dialect", "kv", "lists", "names", "programs", "types", "unions",
];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn compiler(name: &str) -> Compiler {
    let compiler = Compiler::new().root("crate::onc");
    match name {
        "borrowed" => compiler.borrowed(),
        _ => compiler,
    }
}

#[test]
fn the_output_is_the_golden_one() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in FILES {
        let made = compiler(name).generate(folder().join(name).with_extension("x"));
        let made = made.unwrap_or_else(|wrong| panic!("{wrong}"));
        let golden = folder().join(format!("{name}.rs.txt"));
        if update {
            fs::write(&golden, &made).unwrap();
        }
        let kept = fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            made == kept,
            "{name}.x makes something else now; UPDATE_GOLDEN=1 accepts it"
        );
    }
}

/// Examples and tests of other crates hold output too: what `strait rpc gen` writes.
#[test]
fn what_stands_elsewhere_is_the_output_of_today() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let strait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strait");
    for (from, to) in [
        ("examples/kv/kv.x", "examples/kv/mod.rs"),
        (
            "tests/it/rpc/onc/foreign/every.x",
            "tests/it/rpc/onc/foreign/every.rs",
        ),
    ] {
        let made = Compiler::new().generate(strait.join(from));
        let made = made.unwrap_or_else(|wrong| panic!("{wrong}"));
        let golden = strait.join(to);
        if update {
            fs::write(&golden, &made).unwrap();
        }
        let kept = fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            made == kept,
            "{from} makes something else now; UPDATE_GOLDEN=1 accepts it"
        );
    }
}

/// `None` where there is no rustfmt.
pub(crate) fn formatted(code: &str) -> Option<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = rustfmt.stdin.take()?;
    let code = code.to_owned();
    let writer = std::thread::spawn(move || input.write_all(code.as_bytes()));
    let output = rustfmt.wait_with_output().ok()?;
    writer.join().ok()?.ok()?;
    output.status.success().then_some(())?;
    String::from_utf8(output.stdout).ok()
}

#[test]
fn rustfmt_has_nothing_to_change() {
    for name in FILES {
        let path = folder().join(name).with_extension("x");
        for compiler in [
            compiler(name),
            compiler(name).borrowed(),
            compiler(name).strings(Strings::Bytes).blocking_only(),
            compiler(name).borrowed().strings(Strings::Bytes),
        ] {
            let made = compiler.generate(&path).unwrap();
            let Some(formatted) = formatted(&made) else {
                println!("skipped: rustfmt is not installed");
                return;
            };
            assert!(made == formatted, "{name}: rustfmt would change it");
        }
    }
}

#[test]
fn strings_may_be_bytes_and_the_async_client_absent() {
    let made = compiler("kv")
        .strings(Strings::Bytes)
        .blocking_only()
        .generate(folder().join("kv.x"))
        .unwrap();
    assert!(made.contains("pub type Key = Vec<u8>;"), "{made}");
    assert!(made.contains("to.string_bytes(value, 255)?;"), "{made}");
    assert!(!made.contains("AsyncClient"), "{made}");
}

#[test]
fn the_tree_printed_and_read_again_is_the_same() {
    for name in FILES {
        let once = compiler(name)
            .parse(folder().join(name).with_extension("x"))
            .unwrap();
        let printed = once.to_string();
        let again: Specification = compiler(name)
            .parse_text(name, &printed)
            .unwrap_or_else(|wrong| panic!("{wrong}\n{printed}"));
        assert_eq!(again.to_string(), printed, "{name}");
        assert_eq!(again.types.len(), once.types.len(), "{name}");
    }
}

#[test]
fn a_build_script_gets_its_file_and_cargo_the_names_of_all_that_was_read() {
    // Run again as the build script would be.
    if let Some(path) = std::env::var_os("STRAIT_IDL_BUILD") {
        Compiler::new().build(path);
        return;
    }
    let out = std::env::temp_dir().join(format!("strait-idl-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let run = |path: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("golden::a_build_script_gets_its_file_and_cargo_the_names_of_all_that_was_read")
            .env("STRAIT_IDL_BUILD", path)
            .env("OUT_DIR", &out)
            .output()
            .unwrap()
    };
    let good = run(&folder().join("dialect.x"));
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success(), "{said}");
    for name in ["dialect.x", "dialect_common.x"] {
        let line = format!("cargo::rerun-if-changed={}", folder().join(name).display());
        assert!(said.contains(&line), "{said}");
    }
    let made = fs::read_to_string(out.join("dialect.rs")).unwrap();
    assert!(made.contains("use ::strait::rpc::onc;"), "{made}");
    let bad = run(&out.join("absent.x"));
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        said.contains("absent.x") && said.contains("cannot be read"),
        "{said}"
    );
    fs::remove_dir_all(&out).unwrap();
}
