//! Waits in async tasks.

use std::time::Duration;

use strait::nt::Event;
use strait::{ErrorKind, Namespace, wait};

use crate::peer::Peer;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn a_task_waits_for_another_process() {
    let space = Namespace::temporary().unwrap();
    let ping = space.event("ping").create().unwrap();
    let pong = space.event("pong").create().unwrap();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("smoke.echo", &[path, "200"]);
    assert_eq!(peer.hear().as_deref(), Some("ready"));
    run(async {
        for _ in 0..200 {
            ping.set().unwrap();
            let limit = Duration::from_secs(10);
            let won = tokio::time::timeout(limit, wait::any_async(&[&pong])).await;
            let won = won.unwrap().unwrap();
            assert_eq!(won.index, 0);
        }
    });
    assert!(peer.finish().success());
}

#[test]
fn a_dropped_future_takes_nothing() {
    let space = Namespace::temporary().unwrap();
    let slots = space.semaphore("slots", 0, 8).create().unwrap();
    let done = Event::options().create().unwrap();
    run(async {
        for _ in 0..100 {
            let members: [&(dyn wait::Waitable + Sync); 2] = [&done, &slots];
            let timed = tokio::time::timeout(Duration::from_micros(200), wait::any_async(&members));
            // The unit may come before, at, or after the moment in which the future is dropped.
            let release = async {
                tokio::task::yield_now().await;
                slots.release(1).unwrap();
            };
            let (waited, ()) = tokio::join!(timed, release);
            let taken = u32::from(waited.is_ok());
            assert_eq!(slots.query().unwrap().count, 1 - taken);
            if taken == 0 {
                slots.wait().unwrap();
            }
        }
    });
}

#[test]
fn a_mutant_is_not_for_tasks() {
    let space = Namespace::temporary().unwrap();
    let mutant = space.mutant("deploy").create().unwrap();
    let refused = run(wait::any_async(&[&mutant])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        run(wait::any_async(&[])).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}
