//! socat(1): megabytes of any bytes, both ways, through each kind of stream.

use std::net::TcpListener;

use super::present;
use crate::unix::sh;
use crate::world::World;

/// What is sent from us (`ours`) and to us (`theirs`), more than any buffer between, and how to
/// compare it with what has come.
const DATA: &str = "
    limited() { timeout -k 1 40 \"$@\"; }
    head -c 3000017 /dev/urandom > $DIR/ours; head -c 2000003 /dev/urandom > $DIR/theirs
    same() { cmp $DIR/ours $DIR/to_them && cmp $DIR/theirs $DIR/to_us && echo same; }";

/// Runs lines of sh(1) that must end with `same`, and say nothing else.
fn same(world: &World, script: &str) {
    let ran = sh(world, &format!("{DATA}\n{script}\nsame"));
    assert_eq!((&*ran.out, &*ran.err), ("same\n", ""), "{script}");
}

#[test]
fn fifos_carry_any_bytes_from_and_to_socat() {
    if !present("fifos_carry_any_bytes_from_and_to_socat", &["socat"]) {
        return;
    }
    same(
        &World::new(),
        "$STRAIT fifo create $DIR/fifo
        limited socat -u OPEN:$DIR/theirs PIPE:$DIR/fifo &
        $STRAIT fifo recv $DIR/fifo --timeout 20s > $DIR/to_us || echo $?
        wait $! || echo $?
        limited socat -u PIPE:$DIR/fifo CREATE:$DIR/to_them &
        $STRAIT fifo send $DIR/fifo --timeout 20s < $DIR/ours || echo $?
        wait $! || echo $?",
    );
    // One that socat has made, with the mode that it gave.
    same(
        &World::new(),
        "limited socat -u PIPE:$DIR/fifo,mode=640 CREATE:$DIR/to_them &
        until $STRAIT fifo stat $DIR/fifo 2> $DIR/none | grep -q 0640; do sleep 0.01; done
        $STRAIT fifo send $DIR/fifo --timeout 20s < $DIR/ours || echo $?
        wait $! || echo $?
        cp $DIR/theirs $DIR/to_us",
    );
}

/// Where a connection is made, in socat's words and in ours.
struct Place {
    listen: String,
    connect: String,
    ours: String,
    /// A line of sh(1) that succeeds once socat listens.
    listens: String,
}

/// Both ways over one connection; each side ends its own way first, and reads on.
fn both_ways(place: &Place) {
    let world = World::new();
    let Place {
        listen,
        connect,
        ours,
        listens,
    } = place;
    // socat comes to us. After one way has ended it waits so long (-t) for the rest of the other.
    same(
        &world,
        &format!(
            "limited $STRAIT socket listen {ours} < $DIR/ours > $DIR/to_us &
            limited socat -t 20 STDIO {connect},retry=2000,interval=0.01 \
                < $DIR/theirs > $DIR/to_them 2> $DIR/retries || cat $DIR/retries
            wait $! || echo $?"
        ),
    );
    // We go to socat.
    same(
        &world,
        &format!(
            "limited socat -t 20 {listen} STDIO < $DIR/theirs > $DIR/to_them &
            until {listens}; do sleep 0.01; done
            limited $STRAIT socket connect {ours} < $DIR/ours > $DIR/to_us || echo $?
            wait $! || echo $?"
        ),
    );
}

#[test]
fn unix_streams_carry_any_bytes_from_and_to_socat() {
    if !present("unix_streams_carry_any_bytes_from_and_to_socat", &["socat"]) {
        return;
    }
    both_ways(&Place {
        listen: "UNIX-LISTEN:$DIR/socket".into(),
        connect: "UNIX-CONNECT:$DIR/socket".into(),
        ours: "$DIR/socket".into(),
        listens: "grep -q \"00010000 0001 01 .*$DIR/socket\" /proc/net/unix".into(),
    });
    let name = format!("strait-socat-{}", std::process::id());
    both_ways(&Place {
        listen: format!("ABSTRACT-LISTEN:{name}"),
        connect: format!("ABSTRACT-CONNECT:{name}"),
        ours: format!("@{name}"),
        listens: format!("grep -q '00010000 0001 01 .*@{name}' /proc/net/unix"),
    });
}

#[test]
fn tcp_carries_any_bytes_from_and_to_socat() {
    if !present("tcp_carries_any_bytes_from_and_to_socat", &["socat"]) {
        return;
    }
    // Free a moment ago: the kernel gives such numbers out in no order.
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    both_ways(&Place {
        listen: format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"),
        connect: format!("TCP:127.0.0.1:{port}"),
        ours: format!("tcp:127.0.0.1:{port}"),
        listens: format!("grep -q ' 0100007F:{port:04X} 00000000:0000 0A' /proc/net/tcp"),
    });
}
