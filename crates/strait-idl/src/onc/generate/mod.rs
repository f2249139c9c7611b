//! The tree as Rust, laid out as rustfmt would.

mod client;
mod codec;
mod facts;
mod impls;
mod items;
mod names;
mod program;
mod service;
mod text;
mod unions;

use super::tree::{Body, Length, Specification, Type, TypeId};
use crate::diag::{Diagnostic, Diagnostics};
use crate::source::Sources;

use codec::View;
use facts::Facts;
use names::Names;
use text::Text;

/// The longest array of fixed length: it stands in its struct as it is, and on the stack.
const FIXED_LEN_MAX: u32 = 65_536;

/// What a `string` becomes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// `String`: what is not UTF-8 is refused.
    #[default]
    Utf8,
    /// `Vec<u8>`: RFC 4506 says ASCII, and senders differ.
    Bytes,
}

/// How the code is to be.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) strings: Strings,
    /// The path of the module that the code calls.
    pub(super) root: String,
    pub(super) asynchronous: bool,
    /// Strings and opaque data of any length are lent from what they are read from.
    pub(super) borrowed: bool,
}

/// Everything, or what cannot be said in Rust.
pub(super) fn generate(
    sources: &Sources,
    of: &Specification,
    options: &Options,
) -> Result<String, Diagnostics> {
    refuse_long(sources, of)?;
    let names = Names::new(of).map_err(|all| {
        let told = all
            .into_iter()
            .map(|each| Diagnostic::at(sources, each.at.span, each.message).with_help(each.help));
        Diagnostics::new(told.collect())
    })?;
    let mut facts = Facts::new(of);
    if !options.borrowed {
        facts.borrows.fill(false);
    }
    let view = View {
        of,
        names: &names,
        facts: &facts,
        options,
        path: "",
        life: "'a",
    };
    let mut types = Text::default();
    view.items(&mut types);
    view.helpers(&mut types);
    let mut programs = Text::default();
    for program in &of.programs {
        programs.line("");
        view.program(program, &mut programs);
    }
    let mut all = Text::default();
    let file = of.files.first().and_then(|file| file.file_name());
    let file = file.map_or_else(|| "text".into(), |name| name.to_string_lossy());
    all.line(format!(
        "// Made from {file} by strait; changes here are lost when it is made again."
    ));
    if !of.programs.is_empty() || types.as_str().contains("onc::") {
        all.line("");
        all.line(match options.root.rsplit("::").next() {
            Some("onc") => format!("use {};", options.root),
            _ => format!("use {} as onc;", options.root),
        });
        traits(types.as_str(), &options.root, &mut all);
    }
    all.append(&types);
    all.append(&programs);
    Ok(all.into_string())
}

/// Imports the traits whose methods the code calls, without their names. Inside the implementation
/// of a trait its own methods are known without.
fn traits(code: &str, root: &str, to: &mut Text) {
    let (mut decodes, mut encodes) = (false, false);
    let mut inside = "";
    for line in code.lines() {
        if line.starts_with("impl onc::xdr::Encode for") {
            inside = "encode";
        } else if line.starts_with("impl<'a> onc::xdr::Decode<'a> for") {
            inside = "decode";
        } else if line == "}" {
            inside = "";
        }
        let decode = line.contains("::decode(from)") || line.contains("::decode)");
        decodes |= decode && inside != "decode";
        encodes |= line.contains(".encode(to)") && inside != "encode";
    }
    match (decodes, encodes) {
        (true, true) => to.line(format!("use {root}::xdr::{{Decode as _, Encode as _}};")),
        (true, false) => to.line(format!("use {root}::xdr::Decode as _;")),
        (false, true) => to.line(format!("use {root}::xdr::Encode as _;")),
        (false, false) => {}
    }
}

impl View<'_> {
    fn items(&self, to: &mut Text) {
        for each in &self.of.constants {
            to.line("");
            self.constant(each, to);
        }
        for (i, each) in self.of.types.iter().enumerate() {
            let id = TypeId(i);
            to.line("");
            match &each.body {
                Body::Alias(of) => self.alias(id, of, to),
                Body::Enum(all) => self.enumeration(id, all, to),
                Body::Struct(members) => self.structure(id, members, to),
                Body::Union(union) => self.union(id, union, to),
            }
        }
    }

    /// Functions that several types share, if there are such types.
    fn helpers(&self, to: &mut Text) {
        let result = self.std("Result");
        let programs = self
            .of
            .programs
            .iter()
            .flat_map(|program| &program.versions);
        let mut procedures = programs.flat_map(|version| &version.procedures);
        let small = procedures.any(|each| {
            let arguments = each.arguments.iter().map(|argument| &argument.of);
            arguments.chain([&each.result]).any(is_small)
        });
        if small || to.as_str().contains("small") {
            to.line("");
            to.doc("A `char` or `short`, which is sent as an `int`.");
            let tail = format!(" -> {result}<T, onc::xdr::Error> {{");
            let head = format!("fn small<T: {}<i32>>", self.std("TryFrom"));
            to.signature(
                &head,
                &["from: &mut onc::xdr::Reader<'_>".to_owned()],
                &tail,
            );
            to.line("let at = from.position();");
            to.line("let number = from.int()?;");
            to.open("T::try_from(number).map_err(|_| {");
            to.line("let what = onc::xdr::What::Range(number.into());");
            to.line("onc::xdr::Error { at, what }");
            to.close("})");
            to.close("}");
        }
        if to.as_str().contains("no_arm(") {
            to.line("");
            to.doc("A number that no arm of a union has, or not this one.");
            to.open("const fn no_arm(at: usize, number: i64) -> onc::xdr::Error {");
            to.line("let what = onc::xdr::What::Arm(number);");
            to.line("onc::xdr::Error { at, what }");
            to.close("}");
        }
    }
}

fn is_small(of: &Type) -> bool {
    match of {
        Type::Char | Type::UnsignedChar | Type::Short | Type::UnsignedShort => true,
        Type::Array(inner, _) | Type::Optional(inner) => is_small(inner),
        _ => false,
    }
}

/// Arrays of fixed length that no stack holds.
fn refuse_long(sources: &Sources, of: &Specification) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    let mut look = |what: &Type, at| {
        if let Type::Opaque(Length::Fixed(len)) | Type::Array(_, Length::Fixed(len)) = what
            && *len > FIXED_LEN_MAX
        {
            let message = format!("an array of always {len} is too long for a value in Rust");
            let help = format!("at most {FIXED_LEN_MAX}; `<{len}>` has a count in front");
            errors.push(Diagnostic::at(sources, at, message).with_help(help));
        }
    };
    for each in &of.types {
        match &each.body {
            Body::Alias(what) => look(what, each.at.span),
            Body::Enum(_) => {}
            Body::Struct(members) => {
                for member in members {
                    look(&member.of, member.at.span);
                }
            }
            Body::Union(union) => {
                let contents = union.arms.iter().map(|arm| &arm.content);
                for member in contents.chain(&union.default).flatten() {
                    look(&member.of, member.at.span);
                }
            }
        }
    }
    let versions = of.programs.iter().flat_map(|program| &program.versions);
    for procedure in versions.flat_map(|version| &version.procedures) {
        let arguments = procedure.arguments.iter().map(|argument| &argument.of);
        for what in arguments.chain([&procedure.result]) {
            look(what, procedure.at.span);
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Diagnostics::new(errors)),
    }
}
