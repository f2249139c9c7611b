//! Global and Local: refused if they are not what they must be, and what the dead leave there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use strait::nt::Event;
use strait::{Birth, Error, ErrorKind, Namespace, Security};

use super::access::{OTHER, OWNER, denied, held_true, user};
use crate::peer::{say, told};
use crate::world::{GUARD, no_users, on_fresh_shm, refused, skip};

#[test]
fn global_names_and_what_the_dead_leave_there() {
    if let Some(why) = no_users() {
        return skip("global_names_and_what_the_dead_leave_there", why);
    }
    let test = "global_names_and_what_the_dead_leave_there";
    on_fresh_shm(test, "16m", "global.stage");
}

/// On a fresh `/dev/shm`, as root.
pub(crate) fn stage(_: &[String]) {
    let at = Path::new("/dev/shm/strait");
    let error = refused(Namespace::global(), ErrorKind::NotFound);
    assert!(error.to_string().contains("doctor"), "{error}");
    refused(
        Event::options().name(r"Global\x").create(),
        ErrorKind::NotFound,
    );
    // Made by somebody who would own everybody's names.
    fs::create_dir(at).unwrap();
    fs::set_permissions(at, PermissionsExt::from_mode(0o1777)).unwrap();
    chown(at, Some(OWNER), Some(OWNER)).unwrap();
    for uid in [0, OWNER, OTHER] {
        held_true(user("global.refused", uid, uid, &[&format!("uid {OWNER}")]));
    }
    chown(at, Some(0), Some(0)).unwrap();
    fs::set_permissions(at, PermissionsExt::from_mode(0o777)).unwrap();
    held_true(user("global.refused", OTHER, OTHER, &["not sticky"]));
    fs::remove_dir(at).unwrap();
    let space = Namespace::make_global().unwrap();
    let mode = fs::metadata(at).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1777, "the umask does not apply");
    // Two users meet, and one of them dies.
    let mut dead = user("global.dying", OWNER, OWNER, &[]);
    assert_eq!(dead.hear().as_deref(), Some("born"));
    held_true(user("global.neighbour", OTHER, OTHER, &[]));
    dead.kill();
    let mut heir = user("global.heir", OTHER, OTHER, &[]);
    assert_eq!(heir.hear().as_deref(), Some("reborn"));
    // The dead one's user comes back and finds what was reborn, with its new content.
    held_true(user("global.returned", OWNER, OWNER, &[]));
    held_true(heir);
    assert!(at.join("oleft").exists(), "the heir may not remove it");
    refused(space.event("left").open(), ErrorKind::NotFound);
    assert!(!at.join("oleft").exists(), "root may");
    held_true(user("global.own", OTHER, OTHER, &[]));
}

/// Global is refused for the reason `args[0]`.
pub(crate) fn refused_global(args: &[String]) {
    let error = denied(Namespace::global());
    assert!(error.to_string().contains(&args[0]), "{error}");
    assert!(error.to_string().contains("/dev/shm/strait"), "{error}");
    denied(Event::options().name(r"Global\x").create());
}

fn of_all() -> Security {
    Security::private().mode(0o666)
}

/// Leaves an event for all, a section for all and an event of its own in Global.
pub(crate) fn dying(_: &[String]) {
    let space = Namespace::global().unwrap();
    let left = space.event("left").security(of_all()).set().create();
    let section = space.section("section", 1).security(of_all()).create();
    let private = space.event("private").create();
    say("born");
    told();
    drop((left.unwrap(), section.unwrap(), private.unwrap()));
}

/// Uses what another user made for all.
pub(crate) fn neighbour(_: &[String]) {
    let left = Event::options().name(r"Global\left").open().unwrap();
    assert!(left.query().unwrap().set);
    // Local and Global are two spaces, whichever way round they are reached.
    let local = Event::options().name("left").create().unwrap();
    assert!(!local.is_same(&left));
    let global = Namespace::global().unwrap();
    assert!(global.event("left").open().unwrap().is_same(&left));
    assert!(global.event(r"Local\left").open().unwrap().is_same(&local));
    denied(global.event("private").open());
}

/// Finds leftovers of a user who is not root and not this one, in a sticky directory.
pub(crate) fn heir(_: &[String]) {
    let space = Namespace::global().unwrap();
    let whose = format!("uid {OWNER}");
    let naming = |error: Error| assert!(error.to_string().contains(&whose), "{error}");
    for name in ["left", "section"] {
        refused(space.event(name).open(), ErrorKind::NotFound);
    }
    // It would be another's, or have another mode, than was asked for.
    naming(denied(space.event("left").create()));
    naming(denied(space.event("left").security(of_all()).create()));
    let narrow = Security::private().owner(OWNER);
    naming(denied(space.event("left").security(narrow).create()));
    // Old views of a section could still show what its next life writes.
    let section = space.section("section", 1);
    naming(denied(section.security(of_all().owner(OWNER)).create()));
    naming(denied(space.event("private").create()));
    let reborn = space.event("left").security(of_all().owner(OWNER));
    let (reborn, birth) = reborn.create_or_open().unwrap();
    assert_eq!(birth, Birth::Created);
    assert!(!reborn.query().unwrap().set, "born anew");
    assert!(!reborn.set().unwrap());
    let inode = fs::metadata("/dev/shm/strait/oleft").unwrap();
    assert_eq!(inode.uid(), OWNER, "in place");
    say("reborn");
    told();
    drop(reborn);
    refused(space.event("left").open(), ErrorKind::NotFound);
}

/// The dead one's user, again.
pub(crate) fn returned(_: &[String]) {
    let space = Namespace::global().unwrap();
    let (left, birth) = space.event("left").create_or_open().unwrap();
    assert_eq!(birth, Birth::Opened);
    assert!(left.wait_for(GUARD).unwrap());
    // His own leftovers are no obstacle.
    let private = space.event("private").create_or_open().unwrap();
    assert_eq!(private.1, Birth::Created);
}

/// The user's own namespace is refused if it is not his alone.
pub(crate) fn own(_: &[String]) {
    let uid = OTHER;
    let at = PathBuf::from(format!("/dev/shm/strait-{uid}"));
    let space = Namespace::local().unwrap();
    assert_eq!(space.path(), at);
    assert_eq!(fs::metadata(&at).unwrap().mode() & 0o7777, 0o700);
    drop(space);
    for mode in [0o701, 0o710, 0o755, 0o1777] {
        fs::set_permissions(&at, PermissionsExt::from_mode(mode)).unwrap();
        let error = denied(Namespace::local());
        assert!(error.to_string().contains("lets others in"), "{error}");
        denied(Namespace::temporary());
        denied(Event::options().name("x").create());
    }
    fs::remove_dir_all(&at).unwrap();
    symlink("/tmp", &at).unwrap();
    refused(Namespace::local(), ErrorKind::InvalidInput);
    fs::remove_file(&at).unwrap();
    fs::write(&at, "").unwrap();
    refused(Namespace::local(), ErrorKind::InvalidInput);
    fs::remove_file(&at).unwrap();
    assert!(Namespace::local().is_ok());
}
