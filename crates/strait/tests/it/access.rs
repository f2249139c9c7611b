//! Who may do what: denied by the kernel without permission, nothing modified with look rights.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strait::nt::{Event, EventPair, Mutant, Read, Reset, Section, Semaphore, Timer, Write};
use strait::{Birth, Error, ErrorKind, Namespace, Rights, Security, wait};

use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, Random, USERS, alone, as_member, no_users, on_fresh_shm, refused, skip};

const OWNER: u32 = USERS[0];
const OTHER: u32 = USERS[1];
/// A group of both.
const GROUP: u32 = 48_620;

#[track_caller]
fn denied<T>(result: strait::Result<T>) -> Error {
    let error = refused(result, ErrorKind::Denied);
    assert_eq!(error.win32(), 5, "{error}");
    error
}

/// A directory outside of anybody's own namespace, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, gid: u32, mode: u32) -> Self {
        let at = PathBuf::from(format!(
            "/dev/shm/strait-test-{name}-{}",
            std::process::id()
        ));
        fs::create_dir(&at).unwrap();
        chown(&at, Some(OWNER), Some(gid)).unwrap();
        // After the change of owner, which would clear the bits that are not permissions.
        fs::set_permissions(&at, PermissionsExt::from_mode(mode)).unwrap();
        Self(at)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn user(role: &str, uid: u32, gid: u32, arguments: &[&str]) -> Peer {
    Peer::of(as_member(&mut command(role, arguments), uid, gid))
}

/// Tells whether all that the peer asserted was true.
#[track_caller]
fn held_true(peer: Peer) {
    assert!(peer.finish().success(), "see above what the peer found");
}

// ---- one of each kind ----------------------------------------------------------------------

struct Zoo {
    manual: Event,
    plain: Event,
    bell: Event,
    auto: Event,
    pair: EventPair,
    mutant: Mutant,
    semaphore: Semaphore,
    section: Section,
    timer: Timer,
}

impl Zoo {
    fn born(space: &Namespace, security: Security) -> strait::Result<Self> {
        let manual = |name| space.event(name).security(security).reset(Reset::Manual);
        let zoo = Self {
            manual: manual("manual").look_waits().set().create()?,
            plain: manual("plain").create()?,
            bell: manual("bell").look_waits().create()?,
            auto: space.event("auto").security(security).set().create()?,
            pair: space.event_pair("pair").security(security).create()?,
            mutant: space.mutant("mutant").security(security).create()?,
            semaphore: space
                .semaphore("semaphore", 2, 4)
                .security(security)
                .create()?,
            section: space.section("section", 1).security(security).create()?,
            timer: space
                .timer("timer")
                .security(security)
                .reset(Reset::Manual)
                .create()?,
        };
        zoo.pair.set_low()?;
        zoo.timer.set(Duration::ZERO)?;
        assert!(zoo.timer.wait_for(GUARD)?);
        zoo.section.map::<Write>()?.write(0, b"untouched")?;
        Ok(zoo)
    }

    fn open(space: &Namespace, rights: Rights) -> Vec<strait::Result<Self>> {
        let one = |index: usize| -> strait::Result<Self> {
            // Each attempt leaves one out of look rights, so that each kind is asked.
            let r = |at: usize| if at == index { rights } else { Rights::LOOK };
            Ok(Self {
                manual: space.event("manual").rights(r(0)).open()?,
                plain: space.event("plain").rights(r(1)).open()?,
                bell: space.event("bell").rights(r(2)).open()?,
                auto: space.event("auto").rights(r(3)).open()?,
                pair: space.event_pair("pair").rights(r(4)).open()?,
                mutant: space.mutant("mutant").rights(r(5)).open()?,
                semaphore: space.semaphore("semaphore", 0, 1).rights(r(6)).open()?,
                section: space.section("section", 0).rights(r(7)).open()?,
                timer: space.timer("timer").rights(r(8)).open()?,
            })
        };
        (0..9).map(one).collect()
    }

    /// What it was born as.
    fn check_untouched(&self) {
        assert!(self.manual.query().unwrap().set);
        assert!(!self.plain.query().unwrap().set);
        assert!(self.auto.query().unwrap().set);
        let pair = self.pair.query().unwrap();
        assert!(pair.low && !pair.high);
        let mutant = self.mutant.query().unwrap();
        assert!(mutant.owner.is_none() && !mutant.abandoned);
        assert_eq!(self.semaphore.query().unwrap().count, 2);
        assert!(self.timer.query().unwrap().ready);
        let mut bytes = [0; 9];
        self.section
            .map::<Read>()
            .unwrap()
            .read(0, &mut bytes)
            .unwrap();
        assert_eq!(&bytes, b"untouched");
    }
}

