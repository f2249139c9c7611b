//! Children: how they start, what is learnt of their end, and pipelines of them.

use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpgid, waitid};
use strait::nt::Event;
use strait::unix::process::{self, Child, Options, Pipeline};
use strait::unix::signal::{self, Mask, Signal};
use strait::wait::{self, Process};
use strait::{ErrorKind, Pass};

use crate::peer::{Role, command};
use crate::waits::beside;
use crate::world::{GUARD, alone, refused};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[("process.inheritor", inheritor)];

const ZERO: Duration = Duration::ZERO;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Runs until its input is closed.
fn cat() -> Child {
    process::start(Command::new("cat").stdin(Stdio::piped())).unwrap()
}

fn ended(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn killed(signal: i32) -> ExitStatus {
    ExitStatus::from_raw(signal)
}

// ---- one child -----------------------------------------------------------------------------

#[test]
fn children_start_with_nothing_blocked_and_nothing_ignored() {
    let _blocked = Mask::block([Signal::TERM, Signal::USR1]).unwrap();
    let unused = Signal::realtime(22).unwrap();
    let _ignored = signal::ignore(unused).unwrap();
    assert!(
        signal::look(std::process::id())
            .unwrap()
            .ignored
            .contains(Signal::PIPE)
    );
    let mut child = cat();
    let look = signal::look(child.id()).unwrap();
    assert!(look.blocked.is_empty(), "blocked: {:?}", look.blocked);
    assert!(look.ignored.is_empty(), "ignored: {:?}", look.ignored);
    child.wait().unwrap();
    let other = Options::new().ignore([Signal::HUP]).block([Signal::USR2]);
    let mut child = other
        .start(Command::new("cat").stdin(Stdio::piped()))
        .unwrap();
    let look = signal::look(child.id()).unwrap();
    assert_eq!(look.ignored, signal::Set::new([Signal::HUP]));
    assert_eq!(look.blocked, signal::Set::new([Signal::USR2]));
    child.wait().unwrap();
}

#[test]
fn a_status_says_the_code_or_the_signal() {
    let mut child = process::start(&mut sh("exit 7")).unwrap();
    assert_eq!(child.wait().unwrap(), ended(7));
    assert_eq!(child.wait().unwrap(), ended(7), "it is kept");
    let mut child = cat();
    assert_eq!(
        (child.peek().unwrap(), child.try_wait().unwrap()),
        (None, None)
    );
    child.signal(Signal::TERM).unwrap();
    wait::any_for(&[&child], GUARD).unwrap().unwrap();
    assert_eq!(child.peek().unwrap(), Some(killed(15)));
    assert_eq!(child.peek().unwrap(), Some(killed(15)), "it was left");
    assert_eq!(child.wait_for(GUARD).unwrap(), Some(killed(15)));
    refused(child.signal(Signal::TERM), ErrorKind::PeerGone);
    assert!(wait::any_for(&[&child], ZERO).unwrap().is_some());
    // A core is dumped where the limits allow it: the signal is told either way.
    let mut child = process::start(&mut sh("kill -QUIT $$")).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(3));
}

#[test]
fn the_pidfd_is_the_childs() {
    let mut child = cat();
    let number = child.pidfd().unwrap().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let line = format!("Pid:\t{}\n", child.id());
    assert!(info.contains(&line), "{info}");
    assert_eq!(
        child.wait_for(GUARD).unwrap(),
        Some(ended(0)),
        "its input was closed"
    );
}

#[test]
fn a_command_starts_again_and_keeps_nothing_of_the_first_time() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let mut first = Options::new()
        .ignore([Signal::HUP])
        .new_group()
        .start(&mut command)
        .unwrap();
    let mut second = process::start(&mut command).unwrap();
    assert_ne!(first.id(), second.id());
    assert!(signal::look(second.id()).unwrap().ignored.is_empty());
    let group = |child: &Child| {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        getpgid(pid).unwrap()
    };
    assert_eq!(
        group(&first).as_raw_nonzero().get().unsigned_abs(),
        first.id()
    );
    assert_eq!(group(&second), getpgid(None).unwrap());
    first.kill().unwrap();
    assert_eq!(first.wait().unwrap(), killed(9));
    assert_eq!(second.try_wait().unwrap(), None);
    assert_eq!(second.wait().unwrap(), ended(0));
}

#[test]
fn a_command_that_starts_often_keeps_no_descriptor() {
    alone(
        "unix::process::a_command_that_starts_often_keeps_no_descriptor",
        || {
            let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let mut command = Command::new("true");
            let before = open();
            for _ in 0..8 {
                assert_eq!(
                    process::start(&mut command).unwrap().wait().unwrap(),
                    ended(0)
                );
            }
            assert_eq!(open(), before);
        },
    );
}

