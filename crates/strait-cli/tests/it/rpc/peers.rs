//! Debian's rpcbind, rpcinfo and rpc.statd, in a network and a /run of their own, where port 111
//! and the usual socket are free.

use std::process::{Command, Stdio};

use crate::world::{Ran, STRAIT, World};

/// Makes the room: the loopback with a second address, which is a stranger's; files that statd
/// writes.
const ROOM: &str = "
    set -e
    ip link set lo up; ip addr add 192.0.2.1/32 dev lo
    mount -t tmpfs none /run
    if [ -d /var/lib/nfs ]; then cp -a /var/lib/nfs /run/nfs; mount --bind /run/nfs /var/lib/nfs; fi
    set +e
    # What it did, and how it ended.
    ran() { echo \"\\$ $*\"; timeout -k 1 20 \"$@\" 2>&1; echo \"= $?\"; }
    ours() {
        mkfifo /run/said; $STRAIT rpc bind --usual \"$@\" > /run/said & exec 3< /run/said
        read -r line <&3; rm /run/said
    }
    theirs() { rpcbind -f & until rpcinfo -p > /run/none 2>&1; do sleep 0.01; done; }
    statd() { # It registers its transports one after the other, UDP before TCP.
        rpc.statd -F --no-notify & statd=$!
        until known 'tcp .*status'; do sleep 0.01; done
    }
    known() { $STRAIT rpc info 2> /run/none | grep -q \"$1\"; }
    echo room
";

/// Runs lines of sh(1) there; `None`: it cannot be had here, which is said.
fn room(test: &str, programs: &[&str], script: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where a user's PATH does not lead, root's programs are.
    let path = format!("{}:/usr/sbin:/sbin", path.to_string_lossy());
    let is_there = |name: &str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
    let mut wanted = ["ip", "unshare"].iter().chain(programs);
    if let Some(name) = wanted.find(|name| !is_there(name)) {
        eprintln!("skipped {test}: no {name} here (`cargo xtask peers` installs it)");
        return None;
    }
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "90", "unshare", "-mnp", "--fork", "--mount-proc"]);
    command.args(["--kill-child", "sh", "-c", &format!("{ROOM}\n{script}")]);
    command
        .env("PATH", path)
        .env("STRAIT", STRAIT)
        .stdin(Stdio::null());
    let ran = Ran::of(command.output().unwrap());
    let Some(said) = ran.out.strip_prefix("room\n") else {
        eprintln!("skipped {test}: no namespaces here: {}", ran.err.trim_end());
        return None;
    };
    Some(said.to_owned())
}

/// What a command printed, and its status, by the words it was called with.
fn of<'s>(said: &'s str, words: &str) -> (&'s str, &'s str) {
    let found = said
        .split("$ ")
        .find_map(|part| part.strip_prefix(&format!("{words}\n")));
    let found = found.unwrap_or_else(|| panic!("{words}: not run: {said}"));
    // On a line of its own, for the commands say `version = 2`.
    let end = match found.starts_with("= ") {
        true => Some(0),
        false => found.find("\n= ").map(|at| at + 1),
    };
    let (printed, status) = found.split_at(end.unwrap_or_else(|| panic!("{words}: {said}")));
    (printed, status[2..].lines().next().unwrap_or_default())
}

fn ready(versions: &[u32]) -> String {
    let line = |version| format!("program 100000 version {version} ready and waiting\n");
    versions.iter().map(line).collect()
}

