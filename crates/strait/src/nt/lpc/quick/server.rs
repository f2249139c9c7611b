//! The threads of a port's Quick clients.

use std::sync::Mutex;
use std::thread::{self, Builder};

use crate::channel::hub::lock;
use crate::channel::mailbox::Stop;
use crate::error::{ErrorKind, Result};
use crate::nt::lpc::{ConnectRequest, Message, Port, QuickCall, QuickSession};

/// Those that are served now, by number.
type Served = Mutex<Vec<(u64, Stop)>>;

impl Port {
    /// Serves Quick clients: each gets a thread of its own, `strait-quick`, in which `handler`
    /// answers its requests. Clients beyond [`PortOptions::threads_max`] and those that want the
    /// other form are refused. Ends when the port is [closed](Self::close) and the threads have
    /// returned from the handler.
    ///
    /// A server of both forms has the explicit loop: see [`ConnectRequest::accept_quick`].
    ///
    /// What a handler fails with is dealt with as by [`serve`](Self::serve).
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Panics
    /// If the handler does; the port is closed then.
    ///
    /// [`PortOptions::threads_max`]: crate::nt::lpc::PortOptions::threads_max
    pub fn serve_quick(
        &self,
        handler: impl Fn(&mut QuickCall<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        let served = Served::default();
        let (handler, shared) = (&handler, &served);
        thread::scope(|scope| {
            let mut inbox = self.inbox();
            let mut number = 0;
            let ended = loop {
                let request = match inbox.receive() {
                    Ok(Message::Connect(request)) => request,
                    Ok(_) => continue,
                    Err(error) if error.kind() == ErrorKind::Removed => break Ok(()),
                    Err(error) => break Err(error),
                };
                let Some(session) = self.admit(request, shared) else {
                    continue;
                };
                number += 1;
                lock(shared).push((number, session.stop()));
                let seat = Seat {
                    port: self,
                    served: shared,
                    number,
                };
                // Without a thread the client is told that the port is gone.
                let _ = Builder::new()
                    .name("strait-quick".into())
                    .spawn_scoped(scope, move || seat.serve(session, handler));
            };
            for (_, stop) in lock(shared).iter() {
                stop.stop();
            }
            ended
        })
    }

    fn admit(&self, request: ConnectRequest<'_>, served: &Served) -> Option<QuickSession> {
        if !request.wants_quick() {
            let _ = request.refuse(b"it has the Quick form only");
            return None;
        }
        if lock(served).len() >= self.rules.threads_max {
            let _ = request.refuse(b"it has no thread for more clients");
            return None;
        }
        // Who cannot be accepted has itself to blame, or is told.
        request.accept_quick(&[]).ok()
    }
}

/// A thread's place among those that serve.
struct Seat<'a> {
    port: &'a Port,
    served: &'a Served,
    number: u64,
}

impl Seat<'_> {
    fn serve(
        self,
        mut session: QuickSession,
        handler: &(impl Fn(&mut QuickCall<'_>) -> Result<()> + Sync),
    ) {
        while let Ok(Some(mut call)) = session.receive() {
            if let Err(error) = handler(&mut call) {
                call.fail(&error);
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let own = |(number, _): &mut (u64, Stop)| *number == self.number;
        let mut served = lock(self.served);
        served.extract_if(.., own).for_each(drop);
        drop(served);
        if thread::panicking() {
            self.port.close();
        }
    }
}