#[test]
fn handles_are_passed_to_it() {
    let event = Event::options().shared().create().unwrap();
    let mut heir = command("process.inheritor", &[]);
    heir.pass("event", &event).unwrap();
    let mut child = process::start(&mut heir).unwrap();
    assert!(child.wait_for(GUARD).unwrap().unwrap().success());
    assert!(event.query().unwrap().set);
}

/// Sets the event that it was passed.
fn inheritor(_: &[String]) {
    strait::inherited::<Event>("event").unwrap().set().unwrap();
}

#[test]
fn a_program_that_cannot_run_is_named() {
    let error = refused(
        process::start(&mut Command::new("/no/such")),
        ErrorKind::NotFound,
    );
    assert_eq!(error.subject(), "/no/such");
    let error = refused(process::start(&mut Command::new("/etc")), ErrorKind::Denied);
    assert_eq!(error.operation(), "start process");
    refused(
        process::start(&mut Command::new("a\0b")),
        ErrorKind::InvalidInput,
    );
    let kill = Options::new().ignore([Signal::KILL]);
    refused(
        kill.start(&mut Command::new("true")),
        ErrorKind::InvalidInput,
    );
}

#[test]
fn a_status_that_somebody_else_took_is_missed() {
    let mut child = process::start(&mut Command::new("true")).unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
    let error = refused(child.wait(), ErrorKind::PeerGone);
    assert!(error.why().contains("another wait"), "{error}");
}

#[test]
fn an_ignored_sigchld_is_explained() {
    alone("unix::process::an_ignored_sigchld_is_explained", || {
        let mut early = cat();
        let ignored = signal::ignore(Signal::CHLD).unwrap();
        let error = refused(
            process::start(&mut Command::new("true")),
            ErrorKind::Unsupported,
        );
        assert!(error.why().contains("SIGCHLD"), "{error}");
        let error = refused(early.wait(), ErrorKind::PeerGone);
        assert!(error.why().contains("SIGCHLD"), "{error}");
        drop(ignored);
        assert_eq!(cat().wait().unwrap(), ended(0));
    });
}

#[test]
fn much_output_on_both_streams_does_not_block() {
    // Far more than a pipe holds, on both, one after the other.
    let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; cat | wc -c >&2";
    let mut command = sh(script);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = vec![7; 300_000];
    let mut child = process::start(&mut command).unwrap();
    let output = child.communicate(&input, 1_000_100).unwrap();
    assert_eq!(output.status, ended(0));
    assert_eq!(
        (output.stdout.bytes.len(), output.stdout.truncated),
        (1_000_000, false)
    );
    assert_eq!(
        output.stderr.bytes.trim_ascii_end().last_chunk(),
        Some(b"300000")
    );
    let mut child = process::start(&mut command).unwrap();
    let output = child.communicate(&input, 10).unwrap();
    assert_eq!(
        (output.stdout.bytes.len(), output.stdout.truncated),
        (10, true)
    );
    assert_eq!(
        (output.stderr.bytes.len(), output.stderr.truncated),
        (10, true)
    );
    // It reads nothing, which is its own affair.
    let mut deaf = process::start(Command::new("true").stdin(Stdio::piped())).unwrap();
    assert_eq!(deaf.communicate(&input, 0).unwrap().status, ended(0));
    let mut slow = cat();
    slow.stdout = None;
    slow.signal(Signal::STOP).unwrap();
    let stuck = slow
        .communicate_for(&input, 0, Duration::from_millis(1))
        .unwrap();
    assert!(stuck.is_none(), "it is stopped");
    slow.kill().unwrap();
    assert_eq!(slow.wait().unwrap(), killed(9));
}

#[test]
fn a_child_that_is_never_silent_runs_out_of_time() {
    let limit = Duration::from_millis(50);
    let killing = Options::new().kill_on_drop();
    let mut yes = killing
        .start(Command::new("yes").stdout(Stdio::piped()))
        .unwrap();
    assert!(yes.communicate_for(b"", 10, limit).unwrap().is_none());
    let mut ending = Command::new("yes");
    ending.stdout(Stdio::piped());
    let row = Pipeline::new([Command::new("true"), ending]);
    let mut row = row.options(killing).start().unwrap();
    assert!(row.communicate_for(b"", 10, limit).unwrap().is_none());
}

#[test]
fn a_child_that_is_dropped_runs_on_or_not() {
    let child = cat();
    let input = process::start(Command::new("cat").stdin(Stdio::piped()))
        .unwrap()
        .stdin
        .take();
    let process = Process::open(child.id()).unwrap();
    let mut child = child;
    let held = child.stdin.take();
    drop(child);
    assert!(
        wait::any_for(&[&process], ZERO).unwrap().is_none(),
        "it runs on"
    );
    drop((held, input));
    wait::any_for(&[&process], GUARD).unwrap().unwrap();
    let killing = Options::new().kill_on_drop();
    let child = killing
        .start(Command::new("cat").stdin(Stdio::piped()))
        .unwrap();
    let pid = child.id();
    drop(child);
    refused(signal::probe(pid), ErrorKind::PeerGone);
}

