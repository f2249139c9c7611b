//! Truncated under those who use it, and stopped in the middle: told, or not noticed.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait::nt::{Event, Read, Reset, Semaphore, Write};
use strait::wait::{self, Set};
use strait::{ErrorKind, Namespace, Rights};

use crate::peer::{Peer, say};
use crate::world::{GUARD, refused, until};

/// The timeout of what must not happen.
const TIMEOUT: Duration = Duration::from_millis(4);

/// Cuts the file `args[1]` of the namespace to `args[2]` bytes.
pub(crate) fn cutter(args: &[String]) {
    let at = Path::new(&args[0]).join(&args[1]);
    let file = File::options().write(true).open(at).unwrap();
    file.set_len(args[2].parse().unwrap()).unwrap();
}

fn cut(space: &Namespace, file: &str, len: u64) {
    let (place, len) = (space.path().to_str().unwrap(), len.to_string());
    let cutter = Peer::start("broken.cutter", &[place, file, &len]);
    assert!(cutter.finish().success());
}

#[test]
fn a_section_truncated_under_a_view_is_broken() {
    let space = Namespace::temporary().unwrap();
    let file = space.path().join(".file");
    for (len, name) in [(0, "all"), (4096 + 8 * 4096, "half")] {
        fs::write(&file, [7; 16 * 4096]).unwrap();
        let own = space.section(name, 1 << 16).create().unwrap();
        let over = space.section(format!("{name}-file"), 0).file(&file);
        let over = over.create().unwrap();
        for (section, victim) in [(&own, format!("o{name}")), (&over, ".file".to_owned())] {
            let whole = section.map::<Write>().unwrap();
            let looks = section.map::<Read>().unwrap();
            whole.write(60_000, b"tea").unwrap();
            cut(&space, &victim, len);
            let mut bytes = [1; 8];
            for view in 0..2 {
                let error = match view {
                    0 => looks.read(60_000, &mut bytes),
                    _ => whole.write(60_000, &bytes),
                };
                let error = refused(error, ErrorKind::Broken);
                assert!(error.to_string().contains(name), "{error}");
            }
            refused(whole.word::<u64>(60_000), ErrorKind::Broken);
            refused(looks.word::<u32>(0), ErrorKind::Broken);
            refused(whole.read(0, &mut bytes), ErrorKind::Broken);
            // A new view meets the same file.
            let again = section.map::<Read>().unwrap();
            refused(again.read(60_000, &mut bytes), ErrorKind::Broken);
            // A word that was had before reads as nothing, and asking afterwards tells.
            let lone = section.map::<Read>().unwrap();
            assert_eq!(lone.word::<u64>(60_000).unwrap().load(Ordering::SeqCst), 0);
            refused(lone.word::<u64>(60_000), ErrorKind::Broken);
        }
        let error = refused(space.section(name, 0).open(), ErrorKind::Layout);
        assert!(error.to_string().contains(&format!("/{name}")), "{error}");
    }
}

#[test]
fn a_truncated_object_is_broken_for_all_who_use_it() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("x").create().unwrap();
    let looks = event.duplicate(Rights::LOOK).unwrap();
    let mutant = space.mutant("m").owned().create().unwrap();
    let whole = space.event("whole").create().unwrap();
    let set = Set::new().unwrap();
    set.add(&whole).unwrap();
    set.add(&event).unwrap();
    cut(&space, "ox", 0);
    cut(&space, "om", 0);
    // The thread behind the set looks at it too, and so does a foreign event loop.
    let mut fds = [rustix::event::PollFd::new(
        &set,
        rustix::event::PollFlags::IN,
    )];
    let guard = rustix::event::Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(rustix::event::poll(&mut fds, Some(&guard)).unwrap(), 1);
    refused(set.wait_for(GUARD), ErrorKind::Broken);
    for error in [
        refused(event.set(), ErrorKind::Broken),
        refused(event.pulse(), ErrorKind::Broken),
        refused(event.wait_for(TIMEOUT), ErrorKind::Broken),
        refused(event.wait(), ErrorKind::Broken),
        refused(event.query().map(drop), ErrorKind::Broken),
        refused(looks.query().map(drop), ErrorKind::Broken),
        refused(wait::any_for(&[&event, &whole], TIMEOUT), ErrorKind::Broken),
        refused(wait::all_for(&[&whole, &event], TIMEOUT), ErrorKind::Broken),
    ] {
        assert!(error.to_string().contains("/x"), "{error}");
        assert_eq!(error.win32(), 1392, "{error}");
    }
    assert!(mutant.release().is_err() && mutant.query().is_err());
    assert!(mutant.try_acquire().is_err());
    // The other goes on.
    assert!(!whole.set().unwrap() && whole.wait_for(GUARD).unwrap());
}

/// Sleeps on `x` until told or woken; says which.
pub(crate) fn sleeper(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event("x").open().unwrap();
    say("asleep");
    let result = event.wait_for(Duration::from_secs(1));
    say(result.map_or_else(|error| format!("{:?}", error.kind()), |won| won.to_string()));
}

