//! Groups: who joined hears, who did not or left does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait::unix::socket::{Address, Datagram, Interface, MulticastLoop, MulticastTtl, Reuse};
use strait::{ErrorKind, Result};

use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, is_root, permitted, refused, skip, within};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 255, 77, 7));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x7707));
/// A network of its own with an interface that takes multicast of IPv6, which lo does not.
const NETWORK: &str = "ip link set lo up && ip link add strait0 type veth peer name strait1 && \
    ip link set strait1 up && ip addr add fd00:77::1/64 dev strait0 nodad && \
    ip link set strait0 up && exec \"$@\"";

/// What a socket binds to that hears every address of the group's family.
fn any(group: IpAddr, port: u16) -> Address {
    let own = match group {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(own, port).into()
}

/// Is bound to the port `args[2]` and, as it is told, joins the group `args[0]` through the
/// interface `args[1]`, leaves it, or says what it hears.
pub(super) fn member(args: &[String]) {
    let group: IpAddr = args[0].parse().unwrap();
    let through = Interface::named(&args[1]).unwrap();
    let options = Datagram::options().reuse_address(Reuse::Yes);
    let socket = options.bind(&any(group, args[2].parse().unwrap())).unwrap();
    let Address::Inet(at) = socket.local_address().unwrap() else {
        panic!("an internet address");
    };
    say(at.port());
    while let Some(line) = told() {
        let mut buffer = [0; 16];
        match &*line {
            "join" => match socket.join(group, through) {
                Ok(()) => say("joined"),
                Err(error) => say(error),
            },
            "leave" => {
                socket.leave(group, through).unwrap();
                refused(socket.leave(group, through), ErrorKind::InvalidInput);
                say("left");
            }
            _ => {
                let came = socket.recv_for(&mut buffer, GUARD).unwrap();
                say(str::from_utf8(&buffer[..came.expect("in time").len]).unwrap());
            }
        }
    }
}

/// An error is this machine's: it has no such group. What is wrong beyond that, panics.
fn reaches(group: IpAddr, interface: &str) -> Result<()> {
    let through = Interface::named(interface)?;
    let sender = Datagram::bind(&any(group, 0))?;
    sender.multicast_through(through)?;
    sender.set(MulticastLoop(true))?;
    sender.set(MulticastTtl(1))?;
    let start = |port: &str| {
        let mut peer = Peer::start("socket.member", &[&group.to_string(), interface, port]);
        let port = peer.hear().unwrap();
        (peer, port)
    };
    let (mut one, port) = start("0");
    let (mut two, _) = start(&port);
    let port: u16 = port.parse().unwrap();
    let to = SocketAddr::new(group, port).into();
    assert_eq!(one.ask("join"), "joined");
    assert_eq!(two.ask("join"), "joined");
    sender.send_to(b"all", &to)?;
    assert_eq!(
        (one.ask("hear"), two.ask("hear")),
        ("all".into(), "all".into())
    );
    assert_eq!(two.ask("leave"), "left");
    sender.send_to(b"one", &to)?;
    assert_eq!(one.ask("hear"), "one");
    // Who had left, though bound to the same address, hears only what came after it joined again.
    assert_eq!(two.ask("join"), "joined");
    sender.send_to(b"again", &to)?;
    assert_eq!(
        (one.ask("hear"), two.ask("hear")),
        ("again".into(), "again".into())
    );
    assert!(one.finish().success() && two.finish().success());
    Ok(())
}

#[test]
fn a_group_is_heard_until_it_is_left() {
    let test = "a_group_is_heard_until_it_is_left";
    if let Err(error) = reaches(V4, "lo") {
        skip(test, format!("{V4} on lo: {error}"));
    }
    let wrapper = ["unshare", "-n", "sh", "-c", NETWORK, "sh"];
    if !is_root() || !permitted(&wrapper) {
        let why = "no network namespace of its own with a veth, which needs root and ip(8)";
        return skip("a_group_is_heard_until_it_is_left on IPv6", why);
    }
    let mut stage = Peer::of(&mut within(&wrapper, &command("socket.groups", &[])));
    assert_eq!(stage.hear().as_deref(), Some("heard"));
}

/// In a network of its own.
pub(super) fn groups(_: &[String]) {
    for group in [V4, V6] {
        reaches(group, "strait0").unwrap();
    }
    say("heard");
}

#[test]
fn what_is_no_group_is_refused() {
    let unix = Datagram::bind(&Address::Unnamed).unwrap();
    refused(
        unix.multicast_through(Interface::ANY),
        ErrorKind::Unsupported,
    );
    refused(Interface::named("no-such"), ErrorKind::InvalidInput);
    let datagram = Datagram::bind(&any(V4, 0)).unwrap();
    let not_one = datagram.join(IpAddr::from([10, 0, 0, 1]), Interface::ANY);
    refused(not_one, ErrorKind::InvalidInput);
    let nowhere = datagram.join(V4, Interface(u32::MAX >> 1));
    refused(nowhere, ErrorKind::InvalidInput);
}
