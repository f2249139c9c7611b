//! A server that adds, for `lpc_client`: `cargo run -p strait --example lpc_server`.

use strait::Namespace;
use strait::nt::{Event, lpc::Port};

fn main() -> strait::Result<()> {
    serve(&Namespace::local()?)
}

/// Serves the port `adder` until a client says that it is enough.
pub(crate) fn serve(space: &Namespace) -> strait::Result<()> {
    let port = Port::options().namespace(space).create("adder")?;
    println!("serving {}", port.name());
    port.serve(|call| {
        if !call.wants_reply() {
            // A datagram: nobody waits. The loop ends, and with it the port.
            port.close();
            return Ok(());
        }
        // A request that is no pair of numbers is its client's fault, and leaves it with an error.
        let [a, b] = call.read::<[u64; 2]>()?;
        let client = call.client();
        println!(
            "process {} of user {} asks for {a} + {b}",
            client.pid, client.uid
        );
        if call.attached_len() > 0 {
            // A handle that came with it: another process waits for this event.
            call.attached::<Event>(std::slice::from_ref(space))?.set()?;
        }
        call.reply_with(&a.wrapping_add(b))
    })
}
