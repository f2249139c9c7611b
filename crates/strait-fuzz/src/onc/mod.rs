//! ONC RPC with real sockets in one process, against what the stream's bytes say.

pub(crate) mod client;
pub(crate) mod registry;
pub(crate) mod server;

use std::cell::RefCell;
use std::time::Duration;

use strait_wire::onc::record::{Caps, Records};
use tokio::runtime::{Builder, Runtime};

/// A run that takes longer hangs.
const HANG: Duration = Duration::from_secs(10);

thread_local! {
    /// One for all runs: making it costs more than a run.
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Runs that to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow_mut(|runtime| {
        let make = || Builder::new_current_thread().enable_all().build();
        let runtime = runtime.get_or_insert_with(|| make().expect("a runtime"));
        let limited = async { tokio::time::timeout(HANG, future).await };
        runtime.block_on(limited).expect("it hangs")
    })
}

/// The records of a stream that ends here, up to one that is beyond `caps`; and whether one is.
fn records(stream: &[u8], caps: Caps) -> (Vec<Vec<u8>>, bool) {
    let mut records = Records::new(caps);
    records.push(stream);
    let mut all = Vec::new();
    loop {
        match records.next_record() {
            Ok(Some(record)) => all.push(record.to_vec()),
            Ok(None) => return (all, false),
            Err(_) => return (all, true),
        }
    }
}