#[test]
fn a_truncated_table_says_so_instead_of_losing_decisions() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("x").create().unwrap();
    let mut sleeper = Peer::start("broken.sleeper", &[space.path().to_str().unwrap()]);
    assert_eq!(sleeper.hear().as_deref(), Some("asleep"));
    let state = || fs::read(space.path().join("ox")).unwrap()[128];
    until("somebody sleeps", || state() & 2 != 0);
    let len = fs::metadata(space.path().join(".txn")).unwrap().len();
    cut(&space, ".txn", 0);
    let error = refused(event.set(), ErrorKind::Broken);
    assert!(error.to_string().contains("commit table"), "{error}");
    // Nothing was decided, and the sleeper comes back at its deadline at the latest.
    assert_eq!(sleeper.hear().as_deref(), Some("false"));
    let fresh = Namespace::directory(space.path()).unwrap();
    refused(fresh.event("x").open(), ErrorKind::Layout);
    // Grown again it is a table of nobody: not the one of these objects.
    cut(&space, ".txn", len);
    refused(fresh.event("x").open(), ErrorKind::Layout);
    refused(wait::all_for(&[&event], TIMEOUT), ErrorKind::Broken);
}

// ---- standing still ------------------------------------------------------------------------

/// Stops itself at the step `args[1]` of taking both semaphores, or of setting the event.
pub(crate) fn stopper(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let (a, b) = (
        space.semaphore("a", 0, 1).open(),
        space.semaphore("b", 0, 1).open(),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let event = space.event("e").open().unwrap();
    say("going");
    strait_sys::kill::arm(&args[1], 1, strait_sys::kill::Signal::Stop);
    if args[1].starts_with("all") {
        assert!(wait::all_for(&[&a, &b], GUARD).unwrap().is_some());
        say("won");
        a.release(1).unwrap();
        b.release(1).unwrap();
    } else {
        say(event.set().unwrap());
    }
    say("done");
}

struct Stage {
    space: Namespace,
    a: Semaphore,
    b: Semaphore,
    event: Event,
}

impl Stage {
    fn new() -> Self {
        let space = Namespace::temporary().unwrap();
        let event = space.event("e").reset(Reset::Manual).look_waits();
        Self {
            a: space.semaphore("a", 1, 1).create().unwrap(),
            b: space.semaphore("b", 1, 1).create().unwrap(),
            event: event.create().unwrap(),
            space,
        }
    }

    /// A peer that stands still there.
    fn stopped_at(&self, point: &str) -> Peer {
        let mut peer = Peer::start(
            "broken.stopper",
            &[self.space.path().to_str().unwrap(), point],
        );
        assert_eq!(peer.hear().as_deref(), Some("going"));
        let stat = format!("/proc/{}/stat", peer.child.id());
        until("it stops", || {
            let text = fs::read_to_string(&stat).unwrap();
            text.rsplit_once(") ").unwrap().1.starts_with('T')
        });
        peer
    }
}

fn go_on(peer: &Peer) {
    let pid = i32::try_from(peer.child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
}

#[test]
fn who_stops_before_the_decision_holds_nothing() {
    for point in ["all.marking", "all.marked"] {
        let stage = Stage::new();
        let mut peer = stage.stopped_at(point);
        assert_eq!(stage.a.query().unwrap().count, 1, "{point}");
        assert!(stage.a.wait_for(GUARD).unwrap(), "{point}");
        assert!(stage.b.wait_for(GUARD).unwrap(), "{point}");
        go_on(&peer);
        stage.a.release(1).unwrap();
        // Half of it is nothing.
        assert_eq!(stage.b.query().unwrap().count, 0);
        stage.b.release(1).unwrap();
        assert_eq!(peer.hear().as_deref(), Some("won"));
        assert_eq!(peer.hear().as_deref(), Some("done"));
        assert_eq!(
            stage.a.query().unwrap().count + stage.b.query().unwrap().count,
            2
        );
        // Likewise one that stops for ever.
        let mut peer = stage.stopped_at(point);
        assert!(
            wait::all_for(&[&stage.b, &stage.a], GUARD)
                .unwrap()
                .is_some()
        );
        peer.kill();
        assert_eq!(stage.a.release(1).unwrap() + stage.b.release(1).unwrap(), 0);
    }
}

#[test]
fn who_stops_after_the_decision_has_everything() {
    let stage = Stage::new();
    let mut peer = stage.stopped_at("all.committed");
    assert_eq!(
        stage.a.query().unwrap().count + stage.b.query().unwrap().count,
        0
    );
    assert!(!stage.a.wait_for(TIMEOUT).unwrap());
    let both: [&dyn wait::Waitable; 2] = [&stage.a, &stage.b];
    assert_eq!(wait::any_for(&both, TIMEOUT).unwrap(), None);
    go_on(&peer);
    assert_eq!(peer.hear().as_deref(), Some("won"));
    assert!(wait::all_for(&both, GUARD).unwrap().is_some());
    assert_eq!(peer.hear().as_deref(), Some("done"));
}

#[test]
fn who_stops_while_setting_delays_nobody() {
    let stage = Stage::new();
    let looks = stage.event.duplicate(Rights::LOOK).unwrap();
    let mut before = stage.stopped_at("signal.marked");
    assert!(!looks.query().unwrap().set && !stage.event.wait_for(TIMEOUT).unwrap());
    assert!(!looks.wait_for(TIMEOUT).unwrap());
    assert!(!stage.event.set().unwrap(), "the other has not decided");
    assert!(looks.wait_for(GUARD).unwrap());
    go_on(&before);
    assert_eq!(before.hear().as_deref(), Some("true"));
    assert!(stage.event.reset().unwrap());
    let mut after = stage.stopped_at("signal.woken");
    // It has decided: everybody sees it, also who can only look.
    assert!(looks.query().unwrap().set && looks.wait_for(GUARD).unwrap());
    assert!(stage.event.wait_for(GUARD).unwrap() && stage.event.reset().unwrap());
    go_on(&after);
    assert_eq!(after.hear().as_deref(), Some("false"));
    assert_eq!(after.hear().as_deref(), Some("done"));
    assert!(
        !stage.event.query().unwrap().set,
        "it does not set it a second time"
    );
}
