//! Programs, versions, procedures: RFC 5531 section 12.2.

use super::super::syntax::{Item, Numbered, ProcedureSyntax};
use super::Parser;
use super::types::is_void;
use crate::diag::Diagnostic;

impl Parser<'_> {
    /// `program NAME { version … } = number;`
    pub(super) fn program(&mut self) -> Result<Item, Diagnostic> {
        let program = self.numbered("program", |parser| {
            if parser.word() != "version" {
                return Err(parser.expected("`version` or `}`"));
            }
            parser.numbered("version", Self::procedure)
        })?;
        Ok(Item::Program(program))
    }

    fn numbered<T>(
        &mut self,
        kind: &str,
        mut each: impl FnMut(&mut Self) -> Result<T, Diagnostic>,
    ) -> Result<Numbered<T>, Diagnostic> {
        self.at += 1;
        let name = self.name(&format!("the {kind}"))?;
        let open = self.here();
        self.sign(b'{')?;
        let mut inner = Vec::new();
        while !self.take_sign(b'}') {
            self.not_at_end(open)?;
            inner.push(each(self)?);
        }
        self.sign(b'=')?;
        let number = self.scalar(&format!("the number of the {kind}"))?;
        self.sign(b';')?;
        Ok(Numbered {
            name,
            number,
            inner,
        })
    }

    /// `RESULT NAME(ARGUMENT, …) = number;`
    fn procedure(&mut self) -> Result<ProcedureSyntax, Diagnostic> {
        let mut result = self.declaration()?;
        // The name of the procedure was read as that of a member: `string<64> NAME` has it apart.
        let name = match result.name.take() {
            Some(name) => name,
            None => self.name("the procedure")?,
        };
        let open = self.here();
        self.sign(b'(')?;
        let mut arguments = Vec::new();
        while !self.take_sign(b')') {
            self.not_at_end(open)?;
            if !arguments.is_empty() {
                self.sign(b',')?;
            }
            arguments.push(self.declaration()?);
        }
        if let [only] = arguments.as_slice()
            && is_void(only)
        {
            arguments.clear();
        }
        self.sign(b'=')?;
        let number = self.scalar("the number of the procedure")?;
        self.sign(b';')?;
        Ok(ProcedureSyntax {
            name,
            number,
            arguments,
            result,
        })
    }
}