/// Makes one of each kind in `args[0]` with the mode `args[1]`; rings when told, checks at the end.
pub(crate) fn owner(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mode = u32::from_str_radix(&args[1], 8).unwrap();
    let zoo = Zoo::born(&space, Security::private().mode(mode)).unwrap();
    say("born");
    while told().is_some() {
        zoo.bell.set().unwrap();
    }
    zoo.check_untouched();
}

/// May not even look.
pub(crate) fn stranger(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    for rights in [Rights::ALL, Rights::LOOK, Rights::WAIT] {
        for result in Zoo::open(&space, rights) {
            let error = denied(result);
            assert!(error.to_string().contains("/manual"), "{error}");
            assert_eq!(error.errno(), Some(13), "the kernel says so: {error}");
        }
    }
    for name in ["manual", "auto", "semaphore"] {
        let error = denied(space.event(name).create());
        assert!(
            error.to_string().contains(&format!("uid {OWNER}")),
            "{error}"
        );
        denied(space.event(name).create_or_open());
    }
    assert!(space.event("own").create().is_ok());
}

/// May look, and does all that looking allows.
pub(crate) fn looker(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    for rights in [Rights::ALL, Rights::WAIT, Rights::MODIFY, Rights::DELETE] {
        for result in Zoo::open(&space, rights) {
            assert_eq!(denied(result).errno(), Some(13), "the kernel says so");
        }
    }
    let zoo = Zoo::open(&space, Rights::LOOK).remove(0).unwrap();
    nothing_modifies(&zoo);
    zoo.check_untouched();
    // A manual event that was born for it can be waited for.
    assert!(zoo.manual.wait_for(GUARD).unwrap());
    assert!(zoo.manual.query().unwrap().set);
    denied(zoo.plain.wait_for(GUARD));
    let nothing = wait::any_for(&[&zoo.bell], Duration::from_millis(1));
    assert_eq!(nothing.unwrap(), None);
    say("waiting");
    assert_eq!(
        wait::any_for(&[&zoo.bell], GUARD).unwrap().unwrap().index,
        0
    );
    let all = wait::all_for(&[&zoo.bell, &zoo.manual], GUARD).unwrap();
    assert!(all.unwrap().abandoned.is_empty());
    // The descriptors themselves do not write.
    for name in ["omanual", "oauto", "osection"] {
        let file = fs::File::options()
            .write(true)
            .open(space.path().join(name));
        assert_eq!(file.unwrap_err().raw_os_error(), Some(13));
    }
}

fn nothing_modifies(zoo: &Zoo) {
    let zero = Duration::ZERO;
    for event in [&zoo.manual, &zoo.plain, &zoo.bell, &zoo.auto] {
        denied(event.set());
        denied(event.reset());
        denied(event.pulse());
        denied(event.make_permanent());
        denied(event.duplicate(Rights::ALL));
        denied(event.duplicate(Rights::LOOK | Rights::WAIT));
        assert_eq!(
            event.duplicate(Rights::LOOK).unwrap().rights(),
            Rights::LOOK
        );
    }
    denied(zoo.auto.wait_for(zero));
    denied(zoo.auto.wait());
    denied(zoo.pair.set_low());
    denied(zoo.pair.set_high());
    denied(zoo.pair.wait_low());
    denied(zoo.pair.set_low_wait_high_for(zero));
    denied(zoo.semaphore.wait_for(zero));
    denied(zoo.semaphore.release(1));
    denied(zoo.semaphore.make_temporary());
    denied(zoo.mutant.try_acquire());
    denied(zoo.mutant.acquire());
    denied(zoo.mutant.release());
    denied(zoo.timer.set(zero));
    denied(zoo.timer.set_periodic(zero, GUARD));
    denied(zoo.timer.cancel());
    denied(zoo.timer.wait_for(zero));
    denied(zoo.section.map::<Write>());
    denied(zoo.section.map_part::<Write>(0, 1));
    denied(zoo.section.make_permanent());
    denied(wait::any_for(&[&zoo.auto], zero));
    denied(wait::all_for(&[&zoo.manual, &zoo.semaphore], zero));
    denied(strait::nt::signal_and_wait(
        &zoo.auto,
        &zoo.manual,
        Some(zero),
    ));
    let set = wait::Set::new().unwrap();
    denied(set.add(&zoo.manual));
    denied(set.add(&zoo.mutant));
}

