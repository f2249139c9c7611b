//! Definitions and declarations, with their names looked up.

use std::collections::HashMap;

use super::super::parse::NAME_LEN_MAX;
use super::super::syntax::{BodySyntax, Declaration, Name, Suffix, TypeSyntax};
use super::super::tree::{Body, Content, Enumerator, Length, Member, Type, TypeId, Union};
use super::{Checker, known, unions};
use crate::source::Span;

/// Where a declaration stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// A struct, union or typedef.
    Type,
    /// Arguments and results, where `string` needs no bound.
    Procedure,
}

impl Checker<'_> {
    /// What a definition says; `None` if something was wrong.
    pub(super) fn body(&mut self, id: TypeId, name: &str, body: &BodySyntax) -> Option<Body> {
        match body {
            BodySyntax::Alias(declaration) => {
                let of = self.declared(declaration, name, Within::Type)?;
                Some(Body::Alias(of))
            }
            BodySyntax::Enum(all) => {
                let named = all.iter().filter_map(|(name, _)| {
                    let value = self.enumerator(name)?;
                    let at = self.position(name.at);
                    let name = name.text.clone();
                    Some(Enumerator { name, value, at })
                });
                Some(Body::Enum(named.collect()))
            }
            BodySyntax::Struct(members) => {
                self.refuse_doubles(members.iter());
                let members: Vec<Option<Member>> = members
                    .iter()
                    .map(|member| self.member(member, name))
                    .collect();
                Some(Body::Struct(members.into_iter().collect::<Option<_>>()?))
            }
            BodySyntax::Union(body) => {
                self.refuse_doubles(body.arms.iter().map(|arm| &arm.content));
                let discriminant = self.member(&body.discriminant, name);
                let mut arms = Vec::new();
                for arm in &body.arms {
                    let content = self.content(&arm.content, name);
                    arms.push(unions::UnlabelledArm {
                        labels: arm.labels.clone(),
                        default: arm.default,
                        content: content?,
                    });
                }
                // What a union holds is known now, and what its labels mean is not: cycles are
                // looked for in between.
                let held = arms.iter().map(|arm| super::super::tree::Arm {
                    value: 0,
                    label: None,
                    content: arm.content.clone(),
                    at: self.position(body.discriminant.at),
                });
                let body = Body::Union(Union {
                    discriminant: discriminant?,
                    arms: held.collect(),
                    default: None,
                });
                self.unions.push(unions::Unlabelled { id, arms });
                Some(body)
            }
        }
    }

    fn content(&mut self, content: &Declaration, of: &str) -> Option<Content> {
        if matches!(content.of, TypeSyntax::Plain(Type::Void)) && content.name.is_none() {
            return Some(None);
        }
        self.member(content, of).map(Some)
    }

    fn member(&mut self, declaration: &Declaration, of: &str) -> Option<Member> {
        // A discriminant may go without a name.
        let name = match &declaration.name {
            Some(name) => name.text.clone(),
            None => "discriminant".to_owned(),
        };
        let outer = format!("{of}_{name}");
        let of = self.declared(declaration, &outer, Within::Type)?;
        let at = self.position(declaration.at);
        Some(Member { name, of, at })
    }

    /// The type that a declaration gives; `name` is for what is written in place.
    pub(super) fn declared(
        &mut self,
        declaration: &Declaration,
        name: &str,
        within: Within,
    ) -> Option<Type> {
        let at = declaration.at;
        let base = match (&declaration.of, &declaration.suffix) {
            (TypeSyntax::Opaque, Suffix::None | Suffix::Optional) => {
                let help = "`opaque x[8]` is always 8 bytes, `opaque x<8>` at most 8";
                self.error_with(at, "`opaque` needs a length", help);
                return None;
            }
            (TypeSyntax::Opaque, _) => return self.length(declaration).map(Type::Opaque),
            (TypeSyntax::String, Suffix::None) if within == Within::Procedure => {
                return Some(Type::String(u32::MAX));
            }
            (TypeSyntax::String, Suffix::Max(_)) => {
                let length = self.length(declaration)?;
                return Some(match length {
                    Length::Fixed(max) | Length::Max(max) => Type::String(max),
                });
            }
            (TypeSyntax::String, _) => {
                let help = "`string x<8>` is at most 8 bytes, `string x<>` any number; an array of \
                            strings needs a typedef of the string";
                self.error_with(at, "`string` needs a greatest length", help);
                return None;
            }
            (TypeSyntax::Plain(Type::Void), _) => {
                if within == Within::Procedure && matches!(declaration.suffix, Suffix::None) {
                    return Some(Type::Void);
                }
                self.error(at, "`void` is nothing that could be here");
                return None;
            }
            (TypeSyntax::Plain(of), _) => of.clone(),
            (TypeSyntax::Named(name), _) => self.named(name)?,
            (TypeSyntax::InPlace(body), _) => self.in_place(name, body, at)?,
        };
        match declaration.suffix {
            Suffix::None => Some(base),
            Suffix::Optional => Some(Type::Optional(Box::new(base))),
            Suffix::Fixed(_) | Suffix::Max(_) => {
                let length = self.length(declaration)?;
                Some(Type::Array(Box::new(base), length))
            }
        }
    }

    fn length(&mut self, declaration: &Declaration) -> Option<Length> {
        match &declaration.suffix {
            Suffix::Fixed(length) => self.unsigned(length, "length").map(Length::Fixed),
            Suffix::Max(Some(max)) => self.unsigned(max, "length").map(Length::Max),
            _ => Some(Length::Max(u32::MAX)),
        }
    }

    fn named(&mut self, name: &Name) -> Option<Type> {
        if let Some(id) = self.names.get(&name.text) {
            return Some(Type::Named(*id));
        }
        if let Some(plain) = known::plain(&name.text) {
            return Some(plain);
        }
        let at = self.position(name.at);
        if let Some(body) = known::body(&name.text, &at) {
            return Some(Type::Named(self.add_type(name.text.clone(), body, name.at)));
        }
        self.undefined("type", &name.text, name.at);
        None
    }

    /// A type written in place becomes one of its own, with a name that nobody has.
    fn in_place(&mut self, name: &str, body: &BodySyntax, at: Span) -> Option<Type> {
        let name = if name.len() < NAME_LEN_MAX - 10 {
            name
        } else {
            "in_place"
        };
        let mut free = name.to_owned();
        let mut count = 1_u32;
        while self.names.contains_key(&free) {
            count += 1;
            free = format!("{name}_{count}");
        }
        let id = self.add_type(free, Body::Struct(Vec::new()), at);
        self.lower_into(id, body);
        Some(Type::Named(id))
    }

    /// Two members of one name.
    fn refuse_doubles<'d>(&mut self, members: impl Iterator<Item = &'d Declaration>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for name in members.filter_map(|member| member.name.as_ref()) {
            if let Some(first) = seen.insert(&name.text, name.at) {
                let first = self.position(first);
                self.twice(name, &first);
            }
        }
    }
}
