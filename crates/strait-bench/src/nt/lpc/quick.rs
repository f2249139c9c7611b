//! `nt.lpc.quick`: calls that are handed over directly.

use strait::channel::Spin;
use strait::nt::lpc::{Message, Port, Quick as Client, QuickSession};

use crate::nt::lpc::put;
use crate::nt::space;
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Placement, Side,
    Site, Waits,
};

const NAME: &str = "quick";
/// What fits in a line with its header.
const LINE: Job = Job::sized(Measure::Rtt, 56);

/// Near is the client, far the server's thread for it.
enum End {
    Client(Box<Client>),
    Server {
        /// Keeps the name.
        _port: Port,
        session: Box<QuickSession>,
    },
}

const fn goal(job: Job, placement: Placement, row: &'static str, most: f64) -> Goal {
    Goal {
        job,
        placement: Some(placement),
        against: Against::Other(row, Job::RTT),
        limit: Limit::AtMost(most),
    }
}

impl End {
    fn open(site: &mut Site<'_>, spin: Spin) -> Outcome<Self> {
        let space = space(site)?;
        if site.side() == Side::Far {
            let port = Port::options().namespace(&space).spin(spin).create(NAME)?;
            site.tell(&[0])?;
            let session = match port.inbox().receive()? {
                Message::Connect(request) => request.accept_quick(&[])?,
                other => return Err(Failure::check(format!("not a client: {other:?}"))),
            };
            return Ok(Self::Server {
                _port: port,
                session: Box::new(session),
            });
        }
        site.hear()?;
        let options = Client::options().namespace(&space).spin(spin);
        Ok(Self::Client(Box::new(options.connect_quick(NAME)?)))
    }

    #[inline]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        match self {
            Self::Client(client) => Ok(client.call_into(request, reply)?),
            Self::Server { .. } => Err(Failure::new("the other side calls")),
        }
    }

    #[inline]
    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let Self::Server { session, .. } = self else {
            return Err(Failure::new("the other side serves"));
        };
        let call = session.receive()?;
        let mut call = call.ok_or_else(|| Failure::gone("the client closed"))?;
        let len = put(call.request(), buffer)?;
        call.reply(reply)?;
        Ok(len)
    }
}

/// As it is by default.
pub(in crate::nt) struct Quick(End);

impl Mechanism for Quick {
    const ID: &'static str = "nt.lpc.quick";
    const ABOUT: &'static str = "Quick LPC, request and reply handed over directly";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, LINE];
    const WAITS: Waits = Waits::Adapts;
    const GOALS: &'static [Goal] = &[
        goal(LINE, Placement::Split, "raw.spin", 1.2),
        goal(Job::RTT, Placement::Split, "raw.spin", 1.9),
        goal(Job::RTT, Placement::Same, "raw.futex", 0.8),
        goal(Job::RTT, Placement::Same, "raw.unix.stream", 0.4),
        goal(Job::RTT, Placement::One, Blocking::ID, 1.06),
        #[cfg(feature = "rivals")]
        goal(
            Job::RTT,
            Placement::Split,
            "rival.iceoryx2.request",
            1.0 / 8.0,
        ),
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(End::open(site, Spin::Adaptive)?))
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.0.call(request, reply)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        self.0.serve(buffer, reply)
    }
}

/// Always asleep while it waits: what the adaptive form must not fall behind on one processor.
pub(in crate::nt) struct Blocking(End);

impl Mechanism for Blocking {
    const ID: &'static str = "nt.lpc.quick.blocking";
    const ABOUT: &'static str = "Quick LPC, both sides told to sleep at once";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(End::open(site, Spin::Never)?))
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.0.call(request, reply)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        self.0.serve(buffer, reply)
    }
}
