//! Names of numbers: constants, enumerations, macros, and the numbers of programs.

use std::collections::HashMap;

use super::super::parse::{KEYWORDS, NAME_LEN_MAX, unescape};
use super::super::syntax::{Atom, BodySyntax, Declaration, Item, Name, Scalar, TypeSyntax};
use super::super::tree::{Constant, Value};
use super::super::{number, preprocess};
use super::{Checker, known};
use crate::source::Span;

/// The numbers that a constant may be.
const MIN: i128 = i64::MIN as i128;
const MAX: i128 = u64::MAX as i128;

/// Every name of a number.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    at: Span,
    state: State,
    /// Gives way to a definition of the same name.
    weak: bool,
}

#[derive(Clone, Debug)]
enum State {
    Number(i128),
    Text(String),
    /// The value of another name.
    Same(String, bool),
    /// One more than the entry before.
    Next,
    /// Being computed.
    Open,
    /// Already told.
    Failed,
}

impl Table {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn state_of(value: &Scalar) -> State {
        match &value.atom {
            Atom::Number(number) if value.negative => State::Number(-number),
            Atom::Number(number) => State::Number(*number),
            Atom::Text(text) => State::Text(text.clone()),
            Atom::Name(name) => State::Same(name.clone(), value.negative),
        }
    }

    fn push(&mut self, name: &str, at: Span, state: State, weak: bool) {
        self.by_name.insert(name.to_owned(), self.entries.len());
        self.entries.push(Entry { at, state, weak });
    }
}

