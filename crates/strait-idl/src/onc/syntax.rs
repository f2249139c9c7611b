//! What a file says word for word, before names are looked up.

use super::tree::Type;
use crate::source::Span;

/// A name where it is written.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: Span,
}

/// A number, or the name of one.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) atom: Atom,
    /// An odd number of minus signs stands before it.
    pub(super) negative: bool,
    pub(super) at: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Atom {
    Number(i128),
    Name(String),
    Text(String),
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Constant(Name, Scalar),
    Type(Name, BodySyntax),
    Program(Numbered<Numbered<ProcedureSyntax>>),
}

/// `kind NAME { … } = number;`
#[derive(Clone, Debug)]
pub(super) struct Numbered<T> {
    pub(super) name: Name,
    pub(super) number: Scalar,
    pub(super) inner: Vec<T>,
}

#[derive(Clone, Debug)]
pub(super) struct ProcedureSyntax {
    pub(super) name: Name,
    pub(super) number: Scalar,
    pub(super) arguments: Vec<Declaration>,
    pub(super) result: Declaration,
}

#[derive(Clone, Debug)]
pub(super) enum BodySyntax {
    Alias(Declaration),
    Enum(Vec<(Name, Option<Scalar>)>),
    Struct(Vec<Declaration>),
    Union(Box<UnionSyntax>),
}

#[derive(Clone, Debug)]
pub(super) struct UnionSyntax {
    pub(super) discriminant: Declaration,
    pub(super) arms: Vec<ArmSyntax>,
}

#[derive(Clone, Debug)]
pub(super) struct ArmSyntax {
    pub(super) labels: Vec<Scalar>,
    /// Where `default` is written, if it is among the labels.
    pub(super) default: Option<Span>,
    pub(super) content: Declaration,
}

/// A type, a name, and how many.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) of: TypeSyntax,
    pub(super) name: Option<Name>,
    pub(super) suffix: Suffix,
    pub(super) at: Span,
}

#[derive(Clone, Debug)]
pub(super) enum TypeSyntax {
    /// `void` too.
    Plain(Type),
    Opaque,
    String,
    Named(Name),
    InPlace(Box<BodySyntax>),
}

#[derive(Clone, Debug)]
pub(super) enum Suffix {
    None,
    Fixed(Scalar),
    Max(Option<Scalar>),
    Optional,
}
