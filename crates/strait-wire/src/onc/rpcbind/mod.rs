//! The registry of programs: RFC 1833. Version 2 is the portmapper; versions 3 and 4 know any
//! transport.
//!
//! Types and addresses only: who may register what, and for how long, is the server's business.
//! Texts are held to limits that the RFC does not name; what is longer is refused.

mod netid;
mod types;
mod uaddr;

pub use netid::Netid;
pub use types::{
    AddressInfo, CallitResult, EntryV4, LIST_MAX, Mapping, NETID_MAX, Netbuf, OWNER_MAX,
    Registration, RemoteArguments, RemoteCallInfo, RemoteResult, STAT_PROCEDURES, STAT_VERSIONS,
    Statistics, UADDR_MAX, decode_list, encode_list,
};
pub use uaddr::{BadAddress, PATH_MAX, Uaddr};

/// The program's number.
pub const PROGRAM: u32 = 100_000;
/// Its port, on TCP and UDP.
pub const PORT: u16 = 111;
/// Its usual local socket.
pub const SOCKET: &str = "/run/rpcbind.sock";

/// Procedures of version 2, `PMAPPROC_*`.
pub mod v2 {
    /// The version.
    pub const VERSION: u32 = 2;
    /// `bool SET(mapping)`.
    pub const SET: u32 = 1;
    /// `bool UNSET(mapping)`: of all protocols.
    pub const UNSET: u32 = 2;
    /// `unsigned int GETPORT(mapping)`: 0 if there is none; a wrong version is ignored.
    pub const GETPORT: u32 = 3;
    /// `pmaplist DUMP(void)`.
    pub const DUMP: u32 = 4;
    /// `call_result CALLIT(call_args)`: silent unless it succeeds.
    pub const CALLIT: u32 = 5;
}

/// Procedures of version 3, `RPCBPROC_*`.
pub mod v3 {
    /// The version.
    pub const VERSION: u32 = 3;
    /// `bool SET(rpcb)`.
    pub const SET: u32 = 1;
    /// `bool UNSET(rpcb)`.
    pub const UNSET: u32 = 2;
    /// `string GETADDR(rpcb)`: empty if there is none; a wrong version is ignored.
    pub const GETADDR: u32 = 3;
    /// `rpcblist_ptr DUMP(void)`.
    pub const DUMP: u32 = 4;
    /// `rpcb_rmtcallres CALLIT(rpcb_rmtcallargs)`: silent unless it succeeds. Version 4 calls it
    /// BCAST.
    pub const CALLIT: u32 = 5;
    /// `unsigned int GETTIME(void)`: seconds since 1970.
    pub const GETTIME: u32 = 6;
    /// `netbuf UADDR2TADDR(string)`.
    pub const UADDR2TADDR: u32 = 7;
    /// `string TADDR2UADDR(netbuf)`.
    pub const TADDR2UADDR: u32 = 8;
}

/// Procedures of version 4: those of version 3, and these.
pub mod v4 {
    pub use super::v3::{
        CALLIT as BCAST, DUMP, GETADDR, GETTIME, SET, TADDR2UADDR, UADDR2TADDR, UNSET,
    };

    /// The version.
    pub const VERSION: u32 = 4;
    /// `string GETVERSADDR(rpcb)`: of that very version.
    pub const GETVERSADDR: u32 = 9;
    /// `rpcb_rmtcallres INDIRECT(rpcb_rmtcallargs)`: reports its errors.
    pub const INDIRECT: u32 = 10;
    /// `rpcb_entry_list_ptr GETADDRLIST(rpcb)`.
    pub const GETADDRLIST: u32 = 11;
    /// `rpcb_stat_byvers GETSTAT(void)`.
    pub const GETSTAT: u32 = 12;
}
