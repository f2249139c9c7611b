//! Servers: a trait with a method for each procedure, and what calls it.

use super::super::tree::{Procedure, Type, Version};
use super::codec::{Place, View};
use super::items;
use super::program::{name, number};
use super::text::{CHAIN_WIDTH, Text};

/// Arguments of a method before clippy speaks of them, `self` and the call not counted.
const ARGUMENTS_MAX: usize = 5;

/// So much rustfmt wants free behind a future that has several bounds, to leave it on one line.
const FUTURE_MORE: usize = 8;

/// Does nothing, takes nothing, gives nothing, and is in every program: RFC 5531 section 12.
fn is_null(procedure: &Procedure) -> bool {
    procedure.number == 0 && procedure.arguments.is_empty() && procedure.result == Type::Void
}

impl View<'_> {
    pub(super) fn service(&self, version: &Version, to: &mut Text) {
        to.line("");
        to.doc("What a server of the program does. Write the methods as `async fn`.");
        let procedures: Vec<&Procedure> = version
            .procedures
            .iter()
            .filter(|each| !is_null(each))
            .collect();
        if procedures.is_empty() {
            to.line("pub trait Service: Send + Sync + 'static {}");
            return;
        }
        to.open("pub trait Service: Send + Sync + 'static {");
        for (i, procedure) in procedures.iter().enumerate() {
            if i > 0 {
                to.line("");
            }
            self.procedure_doc(procedure, to);
            let own = ["&self".to_owned(), "call: &onc::Context".to_owned()];
            let parameters = self.parameters(procedure);
            let rest = parameters
                .iter()
                .map(|each| format!("{}: {}", each.name, self.rust(each.of, None)));
            let arguments: Vec<String> = own.into_iter().chain(rest).collect();
            let result = self.living("'static").rust(&procedure.result, None);
            let output = format!("Output = Result<{result}, onc::Refusal>");
            let is_lent = self.is_lent(procedure);
            let bounds = if is_lent {
                to.line("///");
                to.doc(
                    "The arguments are lent from the call for as long as this runs: the future \
                     is to own what it needs of them.",
                );
                "Send + use<Self>"
            } else {
                "Send"
            };
            let one = format!(" -> impl Future<{output}> + {bounds};");
            let future = format!(" -> impl Future<{output}>");
            let mut several = match to.fits(future.len() + FUTURE_MORE) && is_lent {
                true => vec![future, "+ Send".into()],
                false => vec![
                    " -> impl Future<".into(),
                    format!("    {output},"),
                    "> + Send".into(),
                ],
            };
            match several.last_mut() {
                Some(last) if !is_lent => last.push(';'),
                _ => several.push("+ use<Self>;".into()),
            }
            if procedure.arguments.len() > ARGUMENTS_MAX {
                items::allow("too_many_arguments", "the file has so many", to);
            }
            to.promise(
                &format!("fn {}", name(procedure)),
                &arguments,
                &one,
                &several,
            );
        }
        to.close("}");
    }

    /// Whether an argument is lent from the call.
    fn is_lent(&self, procedure: &Procedure) -> bool {
        let mut arguments = procedure.arguments.iter();
        arguments.any(|argument| self.borrows(&argument.of))
    }

    pub(super) fn dispatcher(&self, version: &Version, to: &mut Text) {
        to.line("");
        to.doc("Serves the calls of this version by a [`Service`].");
        to.line("#[derive(Debug)]");
        to.line("pub struct Dispatcher<S>(pub S);");
        to.line("");
        to.open("impl<S: Service> onc::Program for Dispatcher<S> {");
        to.open("fn program(&self) -> u32 {");
        to.line("super::PROGRAM");
        to.close("}");
        to.line("");
        to.open("fn version(&self) -> u32 {");
        to.line("VERSION");
        to.close("}");
        to.line("");
        let arguments = [
            "self: ::std::sync::Arc<Self>".to_owned(),
            "context: onc::Context".to_owned(),
            "procedure: u32".to_owned(),
            "args: &[u8]".to_owned(),
            "reply: Vec<u8>".to_owned(),
        ];
        let tail = " -> Result<onc::Answer, onc::Refusal> {";
        items::allow("too_many_lines", "an arm for each procedure", to);
        to.signature("fn dispatch", &arguments, tail);
        to.open("match procedure {");
        if version.procedures.iter().all(|each| each.number != 0) {
            null("0", to);
        }
        for procedure in &version.procedures {
            if is_null(procedure) {
                null(&number(procedure), to);
            } else {
                self.arm(procedure, to);
            }
        }
        to.line("_ => Err(onc::Refusal::ProcedureUnavailable),");
        to.close("}");
        to.close("}");
        to.close("}");
    }

    fn arm(&self, procedure: &Procedure, to: &mut Text) {
        to.open(format!("{} => {{", number(procedure)));
        let parameters = self.parameters(procedure);
        let names: Vec<&str> = parameters.iter().map(|each| each.name.as_str()).collect();
        if names.is_empty() {
            to.line("onc::arguments(&context, args, |_| Ok(()))?;");
        } else {
            let all = match names.as_slice() {
                [one] => (*one).to_owned(),
                several => format!("({})", several.join(", ")),
            };
            let call = "onc::arguments(&context, args, |from| {";
            let long = !to.fits(format!("let {all} = {call}").len());
            if long {
                to.open(format!("let {all} ="));
                to.open(call);
            } else {
                to.open(format!("let {all} = {call}"));
            }
            for parameter in &parameters {
                let value = self.decode(parameter.of, None);
                to.line(format!("let {} = {value};", parameter.name));
            }
            to.line(format!("Ok({all})"));
            to.close("})?;");
            if long {
                to.dedent();
            }
        }
        let arguments: Vec<&str> = ["&context"].into_iter().chain(names).collect();
        let call = format!(".{}({})", name(procedure), arguments.join(", "));
        let begun = self.is_lent(procedure);
        if begun {
            begin(&call, to);
        }
        to.open("Ok(Box::pin(async move {");
        if begun {
            match procedure.result {
                Type::Void => to.line("answer.await?;"),
                _ => to.line("let result = answer.await?;"),
            }
        } else if procedure.result == Type::Void {
            wait("", &call, to);
        } else {
            wait("let result = ", &call, to);
        }
        if procedure.result == Type::Void {
            to.line("Ok(reply)");
        } else {
            to.open("onc::results(reply, |to| {");
            to.lines(&self.encode(&procedure.result, &Place::value("result"), None));
            to.line("Ok(())");
            to.close("})");
        }
        to.close("}))");
        to.close("}");
    }
}

