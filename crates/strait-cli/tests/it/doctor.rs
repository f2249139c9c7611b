//! `strait doctor`: what it finds, and what `--fix` mends.
//!
//! Where the machine itself must be changed the test runs in a mount namespace of its own, which
//! takes root; without that such a test says so and passes.

use std::process::Command;

use crate::world::{Ran, STRAIT, World};

/// Runs a script of sh(1) with a /dev/shm and a /run/user of its own. `None`: not permitted.
fn apart(script: &str) -> Option<Ran> {
    let mounted = "mount -t tmpfs -o mode=1777 none /dev/shm && mount -t tmpfs none /run/user";
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .env("STRAIT", STRAIT);
        command.output()
    };
    if !run(mounted).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no permission for a mount namespace");
        return None;
    }
    Some(Ran::of(run(&format!("{mounted} && {script}")).unwrap()))
}

#[test]
fn it_tells_of_waits_names_and_limits() {
    let world = World::new();
    let text = world.good("doctor");
    let queues = strait::unix::msg::limits().unwrap().queues;
    let system_v = format!(" of {queues} message queues, with ");
    for topic in [
        "waits ",
        "names ",
        "limits ",
        "System V: ",
        &*system_v,
        " semaphore sets, with ",
        " shared memory segments, with ",
        "POSIX queues: ",
        "may be queued",
    ] {
        assert!(text.contains(topic), "{text}");
    }
    let found: serde_json::Value = serde_json::from_str(&world.good("doctor --json")).unwrap();
    assert_eq!(found["problems"], 0);
    let findings = found["findings"].as_array().unwrap();
    assert!(findings.iter().any(|found| found["topic"] == "waits"));
}

/// In an IPC namespace of its own, where /dev/mqueue is at first what the machine's is.
#[test]
fn what_the_kernel_keeps_is_counted_and_listed() {
    let script = r"
        umount -q /dev/mqueue; mkdir -p /dev/mqueue
        $STRAIT doctor | grep -q '/dev/mqueue is not mounted' || exit 10
        $STRAIT doctor | grep -qF -- '-> `sudo mkdir -p /dev/mqueue' || exit 11
        $STRAIT ls mqueue 2>&1 | grep -q 'mount -t mqueue' || exit 12
        mount -t mqueue none /dev/mqueue || exit 13
        $STRAIT mqueue create /jobs || exit 14
        $STRAIT doctor | grep -q 'POSIX queues: 1 of [0-9]* (/dev/mqueue' || exit 15
        $STRAIT ls | grep -q '^mqueue *.jobs *- *uid 0, gid 0, mode 0600 *0 of 10 messages$' || exit 16
        echo 2 >/proc/sys/kernel/msgmni
        $STRAIT doctor | grep -q ' 0 of 2 message queues, with 0 messages' || exit 17
        $STRAIT msg create 0x5100 && $STRAIT msg create private && $STRAIT msg send 0x5100 tea
        $STRAIT doctor | grep -q 'warning: System V: 2 of 2 message queues, with 1 mess' || exit 18
        $STRAIT doctor | grep -qF -- '-> `strait ls msg` shows them' || exit 19
        $STRAIT ls | grep -q '^msg *0x00005100 .* 1 message, 3 of 16384 bytes$' || exit 20
        $STRAIT msg create 0x5101 2>&1 | grep -q kernel.msgmni || exit 21";
    let inner = format!("unshare --ipc sh -c '{}'", script.replace('\'', r"'\''"));
    if let Some(ran) = apart(&inner) {
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }
}

#[test]
fn strangers_are_a_warning() {
    let world = World::new();
    std::fs::write(world.space.path().join("ojunk"), b"junk").unwrap();
    let found: serde_json::Value = serde_json::from_str(&world.good("doctor --json")).unwrap();
    assert_eq!(
        (&found["problems"], &found["warnings"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn global_is_made_and_mended() {
    let script = r"
        $STRAIT doctor | grep -q 'names cannot be used' || exit 10
        $STRAIT event create 'Global\e' && exit 11
        $STRAIT doctor --fix | grep -q 'made /dev/shm/strait' || exit 12
        $STRAIT event create 'Global\e' || exit 13
        $STRAIT ls | grep -qF 'Global\e' || exit 14
        chmod 777 /dev/shm/strait && $STRAIT doctor >/dev/null && exit 15
        chown 12345 /dev/shm/strait && chmod 1777 /dev/shm/strait
        $STRAIT doctor | grep -q 'WRONG: /dev/shm/strait: it belongs to uid 12345' || exit 16
        $STRAIT doctor --fix >/dev/null || exit 17
        $STRAIT event set 'Global\e' || exit 18
        $STRAIT event query 'Global\nosuch' 2>&1 | grep -qF 'named Global\nosuch (1 event' || exit 19
        test $(stat -c %u:%a /dev/shm/strait) = 0:1777";
    if let Some(ran) = apart(script) {
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }
}

#[test]
fn other_users_may_look_as_far_as_modes_allow() {
    let script = r"
        $STRAIT doctor --fix >/dev/null || exit 10
        $STRAIT event create 'Global\open' --manual --look-waits --mode 0644 || exit 11
        $STRAIT event create 'Global\shut' || exit 12
        other() { setpriv --reuid 12345 --regid 12345 --clear-groups $STRAIT $*; }
        other ls | grep -F 'Global\open' | grep -q 'reset, manual' || exit 13
        other ls | grep -F oshut | grep -q 'denied: it is uid 0.s, mode 0600' || exit 14
        other event set 'Global\open' 2>&1 | grep -q denied || exit 15
        other event wait 'Global\open' --timeout 1ms; test $? = 124 || exit 16
        other wait 'event:Global\shut' --timeout 1ms; test $? = 125 || exit 17
        $STRAIT event set 'Global\open'
        other wait 'event:Global\open' || exit 18";
    if let Some(ran) = apart(script) {
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }
}

#[test]
fn two_places_for_local_names_are_a_warning() {
    let script = r"
        $STRAIT event create one && mkdir -m 700 /run/user/$(id -u) || exit 10
        $STRAIT doctor | grep -q 'do not meet' && exit 11
        $STRAIT event create two || exit 12
        $STRAIT doctor | grep -q 'warning: objects lie in .* do not meet' || exit 13
        chmod 711 /run/user/$(id -u)/strait
        $STRAIT doctor | grep -q 'WRONG: .* lets others in (mode 0711)' || exit 14
        $STRAIT event set two 2>&1 | grep -q 'lets others in'";
    if let Some(ran) = apart(script) {
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }
}
