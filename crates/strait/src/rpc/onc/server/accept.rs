//! Connections come, also where there is no room for them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strait_sys::Errno;

use super::event::Event;
use super::shared::Shared;
use super::socket::{Listener, Socket};
use super::stream::Connection;
use crate::rpc::onc::Caller;

/// Before the next attempt where one has failed. It doubles while they fail.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut pause = PAUSE_MIN;
    loop {
        let error = match listener.accept().await {
            Ok(socket) => {
                pause = PAUSE_MIN;
                // It may be gone already.
                if let Ok(caller) = socket.caller() {
                    make_room(&shared).await;
                    serve(&shared, socket, caller);
                }
                continue;
            }
            Err(error) => error,
        };
        if is_transient(&error) {
            continue;
        }
        let made_way = shared.make_way();
        shared.tell(|| Event::Exhausted { error, made_way });
        // sleep: the connection that makes way takes a moment, and others hold descriptors too.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

pub(super) fn serve(shared: &Arc<Shared>, socket: Socket, caller: Caller) {
    shared.spawn(Connection::new(shared, socket, caller));
}

/// Waits until there are fewer connections than may be: the idlest makes way.
pub(super) async fn make_room(shared: &Shared) {
    loop {
        let mut room = std::pin::pin!(shared.room.notified());
        room.as_mut().enable();
        if shared.connections() < shared.options.limits.connections_max {
            return;
        }
        shared.make_way();
        room.await;
    }
}

/// What one connection met: the next one may be accepted. `accept(2)` under "Error handling".
fn is_transient(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::AGAIN
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
                | Errno::NONET
                | Errno::OPNOTSUPP
        )
    )
}
