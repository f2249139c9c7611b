//! The examples, as they are shown.

use strait::nt::Event;
use strait::nt::lpc::Client;
use strait::{ErrorKind, Namespace, Rights};

use crate::peer::Peer;
use crate::world::{refused, until};

#[path = "../../../../examples/lpc_client.rs"]
#[allow(dead_code, reason = "its main is for those who run it alone")]
mod lpc_client;
#[path = "../../../../examples/lpc_server.rs"]
#[allow(dead_code, reason = "its main is for those who run it alone")]
mod lpc_server;

pub(super) fn serve(args: &[String]) {
    lpc_server::serve(&Namespace::directory(&args[0]).unwrap()).unwrap();
}

#[test]
fn the_client_is_answered_and_ends_the_server() {
    let space = Namespace::temporary().unwrap();
    let server = Peer::start("lpc.example", &[space.path().to_str().unwrap()]);
    until("the server is there", || {
        !strait::nt::lpc::names(&space).unwrap().is_empty()
    });
    assert_eq!(lpc_client::ask(&space).unwrap(), 42);
    assert!(server.finish().success());
}

#[test]
fn no_client_ends_the_server_by_a_handle_without_rights() {
    let space = Namespace::temporary().unwrap();
    let server = Peer::start("lpc.example", &[space.path().to_str().unwrap()]);
    until("the server is there", || {
        !strait::nt::lpc::names(&space).unwrap().is_empty()
    });
    let mut client = Client::options()
        .namespace(&space)
        .connect("adder")
        .unwrap();
    let event = Event::options().shared().create().unwrap();
    client
        .attach(&event.duplicate(Rights::WAIT).unwrap())
        .unwrap();
    let error = refused(client.ask::<_, u64>(&[1_u64, 2]), ErrorKind::Refused);
    assert!(
        error.why().contains("the server's handler failed"),
        "{error}"
    );
    assert_eq!(lpc_client::ask(&space).unwrap(), 42);
    assert!(server.finish().success());
}
