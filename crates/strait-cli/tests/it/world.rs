//! A namespace of a test's own, and the program in it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};
use strait::Namespace;
use strait_sys::sigaction::{self, Action};
use strait_sys::signal;

/// The program.
pub(crate) const STRAIT: &str = env!("CARGO_BIN_EXE_strait");

/// A namespace that goes with the value.
pub(crate) struct World {
    pub(crate) space: Namespace,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        // A shell has its background commands ignore the first two, and nohup the third: the
        // program would ignore them as well.
        use signal::Signal;
        for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
            sigaction::set(signal, Action::Default).unwrap();
        }
        let space = Namespace::temporary().unwrap();
        Self { space }
    }

    /// The program with `--ns` and these arguments.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(STRAIT);
        command
            .arg("--ns")
            .arg(self.space.path())
            .args(arguments)
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end. The arguments are words of one line.
    pub(crate) fn strait(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ran::of(self.command(&words).output().unwrap())
    }

    /// Runs it with this on its standard input.
    pub(crate) fn fed(&self, line: &str, input: &[u8]) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut child = self
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may refuse to read all of it.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs it, and it must succeed without a word of complaint. What it printed.
    pub(crate) fn good(&self, line: &str) -> String {
        let ran = self.strait(line);
        assert_eq!((ran.status, &*ran.err), (Some(0), ""), "{line}: {ran:?}");
        ran.out
    }

    /// Runs a line of sh(1) in which `$STRAIT` is the program in this namespace.
    pub(crate) fn sh(&self, script: &str) -> Ran {
        Ran::of(self.shell(script).stdin(Stdio::null()).output().unwrap())
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        let strait = format!("{STRAIT} --ns {}", self.space.path().display());
        command.args(["-c", script]).env("STRAIT", strait);
        command
    }

    /// Starts the program with pipes to it. It ends when the value is dropped.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        Running::of(&mut self.command(arguments))
    }

    /// [`start`](Self::start) for a line of sh(1), as [`sh`](Self::sh) runs it.
    pub(crate) fn start_sh(&self, script: &str) -> Running {
        Running::of(&mut self.shell(script))
    }

    /// What the object's query says, as JSON.
    pub(crate) fn query(&self, kind: &str, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.good(&format!("{kind} query {name} --json"))).unwrap()
    }

    /// Waits until it is so, which must come about by itself.
    #[expect(clippy::unused_self, reason = "reads as a sentence")]
    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if so() {
                return;
            }
            // sleep: what another process has got so far is no event that one can wait for.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("never: {what}");
    }

    /// A text with this namespace's directory replaced by `NS`, and who runs the test by letters.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        text.replace(self.space.path().to_str().unwrap(), "NS")
            .replace(&format!("uid {uid}, gid {gid}"), "uid U, gid G")
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, running.
pub(crate) struct Running {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it with pipes to it.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// Sends a signal to it, and to nothing that it runs.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until it is.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Some(Pid::from_child(&self.child));
        let stopped = waitpid(pid, WaitOptions::UNTRACED).unwrap();
        assert!(stopped.unwrap().1.stopped());
    }

    /// Whether it has ended. It is not reaped.
    pub(crate) fn has_ended(&self) -> bool {
        let of = WaitId::Pid(Pid::from_child(&self.child));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(of, options).unwrap().is_some()
    }

    /// Writes to its standard input.
    pub(crate) fn say(&mut self, text: &[u8]) {
        self.input.as_mut().unwrap().write_all(text).unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn close(&mut self) {
        drop(self.input.take());
    }

    /// Whether it has blocked that signal.
    pub(crate) fn blocks(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
        blocked >> (signal.as_raw() - 1) & 1 == 1
    }

    /// The next line that it, or the command it runs, prints.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Closes its standard input and waits for its end. The rest of what it said.
    pub(crate) fn finish(mut self) -> Ran {
        self.close();
        let status = self.child.wait().unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut err).unwrap();
        Ran {
            status: status.code(),
            out,
            err,
        }
    }

    /// SIGKILL. What it ran meanwhile lives on until the value is dropped.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
