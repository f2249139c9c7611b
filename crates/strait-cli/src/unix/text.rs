//! The bytes of messages: from an argument or standard input, and onto the screen.

use std::io::Read as _;

use clap::Args;
use serde_json::{Value, json};
use strait::ErrorKind;

use crate::context::Context;
use crate::failure::Failure;

/// What is shown of a text in a table, in characters.
const SHOWN_MAX: usize = 60;

/// What to send.
#[derive(Args, Debug)]
pub(crate) struct Text {
    /// The text; standard input to its end if it is not given
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

impl Text {
    /// Its bytes. Of standard input no more are read than the `limit` so called lets through, and
    /// one that shows that there are more.
    pub(crate) fn bytes(self, most: u64, limit: &str) -> Result<Vec<u8>, Failure> {
        if let Some(text) = self.text {
            return Ok(text.into_bytes());
        }
        let mut bytes = Vec::new();
        let input = std::io::stdin().lock();
        let read = input.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Failure::io("read standard input", &error))?;
        let len = bytes.len();
        if len as u64 > most {
            return Err(Failure::new(format!(
                "standard input: {} (at least {len} bytes; the limit is {most}: {limit})",
                ErrorKind::TooLong
            )));
        }
        Ok(bytes)
    }
}

/// How what was received is written.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct Form {
    /// Exactly its bytes, without a newline after them
    #[arg(long)]
    raw: bool,
    /// JSON instead of text
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

impl Form {
    /// Writes a message that was taken, with its number (`type`, `priority`).
    pub(crate) fn write(
        self,
        context: &mut Context,
        number: (&str, i64),
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let written = self.put(context, number, bytes);
        written
            .and_then(|()| context.out.finish())
            .map_err(|mut failure| {
                let len = bytes.len();
                failure.message.push_str(&format!(
                    "; the message of {len} bytes was taken and is lost"
                ));
                failure
            })
    }

    fn put(
        self,
        context: &mut Context,
        (word, number): (&str, i64),
        bytes: &[u8],
    ) -> Result<(), Failure> {
        if self.json {
            let mut value = in_json(bytes);
            value[word] = json!(number);
            return context.out.json(&value);
        }
        context.out.bytes(bytes)?;
        if self.raw {
            return Ok(());
        }
        context.out.bytes(b"\n")
    }
}

/// A text in JSON: as a string if it is UTF-8, else in hexadecimal digits.
pub(crate) fn in_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "bytes": bytes.len(), "text": text }),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "bytes": bytes.len(), "hex": digits })
        }
    }
}

/// A text on one line, whatever is in it: nothing of it reaches the terminal's own language. Cut
/// with `…` unless it is to be `full`.
pub(crate) fn escaped(bytes: &[u8], full: bool) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid().chars().map(escape);
        let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        for piece in valid.chain(invalid) {
            count += piece.chars().count();
            if count > SHOWN_MAX && !full {
                return shown + "…";
            }
            shown += &piece;
        }
    }
    shown
}

fn escape(c: char) -> String {
    match c {
        '\'' | '"' => c.into(),
        '\0' => "\\0".into(),
        '\n' | '\r' | '\t' | '\\' => c.escape_default().collect(),
        _ if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        _ => c.escape_debug().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_on_one_line() {
        let shown = |bytes: &[u8]| escaped(bytes, false);
        assert_eq!(shown(b"\x01\0\0\0chown\0"), r"\x01\0\0\0chown\0");
        assert_eq!(shown(b"a\nb\t\\ 'q' \"q\""), "a\\nb\\t\\\\ 'q' \"q\"");
        assert_eq!(shown("für 5 €".as_bytes()), "für 5 €");
        assert_eq!(shown(b"\x1b[2J\x7f\xff\xc3"), r"\x1b[2J\x7f\xff\xc3");
        assert_eq!(shown("\u{202e}".as_bytes()), r"\u{202e}");
        assert_eq!(shown(&[b'x'; 60]), "x".repeat(60));
        assert_eq!(shown(&[b'x'; 61]), "x".repeat(60) + "…");
        assert_eq!(escaped(&[0; 61], true), r"\0".repeat(61));
    }

    #[test]
    fn texts_in_json_lose_nothing() {
        assert_eq!(
            in_json("ä\n".as_bytes()),
            json!({ "bytes": 3, "text": "ä\n" })
        );
        assert_eq!(in_json(b"\xff\0"), json!({ "bytes": 2, "hex": "ff00" }));
    }
}