#[test]
fn rpcinfo_in_all_its_modes_finds_our_registry() {
    let test = "rpcinfo_in_all_its_modes_finds_our_registry";
    let calls = [
        ("rpcinfo -t 127.0.0.1 100000", &[2, 3, 4][..]),
        ("rpcinfo -u 127.0.0.1 100000", &[2, 3, 4]),
        ("rpcinfo -t 192.0.2.1 100000 3", &[3]),
        ("rpcinfo -u 192.0.2.1 100000 2", &[2]),
        ("rpcinfo -T tcp 127.0.0.1 100000 4", &[4]),
        ("rpcinfo -T local 127.0.0.1 100000 4", &[4]),
        ("rpcinfo -a 127.0.0.1.0.111 -T udp 100000 4", &[4]),
        ("rpcinfo -n 111 -t 127.0.0.1 100000 2", &[2]),
        ("rpcinfo -n 111 -u 127.0.0.1 100000 2", &[2]),
    ];
    let mut script = String::from("ours\n");
    for line in [
        "",
        " -p",
        " -p 192.0.2.1",
        " -s",
        " -s 127.0.0.1",
        " -m 127.0.0.1",
        " -l 192.0.2.1 100000 4",
        " -t 127.0.0.1 100000 7",
    ] {
        script += &format!("ran rpcinfo{line}\n");
    }
    for (line, _) in calls {
        script += &format!("ran {line}\n");
    }
    let Some(said) = room(test, &["rpcinfo"], &script) else {
        return;
    };
    for line in ["rpcinfo -p", "rpcinfo -p 192.0.2.1"] {
        let (printed, status) = of(&said, line);
        assert_eq!(status, "0", "{said}");
        for version in [2, 3, 4] {
            for protocol in ["tcp", "udp"] {
                let row = format!("100000    {version}   {protocol}    111  portmapper");
                assert!(printed.contains(&row), "{line}: {row}: {said}");
            }
        }
    }
    let (printed, _) = of(&said, "rpcinfo");
    assert!(
        printed.contains("local     /run/rpcbind.sock      portmapper superuser"),
        "{said}"
    );
    for line in ["rpcinfo -s", "rpcinfo -s 127.0.0.1"] {
        assert!(of(&said, line).0.contains("100000  4,3,2 "), "{said}");
    }
    assert!(
        of(&said, "rpcinfo -m 127.0.0.1")
            .0
            .contains("RPCBIND (version 4) statistics")
    );
    let (printed, _) = of(&said, "rpcinfo -l 192.0.2.1 100000 4");
    assert!(
        printed.contains("192.0.2.1.0.111"),
        "rewritten to what was reached: {said}"
    );
    for (line, versions) in calls {
        assert_eq!(of(&said, line), (&*ready(versions), "0"), "{line}: {said}");
    }
    let (printed, status) = of(&said, "rpcinfo -t 127.0.0.1 100000 7");
    assert!(
        printed.contains("low version = 2, high version = 4") && status == "1",
        "{said}"
    );
}

/// Version 1 of the program is taken back last.
fn are_listed_until_deleted(said: &str) {
    let (ports, _) = of(said, "rpcinfo -p");
    for row in [
        "1   udp   7777",
        "1   tcp   7777",
        "3   udp   7777",
        "3   tcp   7777",
    ] {
        assert!(
            ports.contains(&format!("536888097    {row}")),
            "{row}: {said}"
        );
    }
    let (short, _) = of(said, "rpcinfo -s");
    let owned = |line: &str| line.contains("536888097  3,1 ") && line.contains("superuser");
    assert!(short.lines().any(owned), "{said}");
    let (addresses, _) = of(said, "rpcinfo -l 127.0.0.1 536888097 1");
    for address in ["127.0.0.1.30.97", "/run/p.sock"] {
        assert!(addresses.contains(address), "{address}: {said}");
    }
    let (counted, _) = of(said, "rpcinfo -m");
    let asked = |line: &str| line.starts_with("536888097") && line.contains("tcp");
    assert!(counted.lines().any(asked), "{said}");
    assert_eq!(of(said, "rpcinfo -d 536888097 1"), ("", "0"), "{said}");
    let (left, _) = of(said, "rpcinfo -p 127.0.0.1");
    assert!(left.contains("536888097    3   tcp"), "{said}");
    assert!(!left.contains("536888097    1 "), "{said}");
}

/// Starts our registry, and our server of two versions of a program with a hole between them.
const SERVICES: &str = "
        echo 'program P { version V { int E(int) = 1; } = 1; version W { int E(int) = 1; } = 3; }
            = 0x20004321;' > /run/p.x
        any=0.0.0.0; if [ -e /proc/net/if_inet6 ]; then any='[::]'; fi
        ours
        $STRAIT rpc serve /run/p.x --tcp $any:7777 --udp $any:7777 --socket /run/p.sock \
            --register --echo > /run/places &
        # It says where once it is registered.
        until [ -s /run/places ]; do sleep 0.01; done\n";

