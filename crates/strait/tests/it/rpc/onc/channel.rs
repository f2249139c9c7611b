//! Calls over channels, to a server in a process of its own.

use std::time::Duration;

use strait::rpc::onc::xdr::{Error, Reader, Writer};
use strait::rpc::onc::{AsyncClient, Client, Pending, Procedure};
use strait::{ErrorKind, Namespace};
use tokio::task::JoinSet;

use super::server::{PROGRAM, Served, procedure};
use crate::peer::{self, Peer};
use crate::world::{GUARD, refused, until};

pub(crate) const ROLES: &[(&str, peer::Role)] = &[("rpc.onc.channel.client", wait_for_ever)];

const NAME: &str = "calls";

fn client(space: &Namespace) -> Client {
    let options = Client::options().timeout(GUARD).namespace(space);
    options.channel(NAME).unwrap()
}

fn number(number: u32) -> Procedure {
    Procedure {
        program: PROGRAM,
        version: 1,
        number,
    }
}

fn rest(from: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    from.opaque_fixed(from.remaining()).map(<[u8]>::to_vec)
}

fn call(client: &Client, procedure: u32, arguments: &[u8]) -> strait::Result<Vec<u8>> {
    let encode = |to: &mut Writer<'_>| {
        to.opaque_fixed(arguments);
        Ok(())
    };
    client.call(number(procedure), encode, rest)
}

fn begin(client: &Client, procedure: u32, argument: u32) -> Pending<Vec<u8>> {
    let encode = |to: &mut Writer<'_>| {
        to.unsigned(argument);
        Ok(())
    };
    client.begin(number(procedure), encode, rest).unwrap()
}

fn open(client: &Client, gate: u32) {
    call(client, procedure::OPEN, &gate.to_be_bytes()).unwrap();
}

/// A client that is to be killed in the middle of a call.
fn wait_for_ever(arguments: &[String]) {
    let client = client(&Namespace::directory(&arguments[0]).unwrap());
    let waiting = begin(&client, procedure::WAIT, 7);
    peer::say("begun");
    let _ = waiting.wait();
}

#[test]
fn calls_over_a_channel_are_answered_whatever_their_length() {
    let served = Served::start(&[]);
    let client = client(&served.space());
    client.null(PROGRAM, 1).unwrap();
    for len in [0, 4, 4096, 40_000, 1 << 20, (4 << 20) - 64] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| ((at * 31) >> 3) as u8).collect();
        let came = call(&client, procedure::ECHO, &bytes).unwrap();
        assert!(came == bytes, "{len} bytes come back as they were");
    }
    let who = call(&client, procedure::WHO, &[]).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(
        who,
        super::server::words(&[2, uid, 0]),
        "as the kernel says"
    );
    let error = refused(call(&client, 77, &[]), ErrorKind::Unsupported);
    assert!(error.to_string().contains(NAME), "{error}");
}

#[test]
fn calls_over_a_channel_run_beside_each_other() {
    let mut served = Served::start(&[]);
    let client = client(&served.space());
    let waiting: Vec<_> = (1..=32)
        .map(|gate| begin(&client, procedure::WAIT, gate))
        .collect();
    until("they are begun", || served.count("in-flight") == 32);
    std::thread::scope(|scope| {
        for call in waiting {
            scope.spawn(move || call.wait().unwrap());
        }
        for gate in (1..=32).rev() {
            open(&client, gate);
        }
    });
    // A call is counted until its reply is on its way, and a moment longer.
    until("all have ended", || served.count("in-flight") == 0);
}

#[test]
fn threads_share_a_channel() {
    let served = Served::start(&[]);
    let client = client(&served.space());
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..200_u32 {
                    let words = super::server::words(&[thread, turn]);
                    let bytes = words.repeat(1 + 997 * (turn as usize % 5));
                    assert!(call(client, procedure::ECHO, &bytes).unwrap() == bytes);
                }
            });
        }
    });
}

