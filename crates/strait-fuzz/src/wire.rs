//! XDR, and ONC RPC made of it.

use std::fmt::Debug;

use strait_wire::onc::auth::{BODY_MAX, Flavor};
use strait_wire::onc::client::{Client, Order, Received};
use strait_wire::onc::message::{CallHeader, Procedure, ReplyBody, ReplyHeader, Xid};
use strait_wire::onc::record::{Caps, ROOM_MAX, ROOM_MIN, Records};
use strait_wire::onc::rpcbind::{
    CallitResult, EntryV4, Mapping, Netbuf, Netid, Registration, RemoteArguments, RemoteResult,
    Statistics, Uaddr, decode_list, encode_list,
};
use strait_wire::onc::server::{self, Answer, Identity, parse_call};
use strait_wire::time::Time;
use strait_wire::xdr::{self, Decode, Encode, Error, Padding, Reader, Writer};

/// Types behind a fixed array: one of fixed arrays of fixed arrays has as many elements as it
/// likes, which is the business of who writes the type.
const FIXED_MAX: usize = 8;

/// The first byte says how many of the next describe a type; the rest is read as that type, and
/// must be written as the same bytes.
pub(crate) fn xdr(data: &[u8]) {
    let Some((len, rest)) = data.split_first() else {
        return;
    };
    let Some((mut types, input)) = rest.split_at_checked(usize::from(*len)) else {
        return;
    };
    let mut from = Reader::new(input);
    let mut bytes = Vec::new();
    let mut to = Writer::new(&mut bytes);
    while !types.is_empty() && copy(&mut types, &mut from, &mut to).is_ok() {
        assert_eq!(to.position(), from.position());
    }
    assert!(input.starts_with(&bytes) || !types.is_empty());
}

/// The next of `types`; 0, an integer, where there is none.
fn next(types: &mut &[u8]) -> u8 {
    let first = types.split_off_first();
    first.copied().unwrap_or(0)
}

