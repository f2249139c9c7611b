//! The page for newcomers, followed word by word.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::skip;

/// A directory of the test's own, and the server that was left in the background.
struct Followed {
    place: PathBuf,
    background: Option<Child>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(server) = &mut self.background {
            // It is cargo's child no more than ours: cargo has replaced itself by it.
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.place);
    }
}

impl Followed {
    /// What is typed there, without a network, and with what an earlier run has built.
    fn command(&self, typed: &str) -> Command {
        let mut words = typed.split_whitespace();
        let program = match words.next() {
            Some("cargo") => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            Some("openssl") => "openssl".into(),
            other => panic!("{other:?}: {typed}"),
        };
        let itself = std::env::current_exe().unwrap();
        let built = itself.ancestors().nth(3).unwrap().join("page");
        let mut command = Command::new(program);
        command.args(words).current_dir(&self.place);
        command.env("CARGO_TARGET_DIR", built);
        command.env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_TERM_QUIET", "true");
        // Built in less time, and nobody debugs it.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.env("CARGO_INCREMENTAL", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Types it, and sees what the page says.
    fn run(&mut self, typed: &str, shown: &[&str]) {
        let (typed, background) = match typed.strip_suffix('&') {
            Some(typed) => (typed, true),
            None => (typed, false),
        };
        let mut child = self.command(typed).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<String> = if background {
            self.background = Some(child);
            lines.take(shown.len()).map(Result::unwrap).collect()
        } else {
            let said = lines.map(Result::unwrap).collect();
            assert!(child.wait().unwrap().success(), "{typed}: {said:?}");
            said
        };
        assert_eq!(said, shown, "{typed}");
    }
}

/// The blocks of the page: the file named last before each, and its text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut parts = page.split("```");
    let mut blocks = Vec::new();
    while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
        let (_, text) = block.split_once('\n').unwrap();
        let mut names = prose.split('`').filter(|name| {
            [".toml", ".x", ".rs"]
                .iter()
                .any(|end| name.ends_with(end) && !name.contains(' '))
        });
        blocks.push((names.next_back().unwrap_or_default().into(), text.into()));
    }
    blocks
}

#[test]
fn the_page_leads_to_a_running_service() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/onc.md")).unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let probe = Command::new("openssl").arg("version").output();
    let has_openssl = probe.is_ok_and(|output| output.status.success());
    let page = if has_openssl {
        page
    } else {
        skip(
            "the_page_leads_to_a_running_service",
            "no openssl for the last section",
        );
        page.split("## Within TLS").next().unwrap().to_owned()
    };
    let page = page
        .replace("\"../strait/", &format!("\"{}/", root.display()))
        .replace("2044", &port);

    let name = format!("strait-page-{}", std::process::id());
    let place = std::env::temp_dir().join(name);
    fs::create_dir_all(place.join("src/bin")).unwrap();
    let mut followed = Followed {
        place,
        background: None,
    };
    // The versions that this workspace was built with are there without a network.
    let lock = followed.place.join("Cargo.lock");
    fs::copy(root.join("Cargo.lock"), lock).unwrap();

    let mut typed = 0;
    for (file, text) in blocks(&page) {
        if !text.starts_with("$ ") {
            fs::write(followed.place.join(file), text).unwrap();
            continue;
        }
        for command in text.split("$ ").skip(1) {
            let mut lines = command.lines();
            let line = lines.next().unwrap();
            followed.run(line, &lines.collect::<Vec<_>>());
            typed += 1;
        }
    }
    assert_eq!(
        typed,
        if has_openssl { 5 } else { 3 },
        "commands of the page"
    );
}