#[test]
fn a_client_of_a_channel_may_send_much_before_it_reads() {
    let served = Served::start(&[]);
    let client = client(&served.space());
    let len = 100_000;
    let calls: Vec<_> = (0..64)
        .map(|_| begin(&client, procedure::BYTES, len))
        .collect();
    for call in calls {
        assert_eq!(call.wait().unwrap().len(), len as usize);
    }
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let encode = |to: &mut Writer<'_>| {
                to.opaque_fixed(&[9; 200_000]);
                Ok(())
            };
            client.begin(number(procedure::ECHO), encode, rest).unwrap()
        })
        .collect();
    for call in calls {
        assert!(call.wait().unwrap() == [9; 200_000]);
    }
}

#[test]
fn no_more_calls_of_a_channel_begin_than_may_be() {
    let mut served = Served::start(&["calls=4"]);
    let space = served.space();
    let (many, other) = (client(&space), client(&space));
    let waiting: Vec<_> = (0..12)
        .map(|_| begin(&many, procedure::COUNT_AND_WAIT, 0))
        .collect();
    until("some are begun", || served.count("in-flight") == 4);
    assert_eq!(call(&other, procedure::COUNT, &[]).unwrap(), [0, 0, 0, 5]);
    open(&other, 0);
    for call in waiting {
        call.wait().unwrap();
    }
    assert_eq!(call(&many, procedure::COUNT, &[]).unwrap(), [0, 0, 0, 14]);
}

#[test]
fn who_calls_a_killed_server_over_a_channel_hears_of_it_at_once() {
    let mut served = Served::start(&[]);
    let space = served.space();
    let client = client(&space).within(Duration::MAX);
    let waiting = begin(&client, procedure::WAIT, 1);
    let second = begin(&client, procedure::WAIT, 2);
    until("they are begun", || served.count("in-flight") == 2);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| waiting.wait());
        served.peer.kill();
        refused(waits.join().unwrap(), ErrorKind::PeerGone);
    });
    refused(second.wait(), ErrorKind::PeerGone);
    refused(call(&client, procedure::COUNT, &[]), ErrorKind::PeerGone);
    refused(client.reconnect(), ErrorKind::NotFound);
}

#[test]
fn a_killed_client_of_a_channel_is_forgotten() {
    let mut served = Served::start(&[]);
    let space = served.space();
    let other = client(&space);
    let path = served.path.with_file_name("space");
    let mut killed = Peer::start("rpc.onc.channel.client", &[path.to_str().unwrap()]);
    assert_eq!(killed.hear().unwrap(), "begun");
    until("it is served", || served.count("in-flight") == 1);
    assert_eq!(served.count("connections"), 2);
    killed.kill();
    until("it is forgotten", || served.count("connections") == 1);
    open(&other, 7);
    until("its call ends", || served.count("in-flight") == 0);
    call(&other, procedure::COUNT, &[]).unwrap();
}

