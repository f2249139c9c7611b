//! The RPC language: `.x` files. RFC 4506 section 6, RFC 5531 section 12.
mod check;
mod parse;
mod preprocess;
mod syntax;
mod tree;

use std::path::{Path, PathBuf};

use crate::diag::Diagnostics;
use crate::source::Sources;

pub use tree::{
    Argument, Arm, Body, Constant, Content, Definition, Enumerator, Length, Member, Position,
    Procedure, Program, Specification, Type, TypeId, Union, Value, Version,
};

#[derive(Clone, Debug)]
pub struct Compiler {
    options: preprocess::Options,
}
impl Compiler {
    pub fn new() -> Self { Self { options: Default::default() } }
    pub fn parse(&self, path: impl AsRef<Path>) -> Result<Specification, Diagnostics> {
        let mut sources = Sources::default();
        let input = preprocess::file(&mut sources, &self.options, path.as_ref())?;
        let items = parse::parse(&sources, &input)?;
        check::check(&sources, &input, &items)
    }
}

/// A number as C writes it, of at most 64 bits: decimal, `0x` hexadecimal, `0` octal.
fn number(text: &str) -> Option<i128> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    u64::from_str_radix(digits, radix).ok().map(i128::from)
}
