//! A client of `lpc_server`: `cargo run -p strait --example lpc_client`.

use std::time::Duration;

use strait::nt::{Event, lpc::Client};
use strait::{Namespace, wait};

fn main() -> strait::Result<()> {
    let sum = ask(&Namespace::local()?)?;
    println!("2 + 40 = {sum}");
    Ok(())
}

/// Asks for a sum, and tells the server that this was enough.
pub(crate) fn ask(space: &Namespace) -> strait::Result<u64> {
    // The time bounds all of it, the server's decision included.
    let options = Client::options().namespace(space);
    let mut adder = options.connect_for("adder", Duration::from_secs(5))?;

    let seen = Event::options().shared().create()?;
    adder.attach(&seen)?;
    let sum: u64 = adder.ask(&[2_u64, 40])?;
    // The server has set it before it replied.
    wait::any(&[&seen])?;

    adder.datagram(b"enough")?;
    Ok(sum)
}
