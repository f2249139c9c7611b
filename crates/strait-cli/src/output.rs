//! Standard output: lines, tables, JSON and bytes.
//!
//! A reader that closes its end early, as `head` does, ends the output quietly; the verb goes on
//! and its status is what it would have been. Any other failure to write is one of the verb.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Standard output, buffered.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Stdout>,
    closed: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            writer: BufWriter::new(std::io::stdout()),
            closed: false,
        }
    }
}

impl Output {
    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.attempt(|writer| writer.write_all(bytes))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.attempt(|writer| writeln!(writer, "{text}"))
    }

    /// Writes a value as JSON, on lines of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(format!("make JSON: {error}")))?;
        self.line(&harmless(text))
    }

    /// Writes a value as JSON, on one line.
    pub(crate) fn json_line(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        self.line(&harmless(value.to_string()))
    }

    /// Writes rows whose columns stand under each other; the last column is as wide as it is.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) -> Result<(), Failure> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            // The last cell of a row widens no column.
            let cells = rows
                .iter()
                .filter_map(|row| row.split_last()?.1.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column + 1 == row.len() {
                    line.push_str(cell);
                } else {
                    line.push_str(&format!("{cell:<width$}  ", width = widths[column]));
                }
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Writes what is buffered.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.attempt(BufWriter::flush)
    }

    /// Whether the reader has closed its end: what is written from now on goes nowhere.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn attempt(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Stdout>) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        match write(&mut self.writer) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(|error| {
                self.closed = true;
                Failure::io("write standard output", &error)
            }),
        }
    }
}

/// JSON in which nothing steers a terminal: texts may be anybody's choice, and JSON itself has only
/// what is below a blank escaped.
fn harmless(json: String) -> String {
    let steers = |letter: char| letter.is_control() && letter != '\n';
    if !json.contains(steers) {
        return json;
    }
    let mut plain = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        // Such letters stand in texts only.
        match steers(letter) {
            true => plain.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn json_steers_no_terminal_and_means_the_same() {
        let value = serde_json::json!({ "a\u{9b}2J": ["\u{7f}\u{1b}[m", "\u{85}é", 1] });
        for text in [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            let plain = harmless(text);
            let steers = |letter: char| letter.is_control() && letter != '\n';
            assert!(!plain.contains(steers), "{plain:?}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&plain).unwrap(),
                value
            );
        }
    }
}
