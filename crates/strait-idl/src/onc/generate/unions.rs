//! Unions: enums of Rust with data.
//!
//! Each label is a variant, also where several share one arm. `default` is a variant that holds the
//! number, and writing it with a number that has a label is an error. A `bool` has no default: what
//! has no label is the other variant.

use super::super::tree::{Body, Content, Type, TypeId, Union};
use super::codec::{Place, View};
use super::items::{self, place, variants};
use super::names::variant;
use super::text::{Text, short};

/// A variant of a union with a label.
#[derive(Debug)]
struct Labelled<'a> {
    name: String,
    /// As the file has it.
    label: String,
    value: i64,
    content: &'a Content,
}

/// What a union is chosen by.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Choice {
    Int,
    Unsigned,
    Bool,
    Enum(TypeId),
}

/// A union with its variants.
struct Variants<'a> {
    id: TypeId,
    choice: Choice,
    labelled: Vec<Labelled<'a>>,
    default: Option<&'a Content>,
    /// No number is without a variant.
    covered: bool,
}

impl View<'_> {
    pub(super) fn union(&self, id: TypeId, union: &Union, to: &mut Text) {
        let all = self.variants(id, union);
        let definition = self.of.definition(id);
        to.doc(&format!(
            "`union {}`, {}.",
            definition.name,
            place(&definition.at)
        ));
        self.derive(id, to);
        items::allow("enum_variant_names", "the names are those of the file", to);
        items::allow("large_enum_variant", "the file lays them out", to);
        to.open(format!("pub enum {} {{", self.full(id)));
        for each in &all.labelled {
            let holds = each.content.as_ref().map(|member| self.declaration(member));
            to.doc(&match holds {
                Some(holds) => format!("`{}`: `{holds}`", each.label),
                None => format!("`{}`", each.label),
            });
            to.line(match each.content {
                Some(member) => format!("{}({}),", each.name, self.rust(&member.of, Some(id))),
                None => format!("{},", each.name),
            });
        }
        let discriminant = self.rust(&union.discriminant.of, Some(id));
        if let Some(content) = all.default {
            let holds = content.as_ref().map(|member| self.declaration(member));
            to.doc(&match holds {
                Some(holds) => format!("Every other `{}`, and `{holds}`.", union.discriminant.name),
                None => format!("Every other `{}`.", union.discriminant.name),
            });
            to.line(match content {
                Some(member) => {
                    format!(
                        "Default({discriminant}, {}),",
                        self.rust(&member.of, Some(id))
                    )
                }
                None => format!("Default({discriminant}),"),
            });
        }
        to.close("}");
        to.line("");
        if !(all.labelled.is_empty() && all.default.is_none()) {
            let name = self.living("'_").full(id);
            to.open(format!("impl {name} {{"));
            self.labels(&all, to);
            self.discriminant(&all, &discriminant, to);
            to.close("}");
            to.line("");
        }
        let encode = self.encode_arms(&all);
        self.codecs(id, &encode, to, |to| self.decode_arms(&all, to));
    }

    fn variants<'u>(&self, id: TypeId, union: &'u Union) -> Variants<'u> {
        let choice = match self.of.resolve(&union.discriminant.of) {
            Type::Unsigned => Choice::Unsigned,
            Type::Bool => Choice::Bool,
            Type::Named(id) => Choice::Enum(*id),
            _ => Choice::Int,
        };
        let labelled = labelled(union, choice);
        let covered = match choice {
            Choice::Int | Choice::Unsigned => false,
            Choice::Bool => labelled.len() == 2,
            Choice::Enum(id) => match &self.of.definition(id).body {
                Body::Enum(all) => labelled.len() == variants(all).0.len(),
                _ => false,
            },
        };
        Variants {
            id,
            choice,
            labelled,
            default: union.default.as_ref().filter(|_| !covered),
            covered,
        }
    }

    /// A value of the discriminant, as an expression and as a pattern.
    fn literal(&self, choice: Choice, value: i64) -> String {
        match choice {
            Choice::Int | Choice::Unsigned => value.to_string(),
            Choice::Bool => (value != 0).to_string(),
            Choice::Enum(id) => {
                let Body::Enum(all) = &self.of.definition(id).body else {
                    return value.to_string();
                };
                let (variants, _) = variants(all);
                let found = variants
                    .iter()
                    .find(|(_, each)| i64::from(each.value) == value);
                let variant = found.map_or("", |(variant, _)| variant);
                format!("{}::{variant}", self.name(id))
            }
        }
    }

    /// The numbers that `Default` must not have.
    fn labels(&self, all: &Variants<'_>, to: &mut Text) {
        if all.default.is_none() {
            return;
        }
        let of = if all.choice == Choice::Unsigned {
            "u32"
        } else {
            "i32"
        };
        let numbers = all.labelled.iter().map(|each| each.value.to_string());
        let numbers: Vec<String> = numbers.collect();
        to.doc("Numbers with a variant of their own, which `Default` must not hold.");
        to.numbers(
            &format!("const LABELS: [{of}; {}]", numbers.len()),
            &numbers,
        );
        to.line("");
    }

    fn discriminant(&self, all: &Variants<'_>, of: &str, to: &mut Text) {
        to.doc("What the union is chosen by.");
        to.line("#[must_use]");
        to.open(format!("pub const fn discriminant(&self) -> {of} {{"));
        to.open("match self {");
        for each in &all.labelled {
            let rest = if each.content.is_some() { "(..)" } else { "" };
            let value = self.literal(all.choice, each.value);
            to.line(format!("Self::{}{rest} => {value},", each.name));
        }
        if let Some(content) = all.default {
            let rest = if content.is_some() { ", .." } else { "" };
            to.line(format!("Self::Default(number{rest}) => *number,"));
        }
        to.close("}");
        to.close("}");
    }

    fn encode_arms(&self, all: &Variants<'_>) -> Vec<String> {
        if all.labelled.is_empty() && all.default.is_none() {
            return vec!["match *self {}".to_owned()];
        }
        let mut lines = vec!["match self {".to_owned()];
        let number = |value: &str| match all.choice {
            Choice::Unsigned => format!("to.unsigned({value})"),
            Choice::Bool => format!("to.boolean({value})"),
            Choice::Int | Choice::Enum(_) => format!("to.int({value})"),
        };
        let held = |content: &Content| match content {
            Some(member) => self.encode(&member.of, &Place::reference("value"), Some(all.id)),
            None => Vec::new(),
        };
        for each in &all.labelled {
            let value = match all.choice {
                Choice::Bool => (each.value != 0).to_string(),
                _ => each.value.to_string(),
            };
            if each.content.is_none() {
                lines.push(format!("    Self::{} => {},", each.name, number(&value)));
                continue;
            }
            lines.push(format!("    Self::{}(value) => {{", each.name));
            lines.push(format!("        {};", number(&value)));
            lines.extend(
                held(each.content)
                    .iter()
                    .map(|line| format!("        {line}")),
            );
            lines.push("    }".into());
        }
        if let Some(content) = all.default {
            let value = if content.is_some() { ", value" } else { "" };
            lines.push(format!("    Self::Default(number{value}) => {{"));
            let copied = match all.choice {
                Choice::Enum(_) => "i32::from(*number)",
                _ => "*number",
            };
            lines.push(format!("        let number = {copied};"));
            lines.push("        if Self::LABELS.contains(&number) {".into());
            lines.push("            return Err(no_arm(to.position(), number.into()));".into());
            lines.push("        }".into());
            lines.push(format!("        {};", number("number")));
            lines.extend(held(content).iter().map(|line| format!("        {line}")));
            lines.push("    }".into());
        }
        lines.push("}".into());
        lines
    }

    fn decode_arms(&self, all: &Variants<'_>, to: &mut Text) {
        let refused = all.default.is_none() && !all.covered;
        if refused {
            to.line("let at = from.position();");
        }
        to.open(match all.choice {
            Choice::Int => "match from.int()? {".to_owned(),
            Choice::Unsigned => "match from.unsigned()? {".to_owned(),
            Choice::Bool => "match from.boolean()? {".to_owned(),
            Choice::Enum(id) => format!("match {}::decode(from)? {{", self.name(id)),
        });
        for each in &all.labelled {
            let pattern = self.literal(all.choice, each.value);
            let variant = format!("Self::{}", each.name);
            self.decode_arm(all.id, &pattern, &variant, each.content, to);
        }
        if let Some(content) = all.default {
            match content {
                None => to.line("number => Ok(Self::Default(number)),"),
                Some(member) => {
                    let value = self.decode(&member.of, Some(all.id));
                    let of = self.rust(&member.of, Some(all.id));
                    to.open("number => {");
                    to.line(format!("let value: {of} = {value};"));
                    to.line("Ok(Self::Default(number, value))");
                    to.close("}");
                }
            }
        }
        if refused {
            to.line(match all.choice {
                Choice::Enum(_) => "other => Err(no_arm(at, i32::from(other).into())),",
                _ => "other => Err(no_arm(at, other.into())),",
            });
        }
        to.close("}");
    }

    fn decode_arm(
        &self,
        id: TypeId,
        pattern: &str,
        variant: &str,
        content: &Content,
        to: &mut Text,
    ) {
        let Some(member) = content else {
            return to.line(format!("{pattern} => Ok({variant}),"));
        };
        let value = self.decode(&member.of, Some(id));
        let held = format!("{variant}({value})");
        let one = format!("{pattern} => Ok({held}),");
        if short(&held) && to.fits(one.chars().count()) {
            to.line(one);
        } else {
            to.open(format!("{pattern} => {{"));
            to.line(format!("let value = {value};"));
            to.line(format!("Ok({variant}(value))"));
            to.close("}");
        }
    }
}

/// The variants with labels; of a `bool`, the one that `default` stands for too.
fn labelled(union: &Union, choice: Choice) -> Vec<Labelled<'_>> {
    let arms = union.arms.iter().map(|arm| Labelled {
        name: variant(arm.label.as_deref(), arm.value),
        label: arm.label.clone().unwrap_or_else(|| arm.value.to_string()),
        value: arm.value,
        content: &arm.content,
    });
    let mut all: Vec<Labelled<'_>> = arms.collect();
    if choice != Choice::Bool {
        return all;
    }
    let name = |value: i64| if value == 0 { "FALSE" } else { "TRUE" };
    for each in &mut all {
        each.name = variant(Some(name(each.value)), each.value);
        each.label = name(each.value).into();
    }
    for value in [1, 0] {
        if let Some(content) = &union.default
            && all.iter().all(|each| each.value != value)
        {
            all.push(Labelled {
                name: variant(Some(name(value)), value),
                label: name(value).into(),
                value,
                content,
            });
        }
    }
    all
}
