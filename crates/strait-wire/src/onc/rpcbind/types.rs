//! What the registry's procedures take and return: RFC 1833 sections 2.1 and 3.1.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::xdr::{Decode, Encode, Error, Reader, UNIT, What, Writer};

/// The longest name of a transport, in bytes. The RFC names no limit.
pub const NETID_MAX: u32 = 32;
/// The longest universal address, in bytes. The RFC names no limit.
pub const UADDR_MAX: u32 = 255;
/// The longest name of an owner, in bytes. The RFC names no limit.
pub const OWNER_MAX: u32 = 255;
/// Entries of a list that is read. The RFC names no limit.
pub const LIST_MAX: u32 = 65_536;
/// Versions of which GETSTAT tells: `RPCBVERS_STAT`.
pub const STAT_VERSIONS: usize = 3;
/// Procedures that GETSTAT counts: `RPCBSTAT_HIGHPROC`.
pub const STAT_PROCEDURES: usize = 13;

/// Declares a structure that is written and read member by member.
macro_rules! structure {
    (
        $(#[$doc:meta])* $name:ident $(<$life:lifetime>)? {
            $($(#[$member_doc:meta])* $member:ident: $type:ty = $kind:ident $(($max:expr))?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct $name $(<$life>)? {
            $($(#[$member_doc])* pub $member: $type,)*
        }

        impl $(<$life>)? Encode for $name $(<$life>)? {
            fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
                $(structure!(@write to, self.$member, $kind $($max)?);)*
                Ok(())
            }
        }

        structure!(@decode $name $(<$life>)? { $($member: $kind $(($max))?,)* });
    };
    (@decode $name:ident { $($member:ident: $kind:ident $(($max:expr))?,)* }) => {
        impl<'a> Decode<'a> for $name {
            fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
                Ok(Self { $($member: structure!(@read from, $kind $($max)?),)* })
            }
        }
    };
    (@decode $name:ident<$life:lifetime> {
        $($member:ident: $kind:ident $(($max:expr))?,)*
    }) => {
        impl<$life> Decode<$life> for $name<$life> {
            fn decode(from: &mut Reader<$life>) -> Result<Self, Error> {
                Ok(Self { $($member: structure!(@read from, $kind $($max)?),)* })
            }
        }
    };
    (@write $to:ident, $value:expr, string $max:expr) => { $to.string(&$value, $max)? };
    (@write $to:ident, $value:expr, opaque $max:expr) => { $to.opaque(&$value, $max)? };
    (@write $to:ident, $value:expr, list) => { encode_list(&$value, $to)? };
    (@write $to:ident, $value:expr, words) => {
        $to.array_fixed(&$value, |to, word| word.encode(to))?
    };
    (@write $to:ident, $value:expr, value) => { $value.encode($to)? };
    (@read $from:ident, string $max:expr) => { $from.string($max)?.into() };
    (@read $from:ident, opaque $max:expr) => { $from.opaque($max)?.into() };
    (@read $from:ident, list) => { decode_list($from)? };
    (@read $from:ident, words) => { $from.array_fixed(Reader::int)? };
    (@read $from:ident, value) => { Decode::decode($from)? };
}

/// A list of the RFC's kind, `struct { T; list *next; } *`, as many as [`LIST_MAX`].
///
/// # Errors
///
/// Those of its entries, and [`What::TooLong`].
pub fn decode_list<'a, T: Decode<'a>>(from: &mut Reader<'a>) -> Result<Vec<T>, Error> {
    let mut count = 0_u32;
    from.list(|from| {
        count += 1;
        if count > LIST_MAX {
            let at = from.position() - UNIT;
            let what = What::TooLong {
                len: count.into(),
                max: LIST_MAX,
            };
            return Err(Error { at, what });
        }
        T::decode(from)
    })
}

/// Writes such a list.
///
/// # Errors
///
/// Those of its entries.
pub fn encode_list<'t, T: Encode + 't>(
    entries: impl IntoIterator<Item = &'t T>,
    to: &mut Writer<'_>,
) -> Result<(), Error> {
    to.list(entries, |to, entry| entry.encode(to))
}

structure! {
    /// `mapping`: what version 2 registers.
    #[derive(Copy, Hash)]
    Mapping {
        /// The program.
        program: u32 = value,
        /// Its version.
        version: u32 = value,
        /// 6: TCP; 17: UDP.
        protocol: u32 = value,
        /// Where it listens. 32 bits on the wire; a port has 16.
        port: u32 = value,
    }
}

structure! {
    /// `call_result`: what it has returned.
    CallitResult<'a> {
        /// Where the program listens.
        port: u32 = value,
        /// What it has returned.
        results: Cow<'a, [u8]> = opaque(u32::MAX),
    }
}

structure! {
    /// `rpcb`: what versions 3 and 4 register.
    #[derive(Hash)]
    Registration<'a> {
        /// The program.
        program: u32 = value,
        /// Its version.
        version: u32 = value,
        /// The transport, see [`Netid`](super::Netid).
        netid: Cow<'a, str> = string(NETID_MAX),
        /// Where it listens, see [`Uaddr`](super::Uaddr).
        address: Cow<'a, str> = string(UADDR_MAX),
        /// Who has registered it.
        owner: Cow<'a, str> = string(OWNER_MAX),
    }
}

