//! What a file of the RPC language says, resolved: every name found, every constant a number.

use std::path::PathBuf;
use std::sync::Arc;

use crate::source::Span;

/// Everything that a file and what it includes define, in the order of definition.
#[derive(Clone, Debug, Default)]
pub struct Specification {
    /// `const`, and `#define` of a number or a string.
    pub constants: Vec<Constant>,
    /// Every type that has a name, and those given one because they were written in place.
    pub types: Vec<Definition>,
    /// `program`.
    pub programs: Vec<Program>,
    /// Every file that was read, the one asked for first.
    pub files: Vec<PathBuf>,
}

impl Specification {
    /// The definition that a name stands for in this specification.
    #[must_use]
    pub fn definition(&self, id: TypeId) -> &Definition {
        &self.types[id.0]
    }

    /// The type of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TypeId> {
        let at = self.types.iter().position(|each| each.name == name)?;
        Some(TypeId(at))
    }

    /// The type behind aliases: never a `Type::Named` of a [`Body::Alias`].
    #[must_use]
    pub fn resolve<'a>(&'a self, mut of: &'a Type) -> &'a Type {
        while let Type::Named(id) = of
            && let Body::Alias(behind) = &self.definition(*id).body
        {
            of = behind;
        }
        of
    }

    /// What the last member of a linked list points to: the struct itself.
    ///
    /// `struct T { …; T *next; };` may be of any length, so what reads it must go in a loop, not
    /// down by recursion.
    #[must_use]
    pub fn is_list(&self, id: TypeId) -> bool {
        let Body::Struct(members) = &self.definition(id).body else {
            return false;
        };
        let Some(last) = members.last() else {
            return false;
        };
        match self.resolve(&last.of) {
            Type::Optional(to) => *self.resolve(to) == Type::Named(id),
            _ => false,
        }
    }
}

/// Where something is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    pub(crate) span: Span,
}

/// A constant.
#[derive(Clone, Debug)]
pub struct Constant {
    /// Its name, as it is written.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where it is defined.
    pub at: Position,
}

/// What a constant stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// From -2⁶³ to 2⁶⁴ - 1.
    Number(i128),
    /// A string, without quotes and with its escapes replaced.
    Text(String),
}

/// A type of a [`Specification`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(crate) usize);

/// A type with a name.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name, as it is written; a type written in place is named after what it stands in, as
    /// `outer_member`.
    pub name: String,
    /// What it is.
    pub body: Body,
    /// Where it is defined.
    pub at: Position,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Body {
    /// `typedef`: another name, with the bounds that are written there.
    Alias(Type),
    /// Names for numbers of 32 bits. Several names may stand for one number.
    Enum(Vec<Enumerator>),
    /// Members, one after the other.
    Struct(Vec<Member>),
    /// One of several, by a number in front.
    Union(Union),
}

/// A name of an enumeration.
#[derive(Clone, Debug)]
pub struct Enumerator {
    /// Its name.
    pub name: String,
    /// Its number.
    pub value: i32,
    /// Where it is written.
    pub at: Position,
}

/// A member of a struct, or what an arm of a union holds.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// Where it is written.
    pub at: Position,
}

/// A discriminated union.
#[derive(Clone, Debug)]
pub struct Union {
    /// The number in front: an `int`, `unsigned int`, `bool` or enumeration.
    pub discriminant: Member,
    /// The arms with labels, no two with the same number.
    pub arms: Vec<Arm>,
    /// What every other number means; without it, every other number is an error.
    pub default: Option<Content>,
}

/// An arm of a union. `case 1: case 2:` are two arms of the same content.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The number.
    pub value: i64,
    /// The name by which the number is written, if it is.
    pub label: Option<String>,
    /// What follows the number.
    pub content: Content,
    /// Where the label is written.
    pub at: Position,
}

/// What follows the discriminant; nothing for `void`.
pub type Content = Option<Member>;

/// A type where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `void`: only as a result.
    Void,
    /// `int`, `long`: 32 bits.
    Int,
    /// `unsigned int`, `unsigned long`, bare `unsigned`: 32 bits.
    Unsigned,
    /// `char`, sent as `int`.
    Char,
    /// `unsigned char`, sent as `int`.
    UnsignedChar,
    /// `short`, sent as `int`.
    Short,
    /// `unsigned short`, sent as `int`.
    UnsignedShort,
    /// `hyper`: 64 bits.
    Hyper,
    /// `unsigned hyper`: 64 bits.
    UnsignedHyper,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// 128 bits.
    Quadruple,
    /// 0 or 1.
    Bool,
    /// Bytes.
    Opaque(Length),
    /// Text of at most so many bytes.
    String(u32),
    /// Elements of one type.
    Array(Box<Self>, Length),
    /// `T *`: a flag, and the value if it is set.
    Optional(Box<Self>),
    /// A type with a name.
    Named(TypeId),
}

/// How many bytes or elements.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// `[N]`: always so many.
    Fixed(u32),
    /// `<N>`: a count in front, of at most so many; `<>` is [`u32::MAX`].
    Max(u32),
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Its versions, as they are written.
    pub versions: Vec<Version>,
    /// Where it is defined.
    pub at: Position,
}

/// A version of a program.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Its procedures, as they are written.
    pub procedures: Vec<Procedure>,
    /// Where it is defined.
    pub at: Position,
}

/// A procedure.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// What it takes, one after the other; none for `void`.
    pub arguments: Vec<Argument>,
    /// What it gives; `Type::Void` for nothing.
    pub result: Type,
    /// Where it is defined.
    pub at: Position,
}

/// An argument of a procedure.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Its name, if it is written.
    pub name: Option<String>,
    /// Its type.
    pub of: Type,
}