#[test]
fn rpcinfo_in_all_its_modes_finds_our_services() {
    let test = "rpcinfo_in_all_its_modes_finds_our_services";
    let (one, three) = (536_888_097, 3);
    let ready = |version: u32| format!("program {one} version {version} ready and waiting\n");
    // Without a version it asks for 0, and hears of the lowest and the highest: there is a hole.
    let mismatch = "rpcinfo: RPC: Program/version mismatch; low version = 1, high version = 3\n";
    let absent = format!("program {one} version 2 is not available\n");
    let all = [mismatch, &ready(1), &absent, &ready(three)].concat();
    let calls = [
        ("-t 127.0.0.1 536888097", &all),
        ("-u 127.0.0.1 536888097", &all),
        ("-n 7777 -t 127.0.0.1 536888097", &all),
        ("-n 7777 -u 127.0.0.1 536888097 3", &ready(three)),
        ("-t 192.0.2.1 536888097 3", &ready(three)),
        ("-u 192.0.2.1 536888097 1", &ready(1)),
        ("-T tcp 127.0.0.1 536888097 1", &ready(1)),
        ("-T local 127.0.0.1 536888097", &all),
        ("-T tcp -a 127.0.0.1.30.97 536888097 1", &ready(1)),
    ];
    // Where there is IPv6.
    let six = [
        ("-T tcp6 ::1 536888097", &all),
        ("-T udp6 ::1 536888097 1", &ready(1)),
        ("-T tcp6 -a ::1.30.97 536888097 3", &ready(three)),
    ];
    let mut script = String::from(SERVICES);
    for (line, _) in &calls {
        script += &format!("ran rpcinfo {line}\n");
    }
    script += "if [ -e /proc/net/if_inet6 ]; then\n";
    for (line, _) in &six {
        script += &format!("ran rpcinfo {line}\n");
    }
    script += "fi
        for line in '-p' '-s' '-l 127.0.0.1 536888097 1' '-m' '-d 536888097 1' '-p 127.0.0.1'
        do ran rpcinfo $line; done";
    let Some(said) = room(test, &["rpcinfo"], &script) else {
        return;
    };
    let has_six = said.contains("-T tcp6");
    let six = six.iter().filter(|_| has_six);
    for (line, printed) in calls.iter().chain(six) {
        let status = if *printed == &all { "1" } else { "0" };
        let line = format!("rpcinfo {line}");
        // What goes to standard error may come before or after.
        let (told, ended) = of(&said, &line);
        let [told, printed] = [told, printed].map(|text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            lines
        });
        assert_eq!((told, ended), (printed, status), "{line}: {said}");
    }
    are_listed_until_deleted(&said);
}