// ---- pipelines -----------------------------------------------------------------------------

#[test]
fn a_pipeline_tells_every_status() {
    let stages = [
        sh("echo text; exit 3"),
        Command::new("cat"),
        sh("cat >/dev/null; kill -9 $$"),
    ];
    let mut running = Pipeline::new(stages).start().unwrap();
    let statuses = running.wait().unwrap();
    assert_eq!(statuses.as_slice(), [ended(3), ended(0), killed(9)]);
    assert_eq!(statuses.pipefail(), killed(9));
    assert!(!statuses.success());
    let mut good = Pipeline::new([sh("exit 4"), sh("exit 5"), sh("exit 0")])
        .start()
        .unwrap();
    assert_eq!(good.wait_for(GUARD).unwrap().unwrap().pipefail(), ended(5));
    let mut good = Pipeline::new([Command::new("true")]).start().unwrap();
    let statuses = good.wait().unwrap();
    assert!(statuses.success() && statuses.pipefail() == ended(0));
    refused(Pipeline::new([]).start(), ErrorKind::InvalidInput);
}

#[test]
fn a_pipeline_is_fed_and_read_at_once() {
    let noisy = || {
        let mut stage = sh("head -c 200000 /dev/zero >&2; exec cat");
        stage
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        stage
    };
    let input: Vec<u8> = (0..=255).cycle().take(500_000).collect();
    let mut running = Pipeline::new([noisy(), noisy(), noisy()]).start().unwrap();
    let output = running.communicate(&input, 500_000).unwrap();
    assert!(output.statuses.success());
    assert!(output.stdout.bytes == input && !output.stdout.truncated);
    assert_eq!(output.stderr.len(), 3);
    assert!(
        output
            .stderr
            .iter()
            .all(|stream| stream.bytes.len() == 200_000)
    );
}

#[test]
fn one_stage_that_is_killed_ends_the_others() {
    let mut last = Command::new("cat");
    last.stdout(Stdio::piped());
    // `yes` ends by SIGPIPE, which this process ignores.
    let stages = [Command::new("yes"), Command::new("cat"), last];
    let mut running = Pipeline::new(stages).start().unwrap();
    running.children()[1].kill().unwrap();
    let output = running.communicate_for(b"", 100, GUARD).unwrap().unwrap();
    assert_eq!(
        output.statuses.as_slice(),
        [killed(13), killed(9), ended(0)]
    );
}

#[test]
fn a_stage_that_cannot_run_ends_those_before() {
    let mut first = sh("echo $$; exec cat");
    let (reader, writer) = std::io::pipe().unwrap();
    let (_input, silent) = {
        let (silent, input) = std::io::pipe().unwrap();
        (input, silent)
    };
    first.stdin(silent).stderr(writer);
    let stages = [first, Command::new("/no/such")];
    let error = refused(Pipeline::new(stages).start(), ErrorKind::NotFound);
    assert_eq!(error.subject(), "/no/such");
    // The end of the last writer: nobody is left.
    assert_eq!(std::io::read_to_string(reader).unwrap(), "");
}

#[test]
fn a_group_is_signalled_and_dropped_as_a_whole() {
    // A grandchild, which holds the other end of nothing but this pipe.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut first = sh("sleep 1000 & echo $! >&2; exec cat");
    first.stdin(Stdio::piped()).stderr(writer);
    let options = Options::new().new_group().kill_on_drop();
    let stages = [first, Command::new("cat"), Command::new("cat")];
    let mut running = Pipeline::new(stages).options(options).start().unwrap();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    let grandchild = Process::open(line.trim().parse().unwrap()).unwrap();
    let leader = running.children()[0].id();
    for child in running.children() {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let group = rustix::process::getpgid(Some(pid)).unwrap();
        assert_eq!(group.as_raw_nonzero().get().unsigned_abs(), leader);
    }
    running.signal(Signal::CONT).unwrap();
    assert!(wait::any_for(&[&grandchild], ZERO).unwrap().is_none());
    drop(running);
    wait::any_for(&[&grandchild], GUARD)
        .unwrap()
        .expect("it was of the group");
}

// ---- in a wait, for every tier -------------------------------------------------------------

/// A child ends while a wait for it and an event sleeps.
pub(crate) fn a_childs_end_wakes_a_wait_with_an_event() {
    let event = Event::options().create().unwrap();
    let mut child = cat();
    let input = child.stdin.take();
    let won = beside(
        || wait::any_for(&[&event, &child], GUARD).unwrap().unwrap(),
        |_| drop(input),
    );
    assert_eq!(won.index, 1);
    assert_eq!(
        child.try_wait().unwrap(),
        Some(ended(0)),
        "a wait leaves the status"
    );
    event.set().unwrap();
    let won = wait::any_for(&[&event, &child], GUARD).unwrap().unwrap();
    assert_eq!(won.index, 0);
}
