//! Values of XDR as JSON and back, by the tree of a `.x` file, without code made from it.
//!
//! | In the file | In JSON |
//! | --- | --- |
//! | `int`, `hyper`, `char` … | a number; beyond 2⁵³ a string, as many programs round there. A string of digits, or `0x` and hexadecimal ones, is taken too |
//! | `float`, `double` | a number, `"Infinity"`, `"-Infinity"`, `"NaN"`, `"NaN:7fc00001"` with other bits |
//! | `quadruple` | a string of 32 hexadecimal digits |
//! | `bool` | `true`, `false` |
//! | `enum` | the name; a number is taken too |
//! | `string` | a string; if it is not UTF-8, `{"hex": "ff00"}` |
//! | `opaque` | a string of hexadecimal digits; `{"text": "abc"}` is taken too |
//! | arrays | an array |
//! | `struct` | an object with all its members; an absent pointer may be left out |
//! | `union` | `{"case": LABEL, "value": …}`; without `value` for `void` |
//! | `T *` | the value or `null`; if the value may be `null` itself, `{"some": …}` |
//! | `struct T { …; T *next; }` | an array of nodes without `next`; `T *` is `[]` if there is none, `null` is taken |
//! | `void` | `null` |
//!
//! Each value of XDR has one form that is written, which is read as the same bytes. A value may be
//! [`LEVELS_MAX`] arrays and objects deep; lists are read and written in a loop.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use strait::rpc::onc::xdr;
use strait_idl::onc::{Specification, Type, TypeId};

pub(crate) use self::decode::text;
pub(crate) use self::encode::bytes;

/// Arrays and objects in one another. Common readers of JSON take 128.
pub(crate) const LEVELS_MAX: u32 = 120;

/// The whole numbers that every program reads exactly: up to 2⁵³ - 1.
const EXACT_MAX: i128 = (1 << 53) - 1;

/// Names that objects have here, beside those of members.
const CASE: &str = "case";
const VALUE: &str = "value";
const SOME: &str = "some";
const HEX: &str = "hex";
const TEXT: &str = "text";

/// The usual bits of what is not a number.
const NAN_FLOAT: u32 = 0x7fc0_0000;
const NAN_DOUBLE: u64 = 0x7ff8_0000_0000_0000;

/// A value that is not of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Which part of it, such as `result.members[3].name`.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) why: String,
    /// The same, of bytes.
    pub(crate) xdr: Option<xdr::Error>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// The way from a value to the part of it that is looked at.
#[derive(Debug)]
struct Path<'t> {
    root: &'t str,
    steps: Vec<Step<'t>>,
}

#[derive(Debug)]
enum Step<'t> {
    Member(&'t str),
    Element(usize),
}

impl<'t> Path<'t> {
    const fn new(root: &'t str) -> Self {
        let steps = Vec::new();
        Self { root, steps }
    }

    /// Another element of the array that the last step is an element of.
    fn element(&mut self, i: usize) {
        if let Some(last) = self.steps.last_mut() {
            *last = Step::Element(i);
        }
    }

    /// Another member of what the last step is a member of.
    fn member(&mut self, name: &'t str) {
        if let Some(last) = self.steps.last_mut() {
            *last = Step::Member(name);
        }
    }

    fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong {
            path: self.to_string(),
            why: why.into(),
            xdr: None,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root)?;
        for step in &self.steps {
            match step {
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(i) => write!(f, "[{i}]")?,
            }
        }
        Ok(())
    }
}

/// The nodes of a linked list, by a type that is one.
fn list(tree: &Specification, of: &Type) -> Option<TypeId> {
    match tree.resolve(of) {
        Type::Named(id) if tree.is_list(*id) => Some(*id),
        _ => None,
    }
}

/// Whether a pointer to such a value needs [`SOME`] to be told from none.
fn is_nullable(tree: &Specification, of: &Type) -> bool {
    match tree.resolve(of) {
        // A list has a form without `null`.
        Type::Optional(to) => list(tree, to).is_none(),
        _ => false,
    }
}

/// The numbers of a type of whole ones.
fn range(of: &Type) -> Option<RangeInclusive<i128>> {
    Some(match of {
        Type::Int => i32::MIN.into()..=i32::MAX.into(),
        Type::Unsigned => 0..=u32::MAX.into(),
        Type::Char => i8::MIN.into()..=i8::MAX.into(),
        Type::UnsignedChar => 0..=u8::MAX.into(),
        Type::Short => i16::MIN.into()..=i16::MAX.into(),
        Type::UnsignedShort => 0..=u16::MAX.into(),
        Type::Hyper => i64::MIN.into()..=i64::MAX.into(),
        Type::UnsignedHyper => 0..=u64::MAX.into(),
        _ => return None,
    })
}
