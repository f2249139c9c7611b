//! `rpc.onc.*.batch` and `.begun`: 32 calls in flight, beside 32 of others one after the other.

use std::marker::PhantomData;

use strait::Result;
use strait::rpc::onc::{Client, Pending, Procedure};

use super::onc::{ECHO, FLIGHT, Local, Rpc, Tcp, Way, at_most};
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Site};

/// Procedure 0 of the program.
const NULL: Procedure = Procedure { number: 0, ..ECHO };

/// How many calls are got into flight.
pub(super) trait Flight: 'static {
    const ID: &'static str;
    const ABOUT: &'static str;
    const BESIDE: Option<&'static str> = None;
    const GOALS: &'static [Goal] = &[];
    type Way: Way;

    fn take_off(client: &Client) -> Result<Vec<Pending<()>>>;
}

/// Gathered for one write.
fn batched(client: &Client) -> Result<Vec<Pending<()>>> {
    client.batch(|batch| {
        let begin = |_| batch.begin(NULL, |_| Ok(()), |_| Ok(()));
        (0..FLIGHT).map(begin).collect()
    })
}

/// Over TCP, gathered.
pub(super) enum TcpBatch {}

impl Flight for TcpBatch {
    const ID: &'static str = "rpc.onc.tcp.batch";
    const ABOUT: &'static str = "ONC RPC, 32 calls of procedure 0 in flight, in one write";
    const GOALS: &'static [Goal] = &[at_most(Job::RTT, "rival.libtirpc.tcp.turns", 0.333)];
    type Way = Tcp;

    fn take_off(client: &Client) -> Result<Vec<Pending<()>>> {
        batched(client)
    }
}

/// Over TCP, one by one.
pub(super) enum TcpBegun {}

impl Flight for TcpBegun {
    const ID: &'static str = "rpc.onc.tcp.begun";
    const ABOUT: &'static str = "ONC RPC, 32 calls of procedure 0 in flight, begun one by one";
    const BESIDE: Option<&'static str> = Some("rival.libtirpc.tcp.turns");
    type Way = Tcp;

    fn take_off(client: &Client) -> Result<Vec<Pending<()>>> {
        let begin = |_| client.begin(NULL, |_| Ok(()), |_| Ok(()));
        (0..FLIGHT).map(begin).collect()
    }
}

/// Over a local socket, gathered.
pub(super) enum LocalBatch {}

impl Flight for LocalBatch {
    const ID: &'static str = "rpc.onc.local.batch";
    const ABOUT: &'static str = TcpBatch::ABOUT;
    const GOALS: &'static [Goal] = &[at_most(Job::RTT, "rival.libtirpc.local.turns", 0.333)];
    type Way = Local;

    fn take_off(client: &Client) -> Result<Vec<Pending<()>>> {
        batched(client)
    }
}

/// A round trip of all of them.
pub(super) struct Of32<F: Flight>(Rpc<F::Way>, PhantomData<F>);

impl<F: Flight> Mechanism for Of32<F> {
    const ID: &'static str = F::ID;
    const ABOUT: &'static str = F::ABOUT;
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const ECHOES: bool = true;
    const YARDSTICK: bool = true;
    const BESIDE: Option<&'static str> = F::BESIDE;
    const GOALS: &'static [Goal] = F::GOALS;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(Rpc::open(site)?, PhantomData))
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let Rpc::Client(client, _) = &self.0 else {
            return Err(Failure::new("the other side calls"));
        };
        for pending in F::take_off(client)? {
            pending.wait()?;
        }
        reply.copy_from_slice(request);
        Ok(request.len())
    }

    fn settle(&mut self) -> Outcome<()> {
        self.0.announce()
    }

    fn echo(&mut self, count: u32) -> Outcome<()> {
        self.0.answer(u64::from(count) * u64::from(FLIGHT))
    }
}
