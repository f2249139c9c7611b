//! `strait socket`: what crosses, how it ends, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use strait::unix::socket::{Address, Seqpacket};

use crate::world::{Ran, World};

/// A directory that goes with the script that is run in it.
fn sh(world: &World, script: &str) -> Ran {
    world.sh(&format!(
        "D=$(mktemp -d) && cd \"$D\" || exit 99
         trap 'kill $(jobs -p) 2> /dev/null; rm -rf \"$D\"' EXIT
         {script}"
    ))
}

#[test]
fn big_binary_data_crosses_both_ways_at_once() {
    let world = World::new();
    for (kind, address) in [
        ("", "./s"),
        ("--seqpacket", "./s"),
        ("", "@strait-cli-$$"),
        ("", "./$(printf '%0150d' 0)/s"),
    ] {
        let ran = sh(
            &world,
            &format!(
                "mkdir -p \"$(dirname {address})\"
                 head -c 3000000 /dev/urandom > one; head -c 2000000 /dev/urandom > two
                 $STRAIT socket listen {kind} {address} < one > came_two &
                 $STRAIT wait socket:{address} --timeout 20s || exit 9
                 $STRAIT socket connect {kind} {address} < two > came_one || exit 8
                 wait $! || exit 7
                 cmp one came_one && cmp two came_two && echo same; ls {address}"
            ),
        );
        assert!(ran.out.starts_with("socket:"), "{address}: {ran:?}");
        assert!(ran.out.ends_with("same\n"), "{kind} {address}: {ran:?}");
    }
}

#[test]
fn the_end_of_input_is_the_peers_end() {
    let world = World::new();
    // The listener answers only once it has read to the end: a half of the connection closes.
    let ran = sh(
        &world,
        "mkfifo back
         $STRAIT socket listen ./s < back | wc -c > back &
         $STRAIT wait socket:./s > /dev/null
         printf 12345 | $STRAIT socket connect ./s",
    );
    assert_eq!((ran.status, ran.out.trim()), (Some(0), "5"), "{ran:?}");
}

#[test]
fn a_kept_listener_accepts_again_and_a_killed_one_is_taken_over() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT socket listen ./s --keep > got &
         keeper=$!
         $STRAIT wait socket:./s > /dev/null
         for word in one two three; do echo $word | $STRAIT socket connect ./s || exit 9; done
         $STRAIT socket info ./s | head -1 | grep -c \"($keeper)\"
         $STRAIT socket ls --listening | grep -c ' ./s$'
         $STRAIT socket listen ./s --timeout 1s; echo $?
         kill -9 $keeper; wait $keeper 2> /dev/null
         cat got
         $STRAIT socket connect ./s < /dev/null; echo $?
         $STRAIT socket listen ./s --timeout 1ms; echo $?
         ls s 2> /dev/null; echo gone",
    );
    let expected = "1\n1\n125\none\ntwo\nthree\n125\n124\ngone\n";
    assert_eq!(ran.out, expected, "{ran:?}");
    assert!(ran.err.contains("lives"), "{ran:?}");
    assert!(ran.err.contains("nobody listens there"), "{ran:?}");
}

#[test]
fn datagrams_are_sent_and_received() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT socket recv ./d --count 3 --lines > got &
         $STRAIT wait socket:./d > /dev/null
         $STRAIT socket send ./d first && printf 'sec\\0ond' | $STRAIT socket send ./d &&
         $STRAIT socket send ./d ''
         wait $!; echo $?
         od -An -c got | tr -s ' '
         $STRAIT socket send ./d nobody; echo $?
         $STRAIT socket recv udp:127.0.0.1:0 --timeout 1ms; echo $?",
    );
    let text = " f i r s t \\n s e c \\0 o n d \\n \\n\n";
    assert_eq!(ran.out, format!("0\n{text}125\n124\n"), "{ran:?}");
}

#[test]
fn tcp_is_relayed_and_names_are_looked_up() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let copied = std::io::copy(&mut socket.try_clone().unwrap(), &mut socket);
        copied.unwrap()
    });
    let ran = world.fed(&format!("socket connect tcp:localhost:{port}"), b"over TCP");
    assert_eq!((ran.status, &*ran.out), (Some(0), "over TCP"), "{ran:?}");
    assert_eq!(peer.join().unwrap(), 8);
    let ran = world.strait(&format!("socket connect tcp:127.0.0.1:{port}"));
    assert_eq!(ran.status, Some(125), "{ran:?}");
}

