//! PostgreSQL, whose server looks at a System V segment for whether another one still runs on its
//! data: what keeps that segment in use keeps the server from starting.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use strait::unix::shm::{Read, Segment};

use crate::world::{as_user, is_root, skip, until};

/// The user `nobody`, for root: the server refuses root, and users who are in no list.
const NOBODY: u32 = 65_534;

/// How long a server may take to end.
const ENDING_MAX: Duration = Duration::from_secs(15);

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    folders.filter(|at| at.join("initdb").exists()).max()
}

/// A folder with a server's data, and a server that may run on it. All goes with the value.
struct Data {
    programs: PathBuf,
    at: PathBuf,
    server: Option<Child>,
    /// What servers had that were ready.
    segments: Vec<Segment>,
}

impl Data {
    fn new(programs: PathBuf) -> Self {
        let at = std::env::temp_dir().join(format!("strait-postgres-{}", std::process::id()));
        fs::create_dir(&at).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(&at, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self {
            programs,
            at,
            server: None,
            segments: Vec::new(),
        }
    }

    /// One of the programs on the data, as an ordinary user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(self.at.join("data"));
        command.current_dir(&self.at).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if is_root() {
            as_user(&mut command, NOBODY);
        }
        command
    }

    /// Starts a server. What it says is in `log`.
    fn start(&mut self) {
        let log = File::create(self.log()).unwrap();
        let mut command = self.command("postgres");
        for setting in [
            "shared_memory_type=sysv",
            "dynamic_shared_memory_type=mmap",
            "shared_buffers=1MB",
            "max_connections=5",
            "huge_pages=off",
            "fsync=off",
            "listen_addresses=",
        ] {
            command.args(["-c", setting]);
        }
        // It has to listen somewhere.
        command.arg("-k").arg(&self.at);
        self.server = Some(command.stderr(log).spawn().unwrap());
    }

    fn log(&self) -> PathBuf {
        self.at.join("log")
    }

    /// Waits until the server that was started is ready, and knows its segment then.
    fn until_ready(&mut self) -> Segment {
        let file = self.at.join("data/postmaster.pid");
        let mut lines = Vec::new();
        until("the server is ready", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            lines = text.lines().map(str::to_owned).collect();
            let server = self.server.as_mut().unwrap();
            let ended = server.try_wait().unwrap();
            assert_eq!(ended, None, "{}", read(&self.at.join("log")));
            // A killed one has left its own lines.
            let is_its = lines.first() == Some(&server.id().to_string());
            is_its && lines.get(7).is_some_and(|state| state.trim() == "ready")
        });
        // The seventh line has the segment's key and id.
        let id = lines[6].split_whitespace().nth(1).unwrap();
        let segment = Segment::from_id(id.parse().unwrap()).unwrap();
        self.segments.push(Segment::from_id(segment.id()).unwrap());
        segment
    }

    /// Sends the server a signal, if one is given, and waits for its end; kills it if that does not
    /// come.
    fn ended(&mut self, asked: Option<Signal>) -> Option<ExitStatus> {
        let mut server = self.server.take()?;
        if let Some(signal) = asked {
            kill_process(Pid::from_child(&server), signal).unwrap();
        }
        let since = Instant::now();
        while since.elapsed() < ENDING_MAX {
            if let Some(status) = server.try_wait().unwrap() {
                return Some(status);
            }
            // sleep: between two looks at another process, which announces nothing
            std::thread::sleep(Duration::from_millis(5));
        }
        // Its children see that by themselves.
        let _ = server.kill();
        let _ = server.wait();
        None
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // Only where the test has failed is any of this left. SIGQUIT is an orderly end, at once.
        self.ended(Some(Signal::QUIT));
        for segment in &self.segments {
            let _ = segment.remove();
        }
        let _ = fs::remove_dir_all(&self.at);
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_server_starts_only_when_nobody_has_its_old_segment() {
    let test = "a_server_starts_only_when_nobody_has_its_old_segment";
    let Some(programs) = programs() else {
        return skip(
            test,
            "no PostgreSQL in /usr/lib/postgresql (`cargo xtask peers` installs it)",
        );
    };
    let mut data = Data::new(programs);
    let mut initdb = data.command("initdb");
    initdb.args([
        "--no-sync",
        "--no-locale",
        "--encoding=UTF8",
        "--auth=trust",
    ]);
    let initdb = initdb.output().unwrap();
    let said = String::from_utf8_lossy(&initdb.stderr);
    assert!(initdb.status.success(), "initdb: {said}");

    data.start();
    let segment = data.until_ready();
    assert!(segment.stat().unwrap().attached > 0);
    let view = segment.attach::<Read>().unwrap();
    data.ended(Some(Signal::KILL)).unwrap();
    // Its children see that it has gone, and go.
    until("only we have it attached", || {
        segment.stat().unwrap().attached == 1
    });

    // Ours could be one of its processes that still writes.
    data.start();
    let status = data.ended(None);
    let said = read(&data.log());
    assert!(!status.expect("it ends").success(), "{said}");
    let (key, id) = (segment.key().number(), segment.id());
    let refusal = format!("pre-existing shared memory block (key {key}, ID {id}) is still in use");
    assert!(said.contains(&refusal), "{said}");

    drop(view);
    data.start();
    let next = data.until_ready();
    assert_ne!(next.id(), id, "it has removed the old one");
    let status = data.ended(Some(Signal::INT));
    assert!(status.expect("it ends").success(), "{}", read(&data.log()));
    let left = [segment, next].map(|segment| segment.stat().map(|stat| stat.id));
    assert!(left.iter().all(Result::is_err), "{left:?}");
}
