//! The shortest way through: two processes, one name, an event each way.

use std::time::Duration;

use strait::Namespace;

use crate::peer::{Peer, say};
use crate::world::alone;

/// Answers each `ping` with a `pong`, `args[1]` times.
pub(crate) fn echo(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let (ping, pong) = (
        space.event("ping").open().unwrap(),
        space.event("pong").open().unwrap(),
    );
    say("ready");
    for _ in 0..args[1].parse::<u32>().unwrap() {
        ping.wait().unwrap();
        pong.set().unwrap();
    }
}

#[test]
fn two_processes_take_turns_by_events() {
    alone("nt::smoke::two_processes_take_turns_by_events", || {
        let space = Namespace::temporary().unwrap();
        let ping = space.event("ping").create().unwrap();
        let pong = space.event("pong").create().unwrap();
        let mut peer = Peer::start("smoke.echo", &[space.path().to_str().unwrap(), "1000"]);
        assert_eq!(peer.hear().as_deref(), Some("ready"));
        for _ in 0..1000 {
            ping.set().unwrap();
            assert!(pong.wait_for(Duration::from_secs(10)).unwrap());
        }
        assert!(peer.finish().success());
        assert!(!ping.query().unwrap().set && !pong.query().unwrap().set);
        drop((ping, pong));
        assert!(space.event("ping").open().is_err());
    });
}