#[test]
fn a_port_that_was_drawn_is_told() {
    let world = World::new();
    for (verb, kind) in [("listen", "tcp"), ("recv", "udp")] {
        let address = format!("{kind}:127.0.0.1:0");
        let quiet = world.strait(&format!("socket {verb} {address} --timeout 0"));
        assert_eq!((quiet.status, &*quiet.out), (Some(124), ""));
        let note = format!("strait: socket {verb}: the address is {kind}:127.0.0.1:");
        let port = quiet.err.strip_prefix(&note).unwrap().trim();
        assert!(port.parse::<u16>().unwrap() > 0, "{quiet:?}");

        let mut one = world.start(&["socket", verb, &address, "--ready"]);
        let at = one.hear();
        let to = at.strip_prefix(&format!("{kind}:")).unwrap();
        if kind == "tcp" {
            TcpStream::connect(to).unwrap().write_all(b"hello").unwrap();
        } else {
            world.good(&format!("socket send {at} hello"));
        }
        let got = one.finish();
        assert_eq!((&*got.out, &*got.err), ("hello", ""), "{at}");

        let mut two = world.start(&["socket", verb, &address, "--ready", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&two.hear()).unwrap();
        let port = &told["port"];
        assert_eq!(
            told["address"],
            format!("{kind}:127.0.0.1:{port}"),
            "{told}"
        );
        two.kill();
    }
    // One that was asked for is not told unasked.
    let directory = world.space.path().join(".directory");
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("s");
    let ran = world.strait(&format!("socket listen {} --timeout 0", path.display()));
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(124), "", ""));
    let ready = world.strait(&format!(
        "socket recv {} --ready --timeout 0",
        path.display()
    ));
    assert_eq!(ready.out, format!("{}\n", path.display()), "{ready:?}");
}

#[test]
fn the_time_is_for_all_of_a_connection() {
    let world = World::new();
    let path = world.space.path().join(".silent");
    let silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let at = path.to_str().unwrap();
    // It is connected, for the kernel does that, and then hears nothing.
    let ran = world.strait(&format!("socket connect {at} --timeout 20ms"));
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(124), "", ""));
    drop(silent.accept().unwrap());
    // Nor does a reader of standard output that does not read hold it up.
    let mut running = world.start(&["socket", "connect", at, "--timeout", "200ms"]);
    let (mut flood, _) = silent.accept().unwrap();
    let _ = flood.write_all(&vec![b'x'; 4 << 20]);
    assert_eq!(running.child.wait().unwrap().code(), Some(124));
    // A listener's peer may be silent too.
    for keep in ["", "--keep"] {
        let ran = sh(
            &world,
            &format!(
                "mkfifo silent; exec 3<> silent
                 $STRAIT socket listen ./s {keep} --timeout 300ms > got & listener=$!
                 $STRAIT wait socket:./s --timeout 20s > /dev/null
                 $STRAIT socket connect ./s < silent > /dev/null &
                 wait $listener; echo $?; ls s 2> /dev/null; echo gone"
            ),
        );
        assert_eq!(ran.out, "124\ngone\n", "{keep}: {ran:?}");
    }
    let ran = sh(
        &world,
        "$STRAIT socket recv ./d --keep --timeout 300ms --lines & receiver=$!
         $STRAIT wait socket:./d --timeout 20s > /dev/null
         while $STRAIT socket send ./d again 2> /dev/null; do :; done
         wait $receiver; echo $?",
    );
    assert!(ran.out.ends_with("124\n"), "{ran:?}");
}