structure! {
    /// `rpcb_rmtcallargs`, `call_args` of version 2: what CALLIT, BCAST and INDIRECT are to call.
    RemoteArguments<'a> {
        /// The program.
        program: u32 = value,
        /// Its version.
        version: u32 = value,
        /// The procedure.
        procedure: u32 = value,
        /// Its arguments.
        arguments: Cow<'a, [u8]> = opaque(u32::MAX),
    }
}

structure! {
    /// `rpcb_rmtcallres`: what it has returned.
    RemoteResult<'a> {
        /// Where the program listens.
        address: Cow<'a, str> = string(UADDR_MAX),
        /// What it has returned.
        results: Cow<'a, [u8]> = opaque(u32::MAX),
    }
}

structure! {
    /// `rpcb_entry`: one transport of a program, for GETADDRLIST.
    #[derive(Hash)]
    EntryV4<'a> {
        /// Where it listens.
        address: Cow<'a, str> = string(UADDR_MAX),
        /// The transport.
        netid: Cow<'a, str> = string(NETID_MAX),
        /// 1: datagrams; 2: a stream; 3: a stream with orderly release.
        semantics: u32 = value,
        /// `inet`, `inet6`, `loopback`.
        family: Cow<'a, str> = string(NETID_MAX),
        /// `tcp`, `udp`, `-`.
        protocol: Cow<'a, str> = string(NETID_MAX),
    }
}

structure! {
    /// `netbuf`: an address as the kernel has it.
    Netbuf<'a> {
        /// The length of the buffer that it was in.
        len_max: u32 = value,
        /// The address.
        address: Cow<'a, [u8]> = opaque(UADDR_MAX),
    }
}

structure! {
    /// `rpcbs_addrlist` without its end: how often an address was asked for.
    AddressInfo<'a> {
        /// The program.
        program: u32 = value,
        /// Its version.
        version: u32 = value,
        /// Found.
        success: i32 = value,
        /// Not found.
        failure: i32 = value,
        /// The transport.
        netid: Cow<'a, str> = string(NETID_MAX),
    }
}

structure! {
    /// `rpcbs_rmtcalllist` without its end: how often a remote call was asked for.
    RemoteCallInfo<'a> {
        /// The program.
        program: u32 = value,
        /// Its version.
        version: u32 = value,
        /// The procedure.
        procedure: u32 = value,
        /// Succeeded.
        success: i32 = value,
        /// Failed.
        failure: i32 = value,
        /// By INDIRECT.
        indirect: i32 = value,
        /// The transport.
        netid: Cow<'a, str> = string(NETID_MAX),
    }
}

structure! {
    /// `rpcb_stat`: what one version of the registry has been asked. GETSTAT returns
    /// [`STAT_VERSIONS`] of them, for versions 2, 3 and 4.
    Statistics<'a> {
        /// Calls of each procedure.
        calls: [i32; STAT_PROCEDURES] = words,
        /// Registrations that succeeded.
        set: i32 = value,
        /// Deregistrations that succeeded.
        unset: i32 = value,
        /// Addresses asked for.
        addresses: Vec<AddressInfo<'a>> = list,
        /// Remote calls asked for.
        remote_calls: Vec<RemoteCallInfo<'a>> = list,
    }
}
