//! What a server takes, and how much of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use strait_wire::onc::auth::Flavor;
use strait_wire::onc::{record, server};
use strait_wire::xdr;

use super::Event;
use crate::object::space::{Namespace, secure::Security};
use crate::rpc::onc::gss::{self, Acceptor, Service};
use crate::rpc::onc::tls::TlsServer;

/// How much a server takes from its clients. Each bound is there because somebody will try.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest call, in bytes; 4 MiB. The connection of a longer one is closed.
    pub record_max: usize,
    /// Small fragments (below 4,000 bytes) of a call; 64.
    pub fragments_max: u32,
    /// Connections; 4,096. A further one takes the place of the idlest of that address (for IPv6,
    /// network of 64 bits), or user of this machine, which has most of them. One with calls in
    /// progress is spared, unless an eighth of all are of that address or user.
    pub connections_max: usize,
    /// Without a call for so long, a connection is closed; 5 minutes.
    pub idle: Duration,
    /// A call that has begun is whole within this time, and a handshake of TLS done, or its
    /// connection is closed; 30 s.
    pub record_time: Duration,
    /// A client takes some of its replies within this time, or its connection is closed; 30 s.
    pub write_time: Duration,
    /// Calls of one connection that are being done; 256. Then it is not read from.
    pub calls_per_connection: usize,
    /// Calls that are being done in all; 8,192. Then nothing is read from anybody, and of those
    /// that came by datagrams, which have half of it, none is taken.
    pub calls_max: usize,
    /// Memory of all calls that have begun to come, in bytes; 24 MiB. When it runs out, those of
    /// more than 8 KiB wait for others, and connections are closed that have begun a call and for a
    /// second send nothing more, or are not read from as they take no replies. What a call of
    /// `record_max` takes is kept for one at a time, so that all waiting for each other cannot
    /// happen.
    pub records_memory: usize,
    /// Replies that a connection has not taken yet, in bytes; 1 MiB. Then it is not read from.
    pub replies_per_connection: usize,
    /// Replies that all connections have not taken yet, in bytes; 64 MiB. Then those are closed
    /// that have taken nothing for a second.
    pub replies_memory: usize,
    /// Calls by datagrams that are remembered with their replies, for each socket, so that a
    /// repeated one is not done again; 4,096, 8 MiB, 2 minutes. Beyond that the oldest are
    /// forgotten of the address (for IPv6, network of 64 bits) which has most of them.
    pub duplicates: server::Limits,
    /// Contexts of RPCSEC_GSS: 4,096 in use, for an hour after their last call, and 128 that are
    /// being made, for 30 s. Of more the idlest make way, of whoever has most.
    pub gss: gss::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_max: record::RECORD_MAX,
            fragments_max: record::FRAGMENTS_MAX,
            connections_max: 4096,
            idle: Duration::from_secs(300),
            record_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            calls_per_connection: 256,
            calls_max: 8192,
            records_memory: 24 << 20,
            replies_per_connection: 1 << 20,
            replies_memory: 64 << 20,
            duplicates: server::Limits::default(),
            gss: gss::Limits::default(),
        }
    }
}

/// Whose datagrams a bound concerns.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Whom {
    /// Everybody but those who call over the loopback interface.
    Strangers,
    /// Everybody.
    Everybody,
}

/// What a server is told before it serves.
#[derive(Clone)]
#[must_use]
pub struct ServerOptions {
    pub(super) limits: Limits,
    pub(super) flavors: &'static [Flavor],
    pub(super) required: Option<Flavor>,
    pub(super) acceptor: Option<Arc<dyn Acceptor>>,
    pub(super) gss_least: Service,
    pub(super) reply_factor: Option<(usize, Whom)>,
    pub(super) duplicates_on_streams: bool,
    pub(super) shorts: Option<server::ShortLimits>,
    pub(super) space: Option<Namespace>,
    pub(super) security: Security,
    pub(in crate::rpc::onc) tls: Option<TlsServer>,
    pub(super) xdr: xdr::Limits,
    pub(super) on_event: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            flavors: server::Caps::default().flavors,
            required: None,
            acceptor: None,
            gss_least: Service::None,
            reply_factor: None,
            duplicates_on_streams: false,
            shorts: None,
            space: None,
            security: Security::private(),
            tls: None,
            xdr: xdr::Limits::default(),
            on_event: None,
        }
    }
}

