//! `Encode` and `Decode` of a type; of a list's node, what reads and writes the list.

use super::super::tree::TypeId;
use super::codec::View;
use super::items::errors;
use super::text::Text;

const WRITER: &str = "&mut onc::xdr::Writer<'_>";
const READER: &str = "&mut onc::xdr::Reader<'_>";
/// Of what is lent from what it is read from.
const LENDER: &str = "&mut onc::xdr::Reader<'a>";

/// What the functions of one type need.
struct Parts<'p> {
    result: &'p str,
    encode: &'p [String],
    decode: Text,
}

impl Parts<'_> {
    fn write(&self, head: &str, to: &mut Text) {
        let name = if self.encode.is_empty() { "_" } else { "to" };
        let result = self.result;
        let tail = format!(" -> {result}<(), onc::xdr::Error> {{");
        let arguments = ["&self".to_owned(), format!("{name}: {WRITER}")];
        to.signature(head, &arguments, &tail);
        to.lines(self.encode);
        to.line("Ok(())");
        to.close("}");
    }

    fn read(&self, head: &str, reader: &str, to: &mut Text) {
        let used = self.decode.as_str().contains("from");
        let name = if used { "from" } else { "_" };
        let tail = format!(" -> {}<Self, onc::xdr::Error> {{", self.result);
        to.signature(head, &[format!("{name}: {reader}")], &tail);
        to.append(&self.decode);
        to.close("}");
    }
}

impl View<'_> {
    pub(super) fn codecs(
        &self,
        id: TypeId,
        encode: &[String],
        to: &mut Text,
        decode: impl FnOnce(&mut Text),
    ) {
        let borrows = self.facts.borrows[id.0];
        let (own, reader) = match borrows {
            true => (format!("<'a> {}", self.full(id)), LENDER),
            false => (format!(" {}", self.name(id)), READER),
        };
        let result = self.std("Result");
        let mut inner = Text::at(2);
        decode(&mut inner);
        let parts = Parts {
            result,
            encode,
            decode: inner,
        };
        let (list, recursive) = (self.facts.list[id.0], self.facts.recursive[id.0]);
        if list || recursive {
            to.open(format!("impl{own} {{"));
            parts.write("fn encode_members", to);
            to.line("");
            parts.read("fn decode_members", reader, to);
            if list {
                self.list(id, recursive, to);
            }
            to.close("}");
            if list {
                return;
            }
            to.line("");
        }
        let name = self.living("'_").full(id);
        to.open(format!("impl onc::xdr::Encode for {name} {{"));
        if recursive {
            let tail = format!(" -> {result}<(), onc::xdr::Error> {{");
            let arguments = ["&self".to_owned(), format!("to: {WRITER}")];
            to.signature("fn encode", &arguments, &tail);
            to.line("to.nested(|to| self.encode_members(to))");
            to.close("}");
        } else {
            parts.write("fn encode", to);
        }
        to.close("}");
        to.line("");
        let name = self.full(id);
        to.open(format!("impl<'a> onc::xdr::Decode<'a> for {name} {{"));
        if recursive {
            let tail = format!(" -> {result}<Self, onc::xdr::Error> {{");
            to.signature("fn decode", &[format!("from: {LENDER}")], &tail);
            to.line("from.nested(Self::decode_members)");
            to.close("}");
        } else {
            parts.read("fn decode", LENDER, to);
        }
        to.close("}");
    }

    /// A linked list is read and written in a loop: it may be long.
    fn list(&self, id: TypeId, recursive: bool, to: &mut Text) {
        let (result, vec) = (self.std("Result"), self.std("Vec"));
        let reader = match self.facts.borrows[id.0] {
            true => LENDER,
            false => READER,
        };
        let (writer, reader) = (format!("to: {WRITER}"), format!("from: {reader}"));
        to.line("");
        to.doc("Writes a list: a flag before each node, and one at the end.");
        errors("Where a node breaks a bound.", to);
        let written = format!(" -> {result}<(), onc::xdr::Error> {{");
        let arguments = ["list: &[Self]".to_owned(), writer.clone()];
        to.signature("pub fn encode_list", &arguments, &written);
        let write = "to.list(list, |to, node| node.encode_members(to))";
        to.line(match recursive {
            true => format!("to.nested(|to| {write})"),
            false => write.to_owned(),
        });
        to.close("}");
        to.line("");
        to.doc("Reads a list to its end.");
        errors("Where the bytes are no such list.", to);
        let tail = format!(" -> {result}<{vec}<Self>, onc::xdr::Error> {{");
        to.signature("pub fn decode_list", std::slice::from_ref(&reader), &tail);
        to.line(match recursive {
            true => "from.nested(|from| from.list(Self::decode_members))",
            false => "from.list(Self::decode_members)",
        });
        to.close("}");
        if !self.facts.chained[id.0] {
            return;
        }
        to.line("");
        to.doc("Writes the first node, which is always there, and the list of the rest.");
        errors("Where a node breaks a bound.", to);
        let arguments = [format!("chain: &(Self, {vec}<Self>)"), writer];
        to.signature("pub fn encode_chain", &arguments, &written);
        to.line("chain.0.encode_members(to)?;");
        to.line("Self::encode_list(&chain.1, to)");
        to.close("}");
        to.line("");
        to.doc("Reads the first node, which is always there, and the list of the rest.");
        errors("Where the bytes are no such list.", to);
        let tail = format!(" -> {result}<(Self, {vec}<Self>), onc::xdr::Error> {{");
        to.signature("pub fn decode_chain", &[reader], &tail);
        to.line("let first = Self::decode_members(from)?;");
        to.line("Ok((first, Self::decode_list(from)?))");
        to.close("}");
    }
}
