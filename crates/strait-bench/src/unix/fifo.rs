//! `unix.fifo`: two FIFOs.

use strait::unix::fifo;
use strait::unix::pipe::{Reader, Writer};

use super::pipe::read_all;
use super::wraps;
use crate::{Carries, Goal, Job, Mechanism, Outcome, Side, Site};

/// One FIFO each way.
pub(super) struct Fifo {
    from: Reader,
    to: Writer,
}

impl Mechanism for Fifo {
    const ID: &'static str = "unix.fifo";
    const ABOUT: &'static str = "FIFOs, read and write";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
    const GOALS: &'static [Goal] = &[wraps("raw.fifo")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let place = site.place()?.to_owned();
        let fifo = |name: &str| fifo::Fifo::create_or_open(place.join(name), 0o600);
        let (there, back) = (fifo("there")?.0, fifo("back")?.0);
        // In the same order on both sides: an end waits for the other.
        let (from, to) = match site.side() {
            Side::Near => {
                let to = there.writer()?;
                (back.reader()?, to)
            }
            Side::Far => {
                let from = there.reader()?;
                (from, back.writer()?)
            }
        };
        Ok(Self { from, to })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.to.write_all(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.from, buffer)
    }
}
