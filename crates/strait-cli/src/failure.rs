//! Why a verb failed: the thing, the cause and the cure, and the exit status.

use std::fmt::Display;
use std::path::Path;

use strait::inspect::{self, Depth, Life};
use strait::{Error, ErrorKind, Kind, Namespace};

use crate::context::Context;
use crate::value::quoted;

/// Exit status of a verb that neither waits nor runs a command.
pub(crate) const FAILED: u8 = 1;
/// Exit status for wrong arguments.
pub(crate) const USAGE: u8 = 2;
/// Exit status when time ran out.
pub(crate) const TIMED_OUT: u8 = 124;
/// Exit status of errors where other statuses have a meaning: 0 to 123 are a command's or an index.
pub(crate) const ERROR: u8 = 125;
/// A command that cannot be run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// A command that does not exist.
pub(crate) const NOT_FOUND: u8 = 127;

/// Why a verb failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In lower case, without the verb.
    pub(crate) message: String,
    pub(crate) status: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: FAILED,
        }
    }

    /// An error of the library, in its own words.
    pub(crate) fn of(error: Error) -> Self {
        Self::on(error.subject(), &error)
    }

    /// The same, of something that is called otherwise than the library does.
    pub(crate) fn on(subject: &str, error: &Error) -> Self {
        let mut message = subject.to_owned();
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&error.kind().to_string());
        let reason = Self::reason(error);
        if !reason.is_empty() && reason != error.kind().to_string() {
            message.push_str(&format!(" ({reason})"));
        }
        Self::new(message)
    }

    /// What the standard library could not do.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what}: {}", answer(error)))
    }

    /// An error of the library on something at a path: a directory that is missing on the way there
    /// is named.
    pub(crate) fn at(path: &Path, error: Error) -> Self {
        let missing = (error.kind() == ErrorKind::NotFound).then(|| Self::no_directory(path));
        missing.flatten().unwrap_or_else(|| Self::of(error))
    }

    /// The first directory on the way to that path which is not there; `None`: all of them are.
    pub(crate) fn no_directory(path: &Path) -> Option<Self> {
        let above = path.ancestors().skip(1);
        let named = above.filter(|directory| !directory.as_os_str().is_empty());
        let missing = named
            .take_while(|directory| matches!(directory.try_exists(), Ok(false)))
            .last()?;
        let (shown, missing) = (path.display(), missing.display());
        Some(Self::new(format!(
            "{shown}: there is no directory {missing}"
        )))
    }

    /// A name in the machine's namespace, which is not there, or not safe.
    pub(crate) fn no_global(name: &str) -> Self {
        Self::new(format!(
            "{name}: this machine has no Global namespace (`sudo strait doctor --fix` makes it)"
        ))
    }

    /// Why, beyond the kind of the error: what the library says, and what the kernel answered.
    pub(crate) fn reason(error: &Error) -> String {
        let answer = error.errno().map_or_else(String::new, |errno| {
            answer(&std::io::Error::from_raw_os_error(errno))
        });
        let said = [error.why(), &answer];
        let said = said.into_iter().filter(|reason| !reason.is_empty());
        said.collect::<Vec<_>>().join("; ")
    }

    /// The same, where the verb waits or runs a command.
    pub(crate) fn into_error(mut self) -> Self {
        if self.status == FAILED {
            self.status = ERROR;
        }
        self
    }
}

/// What the kernel answered, in lower case and without its number, which tells a person no more.
pub(crate) fn answer(error: &std::io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next();
    words.unwrap_or_default().to_lowercase()
}

impl Context {
    /// What to say of an error on the object of that kind and name.
    pub(crate) fn explain(&self, kind: Kind, name: &str, error: Error) -> Failure {
        let subject = error.subject().to_owned();
        let ns = self.ns_words();
        match error.kind() {
            ErrorKind::NotFound if error.why().is_empty() && error.errno().is_none() => {
                let cure = match self.count(kind, name) {
                    0 => format!("none exists: `strait {kind} create NAME{ns}` makes one"),
                    1 => format!("1 {kind} exists: `strait ls {kind}{ns}`"),
                    count => format!("{count} {kind}s exist: `strait ls {kind}{ns}`"),
                };
                Failure::new(format!("no {kind} named {subject} ({cure})"))
            }
            ErrorKind::NotFound if name.starts_with(r"Global\") => Failure::no_global(name),
            ErrorKind::Exists => Failure::new(format!(
                "{subject} exists already (`strait {kind} query {}{ns}` shows it, `--or-open` \
                 takes it as it is)",
                quoted(name)
            )),
            ErrorKind::WrongKind => {
                let found = self
                    .kind_of(name)
                    .map_or_else(|| "another kind of object".into(), with_article);
                Failure::new(if self.verb.ends_with("create") {
                    format!("{subject} exists and is {found}")
                } else {
                    format!("{subject} is {found}, not {}", with_article(kind))
                })
            }
            _ => Failure::of(error),
        }
    }

    /// Where a name leads by its prefix.
    fn space_of(&self, name: &str) -> Option<Namespace> {
        if name.starts_with(r"Global\") {
            return Namespace::global().ok();
        }
        self.space().ok()
    }

    fn count(&self, kind: Kind, name: &str) -> usize {
        let view = self
            .space_of(name)
            .and_then(|space| inspect::look(&[space], Depth::Objects).ok());
        view.map_or(0, |view| {
            let live = view
                .objects
                .iter()
                .filter(|seen| seen.life != Life::Leftover);
            live.filter(|seen| seen.kind == kind).count()
        })
    }

    fn kind_of(&self, name: &str) -> Option<Kind> {
        let view = inspect::look_at(&self.space().ok()?, name, Depth::Objects).ok()?;
        Some(view.objects.first()?.kind)
    }
}

/// `an event`, `a section`.
pub(crate) fn with_article(kind: Kind) -> String {
    match kind {
        Kind::Event | Kind::EventPair => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
