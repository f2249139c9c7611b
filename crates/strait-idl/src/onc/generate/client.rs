//! Clients: one method for each procedure.

use super::super::tree::{Procedure, Type, Version};
use super::codec::View;
use super::items::{self, errors};
use super::names::bare_snake;
use super::program::{name, number};
use super::text::{CHAIN_WIDTH, Text, short};

/// Arguments of a method before clippy speaks of them, `self` not counted.
const ARGUMENTS_MAX: usize = 6;

/// The words in which the two clients differ.
struct Kind {
    name: &'static str,
    bound: &'static str,
    default: &'static str,
    function: &'static str,
    wait: &'static str,
    /// Of a function that is given, and of what it gives.
    send: &'static str,
    bound_send: &'static str,
    doc: &'static str,
}

const BLOCKING: Kind = Kind {
    name: "Client",
    bound: "onc::Call",
    default: "onc::Client",
    function: "pub fn",
    wait: "",
    send: "",
    bound_send: "",
    doc: "Calls the program, and waits for each reply; many threads may call at once.",
};

const ASYNC: Kind = Kind {
    name: "AsyncClient",
    bound: "onc::AsyncCall",
    default: "onc::AsyncClient",
    function: "pub async fn",
    wait: ".await",
    send: " + Send",
    bound_send: ": Send",
    doc: "Calls the program; many tasks may call at once.",
};

impl View<'_> {
    pub(super) fn client(&self, version: &Version, to: &mut Text) {
        self.client_of(&BLOCKING, version, to);
    }

    pub(super) fn async_client(&self, version: &Version, to: &mut Text) {
        self.client_of(&ASYNC, version, to);
    }

    fn client_of(&self, kind: &Kind, version: &Version, to: &mut Text) {
        let name = kind.name;
        to.line("");
        to.doc(kind.doc);
        to.line("#[derive(Clone, Debug)]");
        to.line(format!("pub struct {name}<C = {}>(C);", kind.default));
        to.line("");
        to.open(format!("impl<C: {}> {name}<C> {{", kind.bound));
        to.doc("Calls over this connection.");
        to.open("pub const fn over(connection: C) -> Self {");
        to.line("Self(connection)");
        to.close("}");
        to.line("");
        to.doc("The same connection; each call through it may take so long.");
        to.line("#[must_use]");
        to.open("pub fn within(&self, limit: ::core::time::Duration) -> Self {");
        to.line("Self(self.0.within(limit))");
        to.close("}");
        for procedure in &version.procedures {
            to.line("");
            self.call(kind, procedure, to);
            if procedure.result == Type::Void && procedure.number != 0 {
                to.line("");
                self.oneway(kind, procedure, to);
            }
        }
        to.close("}");
    }

    fn call(&self, kind: &Kind, procedure: &Procedure, to: &mut Text) {
        self.head(procedure, to);
        if self.borrows(&procedure.result) {
            to.line("///");
            to.doc("`then` is given the result, which is lent from the reply.");
        }
        errors(
            "Where the call could not be made, or its answer is not success.",
            to,
        );
        let mut result = self.rust(&procedure.result, None);
        let mut head = format!("{} {}", kind.function, name(procedure));
        let mut arguments = self.caller_arguments(procedure);
        let lent = self.borrows(&procedure.result);
        if lent {
            // What is lent from the reply does not outlive it.
            let then = format!("then: impl FnOnce({result}) -> R{}", kind.send);
            arguments.push(then);
            head = format!("{head}<R{}>", kind.bound_send);
            result = "R".into();
        }
        let tail = format!(" -> Result<{result}, onc::Error> {{");
        to.signature(&head, &arguments, &tail);
        let number = format!("procedure({})", number(procedure));
        let write = self.write_arguments(procedure);
        let read = match procedure.result {
            Type::Void => Vec::new(),
            _ => {
                let value = self.decode(&procedure.result, None);
                let result = if lent {
                    "Ok(then(result))"
                } else {
                    "Ok(result)"
                };
                vec![format!("let result = {value};"), result.to_owned()]
            }
        };
        let calls = [number.as_str(), "|_| Ok(())", "|_| Ok(())"].join(", ");
        if write.is_empty() && read.is_empty() && short(&calls) {
            chain(&format!(".call({calls})"), kind, to);
        } else {
            let start = begin(".call(", kind, to);
            to.line(format!("{number},"));
            closure("to", &write, Some("Ok(())"), to);
            closure("from", &read, None, to);
            end(")", kind, start, to);
        }
        to.close("}");
    }

    fn oneway(&self, kind: &Kind, procedure: &Procedure, to: &mut Text) {
        self.head(procedure, to);
        to.line("///");
        to.doc("Sends the call and waits for no reply: whether it was done stays unknown.");
        errors("Where the call could not be sent.", to);
        let head = format!("{} {}_oneway", kind.function, bare_snake(&procedure.name));
        let tail = " -> Result<(), onc::Error> {";
        to.signature(&head, &self.caller_arguments(procedure), tail);
        let number = format!("procedure({})", number(procedure));
        let write = self.write_arguments(procedure);
        if write.is_empty() {
            chain(&format!(".call_oneway({number}, |_| Ok(()))"), kind, to);
        } else if !short(&format!("{number}, |to| {{")) {
            let start = begin(".call_oneway(", kind, to);
            to.line(format!("{number},"));
            closure("to", &write, Some("Ok(())"), to);
            end(")", kind, start, to);
        } else {
            let start = begin(&format!(".call_oneway({number}, |to| {{"), kind, to);
            to.lines(&write);
            to.line("Ok(())");
            end("})", kind, start, to);
        }
        to.close("}");
    }

    fn head(&self, procedure: &Procedure, to: &mut Text) {
        self.procedure_doc(procedure, to);
        if procedure.arguments.len() > ARGUMENTS_MAX {
            items::allow("too_many_arguments", "the file has so many", to);
        }
    }
}

/// `self.0` and one short call, on one line if rustfmt would have it there.
fn chain(call: &str, kind: &Kind, to: &mut Text) {
    let one = format!("self.0{call}{}", kind.wait);
    if one.len() <= CHAIN_WIDTH {
        to.line(one);
        return;
    }
    to.open("self.0");
    to.line(call);
    if !kind.wait.is_empty() {
        to.line(kind.wait);
    }
    to.dedent();
}

/// Opens a call of several lines; gives whether each link of the chain has a line of its own.
fn begin(call: &str, kind: &Kind, to: &mut Text) -> bool {
    let one = format!("self.0{call}");
    let chained = !kind.wait.is_empty() || one.len() > CHAIN_WIDTH;
    if chained {
        to.open("self.0");
        to.open(call);
    } else {
        to.open(one);
    }
    chained
}

fn end(close: &str, kind: &Kind, chained: bool, to: &mut Text) {
    to.close(close);
    if !kind.wait.is_empty() {
        to.line(kind.wait);
    }
    if chained {
        to.dedent();
    }
}

/// A closure as one of several arguments.
fn closure(parameter: &str, statements: &[String], last: Option<&str>, to: &mut Text) {
    if statements.is_empty() {
        to.line("|_| Ok(()),");
        return;
    }
    to.open(format!("|{parameter}| {{"));
    to.lines(statements);
    if let Some(last) = last {
        to.line(last);
    }
    to.close("},");
}
