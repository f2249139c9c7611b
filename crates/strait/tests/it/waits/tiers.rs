//! The tests of waits, repeated where the kernel refuses what waits like best to block by.

use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use strait::wait;
use strait_sys::{Errno, seccomp};

use crate::death::watch::{STUCK, hear_within};
use crate::peer::{Peer, Role, command, say};
use crate::waits;

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[("tiers.run", run)];

const RING: i64 = seccomp::IO_URING_SETUP;
const WAITV: i64 = seccomp::FUTEX_WAITV;
const PIDFD: i64 = seccomp::PIDFD_OPEN;

/// Runs every test of waits with the calls of `args[0]` (numbers) answered by the errno `args[1]`;
/// `args[2]` says whether /proc must be gone.
fn run(args: &[String]) {
    let calls: Vec<i64> = args[0]
        .split(' ')
        .filter_map(|call| call.parse().ok())
        .collect();
    if !calls.is_empty() {
        let errno = Errno::from_raw_os_error(args[1].parse().unwrap());
        seccomp::deny(&calls, errno).unwrap();
    }
    if args[2] == "gone" {
        assert!(!Path::new("/proc/self").exists(), "/proc is still there");
    }
    let tiers = wait::tiers();
    say(format!("{}, {}", tiers.objects, tiers.mixed));
    for (name, body) in waits::BODIES {
        let begin = Instant::now();
        let end = catch_unwind(body);
        if begin.elapsed() > Duration::from_secs(2) {
            say(format!("slow {name} {:?}", begin.elapsed()));
        }
        if let Err(panic) = end {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied());
            say(format!("failed {name}: {:?}", why.unwrap_or("no text")));
        }
    }
    say("end");
}

/// What came of a run: the tiers it reported, and what failed.
fn outcome(mut peer: Peer) -> (String, Vec<String>) {
    let mut tiers = String::new();
    let mut failed = Vec::new();
    let limit = 6 * STUCK;
    loop {
        match hear_within(&mut peer, limit).as_deref() {
            Some("end") => return (tiers, failed),
            Some(line) if line.starts_with("failed ") => failed.push(line[7..].to_owned()),
            Some(line) if line.starts_with("slow ") => println!("{line}"),
            Some(line) => tiers = line.to_owned(),
            None => {
                failed.push("stuck, or died".into());
                return (tiers, failed);
            }
        }
    }
}

fn start(calls: &[i64], errno: Errno, proc: &str) -> Command {
    let calls: Vec<String> = calls.iter().map(i64::to_string).collect();
    let errno = errno.raw_os_error().to_string();
    let mut command = command("tiers.run", &[&calls.join(" "), &errno, proc]);
    // The competition is long enough where it runs first.
    command.env("STRAIT_CROWD_ROUNDS", "300");
    command
}

/// The two answers that a kernel or a container gives, one after the other.
fn denied(calls: &[i64], tiers: &str) {
    for errno in [Errno::NOSYS, Errno::PERM] {
        let (found, failed) = outcome(Peer::of(&mut start(calls, errno, "kept")));
        assert!(failed.is_empty(), "{errno:?} for {calls:?}: {failed:#?}");
        assert_eq!(found, tiers, "{errno:?} for {calls:?}");
    }
}

/// What this machine has: without it there is nothing to take away.
fn best() -> bool {
    let tiers = wait::tiers();
    let best = tiers.objects == "futex_waitv" && tiers.mixed == "io_uring";
    if !best {
        println!("skipped: this machine has {tiers:?}");
    }
    best
}

#[test]
fn without_io_uring() {
    if wait::tiers().objects == "futex_waitv" {
        denied(&[RING], "futex_waitv, helper thread");
    }
}

#[test]
fn without_futex_waitv() {
    if best() {
        denied(&[WAITV], "io_uring, io_uring");
    }
}

#[test]
fn without_both() {
    denied(&[RING, WAITV], "slices, slices");
}

#[test]
fn without_both_and_pidfds() {
    denied(&[RING, WAITV, PIDFD], "slices, slices");
}

#[test]
fn without_pidfds() {
    let tiers = wait::tiers();
    denied(&[PIDFD], &format!("{}, {}", tiers.objects, tiers.mixed));
}

/// In a mount namespace of its own, with an empty file system over /proc; and the same with
/// everything else taken away too.
#[test]
fn without_proc() {
    let mut probe = Command::new("unshare");
    probe.args(["-m", "mount", "-t", "tmpfs", "none", "/proc"]);
    match probe.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            return println!("skipped: no mount namespace here: {}", why.trim());
        }
        Err(error) => return println!("skipped: unshare(1): {error}"),
    }
    let exe = std::env::current_exe().unwrap();
    for calls in [&[][..], &[RING, WAITV, PIDFD]] {
        let role = start(calls, Errno::NOSYS, "gone");
        let mut hidden = Command::new("unshare");
        let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        hidden
            .args(["-m", "sh", "-c", script])
            .arg(&exe)
            .args(role.get_args());
        let variables = role
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        hidden.envs(variables).env("STRAIT_TEST_EXE", &exe);
        hidden.stdin(std::process::Stdio::piped());
        hidden.stdout(std::process::Stdio::piped());
        let (_, failed) = outcome(Peer::of(&mut hidden));
        assert!(failed.is_empty(), "without {calls:?}: {failed:#?}");
    }
}
