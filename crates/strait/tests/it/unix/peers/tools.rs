//! ipcs(1), ipcrm(1) and ipcmk(1): they see what we make and remove it, and we see what they make.

use std::process::Command;

use strait::ErrorKind;
use strait::unix::msg::{self, Queue};
use strait::unix::sem::{self, Set};
use strait::unix::shm::{self, Read, Segment, Write};

use super::{Swept, lacking};
use crate::peer::Peer;
use crate::unix::msg::until_blocked;
use crate::world::{alone, refused, skip, until};

/// What one of the programs prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the line of `ipcs` that has this id in its second column.
fn listed(option: &str, id: i32) -> Option<Vec<String>> {
    let id = id.to_string();
    let printed = run("ipcs", &[option]);
    let mut lines = printed.lines().map(|line| line.split_whitespace());
    let line = lines.find(|words| words.clone().nth(1) == Some(&id))?;
    Some(line.map(str::to_owned).collect())
}

#[test]
fn ipcs_shows_what_we_make() {
    alone("unix::peers::tools::ipcs_shows_what_we_make", || {
        if let Some(why) = lacking(&["ipcs"]) {
            return skip("ipcs_shows_what_we_make", why);
        }
        // One key: the three kinds know nothing of each other.
        let swept = Swept::new();
        let key = format!("0x{:08x}", swept.0.number());
        let shown = |option, id| {
            let mut words = listed(option, id).unwrap();
            assert_eq!(words.remove(0), key);
            words.split_off(2)
        };
        let queue = Queue::create(swept.0, 0o620).unwrap();
        queue.send(1, b"12345").unwrap();
        queue.send(1, b"").unwrap();
        assert_eq!(shown("-q", queue.id()), ["620", "5", "2"]);
        let set = Set::create_with(swept.0, &[1, 2, 3], 0o644).unwrap();
        assert_eq!(shown("-s", set.id()), ["644", "3"]);
        let segment = Segment::create(swept.0, 12_345, 0o600).unwrap();
        let view = segment.attach::<Write>().unwrap();
        assert_eq!(shown("-m", segment.id()), ["600", "12345", "1"]);
        segment.remove().unwrap();
        let going = listed("-m", segment.id()).unwrap();
        assert_eq!((&*going[0], &*going[6]), ("0x00000000", "dest"));
        drop(view);
        queue.remove().unwrap();
        set.remove().unwrap();
        let left = [("-q", queue.id()), ("-s", set.id()), ("-m", segment.id())];
        assert!(
            left.iter()
                .all(|(option, id)| listed(option, *id).is_none())
        );
    });
}

#[test]
fn what_ipcrm_removes_is_said_to_be_removed() {
    alone(
        "unix::peers::tools::what_ipcrm_removes_is_said_to_be_removed",
        || {
            if let Some(why) = lacking(&["ipcrm"]) {
                return skip("what_ipcrm_removes_is_said_to_be_removed", why);
            }
            let swept = Swept::new();
            let key = swept.0.number().to_string();

            let queue = Queue::create(swept.0, 0o600).unwrap();
            let mut waiter = Peer::start("msg.worker", &[&queue.id().to_string()]);
            waiter.hear();
            waiter.tell("recv any");
            until_blocked(&waiter);
            run("ipcrm", &["-q", &queue.id().to_string()]);
            assert_eq!(waiter.hear().as_deref(), Some("Removed"));
            refused(queue.try_send(1, b"late"), ErrorKind::Removed);

            let set = Set::create_with(swept.0, &[0], 0o600).unwrap();
            let mut waiter = Peer::start("sem.worker", &[&set.id().to_string()]);
            waiter.hear();
            waiter.tell("op 0:-1");
            until("it waits", || set.semaphore(0).unwrap().takers == 1);
            run("ipcrm", &["-S", &key]);
            let told = waiter.hear().unwrap();
            assert!(told.starts_with("Removed"), "{told}");
            refused(set.value(0), ErrorKind::Removed);

            // Who has it attached goes on.
            let segment = Segment::create(swept.0, 4096, 0o600).unwrap();
            let view = segment.attach::<Write>().unwrap();
            run("ipcrm", &["-M", &key]);
            view.write(0, b"still here").unwrap();
            assert!(segment.stat().unwrap().removed);
            drop(view);
            refused(segment.attach::<Read>(), ErrorKind::Removed);
        },
    );
}

/// What ipcmk has made; it goes with the value.
struct Made(&'static str, i32);

impl Made {
    /// `kind` is the letter that all three programs know.
    fn by(kind: &'static str, arguments: &[&str]) -> Self {
        // It says: Message queue id: 17
        let said = run("ipcmk", arguments);
        Self(
            kind,
            said.rsplit(' ').next().unwrap().trim().parse().unwrap(),
        )
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // The test has removed it, unless it failed.
        let id = self.1.to_string();
        let _ = Command::new("ipcrm").args([self.0, &id]).output();
    }
}

#[test]
fn we_list_use_and_remove_what_ipcmk_makes() {
    alone(
        "unix::peers::tools::we_list_use_and_remove_what_ipcmk_makes",
        || {
            if let Some(why) = lacking(&["ipcmk", "ipcs", "ipcrm"]) {
                return skip("we_list_use_and_remove_what_ipcmk_makes", why);
            }
            let made = Made::by("-q", &["-Q", "-p", "0640"]);
            let found = msg::list()
                .unwrap()
                .into_iter()
                .find(|stat| stat.id == made.1);
            let found = found.unwrap();
            assert_eq!((found.permissions.mode, found.messages), (0o640, 0));
            let queue = Queue::open(found.key).unwrap();
            assert!(queue.try_send(2, b"to ourselves").unwrap());
            queue.remove().unwrap();
            assert_eq!(listed("-q", made.1), None);

            let made = Made::by("-s", &["-S", "7", "-p", "0604"]);
            let found = sem::list()
                .unwrap()
                .into_iter()
                .find(|stat| stat.id == made.1);
            let found = found.unwrap();
            assert_eq!((found.permissions.mode, found.count), (0o604, 7));
            let set = Set::open(found.key).unwrap();
            assert!(set.try_op(&[sem::up(6)]).unwrap());
            set.remove().unwrap();
            assert_eq!(listed("-s", made.1), None);

            let made = Made::by("-m", &["-M", "54321"]);
            let found = shm::list()
                .unwrap()
                .into_iter()
                .find(|stat| stat.id == made.1);
            let found = found.unwrap();
            assert_eq!((found.permissions.mode, found.size), (0o644, 54_321));
            let segment = Segment::open(found.key).unwrap();
            segment
                .attach::<Write>()
                .unwrap()
                .write(54_320, b"!")
                .unwrap();
            segment.remove().unwrap();
            assert_eq!(listed("-m", made.1), None);
        },
    );
}
