//! Which type contains which, and what contains itself.

use super::super::tree::{Body, Definition, Length, Specification, Type, TypeId};
use super::Checker;

/// How one type holds another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::onc) enum Edge {
    /// Always, as itself or as an array of fixed length.
    Value,
    /// Perhaps.
    Optional,
    /// Any number of times.
    Array,
}

/// What each definition holds.
pub(in crate::onc) fn edges(types: &[Definition]) -> Vec<Vec<(usize, Edge)>> {
    types.iter().map(|each| edges_of(&each.body)).collect()
}

fn edges_of(body: &Body) -> Vec<(usize, Edge)> {
    let mut all = Vec::new();
    match body {
        Body::Alias(of) => hold(of, Edge::Value, &mut all),
        Body::Enum(_) => {}
        Body::Struct(members) => {
            for member in members {
                hold(&member.of, Edge::Value, &mut all);
            }
        }
        Body::Union(union) => {
            hold(&union.discriminant.of, Edge::Value, &mut all);
            let default = union.default.iter();
            let contents = union.arms.iter().map(|arm| &arm.content).chain(default);
            for member in contents.flatten() {
                // An arm is not always there, and yet in Rust it is part of the value.
                hold(&member.of, Edge::Value, &mut all);
            }
        }
    }
    all
}

fn hold(of: &Type, how: Edge, all: &mut Vec<(usize, Edge)>) {
    match of {
        Type::Named(id) => all.push((id.0, how)),
        Type::Optional(inner) => hold(inner, Edge::Optional, all),
        Type::Array(inner, Length::Fixed(_)) => hold(inner, how, all),
        Type::Array(inner, Length::Max(_)) => hold(inner, Edge::Array, all),
        _ => {}
    }
}

/// The edges without those from the last member of a list to the list, and with those to lists as
/// what they are: any number of nodes.
pub(in crate::onc) fn without_lists(of: &Specification) -> Vec<Vec<(usize, Edge)>> {
    let lists: Vec<bool> = (0..of.types.len()).map(|i| of.is_list(TypeId(i))).collect();
    let mut all = Vec::new();
    for (i, each) in of.types.iter().enumerate() {
        let mut edges = edges_of(&each.body);
        if lists[i] {
            // The last member holds nothing but the list.
            edges.pop();
        }
        for (to, edge) in &mut edges {
            let behind = of.resolve(&Type::Named(TypeId(*to))).clone();
            if let (Edge::Optional, Type::Named(id)) = (*edge, behind)
                && lists[id.0]
            {
                *edge = Edge::Array;
            }
        }
        all.push(edges);
    }
    all
}

/// For each node the number of its cycle, or `None` if no way leads from it back to it.
pub(in crate::onc) fn in_cycle(edges: &[Vec<usize>]) -> Vec<Option<usize>> {
    let components = components(edges);
    let mut sizes = vec![0_usize; edges.len()];
    for component in &components {
        sizes[*component] += 1;
    }
    let cycles = components.iter().enumerate();
    let cycles = cycles.map(|(i, component)| {
        let cycle = sizes[*component] > 1 || edges[i].contains(&i);
        cycle.then_some(*component)
    });
    cycles.collect()
}

/// Strongly connected components, by Tarjan, with a stack of its own: chains may be long.
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    const NEW: usize = usize::MAX;
    let mut order = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut component = vec![NEW; edges.len()];
    let mut path = Vec::new();
    let (mut next, mut count) = (0, 0);
    for root in 0..edges.len() {
        if order[root] != NEW {
            continue;
        }
        // A node, and how many of its edges were followed.
        let mut work = vec![(root, 0)];
        while let Some((node, followed)) = work.pop() {
            if followed == 0 {
                order[node] = next;
                low[node] = next;
                next += 1;
                path.push(node);
            } else {
                let child = edges[node][followed - 1];
                if component[child] == NEW {
                    low[node] = low[node].min(low[child]);
                }
            }
            if let Some(child) = edges[node].get(followed) {
                work.push((node, followed + 1));
                if order[*child] == NEW {
                    work.push((*child, 0));
                }
                continue;
            }
            if low[node] == order[node] {
                while let Some(member) = path.pop() {
                    component[member] = count;
                    if member == node {
                        break;
                    }
                }
                count += 1;
            }
        }
    }
    component
}

impl Checker<'_> {
    /// Types that could have no value, or no end.
    pub(super) fn refuse_cycles(&mut self) {
        let all = edges(&self.types);
        let is_alias = |i: usize| matches!(self.types[i].body, Body::Alias(_));
        let aliases = all.iter().enumerate().map(|(i, edges)| {
            let inner = edges.iter().filter(|(to, _)| is_alias(i) && is_alias(*to));
            inner.map(|(to, _)| *to).collect()
        });
        let aliases: Vec<Vec<usize>> = aliases.collect();
        let values = all.iter().map(|edges| {
            let inner = edges.iter().filter(|(_, how)| *how == Edge::Value);
            inner.map(|(to, _)| *to).collect()
        });
        let values: Vec<Vec<usize>> = values.collect();
        let (aliases, values) = (in_cycle(&aliases), in_cycle(&values));
        let mut told = vec![false; self.types.len()];
        for i in 0..self.types.len() {
            let (by_alias, by_value) = (aliases[i], values[i]);
            // One error for each cycle.
            let Some(cycle) = by_alias.or(by_value) else {
                continue;
            };
            if std::mem::replace(&mut told[cycle], true) {
                continue;
            }
            let (name, at) = (self.types[i].name.clone(), self.types[i].at.span);
            if by_alias.is_some() {
                self.error(at, format!("`{name}` stands for nothing but itself"));
            } else {
                let help = format!("`{name} *` may be absent, and `{name} x<>` be empty");
                self.error_with(at, format!("`{name}` contains itself"), help);
            }
        }
    }
}
