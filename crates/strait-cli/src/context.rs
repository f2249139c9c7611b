//! What every verb is given: its name for messages, the namespace, and the output.

use std::path::PathBuf;
use std::process::ExitCode;

use strait::{ErrorKind, Namespace};

use crate::failure::Failure;
use crate::output::Output;
use crate::value::quoted;

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The verb in words, such as `event set`.
    pub(crate) verb: String,
    /// The directory of `--ns`.
    pub(crate) ns: Option<PathBuf>,
    pub(crate) out: Output,
}

impl Context {
    pub(crate) fn new(verb: String, ns: Option<PathBuf>) -> Self {
        Self {
            verb,
            ns,
            out: Output::default(),
        }
    }

    /// The namespace of names without a prefix.
    pub(crate) fn space(&self) -> Result<Namespace, Failure> {
        let Some(path) = &self.ns else {
            return Namespace::local().map_err(Failure::of);
        };
        Namespace::directory(path).map_err(|error| {
            let shown = path.display();
            let cure = match error.kind() {
                ErrorKind::NotFound => {
                    let word = quoted(&path.to_string_lossy());
                    format!(" (`mkdir -m 700 {word}` makes it)")
                }
                _ => String::new(),
            };
            Failure::new(format!("--ns {shown}: {}{cure}", Failure::reason(&error)))
        })
    }

    /// The namespaces to list: that of `--ns` alone, or the user's own and the machine's.
    pub(crate) fn spaces(&self) -> Result<Vec<Namespace>, Failure> {
        let mut spaces = vec![self.space()?];
        if self.ns.is_none() {
            // Missing or unsafe: `strait doctor` says so, a list goes without it.
            spaces.extend(Namespace::global());
        }
        Ok(spaces)
    }

    /// Lists the names that `names` finds in each of [`spaces`](Self::spaces).
    pub(crate) fn list(
        &mut self,
        json: bool,
        names: impl Fn(&Namespace) -> strait::Result<Vec<String>>,
    ) -> Result<ExitCode, Failure> {
        let mut found = Vec::new();
        for space in self.spaces()? {
            found.extend(names(&space).map_err(Failure::of)?);
        }
        if json {
            self.out.json(&found)?;
        } else {
            for name in &found {
                self.out.line(name)?;
            }
        }
        self.out.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    /// ` --ns DIR` as far as it was given, for commands that a message recommends.
    pub(crate) fn ns_words(&self) -> String {
        match &self.ns {
            Some(path) => format!(" --ns {}", quoted(&path.to_string_lossy())),
            None => String::new(),
        }
    }

    /// Says something on standard error, which may be closed, or a terminal: names in it may be
    /// other users' choice.
    pub(crate) fn note(&self, text: &str) {
        note(&self.verb, text);
    }
}

/// The same where there is no context.
pub(crate) fn note(verb: &str, text: &str) {
    use std::io::Write as _;
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => plain.push(letter),
            _ if letter.is_control() => plain.extend(letter.escape_default()),
            _ => plain.push(letter),
        }
    }
    // In one call, so that what several say at once stays in lines.
    let line = format!("strait: {verb}: {plain}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
