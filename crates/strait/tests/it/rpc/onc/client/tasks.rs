//! The client of async tasks.

use std::time::Duration;

use strait::rpc::onc::{AsyncClient, Client};
use strait::{ErrorKind, Result};
use tokio::task::JoinSet;

use super::{ECHO, GUARD, a_word, nobody, options, place, procedure, server, word};
use crate::peer::Peer;
use crate::world::refused;

async fn echo(client: &AsyncClient, number: u32) -> Result<u32> {
    client.call(procedure(ECHO), word(number), a_word).await
}

async fn echo_bytes(client: &AsyncClient, bytes: &[u8]) -> Result<Vec<u8>> {
    let arguments = |to: &mut strait::rpc::onc::xdr::Writer<'_>| to.opaque(bytes, u32::MAX);
    let call = client.call(procedure(ECHO), arguments, |from| {
        from.opaque(u32::MAX).map(<[u8]>::to_vec)
    });
    call.await
}

#[tokio::test]
async fn calls_of_any_size_come_back_over_each_transport() {
    let (_server, at) = server::stream("honest");
    let client = options().record_max(9 << 20).tcp_async(at).await.unwrap();
    client.null(0x2000_0001, 1).await.unwrap();
    for len in [0, 5, 65_536, 8 << 20] {
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        assert_eq!(echo_bytes(&client, &bytes).await.unwrap(), bytes, "{len}");
    }
    let place = place("tasks");
    let path = place.join("rpc.sock");
    let mut server = Peer::start("onc.client.local", &["honest", path.to_str().unwrap()]);
    server.hear().unwrap();
    let client = options().local_async(&path).await.unwrap();
    assert_eq!(echo(&client, 1).await.unwrap(), 1);
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let client = options().stream_async(stream).await.unwrap();
    assert_eq!(echo(&client, 2).await.unwrap(), 2);
    drop(server);
    refused(echo(&client, 3).await, ErrorKind::PeerGone);
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn names_and_channels_wait_for_a_thread_no_longer_than_for_the_server() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    let (free, waits) = std::sync::mpsc::channel::<()>();
    runtime.unwrap().block_on(async {
        tokio::task::spawn_blocking(move || waits.recv());
        let options = || options().timeout(Duration::from_millis(100));
        let (tcp, udp) = (
            options().tcp_async("localhost:1"),
            options().udp_async("localhost:1"),
        );
        let outcomes = async {
            [
                tcp.await,
                udp.await,
                options().channel_async("nobody").await,
            ]
        };
        let outcomes = tokio::time::timeout(GUARD, outcomes).await;
        for outcome in outcomes.expect("without end") {
            let error = refused(outcome, ErrorKind::TimedOut);
            assert!(error.to_string().contains("within 100ms"), "{error}");
        }
        drop(free);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_call_at_once_and_replies_come_in_any_order() {
    let (_server, at) = server::stream("reverse");
    let client = options().tcp_async(at).await.unwrap();
    // Whichever is first says how many there are.
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let client = client.clone();
        tasks.spawn(async move { echo(&client, 1000).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap().unwrap(), 1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_goes_out_and_comes_back() {
    let (_server, at) = server::stream("honest");
    let client = options().tcp_async(at).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let client = client.clone();
        tasks.spawn(async move {
            let bytes = vec![number; 200_000];
            assert_eq!(echo_bytes(&client, &bytes).await.unwrap(), bytes);
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_future_forgets_its_call() {
    let (_server, at) = server::stream("late");
    let client = options().in_flight_max(1).tcp_async(at).await.unwrap();
    {
        let mut first = std::pin::pin!(echo(&client, 1));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(first.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        refused(echo(&client, 9).await, ErrorKind::LimitExceeded);
    }
    assert_eq!(echo(&client, 2).await.unwrap(), 2);
    assert_eq!(echo(&client, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_call_takes_no_longer_than_it_may() {
    let (_server, at) = server::stream("deaf");
    let client = options().tcp_async(at).await.unwrap();
    let short = client.within(Duration::from_millis(20));
    refused(echo(&short, 1).await, ErrorKind::TimedOut);
    // Nor while it waits for room.
    refused(
        echo_bytes(&short, &vec![0; 64 << 20]).await,
        ErrorKind::TimedOut,
    );
    refused(echo(&short, 2).await, ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_dead_server_ends_every_call() {
    let (mut server, at) = server::stream("half");
    let client = options().tcp_async(at).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..4 {
        let client = client.clone();
        tasks.spawn(async move { echo(&client, number).await });
    }
    let killed = tokio::task::spawn_blocking(move || {
        assert_eq!(server.hear().unwrap(), "half");
        server.kill();
    });
    while let Some(outcome) = tasks.join_next().await {
        refused(outcome.unwrap(), ErrorKind::PeerGone);
    }
    killed.await.unwrap();
    refused(echo(&client, 1).await, ErrorKind::PeerGone);
    refused(options().tcp_async(at).await, ErrorKind::Refused);
}

#[tokio::test]
async fn what_was_called_before_the_last_clone_goes_is_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let reader = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read_to_end(&mut stream, &mut all).unwrap();
        all.len()
    });
    let client = options().tcp_async(at).await.unwrap();
    let bytes = vec![0; 4 << 20];
    for _ in 0..4 {
        let arguments = |to: &mut strait::rpc::onc::xdr::Writer<'_>| to.opaque(&bytes, u32::MAX);
        client
            .call_oneway(procedure(ECHO), arguments)
            .await
            .unwrap();
    }
    drop(client);
    assert_eq!(reader.await.unwrap(), 4 * (4 + 40 + 4 + (4 << 20)));
}

#[tokio::test]
async fn datagrams_are_sent_again_and_refusals_heard() {
    let (_server, at) = server::datagrams("third");
    let retry = Duration::from_millis(2);
    let client = options().retry(retry, retry).udp_async(at).await.unwrap();
    assert_eq!(echo(&client, 1).await.unwrap(), 1);
    let (_server, at) = server::datagrams("foreign");
    let client = options().udp_async(at).await.unwrap();
    assert_eq!(echo(&client, 2).await.unwrap(), 2);
    let client = options().udp_async(nobody()).await.unwrap();
    refused(echo(&client, 1).await, ErrorKind::Refused);
    let long = vec![0; 70_000];
    refused(echo_bytes(&client, &long).await, ErrorKind::TooLong);
}

#[tokio::test]
async fn a_shorter_credential_is_used_until_it_is_not_taken_any_more() {
    let (_server, at) = server::stream("short");
    let client = options().sys().tcp_async(at).await.unwrap();
    let mut flavors = Vec::new();
    for number in 0..4 {
        let call = client.call(procedure(ECHO), word(number), |from| {
            Ok((from.unsigned()?, from.unsigned()?))
        });
        flavors.push(call.await.unwrap());
    }
    assert_eq!(flavors, [(0, 1), (1, 2), (2, 1), (3, 2)]);
}

#[test]
fn a_runtime_that_ends_ends_the_calls_of_its_clients() {
    let (_server, at) = server::stream("honest");
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let client = first
        .block_on(Client::options().timeout(GUARD).tcp_async(at))
        .unwrap();
    drop(first);
    refused(runtime().block_on(echo(&client, 1)), ErrorKind::Cancelled);
}

#[tokio::test]
async fn calls_gathered_by_a_task_leave_together_and_in_order() {
    let (_server, at) = server::stream("honest");
    let client = options().tcp_async(at).await.unwrap();
    let gathered = client
        .batch(|batch| {
            for number in 0..100 {
                batch.call_oneway(procedure(ECHO), word(number))?;
            }
            Ok(100)
        })
        .await;
    assert_eq!(gathered.unwrap(), 100);
    assert_eq!(echo(&client, 6).await.unwrap(), 6);
    // What was gathered before an error is sent nevertheless.
    let failed = client.batch(|batch| {
        batch.call_oneway(procedure(ECHO), word(1))?;
        batch.call_oneway(procedure(ECHO), |to| to.opaque(&[0; 5], 4))
    });
    refused(failed.await, ErrorKind::InvalidInput);
    assert_eq!(echo(&client, 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_batch_is_one_write_for_each_64_kib() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let reader = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut all).unwrap();
        all
    });
    let client = options().tcp_async(at).await.unwrap();
    let bytes = [7; 996];
    let batch = client.batch(|batch| {
        (0..200)
            .try_for_each(|_| batch.call_oneway(procedure(ECHO), |to| to.opaque(&bytes, u32::MAX)))
    });
    batch.await.unwrap();
    drop(client);
    let all = reader.await.unwrap();
    // A mark, a header of 40, a length, the bytes.
    let (records, rest) = all.as_chunks::<1044>();
    assert_eq!((records.len(), rest.len()), (200, 0));
    let mut numbers = records.iter().map(|record| &record[4..8]);
    let first = u32::from_be_bytes(numbers.next().unwrap().try_into().unwrap());
    for (at, number) in (1..).zip(numbers) {
        assert_eq!(number, first.wrapping_add(at).to_be_bytes(), "in order");
    }
}

#[tokio::test]
async fn a_batch_of_datagrams_is_a_datagram_for_each() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    let client = options().udp_async(socket.local_addr().unwrap()).await;
    let client = client.unwrap();
    let batch = client.batch(|batch| {
        (0..3).try_for_each(|number| batch.call_oneway(procedure(ECHO), word(number)))
    });
    batch.await.unwrap();
    let mut buffer = [0; 100];
    for number in 0..3_u32 {
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[40..len], number.to_be_bytes());
    }
}

#[tokio::test]
async fn a_local_server_without_room_for_one_more_is_waited_for() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    let place = place("full");
    let path = place.join("rpc.sock");
    let at = SocketAddrUnix::new(&path).unwrap();
    let socket = |flags| {
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = socket(SocketFlags::empty());
    rustix::net::bind(&listener, &at).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let one = socket(SocketFlags::NONBLOCK);
        match rustix::net::connect(&one, &at) {
            Ok(()) => waiting.push(one),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    let connecting = options().local_async(&path);
    tokio::pin!(connecting);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut connecting).await;
    assert!(early.is_err(), "{early:?}");
    for _ in &waiting {
        rustix::net::accept(&listener).unwrap();
    }
    connecting.await.unwrap();
    // Nobody listens at this one.
    let nobody = place.join("nobody.sock");
    let deaf = socket(SocketFlags::empty());
    rustix::net::bind(&deaf, &SocketAddrUnix::new(&nobody).unwrap()).unwrap();
    let soon = options().timeout(Duration::from_millis(50));
    refused(soon.local_async(&nobody).await, ErrorKind::Refused);
    std::fs::remove_dir_all(place).unwrap();
}

#[tokio::test]
async fn an_address_without_a_port_is_the_callers_fault() {
    for wrong in ["127.0.0.1", "localhost:port"] {
        refused(options().tcp(wrong), ErrorKind::InvalidInput);
        refused(options().udp(wrong), ErrorKind::InvalidInput);
        refused(options().tcp_async(wrong).await, ErrorKind::InvalidInput);
        refused(options().udp_async(wrong).await, ErrorKind::InvalidInput);
    }
}
