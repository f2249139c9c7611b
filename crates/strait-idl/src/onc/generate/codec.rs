//! Types as Rust has them, and the code that writes and reads them.

use super::super::print;
use super::super::tree::{Body, Length, Member, Specification, Type, TypeId};
use super::facts::{Facts, is_lent};
use super::names::{Names, bare_snake};
use super::text;
use super::{Options, Strings};

/// What is generated, as seen from one module of it.
#[derive(Copy, Clone, Debug)]
pub(super) struct View<'a> {
    pub(super) of: &'a Specification,
    pub(super) names: &'a Names,
    pub(super) facts: &'a Facts,
    pub(super) options: &'a Options,
    /// The way to where the types are.
    pub(super) path: &'static str,
    /// For how long what is lent lives.
    pub(super) life: &'static str,
}

/// A value to be written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    text: String,
    /// The text is a reference to the value.
    reference: bool,
}

impl Place {
    pub(super) fn value(text: impl Into<String>) -> Self {
        let reference = false;
        let text = text.into();
        Self { text, reference }
    }

    pub(super) fn reference(text: impl Into<String>) -> Self {
        let reference = true;
        let text = text.into();
        Self { text, reference }
    }

    fn copied(&self) -> String {
        format!("{}{}", if self.reference { "*" } else { "" }, self.text)
    }

    fn borrowed(&self) -> String {
        format!("{}{}", if self.reference { "" } else { "&" }, self.text)
    }
}