#[test]
fn whoever_is_gone_ends_the_relay() {
    let world = World::new();
    // A socket that is bound may not listen yet: connecting is tried again. The peer is killed
    // while this side still has an open, silent input.
    let ran = sh(
        &world,
        "mkfifo silent; exec 3<> silent
         echo bye | $STRAIT socket listen ./s > rest &
         listener=$!
         $STRAIT wait socket:./s > /dev/null
         while :; do
           $STRAIT socket connect ./s < silent > got 2> /dev/null
           code=$?; [ -s got ] && exit $code; sleep 0.01
         done &
         relay=$!
         until [ -s got ]; do sleep 0.01; done
         kill -9 $listener
         wait $relay; echo $?; cat got",
    );
    assert_eq!(ran.out, "0\nbye\n", "{ran:?}");
    // Nobody reads what comes: the relay ends.
    let ran = sh(
        &world,
        "yes | $STRAIT socket listen ./s &
         $STRAIT wait socket:./s > /dev/null
         listener=$!
         until $STRAIT socket connect ./s < /dev/null 2> /dev/null | head -2 | grep y; do
           sleep 0.01
         done
         wait $listener",
    );
    // 125 if input was left over that moment, which it nearly always is.
    assert_eq!(ran.out, "y\ny\n", "{ran:?}");
    assert!(matches!(ran.status, Some(0 | 125)), "{ran:?}");
}

#[test]
fn wrong_addresses_are_explained() {
    let world = World::new();
    for (line, why) in [
        ("socket connect nonsense", "write ./nonsense for a path"),
        ("wait socket:nonsense", "write ./nonsense for a path"),
        ("socket connect localhost:1", ": write tcp:localhost:1\n"),
        ("socket send localhost:1 x", ": write udp:localhost:1\n"),
        ("socket connect udp:127.0.0.1:1", "UDP has no connections"),
        ("socket recv tcp:127.0.0.1:1", "TCP has no datagrams"),
        (
            "socket connect /no/such/path",
            "there is no directory /no\n",
        ),
        (
            "socket listen /dev/shm/no/x",
            "there is no directory /dev/shm/no\n",
        ),
        ("socket connect ./nobody", "(no such file or directory)\n"),
        ("wait socket:tcp:127.0.0.1:1", "only a socket at"),
        ("run --pass a=socket:@a -- true", "can be passed"),
    ] {
        let ran = world.strait(line);
        assert_eq!(ran.status, Some(125), "{line}: {ran:?}");
        assert!(ran.err.contains(why), "{line}: {ran:?}");
    }
    for (text, cure) in [
        ("127.0.0.1", "127.0.0.1:80"),
        ("localhost:", "localhost:80"),
        ("[::1]", "[::1]:80"),
        ("::1", "[::1]:80"),
        ("", "localhost:80"),
    ] {
        let ran = world.strait(&format!("socket connect tcp:{text}"));
        let why = format!("tcp:{text}: the port is missing: write tcp:{cure}\n");
        assert!(ran.err.ends_with(&why), "{ran:?}");
    }
    for port in ["99999", "http", "-1"] {
        let ran = world.strait(&format!("socket connect tcp:localhost:{port}"));
        assert!(ran.err.contains(&format!("`{port}` is no port")), "{ran:?}");
    }
    let nobody = world.strait("wait socket:@strait-nobody --timeout 20ms");
    assert_eq!((nobody.status, &*nobody.out), (Some(124), ""));
}

#[test]
fn one_clients_fault_is_not_the_others() {
    let world = World::new();
    let at = format!("@strait-cli-kept-{}", std::process::id());
    let mut kept = world.start(&["socket", "listen", "--seqpacket", "--keep", &at]);
    let at: Address = at.parse().unwrap();
    let mut client = None;
    world.until("it listens", || {
        client = Seqpacket::connect(&at).ok();
        client.is_some()
    });
    client.take().unwrap().send(&[b'x'; 70_000]).unwrap();
    let good = Seqpacket::connect(&at).unwrap();
    good.send(b"still here\n").unwrap();
    assert_eq!(kept.hear(), "still here");
    kept.kill();
    let mut err = String::new();
    let errors = kept.child.stderr.take();
    errors.unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("longer than 65536"), "{err}");
}

#[test]
fn names_from_others_do_not_reach_the_terminal_as_they_are() {
    let world = World::new();
    let path = world.space.path().join("a\x1b[2Jb");
    let _listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    let listed = world.good("socket ls --listening");
    assert!(listed.contains("/a\\u{1b}[2Jb\n"), "{listed}");
    let refused = world.strait("socket connect ./none\x1b[2J");
    assert!(refused.err.contains("./none\\u{1b}[2J: "), "{refused:?}");
}
