//! Programs, versions and procedures.

use std::collections::HashMap;

use super::super::syntax::{Item, Name, Numbered, ProcedureSyntax, Scalar};
use super::super::tree::{Argument, Procedure, Program, Type, Version};
use super::Checker;
use super::types::Within;
use crate::source::Span;

/// Names and numbers of one kind, within what they must be unique in.
#[derive(Default)]
struct Unique {
    names: HashMap<String, Span>,
    numbers: HashMap<u32, Span>,
}

impl Checker<'_> {
    pub(super) fn programs(&mut self, items: &[Item]) -> Vec<Program> {
        let mut unique = Unique::default();
        let mut programs = Vec::new();
        for item in items {
            if let Item::Program(program) = item
                && let Some(number) = self.number(&mut unique, "program", program)
            {
                let mut inner = Unique::default();
                let versions = program
                    .inner
                    .iter()
                    .filter_map(|version| self.version(&mut inner, version))
                    .collect();
                programs.push(Program {
                    name: program.name.text.clone(),
                    number,
                    versions,
                    at: self.position(program.name.at),
                });
            }
        }
        programs
    }

    fn version(
        &mut self,
        unique: &mut Unique,
        version: &Numbered<ProcedureSyntax>,
    ) -> Option<Version> {
        let number = self.number(unique, "version", version)?;
        let mut inner = Unique::default();
        let procedures = version
            .inner
            .iter()
            .filter_map(|procedure| self.procedure(&mut inner, procedure))
            .collect();
        Some(Version {
            name: version.name.text.clone(),
            number,
            procedures,
            at: self.position(version.name.at),
        })
    }

    fn procedure(&mut self, unique: &mut Unique, of: &ProcedureSyntax) -> Option<Procedure> {
        let number = self.unique(unique, "procedure", &of.name, &of.number)?;
        let mut arguments = Vec::new();
        let mut names: HashMap<&str, Span> = HashMap::new();
        for (i, argument) in of.arguments.iter().enumerate() {
            let in_place = format!("{}_argument_{}", of.name.text, i + 1);
            let name = argument.name.as_ref();
            if let Some(name) = name
                && let Some(first) = names.insert(&name.text, name.at)
            {
                let first = self.position(first);
                self.twice(name, &first);
            }
            let name = name.map(|name| name.text.clone());
            let declared = self.declared(argument, &in_place, Within::Procedure);
            if declared == Some(Type::Void) {
                self.error(argument.at, "`void` stands alone: there are no arguments");
                continue;
            }
            if let Some(of) = declared {
                arguments.push(Argument { name, of });
            }
        }
        let in_place = format!("{}_result", of.name.text);
        let result = self.declared(&of.result, &in_place, Within::Procedure)?;
        if number == 0 && (result != Type::Void || !arguments.is_empty()) {
            let message = "procedure 0 takes nothing and returns nothing";
            let help = "a server answers it without asking anybody; the first free number is 1";
            self.error_with(of.number.at, message, help);
        }
        Some(Procedure {
            name: of.name.text.clone(),
            number,
            arguments,
            result,
            at: self.position(of.name.at),
        })
    }

    fn number<T>(&mut self, unique: &mut Unique, kind: &str, of: &Numbered<T>) -> Option<u32> {
        self.unique(unique, kind, &of.name, &of.number)
    }

    /// The number of a name, if both are the first of their kind.
    fn unique(
        &mut self,
        unique: &mut Unique,
        kind: &str,
        name: &Name,
        number: &Scalar,
    ) -> Option<u32> {
        if let Some(first) = unique.names.insert(name.text.clone(), name.at) {
            let first = self.position(first);
            self.twice(name, &first);
        }
        let value = self.unsigned(number, &format!("number of a {kind}"))?;
        if let Some(first) = unique.numbers.insert(value, number.at) {
            let first = self.position(first);
            let message = format!("two {kind}s have the number {value}");
            let help = format!("the first is at {}:{}", first.file, first.line);
            self.error_with(number.at, message, help);
        }
        Some(value)
    }
}
