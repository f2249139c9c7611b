//! Names that every file takes from C headers without saying so. A definition goes before them.

use super::super::tree::{Body, Length, Member, Position, Type};

/// `<rpc/types.h>`, `<rpc/auth.h>`.
pub(super) const CONSTANTS: &[(&str, i128)] = &[("TRUE", 1), ("FALSE", 0), ("MAXNETNAMELEN", 255)];

/// What stands for a type of the language.
pub(super) fn plain(name: &str) -> Option<Type> {
    Some(match name {
        "int8_t" => Type::Char,
        "u_char" | "uint8_t" | "u_int8_t" => Type::UnsignedChar,
        "int16_t" => Type::Short,
        "u_short" | "uint16_t" | "u_int16_t" => Type::UnsignedShort,
        "int32_t" | "enum_t" => Type::Int,
        "u_int" | "u_long" | "uint32_t" | "u_int32_t" => Type::Unsigned,
        "rpcprog_t" | "rpcvers_t" | "rpcproc_t" | "rpcprot_t" | "rpcport_t" => Type::Unsigned,
        "int64_t" | "quad_t" | "longlong_t" => Type::Hyper,
        "uint64_t" | "u_int64_t" | "u_quad_t" | "u_longlong_t" => Type::UnsignedHyper,
        "bool_t" => Type::Bool,
        _ => return None,
    })
}

/// What takes a definition of its own: `<rpc/types.h>`, `<rpc/des.h>`, RFC 1833 section 2.1.
pub(super) fn body(name: &str, at: &Position) -> Option<Body> {
    let member = |name: &str, of| Member {
        name: name.into(),
        of,
        at: at.clone(),
    };
    Some(match name {
        "netobj" => Body::Alias(Type::Opaque(Length::Max(1024))),
        "des_block" => Body::Alias(Type::Opaque(Length::Fixed(8))),
        "netbuf" => Body::Struct(vec![
            member("maxlen", Type::Unsigned),
            member("buf", Type::Opaque(Length::Max(u32::MAX))),
        ]),
        _ => return None,
    })
}
