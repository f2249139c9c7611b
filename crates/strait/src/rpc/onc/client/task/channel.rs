//! An async client over a channel: a set of waits stands in for the socket that there is not.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::connect::on_thread;
use super::{AsyncClient, Link, READS, Served, YEAR};
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::{Set, Waitable};
use crate::rpc::onc::client::channel::{self, Event};
use crate::rpc::onc::client::inbox::Inbox;
use crate::rpc::onc::client::options::ClientOptions;

impl ClientOptions {
    /// Calls over a channel, from async tasks. As [`channel`](Self::channel). A hidden thread
    /// (`strait-source`) sleeps for it, and another one while it has no room to send.
    ///
    /// # Errors
    /// As there; [`ErrorKind::Exhausted`]: there is no descriptor or thread to be had.
    pub async fn channel_async(self, name: &str) -> Result<AsyncClient> {
        let (name, within) = (name.to_owned(), self.timeout);
        let shown = name.clone();
        let failed = |kind| Error::new(kind, "connect to", shown);
        let until = Deadline::after(within);
        let connecting = move || {
            let place = (self.space.as_ref(), &*name);
            let connected = channel::connect(place, self.record_max, until.left());
            connected.map(|connected| (self, connected))
        };
        let connected = on_thread((until, within), failed, connecting).await?;
        let (options, (peer, ends)) = connected?;
        let [room, arrivals] = [ends.room(), ends.arrivals()];
        let arrivals = polled(&[&arrivals])?;
        let link = Arc::new(Link::new(&options, Box::new(ends)));
        let inbox = Inbox::new(link.transport.form(), options.record_max);
        let served = Served(Arc::clone(&link));
        tokio::spawn(run(served, (arrivals, room), inbox, options.timeout));
        Ok(AsyncClient::of(options, link, peer))
    }
}

/// A set as tokio wants its descriptor.
struct Polled(Set);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Polled {
    /// Arms it, and looks whether something was told that this has not taken back.
    fn has_told(&self) -> bool {
        self.0.0.arm();
        self.0.0.has_told()
    }
}

fn polled(members: &[&dyn Waitable]) -> Result<AsyncFd<Polled>> {
    let set = Set::new()?;
    for member in members {
        set.add(*member)?;
    }
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of types that lie about their descriptor; \
                  a set owns the one that it names"
    )]
    let polled = AsyncFd::with_interest(Polled(set), Interest::READABLE);
    polled.map_err(|error| {
        Error::new(ErrorKind::Exhausted, "wait", "a channel").because(error.to_string())
    })
}

/// Reads and writes for all who call.
async fn run(
    served: Served,
    (arrivals, room): (AsyncFd<Polled>, Event),
    mut inbox: Inbox,
    grace: Duration,
) {
    let link = &served.0;
    let (mut closing, mut leaving) = (None, None);
    loop {
        let has_more = (0..READS).all(|_| link.receive(&mut inbox));
        let is_full = {
            let mut state = link.state();
            state.send(&*link.transport);
            if state.is_closing {
                closing.get_or_insert_with(|| tokio::time::Instant::now() + grace.min(YEAR));
            }
            let is_idle = state.is_closing && state.queued == 0;
            if is_idle || state.calls.ended().is_some() {
                return;
            }
            state.queued > 0
        };
        link.room.notify_waiters();
        if has_more {
            tokio::task::yield_now().await;
            continue;
        }
        if !is_full {
            leaving = None;
        } else if leaving.is_none() {
            // What is ready once half the ring is free. Without it (for want of descriptors) its
            // replies tell that the server has read.
            leaving = polled(&[&room]).ok();
        }
        // What came since the look is told.
        let sets = [Some(&arrivals), leaving.as_ref()];
        if sets
            .into_iter()
            .flatten()
            .any(|set| set.get_ref().has_told())
        {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            ready = arrivals.readable() => {
                let Ok(mut ready) = ready else { return };
                ready.clear_ready();
            }
            ready = readable(leaving.as_ref()), if leaving.is_some() => {
                if !ready { return }
            }
            () = link.wake.notified() => {}
            () = tokio::time::sleep_until(closing.unwrap_or_else(tokio::time::Instant::now)),
                if closing.is_some() => return,
        }
    }
}

/// Once it is readable; false: the runtime ends.
async fn readable(polled: Option<&AsyncFd<Polled>>) -> bool {
    let Some(polled) = polled else {
        return std::future::pending().await;
    };
    match polled.readable().await {
        Ok(mut ready) => {
            ready.clear_ready();
            true
        }
        Err(_) => false,
    }
}
