//! A client with several calls in flight, and what comes back.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use strait::rpc::onc::{Client, Pending, Procedure};
use strait_wire::onc::message::{Accepted, ReplyBody, ReplyHeader, Xid};
use strait_wire::onc::record::{Caps, FRAGMENTS_MAX};
use strait_wire::xdr::{self, Decode, Reader};

/// Calls in flight.
const CALLS: usize = 3;
/// Bytes of each: a mark, and a call without credentials and arguments.
const CALL_LEN: usize = 44;
const RECORD_MAX: usize = 512;

/// Pieces of the stream: a byte for the kind, one for the length, and the bytes. Kinds 0 to 2
/// begin with the number of that call in place of their first four bytes behind the mark.
fn stream(mut data: &[u8], xids: &[Xid]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [kind, len, rest @ ..] = data {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        data = rest;
        let start = stream.len();
        stream.extend_from_slice(piece);
        let number = stream.get_mut(start + 4..start + 8);
        if let (Some(xid), Some(number)) = (xids.get(usize::from(*kind)), number) {
            number.copy_from_slice(&xid.0.to_be_bytes());
        }
    }
    stream
}

/// What became of a call, if what came of the stream until its end is all there is; `None`: it
/// failed.
fn fate(records: &[Vec<u8>], xid: Xid) -> Option<Vec<u8>> {
    let of_it = |record: &&Vec<u8>| record.starts_with(&xid.0.to_be_bytes());
    let record = records.iter().find(of_it)?;
    let mut from = Reader::new(record);
    let header = ReplyHeader::decode(&mut from).ok()?;
    let ReplyBody::Accepted {
        status: Accepted::Success,
        ..
    } = header.body
    else {
        return None;
    };
    let results = opaque(&mut from).ok()?.to_vec();
    from.finish().ok().map(|()| results)
}

fn opaque<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], xdr::Error> {
    from.opaque(64)
}

fn decoded(from: &mut Reader<'_>) -> Result<Vec<u8>, xdr::Error> {
    opaque(from).map(<[u8]>::to_vec)
}

/// The first byte says in which order the calls are waited for, and whether the last is given up.
pub(crate) fn client(data: &[u8]) {
    let Some((order, data)) = data.split_first() else {
        return;
    };
    let (here, mut there) = UnixStream::pair().expect("two sockets");
    let options = Client::options()
        .record_max(RECORD_MAX)
        .timeout(Duration::from_secs(10));
    let client = options.stream(here).expect("a stream");
    let procedure = Procedure {
        program: 7,
        version: 1,
        number: 1,
    };
    let begin = |_| {
        client
            .begin(procedure, |_| Ok(()), decoded)
            .expect("room in a new socket")
    };
    let mut calls: Vec<Pending<Vec<u8>>> = (0..CALLS).map(begin).collect();
    let mut sent = [0; CALLS * CALL_LEN];
    there.read_exact(&mut sent).expect("three calls");
    let (sent, _) = sent.as_chunks::<CALL_LEN>();
    let number =
        |call: &[u8; CALL_LEN]| Xid(u32::from_be_bytes([call[4], call[5], call[6], call[7]]));
    let mut xids: Vec<Xid> = sent.iter().map(number).collect();

    let stream = stream(data, &xids);
    there.write_all(&stream).expect("room in a new socket");
    there.shutdown(Shutdown::Write).expect("a connected socket");
    let caps = Caps {
        record: RECORD_MAX,
        fragments: FRAGMENTS_MAX,
    };
    let (records, _) = super::records(&stream, caps);
    while !calls.is_empty() {
        let at = usize::from(*order) % calls.len();
        let (call, xid) = (calls.swap_remove(at), xids.swap_remove(at));
        if calls.is_empty() && *order > 127 {
            drop(call);
            continue;
        }
        let came = call.wait();
        assert_eq!(came.as_ref().ok(), fate(&records, xid).as_ref(), "{came:?}");
    }
    let late = client.null(7, 1);
    assert!(late.is_err(), "the stream has ended");
}
