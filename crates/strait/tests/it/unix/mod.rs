//! The mechanisms of Linux and System V, between real processes.

mod fifo;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod peers;
pub(crate) mod pipe;
pub(crate) mod process;
pub(crate) mod sem;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;

/// Runs a script of perl(1), which has System V IPC built in; `None`: there is no Perl here.
fn perl(script: &str, arguments: &[&str]) -> Option<std::process::Output> {
    let mut command = std::process::Command::new("perl");
    let output = command.args(["-e", script]).args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "perl: {said}");
    Some(output)
}
