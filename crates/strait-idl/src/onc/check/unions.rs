//! Labels of unions, which mean something once the discriminant's type is known.

use std::collections::{HashMap, HashSet};

use super::super::syntax::{Atom, Scalar};
use super::super::tree::{Arm, Body, Content, Type, TypeId};
use super::Checker;
use crate::source::Span;

/// A union whose labels are still words.
#[derive(Debug)]
pub(super) struct Unlabelled {
    pub(super) id: TypeId,
    pub(super) arms: Vec<UnlabelledArm>,
}

#[derive(Debug)]
pub(super) struct UnlabelledArm {
    pub(super) labels: Vec<Scalar>,
    pub(super) default: Option<Span>,
    pub(super) content: Content,
}

/// What a label may be.
enum Domain {
    Range(i128, i128),
    /// Numbers and names of an enumeration.
    Enum(String, HashSet<i64>),
}

impl Checker<'_> {
    pub(super) fn label_unions(&mut self) {
        for union in std::mem::take(&mut self.unions) {
            self.label_union(&union);
        }
    }

    fn label_union(&mut self, union: &Unlabelled) {
        let Some(domain) = self.domain(union.id) else {
            return;
        };
        let mut arms = Vec::new();
        let mut default: Option<Content> = None;
        let mut seen: HashMap<i64, Span> = HashMap::new();
        for arm in &union.arms {
            for label in &arm.labels {
                let Some(value) = self.label(label, &domain) else {
                    continue;
                };
                if let Some(first) = seen.insert(value, label.at) {
                    let first = self.position(first);
                    let message = format!("the union has two arms for {value}");
                    let help = format!("the first is at {}:{}", first.file, first.line);
                    self.error_with(label.at, message, help);
                    continue;
                }
                arms.push(Arm {
                    value,
                    label: match &label.atom {
                        Atom::Name(name) if !label.negative => Some(name.clone()),
                        _ => None,
                    },
                    content: arm.content.clone(),
                    at: self.position(label.at),
                });
            }
            if let Some(at) = arm.default
                && default.replace(arm.content.clone()).is_some()
            {
                self.error(at, "the union has a second `default`");
            }
        }
        if let Body::Union(body) = &mut self.types[union.id.0].body {
            body.arms = arms;
            body.default = default;
        }
    }

    fn domain(&mut self, id: TypeId) -> Option<Domain> {
        let Body::Union(union) = &self.types[id.0].body else {
            return None;
        };
        let at = union.discriminant.at.span;
        match self.resolve(&union.discriminant.of) {
            Type::Int => return Some(Domain::Range(i32::MIN.into(), i32::MAX.into())),
            Type::Unsigned => return Some(Domain::Range(0, u32::MAX.into())),
            Type::Bool => return Some(Domain::Range(0, 1)),
            Type::Named(behind) => {
                let definition = &self.types[behind.0];
                if let Body::Enum(all) = &definition.body {
                    let values = all.iter().map(|each| each.value.into()).collect();
                    return Some(Domain::Enum(definition.name.clone(), values));
                }
            }
            _ => {}
        }
        let message = "a union is chosen by an int, an unsigned int, a bool or an enumeration";
        self.error(at, message);
        None
    }

    fn label(&mut self, label: &Scalar, domain: &Domain) -> Option<i64> {
        let value = self.value(label)?;
        let within = match domain {
            Domain::Range(first, last) => (*first..=*last).contains(&value),
            Domain::Enum(_, values) => {
                i64::try_from(value).is_ok_and(|value| values.contains(&value))
            }
        };
        if within {
            return i64::try_from(value).ok();
        }
        let message = match domain {
            Domain::Range(first, last) => {
                format!("{value} is no value of the discriminant: from {first} to {last}")
            }
            Domain::Enum(name, _) => format!("{value} is no value of `{name}`"),
        };
        self.error(label.at, message);
        None
    }
}
