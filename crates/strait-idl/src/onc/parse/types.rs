//! Definitions of types, and declarations.

use super::super::syntax::{
    ArmSyntax, BodySyntax, Declaration, Item, Name, Scalar, Suffix, TypeSyntax, UnionSyntax,
};
use super::super::tree::Type;
use super::{KEYWORDS, NESTING_MAX, Parser};
use crate::diag::Diagnostic;
use crate::lex::Kind;
use crate::source::Span;

impl Parser<'_> {
    /// `typedef …;`, `struct NAME { … };` and their like.
    pub(super) fn definition(&mut self) -> Result<Option<Item>, Diagnostic> {
        let kind = self.word();
        self.at += 1;
        if kind != "typedef" {
            let name = self.name(&format!("the {kind}"))?;
            let body = self.body(kind)?;
            self.sign(b';')?;
            return Ok(Some(Item::Type(name, body)));
        }
        let mut declaration = self.declaration()?;
        self.sign(b';')?;
        let Some(name) = declaration.name.take() else {
            let at = declaration.at;
            return Err(self.error(at, "this typedef gives no name"));
        };
        if let (TypeSyntax::Named(other), Suffix::None) = (&declaration.of, &declaration.suffix)
            && other.text == name.text
        {
            // `typedef struct name name;` says something in C alone.
            return Ok(None);
        }
        // `typedef struct { … } name;` is `struct name { … };`.
        if let (TypeSyntax::InPlace(_), Suffix::None) = (&declaration.of, &declaration.suffix)
            && let TypeSyntax::InPlace(body) = declaration.of
        {
            return Ok(Some(Item::Type(name, *body)));
        }
        Ok(Some(Item::Type(name, BodySyntax::Alias(declaration))))
    }

    /// What follows `struct NAME` and its like.
    fn body(&mut self, kind: &str) -> Result<BodySyntax, Diagnostic> {
        if self.nesting >= NESTING_MAX {
            let message = format!("more than {NESTING_MAX} types written in one another");
            return Err(self.error(self.here(), message));
        }
        self.nesting += 1;
        let body = match kind {
            "struct" => self.members().map(BodySyntax::Struct),
            "enum" => self.enumerators().map(BodySyntax::Enum),
            _ => self.union().map(|body| BodySyntax::Union(Box::new(body))),
        };
        self.nesting -= 1;
        body
    }

    fn members(&mut self) -> Result<Vec<Declaration>, Diagnostic> {
        let open = self.here();
        self.sign(b'{')?;
        let mut members = Vec::new();
        while !self.take_sign(b'}') {
            self.not_at_end(open)?;
            let member = self.declaration()?;
            self.sign(b';')?;
            if !is_void(&member) {
                self.named(&member)?;
                members.push(member);
            }
        }
        Ok(members)
    }

    fn enumerators(&mut self) -> Result<Vec<(Name, Option<Scalar>)>, Diagnostic> {
        let open = self.here();
        self.sign(b'{')?;
        let mut all = Vec::new();
        loop {
            self.not_at_end(open)?;
            // A comma may stand behind the last.
            if !all.is_empty() && self.take_sign(b'}') {
                return Ok(all);
            }
            let name = self.name("a constant of the enumeration")?;
            let value = match self.take_sign(b'=') {
                true => Some(self.scalar("a number or the name of one")?),
                false => None,
            };
            all.push((name, value));
            if !self.take_sign(b',') && !self.sees_sign(b'}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn union(&mut self) -> Result<UnionSyntax, Diagnostic> {
        if !self.take_word("switch") {
            return Err(self.expected("`switch`"));
        }
        self.sign(b'(')?;
        let discriminant = self.declaration()?;
        self.sign(b')')?;
        let open = self.here();
        self.sign(b'{')?;
        let mut arms = Vec::new();
        while !self.take_sign(b'}') {
            self.not_at_end(open)?;
            arms.push(self.arm()?);
        }
        Ok(UnionSyntax { discriminant, arms })
    }

    fn arm(&mut self) -> Result<ArmSyntax, Diagnostic> {
        let mut labels = Vec::new();
        let mut default = None;
        loop {
            let at = self.here();
            if self.take_word("case") {
                labels.push(self.scalar("a number or the name of one")?);
            } else if default.is_none() && self.take_word("default") {
                default = Some(at);
            } else {
                break;
            }
            self.sign(b':')?;
        }
        if labels.is_empty() && default.is_none() {
            return Err(self.expected("`case`, `default` or `}`"));
        }
        let content = self.declaration()?;
        self.sign(b';')?;
        if !is_void(&content) {
            self.named(&content)?;
        }
        Ok(ArmSyntax {
            labels,
            default,
            content,
        })
    }

    /// A type, a name if there is one, and what stands behind it.
    pub(super) fn declaration(&mut self) -> Result<Declaration, Diagnostic> {
        let start = self.here();
        let of = self.type_specifier()?;
        let pointer = self.take_sign(b'*');
        let name = match self.kind() {
            Kind::Word if !KEYWORDS.contains(&self.slice()) => Some(self.name("a member")?),
            _ => None,
        };
        let open = self.here();
        let suffix = if self.take_sign(b'[') {
            let length = self.scalar("a length")?;
            self.sign(b']')?;
            Suffix::Fixed(length)
        } else if self.take_sign(b'<') {
            let max = match self.sees_sign(b'>') {
                true => None,
                false => Some(self.scalar("a length or `>`")?),
            };
            self.sign(b'>')?;
            Suffix::Max(max)
        } else if pointer {
            Suffix::Optional
        } else {
            Suffix::None
        };
        if pointer && !matches!(suffix, Suffix::Optional) {
            let help = "give the optional type a name by a typedef of its own";
            let error = self.error(open, "what is optional cannot be an array too");
            return Err(error.with_help(help));
        }
        let at = match &name {
            Some(name) => name.at,
            None => start.to(self.before()),
        };
        Ok(Declaration {
            of,
            name,
            suffix,
            at,
        })
    }

    fn type_specifier(&mut self) -> Result<TypeSyntax, Diagnostic> {
        let word = self.word();
        if matches!(word, "struct" | "union" | "enum") {
            self.at += 1;
            let in_place = match word {
                "union" => self.word() == "switch",
                _ => self.sees_sign(b'{'),
            };
            if in_place {
                return Ok(TypeSyntax::InPlace(Box::new(self.body(word)?)));
            }
            let name = self.path()?;
            if self.sees_sign(b'{') || (word == "union" && self.word() == "switch") {
                let error = self.error(name.at, "a type written in place has no name of its own");
                return Err(error.with_help("define it before, and use its name here"));
            }
            return Ok(TypeSyntax::Named(name));
        }
        let plain = match word {
            "void" => Type::Void,
            "int" => Type::Int,
            "hyper" => Type::Hyper,
            "float" => Type::Float,
            "double" => Type::Double,
            "quadruple" => Type::Quadruple,
            "bool" => Type::Bool,
            "char" => Type::Char,
            "short" | "long" | "unsigned" => return Ok(TypeSyntax::Plain(self.integer())),
            "signed"
                if self
                    .tokens
                    .get(self.at + 1)
                    .is_some_and(|next| self.is_integer(next)) =>
            {
                self.at += 1;
                return Ok(TypeSyntax::Plain(self.integer()));
            }
            "opaque" => {
                self.at += 1;
                return Ok(TypeSyntax::Opaque);
            }
            "string" => {
                self.at += 1;
                return Ok(TypeSyntax::String);
            }
            "" => return Err(self.expected("a type")),
            other if KEYWORDS.contains(&other) => return Err(self.expected("a type")),
            _ => return Ok(TypeSyntax::Named(self.path()?)),
        };
        self.at += 1;
        Ok(TypeSyntax::Plain(plain))
    }

    fn is_integer(&self, token: &crate::lex::Token) -> bool {
        let word = self.sources.slice(token.text);
        matches!(word, "char" | "short" | "int" | "long" | "hyper")
    }

    /// The integers of C: `unsigned short int`, `long long` and so on.
    fn integer(&mut self) -> Type {
        let unsigned = self.take_word("unsigned");
        let word = self.word();
        self.at += usize::from(matches!(word, "char" | "short" | "int" | "long" | "hyper"));
        let double = word == "long" && self.take_word("long");
        if matches!(word, "short" | "long" | "hyper") {
            self.take_word("int");
        }
        match (word, unsigned) {
            ("char", false) => Type::Char,
            ("char", true) => Type::UnsignedChar,
            ("short", false) => Type::Short,
            ("short", true) => Type::UnsignedShort,
            ("hyper", false) => Type::Hyper,
            ("hyper", true) => Type::UnsignedHyper,
            (_, false) if double => Type::Hyper,
            (_, true) if double => Type::UnsignedHyper,
            (_, false) => Type::Int,
            (_, true) => Type::Unsigned,
        }
    }

    fn named(&self, member: &Declaration) -> Result<(), Diagnostic> {
        match &member.name {
            Some(_) => Ok(()),
            None => Err(self.error(member.at, "this member has no name")),
        }
    }

    pub(super) fn not_at_end(&self, open: Span) -> Result<(), Diagnostic> {
        match self.kind() {
            Kind::End => Err(self.error(open, "this bracket is not closed")),
            _ => Ok(()),
        }
    }
}

/// `void`, with nothing else.
pub(super) fn is_void(declaration: &Declaration) -> bool {
    matches!(declaration.of, TypeSyntax::Plain(Type::Void))
        && declaration.name.is_none()
        && matches!(declaration.suffix, Suffix::None)
}
