//! The `.x` files that Debian ships: rpcsvc-proto, libnsl-dev, libtirpc-dev.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use strait_idl::onc::Compiler;

use crate::golden::formatted;

const FOLDERS: &[&str] = &["/usr/include/rpcsvc", "/usr/include/tirpc/rpc"];

/// Packages, and a file of each.
const PACKAGES: &[(&str, &str)] = &[
    ("rpcsvc-proto", "/usr/include/rpcsvc/mount.x"),
    ("libnsl-dev", "/usr/include/rpcsvc/nis.x"),
    ("libtirpc-dev", "/usr/include/tirpc/rpc/rpcb_prot.x"),
];

fn files() -> Vec<PathBuf> {
    let entries = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let paths = entries.flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "x"))
        .collect();
    files.sort();
    files
}

/// The code of one file. One of them uses types of another, and leaves it to C to know them.
fn generate(path: &Path, borrowed: bool) -> String {
    let mut compiler = Compiler::new().root("crate::onc");
    if borrowed {
        compiler = compiler.borrowed();
    }
    let made = if path.ends_with("nis_callback.x") {
        let both = "#include \"nis.x\"\n#include \"nis_callback.x\"\n";
        compiler.include(FOLDERS[0]).generate_text("both.x", both)
    } else {
        compiler.generate(path)
    };
    made.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// The library that the tests themselves were linked with.
fn wire() -> Option<(PathBuf, PathBuf)> {
    let exe = std::env::current_exe().ok()?;
    let folder = exe.parent()?.to_owned();
    let libraries = fs::read_dir(&folder).ok()?.filter_map(Result::ok);
    let newest = libraries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libstrait_wire-") && name.ends_with(".rlib")
        })
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())?;
    Some((newest.path(), folder))
}

#[test]
fn debians_files_become_rust_that_compiles() {
    let files = files();
    for (package, file) in PACKAGES {
        if !Path::new(file).exists() {
            println!("skipped {package}: not installed here (`cargo xtask peers` installs it)");
        }
    }
    if files.is_empty() {
        return;
    }
    let stub = include_str!("main.rs");
    let start = stub.find("/// Stands for `strait::rpc::onc`").unwrap();
    let end = stub.find("/// The golden output, compiled.").unwrap();
    let clients = "#[derive(Debug)] pub struct Client;\n#[derive(Debug)] pub struct AsyncClient;";
    let real = "pub(crate) use crate::rpc::{AsyncClient, Client};";
    let mut code = stub[start..end].replace(real, clients);
    code = code
        .replace("pub(crate)", "pub")
        .replace("mod onc", "#[allow(missing_docs)] pub mod onc");
    let both = |path| [(path, false), (path, true)];
    for (i, (path, borrowed)) in files.iter().flat_map(both).enumerate() {
        let made = generate(path, borrowed);
        if let Some(formatted) = formatted(&made) {
            assert!(
                made == formatted,
                "{}: rustfmt would change it",
                path.display()
            );
        }
        code.push_str(&format!("/// A file.\npub mod file_{i} {{ {made} }}\n"));
    }
    let Some((library, folder)) = wire() else {
        println!("skipped: the library strait-wire is not beside the tests");
        return;
    };
    let out = std::env::temp_dir().join(format!("strait-peers-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let input = out.join("peers.rs");
    fs::write(
        &input,
        format!("//! Peers.\n#![deny(warnings, missing_docs)]\n{code}"),
    )
    .unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let run = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .arg("--extern")
        .arg(format!("strait_wire={}", library.display()))
        .arg("-L")
        .arg(&folder)
        .arg("--out-dir")
        .arg(&out)
        .arg(&input)
        .output();
    let Ok(run) = run else {
        println!("skipped: there is no rustc");
        return;
    };
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    println!("{} files", files.len());
    fs::remove_dir_all(&out).unwrap();
}
