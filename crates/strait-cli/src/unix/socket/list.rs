//! `strait socket ls`: the Unix sockets of this network namespace that have a name.
//!
//! `/proc/net/unix`, of which `proc_pid_net(5)` says the columns.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// List the Unix sockets that have a name: kind, state, path or @NAME
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only those that can be connected to
    #[arg(long)]
    listening: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Flag of a socket that listens (__SO_ACCEPTCON).
const LISTENS: u32 = 1 << 16;

#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Seen<'a> {
    name: &'a str,
    kind: &'static str,
    state: &'static str,
}

impl List {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let text = table()?;
        // A connection has the name of its listener: such lines are shown once.
        let seen: BTreeSet<Seen<'_>> = text.lines().skip(1).filter_map(read).collect();
        let shown = seen
            .iter()
            .filter(|seen| !self.listening || seen.state == "listening");
        if self.json {
            let rows: Vec<_> = shown
                .map(|seen| json!({"kind": seen.kind, "state": seen.state, "address": seen.name}))
                .collect();
            context.out.json(&rows)?;
        } else {
            let head = ["KIND", "STATE", "ADDRESS"].map(str::to_owned).to_vec();
            let row = |seen: &Seen<'_>| {
                // The name is another user's choice, and this may be a terminal.
                let name = seen.name.escape_debug().to_string();
                vec![seen.kind.to_owned(), seen.state.to_owned(), name]
            };
            let rows: Vec<_> = std::iter::once(head).chain(shown.map(row)).collect();
            context.out.table(&rows)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table() -> Result<String, Failure> {
    const FILE: &str = "/proc/net/unix";
    let bytes = std::fs::read(FILE).map_err(|error| Failure::io(FILE, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a socket is bound to that abstract name. The table shows a NUL in it as `@`, and so does
/// not tell the two apart.
pub(super) fn has(name: &[u8]) -> Result<bool, Failure> {
    let shown: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == 0 { b'@' } else { *byte })
        .collect();
    let shown = format!("@{}", String::from_utf8_lossy(&shown));
    let is_it = |seen: Seen<'_>| seen.name == shown && seen.state != "connected";
    Ok(table()?.lines().filter_map(read).any(is_it))
}

/// The address in a line, if it has one.
pub(crate) fn address(line: &str) -> Option<&str> {
    read(line).map(|seen| seen.name)
}

/// A line: address, references, protocol, flags, type, state, inode, and a name if it has one.
fn read(line: &str) -> Option<Seen<'_>> {
    let mut fields = line.splitn(7, ' ').filter(|field| !field.is_empty());
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let kind = match fields.next()? {
        "0001" => "stream",
        "0002" => "datagram",
        "0005" => "seqpacket",
        _ => return None,
    };
    let state = match fields.next()? {
        "03" => "connected",
        _ if flags & LISTENS != 0 => "listening",
        _ => "bound",
    };
    let name = fields.next()?.trim_start().split_once(' ')?.1;
    Some(Seen { name, kind, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = |line| read(line).map(|Seen { kind, state, name }| (kind, state, name));
        let prefix = "0000000000000000: 00000002 00000000 00010000 0001 01 ";
        let line = format!("{prefix}12345 /run/a b");
        assert_eq!(read(&line), Some(("stream", "listening", "/run/a b")));
        let line = format!("{prefix}  345 @x");
        assert_eq!(read(&line), Some(("stream", "listening", "@x")));
        let line = format!("{prefix}12345");
        assert_eq!(read(&line), None);
        let line = "0000000000000000: 00000003 00000000 00000000 0005 03 45 @x";
        assert_eq!(read(line), Some(("seqpacket", "connected", "@x")));
        assert_eq!(read("Num RefCount"), None);
    }
}
