//! What the facilities do on the kernel this runs on, one file for each.
//!
//! A test that needs a process of its own runs this binary again with a role: see [`Role`].

mod bells;
mod cell;
mod cpu;
mod fork;
mod futex;
#[cfg(feature = "test-kit")]
mod kill;
mod map;
mod membarrier;
mod memfd;
mod pass;
#[cfg(feature = "test-kit")]
mod seccomp;
mod signal;
mod slots;
mod spawn;
mod sysv;
mod thread;
mod uring;
mod window;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::map::{Access, Map};

const ROLE: &str = "STRAIT_SYS_ROLE";
const PEER_FD: &str = "STRAIT_SYS_FD";

/// A process of its own for one test: the test calls itself again and sees the role.
struct Role(Command);

impl Role {
    /// The role this process was started with, if the running test is to play one.
    fn mine() -> Option<String> {
        std::env::var(ROLE).ok()
    }

    fn new(test: &str, role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = test.strip_prefix("strait_sys::").unwrap();
        let name = name.trim_end_matches("::{{closure}}");
        command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).stdin(Stdio::null());
        command.stdout(Stdio::null()).env("RUST_BACKTRACE", "0");
        Self(command)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Lets the process open a file of ours: see [`peer_file`].
    fn file(self, fd: &OwnedFd) -> Self {
        let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        self.env(PEER_FD, &path)
    }

    /// For a process that is to fail.
    #[cfg(feature = "test-kit")]
    fn quiet(mut self) -> Self {
        self.0.stderr(Stdio::null());
        self
    }

    fn start(mut self) -> Child {
        self.0.spawn().unwrap()
    }

    fn run(mut self) -> ExitStatus {
        self.0.status().unwrap()
    }

    /// Plays the role and fails with it, or when no test was there to play it.
    fn passes(mut self) {
        let output = self.0.stdout(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}\n{text}\n{errors}",
            output.status
        );
        assert!(text.contains("1 passed"), "{text}");
    }

    fn dies_of(self, signal: i32) {
        let status = self.run();
        assert_eq!(status.signal(), Some(signal), "the other process: {status}");
    }
}

/// The file that the test which started us shares.
fn peer_file() -> OwnedFd {
    let path = std::env::var(PEER_FD).unwrap();
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A file in memory that can be truncated.
fn loose_file(size: u64) -> OwnedFd {
    let fd = rustix::fs::memfd_create(c"loose", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, size).unwrap();
    fd
}

fn sealed_file(size: u64) -> OwnedFd {
    crate::memfd::create(c"sealed", size, Mode::from_raw_mode(0o600)).unwrap()
}

fn shared(fd: &OwnedFd, len: usize) -> Map {
    Map::shared(fd.as_fd(), 0, len, Access::Write).unwrap()
}

/// Waits until it is so; a bound for what others must do, not a measurement.
fn soon(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while !so() {
        if Instant::now() > end {
            return false;
        }
        // sleep: between two looks.
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Whether the thread sleeps in this system call.
fn sleeps_in(thread: i32, call: libc::c_long) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
    text.is_ok_and(|text| text.split(' ').next() == Some(&call.to_string()))
}

fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// How many descriptors this process has: meaningful in a process of the test's own.
fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Forks; the child makes only async-signal-safe calls and exits with what they return.
/// Only for a process of the test's own: a child holds copies of every test's descriptors.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    assert!(Role::mine().is_some());
    // SAFETY: the child calls what its test promises and exits without unwinding or cleaning up.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = child();
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(code) };
    }
    assert!(pid > 0);
    exit_code(pid)
}

fn exit_code(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: waits for our own child and writes its status.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    ExitStatus::from_raw(status).code().unwrap_or(-1)
}

/// The full name of the running test, for [`Role::new`].
macro_rules! this_test {
    () => {{
        fn here() {}
        std::any::type_name_of_val(&here)
            .strip_suffix("::here")
            .unwrap()
    }};
}
use this_test;