#[test]
fn without_permission_the_kernel_denies() {
    alone("access::without_permission_the_kernel_denies", || {
        if let Some(why) = no_users() {
            return skip("without_permission_the_kernel_denies", why);
        }
        let place = Place::new("none", OWNER, 0o1777);
        for mode in ["600", "660"] {
            let mut owner = user("access.owner", OWNER, OWNER, &[place.text(), mode]);
            assert_eq!(owner.hear().as_deref(), Some("born"));
            held_true(user("access.stranger", OTHER, OTHER, &[place.text()]));
            held_true(owner);
        }
    });
}

#[test]
fn with_look_rights_nothing_can_be_modified() {
    alone("access::with_look_rights_nothing_can_be_modified", || {
        if let Some(why) = no_users() {
            return skip("with_look_rights_nothing_can_be_modified", why);
        }
        let place = Place::new("look", OWNER, 0o1777);
        let mut owner = user("access.owner", OWNER, OWNER, &[place.text(), "644"]);
        assert_eq!(owner.hear().as_deref(), Some("born"));
        let mut looker = user("access.looker", OTHER, OTHER, &[place.text()]);
        assert_eq!(looker.hear().as_deref(), Some("waiting"));
        owner.tell("ring");
        held_true(looker);
        held_true(owner);
    });
}

/// Sets, waits and closes what `args[0]` holds.
pub(crate) fn member(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let shared = space.event("shared").open().unwrap();
    assert!(shared.wait_for(GUARD).unwrap());
    assert!(!shared.set().unwrap());
    let mutant = space.mutant("held").open().unwrap();
    assert!(mutant.acquire_for(GUARD).unwrap().unwrap().abandoned());
    denied(space.event("private").open());
    let looked = space.event("looked").rights(Rights::LOOK).open().unwrap();
    assert!(looked.query().unwrap().set);
    denied(space.event("looked").open());
    let own = space.event("own").security(Security::private().mode(0o660));
    let own = own.create().unwrap();
    say("used");
    told();
    // The last close of a name that another user made takes it along.
    drop((shared, mutant, looked));
    assert!(!space.path().join("oshared").exists());
    drop(own);
}

/// Owns what the group shares, and dies with the mutant.
pub(crate) fn founder(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let of_group = Security::private().mode(0o660);
    let event = space.event("shared").security(of_group).set().create();
    let mutant = space.mutant("held").security(of_group).owned().create();
    let private = space.event("private").create();
    let looked = Security::private().mode(0o640);
    let looked = space.event("looked").security(looked).set().create();
    say("born");
    told();
    drop((
        event.unwrap(),
        mutant.unwrap(),
        private.unwrap(),
        looked.unwrap(),
    ));
}

#[test]
fn a_group_shares_a_directory() {
    alone("access::a_group_shares_a_directory", || {
        if let Some(why) = no_users() {
            return skip("a_group_shares_a_directory", why);
        }
        let place = Place::new("group", GROUP, 0o2770);
        let keeper = Namespace::directory(&place.0).unwrap();
        let mut founder = user("access.founder", OWNER, GROUP, &[place.text()]);
        assert_eq!(founder.hear().as_deref(), Some("born"));
        let table = fs::metadata(place.0.join(".txn")).unwrap();
        assert_eq!((table.mode() & 0o777, table.gid()), (0o660, GROUP));
        // Root keeps the names alive while their maker dies.
        let held = [
            keeper.event("shared").open(),
            keeper.event("private").open(),
        ];
        let mutant = keeper.mutant("held").open();
        let looked = keeper.event("looked").open();
        founder.kill();
        let mut member = user("access.member", OTHER, GROUP, &[place.text()]);
        assert_eq!(member.hear().as_deref(), Some("used"));
        assert!(keeper.event("own").open().is_ok());
        drop((held, mutant, looked));
        held_true(member);
        // Without the group there is nothing to see.
        held_true(user("access.outsider", OTHER, OTHER, &[place.text()]));
    });
}

/// May not even enter.
pub(crate) fn outsider(args: &[String]) {
    let error = denied(Namespace::directory(&args[0]));
    assert!(error.to_string().contains(&args[0]), "{error}");
}

// ---- a directory that a looker cannot write --------------------------------------------------

/// May read the objects, but not write the table of the directory.
pub(crate) fn reader(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let error = denied(space.event("manual").rights(Rights::LOOK).open());
    assert!(error.to_string().contains("/manual"), "{error}");
    // A section has no state that transactions change.
    let section = space
        .section("section", 0)
        .rights(Rights::LOOK)
        .open()
        .unwrap();
    let mut bytes = [0; 9];
    section.map::<Read>().unwrap().read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"untouched");
}