/// The call of the service, whose future is awaited later.
fn begin(call: &str, to: &mut Text) {
    let one = format!("self.0{call}");
    let line = format!("let answer = {one};");
    if one.len() <= CHAIN_WIDTH && to.fits(line.len()) {
        to.line(line);
    } else {
        to.open("let answer = self");
        to.line(".0");
        to.line(format!("{call};"));
        to.dedent();
    }
}

/// The call of the service, on as many lines as rustfmt would give it.
fn wait(start: &str, call: &str, to: &mut Text) {
    let one = format!("self.0{call}.await?;");
    if one.len() > CHAIN_WIDTH + 1 {
        // rustfmt parts `self` from its field where something stands before it.
        if start.is_empty() {
            to.open("self.0");
        } else {
            to.open(format!("{start}self"));
            to.line(".0");
        }
        to.line(call);
        to.line(".await?;");
        to.dedent();
    } else if to.fits(start.len() + one.len() + 1) {
        to.line(format!("{start}{one}"));
    } else {
        to.open(start.trim_end());
        to.line(one);
        to.dedent();
    }
}

/// The procedure that every program has.
fn null(number: &str, to: &mut Text) {
    to.open(format!("{number} => {{"));
    to.line("onc::arguments(&context, args, |_| Ok(()))?;");
    to.line("Ok(Box::pin(async { Ok(reply) }))");
    to.close("}");
}
