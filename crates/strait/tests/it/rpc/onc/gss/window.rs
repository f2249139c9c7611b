//! Numbers of calls, as a server takes them: none falls behind its window, and no more calls are in
//! flight than that has room for.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::gss::Service;
use strait_wire::onc::gss::Purpose;

use super::hostile::purpose;
use super::middle::{self, Way};
use super::{COUNT, Served, a_word, count, options, procedure, refused};

#[test]
fn calls_that_are_gathered_do_not_fall_behind_those_made_meanwhile() {
    let served = Served::start("behind", &[]);
    let client = options(Service::Integrity).tcp(served.tcp).unwrap();
    let first = client.batch(|batch| {
        batch.call_oneway(procedure(COUNT), |_| Ok(()))?;
        let first = batch.begin(procedure(COUNT), |_| Ok(()), a_word)?;
        for _ in 0..200 {
            client.null(super::PROGRAM, 1)?;
        }
        Ok(first)
    });
    assert_eq!(first.unwrap().wait().unwrap(), 2);
    assert_eq!(count(&client).unwrap(), 3);
}

const WINDOW: usize = 4;

/// Leads to a server with a window of four; each reply waits until as many have come. And the most
/// calls in flight at once.
fn strict(served: &Served) -> (SocketAddr, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, mut calls, mut held) = (most.clone(), Vec::new(), Vec::new());
    let at = middle::tcp(served.tcp, move |way, message| {
        let xid = message[..4].to_vec();
        match way {
            Way::ToServer if purpose(&message) == Purpose::Data => {
                calls.push(xid);
                seen.fetch_max(calls.len(), SeqCst);
            }
            Way::ToClient if calls.contains(&xid) => {
                held.push(message);
                if held.len() < WINDOW {
                    return vec![];
                }
                calls.drain(..WINDOW);
                return std::mem::take(&mut held);
            }
            _ => {}
        }
        vec![message]
    });
    (at, most)
}

#[test]
fn no_more_calls_are_in_flight_than_the_window_has_room_for() {
    let served = Served::start("room", &["window of four"]);
    let (at, most) = strict(&served);
    let client = options(Service::Privacy).tcp(at).unwrap();
    let begin = |_| client.begin(procedure(COUNT), |_| Ok(()), a_word).unwrap();
    let calls: Vec<_> = (0..20).map(begin).collect();
    for (call, number) in calls.into_iter().zip(1..) {
        assert_eq!(call.wait().unwrap(), number);
    }
    assert_eq!(most.load(SeqCst), WINDOW, "from one thread");
    let (at, most) = strict(&served);
    let client = options(Service::Privacy).tcp(at).unwrap();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert!(count(&client).unwrap() > 20));
        }
    });
    assert_eq!(most.load(SeqCst), WINDOW, "from many");
    let (at, most) = strict(&served);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let client = options(Service::Privacy).tcp_async(at).await.unwrap();
        let call = |_| {
            let client = client.clone();
            tokio::spawn(async move { client.call(procedure(COUNT), |_| Ok(()), a_word).await })
        };
        let calls: Vec<_> = (0..20).map(call).collect();
        for call in calls {
            assert!(call.await.unwrap().unwrap() > 40);
        }
    });
    assert_eq!(most.load(SeqCst), WINDOW, "from tasks");
}

#[test]
fn who_waits_for_room_waits_no_longer_than_for_a_call() {
    let served = Served::start("full", &["window of four"]);
    // No call is answered, and then all are.
    let (open, mut held) = (Arc::new(AtomicBool::new(false)), Vec::new());
    let is_open = open.clone();
    let mut calls = Vec::new();
    let at = middle::tcp(served.tcp, move |way, message| {
        let xid = message[..4].to_vec();
        if way == Way::ToServer && purpose(&message) == Purpose::Data {
            calls.push(xid);
        } else if way == Way::ToClient && calls.contains(&xid) && !is_open.load(SeqCst) {
            held.push(message);
            return vec![];
        }
        vec![message]
    });
    let client = options(Service::Integrity).tcp(at).unwrap();
    let moment = Duration::from_millis(50);
    let begin = |_| client.begin(procedure(COUNT), |_| Ok(()), a_word).unwrap();
    let calls: Vec<_> = (0..WINDOW).map(begin).collect();
    let error = count(&client.within(moment)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains("4 calls are in flight"), "{text}");
    // One that is given up makes room.
    open.store(true, SeqCst);
    drop(calls);
    assert_eq!(count(&client).unwrap(), 5);
}

#[test]
fn who_waits_for_anothers_context_waits_no_longer_than_for_a_call() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = options(Service::Integrity);
    let client = client.tcp(silent.local_addr().unwrap()).unwrap();
    let patient = {
        let client = client.clone();
        thread::spawn(move || count(&client))
    };
    let (mut server, _) = silent.accept().unwrap();
    server.read_exact(&mut [0; 4]).unwrap();
    let hasty = client.within(Duration::from_millis(50));
    refused(count(&hasty), ErrorKind::TimedOut, None);
    assert!(!patient.is_finished(), "it waits still");
    drop(server);
    refused(patient.join().unwrap(), ErrorKind::PeerGone, None);
}
