//! A key-value service over ONC RPC, for `kv_client`:
//! `cargo run -p strait --features net --example kv_server`.
//!
//! `kv/kv.x` is its interface, and `kv/mod.rs` what `strait rpc gen` makes of that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strait::rpc::onc::{Context, Refusal, Server};

use kv::kv_prog::v1::{Dispatcher, Service};
use kv::{Entry, GetResult, KvStatus};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "made from a file, and not used whole"
)]
mod kv;

/// Most keys at a time.
const KEYS_MAX: usize = 1000;

#[derive(Default)]
pub(crate) struct Store(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each procedure is a function. It may wait for anything: other calls go on.
impl Service for Store {
    async fn put(&self, _: &Context, key: String, value: Vec<u8>) -> Result<KvStatus, Refusal> {
        let mut keys = self.keys();
        if keys.len() == KEYS_MAX && !keys.contains_key(&key) {
            return Ok(KvStatus::KvFull);
        }
        keys.insert(key, value);
        Ok(KvStatus::KvOk)
    }

    async fn get(&self, _: &Context, key: String) -> Result<GetResult, Refusal> {
        Ok(match self.keys().get(&key) {
            Some(value) => GetResult::KvOk(value.clone()),
            None => GetResult::Default(KvStatus::KvNotFound),
        })
    }

    async fn remove(&self, _: &Context, key: String) -> Result<bool, Refusal> {
        Ok(self.keys().remove(&key).is_some())
    }

    async fn list(&self, _: &Context, start: String) -> Result<Vec<Entry>, Refusal> {
        let keys = self.keys();
        let found = keys.iter().filter(|(key, _)| key.starts_with(&start));
        let entries = found.map(|(key, value)| {
            let name = key.clone();
            let length = u32::try_from(value.len()).map_err(|_| Refusal::SystemError)?;
            Ok(Entry { name, length })
        });
        entries.collect()
    }

    async fn touch(&self, call: &Context, key: String) -> Result<(), Refusal> {
        println!("{} touches {key}", call.caller);
        Ok(())
    }
}

/// The program as a server takes it.
pub(crate) fn dispatcher() -> Dispatcher<Store> {
    Dispatcher(Store::default())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve("127.0.0.1:2042").await
}

/// Serves at that address for ever.
pub(crate) async fn serve(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut server = Server::new();
    server.add(dispatcher());
    let address = server.tcp(address.parse()?).await?;
    println!("serving at {address}");
    server.run().await;
    Ok(())
}
