//! A leftover in a sticky directory, which only another user could remove, is given new content in
//! its place. This is the one path on which a name is written to while it exists.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strait::{Namespace, Security};

use crate::death::victim::put_leftover;
use crate::death::watch::{Fate, STUCK, fate, go_on, hear_within, pid_of, setting};
use crate::peer::{Peer, command};
use crate::world::{USERS, as_user, no_users, skip};

/// A directory like Global's, which goes with the test.
struct Sticky(PathBuf);

impl Sticky {
    fn new() -> Self {
        let path = PathBuf::from(format!("/dev/shm/strait-reborn-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        Self(path)
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(role: &str, path: &Path) -> Peer {
    let mut command = command(role, &[path.to_str().unwrap()]);
    let mut peer = Peer::of(as_user(&mut command, USERS[0]));
    assert_eq!(hear_within(&mut peer, STUCK).as_deref(), Some("ready"));
    peer
}

fn ask(survivor: &mut Peer) -> String {
    survivor.tell("reborn");
    hear_within(survivor, STUCK).expect("the survivor is stuck, or died")
}

#[test]
fn a_leftover_reborn_in_its_place_survives_who_does_it() {
    if let Some(why) = no_users() {
        return skip("reborn", why);
    }
    let hits = setting("STRAIT_DEATH_HITS", 10);
    let sticky = Sticky::new();
    let space = Namespace::directory(&sticky.0).unwrap();
    let file = sticky.0.join("oreborn");
    let security = Security::private().mode(0o666).owner(USERS[1]);
    let mut survivor = start("death.survivor", &sticky.0);
    for point in ["name.reborn", "name.filled"] {
        for round in 0..hits {
            for signal in ["KILL", "STOP"] {
                put_leftover(&space, "reborn", &file, security);
                let mut victim = start("death.victim", &sticky.0);
                let nth = 1 + round % 5;
                victim.tell(&format!("reborn {point} {nth} {signal}"));
                let how = fate(pid_of(&victim));
                assert_ne!(how, Fate::Exited, "{point}: never hit");
                if how == Fate::Stopped {
                    assert_eq!(ask(&mut survivor), "busy", "{point}: it is in transition");
                    go_on(pid_of(&victim));
                    let said = hear_within(&mut victim, STUCK);
                    assert_eq!(said.as_deref(), Some("done"), "{point}, continued");
                }
                assert_eq!(ask(&mut survivor), "ok", "{point} {signal}");
            }
        }
        println!("{point}: {hits} kills, {hits} stops");
    }
}
