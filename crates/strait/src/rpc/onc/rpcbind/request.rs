//! The procedures of versions 2, 3 and 4, decoded: what each asks for, whatever the version.

use std::borrow::Cow;

use strait_wire::onc::rpcbind::{Mapping, Netbuf, Registration, RemoteArguments, v2, v3, v4};
use strait_wire::xdr::{Decode, Error, Reader};

use super::super::{Procedure, Refusal};

/// What is asked.
#[derive(Debug)]
pub(super) enum Request {
    /// SET of version 2.
    Map(Mapping),
    /// UNSET of version 2: of all protocols.
    Unmap(Mapping),
    /// GETPORT.
    Port(Mapping),
    /// SET.
    Set(Registration<'static>),
    /// UNSET: of a transport, or of all.
    Unset(Registration<'static>),
    /// GETADDR.
    Address(Registration<'static>),
    /// GETVERSADDR.
    VersionAddress(Registration<'static>),
    /// GETADDRLIST.
    Addresses(Registration<'static>),
    /// DUMP.
    Dump,
    /// GETTIME.
    Time,
    /// UADDR2TADDR.
    ToTransport(String),
    /// TADDR2UADDR.
    ToUniversal(Netbuf<'static>),
    /// GETSTAT.
    Statistics,
    /// CALLIT, BCAST and INDIRECT.
    Remote(Remote),
}

/// What is to be called for somebody else.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) procedure: Procedure,
    pub(super) arguments: Vec<u8>,
}

impl Request {
    pub(super) fn decode(version: u32, procedure: u32, args: &[u8]) -> Result<Self, Refusal> {
        let mut from = Reader::new(args);
        let request = match version {
            v2::VERSION => second(procedure, &mut from),
            _ => later(version, procedure, &mut from),
        };
        let request = request.ok_or(Refusal::ProcedureUnavailable)?;
        let whole = request.and_then(|request| from.finish().map(|()| request));
        whole.map_err(|_| Refusal::GarbageArguments)
    }
}

type Decoded = Option<Result<Request, Error>>;

fn second(procedure: u32, from: &mut Reader<'_>) -> Decoded {
    let make = match procedure {
        v2::SET => Request::Map,
        v2::UNSET => Request::Unmap,
        v2::GETPORT => Request::Port,
        v2::DUMP => return Some(Ok(Request::Dump)),
        v2::CALLIT => return Some(remote(from)),
        _ => return None,
    };
    Some(Mapping::decode(from).map(make))
}

fn later(version: u32, procedure: u32, from: &mut Reader<'_>) -> Decoded {
    let is_fourth = version == v4::VERSION;
    let make = match procedure {
        v3::SET => Request::Set,
        v3::UNSET => Request::Unset,
        v3::GETADDR => Request::Address,
        v4::GETVERSADDR if is_fourth => Request::VersionAddress,
        v4::GETADDRLIST if is_fourth => Request::Addresses,
        v3::DUMP => return Some(Ok(Request::Dump)),
        v3::CALLIT => return Some(remote(from)),
        v4::INDIRECT if is_fourth => return Some(remote(from)),
        v3::GETTIME => return Some(Ok(Request::Time)),
        v4::GETSTAT if is_fourth => return Some(Ok(Request::Statistics)),
        v3::UADDR2TADDR => return Some(text(from)),
        v3::TADDR2UADDR => return Some(Netbuf::decode(from).map(netbuf)),
        _ => return None,
    };
    Some(Registration::decode(from).map(|registration| make(owned(registration))))
}

fn remote(from: &mut Reader<'_>) -> Result<Request, Error> {
    let call = RemoteArguments::decode(from)?;
    let procedure = Procedure {
        program: call.program,
        version: call.version,
        number: call.procedure,
    };
    let arguments = call.arguments.into_owned();
    Ok(Request::Remote(Remote {
        procedure,
        arguments,
    }))
}

fn text(from: &mut Reader<'_>) -> Result<Request, Error> {
    let text = from.string(strait_wire::onc::rpcbind::UADDR_MAX)?;
    Ok(Request::ToTransport(text.to_owned()))
}

fn netbuf(netbuf: Netbuf<'_>) -> Request {
    let len_max = netbuf.len_max;
    let address = Cow::Owned(netbuf.address.into_owned());
    Request::ToUniversal(Netbuf { len_max, address })
}

/// The same, without what it was read from.
pub(super) fn owned(registration: Registration<'_>) -> Registration<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Registration {
        program: registration.program,
        version: registration.version,
        netid: text(registration.netid),
        address: text(registration.address),
        owner: text(registration.owner),
    }
}
