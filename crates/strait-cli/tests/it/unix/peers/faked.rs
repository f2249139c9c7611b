//! fakeroot's faked(1), whose clients ask it over a System V queue what a file's owner is.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::present;
use crate::world::World;

/// A running faked-sysv. What it has made goes with it.
struct Faked<'a> {
    world: &'a World,
    daemon: Child,
    /// Of the queue of requests; answers come through the next, and a set of semaphores has the
    /// one after.
    key: u32,
}

impl<'a> Faked<'a> {
    fn start(world: &'a World) -> Self {
        let mut command = Command::new("faked-sysv");
        let command = command.arg("--foreground").stdin(Stdio::null());
        let mut daemon = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(daemon.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let (key, pid) = line.trim_end().split_once(':').unwrap();
        assert_eq!(pid, daemon.id().to_string());
        let key = key.parse().unwrap();
        Self { world, daemon, key }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon), signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.daemon.id())).unwrap();
        stat.contains(") T ")
    }

    /// What lies in the queue of requests.
    fn requests(&self) -> Vec<Value> {
        let seen = self.world.good(&format!("msg peek {} --json", self.key));
        serde_json::from_str(&seen).unwrap()
    }
}

impl Drop for Faked<'_> {
    fn drop(&mut self) {
        // It removes its objects when it is asked to end.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let _ = self.daemon.wait();
        let left = self.world.good("msg list --json");
        let left: Vec<Value> = serde_json::from_str(&left).unwrap();
        let ours = [json!(self.key), json!(self.key + 1)];
        if !std::thread::panicking() {
            assert!(!left.iter().any(|queue| ours.contains(&queue["key"])));
        }
    }
}

/// The library that asks faked, which the loader must find by itself.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut paths = folders.map(|at| at.path().join("libfakeroot/libfakeroot-sysv.so"));
    paths.find(|path| path.exists())
}

/// `id`, `pid`, a serial number, and the owner and group of a file, as faked has them in a request.
fn request(message: &Value) -> [u32; 5] {
    let digits = message["hex"].as_str().unwrap_or_default();
    std::array::from_fn(|word| {
        let bytes = (0..4).map(|at| &digits[word * 8 + at * 2..][..2]);
        let bytes: Vec<u8> = bytes
            .map(|two| u8::from_str_radix(two, 16).unwrap())
            .collect();
        u32::from_le_bytes(bytes.try_into().unwrap())
    })
}

/// Gives a file away, and then asks whose it is.
const GIVES_AWAY: &str = r#"
    $| = 1;
    <STDIN>; print "ready\n"; <STDIN>;
    chown 1200, 3400, $ARGV[0] or die;
    @of = stat $ARGV[0];
    print "$of[4]:$of[5]\n";
"#;

#[test]
fn a_request_to_faked_is_seen_and_then_answered() {
    let test = "a_request_to_faked_is_seen_and_then_answered";
    if !present(test, &["faked-sysv", "perl"]) {
        return;
    }
    let Some(library) = library() else {
        return eprintln!("skipped {test}: no libfakeroot-sysv.so in /usr/lib/*/libfakeroot");
    };
    let world = World::new();
    let faked = Faked::start(&world);
    let file = world.space.path().join(".given");
    std::fs::write(&file, "").unwrap();
    let mut client = Command::new("perl")
        .args(["-e", GIVES_AWAY])
        .arg(&file)
        .env("LD_PRELOAD", library)
        .env("FAKEROOTKEY", faked.key.to_string())
        .env("FAKEROOTDONTTRYCHOWN", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut output = BufReader::new(client.stdout.take().unwrap()).lines();
    // All that Perl asks before it is ready has been answered.
    input.write_all(b"are you ready?\n").unwrap();
    assert_eq!(output.next().unwrap().unwrap(), "ready");
    assert_eq!(faked.requests(), [] as [Value; 0]);
    faked.signal(Signal::STOP);
    world.until("faked is stopped", || faked.is_stopped());
    input.write_all(b"go\n").unwrap();
    world.until("two requests wait", || faked.requests().len() == 2);
    let requests = faked.requests();
    for (index, message) in requests.iter().enumerate() {
        assert_eq!(
            (&message["index"], &message["type"]),
            (&json!(index), &json!(1))
        );
    }
    // To this one no answer is expected, and faked's client leaves the process out.
    let [chown, _, _, owner, group] = request(&requests[0]);
    assert_eq!([chown, owner, group], [0, 1200, 3400]);
    let [stat, pid, ..] = request(&requests[1]);
    assert_eq!([stat, pid], [3, client.id()]);
    assert_eq!(faked.requests(), requests, "looking takes nothing");

    faked.signal(Signal::CONT);
    assert_eq!(output.next().unwrap().unwrap(), "1200:3400");
    assert!(client.wait().unwrap().success());
    assert_eq!(faked.requests(), [] as [Value; 0]);
    let really = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap());
    assert_eq!(really, rustix::process::geteuid().as_raw());
}
