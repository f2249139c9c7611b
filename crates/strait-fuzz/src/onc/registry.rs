//! A registry of programs, and what anybody asks of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};

use strait::rpc::onc::rpcbind::{
    EntryV4, Mapping, PROGRAM, REPLY_FACTOR_MAX, Registration, Service, Statistics, v2, v3, v4,
};
use strait::rpc::onc::xdr::{Decode, Error, Reader};
use strait::rpc::onc::{Caller, Context, Procedure, Program, Refusal, Xid, auth};
use strait_wire::onc::rpcbind::{Netbuf, decode_list};

/// Bytes that lead a reply, and a call without credentials.
const REPLY_LEAD: usize = 24;
const CALL_LEAD: usize = 40;

/// Who asks, by a byte: users, and who comes by the network.
fn caller(byte: u8) -> Caller {
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    match byte % 8 {
        0 => Caller::Local {
            pid: 1,
            uid: 0,
            gid: 0,
        },
        1 => Caller::Local {
            pid: 2,
            uid: 1000,
            gid: 1000,
        },
        2 => Caller::Tcp(at("127.0.0.1:700")),
        3 => Caller::Udp(at("127.0.0.1:700")),
        4 => Caller::Udp(at("[::1]:5000")),
        5 => Caller::Tcp(at("192.0.2.7:700")),
        6 => Caller::Udp(at("192.0.2.7:700")),
        _ => Caller::Udp(at("[2001:db8::7]:53")),
    }
}

/// Requests: who, which version, which procedure, how many bytes of arguments, and these.
pub(crate) fn registry(mut data: &[u8]) {
    let service = Service::options().keep_dead().create();
    let programs = service.programs().map(Arc::new);
    let by_version: BTreeMap<u32, _> = programs.iter().map(|it| (it.version(), it)).collect();
    while let [who, version, number, len, rest @ ..] = data {
        let (args, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        data = rest;
        let (version, number) = (2 + u32::from(version % 3), u32::from(number % 16));
        let caller = caller(*who);
        let before = service.entries();
        let replied = ask(
            Arc::clone(by_version[&version]),
            caller.clone(),
            number,
            args,
        );
        let is_near = !matches!(who % 8, 5..);
        let is_change = matches!(number, v3::SET | v3::UNSET);
        assert!(
            is_near && is_change || service.entries() == before,
            "{caller} {number}"
        );
        let Ok(reply) = replied else {
            continue;
        };
        if !is_near && matches!(caller, Caller::Udp(_)) {
            assert!(
                reply.len() <= REPLY_FACTOR_MAX * (CALL_LEAD + args.len()),
                "{number}"
            );
        }
        let mut from = Reader::new(&reply[REPLY_LEAD..]);
        let read = read(version, number, &mut from).and_then(|()| from.finish());
        assert_eq!(
            read,
            Ok(()),
            "version {version}, procedure {number}: {reply:?}"
        );
    }
}

fn ask<P: Program>(
    program: Arc<P>,
    caller: Caller,
    number: u32,
    args: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let context = Context {
        caller,
        reached: "192.0.2.1:111".parse().ok(),
        xid: Xid(1),
        procedure: Procedure {
            program: PROGRAM,
            version: program.version(),
            number,
        },
        credential: auth::OpaqueAuth::NONE,
        gss: None,
        xdr: Default::default(),
    };
    let mut answer = program.dispatch(context, number, args, vec![0; REPLY_LEAD])?;
    // It looks at no sockets, and so waits for nothing.
    match answer.as_mut().poll(&mut Poller::from_waker(Waker::noop())) {
        Poll::Ready(answered) => answered,
        Poll::Pending => panic!("procedure {number} waits"),
    }
}

/// Reads the results of that procedure.
fn read(version: u32, number: u32, from: &mut Reader<'_>) -> Result<(), Error> {
    match number {
        v3::SET | v3::UNSET => from.boolean().map(drop),
        v2::GETPORT if version == v2::VERSION => from.unsigned().map(drop),
        v2::DUMP if version == v2::VERSION => decode_list::<Mapping>(from).map(drop),
        v3::DUMP => decode_list::<Registration<'_>>(from).map(drop),
        v3::GETTIME => from.unsigned().map(drop),
        v3::UADDR2TADDR => Netbuf::decode(from).map(drop),
        v4::GETADDRLIST => decode_list::<EntryV4<'_>>(from).map(drop),
        v4::GETSTAT => (0..3).try_for_each(|_| Statistics::decode(from).map(drop)),
        v3::GETADDR | v4::GETVERSADDR | v3::TADDR2UADDR => from.string(u32::MAX).map(drop),
        other => panic!("procedure {other} of version {version} has results"),
    }
}