impl<'a> View<'a> {
    /// A name of the prelude: nothing takes it inside the modules of programs.
    pub(super) fn std(&self, name: &'static str) -> &'static str {
        match self.path {
            "" => self.names.std(name),
            _ => name,
        }
    }

    pub(super) fn name(&self, id: TypeId) -> String {
        format!("{}{}", self.path, self.names.of(id))
    }

    /// The same, where what is lent lives so long.
    pub(super) fn living(&self, life: &'static str) -> Self {
        Self { life, ..*self }
    }

    /// Whether a value of the type is lent from what it is read from, or a part of it.
    pub(super) fn borrows(&self, of: &Type) -> bool {
        match of {
            Type::Named(id) => self.facts.borrows[id.0],
            Type::Array(inner, _) | Type::Optional(inner) => self.borrows(inner),
            _ => self.options.borrowed && is_lent(of),
        }
    }

    /// The lifetime of a type, in brackets, if it has one.
    fn lent(&self, id: TypeId) -> String {
        match self.facts.borrows[id.0] {
            true => format!("<{}>", self.life),
            false => String::new(),
        }
    }

    /// The name of a type, with its lifetime.
    pub(super) fn full(&self, id: TypeId) -> String {
        format!("{}{}", self.name(id), self.lent(id))
    }

    /// The type where `owner` is defined: there it is itself.
    fn full_inside(&self, id: TypeId, owner: Option<TypeId>) -> String {
        match owner {
            Some(owner) if owner == id => "Self".into(),
            _ => self.full(id),
        }
    }

    /// The name where `owner` is defined: there it is itself.
    fn inside(&self, id: TypeId, owner: Option<TypeId>) -> String {
        match owner {
            Some(owner) if owner == id => "Self".into(),
            _ => self.name(id),
        }
    }

    fn codec(&self, verb: &str, id: TypeId) -> String {
        let name = bare_snake(&self.of.definition(id).name);
        format!("{}{verb}_{name}", self.path)
    }

    fn is_alias(&self, id: TypeId) -> bool {
        matches!(self.of.definition(id).body, Body::Alias(_))
    }

    fn is_list(&self, id: TypeId) -> bool {
        self.facts.list[id.0]
    }

    /// The list that `T *` is, where `T` is a list's node.
    fn list_of(&self, to: &Type) -> Option<TypeId> {
        match self.of.resolve(to) {
            Type::Named(id) if self.is_list(*id) => Some(*id),
            _ => None,
        }
    }

    /// The type of a value that stands in `owner`.
    pub(super) fn rust(&self, of: &Type, owner: Option<TypeId>) -> String {
        let vec = self.std("Vec");
        match of {
            Type::Void => "()".into(),
            Type::Int => "i32".into(),
            Type::Unsigned => "u32".into(),
            Type::Char => "i8".into(),
            Type::UnsignedChar => "u8".into(),
            Type::Short => "i16".into(),
            Type::UnsignedShort => "u16".into(),
            Type::Hyper => "i64".into(),
            Type::UnsignedHyper => "u64".into(),
            Type::Float => "f32".into(),
            Type::Double => "f64".into(),
            Type::Quadruple => "onc::xdr::Quadruple".into(),
            Type::Bool => "bool".into(),
            Type::Opaque(Length::Fixed(len)) => format!("[u8; {len}]"),
            Type::Opaque(Length::Max(_)) if self.options.borrowed => self.cow("[u8]"),
            Type::String(_) if self.options.borrowed => self.cow(match self.options.strings {
                Strings::Utf8 => "str",
                Strings::Bytes => "[u8]",
            }),
            Type::Opaque(Length::Max(_)) => format!("{vec}<u8>"),
            Type::String(_) => match self.options.strings {
                Strings::Utf8 => self.std("String").into(),
                Strings::Bytes => format!("{vec}<u8>"),
            },
            Type::Array(inner, Length::Fixed(len)) => {
                format!("[{}; {len}]", self.rust(inner, owner))
            }
            Type::Array(inner, Length::Max(_)) => format!("{vec}<{}>", self.rust(inner, owner)),
            Type::Optional(to) => {
                let option = self.std("Option");
                match self.list_of(to) {
                    Some(id) => format!("{vec}<{}>", self.full_inside(id, owner)),
                    None if self.facts.boxed(owner, to) => {
                        format!("{option}<{}<{}>>", self.std("Box"), self.rust(to, owner))
                    }
                    None => format!("{option}<{}>", self.rust(to, owner)),
                }
            }
            Type::Named(id) if self.is_list(*id) => {
                let name = self.full_inside(*id, owner);
                format!("({name}, {vec}<{name}>)")
            }
            Type::Named(id) => self.full_inside(*id, owner),
        }
    }

    fn cow(&self, of: &str) -> String {
        format!("onc::xdr::Cow<{}, {of}>", self.life)
    }

    /// Whether arguments of the type go by value.
    pub(super) fn is_copy(&self, of: &Type) -> bool {
        match self.of.resolve(of) {
            Type::Named(id) => matches!(self.of.definition(*id).body, Body::Enum(_)),
            Type::Opaque(_) | Type::String(_) | Type::Array(..) | Type::Optional(_) => false,
            _ => true,
        }
    }

    /// The type of an argument.
    pub(super) fn parameter(&self, of: &Type) -> String {
        if self.is_copy(of) {
            return self.rust(of, None);
        }
        let view = self.living("'_");
        match self.of.resolve(of) {
            Type::String(_) if self.options.strings == Strings::Utf8 => "&str".into(),
            Type::String(_) | Type::Opaque(Length::Max(_)) => "&[u8]".into(),
            Type::Array(inner, Length::Max(_)) => {
                let owner = self.alias_owner(of);
                format!("&[{}]", view.rust(inner, owner))
            }
            Type::Optional(to) if let Some(id) = self.list_of(to) => {
                format!("&[{}]", view.full(id))
            }
            _ => format!("&{}", view.rust(of, None)),
        }
    }

    /// Whose declaration the type behind aliases is.
    fn alias_owner(&self, mut of: &'a Type) -> Option<TypeId> {
        let mut owner = None;
        while let Type::Named(id) = of
            && let Body::Alias(behind) = &self.of.definition(*id).body
        {
            owner = Some(*id);
            of = behind;
        }
        owner
    }

    /// The statements that write a value.
    pub(super) fn encode(&self, of: &Type, from: &Place, owner: Option<TypeId>) -> Vec<String> {
        let each = |inner: &Type| self.encode(inner, &Place::reference("item"), owner);
        let one = |line: String| vec![line];
        match of {
            Type::Void => Vec::new(),
            Type::Int => one(format!("to.int({});", from.copied())),
            Type::Unsigned => one(format!("to.unsigned({});", from.copied())),
            Type::Char | Type::UnsignedChar | Type::Short | Type::UnsignedShort => {
                one(format!("to.int(i32::from({}));", from.copied()))
            }
            Type::Hyper => one(format!("to.hyper({});", from.copied())),
            Type::UnsignedHyper => one(format!("to.unsigned_hyper({});", from.copied())),
            Type::Float => one(format!("to.float({});", from.copied())),
            Type::Double => one(format!("to.double({});", from.copied())),
            Type::Quadruple => one(format!("to.quadruple({});", from.copied())),
            Type::Bool => one(format!("to.boolean({});", from.copied())),
            Type::Opaque(Length::Fixed(_)) => one(format!("to.opaque_fixed({});", from.borrowed())),
            Type::Opaque(Length::Max(max)) => {
                one(format!("to.opaque({}, {})?;", from.borrowed(), bound(*max)))
            }
            Type::String(max) => {
                let call = match self.options.strings {
                    Strings::Utf8 => "string",
                    Strings::Bytes => "string_bytes",
                };
                one(format!("to.{call}({}, {})?;", from.borrowed(), bound(*max)))
            }
            Type::Array(inner, Length::Max(max)) if is_number(inner) => one(format!(
                "to.numbers({}, {})?;",
                from.borrowed(),
                bound(*max)
            )),
            Type::Array(inner, Length::Max(max)) => {
                let arguments = format!("{}, {}", from.borrowed(), bound(*max));
                text::call("to.array", &arguments, "to, item", &each(inner))
            }
            Type::Array(inner, Length::Fixed(_)) => {
                text::call("to.array_fixed", &from.borrowed(), "to, item", &each(inner))
            }
            Type::Optional(to) => match self.list_of(to) {
                Some(id) => one(format!(
                    "{}::encode_list({}, to)?;",
                    self.inside(id, owner),
                    from.borrowed()
                )),
                None => {
                    let boxed = self.facts.boxed(owner, to);
                    let call = if boxed { "as_deref" } else { "as_ref" };
                    let value = format!("{}.{call}()", from.text);
                    text::call("to.optional", &value, "to, item", &each(to))
                }
            },
            Type::Named(id) if self.is_alias(*id) => {
                let value = if self.is_copy(of) {
                    from.copied()
                } else {
                    from.borrowed()
                };
                one(format!("{}({value}, to)?;", self.codec("encode", *id)))
            }
            Type::Named(id) if self.is_list(*id) => one(format!(
                "{}::encode_chain({}, to)?;",
                self.inside(*id, owner),
                from.borrowed()
            )),
            Type::Named(_) => one(format!("{}.encode(to)?;", from.text)),
        }
    }

    /// The expression that reads a value.
    pub(super) fn decode(&self, of: &Type, owner: Option<TypeId>) -> String {
        match of {
            Type::Void => "()".into(),
            Type::Int => "from.int()?".into(),
            Type::Unsigned => "from.unsigned()?".into(),
            Type::Char | Type::UnsignedChar | Type::Short | Type::UnsignedShort => {
                format!("{}small(from)?", self.path)
            }
            Type::Hyper => "from.hyper()?".into(),
            Type::UnsignedHyper => "from.unsigned_hyper()?".into(),
            Type::Float => "from.float()?".into(),
            Type::Double => "from.double()?".into(),
            Type::Quadruple => "from.quadruple()?".into(),
            Type::Bool => "from.boolean()?".into(),
            Type::Opaque(Length::Fixed(_)) => "from.opaque_array()?".into(),
            Type::Opaque(Length::Max(max)) => {
                let to = if self.options.borrowed {
                    "into"
                } else {
                    "to_vec"
                };
                format!("from.opaque({})?.{to}()", bound(*max))
            }
            Type::String(max) => {
                let (call, to) = match self.options.strings {
                    Strings::Utf8 => ("string", "to_owned"),
                    Strings::Bytes => ("string_bytes", "to_vec"),
                };
                let to = if self.options.borrowed { "into" } else { to };
                format!("from.{call}({})?.{to}()", bound(*max))
            }
            Type::Array(inner, Length::Max(max)) if is_number(inner) => {
                format!("from.numbers({})?", bound(*max))
            }
            Type::Array(inner, Length::Max(max)) => {
                format!(
                    "from.array({}, {})?",
                    bound(*max),
                    self.decoder(inner, owner)
                )
            }
            Type::Array(inner, Length::Fixed(_)) => {
                format!("from.array_fixed({})?", self.decoder(inner, owner))
            }
            Type::Optional(to) => match self.list_of(to) {
                Some(id) => format!("{}::decode_list(from)?", self.inside(id, owner)),
                None => {
                    let boxes = match self.facts.boxed(owner, to) {
                        true => format!(".map({}::new)", self.std("Box")),
                        false => String::new(),
                    };
                    format!("from.optional({})?{boxes}", self.decoder(to, owner))
                }
            },
            Type::Named(id) if self.is_alias(*id) => {
                format!("{}(from)?", self.codec("decode", *id))
            }
            Type::Named(id) if self.is_list(*id) => {
                format!("{}::decode_chain(from)?", self.inside(*id, owner))
            }
            Type::Named(id) => format!("{}::decode(from)?", self.inside(*id, owner)),
        }
    }

    /// What reads one value, as a function.
    fn decoder(&self, of: &Type, owner: Option<TypeId>) -> String {
        let value = self.decode(of, owner);
        if let Some(path) = value.strip_suffix("(from)?") {
            return path.to_owned();
        }
        match value.strip_suffix('?') {
            Some(call) => format!("|from| {call}"),
            None => format!("|from| Ok({value})"),
        }
    }

    /// A declaration, as the file has it.
    pub(super) fn declaration(&self, member: &Member) -> String {
        print::declaration(self.of, &member.of, &member.name)
    }
}

/// What the wire reads and writes in one pass.
fn is_number(of: &Type) -> bool {
    matches!(
        of,
        Type::Int
            | Type::Unsigned
            | Type::Hyper
            | Type::UnsignedHyper
            | Type::Float
            | Type::Double
            | Type::Quadruple
    )
}

/// A greatest length.
fn bound(max: u32) -> String {
    match max {
        u32::MAX => "u32::MAX".into(),
        max => max.to_string(),
    }
}
