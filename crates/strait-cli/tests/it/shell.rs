//! What the shell meets: usage, help, completions, man pages.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
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
    "socket",
    "signal",
    "sem",
    "shm",
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
    let ran = world.strait("man wait wait");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("strait-wait has no verbs"), "{ran:?}");
    assert!(world.good("--version").starts_with("strait "));
}

#[test]
fn pages_are_written_into_a_directory() {
    let world = World::new();
    let directory = world.space.path().join(".pages").join("man1");
    world.good(&format!("man --dir {}", directory.display()));
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert!(page("strait.1").contains("Local"));
    assert!(page("strait-wait.1").contains("124 when time ran out"));
    assert!(page("strait-mutant-acquire.1").contains("STRAIT_ABANDONED"));
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn every_page_has_a_version_and_says_how_it_ends_and_groups_have_examples() {
    let world = World::new();
    let directory = world.space.path().join(".pages");
    world.good(&format!("man --dir {}", directory.display()));
    let version = world.good("--version").trim().to_owned();
    let mut groups = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(title.contains(&version), "{title}");
        assert!(page.contains("\n.SH \"EXIT STATUS\"\n"), "{path:?}");
        if page.contains("\n.SH SUBCOMMANDS\n") {
            groups += 1;
            let (_, examples) = page.split_once("\n.SH \"EXAMPLES\"\n").unwrap();
            assert!(examples.contains("\n\\&strait "), "{path:?}: {examples}");
        }
    }
    assert_eq!(groups, 17);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn everything_that_can_be_given_is_explained() {
    fn check(world: &World, verb: &str) {
        let help = world.good(&format!("{verb} --help"));
        for line in help.lines().map(str::trim) {
            let is_argument = line.starts_with(['<', '[', '-']) && !line.contains(' ');
            assert!(
                !is_argument || help.contains(&format!("{line}\n     ")),
                "{verb}: {line}"
            );
        }
        let commands = help.split_once("\nCommands:\n");
        let below = commands.map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
        for line in below
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        {
            let word = line.split_whitespace().next().unwrap();
            check(world, &format!("{verb} {word}"));
        }
    }
    check(&World::new(), "");
}

#[test]
fn a_complaint_is_said_in_one_piece() {
    let world = World::new();
    for line in ["nosuch", "event set nosuch"] {
        let words: Vec<&str> = line.split(' ').collect();
        // What is written in one call is one datagram.
        let (reader, writer) = UnixDatagram::pair().unwrap();
        let mut command = world.command(&words);
        command.stderr(OwnedFd::from(writer)).status().unwrap();
        let mut datagram = vec![0; 4096];
        let len = reader.recv(&mut datagram).unwrap();
        let said = String::from_utf8_lossy(&datagram[..len]);
        assert_eq!(said, world.strait(line).err);
    }
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
