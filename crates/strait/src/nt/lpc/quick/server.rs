//! The threads of a port's Quick clients.

use std::sync::Mutex;
use std::thread::{self, Builder};

use crate::channel::hub::lock;
use crate::channel::mailbox::Stop;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::{ConnectRequest, Message, Port, QuickCall, QuickSession};

/// Those that are served now, by number, and the first failure of a handler.
#[derive(Debug, Default)]
struct Served {
    sessions: Vec<(u64, Stop)>,
    failed: Option<Error>,
}

impl Port {
    /// Serves Quick clients: each gets a thread of its own, `strait-quick`, in which `handler`
    /// answers its requests. Clients beyond [`PortOptions::threads_max`] and those that want the
    /// other form are refused. Ends when the port is [closed](Self::close) and the threads have
    /// returned from the handler.
    ///
    /// A server of both forms has the explicit loop: see [`ConnectRequest::accept_quick`].
    ///
    /// # Errors
    /// What the handler fails with, unless a client is the reason, as in [`serve`](Self::serve);
    /// the port is then closed.
    ///
    /// # Panics
    /// If the handler does; the port is closed then.
    ///
    /// [`PortOptions::threads_max`]: crate::nt::lpc::PortOptions::threads_max
    pub fn serve_quick(
        &self,
        handler: impl Fn(&mut QuickCall<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        let served = Mutex::new(Served::default());
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
                lock(shared).sessions.push((number, session.stop()));
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
            for (_, stop) in &lock(shared).sessions {
                stop.stop();
            }
            ended
        })?;
        let failed = lock(&served).failed.take();
        failed.map_or(Ok(()), Err)
    }

    fn admit(&self, request: ConnectRequest<'_>, served: &Mutex<Served>) -> Option<QuickSession> {
        if !request.wants_quick() {
            let _ = request.refuse(b"it has the Quick form only");
            return None;
        }
        if lock(served).sessions.len() >= self.rules.threads_max {
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
    served: &'a Mutex<Served>,
    number: u64,
}

impl Seat<'_> {
    fn serve(
        self,
        mut session: QuickSession,
        handler: &(impl Fn(&mut QuickCall<'_>) -> Result<()> + Sync),
    ) {
        loop {
            let answered = match session.receive() {
                Ok(Some(mut call)) => handler(&mut call),
                Ok(None) | Err(_) => return,
            };
            match answered {
                Err(error) if !error.is_of_client(self.port.rules.port) => {
                    lock(self.served).failed.get_or_insert(error);
                    self.port.close();
                    return;
                }
                _ => {}
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let own = |(number, _): &mut (u64, Stop)| *number == self.number;
        let mut served = lock(self.served);
        served.sessions.extract_if(.., own).for_each(drop);
        drop(served);
        if thread::panicking() {
            self.port.close();
        }
    }
}
