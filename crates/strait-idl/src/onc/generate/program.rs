//! Programs: a module each, with a module for each version.

use std::collections::HashSet;

use super::super::print;
use super::super::tree::{Procedure, Program, Type, Version};
use super::codec::{Place, View};
use super::items::place;
use super::names::{bare_snake, method, module, screaming, snake};
use super::text::Text;

/// Names of arguments that would hide what the generated code itself needs.
const TAKEN: &[&str] = &[
    "args",
    "call",
    "context",
    "from",
    "procedure",
    "reply",
    "result",
    "to",
];

/// An argument of a method.
#[derive(Debug)]
pub(super) struct Parameter<'a> {
    pub(super) name: String,
    pub(super) of: &'a Type,
}

impl View<'_> {
    pub(super) fn program(&self, program: &Program, to: &mut Text) {
        to.doc(&format!(
            "Program `{}`, {}.",
            program.name,
            place(&program.at)
        ));
        to.open(format!("pub mod {} {{", module(&program.name)));
        to.doc("The number of the program.");
        to.line(format!(
            "pub const PROGRAM: u32 = {};",
            hexadecimal(program.number)
        ));
        for version in &program.versions {
            to.line("");
            self.version(version, to);
        }
        to.close("}");
    }

    fn version(&self, version: &Version, to: &mut Text) {
        let view = View {
            path: "super::super::",
            life: "'_",
            ..*self
        };
        let mut inner = Text::at(2);
        inner.doc("The number of the version.");
        inner.line(format!("pub const VERSION: u32 = {};", version.number));
        inner.line("");
        view.procedures(version, &mut inner);
        view.client(version, &mut inner);
        if self.options.asynchronous {
            view.async_client(version, &mut inner);
        }
        view.service(version, &mut inner);
        view.dispatcher(version, &mut inner);
        to.doc(&format!(
            "Version `{}`, {}.",
            version.name,
            place(&version.at)
        ));
        to.open(format!("pub mod v{} {{", version.number));
        to.line("use super::super::onc;");
        super::traits(inner.as_str(), "super::super::onc", to);
        if inner.as_str().contains("impl Future<") {
            to.line("use ::core::future::Future;");
        }
        to.line("");
        to.append(&inner);
        to.close("}");
    }

    fn procedures(&self, version: &Version, to: &mut Text) {
        to.doc("The numbers of the procedures.");
        if version.procedures.is_empty() {
            to.line("pub mod procedures {}");
            return;
        }
        to.open("pub mod procedures {");
        for each in &version.procedures {
            to.doc(&format!("`{}`, {}.", each.name, place(&each.at)));
            let name = screaming(&each.name);
            to.line(format!("pub const {name}: u32 = {};", each.number));
        }
        to.close("}");
        to.line("");
        to.open("const fn procedure(number: u32) -> onc::Procedure {");
        to.open("onc::Procedure {");
        to.line("program: super::PROGRAM,");
        to.line("version: VERSION,");
        to.line("number,");
        to.close("}");
        to.close("}");
    }

    /// Arguments with names that differ: their own, or those of their types.
    pub(super) fn parameters<'p>(&self, of: &'p Procedure) -> Vec<Parameter<'p>> {
        let mut taken: HashSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
        taken.extend(self.options.borrowed.then(|| "then".to_owned()));
        let mut all = Vec::new();
        for argument in &of.arguments {
            let base = match (&argument.name, &argument.of) {
                (Some(name), _) => name.clone(),
                (None, Type::Named(id)) => self.of.definition(*id).name.clone(),
                (None, Type::String(_)) => "text".into(),
                (None, Type::Opaque(_)) => "bytes".into(),
                (None, _) => "value".into(),
            };
            let mut name = snake(&base);
            let mut count = 1_u32;
            while !taken.insert(name.clone()) {
                count += 1;
                name = format!("{}_{count}", bare_snake(&base));
            }
            let of = &argument.of;
            all.push(Parameter { name, of });
        }
        all
    }

    /// The statements of a closure that writes the arguments; none if there are none.
    pub(super) fn write_arguments(&self, of: &Procedure) -> Vec<String> {
        let parameters = self.parameters(of);
        let statements = parameters.iter().flat_map(|parameter| {
            let from = if self.is_copy(parameter.of) {
                Place::value(parameter.name.clone())
            } else {
                Place::reference(parameter.name.clone())
            };
            self.encode(parameter.of, &from, None)
        });
        statements.collect()
    }

    /// `name: Type` for each argument, as a caller gives it.
    pub(super) fn caller_arguments(&self, of: &Procedure) -> Vec<String> {
        let own = ["&self".to_owned()];
        let parameters = self.parameters(of);
        let arguments = parameters
            .iter()
            .map(|parameter| format!("{}: {}", parameter.name, self.parameter(parameter.of)));
        own.into_iter().chain(arguments).collect()
    }

    /// A procedure as the file has it.
    pub(super) fn procedure_doc(&self, of: &Procedure, to: &mut Text) {
        let text = print::procedure(self.of, of);
        to.doc(&format!("`{text}`, {}.", place(&of.at)));
    }
}

/// The constant with a procedure's number.
pub(super) fn number(of: &Procedure) -> String {
    format!("procedures::{}", screaming(&of.name))
}

/// The method that a procedure is.
pub(super) fn name(of: &Procedure) -> String {
    method(&of.name)
}

/// `0x2000_0042`.
fn hexadecimal(number: u32) -> String {
    match (number >> 16, number & 0xffff) {
        (0, low) => format!("{low:#06x}"),
        (high, low) => format!("{high:#06x}_{low:04x}"),
    }
}
