//! Plain data as requests and replies, in both forms.

use std::thread;

use strait::nt::lpc::{Client, Port, Quick};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace};

use super::fails;
use crate::peer::{Peer, say, told};
use crate::world::refused;

/// Adds pairs, at a port of each form.
pub(super) fn adder(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let create = |name| Port::options().namespace(&space).create(name).unwrap();
    let (messages, quick) = (create("messages"), create("quick"));
    say("ready");
    thread::scope(|scope| {
        scope.spawn(|| {
            let served = messages.serve(|call| {
                let [a, b] = call.read::<[u64; 2]>()?;
                call.defer()?.reply_with(&a.wrapping_add(b))
            });
            served.unwrap();
        });
        scope.spawn(|| {
            let served = quick.serve_quick(|call| {
                let [a, b] = call.read::<[u64; 2]>()?;
                call.reply_with(&a.wrapping_add(b))
            });
            served.unwrap();
        });
        told();
        messages.close();
        quick.close();
    });
}

#[test]
fn plain_data_goes_both_ways() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.adder", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let options = Client::options().namespace(&space);
    let mut client = options.connect("messages").unwrap();
    let options = Quick::options().namespace(&space);
    let mut quick = options.connect_quick("quick").unwrap();
    let pair = [u64::MAX, 3];
    assert_eq!(client.ask::<_, u64>(&pair).unwrap(), 2);
    assert_eq!(quick.ask::<_, u64>(&pair).unwrap(), 2);
    // A side that is built differently: the server drops such a request, and goes on.
    let lost = client.ask::<_, u64>(&[1_u64, 2, 3]);
    fails(
        lost.map(drop),
        ErrorKind::Refused,
        NtStatus::LPC_REPLY_LOST,
        1359,
    );
    let lost = quick.ask::<_, u64>(&1_u8);
    fails(
        lost.map(drop),
        ErrorKind::Refused,
        NtStatus::LPC_REPLY_LOST,
        1359,
    );
    let error = refused(client.ask::<_, u32>(&pair), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("built differently"), "{error}");
    refused(client.ask::<_, [u64; 2]>(&pair), ErrorKind::InvalidInput);
    refused(quick.ask::<_, [u64; 2]>(&pair), ErrorKind::InvalidInput);
    assert_eq!(client.ask::<_, u64>(&pair[..]).unwrap(), 2);
    assert_eq!(quick.ask::<_, u64>(&pair[..]).unwrap(), 2);
    assert!(server.finish().success());
}