/// The limit of look rights: they need the commit table, which is as open as the directory is
/// writable.
#[test]
fn in_a_directory_of_another_only_sections_can_be_looked_at() {
    alone(
        "access::in_a_directory_of_another_only_sections_can_be_looked_at",
        || {
            if let Some(why) = no_users() {
                let test = "in_a_directory_of_another_only_sections_can_be_looked_at";
                return skip(test, why);
            }
            let place = Place::new("read", OWNER, 0o755);
            let mut owner = user("access.owner", OWNER, OWNER, &[place.text(), "644"]);
            assert_eq!(owner.hear().as_deref(), Some("born"));
            held_true(user("access.reader", OTHER, OTHER, &[place.text()]));
            held_true(owner);
        },
    );
}

// ---- no set is missed ------------------------------------------------------------------------

/// Waits `args[1]` times with look rights for `ring`, and answers each time.
pub(crate) fn listener(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let ring = space.event("ring").rights(Rights::LOOK).open().unwrap();
    let (next, heard) = (
        space.event("next").open().unwrap(),
        space.event("heard").open().unwrap(),
    );
    say("listening");
    for round in 0..args[1].parse::<u32>().unwrap() {
        assert!(next.wait_for(GUARD).unwrap());
        let since = Instant::now();
        assert!(ring.wait_for(GUARD).unwrap());
        // A hang guard: a wait that was not woken would find the event set at its deadline.
        assert!(
            since.elapsed() < GUARD / 2,
            "round {round}: its wake-up was lost"
        );
        heard.set().unwrap();
    }
}

/// Such a waiter leaves no trace: it goes to sleep at any moment of a set.
#[test]
fn a_waiter_that_only_looks_misses_no_set() {
    const ROUNDS: u32 = 20_000;
    let space = Namespace::temporary().unwrap();
    let ring = space.event("ring").reset(Reset::Manual).look_waits();
    let ring = ring.create().unwrap();
    let (next, heard) = (space.event("next").create(), space.event("heard").create());
    let (next, heard) = (next.unwrap(), heard.unwrap());
    let rounds = ROUNDS.to_string();
    let mut listener = Peer::start(
        "access.listener",
        &[space.path().to_str().unwrap(), &rounds],
    );
    assert_eq!(listener.hear().as_deref(), Some("listening"));
    let mut random = Random::of_test("a_waiter_that_only_looks_misses_no_set");
    for round in 0..ROUNDS {
        next.set().unwrap();
        // To meet the listener at any point of its way into sleep.
        for _ in 0..random.below(4000) {
            std::hint::spin_loop();
        }
        assert!(!ring.set().unwrap());
        assert!(heard.wait_for(GUARD).unwrap(), "round {round}");
        assert!(ring.reset().unwrap());
    }
    held_true(listener);
}

// ---- Global and Local ------------------------------------------------------------------------

#[test]
fn global_names_and_what_the_dead_leave_there() {
    if let Some(why) = no_users() {
        return skip("global_names_and_what_the_dead_leave_there", why);
    }
    let test = "global_names_and_what_the_dead_leave_there";
    on_fresh_shm(test, "16m", "access.global");
}

/// On a fresh `/dev/shm`, as root.
pub(crate) fn global(_: &[String]) {
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
        held_true(user("access.refused", uid, uid, &[&format!("uid {OWNER}")]));
    }
    chown(at, Some(0), Some(0)).unwrap();
    fs::set_permissions(at, PermissionsExt::from_mode(0o777)).unwrap();
    held_true(user("access.refused", OTHER, OTHER, &["not sticky"]));
    fs::remove_dir(at).unwrap();
    let space = Namespace::make_global().unwrap();
    let mode = fs::metadata(at).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1777, "the umask does not apply");
    // Two users meet, and one of them dies.
    let mut dead = user("access.dying", OWNER, OWNER, &[]);
    assert_eq!(dead.hear().as_deref(), Some("born"));
    held_true(user("access.neighbour", OTHER, OTHER, &[]));
    dead.kill();
    let mut heir = user("access.heir", OTHER, OTHER, &[]);
    assert_eq!(heir.hear().as_deref(), Some("reborn"));
    // The dead one's user comes back and finds what was reborn, with its new content.
    held_true(user("access.returned", OWNER, OWNER, &[]));
    held_true(heir);
    assert!(at.join("oleft").exists(), "the heir may not remove it");
    refused(space.event("left").open(), ErrorKind::NotFound);
    assert!(!at.join("oleft").exists(), "root may");
    held_true(user("access.own", OTHER, OTHER, &[]));
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
