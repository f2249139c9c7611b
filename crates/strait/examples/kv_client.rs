//! A client of `kv_server`: `cargo run -p strait --features net --example kv_client`.

use std::time::Duration;

use strait::rpc::onc;

use kv::kv_prog::v1::Client;
use kv::{GetResult, KvStatus};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "made from a file, and not used whole"
)]
mod kv;

fn main() -> strait::Result<()> {
    // `sys`: the server is told which user calls.
    let options = onc::Client::options().timeout(Duration::from_secs(5)).sys();
    let list = use_it(options.tcp("127.0.0.1:2042")?)?;
    println!("{list}");
    Ok(())
}

/// Stores, reads, lists and removes, over whatever connection it is given.
pub(crate) fn use_it(connection: onc::Client) -> strait::Result<String> {
    let kv = Client::over(connection);
    assert_eq!(kv.put("tea/green", b"4 cups")?, KvStatus::KvOk);
    assert_eq!(kv.put("tea/black", &[7; 1000])?, KvStatus::KvOk);
    assert_eq!(kv.get("tea/green")?, GetResult::KvOk(b"4 cups".to_vec()));

    let mut list = String::new();
    for entry in kv.list("tea/")? {
        list += &format!("{}: {} bytes\n", entry.name, entry.length);
    }

    // Sent, and no reply waited for.
    kv.touch_oneway("tea/black")?;
    assert!(kv.remove("tea/green")? && kv.remove("tea/black")?);
    assert!(!kv.remove("tea/black")?, "it is gone");
    let missing = GetResult::Default(KvStatus::KvNotFound);
    assert_eq!(kv.get("tea/green")?, missing);
    Ok(list)
}
