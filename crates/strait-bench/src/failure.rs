//! What went wrong on one side of a pair, in words.

use std::fmt;

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

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}