impl Checker<'_> {
    /// Collects every name, computes nothing.
    pub(super) fn name_constants(&mut self, input: &preprocess::Output, items: &[Item]) {
        for item in items {
            match item {
                Item::Constant(name, value) => {
                    self.name_constant(name, Table::state_of(value));
                }
                Item::Type(_, body) => self.name_enumerators(body),
                Item::Program(_) => {}
            }
        }
        // rpcgen makes macros of these; the first of a name counts, and no definition gives way.
        for item in items {
            if let Item::Program(program) = item {
                self.name_weakly(&program.name, &program.number);
                for version in &program.inner {
                    self.name_weakly(&version.name, &version.number);
                    for procedure in &version.inner {
                        self.name_weakly(&procedure.name, &procedure.number);
                    }
                }
            }
        }
        for (name, (value, at)) in &input.passed {
            if !self.constants.by_name.contains_key(name) {
                self.constants.push(name, *at, State::Number(*value), true);
            }
        }
        for (name, value) in known::CONSTANTS {
            if !self.constants.by_name.contains_key(*name) {
                let at = Span::default();
                self.constants.push(name, at, State::Number(*value), true);
            }
        }
    }

    fn name_constant(&mut self, name: &Name, state: State) {
        match self.constants.by_name.get(&name.text) {
            Some(first) => {
                let first = self.position(self.constants.entries[*first].at);
                self.twice(name, &first);
            }
            None => self.constants.push(&name.text, name.at, state, false),
        }
    }

    fn name_weakly(&mut self, name: &Name, value: &Scalar) {
        if !self.constants.by_name.contains_key(&name.text) {
            let state = Table::state_of(value);
            self.constants.push(&name.text, name.at, state, true);
        }
    }

    /// Those of types written in place too.
    fn name_enumerators(&mut self, body: &BodySyntax) {
        let inner = |checker: &mut Self, declaration: &Declaration| {
            if let TypeSyntax::InPlace(body) = &declaration.of {
                checker.name_enumerators(body);
            }
        };
        match body {
            BodySyntax::Alias(declaration) => inner(self, declaration),
            BodySyntax::Struct(members) => {
                for member in members {
                    inner(self, member);
                }
            }
            BodySyntax::Union(body) => {
                inner(self, &body.discriminant);
                for arm in &body.arms {
                    inner(self, &arm.content);
                }
            }
            BodySyntax::Enum(all) => {
                let mut first = true;
                for (name, value) in all {
                    let state = match value {
                        Some(value) => Table::state_of(value),
                        None if first => State::Number(0),
                        None => State::Next,
                    };
                    first = false;
                    self.name_constant(name, state);
                }
            }
        }
    }

    /// Computes all of them, and lists those that are constants of their own.
    pub(super) fn number_constants(
        &mut self,
        input: &preprocess::Output,
        items: &[Item],
    ) -> Vec<Constant> {
        for at in 0..self.constants.entries.len() {
            self.compute(at);
        }
        let mut all = Vec::new();
        for item in items {
            let Item::Constant(name, _) = item else {
                continue;
            };
            let entry = &self.constants.entries[self.constants.by_name[&name.text]];
            let value = match &entry.state {
                State::Number(number) if !(MIN..=MAX).contains(number) => {
                    let message = format!("{number} is no number of at most 64 bits");
                    self.error(name.at, message);
                    continue;
                }
                State::Number(number) => Value::Number(*number),
                State::Text(text) => Value::Text(text.clone()),
                _ => continue,
            };
            all.push(Constant {
                name: name.text.clone(),
                value,
                at: self.position(name.at),
            });
        }
        for (name, token) in &input.macros {
            // The definition of the language goes before the macro.
            let known = self.constants.by_name.get(name);
            let defined = known.is_some_and(|at| !self.constants.entries[*at].weak);
            if defined || KEYWORDS.contains(&name.as_str()) || name.len() > NAME_LEN_MAX {
                continue;
            }
            let text = self.sources.slice(token.text);
            let value = match number(text) {
                Some(value) => Value::Number(value),
                None if text.starts_with('"') => Value::Text(unescape(text)),
                None => continue,
            };
            all.push(Constant {
                name: name.clone(),
                value,
                at: self.position(token.at),
            });
        }
        all
    }

    /// Follows a chain of names to its end, and brings the value back.
    fn compute(&mut self, start: usize) {
        let mut chain = Vec::new();
        let mut at = start;
        let mut value = loop {
            match self.constants.entries[at].state.clone() {
                State::Number(number) => break Some(State::Number(number)),
                State::Text(text) => break Some(State::Text(text)),
                State::Failed => break None,
                State::Open => {
                    let span = self.constants.entries[at].at;
                    self.error(span, "this constant is defined by itself");
                    break None;
                }
                State::Same(name, negative) => {
                    let Some(next) = self.constants.by_name.get(&name).copied() else {
                        let entry = &self.constants.entries[at];
                        // What nobody uses may be for C.
                        if !entry.weak {
                            self.undefined("constant", &name, self.constants.entries[at].at);
                        }
                        chain.push((at, negative, 0));
                        break None;
                    };
                    chain.push((at, negative, 0));
                    self.constants.entries[at].state = State::Open;
                    at = next;
                }
                State::Next => {
                    chain.push((at, false, 1));
                    self.constants.entries[at].state = State::Open;
                    // An enumeration's names stand one after the other.
                    at -= 1;
                }
            }
        };
        for (at, negative, add) in chain.into_iter().rev() {
            value = match value {
                Some(State::Number(number)) if negative => Some(State::Number(add - number)),
                Some(State::Number(number)) => Some(State::Number(number + add)),
                Some(State::Text(text)) if !negative && add == 0 => Some(State::Text(text)),
                _ => None,
            };
            self.constants.entries[at].state = value.clone().unwrap_or(State::Failed);
        }
    }

    /// The value of what stands for a number; what is wrong is told, once.
    pub(super) fn value(&mut self, scalar: &Scalar) -> Option<i128> {
        let name = match &scalar.atom {
            Atom::Number(number) if scalar.negative => return Some(-number),
            Atom::Number(number) => return Some(*number),
            Atom::Text(_) => {
                self.error(scalar.at, "a number is expected here");
                return None;
            }
            Atom::Name(name) => name,
        };
        let Some(at) = self.constants.by_name.get(name).copied() else {
            self.undefined("constant", name, scalar.at);
            return None;
        };
        match &self.constants.entries[at].state {
            State::Number(number) if scalar.negative => Some(-number),
            State::Number(number) => Some(*number),
            State::Text(_) => {
                let message = format!("`{name}` is a string, and a number is expected here");
                self.error(scalar.at, message);
                None
            }
            _ => {
                if self.constants.entries[at].weak {
                    self.error(scalar.at, format!("`{name}` has no value"));
                }
                None
            }
        }
    }

    /// A number of 32 bits without a sign: lengths, programs, versions, procedures.
    pub(super) fn unsigned(&mut self, scalar: &Scalar, of: &str) -> Option<u32> {
        let value = self.value(scalar)?;
        let number = u32::try_from(value).ok();
        if number.is_none() {
            let message = format!("{value} is no {of}: from 0 to {}", u32::MAX);
            self.error(scalar.at, message);
        }
        number
    }

    /// The number of a name of an enumeration.
    pub(super) fn enumerator(&mut self, name: &Name) -> Option<i32> {
        let at = self.constants.by_name.get(&name.text)?;
        let value = match &self.constants.entries[*at].state {
            State::Number(number) => *number,
            State::Text(_) => {
                self.error(name.at, "a constant of an enumeration is a number");
                return None;
            }
            _ => return None,
        };
        let number = i32::try_from(value).ok();
        if number.is_none() {
            let message = format!("{value} is no number of 32 bits with a sign");
            let help = format!("an enumeration goes from {} to {}", i32::MIN, i32::MAX);
            self.error_with(name.at, message, help);
        }
        number
    }
}
