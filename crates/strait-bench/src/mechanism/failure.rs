//! What went wrong on one side of a pair, in words.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Result of a step on one side of a pair.
pub type Outcome<T> = Result<T, Failure>;

/// Why a row failed.
///
/// Any error converts into it, so `?` works in a [`Mechanism`](crate::Mechanism) whatever it
/// calls. It is no `Error` itself: the row that failed is its only reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    what: Box<str>,
    weight: Weight,
}

/// Which of two reports about the same row tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Weight {
    /// A side is gone, or silent: the other one may know why.
    Gone,
    /// A call failed: perhaps only because the other side was gone.
    Call,
    /// A message was not what was sent, or code panicked: the cause itself.
    Check,
}

impl Failure {
    /// A call or a set-up step failed.
    pub fn new(what: impl Into<String>) -> Self {
        Self::weighed(what, Weight::Call)
    }

    /// A message was not what was sent.
    pub fn check(what: impl Into<String>) -> Self {
        Self::weighed(what, Weight::Check)
    }

    pub(crate) fn gone(what: impl Into<String>) -> Self {
        Self::weighed(what, Weight::Gone)
    }

    fn weighed(what: impl Into<String>, weight: Weight) -> Self {
        Self {
            what: what.into().into_boxed_str(),
            weight,
        }
    }

    /// The same failure, saying first where it happened.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self {
            what: format!("{place}: {}", self.what).into_boxed_str(),
            weight: self.weight,
        }
    }

    /// Of two reports about one row, the one that tells more; the first if they weigh the same.
    pub(crate) fn or_better(self, other: Self) -> Self {
        if other.weight > self.weight {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let weight = if says_gone(&error) {
            Weight::Gone
        } else {
            Weight::Call
        };
        Self::weighed(error.to_string(), weight)
    }
}

/// Whether an error, or what caused it, is that the other side has closed: a consequence.
fn says_gone(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|error| {
        let kind = match (
            error.downcast_ref::<io::Error>(),
            error.downcast_ref::<Errno>(),
        ) {
            (Some(error), _) => error.kind(),
            (None, Some(errno)) => errno.kind(),
            (None, None) => return false,
        };
        matches!(
            kind,
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        )
    })
}

#[cfg(test)]
mod tests {
    //! Which of two reports is shown.

    use super::*;

    #[test]
    fn the_cause_is_shown_not_the_consequence() {
        let eof = || Failure::from(io::Error::from(ErrorKind::UnexpectedEof));
        let reset = Failure::from(Errno::CONNRESET);
        let denied = || Failure::from(Errno::ACCESS);
        let wrong = || Failure::check("checksum");
        assert_eq!(eof().or_better(denied()), denied());
        assert_eq!(denied().or_better(eof()), denied());
        assert_eq!(reset.or_better(wrong()), wrong());
        assert_eq!(wrong().or_better(denied()), wrong());
        assert_eq!(
            denied().at("far").to_string(),
            format!("far: {}", Errno::ACCESS)
        );
    }
}
