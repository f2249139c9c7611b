//! Where peers run: as another user, in namespaces of their own, with a `/dev/shm` of their own.

use std::fmt::Display;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use strait::{ErrorKind, Result};

use crate::peer;

/// Longest wait for something that must come. Not a measure: it keeps a failure from hanging.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// Two users who are nobody's and have no privilege.
pub(crate) const USERS: [u32; 2] = [48_611, 48_612];

/// Says that a test was left out, and why.
pub(crate) fn skip(test: &str, why: impl Display) {
    eprintln!("skipped {test}: {why}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A peer as an ordinary user, with that user's own group and no other.
pub(crate) fn as_user(command: &mut Command, uid: u32) -> &mut Command {
    as_member(command, uid, uid)
}

/// A peer as an ordinary user whose only group is `gid`.
pub(crate) fn as_member(command: &mut Command, uid: u32, gid: u32) -> &mut Command {
    command.uid(uid).gid(gid)
}

/// Why peers cannot run as ordinary users here, if they cannot.
pub(crate) fn no_users() -> Option<&'static str> {
    if !is_root() {
        return Some("only root can become two other users");
    }
    let mut probe = peer::command("world.nothing", &[]);
    let ran = as_user(&mut probe, USERS[0]).stdout(Stdio::null()).status();
    (!ran.is_ok_and(|status| status.success()))
        .then_some("an ordinary user cannot run the test binary where it lies")
}

/// A peer that only shows that it can run.
pub(crate) fn nothing(_: &[String]) {}

/// The same command, run by `wrapper`, whose arguments come first.
pub(crate) fn within(wrapper: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(wrapper[0]);
    outer
        .args(&wrapper[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            outer.env(key, value);
        }
    }
    outer
}

/// Whether this process may use the wrapper.
pub(crate) fn permitted(wrapper: &[&str]) -> bool {
    Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A mount namespace with a tmpfs of its own on `/dev/shm`.
const FRESH_SHM: &str =
    "mount -t tmpfs -o mode=1777,size=\"$0\" strait-test /dev/shm && exec \"$@\"";

/// Plays a role as root, where `/dev/shm` is empty and of that size; its peers share the place.
pub(crate) fn on_fresh_shm(test: &str, size: &str, role: &str) {
    let wrapper = ["unshare", "-m", "sh", "-c", FRESH_SHM, size];
    if !is_root() || !permitted(&wrapper) {
        return skip(test, "no mount namespace of its own, which needs root");
    }
    let mut stage = within(&wrapper, &peer::command(role, &[]));
    let status = stage.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.unwrap();
    assert!(status.success(), "{role} on a fresh /dev/shm: {status}");
}

const ALONE: &str = "STRAIT_TEST_ALONE";

/// Runs the body of the test of that name in a process of its own. Between the fork and the exec of
/// any other test's peer the child holds all our handles: here nobody else forks.
pub(crate) fn alone(test: &str, body: fn()) {
    if std::env::var_os(ALONE).is_some_and(|asked| asked == test) {
        body();
        return peer::say("alone");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{test}: {}\n{said}", output.status);
    assert!(said.contains("@alone"), "no test is called {test}");
    println!("{said}");
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < GUARD, "in vain: {what}");
        // sleep: between two looks at another process, which announces nothing
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The error that must have come.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, kind: ErrorKind) -> strait::Error {
    match result {
        Ok(_) => panic!("it must be refused: {kind:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error}");
            error
        }
    }
}

/// Descriptors of this process that lead to something like this.
pub(crate) fn descriptors() -> usize {
    // The user's own namespace stays open once it was used: let that be before.
    drop(strait::nt::Event::options().shared().create().unwrap());
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Files in the directory that are objects.
pub(crate) fn objects_in(path: &Path) -> usize {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .count()
}

/// A sequence of numbers that a seed gives again.
pub(crate) struct Random(u64);

impl Random {
    /// From `STRAIT_SEED`, or from the clock; printed, so that a failure can be had again.
    pub(crate) fn of_test(test: &str) -> Self {
        let given = std::env::var("STRAIT_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(since.subsec_nanos()) ^ since.as_secs() << 20
        });
        eprintln!("{test}: STRAIT_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn of_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
