//! `nt.section`: messages copied through shared memory, handed over by an event each way.

use strait::nt::{self, View, Write};

use crate::nt::space;
use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// Room for one message each way, with its length before it.
const HALF: usize = 128 << 10;
const DATA: usize = 64;

/// The view, and per direction an event that says "there is one" and one that says "taken".
pub(super) struct Section {
    /// Keeps the name for the other side: a view keeps the memory only.
    _section: nt::Section,
    view: View<Write>,
    to: Lane,
    from: Lane,
}

struct Lane {
    at: usize,
    full: nt::Event,
    taken: nt::Event,
}

impl Mechanism for Section {
    const ID: &'static str = "nt.section";
    const ABOUT: &'static str = "section, copied in and out, an event per hand-over";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let space = space(site)?;
        let (section, _) = space.section("memory", 2 * HALF as u64).create_or_open()?;
        let lane = |name: &str, at| {
            let full = space.event(format!("{name}-full")).create_or_open()?.0;
            let taken = space
                .event(format!("{name}-taken"))
                .set()
                .create_or_open()?
                .0;
            Ok::<_, Failure>(Lane { at, full, taken })
        };
        let (there, back) = (lane("there", 0)?, lane("back", HALF)?);
        let (to, from) = if site.side() == Side::Near {
            (there, back)
        } else {
            (back, there)
        };
        Ok(Self {
            view: section.map()?,
            _section: section,
            to,
            from,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let Lane { at, full, taken } = &self.to;
        taken.wait()?;
        self.view
            .write(*at, &(message.len() as u64).to_le_bytes())?;
        self.view.write(at + DATA, message)?;
        full.set()?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let Lane { at, full, taken } = &self.from;
        full.wait()?;
        let mut len = [0; 8];
        self.view.read(*at, &mut len)?;
        let len = usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX);
        let into = buffer
            .get_mut(..len)
            .ok_or_else(|| Failure::check("longer than sent"))?;
        self.view.read(at + DATA, into)?;
        taken.set()?;
        Ok(len)
    }
}