/// Reads a value of the type that `types` begins with, and writes it.
fn copy(types: &mut &[u8], from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<(), Error> {
    let start = (from.position(), to.position());
    match next(types) % 20 {
        0 => to.int(from.int()?),
        1 => to.unsigned(from.unsigned()?),
        2 => to.hyper(from.hyper()?),
        3 => to.unsigned_hyper(from.unsigned_hyper()?),
        4 => to.float(from.float()?),
        5 => to.double(from.double()?),
        6 => to.quadruple(from.quadruple()?),
        7 => to.boolean(from.boolean()?),
        8 => to.opaque_fixed(from.opaque_fixed(next(types).into())?),
        9 => to.opaque_fixed(&from.opaque_array::<7>()?),
        10 => to
            .opaque(from.opaque(u32::MAX)?, u32::MAX)
            .expect("as long as it was"),
        11 | 12 => {
            let max = next(types).into();
            to.string(from.string(max)?, max)
                .expect("as long as it was");
        }
        13 => {
            let numbers = from.numbers::<u32>(u32::MAX)?;
            to.numbers(&numbers, u32::MAX)
                .expect("as many as there were");
        }
        14 => {
            let max = next(types).into();
            let numbers = from.numbers::<f64>(max)?;
            to.numbers(&numbers, max).expect("as many as there were");
        }
        15 => {
            let max = u32::from(next(types)) << 24;
            let elements = from.array(max, |from| part(types, from))?;
            next(types);
            to.array(&elements, max, |to, each| put(to, each))
                .expect("as many as there were");
        }
        16 if types.len() <= FIXED_MAX => {
            let elements: [_; 3] = from.array_fixed(|from| part(types, from))?;
            next(types);
            to.array_fixed(&elements, |to, each| put(to, each))
                .expect("as they were");
        }
        17 => {
            let value = from.optional(|from| part(types, from))?;
            next(types);
            to.optional(value.as_deref(), put).expect("as it was");
        }
        18 => {
            let nodes = from.list(|from| part(types, from))?;
            next(types);
            to.list(&nodes, |to, node| put(to, node))
                .expect("as they were");
        }
        _ => {
            let before = from.position();
            from.nested(|from| to.nested(|to| copy(types, from, to)))?;
            assert!(from.position() >= before);
        }
    }
    assert_eq!(from.position() - start.0, to.position() - start.1);
    Ok(())
}

/// The bytes of one element, of the type that `types` begins with.
fn part(mut types: &[u8], from: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    copy(&mut types, from, &mut Writer::new(&mut bytes))?;
    Ok(bytes)
}

fn put(to: &mut Writer<'_>, bytes: &[u8]) -> Result<(), Error> {
    to.opaque_fixed(bytes);
    Ok(())
}

/// A value that can be read from the front of `data` is written as the bytes that were read.
pub(crate) fn same<'a, T: Decode<'a> + Encode + Debug>(data: &'a [u8]) -> Option<T> {
    let mut from = Reader::new(data);
    let value = T::decode(&mut from).ok()?;
    let read = &data[..from.position()];
    assert_eq!(xdr::to_vec(&value).expect("it was read"), read, "{value:?}");
    Some(value)
}

/// A message, as a server and as a client take it.
pub(crate) fn rpc(data: &[u8]) {
    let call = same::<CallHeader<'_>>(data);
    let reply = same::<ReplyHeader<'_>>(data);
    assert!(call.is_none() || reply.is_none());
    let caps = server::Caps {
        flavors: &[
            Flavor::NONE,
            Flavor::SYS,
            Flavor::SHORT,
            Flavor::GSS,
            Flavor::TLS,
        ],
        padding: Padding::Strict,
    };
    match parse_call(data, &caps) {
        Ok(parsed) => {
            assert_eq!(Some(&parsed.header), call.as_ref());
            assert!(data.ends_with(parsed.arguments));
            if let Identity::Sys(sys) = &parsed.identity {
                let body = xdr::to_vec(sys).expect("it was read");
                assert_eq!(*body, *parsed.header.credential.body);
            }
            assert!(parsed.header.credential.body.len() <= BODY_MAX as usize);
            if parsed.identity == Identity::Other(Flavor::GSS) {
                crate::gss::call(&parsed);
            }
        }
        Err(Answer::Reply { message, denied }) => {
            let reply: ReplyHeader<'_> = xdr::from_slice(&message).expect("a sound reply");
            assert_eq!(reply.body, ReplyBody::Denied(denied));
            assert_eq!(reply.xid.0.to_be_bytes(), data[..4]);
        }
        Err(Answer::Drop(_)) => assert!(call.is_none()),
    }
    answer(data, reply.as_ref());
}

/// The message comes to a client that has a call of that number in flight.
fn answer(data: &[u8], reply: Option<&ReplyHeader<'_>>) {
    let xid = data
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let mut client = Client::stream(Xid(xid));
    let order = Order::new(Procedure::default());
    let called = client.call(Time::default(), &order, &mut Vec::new(), |_| Ok(()));
    assert_eq!(called, Ok(Xid(xid)));
    match client.receive(data) {
        Received::Answer(answer) => assert_eq!(Some(&answer.header), reply),
        other => assert!(reply.is_none(), "{other:?}"),
    }
    assert_eq!(client.in_flight() == 0, data.len() >= 4);
}

/// The first byte says in which pieces the rest comes: the records do not depend on it.
pub(crate) fn fragments(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let whole = taken(stream, stream.len().max(1));
    assert_eq!(whole, taken(stream, usize::from(*piece) + 1));
}

/// The records of `stream`, and whether it ends within one; `None` if they end in an error.
fn taken(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<bool>) {
    let caps = Caps {
        record: 512,
        fragments: 5,
    };
    let mut records = Records::new(caps);
    let mut taken = Vec::new();
    for piece in stream.chunks(piece) {
        records.push(piece);
        loop {
            match records.next_record() {
                Ok(Some(record)) => {
                    assert!(record.len() <= caps.record);
                    taken.push(record.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (taken, None),
            }
        }
        assert!(records.memory() <= 2 * stream.len() + ROOM_MAX + ROOM_MIN);
    }
    (taken, Some(records.is_within_record()))
}

/// What the registry of programs takes and returns, and addresses.
pub(crate) fn rpcbind(data: &[u8]) {
    same::<Mapping>(data);
    same::<Registration<'_>>(data);
    same::<EntryV4<'_>>(data);
    same::<RemoteArguments<'_>>(data);
    same::<RemoteResult<'_>>(data);
    same::<CallitResult<'_>>(data);
    same::<Netbuf<'_>>(data);
    same::<Statistics<'_>>(data);
    let mut from = Reader::new(data);
    if let Ok(list) = decode_list::<Registration<'_>>(&mut from) {
        let mut bytes = Vec::new();
        encode_list(&list, &mut Writer::new(&mut bytes)).expect("it was read");
        assert_eq!(bytes, data[..from.position()]);
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for netid in Netid::ALL {
        if let Ok(address) = Uaddr::parse(netid, text) {
            assert_eq!(Uaddr::parse(netid, &address.to_string()), Ok(address));
        }
    }
}
