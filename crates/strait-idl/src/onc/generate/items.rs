//! Constants, aliases, enumerations and structs.

use std::collections::HashMap;

use super::super::tree::{Constant, Enumerator, Member, Position, Type, TypeId, Value};
use super::codec::{Place, View};
use super::names::{bare_snake, camel, screaming, snake};
use super::text::Text;

/// `kv.x:12`, without the folders, which are those of one machine.
pub(super) fn place(at: &Position) -> String {
    let file = at.file.rsplit('/').next().unwrap_or(&at.file);
    format!("{file}:{}", at.line)
}

impl View<'_> {
    pub(super) fn constant(&self, each: &Constant, to: &mut Text) {
        to.doc(&format!("`{}`, {}.", each.name, place(&each.at)));
        let name = screaming(&each.name);
        let (of, value) = match &each.value {
            Value::Number(number) => {
                let of = if u32::try_from(*number).is_ok() {
                    "u32"
                } else if i32::try_from(*number).is_ok() {
                    "i32"
                } else if i64::try_from(*number).is_ok() {
                    "i64"
                } else {
                    "u64"
                };
                (of, number.to_string())
            }
            Value::Text(text) => ("&str", format!("{text:?}")),
        };
        let one = format!("pub const {name}: {of} = {value};");
        if to.fits(one.chars().count()) {
            to.line(one);
        } else {
            to.open(format!("pub const {name}: {of} ="));
            to.line(format!("{value};"));
            to.close("");
        }
    }

    pub(super) fn alias(&self, id: TypeId, of: &Type, to: &mut Text) {
        let definition = self.of.definition(id);
        let text = super::super::print::declaration(self.of, of, &definition.name);
        let at = place(&definition.at);
        let name = self.name(id);
        to.doc(&format!("`typedef {text}`, {at}."));
        let list = match of {
            Type::Optional(_) if self.rust(of, Some(id)).contains("Vec<") => true,
            Type::Named(_) => self.rust(of, Some(id)).starts_with('('),
            _ => false,
        };
        if list {
            to.doc("A linked list: its nodes, the first one first.");
        }
        to.line(format!("pub type {name} = {};", self.rust(of, Some(id))));
        to.line("");
        let snake = bare_snake(&definition.name);
        let result = self.std("Result");
        to.doc(&format!("Writes a [`{name}`] within the bounds of its typedef."));
        let (parameter, from) = if self.is_copy(of) {
            (name.clone(), Place::value("value"))
        } else {
            (self.parameter(&Type::Named(id)), Place::reference("value"))
        };
        let arguments = [
            format!("value: {parameter}"),
            "to: &mut onc::xdr::Writer<'_>".to_owned(),
        ];
        let tail = format!(" -> {result}<(), onc::xdr::Error> {{");
        to.signature(&format!("pub fn encode_{snake}"), &arguments, &tail);
        self.body(&self.encode(of, &from, Some(id)), to);
        to.line("");
        to.doc(&format!("Reads a [`{name}`] within the bounds of its typedef."));
        let arguments = ["from: &mut onc::xdr::Reader<'_>".to_owned()];
        let tail = format!(" -> {result}<{name}, onc::xdr::Error> {{");
        to.signature(&format!("pub fn decode_{snake}"), &arguments, &tail);
        let value = self.decode(of, Some(id));
        to.open("");
        to.close("}");
        let _ = value;
    }

    /// Statements, then success, then the end of the function.
    fn body(&self, statements: &[String], to: &mut Text) {
        let mut inner = Text::at(to.depth() + 1);
        inner.lines(statements);
        inner.line("Ok(())");
        to.append(&inner);
        to.line("}");
    }
}