#[test]
fn calls_over_a_channel_are_answered_before_the_end() {
    let mut served = Served::start(&[]);
    let space = served.space();
    let (client, idle) = (client(&space), client(&space));
    call(&idle, procedure::COUNT, &[]).unwrap();
    let waiting = begin(&client, procedure::WAIT, 1);
    until("it is begun", || served.count("in-flight") == 1);
    // More than the ring holds is still to be read then.
    let long = begin(&client, procedure::BYTES, 600_000);
    until("that is begun too", || served.count("calls") == 3);
    served.peer.tell("stop 20000");
    until("the name is free", || {
        let again = Client::options().namespace(&space).channel(NAME);
        again.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    refused(call(&idle, procedure::COUNT, &[]), ErrorKind::PeerGone);
    served.peer.tell("open");
    assert!(waiting.wait().unwrap().is_empty());
    assert_eq!(long.wait().unwrap().len(), 600_000);
    assert_eq!(served.peer.hear().unwrap(), "cut 0");
}

#[test]
fn after_the_grace_calls_over_a_channel_are_cut() {
    let mut served = Served::start(&[]);
    let client = client(&served.space());
    let waiting = begin(&client, procedure::WAIT, 5);
    until("it is begun", || served.count("in-flight") == 1);
    assert_eq!(served.peer.ask("stop 50"), "cut 1");
    refused(waiting.wait(), ErrorKind::PeerGone);
    assert!(served.peer.finish().success());
}

#[test]
fn an_idle_client_of_a_channel_makes_way() {
    let mut served = Served::start(&["connections=2"]);
    let space = served.space();
    let first = client(&space);
    call(&first, procedure::COUNT, &[]).unwrap();
    let second = client(&space);
    call(&second, procedure::COUNT, &[]).unwrap();
    let third = client(&space);
    call(&third, procedure::COUNT, &[]).unwrap();
    // Which of them was idle for longer may be within a millisecond.
    let alive = [&first, &second].map(|client| call(client, procedure::COUNT, &[]).is_ok());
    assert_eq!(alive.iter().filter(|alive| **alive).count(), 1);
    until("it is told", || served.has_told("made way for another"));
}

#[test]
fn a_client_of_a_channel_that_does_nothing_is_dropped() {
    let mut served = Served::start(&["idle=100"]);
    let client = client(&served.space());
    until("it is told", || served.has_told("idle for too long"));
    refused(call(&client, procedure::COUNT, &[]), ErrorKind::PeerGone);
    assert_eq!(served.count("connections"), 0);
}

#[test]
fn a_client_of_a_channel_that_still_takes_a_reply_is_not_idle() {
    let mut served = Served::start(&["idle=200"]);
    let space = served.space();
    let slow = client(&space);
    let long = begin(&slow, procedure::BYTES, 2 << 20);
    until("some of it is kept", || served.count("replies") > 0);
    // One that comes later, and does nothing, says when the time is over.
    let _idle = client(&space);
    until("it is told", || served.has_told("idle for too long"));
    assert_eq!(long.wait().unwrap().len(), 2 << 20);
}

#[test]
fn what_is_no_client_of_rpc_is_refused_by_a_channel() {
    let served = Served::start(&[]);
    let space = served.space();
    let port = strait::nt::lpc::Client::options().namespace(&space);
    let error = port.connect(NAME).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Refused | ErrorKind::Broken | ErrorKind::Layout
        ),
        "{error}"
    );
    call(&client(&space), procedure::COUNT, &[]).unwrap();
}

#[test]
fn no_more_calls_are_done_than_the_server_allows_in_all() {
    let mut served = Served::start(&["calls_max=4"]);
    let clients: Vec<_> = (0..4).map(|_| client(&served.space())).collect();
    let gates = 1..=40_u32;
    let calls: Vec<_> = gates
        .clone()
        .map(|gate| begin(&clients[gate as usize % 4], procedure::WAIT, gate))
        .collect();
    until("some are begun", || served.count("in-flight") == 4);
    for gate in gates {
        served.peer.ask(&format!("open {gate}"));
        for _ in 0..10 {
            let in_flight = served.count("in-flight");
            assert!(in_flight <= 4, "{in_flight}");
        }
    }
    for call in calls {
        call.wait().unwrap();
    }
}

#[test]
fn who_hangs_up_has_no_more_calls_done_at_a_time_than_who_stays() {
    let mut served = Served::start(&["calls=4"]);
    let gone = client(&served.space());
    let calls: Vec<_> = (1..=40)
        .map(|gate| begin(&gone, procedure::WAIT, gate))
        .collect();
    until("some are begun", || served.count("in-flight") == 4);
    drop((calls, gone));
    for gate in 1..=40 {
        for _ in 0..10 {
            let in_flight = served.count("in-flight");
            assert!(in_flight <= 4, "{in_flight}");
        }
        served.peer.ask(&format!("open {gate}"));
    }
    until("all are done", || {
        served.count("in-flight") == 0 && served.count("calls") == 40
    });
    until("it is gone", || served.count("connections") == 0);
}

#[test]
fn replies_that_are_not_taken_count_over_channels_too() {
    let mut served = Served::start(&["replies=2097152"]);
    let silent = client(&served.space());
    let calls: Vec<_> = (0..5)
        .map(|_| begin(&silent, procedure::BYTES, 512 << 10))
        .collect();
    until("they are kept", || served.count("replies") >= 512 << 10);
    for call in calls {
        assert_eq!(call.wait().unwrap().len(), 512 << 10);
    }
    until("they are taken", || served.count("replies") == 0);
}

async fn tasks(space: &Namespace) -> AsyncClient {
    let options = Client::options().timeout(GUARD).namespace(space);
    options.channel_async(NAME).await.unwrap()
}

