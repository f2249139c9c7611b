//! Tests of [`crate::kill`].

use rustix::process::{Pid, Signal as UnixSignal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{Role, this_test};
use crate::kill::{Signal, arm, disarm, hits, known, point};

const ENVIRONMENT: &str = "STRAIT_KILL";

#[test]
fn hits_are_counted_by_name() {
    for _ in 0..3 {
        point("counted: first");
    }
    point("counted: second");
    assert_eq!((hits("counted: first"), hits("counted: second")), (3, 1));
    assert_eq!(hits("counted: never"), 0);
    let known = known();
    assert_eq!(
        known
            .iter()
            .filter(|name| name.starts_with("counted: "))
            .count(),
        2
    );
}

#[test]
fn the_nth_hit_kills() {
    match Role::mine().as_deref() {
        None => {
            let kill = |text| Role::new(this_test!(), "env").env(ENVIRONMENT, text);
            kill("step:one:3:KILL").dies_of(libc::SIGKILL);
            kill("step:one:4:KILL").passes();
            kill("step:3:KILL").passes();
            Role::new(this_test!(), "arm").dies_of(libc::SIGKILL);
            Role::new(this_test!(), "disarm").passes();
            for text in [
                "step",
                "step:one",
                "step:KILL",
                "step:0:KILL",
                ":1:KILL",
                "a:1:TERM",
            ] {
                let status = kill(text).quiet().run();
                assert_eq!(status.code(), Some(101), "{text} is refused");
            }
        }
        Some(role) => {
            if role != "env" {
                point("step:one");
                arm("step:one", 3, Signal::Kill);
            }
            if role == "disarm" {
                disarm();
            }
            point("step:two");
            for _ in 0..3 {
                point("step:one");
            }
        }
    }
}

#[test]
fn a_stop_can_be_continued() {
    if Role::mine().is_some() {
        return point("stop");
    }
    let mut child = Role::new(this_test!(), "stops")
        .env(ENVIRONMENT, "stop:1:STOP")
        .start();
    let pid = Pid::from_child(&child);
    let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(pid), options).unwrap().unwrap();
    assert!(status.stopped(), "it stands still");
    kill_process(pid, UnixSignal::CONT).unwrap();
    assert!(child.wait().unwrap().success());
}
