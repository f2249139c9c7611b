//! Who listens on this machine, as `/proc/net` tells it: `proc_net(5)`.
//!
//! Reading needs no privilege and disturbs nobody. To try and bind an address instead would take
//! its port for a moment from the server that is about to start, and to connect would be noticed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait_wire::onc::rpcbind::{Netid, Uaddr};

/// Listening TCP, unconnected UDP, listening Unix sockets of this network namespace; `None` where
/// it cannot be known.
#[derive(Debug)]
pub(super) struct Sight {
    tcp: Option<HashSet<SocketAddr>>,
    udp: Option<HashSet<SocketAddr>>,
    local: Option<HashSet<String>>,
}

/// Column `st` of a TCP socket that listens, and of a UDP socket without a peer.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";
/// `__SO_ACCEPTCON` in the column `Flags` of a Unix socket.
const ACCEPTS: u32 = 1 << 16;

impl Sight {
    /// Looks. Blocks for as long as the kernel takes to list its sockets.
    pub(super) fn read() -> Self {
        Self {
            tcp: inet("tcp", LISTENS),
            udp: inet("udp", UNCONNECTED),
            local: lines("unix", local),
        }
    }

    /// Whether somebody listens there.
    pub(super) fn listens(&self, netid: Netid, address: &Uaddr) -> Option<bool> {
        let bound = match (netid, address) {
            (_, Uaddr::Local(path)) => return Some(self.local.as_ref()?.contains(path)),
            (Netid::Udp | Netid::Udp6, Uaddr::Inet(_)) => self.udp.as_ref()?,
            (_, Uaddr::Inet(_)) => self.tcp.as_ref()?,
        };
        let Uaddr::Inet(address) = address else {
            return None;
        };
        Some(bound.iter().any(|at| covers(*at, *address)))
    }
}

/// Whether a socket bound to `at` is one that may have been registered as `address`. One of "any"
/// IPv6 may take IPv4 too.
fn covers(at: SocketAddr, address: SocketAddr) -> bool {
    let (is, registered) = (at.ip().to_canonical(), address.ip());
    let is_any = is == IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let same_family = is.is_ipv4() == registered.is_ipv4();
    at.port() == address.port()
        && (is_any
            || same_family
                && (is.is_unspecified() || registered.is_unspecified() || is == registered))
}

fn inet(name: &str, state: &str) -> Option<HashSet<SocketAddr>> {
    let read = |line: &str| socket(line, state);
    let mut all = lines(name, read)?;
    // Without IPv6 there is no such file.
    all.extend(lines(&format!("{name}6"), read).unwrap_or_default());
    Some(all)
}

fn lines<T: Eq + std::hash::Hash>(
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<HashSet<T>> {
    let file = BufReader::new(File::open(format!("/proc/net/{name}")).ok()?);
    // The first line names the columns. The rest may hold any bytes, in names of sockets.
    let mut found = HashSet::new();
    for line in file.split(b'\n').skip(1) {
        let line = line.ok()?;
        found.extend(std::str::from_utf8(&line).ok().and_then(&read));
    }
    Some(found)
}

/// `sl local_address rem_address st …`.
fn socket(line: &str, state: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (ip, port) = words.next()?.split_once(':')?;
    if words.nth(1)? != state {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(address(ip)?, port))
}

/// Words of an address, each as this machine reads it from memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(8 * at..8 * at + 8)?, 16).ok();
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?.to_ne_bytes()).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *chunk = word(at)?.to_ne_bytes();
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`; the last may hold blanks.
fn local(line: &str) -> Option<String> {
    let mut rest = line;
    let mut flags = "";
    for column in 0..7 {
        let (word, after) = rest.trim_start().split_once(' ')?;
        if column == 3 {
            flags = word;
        }
        rest = after;
    }
    let flags = u32::from_str_radix(flags, 16).ok()?;
    (flags & ACCEPTS != 0 && rest.starts_with('/')).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{LISTENS, covers, local, socket};

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:006F 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0";
        assert_eq!(socket(line, LISTENS), "127.0.0.1:111".parse().ok());
        assert_eq!(socket(&line.replace("0A", "01"), LISTENS), None);
        let line = "  1: 00000000000000000000000001000000:0801 0:0000 0A 0";
        assert_eq!(socket(line, LISTENS), "[::1]:2049".parse().ok());
        assert_eq!(socket("  1: 00:0801 0:0000 0A 0", LISTENS), None);
        assert_eq!(socket("", LISTENS), None);
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01    42 /run/a b.sock";
        assert_eq!(local(line).as_deref(), Some("/run/a b.sock"));
        assert_eq!(local(&line.replace("/run", "@x /run")), None);
        assert_eq!(local(&line.replace("00010000", "00000000")), None);
        assert_eq!(local("0: 2 0 00010000 1 1 42"), None);
    }

    #[test]
    fn any_address_covers_all_and_is_covered_by_all() {
        let covers =
            |at: &str, address: &str| covers(at.parse().unwrap(), address.parse().unwrap());
        assert!(covers("0.0.0.0:5", "10.0.0.1:5"));
        assert!(covers("10.0.0.1:5", "0.0.0.0:5"));
        assert!(covers("[::]:5", "10.0.0.1:5"));
        assert!(covers("[::ffff:10.0.0.1]:5", "10.0.0.1:5"));
        assert!(!covers("10.0.0.1:5", "10.0.0.2:5"));
        assert!(!covers("0.0.0.0:5", "10.0.0.1:6"));
        assert!(!covers("0.0.0.0:5", "[::1]:5"));
        assert!(!covers("[::1]:5", "0.0.0.0:5"));
    }
}
