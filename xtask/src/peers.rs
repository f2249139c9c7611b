//! `cargo xtask peers`: the foreign programs that the tests of `strait::unix` and `strait::rpc`
//! talk to, from Debian and PyPI.
//!
//! What is there stays as it is, so that a second run does nothing. Packages of Debian need root;
//! without it, what to install is printed. A test whose peer is missing skips itself with a reason,
//! so nothing here has to succeed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is the other party of a test.
struct Peer {
    name: &'static str,
    /// Debian's package.
    package: &'static str,
    probe: Probe,
}

/// How to see that it is there.
enum Probe {
    /// This succeeds.
    Runs(&'static [&'static str]),
    /// These are programs on the PATH.
    Programs(&'static [&'static str]),
    /// This file is there.
    File(&'static str),
    /// The programs of a server, in a folder for each version.
    Postgres,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "fakeroot's faked-sysv",
        package: "fakeroot",
        probe: Probe::Programs(&["faked-sysv", "fakeroot-sysv"]),
    },
    Peer {
        name: "PostgreSQL",
        package: "postgresql",
        probe: Probe::Postgres,
    },
    Peer {
        name: "Perl's IPC::SysV",
        package: "perl",
        probe: Probe::Runs(&["perl", "-MIPC::Semaphore", "-MIPC::SharedMem", "-e", "1"]),
    },
    Peer {
        name: "ipcs, ipcrm and ipcmk",
        package: "util-linux",
        probe: Probe::Programs(&["ipcs", "ipcrm", "ipcmk"]),
    },
    Peer {
        name: "socat",
        package: "socat",
        probe: Probe::Programs(&["socat"]),
    },
    Peer {
        name: "libtirpc's headers",
        package: "libtirpc-dev",
        probe: Probe::File("/usr/include/tirpc/rpc/rpc.h"),
    },
    Peer {
        name: "rpcgen and Sun's .x files",
        package: "rpcsvc-proto",
        probe: Probe::Runs(&[
            "sh",
            "-c",
            "rpcgen --version && test -f /usr/include/rpcsvc/mount.x",
        ]),
    },
    Peer {
        name: "NIS's .x files",
        package: "libnsl-dev",
        probe: Probe::File("/usr/include/rpcsvc/nis.x"),
    },
    Peer {
        name: "rpcbind and rpcinfo",
        package: "rpcbind",
        probe: Probe::Programs(&["rpcbind", "rpcinfo"]),
    },
    Peer {
        name: "rpc.statd",
        package: "nfs-common",
        probe: Probe::Programs(&["rpc.statd"]),
    },
    Peer {
        name: "ip, which makes networks for the tests of rpcbind",
        package: "iproute2",
        probe: Probe::Programs(&["ip"]),
    },
    Peer {
        name: "stress-ng",
        package: "stress-ng",
        probe: Probe::Programs(&["stress-ng"]),
    },
    Peer {
        name: "Python's venv",
        package: "python3-venv",
        probe: Probe::Runs(&["python3", "-c", "import venv, ensurepip"]),
    },
];

/// Python's binding of System V IPC, and the version that the tests know.
const SYSV_IPC: &str = "sysv_ipc==1.2.0";

/// How long all that needs the network may take together.
const NETWORK_MAX: Duration = Duration::from_secs(90);

/// What is left of that.
struct Network(Instant);

impl Network {
    /// The words that run a command for as long as there is left.
    fn limit(&self) -> [String; 2] {
        let left = NETWORK_MAX.saturating_sub(self.0.elapsed());
        // timeout(1) takes 0 for no limit.
        ["timeout".into(), left.as_secs().max(1).to_string()]
    }
}

/// Installs what is missing; an error says what could not be had.
pub(crate) fn run(_: &Path, args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("takes no arguments".into());
    }
    let (there, missing): (Vec<&Peer>, Vec<&Peer>) =
        PEERS.iter().partition(|peer| peer.probe.succeeds());
    for peer in there {
        println!("peers: {} (package {}): there", peer.name, peer.package);
    }
    let network = Network(Instant::now());
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|peer| peer.package).collect();
        if let Err(why) = install(&packages, &network) {
            println!("peers: {why}");
        }
    }
    let mut lacking = Vec::new();
    for peer in missing {
        let had = peer.probe.succeeds();
        let state = if had { "installed" } else { "could not be had" };
        println!("peers: {} (package {}): {state}", peer.name, peer.package);
        if !had {
            lacking.push(peer.name);
        }
    }
    match sysv_ipc(&target()?.join("peers/venv"), &network) {
        Ok(state) => println!("peers: {SYSV_IPC}: {state}"),
        Err(why) => {
            println!("peers: {SYSV_IPC}: could not be had: {why}");
            lacking.push(SYSV_IPC);
        }
    }
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(format!("could not be had: {}", lacking.join(", ")))
    }
}

