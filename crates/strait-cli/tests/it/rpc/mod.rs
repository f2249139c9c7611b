//! The verbs of remote procedure calls.

mod asked;
mod calls;
mod peers;
mod tls;

use serde_json::Value;

use crate::world::{Running, World};

/// A registry on ports of its own, and its socket.
struct Registry {
    _running: Running,
    port: u64,
    socket: String,
}

fn registry(world: &World) -> Registry {
    let socket = world
        .space
        .path()
        .join("registry.sock")
        .to_str()
        .unwrap()
        .to_owned();
    let mut running = world.start(&["rpc", "bind", "--socket", &socket, "--json"]);
    let places: Value = serde_json::from_str(&running.hear()).unwrap();
    let places = places.as_array().unwrap();
    let netids: Vec<_> = places
        .iter()
        .map(|place| place["netid"].as_str().unwrap())
        .collect();
    assert_eq!(netids, ["tcp", "local", "udp"]);
    assert_eq!(places[0]["port"], places[2]["port"], "one port for both");
    assert_eq!(places[1]["address"], *socket);
    let port = places[0]["port"].as_u64().unwrap();
    Registry {
        _running: running,
        port,
        socket,
    }
}

#[test]
fn a_registry_of_ones_own_tells_of_itself() {
    let world = World::new();
    let Registry { port, socket, .. } = &registry(&world);
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        socket.clone(),
    ] {
        let all: Value =
            serde_json::from_str(&world.good(&format!("rpc info {host} --json"))).unwrap();
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), 9, "three versions on three transports");
        assert!(
            all.iter()
                .all(|each| each["program"] == 100_000 && each["owner"] == "superuser")
        );
        let of_port: Value =
            serde_json::from_str(&world.good(&format!("rpc info -p {host} --json"))).unwrap();
        let ports = of_port.as_array().unwrap().iter();
        assert_eq!(ports.filter(|each| each["port"] == *port).count(), 6);
        let short = world.good(&format!("rpc info -s {host} --json"));
        let short: Value = serde_json::from_str(&short).unwrap();
        assert_eq!(short[0]["versions"], serde_json::json!([4, 3, 2]));
        assert_eq!(
            short[0]["netids"],
            serde_json::json!(["udp", "tcp", "local"])
        );
    }
    let listed = world.good(&format!("rpc info -l {socket} 100000 4"));
    let [high, low] = u16::try_from(*port).unwrap().to_be_bytes();
    assert!(
        listed.contains(&format!("127.0.0.1.{high}.{low}")),
        "{listed}"
    );
    assert!(listed.contains(socket), "{listed}");
    let counted = world.good(&format!("rpc info -m {socket}"));
    assert!(counted.contains("calls of procedure 4 "), "{counted}");
}

#[test]
fn programs_are_called_over_every_transport() {
    let world = World::new();
    let Registry { port, socket, .. } = &registry(&world);
    let [high, low] = u16::try_from(*port).unwrap().to_be_bytes();
    for line in [
        format!("-t 127.0.0.1:{port} 100000"),
        format!("-u 127.0.0.1:{port} 100000"),
        format!("-T tcp 127.0.0.1:{port} 100000"),
        format!("-T local {socket} 100000"),
        format!("-n {port} -t 127.0.0.1 100000"),
        format!("-n {port} -u localhost 0x186a0"),
        format!("-T udp -a 127.0.0.1.{high}.{low} 100000"),
        format!("-T local -a {socket} 100000"),
    ] {
        let ready = [2, 3, 4]
            .map(|version| format!("program 100000 version {version} ready and waiting\n"));
        assert_eq!(
            world.good(&format!("rpc info {line}")),
            ready.concat(),
            "{line}"
        );
        let one = world.good(&format!("rpc info {line} 3"));
        assert_eq!(one, ready[1], "{line}");
    }
    let wrong = world.strait(&format!("rpc info -n {port} -t 127.0.0.1 100000 9"));
    assert_eq!(wrong.status, Some(1));
    assert!(
        wrong.out.contains("version 9 is not available"),
        "{wrong:?}"
    );
    assert!(wrong.out.contains("versions 2 to 4"), "{wrong:?}");
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::new();
    let Registry { port, socket, .. } = &registry(&world);
    for (line, status, says) in [
        (
            format!("-t 127.0.0.1:{port} 700"),
            1,
            "program 0x2bc is not registered for tcp",
        ),
        (
            format!("-l {socket} 700 1"),
            1,
            "program 0x2bc version 1 is not registered",
        ),
        (
            format!("-d {socket} 700 1"),
            1,
            "not registered, or another's",
        ),
        (
            format!("-d {socket} 100000 4"),
            1,
            "not registered, or another's",
        ),
        (format!("-n {port} -t 127.0.0.1 700"), 1, "PROG_UNAVAIL"),
        ("/no/such.sock".to_owned(), 1, "/no/such.sock"),
        (
            format!("-t 127.0.0.1:{port} no-such-program"),
            2,
            "/etc/rpc",
        ),
        (
            format!("-t 127.0.0.1:{port} 700 one"),
            2,
            "a version is a number",
        ),
        (format!("-t 127.0.0.1:{port}"), 2, "HOST and PROGRAM"),
        (format!("-n 5 {socket}"), 2, "-n goes with"),
        ("-T tcp -a junk 100000".to_owned(), 2, "127.0.0.1.0.111"),
        ("-T sctp localhost 100000".to_owned(), 2, "udp6"),
        ("-p -s".to_owned(), 2, "cannot be used"),
        (
            "-b --to 127.0.0.1:9 --timeout 50ms 700 1".to_owned(),
            1,
            "nobody has answered within 50ms (a registry answers only if",
        ),
        ("no..such".to_owned(), 1, "no..such: "),
        ("127.0.0.1:99999".to_owned(), 2, "\"99999\" is no port"),
    ] {
        let ran = world.strait(&format!("rpc info {line}"));
        assert_eq!(
            (ran.status, &*ran.out),
            (Some(status), ""),
            "{line}: {ran:?}"
        );
        assert!(ran.err.contains(says), "{line}: {ran:?}");
    }
    let taken = world.strait(&format!("rpc bind --port {port}"));
    assert_eq!(taken.status, Some(125), "{taken:?}");
    assert!(
        taken.err.contains(&format!("127.0.0.1:{port}")),
        "{taken:?}"
    );
}