async fn ask(client: &AsyncClient, procedure: u32, arguments: &[u8]) -> strait::Result<Vec<u8>> {
    let encode = |to: &mut Writer<'_>| {
        to.opaque_fixed(arguments);
        Ok(())
    };
    client.call(number(procedure), encode, rest).await
}

#[tokio::test]
async fn tasks_call_over_a_channel_whatever_the_length() {
    let served = Served::start(&[]);
    let client = tasks(&served.space()).await;
    client.null(PROGRAM, 1).await.unwrap();
    for len in [0, 4, 4096, 40_000, 1 << 20, (4 << 20) - 64] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| ((at * 31) >> 3) as u8).collect();
        let came = ask(&client, procedure::ECHO, &bytes).await.unwrap();
        assert!(came == bytes, "{len} bytes come back as they were");
    }
    let error = refused(ask(&client, 77, &[]).await, ErrorKind::Unsupported);
    assert!(error.to_string().contains(NAME), "{error}");
    // Calls without an answer are done in their order, and before what follows.
    let batch = client.batch(|batch| {
        (0..50).try_for_each(|_| batch.call_oneway(number(procedure::COUNT), |_| Ok(())))
    });
    batch.await.unwrap();
    assert_eq!(
        ask(&client, procedure::COUNT, &[]).await.unwrap(),
        [0, 0, 0, 51]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_channel() {
    let served = Served::start(&[]);
    let client = tasks(&served.space()).await;
    let mut all = JoinSet::new();
    for task in 0..200_u32 {
        let client = client.clone();
        all.spawn(async move {
            let bytes = super::server::words(&[task]).repeat(1 + 997 * (task as usize % 9));
            assert!(ask(&client, procedure::ECHO, &bytes).await.unwrap() == bytes);
            // One waits until the other opens its gate.
            let gate = (task / 2).to_be_bytes();
            let which = if task % 2 == 0 {
                procedure::WAIT
            } else {
                procedure::OPEN
            };
            ask(&client, which, &gate).await.unwrap();
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn more_than_a_channel_holds_goes_out_from_tasks_and_comes_back() {
    let served = Served::start(&[]);
    let client = tasks(&served.space()).await;
    let mut all = JoinSet::new();
    for task in 0..32_u8 {
        let client = client.clone();
        all.spawn(async move {
            let bytes = vec![task; 300_000];
            assert!(ask(&client, procedure::ECHO, &bytes).await.unwrap() == bytes);
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn tasks_hear_at_once_of_a_killed_server_of_a_channel() {
    let mut served = Served::start(&[]);
    let space = served.space();
    let client = tasks(&space).await.within(Duration::MAX / 4);
    let calls = [1, 2].map(|gate: u32| {
        let client = client.clone();
        tokio::spawn(async move { ask(&client, procedure::WAIT, &gate.to_be_bytes()).await })
    });
    let killed = tokio::task::spawn_blocking(move || {
        until("they are begun", || served.count("in-flight") == 2);
        served.peer.kill();
    });
    for call in calls {
        refused(call.await.unwrap(), ErrorKind::PeerGone);
    }
    killed.await.unwrap();
    refused(
        ask(&client, procedure::COUNT, &[]).await,
        ErrorKind::PeerGone,
    );
    let again = Client::options().namespace(&space).channel_async(NAME);
    refused(again.await, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_dropped_call_over_a_channel_is_forgotten_and_the_last_client_ends_it() {
    let mut served = Served::start(&[]);
    let options = Client::options().timeout(GUARD).in_flight_max(1);
    let options = options.namespace(&served.space());
    let client = options.channel_async(NAME).await.unwrap();
    let gate = 1_u32.to_be_bytes();
    let waiting = ask(&client, procedure::WAIT, &gate);
    let waited = tokio::time::timeout(Duration::from_millis(20), waiting);
    assert!(waited.await.is_err());
    assert_eq!(
        ask(&client, procedure::COUNT, &[]).await.unwrap(),
        [0, 0, 0, 1]
    );
    ask(&client, procedure::OPEN, &gate).await.unwrap();
    assert_eq!(served.count("connections"), 1);
    drop(client);
    let gone = tokio::task::spawn_blocking(move || {
        until("it has left", || served.count("connections") == 0);
    });
    gone.await.unwrap();
}
