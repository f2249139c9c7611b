//! What a server serves: programs, and what each call tells of its caller.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use strait_wire::onc::auth::{AuthSys, OpaqueAuth};
use strait_wire::onc::message::{AuthStat, Procedure, Xid};
use strait_wire::xdr;

use super::gss::Proof;

/// One version of a program, as a dispatcher made from a `.x` file serves it.
pub trait Program: Send + Sync + 'static {
    /// Its number.
    fn program(&self) -> u32;

    /// Its version.
    fn version(&self) -> u32;

    /// Begins a call: decodes `args` and runs the procedure. The future ends with `reply`, which
    /// begins with what leads a reply, followed by the encoded results.
    ///
    /// Procedure 0 is answered without it.
    ///
    /// # Errors
    /// [`Refusal`]: the call is not begun.
    fn dispatch(
        self: Arc<Self>,
        context: Context,
        procedure: u32,
        args: &[u8],
        reply: Vec<u8>,
    ) -> Result<Answer, Refusal>;
}

/// A call in progress, and its reply.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Refusal>> + Send>>;

/// Why there are no results: what the caller is told.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// PROG_UNAVAIL: there is no such program.
    ProgramUnavailable,
    /// PROG_MISMATCH: the program is there, in other versions.
    ProgramMismatch {
        /// The lowest.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// PROC_UNAVAIL: there is no such procedure.
    ProcedureUnavailable,
    /// GARBAGE_ARGS: the arguments cannot be decoded.
    GarbageArguments,
    /// SYSTEM_ERR: the fault is here.
    SystemError,
    /// AUTH_ERROR: not from this caller.
    Auth(AuthStat),
    /// No reply at all: what a procedure of broadcasts may ask for.
    Silence,
}

/// Where a call came from, as the transport knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Caller {
    /// TCP from that address.
    Tcp(SocketAddr),
    /// TCP from that address within TLS: nobody between can read or change what is said.
    Tls {
        /// From there.
        address: SocketAddr,
        /// The client's own certificate (DER), which was verified against the roots of
        /// `TlsServer`; `None` if it was not asked for or not shown. It says
        /// which machine or program calls, and not which of its users.
        certificate: Option<Arc<[u8]>>,
    },
    /// UDP from that address, which anyone may have written there.
    Udp(SocketAddr),
    /// A local socket or a channel: the process and user that the kernel names.
    Local {
        /// The process.
        pid: u32,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A pipe: whoever has its other end, whom nobody names.
    Pipe,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Tls { address, .. } => write!(f, "tls:{address}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Local { pid, uid, .. } => write!(f, "process {pid} of user {uid}"),
            Self::Pipe => f.write_str("pipe"),
        }
    }
}

/// A call, as the one who answers it sees it.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where it came from.
    pub caller: Caller,
    /// The address at which it reached this machine; `None` where there is no network between.
    pub reached: Option<SocketAddr>,
    /// Its number, within the connection.
    pub xid: Xid,
    /// What is called.
    pub procedure: Procedure,
    /// What the caller says of itself: with [`auth::Flavor::SYS`](super::auth::Flavor::SYS) see
    /// [`sys`](Self::sys).
    pub credential: OpaqueAuth<'static>,
    /// Who calls, where RPCSEC_GSS proves it: see [`gss`](super::gss).
    pub gss: Option<Proof>,
    /// What may be met in the arguments, as [`ServerOptions::xdr`](super::ServerOptions::xdr) has
    /// it.
    pub xdr: xdr::Limits,
}

impl Context {
    /// User and groups as the caller says them: proof of nothing, unless the transport is.
    #[must_use]
    pub fn sys(&self) -> Option<AuthSys<'_>> {
        use strait_wire::onc::auth::Flavor;
        use strait_wire::xdr::{Decode, Reader};

        if self.credential.flavor != Flavor::SYS {
            return None;
        }
        AuthSys::decode(&mut Reader::with_limits(&self.credential.body, self.xdr)).ok()
    }
}
