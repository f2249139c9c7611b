//! Syntax to tree: names are looked up, constants computed, and what cannot be is told.

mod constants;
mod graph;
mod known;
mod programs;
mod types;
mod unions;

use std::collections::HashMap;

use super::preprocess;
use super::syntax::{BodySyntax, Item, Name};
use super::tree::{Body, Definition, Position, Specification, Type, TypeId};
use crate::diag::{Diagnostic, Diagnostics, closest};
use crate::source::{Sources, Span};

pub(super) use graph::{Edge, edges, in_cycle, without_lists};

/// Resolves everything, or tells what is wrong.
pub(super) fn check(
    sources: &Sources,
    input: &preprocess::Output,
    items: &[Item],
) -> Result<Specification, Diagnostics> {
    let mut checker = Checker {
        sources,
        errors: Vec::new(),
        constants: constants::Table::default(),
        names: HashMap::new(),
        types: Vec::new(),
        unions: Vec::new(),
    };
    checker.name_constants(input, items);
    checker.name_types(items);
    checker.stop_if_wrong()?;
    let constants = checker.number_constants(input, items);
    checker.lower_types(items);
    // Arguments and results may define types in their place.
    let programs = checker.programs(items);
    checker.stop_if_wrong()?;
    checker.refuse_cycles();
    checker.stop_if_wrong()?;
    checker.label_unions();
    checker.stop_if_wrong()?;
    Ok(Specification {
        constants,
        types: checker.types,
        programs,
        files: input.files.clone(),
    })
}

struct Checker<'a> {
    sources: &'a Sources,
    errors: Vec<Diagnostic>,
    constants: constants::Table,
    names: HashMap<String, TypeId>,
    types: Vec<Definition>,
    /// Unions whose labels are still words.
    unions: Vec<unions::Unlabelled>,
}

impl Checker<'_> {
    fn stop_if_wrong(&mut self) -> Result<(), Diagnostics> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Diagnostics::new(std::mem::take(&mut self.errors)))
    }

    /// Gives every definition its place, so that names may be used before they are defined.
    fn name_types(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Type(name, _) = item {
                if let Some(first) = self.names.get(&name.text) {
                    let first = self.types[first.0].at.clone();
                    self.twice(name, &first);
                    continue;
                }
                // A struct without members until it is its turn.
                self.add_type(name.text.clone(), Body::Struct(Vec::new()), name.at);
            }
        }
    }

    fn lower_types(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Type(name, body) = item {
                let id = self.names[&name.text];
                self.lower_into(id, body);
            }
        }
    }

    fn lower_into(&mut self, id: TypeId, body: &BodySyntax) {
        let name = self.types[id.0].name.clone();
        if let Some(body) = self.body(id, &name, body) {
            self.types[id.0].body = body;
        }
    }

    fn add_type(&mut self, name: String, body: Body, at: Span) -> TypeId {
        let id = TypeId(self.types.len());
        self.names.insert(name.clone(), id);
        let at = self.position(at);
        self.types.push(Definition { name, body, at });
        id
    }

    /// The type behind aliases; only after cycles were refused.
    fn resolve<'t>(&'t self, mut of: &'t Type) -> &'t Type {
        while let Type::Named(id) = of
            && let Body::Alias(behind) = &self.types[id.0].body
        {
            of = behind;
        }
        of
    }

    fn position(&self, span: Span) -> Position {
        let place = self.sources.place(span);
        Position {
            file: place.file.clone(),
            line: place.line,
            span,
        }
    }

    fn twice(&mut self, name: &Name, first: &Position) {
        let message = format!("`{}` is defined twice", name.text);
        let help = format!("the first is at {}:{}", first.file, first.line);
        self.error_with(name.at, message, help);
    }

    fn undefined(&mut self, kind: &str, name: &str, at: Span) {
        let names = match kind {
            "type" => closest(name, self.names.keys().map(String::as_str)),
            _ => closest(name, self.constants.names()),
        };
        let message = format!("the {kind} `{name}` is not defined");
        let error = Diagnostic::at(self.sources, at, message);
        self.errors.push(match names {
            Some(other) => error.with_help(format!("is `{other}` meant?")),
            None => error,
        });
    }

    fn error(&mut self, at: Span, message: impl Into<String>) {
        self.errors.push(Diagnostic::at(self.sources, at, message));
    }

    fn error_with(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        let error = Diagnostic::at(self.sources, at, message).with_help(help);
        self.errors.push(error);
    }
}
