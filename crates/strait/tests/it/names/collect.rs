//! Collecting while others make namespaces.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use strait::{Namespace, nt};

use crate::death::watch::go_on;
use crate::peer::{Peer, command, say, told};
use crate::world::until;

/// Collects the user's own namespace until it is killed.
pub(crate) fn collector(_: &[String]) {
    let local = Namespace::local().unwrap();
    say("collecting");
    loop {
        // What it finds is for others to say; it must not disturb.
        drop(local.collect());
    }
}

/// Makes temporary namespaces and uses them until its input is closed, and says how many.
pub(crate) fn maker(_: &[String]) {
    let watcher = std::thread::spawn(|| while told().is_some() {});
    let mut made = 0;
    while !watcher.is_finished() || made < 100 {
        let space = Namespace::temporary().unwrap();
        let path = space.path().to_path_buf();
        for _ in 0..20 {
            assert!(path.exists(), "never in another's hands");
        }
        let event = space.event("e").create().unwrap();
        let again = Namespace::directory(&path).unwrap();
        event.set().unwrap();
        assert!(again.event("e").open().unwrap().query().unwrap().set);
        drop((event, again, space));
        assert!(!path.exists(), "gone with the value");
        made += 1;
    }
    say(made);
}

#[test]
fn collectors_take_no_namespace_from_its_maker() {
    const ROUNDS: usize = 1_000;
    let mut collectors: Vec<Peer> = (0..3)
        .map(|_| Peer::start("names.collector", &[]))
        .collect();
    for collector in &mut collectors {
        assert_eq!(collector.hear().as_deref(), Some("collecting"));
    }
    let mut makers: Vec<Peer> = (0..2).map(|_| Peer::start("names.maker", &[])).collect();
    for _ in 0..ROUNDS {
        let space = Namespace::temporary().unwrap();
        let path = space.path().to_path_buf();
        assert!(path.exists());
        drop(space);
        assert!(!path.exists());
    }
    for maker in &mut makers {
        maker.close();
        let made = maker.hear().expect("see above what it met");
        assert!(made.parse::<usize>().unwrap() >= 100);
    }
}

/// Waits until it stands still at the step that it was armed for.
fn stands_still(peer: &Peer) {
    let stat = format!("/proc/{}/stat", peer.child.id());
    until("it stands still", || {
        let text = std::fs::read_to_string(&stat).unwrap();
        text.rsplit_once(") ").unwrap().1.starts_with('T')
    });
}

fn armed(role: &str, point: &str) -> Peer {
    let mut peer = command(role, &[]);
    Peer::of(peer.env("STRAIT_KILL", format!("{point}:1:STOP")))
}

fn is_whole(path: &Path) -> bool {
    let found = Namespace::directory(path).and_then(|space| space.event("kept").open());
    path.exists() && found.is_ok()
}

/// The collector has taken the directory for a dead maker's, and the maker has not noticed yet.
#[test]
fn a_maker_and_a_collector_keep_out_of_each_others_way() {
    let mut maker = armed("names.temporary", "space.made");
    stands_still(&maker);
    let mut collector = armed("names.collector", "space.collecting");
    assert_eq!(collector.hear().as_deref(), Some("collecting"));
    stands_still(&collector);
    let pid = i32::try_from(maker.child.id()).unwrap();
    go_on(rustix::process::Pid::from_raw(pid).unwrap());
    // Whatever becomes of the one it made first.
    let path = PathBuf::from(maker.hear().unwrap());
    assert!(is_whole(&path));
    collector.kill();
    let local = Namespace::local().unwrap();
    local.collect().unwrap();
    assert!(is_whole(&path), "its maker lives");
    maker.kill();
    until("it is collected", || {
        local.collect().unwrap();
        !path.exists()
    });
}

/// The files of the namespace that are sockets.
fn sockets(at: &Path) -> usize {
    let entries = std::fs::read_dir(at).unwrap();
    let kinds = entries.map(|entry| entry.unwrap().file_type().unwrap());
    kinds.filter(FileTypeExt::is_socket).count()
}

#[test]
fn what_a_killed_server_leaves_is_collected_and_what_a_living_one_has_stays() {
    let space = Namespace::temporary().unwrap();
    let at = space.path().to_path_buf();
    let listens = |peer: &mut Peer| assert_eq!(peer.hear().as_deref(), Some("listening"));
    let mut peer = Peer::start("nt.pipe.server", &[at.to_str().unwrap()]);
    listens(&mut peer);
    let port = nt::lpc::Port::options()
        .namespace(&space)
        .create("stays")
        .unwrap();
    assert_eq!((sockets(&at), space.collect().unwrap().objects), (2, 0));
    assert_eq!(sockets(&at), 2, "both live");
    peer.kill();
    until("the dead one's file is collected", || {
        space.collect().unwrap();
        sockets(&at) == 1
    });
    drop(port);
    assert_eq!(sockets(&at), 0, "gone with the port");
}

/// A server keeps the temporary namespace it is in, though the maker of that was killed.
#[test]
fn a_temporary_namespace_stays_while_somebody_listens_in_it() {
    let local = Namespace::local().unwrap();
    let mut maker = Peer::start("names.temporary", &[]);
    let at = maker.hear().unwrap();
    let mut server = Peer::start("nt.pipe.server", &[&at]);
    assert_eq!(server.hear().as_deref(), Some("listening"));
    assert_eq!(maker.ask("close"), "closed");
    maker.kill();
    for _ in 0..3 {
        local.collect().unwrap();
        assert_eq!(sockets(Path::new(&at)), 1, "the server lives");
    }
    server.kill();
    until("it is collected", || {
        local.collect().unwrap();
        !Path::new(&at).exists()
    });
}
