//! LPC: many clients of one server, in several processes.

use std::fs;
use std::thread;

use strait::nt::lpc::{Client, Port};
use strait::{ErrorKind, Namespace};

use super::{client, options, reply_reversed};
use crate::peer::{Peer, say, told};
use crate::world::{USERS, as_user, no_users, refused, skip, until};

/// In a server: says what it is asked for, until its input ends.
pub(super) fn obey(port: &Port) {
    while let Some(what) = told() {
        match what.as_str() {
            "connections" => say(port.connections()),
            "descriptors" => say(fs::read_dir("/proc/self/fd").unwrap().count()),
            _ => say(memory()),
        }
    }
}

/// Bytes of the channels' files that this process maps; each file once.
fn memory() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut files: Vec<(&str, usize)> = maps
        .lines()
        .filter(|line| line.contains("/memfd:strait-"))
        .map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next().unwrap().split_once('-').unwrap();
            let at = |text| usize::from_str_radix(text, 16).unwrap();
            (fields.nth(3).unwrap(), at(end) - at(start))
        })
        .collect();
    files.sort_unstable();
    files.dedup_by_key(|(inode, _)| *inode);
    files.iter().map(|(_, len)| len).sum()
}

/// Holds so many clients and calls through all of them, as often as it is told.
pub(super) fn callers(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let count: usize = args[1].parse().unwrap();
    let mut clients: Vec<Client> = (0..count)
        .map(|_| client(&space).connect("port").unwrap())
        .collect();
    say("ready");
    while let Some(rounds) = told() {
        for round in 0..rounds.parse::<u64>().unwrap() {
            for (index, client) in clients.iter_mut().enumerate() {
                let request = [round, index as u64].map(u64::to_le_bytes).concat();
                let reply = client.call(&request).unwrap();
                assert!(reply.iter().eq(request.iter().rev()), "another's reply");
            }
        }
        say("done");
    }
}

#[test]
fn many_clients_of_several_processes_each_get_their_own_replies() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap();
    let mut server = Peer::start("lpc.server", &[path]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let before = server.ask("descriptors").parse::<usize>().unwrap();
    let mut peers: Vec<Peer> = (0..4)
        .map(|_| Peer::start("lpc.callers", &[path, "50"]))
        .collect();
    for peer in &mut peers {
        assert_eq!(peer.hear().as_deref(), Some("ready"));
    }
    assert_eq!(server.ask("connections"), "200");
    // What came with the last greetings is closed when they have been answered.
    until("there is a descriptor for each client", || {
        server.ask("descriptors").parse::<usize>().unwrap() <= before + 200 + 2
    });
    let memory = server.ask("memory").parse::<usize>().unwrap();
    assert!(
        memory / 200 <= 96 << 10,
        "{memory} bytes for 200 idle clients"
    );
    for peer in &mut peers {
        peer.tell("100");
    }
    // One process of them dies in the middle.
    let mut victim = peers.pop().unwrap();
    victim.kill();
    for peer in &mut peers {
        assert_eq!(peer.hear().as_deref(), Some("done"));
    }
    until("the dead have left", || server.ask("connections") == "150");
    drop(peers);
    until("all have left", || server.ask("connections") == "0");
    assert!(server.finish().success());
}

#[test]
fn a_full_port_says_so_and_has_room_again() {
    let space = Namespace::temporary().unwrap();
    let port = options(&space).clients_max(2).create("port").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| port.serve(reply_reversed).unwrap());
        let connect = || client(&space).connect("port");
        let (first, _second) = (connect().unwrap(), connect().unwrap());
        let error = refused(connect(), ErrorKind::Refused);
        assert!(error.to_string().contains("no room"), "{error}");
        drop(first);
        until("it has left", || port.connections() == 1);
        assert_eq!(connect().unwrap().call(b"ab").unwrap(), b"ba");
        port.close();
    });
}

#[test]
fn clients_of_other_users_are_known_and_served() {
    const TEST: &str = "clients_of_other_users_are_known_and_served";
    if let Some(why) = no_users() {
        return skip(TEST, why);
    }
    let place = std::env::temp_dir().join(format!("strait-lpc-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&place, mode).unwrap();
    let space = Namespace::directory(&place).unwrap();
    // A namespace others may look into.
    let _event = space.event("any").create().unwrap();
    let security = strait::Security::private().mode(0o666);
    let port = options(&space).security(security).create("port").unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut seen = Vec::new();
            port.serve(|call| {
                seen.push(call.client().uid);
                reply_reversed(call)
            })
            .unwrap();
            seen
        });
        let path = place.to_str().unwrap();
        let mut peers: Vec<Peer> = USERS
            .iter()
            .map(|uid| {
                let mut command = crate::peer::command("lpc.callers", &[path, "3"]);
                Peer::of(as_user(&mut command, *uid))
            })
            .collect();
        for peer in &mut peers {
            assert_eq!(peer.hear().as_deref(), Some("ready"));
            peer.tell("20");
        }
        for peer in &mut peers {
            assert_eq!(peer.hear().as_deref(), Some("done"));
        }
        port.close();
        let seen = serving.join().unwrap();
        for uid in USERS {
            assert_eq!(seen.iter().filter(|seen| **seen == uid).count(), 60);
        }
    });
    drop((port, space));
    fs::remove_dir_all(&place).unwrap();
}
