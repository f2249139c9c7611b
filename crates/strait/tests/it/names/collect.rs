//! Collecting while others make namespaces.

use strait::Namespace;

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

/// A maker that is killed leaves a directory, whichever of many collectors finds it.
#[test]
fn what_a_killed_maker_leaves_goes_once() {
    let mut command = command("names.temporary", &[]);
    let mut maker = Peer::of(&mut command);
    let path = std::path::PathBuf::from(maker.hear().unwrap());
    assert!(path.exists());
    let _collectors = [(); 2].map(|()| Peer::start("names.collector", &[]));
    maker.kill();
    until("it is collected", || !path.exists());
}
