//! The registry and its procedures, without sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod procedures;
mod registry;
mod strangers;

use std::net::SocketAddr;
use std::sync::Arc;

use strait_wire::onc::message::{Procedure, Xid};
use strait_wire::onc::rpcbind::{PROGRAM, Registration};
use strait_wire::xdr::{Encode, from_slice, to_vec};

use super::super::{Caller, Context, Program as _, Refusal};
use super::Service;

/// Somebody who asks a registry, in memory.
struct Client {
    service: Service,
    caller: Caller,
    reached: Option<SocketAddr>,
}

impl Client {
    /// On the local socket.
    fn user(service: &Service, uid: u32) -> Self {
        let caller = Caller::Local {
            pid: 1,
            uid,
            gid: uid,
        };
        let service = service.clone();
        Self {
            service,
            caller,
            reached: None,
        }
    }

    fn tcp(service: &Service, from: &str, reached: &str) -> Self {
        let caller = Caller::Tcp(from.parse().unwrap());
        let service = service.clone();
        Self {
            service,
            caller,
            reached: reached.parse().ok(),
        }
    }

    fn udp(service: &Service, from: &str, reached: &str) -> Self {
        let caller = Caller::Udp(from.parse().unwrap());
        let service = service.clone();
        Self {
            service,
            caller,
            reached: reached.parse().ok(),
        }
    }

    /// The results, encoded.
    fn raw(&self, version: u32, number: u32, args: &[u8]) -> Result<Vec<u8>, Refusal> {
        let programs = self.service.programs();
        let program = programs.into_iter().find(|each| each.version() == version);
        let context = Context {
            caller: self.caller.clone(),
            reached: self.reached,
            xid: Xid(1),
            procedure: Procedure {
                program: PROGRAM,
                version,
                number,
            },
            credential: Default::default(),
            gss: None,
            xdr: Default::default(),
        };
        // As long as what leads a reply.
        let reply = vec![0; 24];
        let answer = Arc::new(program.unwrap()).dispatch(context, number, args, reply)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Ok(runtime.block_on(answer)?.split_off(24))
    }

    fn call<R: strait_wire::xdr::DecodeOwned>(
        &self,
        version: u32,
        number: u32,
        args: &impl Encode,
    ) -> Result<R, Refusal> {
        let results = self.raw(version, number, &to_vec(args).unwrap())?;
        Ok(from_slice(&results).unwrap())
    }

    fn text(&self, version: u32, number: u32, args: &impl Encode) -> String {
        let results = self.raw(version, number, &to_vec(args).unwrap()).unwrap();
        let mut from = strait_wire::xdr::Reader::new(&results);
        let text = from.string(u32::MAX).unwrap().to_owned();
        from.finish().unwrap();
        text
    }
}

fn rpcb(program: u32, version: u32, netid: &str, address: &str) -> Registration<'static> {
    Registration {
        program,
        version,
        netid: netid.to_owned().into(),
        address: address.to_owned().into(),
        // What it says of its owner counts for nothing.
        owner: "superuser".into(),
    }
}
