//! The tree as text of the language again.

use std::fmt;

use super::tree::{Body, Content, Length, Member, Procedure, Specification, Type, Union, Value};

/// Every definition in the language itself, resolved: `parse` of it gives the same tree, apart from
/// positions and from `#define`s, which come out as `const`.
impl fmt::Display for Specification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for each in &self.constants {
            match &each.value {
                Value::Number(number) => writeln!(f, "const {} = {number};", each.name)?,
                Value::Text(text) => writeln!(f, "const {} = {};", each.name, quoted(text))?,
            }
        }
        for each in &self.types {
            let name = &each.name;
            match &each.body {
                Body::Alias(of) => writeln!(f, "typedef {};", declaration(self, of, name))?,
                Body::Enum(all) => {
                    writeln!(f, "enum {name} {{")?;
                    let last = all.len().saturating_sub(1);
                    for (i, each) in all.iter().enumerate() {
                        let comma = if i < last { "," } else { "" };
                        writeln!(f, "    {} = {}{comma}", each.name, each.value)?;
                    }
                    writeln!(f, "}};")?;
                }
                Body::Struct(members) => {
                    writeln!(f, "struct {name} {{")?;
                    for member in members {
                        writeln!(f, "    {};", self.member(member))?;
                    }
                    writeln!(f, "}};")?;
                }
                Body::Union(union) => self.union(f, name, union)?,
            }
        }
        for program in &self.programs {
            writeln!(f, "program {} {{", program.name)?;
            for version in &program.versions {
                writeln!(f, "    version {} {{", version.name)?;
                for each in &version.procedures {
                    writeln!(f, "        {};", procedure(self, each))?;
                }
                writeln!(f, "    }} = {};", version.number)?;
            }
            writeln!(f, "}} = {:#x};", program.number)?;
        }
        Ok(())
    }
}

impl Specification {
    fn member(&self, member: &Member) -> String {
        declaration(self, &member.of, &member.name)
    }

    /// Whether a name of a number is among what is printed.
    fn prints(&self, label: &str) -> bool {
        let constant = self.constants.iter().any(|each| each.name == label);
        constant
            || self.types.iter().any(|each| match &each.body {
                Body::Enum(all) => all.iter().any(|each| each.name == label),
                _ => false,
            })
    }

    fn union(&self, f: &mut fmt::Formatter<'_>, name: &str, union: &Union) -> fmt::Result {
        let content = |content: &Content| match content {
            Some(member) => self.member(member),
            None => "void".to_owned(),
        };
        writeln!(
            f,
            "union {name} switch ({}) {{",
            self.member(&union.discriminant)
        )?;
        // Arms of one content stand together, as they were: their member has one place.
        let shared = |one: &Content, other: &Content| match (one, other) {
            (Some(one), Some(other)) => one.at == other.at,
            _ => false,
        };
        let mut default = union.default.as_ref();
        for (i, arm) in union.arms.iter().enumerate() {
            // Names of macros for C are not printed, and so are no labels.
            let label = arm.label.clone().filter(|label| self.prints(label));
            let label = label.unwrap_or_else(|| arm.value.to_string());
            writeln!(f, "    case {label}:")?;
            let next = union.arms.get(i + 1);
            if next.is_some_and(|next| shared(&arm.content, &next.content)) {
                continue;
            }
            if default.is_some_and(|default| shared(&arm.content, default)) {
                default = None;
                writeln!(f, "    default:")?;
            }
            writeln!(f, "        {};", content(&arm.content))?;
        }
        if let Some(default) = default {
            writeln!(f, "    default:\n        {};", content(default))?;
        }
        writeln!(f, "}};")
    }
}

fn quoted(text: &str) -> String {
    let mut all = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => all.extend(['\\', letter]),
            '\n' => all.push_str("\\n"),
            '\t' => all.push_str("\\t"),
            '\r' => all.push_str("\\r"),
            '\0' => all.push_str("\\0"),
            letter => all.push(letter),
        }
    }
    all.push('"');
    all
}

/// `type name`, without a semicolon.
pub(super) fn declaration(of: &Specification, what: &Type, name: &str) -> String {
    let text = match what {
        Type::Opaque(length) => format!("opaque {name}{}", brackets(*length)),
        Type::String(max) => format!("string {name}{}", brackets(Length::Max(*max))),
        Type::Array(inner, length) => format!("{} {name}{}", base(of, inner), brackets(*length)),
        Type::Optional(inner) => format!("{} *{name}", base(of, inner)),
        plain => format!("{} {name}", base(of, plain)),
    };
    text.trim_end().to_owned()
}

/// `RESULT NAME(ARGUMENTS) = number`.
pub(super) fn procedure(of: &Specification, each: &Procedure) -> String {
    let arguments: Vec<String> = each
        .arguments
        .iter()
        .map(|argument| declaration(of, &argument.of, argument.name.as_deref().unwrap_or("")))
        .map(|text| text.replace(" <", "<").replace(" [", "["))
        .collect();
    let arguments = match arguments.is_empty() {
        true => "void".to_owned(),
        false => arguments.join(", "),
    };
    // A result with a bound has it before the procedure's name.
    let result = declaration(of, &each.result, "");
    let result = result.replace(" <", "<").replace(" [", "[");
    let blank = if result.ends_with('*') { "" } else { " " };
    format!(
        "{result}{blank}{}({arguments}) = {}",
        each.name, each.number
    )
}

fn brackets(length: Length) -> String {
    match length {
        Length::Fixed(len) => format!("[{len}]"),
        Length::Max(u32::MAX) => "<>".into(),
        Length::Max(max) => format!("<{max}>"),
    }
}

fn base<'s>(of: &'s Specification, what: &Type) -> &'s str {
    match what {
        Type::Void => "void",
        Type::Int => "int",
        Type::Unsigned => "unsigned int",
        Type::Char => "char",
        Type::UnsignedChar => "unsigned char",
        Type::Short => "short",
        Type::UnsignedShort => "unsigned short",
        Type::Hyper => "hyper",
        Type::UnsignedHyper => "unsigned hyper",
        Type::Float => "float",
        Type::Double => "double",
        Type::Quadruple => "quadruple",
        Type::Bool => "bool",
        Type::Named(id) => &of.definition(*id).name,
        // The language has no such type without a name.
        Type::Opaque(_) | Type::String(_) | Type::Array(..) | Type::Optional(_) => "?",
    }
}
