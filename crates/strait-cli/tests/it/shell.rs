//! What the shell meets: usage, help, completions, man pages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::world::{Ran, STRAIT, World};

const VERBS: &[&str] = &[
    "event",
    "eventpair",
    "mutant",
    "semaphore",
    "section",
    "timer",
    "fifo",
    "msg",
    "mqueue",
    "wait",
    "run",
    "ls",
    "doctor",
    "gc",
    "survey",
    "completions",
    "man",
];

#[test]
fn wrong_arguments_end_with_2() {
    let world = World::new();
    for line in [
        "",
        "nosuch",
        "event",
        "event set",
        "ls --nosuch",
        "gc extra",
        "completions ksh",
    ] {
        let ran = world.strait(line);
        assert_eq!((ran.status, &*ran.out), (Some(2), ""), "{line}");
        assert!(
            ran.err.contains("--help") || ran.err.contains("Usage"),
            "{line}: {}",
            ran.err
        );
    }
    let bad = [
        OsStr::new("event"),
        OsStr::new("set"),
        OsStr::from_bytes(b"\xff\xfe"),
    ];
    let ran = Ran::of(world.command(&bad).output().unwrap());
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("UTF-8"), "{ran:?}");
}

#[test]
fn commands_may_be_any_bytes() {
    let world = World::new();
    let words = ["mutant", "acquire", "m", "--", "printf", "%s"].map(OsStr::new);
    let mut words = words.to_vec();
    words.push(OsStr::from_bytes(b"\xff"));
    let output = world.command(&words).output().unwrap();
    assert_eq!(output.stdout, b"\xff");
}

#[test]
fn every_verb_has_help_and_a_page() {
    let world = World::new();
    let program = world.good("--help");
    for verb in VERBS {
        assert!(program.contains(&format!("\n  {verb} ")), "{verb}");
        let help = world.good(&format!("{verb} --help"));
        assert!(help.contains("Usage: strait"), "{verb}");
        let page = world.good(&format!("man {verb}"));
        assert!(page.contains(".TH"), "{verb}");
    }
    assert!(world.good("man").contains("STRAIT"));
    assert!(world.good("--version").starts_with("strait "));
}

#[test]
fn pages_are_written_into_a_directory() {
    let world = World::new();
    let directory = world.space.path().join(".pages").join("man1");
    world.good(&format!("man --dir {}", directory.display()));
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert!(page("strait.1").contains("Local"));
    assert!(page("strait-wait.1").contains("Exit status"));
    assert!(page("strait-mutant-acquire.1").contains("STRAIT_ABANDONED"));
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn completions_are_the_shells_own_language() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = world.good(&format!("completions {shell}"));
        for verb in VERBS {
            assert!(text.contains(verb), "{shell}: {verb}");
        }
    }
    let checked = world.sh("$STRAIT completions bash | bash -n");
    assert_eq!((checked.status, &*checked.err), (Some(0), ""));
}

#[test]
fn a_namespace_that_is_none_is_named_with_a_cure() {
    let run = |ns: &str| {
        let output = Command::new(STRAIT).args(["ls", "--ns", ns]).output();
        Ran::of(output.unwrap())
    };
    let ran = run("/no/such/directory");
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.err.contains("`mkdir -m 700 /no/such/directory`"),
        "{ran:?}"
    );
    let ran = run("/dev/null");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("not a directory"), "{ran:?}");
}

#[test]
fn only_an_empty_directory_becomes_a_namespace() {
    let world = World::new();
    let directory = world.space.path().join(".directory");
    std::fs::create_dir(&directory).unwrap();
    let shown = directory.to_str().unwrap();
    let run = |line: &str| {
        let mut command = Command::new(STRAIT);
        command.args(["--ns", shown]).args(line.split_whitespace());
        Ran::of(command.output().unwrap())
    };
    for line in [
        "ls",
        "gc",
        "doctor",
        "event query x",
        "event wait x --timeout 0",
    ] {
        run(line);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "{line}");
    }
    std::fs::write(directory.join("file"), "not ours").unwrap();
    for (line, status) in [
        ("ls", 1),
        ("gc", 1),
        ("doctor", 1),
        ("event create x", 1),
        ("mutant acquire x -- true", 125),
        ("wait event:x", 125),
    ] {
        let ran = run(line);
        assert_eq!(ran.status, Some(status), "{line}: {ran:?}");
        let said = ran.out + &ran.err;
        assert!(said.contains("neither empty nor a namespace"), "{said}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "{line}");
    }
    std::fs::remove_file(directory.join("file")).unwrap();
    assert_eq!(run("event create x").status, Some(0));
    assert_eq!(run("event set x").status, Some(0));
    std::fs::remove_dir_all(&directory).unwrap();
}
