//! One doorbell for many sessions: a bit for each, and one word to sleep on.

/// How a client of a server with many knocks.
#[derive(Clone, Debug)]
pub(crate) enum Knocker {}

impl Knocker {
    pub(crate) fn knock(&self) {
        match *self {}
    }
}
