//! The examples, as they are shown.

use std::io::{BufRead as _, Read as _};

use strait::rpc::onc;

use crate::peer::{Peer, Role};

#[path = "../../../../examples/kv_client.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "two programs that share a file, and whose main is for those who run them alone"
)]
pub(crate) mod kv_client;
#[path = "../../../../examples/kv_server.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "two programs that share a file, and whose main is for those who run them alone"
)]
pub(crate) mod kv_server;

pub(crate) const ROLES: &[(&str, Role)] = &[("onc.example", serve)];

fn serve(_: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(kv_server::serve("127.0.0.1:0")).unwrap();
}

#[test]
fn the_client_stores_lists_and_removes() {
    let mut server = Peer::start("onc.example", &[]);
    let lines = server.output.by_ref().lines().map(Result::unwrap);
    let at = lines
        .filter_map(|line| Some(line.split_once("serving at ")?.1.to_owned()))
        .next();
    let connection = onc::Client::options().tcp(at.unwrap()).unwrap();
    assert_eq!(
        kv_client::use_it(connection).unwrap(),
        "tea/black: 1000 bytes\ntea/green: 6 bytes\n"
    );
}
