//! Constants, aliases, enumerations and structs.

use std::collections::HashMap;

use super::super::print;
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
            to.dedent();
        }
    }

    pub(super) fn alias(&self, id: TypeId, of: &Type, to: &mut Text) {
        let definition = self.of.definition(id);
        let text = print::declaration(self.of, of, &definition.name);
        let rust = self.rust(of, Some(id));
        let name = self.name(id);
        to.doc(&format!("`typedef {text}`, {}.", place(&definition.at)));
        let full = self.full(id);
        to.line(format!("pub type {full} = {rust};"));
        to.line("");
        let snake = bare_snake(&definition.name);
        let result = self.std("Result");
        to.doc(&format!(
            "Writes a [`{name}`] within the bounds of its typedef."
        ));
        errors("Where the value breaks a bound.", to);
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
        to.lines(&self.encode(of, &from, Some(id)));
        to.line("Ok(())");
        to.close("}");
        to.line("");
        to.doc(&format!(
            "Reads a [`{name}`] within the bounds of its typedef."
        ));
        errors("Where the bytes are no such value.", to);
        let (life, its) = match self.facts.borrows[id.0] {
            true => ("<'a>", "'a"),
            false => ("", "'_"),
        };
        let arguments = [format!("from: &mut onc::xdr::Reader<{its}>")];
        let tail = format!(" -> {result}<{full}, onc::xdr::Error> {{");
        to.signature(&format!("pub fn decode_{snake}{life}"), &arguments, &tail);
        let value = self.decode(of, Some(id));
        to.line(match value.strip_suffix('?') {
            Some(result) => result.to_owned(),
            None => format!("Ok({value})"),
        });
        to.close("}");
    }

    pub(super) fn enumeration(&self, id: TypeId, all: &[Enumerator], to: &mut Text) {
        let definition = self.of.definition(id);
        let name = self.name(id);
        to.doc(&format!(
            "`enum {}`, {}.",
            definition.name,
            place(&definition.at)
        ));
        let (variants, others) = variants(all);
        let default = variants.iter().any(|(_, each)| each.value == 0);
        let derived = if default { "Default, " } else { "" };
        to.line(format!(
            "#[derive(Clone, Copy, Debug, {derived}PartialEq, Eq, Hash)]"
        ));
        if variants.len() > 2 {
            allow("enum_variant_names", "the names are those of the file", to);
        }
        to.open(format!("pub enum {name} {{"));
        for (variant, each) in &variants {
            to.doc(&format!("`{}`", each.name));
            if each.value == 0 {
                to.line("#[default]");
            }
            to.line(format!("{variant} = {},", each.value));
        }
        to.close("}");
        to.line("");
        if !others.is_empty() {
            to.open(format!("impl {name} {{"));
            for (i, (first, each)) in others.iter().enumerate() {
                if i > 0 {
                    to.line("");
                }
                to.doc(&format!(
                    "`{}`: another name of the same number.",
                    each.name
                ));
                to.line(format!(
                    "pub const {}: Self = Self::{first};",
                    screaming(&each.name)
                ));
            }
            to.close("}");
            to.line("");
        }
        self.conversions(&name, &variants, to);
        let encode = ["to.int(i32::from(*self));".to_owned()];
        self.codecs(id, &encode, to, |to| {
            to.line("let at = from.position();");
            to.open("Self::try_from(from.int()?).map_err(|number| {");
            to.line("let what = onc::xdr::What::Enum(number);");
            to.line("onc::xdr::Error { at, what }");
            to.close("})");
        });
    }

    /// An enumeration to its number and back.
    fn conversions(&self, name: &str, variants: &[Named<'_>], to: &mut Text) {
        to.open(format!("impl {}<{name}> for i32 {{", self.std("From")));
        to.open(format!("fn from(value: {name}) -> Self {{"));
        to.line("value as Self");
        to.close("}");
        to.close("}");
        to.line("");
        to.open(format!("impl {}<i32> for {name} {{", self.std("TryFrom")));
        to.doc("The number, which the enumeration has no name for.");
        to.line("type Error = i32;");
        to.line("");
        let result = self.std("Result");
        to.open(format!(
            "fn try_from(number: i32) -> {result}<Self, i32> {{"
        ));
        to.open("match number {");
        for (variant, each) in variants {
            to.line(format!("{} => Ok(Self::{variant}),", each.value));
        }
        to.line("unknown => Err(unknown),");
        to.close("}");
        to.close("}");
        to.close("}");
        to.line("");
    }

    pub(super) fn structure(&self, id: TypeId, members: &[Member], to: &mut Text) {
        let definition = self.of.definition(id);
        let name = self.name(id);
        to.doc(&format!(
            "`struct {}`, {}.",
            definition.name,
            place(&definition.at)
        ));
        let mut members = members;
        if self.facts.list[id.0]
            && let Some((last, before)) = members.split_last()
        {
            to.line("///");
            let doc = "A node of a linked list: what";
            let next = &last.name;
            to.doc(&format!("{doc} `{next}` leads to follows it in a `Vec`."));
            members = before;
        }
        self.derive(id, to);
        if members.is_empty() {
            to.line(format!("pub struct {name} {{}}"));
        } else {
            to.open(format!("pub struct {} {{", self.full(id)));
            for member in members {
                to.doc(&format!("`{}`", self.declaration(member)));
                let of = self.rust(&member.of, Some(id));
                to.line(format!("pub {}: {of},", snake(&member.name)));
            }
            to.close("}");
        }
        to.line("");
        let encode: Vec<String> = members
            .iter()
            .flat_map(|member| {
                let from = Place::value(format!("self.{}", snake(&member.name)));
                self.encode(&member.of, &from, Some(id))
            })
            .collect();
        self.codecs(id, &encode, to, |to| {
            let fields = members.iter().map(|member| {
                let value = self.decode(&member.of, Some(id));
                format!("{}: {value}", snake(&member.name))
            });
            to.literal("Ok(Self", &fields.collect::<Vec<_>>(), ")");
        });
    }

    pub(super) fn derive(&self, id: TypeId, to: &mut Text) {
        let default = if self.facts.default[id.0] {
            "Default, "
        } else {
            ""
        };
        let eq = if self.facts.eq[id.0] {
            ", Eq, Hash"
        } else {
            ""
        };
        to.line(format!("#[derive(Clone, Debug, {default}PartialEq{eq})]"));
    }
}

/// When a function fails.
pub(super) fn errors(when: &str, to: &mut Text) {
    to.line("///");
    to.doc("# Errors");
    to.line("///");
    to.doc(when);
}

/// A lint that says nothing about code made from a file.
pub(super) fn allow(lint: &str, reason: &str, to: &mut Text) {
    to.line(format!("#[allow(clippy::{lint}, reason = \"{reason}\")]"));
}

/// A name in Rust, and what it names.
pub(super) type Named<'a> = (String, &'a Enumerator);

/// The first name of each number as a variant, and the others with that variant.
pub(super) fn variants(all: &[Enumerator]) -> (Vec<Named<'_>>, Vec<Named<'_>>) {
    let mut first: HashMap<i32, String> = HashMap::new();
    let (mut variants, mut others) = (Vec::new(), Vec::new());
    for each in all {
        match first.get(&each.value) {
            Some(variant) => others.push((variant.clone(), each)),
            None => {
                let variant = camel(&each.name);
                first.insert(each.value, variant.clone());
                variants.push((variant, each));
            }
        }
    }
    (variants, others)
}
