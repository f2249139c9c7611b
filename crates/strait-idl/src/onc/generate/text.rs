//! Lines of Rust, laid out as rustfmt would.

use std::fmt::Write as _;

/// The longest line.
const WIDTH: usize = 100;

/// The longest arguments of a call on one line; rustfmt's `fn_call_width`.
const CALL_WIDTH: usize = 60;

/// The longest chain of calls on one line; rustfmt's `chain_width`.
pub(super) const CHAIN_WIDTH: usize = 60;

/// The longest fields of a struct expression on one line; rustfmt's `struct_lit_width`.
const LITERAL_WIDTH: usize = 18;

/// What has been written.
#[derive(Debug, Default)]
pub(super) struct Text {
    all: String,
    indent: usize,
}

impl Text {
    /// Lines that will stand so many levels deep.
    pub(super) fn at(indent: usize) -> Self {
        let all = String::new();
        Self { all, indent }
    }

    pub(super) fn into_string(self) -> String {
        self.all
    }

    pub(super) fn as_str(&self) -> &str {
        &self.all
    }

    /// What was written at the same depth.
    pub(super) fn append(&mut self, inner: &Self) {
        self.all.push_str(&inner.all);
    }

    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if !line.is_empty() {
            let _ = write!(self.all, "{:1$}{line}", "", self.indent * 4);
        }
        self.all.push('\n');
    }

    /// Lines with an indentation of their own.
    pub(super) fn lines(&mut self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// A line that opens a bracket.
    pub(super) fn open(&mut self, line: impl AsRef<str>) {
        self.line(line);
        self.indent += 1;
    }

    /// A line that closes it.
    pub(super) fn close(&mut self, line: &str) {
        self.indent -= 1;
        self.line(line);
    }

    /// Ends an indentation that no bracket opened.
    pub(super) fn dedent(&mut self) {
        self.indent -= 1;
    }

    /// Whether so many characters fit behind the indentation.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.indent * 4 + len <= WIDTH
    }

    /// A sentence or more of documentation, broken where it is too long.
    pub(super) fn doc(&mut self, doc: &str) {
        let mut line = String::from("///");
        for word in doc.split(' ') {
            if line.len() > 3 && !self.fits(line.chars().count() + 1 + word.chars().count()) {
                self.line(std::mem::replace(&mut line, String::from("///")));
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(line);
    }

    /// `fn name(…) -> T {`, which opens a bracket, or the same with `;`.
    pub(super) fn signature(&mut self, head: &str, arguments: &[String], tail: &str) {
        let one = format!("{head}({}){tail}", arguments.join(", "));
        if self.fits(one.chars().count()) {
            self.line(one);
        } else {
            self.open(format!("{head}("));
            for argument in arguments {
                self.line(format!("{argument},"));
            }
            self.close(&format!("){tail}"));
        }
        self.indent += usize::from(tail.ends_with('{'));
    }

    /// A signature that ends with a type which may be too long for one line, then on several.
    pub(super) fn promise(
        &mut self,
        head: &str,
        arguments: &[String],
        one: &str,
        several: &[String],
    ) {
        // rustfmt counts the type alone, and lets it be longer by one than a line for each `+`.
        let len = one.len() - " -> ".len() - ";".len();
        if self.fits(len - one.matches(" + ").count()) {
            self.signature(head, arguments, one);
            return;
        }
        self.open(format!("{head}("));
        for argument in arguments {
            self.line(format!("{argument},"));
        }
        self.close(&format!("){}", several[0]));
        for line in &several[1..] {
            self.line(line);
        }
    }

    /// `head Name { … } tail` with its fields.
    pub(super) fn literal(&mut self, head: &str, fields: &[String], tail: &str) {
        let inner = fields.join(", ");
        if inner.is_empty() {
            self.line(format!("{head} {{}}{tail}"));
        } else if inner.chars().count() <= LITERAL_WIDTH {
            self.line(format!("{head} {{ {inner} }}{tail}"));
        } else {
            self.open(format!("{head} {{"));
            for field in fields {
                self.line(format!("{field},"));
            }
            self.close(&format!("}}{tail}"));
        }
    }

    /// A `const` array of numbers.
    pub(super) fn numbers(&mut self, head: &str, numbers: &[String]) {
        let inner = numbers.join(", ");
        let one = format!("{head} = [{inner}];");
        if inner.len() <= CALL_WIDTH && self.fits(one.len()) {
            self.line(one);
            return;
        }
        self.open(format!("{head} = ["));
        // rustfmt fills lines with what is short.
        if numbers.iter().any(|number| number.len() > 10) {
            for number in numbers {
                self.line(format!("{number},"));
            }
        } else {
            let mut line = String::new();
            for number in numbers {
                let blank = usize::from(!line.is_empty());
                if !self.fits(line.len() + blank + number.len() + 1) {
                    self.line(std::mem::take(&mut line));
                } else if blank == 1 {
                    line.push(' ');
                }
                line.push_str(number);
                line.push(',');
            }
            self.line(line);
        }
        self.close("];");
    }
}

/// `head(arguments, |parameters| body)` as an expression or statement: on one line if it is short,
/// else with the closure's body in a block, which rustfmt leaves alone.
pub(super) fn call(head: &str, arguments: &str, parameters: &str, body: &[String]) -> Vec<String> {
    let separator = if arguments.is_empty() { "" } else { ", " };
    let start = format!("{head}({arguments}{separator}|{parameters}|");
    // A single call that may fail is the result itself.
    if let [only] = body
        && let Some(value) = only.strip_suffix("?;")
    {
        let inner = format!("{arguments}{separator}|{parameters}| {value}");
        if inner.chars().count() <= CALL_WIDTH {
            return vec![format!("{start} {value})?;")];
        }
    }
    let mut lines = vec![format!("{start} {{")];
    lines.extend(body.iter().map(|line| format!("    {line}")));
    lines.push("    Ok(())".into());
    lines.push("})?;".into());
    lines
}

/// Whether the one argument of `Ok(…)` is short enough for one line.
pub(super) fn short(argument: &str) -> bool {
    argument.chars().count() <= CALL_WIDTH
}