#[test]
fn a_broadcast_finds_who_our_registry_calls() {
    let test = "a_broadcast_finds_who_our_registry_calls";
    // A card whose broadcasts come back, and a program that answers datagrams.
    let script = "
        ip link add d0 type veth peer name d1 2> /run/none || { echo no card; exit; }
        ip addr add 10.9.0.1/24 broadcast + dev d0; ip link set d0 up; ip link set d1 up
        echo 'program P { version V { int E(int) = 1; } = 1; } = 0x20004321;' > /run/p.x
        asks() { echo \"$ $1\"; $STRAIT rpc info -b --timeout 1s $2 536888097 1; echo \"= $?\"; }
        ours --indirect
        $STRAIT rpc serve /run/p.x --udp 0.0.0.0:7777 --register --echo > /run/none &
        until known 536888097; do sleep 0.01; done
        asks all; asks one '--to 10.9.0.1'; asks nobody '--to 10.9.0.1:9'
        echo '$ rpcinfo -b'; timeout -k 1 40 rpcinfo -b 536888097 1 2>&1; echo \"= $?\"
    ";
    let Some(said) = room(test, &["rpcinfo"], script) else {
        return;
    };
    if said == "no card\n" {
        return eprintln!("skipped {test}: no network cards are to be made here");
    }
    let expected = [
        "HOST",
        "ADDRESS",
        "PORT",
        "10.9.0.1",
        "10.9.0.1.30.97",
        "7777",
    ];
    for line in ["all", "one"] {
        let (printed, status) = of(&said, line);
        let words: Vec<&str> = printed.split_whitespace().collect();
        assert_eq!((&*words, status), (&expected[..], "0"), "{line}: {said}");
    }
    assert_eq!(of(&said, "nobody").1, "1", "{said}");
    let (printed, _) = of(&said, "rpcinfo -b");
    assert!(printed.contains("10.9.0.1.30.97"), "{said}");
}

#[test]
fn statd_registers_with_us_and_goes_when_it_is_unset_or_killed() {
    let test = "statd_registers_with_us_and_goes_when_it_is_unset_or_killed";
    let script = "
        ours; statd
        ran rpcinfo -t 127.0.0.1 status
        ran rpcinfo -u 192.0.2.1 status
        ran setpriv --reuid 4321 --clear-groups rpcinfo -d status 1
        ran rpcinfo -p
        ran rpcinfo -d status 1
        ran rpcinfo -s
        kill -9 $statd; wait $statd 2> /run/none
        statd; kill -9 $statd
        while known status; do sleep 0.05; done
        echo '$ gone'; echo '= 0'";
    let Some(said) = room(test, &["rpcinfo", "rpc.statd", "setpriv"], script) else {
        return;
    };
    let up = ("program 100024 version 1 ready and waiting\n", "0");
    assert_eq!(of(&said, "rpcinfo -t 127.0.0.1 status"), up, "{said}");
    assert_eq!(of(&said, "rpcinfo -u 192.0.2.1 status"), up, "{said}");
    let stranger = "setpriv --reuid 4321 --clear-groups rpcinfo -d status 1";
    assert_eq!(of(&said, stranger).1, "1", "another user's: {said}");
    assert!(of(&said, "rpcinfo -p").0.contains("status"), "{said}");
    assert_eq!(of(&said, "rpcinfo -d status 1").1, "0", "{said}");
    assert!(!of(&said, "rpcinfo -s").0.contains("status"), "{said}");
    assert_eq!(of(&said, "gone").1, "0", "{said}");
}

#[test]
fn strangers_register_nothing_and_get_short_datagrams() {
    let test = "strangers_register_nothing_and_get_short_datagrams";
    let script = "
        ours
        ran python3 -c '
import socket, struct
def call(proc, version, args=b\"\"):
    return struct.pack(\">10I\", 7, 0, 2, 100000, version, proc, 0, 0, 0, 0) + args
def ask(message, source):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.settimeout(10)
    udp.bind((source, 0)); udp.sendto(message, (source, 111))
    return udp.recv(65536)
mapping = struct.pack(\">4I\", 700, 1, 6, 777)
for source in [\"192.0.2.1\", \"127.0.0.1\"]:
    for version in [2, 3, 4]:
        message = call(4, version)
        reply = ask(message, source)
        status = struct.unpack(\">6I\", reply[:24])[5]
        print(source, version, status, len(reply) <= 3 * len(message))
    reply = ask(call(1, 2, mapping), source)
    print(source, \"set\", struct.unpack(\">I\", reply[24:])[0])
'";
    let Some(said) = room(test, &["python3"], script) else {
        return;
    };
    let told: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with(['1', '2']))
        .collect();
    // Accept status 5 is SYSTEM_ERR. Nine rows of version 2 do not fit either.
    assert_eq!(
        told,
        [
            "192.0.2.1 2 5 True",
            "192.0.2.1 3 5 True",
            "192.0.2.1 4 5 True",
            "192.0.2.1 set 0",
            "127.0.0.1 2 0 False",
            "127.0.0.1 3 0 False",
            "127.0.0.1 4 0 False",
            "127.0.0.1 set 1",
        ],
        "{said}"
    );
}

#[test]
fn our_info_asks_debians_rpcbind_and_statd() {
    let test = "our_info_asks_debians_rpcbind_and_statd";
    let script = "
        theirs; statd
        for line in '' '-p' '-p 127.0.0.1' '-s' '-m' '-l 127.0.0.1 portmapper 4' \\
            '-t 127.0.0.1 status' '-u 127.0.0.1 status 1' '-t 127.0.0.1 portmapper' \\
            '-T local /run/rpcbind.sock portmapper 4' '-n 111 -u 127.0.0.1 portmapper 2' \\
            '-d status 1' '-s 127.0.0.1'
        do ran strait rpc info $line; done";
    // As a word that does not depend on where the program is.
    let script = format!("strait() {{ $STRAIT \"$@\"; }}\n{script}").replace(
        "ran strait rpc info $line",
        "echo \"\\$ $line\"; strait rpc info $line 2>&1; echo \"= $?\"",
    );
    let Some(said) = room(test, &["rpcbind", "rpcinfo", "rpc.statd"], &script) else {
        return;
    };
    for line in [
        "",
        "-p",
        "-p 127.0.0.1",
        "-s",
        "-m",
        "-l 127.0.0.1 portmapper 4",
    ] {
        assert_eq!(of(&said, line).1, "0", "{line}: {said}");
    }
    assert!(
        of(&said, "").0.contains("100000   4        local"),
        "{said}"
    );
    assert!(of(&said, "-p").0.contains("status"), "{said}");
    assert!(of(&said, "-s").0.contains("4,3,2"), "{said}");
    let (all, one) = (ready(&[2, 3, 4]), ready(&[4]));
    let status = "program 100024 version 1 ready and waiting\n";
    for (line, printed) in [
        ("-t 127.0.0.1 status", status),
        ("-u 127.0.0.1 status 1", status),
        ("-t 127.0.0.1 portmapper", &all),
        ("-T local /run/rpcbind.sock portmapper 4", &one),
        ("-n 111 -u 127.0.0.1 portmapper 2", &ready(&[2])),
    ] {
        assert_eq!(of(&said, line), (printed, "0"), "{line}: {said}");
    }
    assert_eq!(of(&said, "-d status 1").1, "0", "{said}");
    assert!(!of(&said, "-s 127.0.0.1").0.contains("status"), "{said}");
}

#[test]
fn our_call_asks_debians_rpcbind_and_statd_by_their_own_files() {
    let test = "our_call_asks_debians_rpcbind_and_statd_by_their_own_files";
    let [statd, rpcbind] = ["rpcsvc/sm_inter.x", "tirpc/rpc/rpcb_prot.x"]
        .map(|file| std::path::Path::new("/usr/include").join(file));
    if !statd.exists() || !rpcbind.exists() {
        return eprintln!(
            "skipped {test}: no sm_inter.x or rpcb_prot.x here (`cargo xtask peers` installs them)"
        );
    }
    let name = serde_json::json!({"mon_name": "localhost"});
    let whom = serde_json::json!({
        "r_prog": 100_000, "r_vers": 4, "r_netid": "", "r_addr": "", "r_owner": ""
    });
    let script = format!(
        "
        asks() {{ echo \"$ $1\"; shift; $STRAIT rpc call \"$@\" 2>&1; echo \"= $?\"; }}
        theirs; statd
        asks tcp {statd} 127.0.0.1 SM_STAT '{name}'
        asks udp {statd} udp://127.0.0.1 SM_STAT '{name}'
        asks void --null {statd} 127.0.0.1
        asks where {rpcbind} 127.0.0.1:111 --program RPCBPROG --version 4 RPCBPROC_GETADDR \
            '{whom}'
        asks all {rpcbind} 127.0.0.1:111 --program RPCBPROG --version 4 RPCBPROC_DUMP",
        statd = statd.display(),
        rpcbind = rpcbind.display()
    );
    let Some(said) = room(test, &["rpcbind", "rpcinfo", "rpc.statd"], &script) else {
        return;
    };
    for line in ["tcp", "udp"] {
        let (printed, status) = of(&said, line);
        let known = printed.starts_with("{\"res_stat\":\"stat_succ\",\"state\":");
        assert!(known && status == "0", "{line}: {said}");
    }
    assert_eq!(of(&said, "void"), ("null\n", "0"), "{said}");
    assert_eq!(of(&said, "where"), ("\"127.0.0.1.0.111\"\n", "0"), "{said}");
    let all: serde_json::Value = serde_json::from_str(of(&said, "all").0).unwrap();
    let statd = |each: &serde_json::Value| {
        let map = &each["rpcb_map"];
        map["r_prog"] == 100_024 && map["r_netid"] == "udp"
    };
    assert!(all.as_array().unwrap().iter().any(statd), "{said}");
}

#[test]
fn a_name_of_both_families_is_called_by_the_one_that_is_meant() {
    let test = "a_name_of_both_families_is_called_by_the_one_that_is_meant";
    let script = "
        printf '127.0.0.1 both\\n::1 both\\n' > /run/hosts; mount --bind /run/hosts /etc/hosts
        mkfifo /run/said; $STRAIT rpc bind --port 7111 > /run/said & exec 3< /run/said
        read -r line <&3
        for line in '-n 7111 -t both' '-n 7111 -u both' '-u both:7111' '-n 7111 -T tcp6 both' \\
            '-T tcp6 -n 7111 127.0.0.1'
        do echo \"\\$ $line\"; $STRAIT rpc info $line 100000 4 2>&1; echo \"= $?\"; done";
    let Some(said) = room(test, &[], script) else {
        return;
    };
    let ready = ready(&[4]);
    for line in ["-n 7111 -t both", "-n 7111 -u both", "-u both:7111"] {
        assert_eq!(of(&said, line), (&*ready, "0"), "{line}: {said}");
    }
    let (printed, status) = of(&said, "-n 7111 -T tcp6 both");
    assert!(printed.contains("[::1]:7111: refused"), "{said}");
    assert_eq!(status, "1", "{said}");
    let (printed, status) = of(&said, "-T tcp6 -n 7111 127.0.0.1");
    assert!(printed.contains("127.0.0.1: no address of IPv6"), "{said}");
    assert_eq!(status, "1", "{said}");
}

#[test]
fn the_usual_places_take_a_privilege() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("skipped the_usual_places_take_a_privilege: run by root");
    }
    let ran = World::new().strait("rpc bind --usual");
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert!(
        ran.err.contains("denied") || ran.err.contains("taken"),
        "{ran:?}"
    );
}
