//! Calls that a registry makes for others: CALLIT, BCAST and INDIRECT of RFC 1833 section 2.2.1.

use std::net::SocketAddr;
use std::time::Duration;

use strait_wire::onc::rpcbind::Netid;
use tokio::sync::Semaphore;

use super::super::{Client, Refusal, Status, status};
use super::request::Remote;
use crate::error::Error;

/// The longest results that are passed on, in bytes.
const RESULTS_MAX: usize = 64 << 10;

/// How much a registry does for others: see [`ServiceOptions::remote_calls`].
///
/// [`ServiceOptions::remote_calls`]: super::ServiceOptions::remote_calls
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct RemoteLimits {
    /// Calls at a time; 32. Of further ones INDIRECT hears SYSTEM_ERR, and CALLIT nothing.
    pub in_flight_max: usize,
    /// How long a program may take; 5 s.
    pub timeout: Duration,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What makes the calls.
#[derive(Debug)]
pub(super) struct Forwarder {
    places: Semaphore,
    timeout: Duration,
}

impl Forwarder {
    pub(super) fn new(limits: RemoteLimits) -> Self {
        Self {
            places: Semaphore::new(limits.in_flight_max.min(Semaphore::MAX_PERMITS)),
            timeout: limits.timeout,
        }
    }

    /// Calls a program, as nobody in particular: what the caller says of himself is not passed on,
    /// since here it would come from this machine. Its results, not decoded.
    pub(super) async fn call(
        &self,
        remote: &Remote,
        (netid, at): (Netid, SocketAddr),
    ) -> Result<Vec<u8>, Refusal> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Refusal::SystemError);
        };
        let options = Client::options()
            .timeout(self.timeout)
            .record_max(RESULTS_MAX);
        let client = match netid {
            Netid::Udp | Netid::Udp6 => options.udp_async(at).await,
            _ => options.tcp_async(at).await,
        };
        let client = client.map_err(|error| refusal(&error))?;
        let answer = client.call(
            remote.procedure,
            |to| {
                to.opaque_fixed(&remote.arguments);
                Ok(())
            },
            |from| from.opaque_fixed(from.remaining()).map(<[u8]>::to_vec),
        );
        answer.await.map_err(|error| refusal(&error))
    }
}

/// What the program said, as the registry's own answer.
fn refusal(error: &Error) -> Refusal {
    match status(error) {
        Some(Status::ProgramUnavailable) => Refusal::ProgramUnavailable,
        Some(Status::ProgramMismatch { low, high }) => Refusal::ProgramMismatch { low, high },
        Some(Status::ProcedureUnavailable) => Refusal::ProcedureUnavailable,
        Some(Status::GarbageArguments) => Refusal::GarbageArguments,
        Some(Status::Auth(why)) => Refusal::Auth(why),
        _ => Refusal::SystemError,
    }
}
