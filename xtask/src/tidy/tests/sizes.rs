//! Every limit is tested at the limit and one past it.

use super::{Fake, none, one};

const PATH: &str = "crates/strait-cli/src/verb.rs";

/// A file of exactly this many lines.
fn file(lines: usize) -> String {
    "//! Docs.\n".to_owned() + &"// x\n".repeat(lines - 1)
}

#[test]
fn line_length() {
    let line = |length: usize| format!("//! Docs.\n// {}\n", "é".repeat(length - 3));
    none(PATH, &line(100));
    let finding = one(PATH, &line(101), 2, "line length");
    assert!(finding.contains("101 characters, 100 at most"), "{finding}");
}

#[test]
fn lines_that_cannot_be_broken_are_allowed() {
    let word = "x".repeat(100);
    none(PATH, &format!("//! Docs.\n// https://example.org/{word}\n"));
    none(PATH, &format!("//! Docs.\n//!\n//! | {word} |\n"));
    one(
        PATH,
        &format!("//! Docs.\n// | {word} |\n"),
        2,
        "line length",
    );
    none(PATH, &format!("//! Docs.\nconst A: &str = \"{word}\";\n"));
    none(
        PATH,
        &format!("//! Docs.\nconst A: &str = r\"two words {word}\";\n"),
    );
    one(
        PATH,
        &format!("//! Docs.\nconst A: &str = \"two words {word}\";\n"),
        2,
        "line length",
    );
    one(
        PATH,
        &format!("//! Docs.\nconst A: (&str, u8) = (\"\", {word});\n"),
        2,
        "line length",
    );
}

#[test]
fn what_a_compiler_has_made_is_as_long_as_it_is() {
    let made = format!("// Made from kv.x by strait\n{}", file(601));
    none("crates/strait-cli/tests/it/kv.rs", &made);
    one(PATH, &made, 601, "file length");
}

#[test]
fn function_length() {
    let function =
        |lines: usize| format!("//! Docs.\nfn f()\n{{\n{}}}\n", "//\n".repeat(lines - 3));
    none(PATH, &function(70));
    let finding = one(PATH, &function(71), 2, "function length");
    assert!(
        finding.contains("`f` has 71 lines, 70 at most"),
        "{finding}"
    );
}

#[test]
fn the_body_is_found_behind_any_signature() {
    let body = "//\n".repeat(70);
    for signature in [
        "fn f(a: [u8; 3], b: fn(u8) -> u8) -> Array<{ 1 + 1 }>",
        "pub const unsafe extern \"C\" fn f<T>(t: T) -> impl Fn(&T) -> u8 where T: Into<Vec<u8>>",
    ] {
        let text = format!("//! Docs.\n{signature} {{\n{body}}}\n");
        one("crates/strait-sys/src/f.rs", &text, 2, "function length");
    }
    none(
        PATH,
        &format!("//! Docs.\ntrait T {{\n    fn f(&self);\n{body}}}\n"),
    );
    none(
        PATH,
        &format!("//! Docs.\ntype F = fn(u8);\nmod m {{\n{body}}}\n"),
    );
}

#[test]
fn functions_of_tests_may_be_long() {
    let body = "//\n".repeat(70);
    let inline = format!("//! Docs.\n#[cfg(test)]\nmod tests {{\nfn f() {{\n{body}}}\n}}\n");
    none(PATH, &inline);
    none(
        "crates/strait-cli/src/verb/tests.rs",
        &format!("//! Docs.\nfn f() {{\n{body}}}\n"),
    );
}

#[test]
fn file_length() {
    none(PATH, &file(600));
    let finding = one(PATH, &file(601), 601, "file length");
    assert!(
        finding.contains("601 lines without tests, 600 at most"),
        "{finding}"
    );
}

#[test]
fn tests_are_not_counted() {
    let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"// x\n".repeat(100) + "}\n";
    none(PATH, &(file(600) + &tests));
    one(PATH, &(file(601) + &tests), 601, "file length");
    none("crates/strait-cli/src/verb/tests.rs", &file(601));
    none("crates/strait-cli/tests/it/main.rs", &file(601));
}

#[test]
fn tests_before_code_are_counted() {
    let text = "//! Docs.\nmod tests {\n".to_owned() + &"// x\n".repeat(600) + "}\nfn f() {}\n";
    one(PATH, &text, 601, "file length");
}

#[test]
fn folder_entries() {
    let fill = |files: usize| {
        let fake = Fake::new();
        for i in 0..files {
            fake.write(
                &format!("crates/strait-cli/src/verbs/v{i}.rs"),
                "//! Docs.\n",
            );
        }
        fake.findings()
    };
    assert_eq!(fill(12), Vec::<String>::new());
    assert_eq!(
        fill(13),
        ["crates/strait-cli/src/verbs:1: 13 entries, 12 at most (folder size)"]
    );
}

#[test]
fn the_folder_of_kernel_facilities_may_be_full() {
    let fake = Fake::new();
    for i in 0..13 {
        fake.write(&format!("crates/strait-sys/src/f{i}.rs"), "//! Docs.\n");
    }
    assert_eq!(fake.findings(), Vec::<String>::new());
}

#[test]
fn folders_without_source_may_be_full() {
    let fake = Fake::new();
    for i in 0..13 {
        fake.write(&format!("crates/strait-cli/tests/golden/{i}.txt"), "");
    }
    assert_eq!(fake.findings(), Vec::<String>::new());
}
