//! `nt.lpc.message`, `nt.lpc.view` and `nt.lpc.crowd`: calls through a port.

pub(super) mod quick;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::nt::lpc::{Client, Extent, Inbox, Message as Received, Port, PortView, VIEW_MAX};

use crate::nt::space;
use crate::{
    Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Placement, Side,
    Site, Waits,
};

const NO_PORT: &str = "the other side has this port";
const NAME: &str = "lpc";

const fn goal(job: Job, placement: Placement, against: Against, most: f64) -> Goal {
    Goal {
        job,
        placement: Some(placement),
        against,
        limit: Limit::AtMost(most),
    }
}

/// Near is the client, far the server.
enum End {
    Client(Box<Client>),
    Server {
        /// Keeps the name.
        _port: Port,
        inbox: Box<Inbox>,
    },
}

impl End {
    /// `idle` clients are connected beside the one that calls.
    fn open(site: &Site<'_>, view: Option<&PortView>, idle: usize) -> Outcome<(Self, Vec<Client>)> {
        let space = space(site)?;
        if site.side() == Side::Far {
            let options = Port::options().namespace(&space).view_max(VIEW_MAX);
            let port = options.create(NAME)?;
            let mut inbox = port.inbox();
            site.tell(&[0])?;
            for _ in 0..=idle {
                match inbox.receive()? {
                    Received::Connect(request) => drop(request.accept(&[])?),
                    other => return Err(Failure::check(format!("not a client: {other:?}"))),
                }
            }
            return Ok((
                Self::Server {
                    _port: port,
                    inbox: Box::new(inbox),
                },
                Vec::new(),
            ));
        }
        site.hear()?;
        let connect = || Client::options().namespace(&space).connect(NAME);
        let idle = (0..idle).map(|_| connect()).collect::<Result<_, _>>()?;
        let options = Client::options().namespace(&space);
        let client = match view {
            Some(view) => options.view(view).connect(NAME)?,
            None => options.connect(NAME)?,
        };
        Ok((Self::Client(Box::new(client)), idle))
    }

    #[inline]
    fn client(&mut self) -> Outcome<&mut Client> {
        match self {
            Self::Client(client) => Ok(client),
            Self::Server { .. } => Err(Failure::new(NO_PORT)),
        }
    }

    #[inline]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let came = self.client()?.call(request)?;
        put(came, reply)
    }

    #[inline]
    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let Self::Server { inbox, .. } = self else {
            return Err(Failure::new(NO_PORT));
        };
        match inbox.receive()? {
            Received::Request(mut call) => {
                let len = put(call.request(), buffer)?;
                call.reply(reply)?;
                Ok(len)
            }
            other => Err(Failure::check(format!("not a request: {other:?}"))),
        }
    }
}

#[inline]
pub(super) fn put(came: &[u8], buffer: &mut [u8]) -> Outcome<usize> {
    let room = buffer.get_mut(..came.len());
    room.ok_or_else(|| Failure::check("longer than sent"))?
        .copy_from_slice(came);
    Ok(came.len())
}

/// Messages in the port's queue.
pub(super) struct Message(End);

impl Mechanism for Message {
    const ID: &'static str = "nt.lpc.message";
    const ABOUT: &'static str = "LPC, message in the port's queue, and its reply";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const WAITS: Waits = Waits::Adapts;
    const GOALS: &'static [Goal] = &[
        goal(Job::RTT, Placement::Same, Against::Row("raw.futex"), 1.2),
        goal(Job::RTT, Placement::Split, Against::Row("raw.spin"), 2.8),
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(End::open(site, None, 0)?.0))
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.0.call(request, reply)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        self.0.serve(buffer, reply)
    }
}

const ONE: Job = Job::sized(Measure::Scale, 1);
const THOUSAND: Job = Job::sized(Measure::Scale, 1000);
const FOUR_THOUSAND: Job = Job::sized(Measure::Scale, 4000);

/// One client that calls, beside so many that are connected and idle.
pub(super) struct Crowd {
    end: End,
    _idle: Vec<Client>,
}

impl Mechanism for Crowd {
    const ID: &'static str = "nt.lpc.crowd";
    const ABOUT: &'static str = "LPC, one client that calls beside so many idle ones";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[
        ONE,
        Job::sized(Measure::Scale, 10),
        Job::sized(Measure::Scale, 100),
        THOUSAND,
        FOUR_THOUSAND,
    ];
    const WAITS: Waits = Waits::Adapts;
    const HEAVY: bool = true;
    const GOALS: &'static [Goal] = &[
        goal(
            THOUSAND,
            Placement::Same,
            Against::Other(Self::ID, ONE),
            1.1,
        ),
        goal(
            THOUSAND,
            Placement::Split,
            Against::Other(Self::ID, ONE),
            1.3,
        ),
        goal(
            FOUR_THOUSAND,
            Placement::Same,
            Against::Other(Self::ID, ONE),
            1.5,
        ),
        goal(
            FOUR_THOUSAND,
            Placement::Split,
            Against::Other(Self::ID, ONE),
            1.5,
        ),
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        // A descriptor for each client, on both sides.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Nofile, limit)?;
        // The one that calls counts.
        let (end, idle) = End::open(site, None, site.job().size - 1)?;
        Ok(Self { end, _idle: idle })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.end.call(request, reply)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        self.end.serve(buffer, reply)
    }
}

const MIB: Job = Job::sized(Measure::Rtt, 1 << 20).ends();
/// Bytes at either end of a message that are written and verified.
const EDGE: usize = 64;

/// Messages that lie in the client's view, where the server answers in place.
pub(super) struct View {
    end: End,
    len: usize,
}

/// Both ends of a message: all that is touched of it.
fn edges(len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let last = len.saturating_sub(EDGE);
    let ends = [0..len.min(EDGE), last.max(EDGE)..len];
    ends.into_iter().filter(|range| range.start < range.end)
}

impl Mechanism for View {
    const ID: &'static str = "nt.lpc.view";
    const ABOUT: &'static str = "LPC, message in a view that both sides map";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, MIB];
    const WAITS: Waits = Waits::Adapts;
    const GOALS: &'static [Goal] = &[goal(
        MIB,
        Placement::Same,
        Against::Other(Self::ID, Job::RTT),
        1.2,
    )];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let len = site.job().size;
        let view = PortView::create(len as u64)?;
        let (end, _) = End::open(site, Some(&view), 0)?;
        Ok(Self { end, len })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let len = self.len;
        let client = self.end.client()?;
        let missing = || Failure::new("a client without its view");
        let view = client.view().ok_or_else(missing)?;
        for range in edges(len) {
            view.write(range.start, &request[range])?;
        }
        let extent = Extent {
            offset: 0,
            len: len as u64,
        };
        client.call_at(extent, &[])?;
        let view = client.view().ok_or_else(missing)?;
        for range in edges(len) {
            view.read(range.start, &mut reply[range])?;
        }
        Ok(len)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let End::Server { inbox, .. } = &mut self.end else {
            return Err(Failure::new(NO_PORT));
        };
        let Received::Request(mut call) = inbox.receive()? else {
            return Err(Failure::check("not a request"));
        };
        let extent = call
            .extent()
            .ok_or_else(|| Failure::check("not in the view"))?;
        let connection = call.connection();
        let view = connection.view().ok_or_else(|| Failure::new("no view"))?;
        let len = usize::try_from(extent.len)?;
        for range in edges(len) {
            view.read(range.start, &mut buffer[range])?;
        }
        for range in edges(reply.len()) {
            view.write(range.start, &reply[range])?;
        }
        call.reply_at(extent, &[])?;
        Ok(len)
    }
}
