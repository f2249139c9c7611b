//! Second processes: this binary, run again with a role, and spoken to in lines.
//!
//! A peer reads lines from its standard input and answers with lines that begin with `@` on its
//! standard output (the test harness writes there too). It is killed and reaped when dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a peer does. Gets the arguments it was started with.
pub(crate) type Role = fn(&[String]);

const ROLE: &str = "STRAIT_TEST_ROLE";
const ARGUMENTS: &str = "STRAIT_TEST_ARGUMENTS";

/// Plays the role that this process was started for, if any.
pub(crate) fn run(roles: &[(&str, Role)]) {
    let Ok(name) = std::env::var(ROLE) else {
        return;
    };
    let (_, role) = roles
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a role in the table");
    let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
    let arguments: Vec<String> = arguments.split('\x1f').map(str::to_owned).collect();
    hush();
    role(&arguments);
}

/// What a peer panics with because the test wants it to begins so, and is not printed: a reader
/// looks for the panics that nobody asked for.
const ASKED: &str = "asked to";

fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic
            .payload_as_str()
            .is_some_and(|why| why.starts_with(ASKED))
        {
            usual(panic);
        }
    }));
}

/// A command that plays `role`; handles can be passed to it before it is started.
pub(crate) fn command(role: &str, arguments: &[&str]) -> Command {
    // Without /proc nobody knows what he is: then the test that took it away has said so.
    let itself = std::env::var_os("STRAIT_TEST_EXE").map(Into::into);
    let mut command = Command::new(itself.unwrap_or_else(|| std::env::current_exe().unwrap()));
    command
        .args(["--exact", "role", "--nocapture", "--test-threads=1"])
        // Where it panicked is in the message. A backtrace through a binary of this size takes a
        // loaded machine seconds, in which a peer answers nobody.
        .env("RUST_BACKTRACE", "0")
        .env(ROLE, role)
        .env(ARGUMENTS, arguments.join("\x1f"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a peer in that role.
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Self {
        Self::of(&mut command(role, arguments))
    }

    /// Starts the peer that `command` describes.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line it says; `None` once it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        hear(&mut self.output)
    }

    /// Whether it has said something, or has ended.
    pub(crate) fn has_said(&self) -> bool {
        let mut output = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        !self.output.buffer().is_empty() || poll(&mut output, Some(&Timespec::default())) != Ok(0)
    }

    /// Tells it a line and hears its answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear().expect("the peer has ended")
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn close(&mut self) {
        drop(self.input.take());
    }

    /// Closes its standard input and waits for its end.
    pub(crate) fn finish(mut self) -> ExitStatus {
        self.close();
        self.child.wait().unwrap()
    }
}

/// The next line a peer says on its `output`; `None` once it has ended.
pub(crate) fn hear(output: &mut BufReader<ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        // The harness ends its own line without a newline before the test speaks.
        if let Some(at) = line.find('@') {
            return Some(line[at + 1..].trim_end().to_owned());
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a peer: says a line.
pub(crate) fn say(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "@{line}").unwrap();
    output.flush().unwrap();
}

/// In a peer: the next line it is told; `None` once the test closes its input.
pub(crate) fn told() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).unwrap();
    (read > 0).then(|| line.trim_end().to_owned())
}