impl ServerOptions {
    /// How much is taken.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Credentials of these kinds are taken; AUTH_NONE and AUTH_SYS unless said. Others are
    /// AUTH_REJECTEDCRED.
    pub fn flavors(mut self, flavors: &'static [Flavor]) -> Self {
        self.flavors = flavors;
        self
    }

    /// Calls with other credentials than these are AUTH_TOOWEAK, but for procedure 0, which never
    /// needs any (RFC 5531 section 12).
    pub fn require(mut self, flavor: Flavor) -> Self {
        self.required = Some(flavor);
        self
    }

    /// Takes RPCSEC_GSS too, of whom this mechanism accepts: see [`gss`]. Procedure 0 and calls
    /// with other credentials are as before; see [`require`](Self::require).
    pub fn gss(mut self, acceptor: impl Acceptor + 'static) -> Self {
        self.acceptor = Some(Arc::new(acceptor));
        self
    }

    /// Calls with RPCSEC_GSS that are protected less than this are AUTH_TOOWEAK, but for
    /// procedure 0.
    pub fn gss_at_least(mut self, service: Service) -> Self {
        self.gss_least = service;
        self
    }

    /// A reply by datagram is at most `factor` times as long as its call; a longer one is
    /// SYSTEM_ERR instead. Whoever forges the address of a call has the reply sent to somebody
    /// else: without this bound that is worth the effort where replies are long.
    pub fn reply_factor_max(mut self, factor: usize, whom: Whom) -> Self {
        self.reply_factor = Some((factor, whom));
        self
    }

    /// Remembers what came over TCP too, for clients that connect anew and send the same call with
    /// the same XID: by address without port. A repeated call whose first is still being done is
    /// dropped. Off unless asked for: clients of different programs behind one address may meet,
    /// which is why calls within TLS are not remembered, and those of RPCSEC_GSS by their context.
    pub fn duplicates_on_streams(mut self) -> Self {
        self.duplicates_on_streams = true;
        self
    }

    /// Hands out a shorter credential (AUTH_SHORT) to who calls with AUTH_SYS, and takes that: 24
    /// bytes in place of some 40 to 400. Handlers see the AUTH_SYS that it stands for. What is
    /// remembered has these bounds, and 16 for each connection; who says what is forgotten is
    /// AUTH_REJECTEDCRED, which its client answers with the long one.
    ///
    /// It counts on the connection that it was handed out on, and nowhere else. Nothing is handed
    /// out by datagram: its address may be forged, and the reply would be longer.
    ///
    /// Off unless asked for: it spares bytes and no work, few clients use it, and one that does not
    /// know the answer to AUTH_REJECTEDCRED fails after a restart. RFC 5531 appendix A.
    pub fn short_credentials(mut self, limits: server::ShortLimits) -> Self {
        self.shorts = Some(limits);
        self
    }

    /// How deep arguments may be nested, in place of 200 levels, and what the padding of arguments
    /// and credentials may hold, in place of zero alone: some senders leave there what was in the
    /// buffer.
    pub fn xdr(mut self, limits: xdr::Limits) -> Self {
        self.xdr = limits;
        self
    }

    /// The namespace of the names of its channels; the user's own unless said.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.space = Some(namespace.clone());
        self
    }

    /// Who may call over its channels: whoever may write the name's file. The caller's own user
    /// unless said.
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Speaks TLS to clients that ask for it over TCP: see [`tls`](crate::rpc::onc::tls).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsServer) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Is told of what an operator may want to know. Called from the tasks that serve: it must not
    /// block. Its panics end nothing.
    pub fn on_event(mut self, hook: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("limits", &self.limits)
            .field("flavors", &self.flavors)
            .field("required", &self.required)
            .field("reply_factor", &self.reply_factor)
            .field("duplicates_on_streams", &self.duplicates_on_streams)
            .field("shorts", &self.shorts)
            .field("xdr", &self.xdr)
            .field("space", &self.space)
            .field("security", &self.security)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