/// The target folder that this program was built into, where the tests are built into as well.
fn target() -> Result<PathBuf, String> {
    let itself = env::current_exe().map_err(|error| format!("who am I: {error}"))?;
    let target = itself.parent().and_then(Path::parent);
    Ok(target.ok_or("built into no target folder")?.to_path_buf())
}

impl Probe {
    fn succeeds(&self) -> bool {
        match self {
            Self::Runs(words) => quiet(words),
            Self::Programs(names) => names.iter().all(|name| on_path(name)),
            Self::File(path) => Path::new(path).is_file(),
            Self::Postgres => fs::read_dir("/usr/lib/postgresql").is_ok_and(|versions| {
                let mut versions = versions.flatten();
                versions.any(|version| version.path().join("bin/initdb").exists())
            }),
        }
    }
}

fn on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn quiet(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Downloads within a limit of time, and then installs without one: dpkg is not to be interrupted.
fn install(packages: &[&str], network: &Network) -> Result<(), String> {
    let list = packages.join(" ");
    if !on_path("apt-get") {
        return Err(format!("no apt-get here; Debian's names are: {list}"));
    }
    let id = Command::new("id").arg("-u").output();
    if id.map_err(|error| format!("id: {error}"))?.stdout != b"0\n" {
        let line = format!("apt-get install --no-install-recommends {list}");
        return Err(format!("only root can install packages; as root: {line}"));
    }
    // Without fresh lists, what is known already may still do.
    if let Err(why) = apt_get(Some(network), &["update"]) {
        println!("peers: {why}");
    }
    // One by one, so that one that cannot be had keeps no other away.
    for package in packages {
        let install = |network, where_from| {
            let words = [
                "install",
                "-y",
                "--no-install-recommends",
                where_from,
                package,
            ];
            apt_get(network, &words)
        };
        let fetched = install(Some(network), "--download-only");
        if let Err(why) = fetched.and_then(|()| install(None, "--no-download")) {
            println!("peers: {why}");
        }
    }
    Ok(())
}

fn apt_get(network: Option<&Network>, words: &[&str]) -> Result<(), String> {
    let mut line = network.map_or_else(Vec::new, |network| network.limit().to_vec());
    line.push("apt-get".into());
    let options = [
        "-qq",
        "-o",
        "Acquire::Retries=1",
        "-o",
        "DPkg::Lock::Timeout=20",
    ];
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).args(options).args(words);
    // RUNLEVEL: a server that is installed is not started.
    command.envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")]);
    success(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

/// Installs the binding into an environment of its own, if it is not there.
fn sysv_ipc(venv: &Path, network: &Network) -> Result<&'static str, String> {
    let python = venv.join("bin/python3");
    let mut probe = Command::new(&python);
    probe.args(["-c", "import sysv_ipc"]).stdin(Stdio::null());
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return Ok("there");
    }
    success(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    let [timeout, left] = network.limit();
    let mut pip = Command::new(timeout);
    pip.arg(left).arg(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "1",
        SYSV_IPC,
    ]);
    success(pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1"))?;
    Ok("installed")
}

fn success(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Probe, success};
    use std::process::Command;

    #[test]
    fn what_is_there_is_seen() {
        assert!(Probe::Programs(&["sh", "cat"]).succeeds());
        assert!(!Probe::Programs(&["sh", "no-such-program"]).succeeds());
        assert!(Probe::Runs(&["sh", "-c", "exit 0"]).succeeds());
        assert!(!Probe::Runs(&["sh", "-c", "exit 3"]).succeeds());
        assert!(!Probe::Runs(&["no-such-program"]).succeeds());
    }

    #[test]
    fn a_failure_says_what_failed_and_how() {
        let why = success(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(why.contains("exit 3") && why.contains("status: 3"), "{why}");
    }
}
