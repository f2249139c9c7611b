//! What must be known of all types before one is written.

use super::super::check::{self, Edge};
use super::super::tree::{Body, Length, Specification, Type, TypeId};

/// The longest array of fixed length whose `Default` the standard library has.
const DEFAULT_LEN_MAX: u32 = 32;

/// One entry for each definition.
#[derive(Debug)]
pub(super) struct Facts {
    /// `struct T { …; T *next; };`
    pub(super) list: Vec<bool>,
    /// A list that is somewhere used as itself: its first node is always there.
    pub(super) chained: Vec<bool>,
    /// Contains itself by some way, so that its depth is counted.
    pub(super) recursive: Vec<bool>,
    /// `Eq` and `Hash`: no floating-point number anywhere inside.
    pub(super) eq: Vec<bool>,
    pub(super) default: Vec<bool>,
    /// A string, or opaque data of any length, somewhere inside: it may be lent from what it is
    /// read from.
    pub(super) borrows: Vec<bool>,
    /// The cycle of values and options it is in.
    cycle: Vec<Option<usize>>,
}

impl Facts {
    pub(super) fn new(of: &Specification) -> Self {
        let edges = check::without_lists(of);
        let keep = |how: &[Edge]| -> Vec<Vec<usize>> {
            let kept = edges.iter().map(|all| {
                let kept = all.iter().filter(|(_, edge)| how.contains(edge));
                kept.map(|(to, _)| *to).collect()
            });
            kept.collect()
        };
        let every = keep(&[Edge::Value, Edge::Optional, Edge::Array]);
        let values = keep(&[Edge::Value]);
        let float = of.types.iter().map(|each| any(&each.body, &is_float));
        let lent = of.types.iter().map(|each| any(&each.body, &is_lent));
        let plain = of.types.iter().map(|each| !has_default(&each.body));
        let mut chained = vec![false; of.types.len()];
        let uses = check::edges(&of.types);
        for (to, edge) in uses.iter().flatten() {
            chained[*to] |= *edge != Edge::Optional;
        }
        let procedures = of.programs.iter().flat_map(|program| &program.versions);
        for procedure in procedures.flat_map(|version| &version.procedures) {
            let arguments = procedure.arguments.iter().map(|argument| &argument.of);
            for used in arguments.chain([&procedure.result]) {
                let mut used = used;
                while let Type::Array(inner, _) = used {
                    used = inner;
                }
                if let Type::Named(id) = used {
                    chained[id.0] = true;
                }
            }
        }
        Self {
            list: (0..of.types.len()).map(|i| of.is_list(TypeId(i))).collect(),
            chained,
            recursive: check::in_cycle(&every)
                .iter()
                .map(Option::is_some)
                .collect(),
            borrows: spread(&every, lent.collect()),
            eq: not(spread(&every, float.collect())),
            default: not(spread(&values, plain.collect())),
            cycle: check::in_cycle(&keep(&[Edge::Value, Edge::Optional])),
        }
    }

    /// Whether what `owner` holds perhaps must stand in a box of its own.
    pub(super) fn boxed(&self, owner: Option<TypeId>, to: &Type) -> bool {
        match (owner, to) {
            (Some(owner), Type::Named(to)) => {
                self.cycle[owner.0].is_some() && self.cycle[owner.0] == self.cycle[to.0]
            }
            _ => false,
        }
    }
}

fn not(all: Vec<bool>) -> Vec<bool> {
    all.into_iter().map(|each| !each).collect()
}

/// What is true of a type is true of every type that holds it.
fn spread(edges: &[Vec<usize>], mut truth: Vec<bool>) -> Vec<bool> {
    let mut holders = vec![Vec::new(); edges.len()];
    for (holder, held) in edges.iter().enumerate() {
        for held in held {
            holders[*held].push(holder);
        }
    }
    let mut work: Vec<usize> = (0..edges.len()).filter(|i| truth[*i]).collect();
    while let Some(i) = work.pop() {
        for holder in &holders[i] {
            if !std::mem::replace(&mut truth[*holder], true) {
                work.push(*holder);
            }
        }
    }
    truth
}

/// Whether something is true of a type that is written in the body.
fn any(body: &Body, truth: &impl Fn(&Type) -> bool) -> bool {
    match body {
        Body::Alias(of) => truth(of),
        Body::Enum(_) => false,
        Body::Struct(members) => members.iter().any(|member| truth(&member.of)),
        Body::Union(union) => {
            let contents = union.arms.iter().map(|arm| &arm.content);
            let mut members = contents.chain(&union.default).flatten();
            members.any(|member| truth(&member.of))
        }
    }
}

fn is_float(of: &Type) -> bool {
    match of {
        Type::Float | Type::Double => true,
        Type::Array(inner, _) | Type::Optional(inner) => is_float(inner),
        _ => false,
    }
}

/// Whether a value of the type, as it is written, may be lent.
pub(super) fn is_lent(of: &Type) -> bool {
    match of {
        Type::String(_) | Type::Opaque(Length::Max(_)) => true,
        Type::Array(inner, _) | Type::Optional(inner) => is_lent(inner),
        _ => false,
    }
}

/// As far as the definition itself goes.
fn has_default(body: &Body) -> bool {
    match body {
        Body::Enum(all) => all.iter().any(|each| each.value == 0),
        Body::Union(_) => false,
        Body::Alias(_) | Body::Struct(_) => !any(body, &|each: &Type| match each {
            Type::Opaque(Length::Fixed(len)) | Type::Array(_, Length::Fixed(len)) => {
                *len > DEFAULT_LEN_MAX
            }
            _ => false,
        }),
    }
}
