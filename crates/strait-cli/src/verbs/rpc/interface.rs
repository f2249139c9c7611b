//! The `.x` file that a verb is given, and what is found in it.

use std::path::PathBuf;

use clap::Args;
use strait_idl::Diagnostics;
use strait_idl::onc::{Compiler, Procedure, Program, Specification, Version};

use super::host::wrong;
use crate::failure::Failure;

/// A file, and how it is read.
#[derive(Args, Debug)]
pub(super) struct Interface {
    /// The interface, a file of the RPC language
    #[arg(value_name = "FILE.x")]
    pub(super) file: PathBuf,
    /// Where included files are sought after the folder of the file; as often as wanted
    #[arg(short = 'I', value_name = "DIR")]
    include: Vec<PathBuf>,
    /// Define a name, as `#define` does; as often as wanted
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    define: Vec<String>,
}

impl Interface {
    pub(super) fn compiler(&self) -> Compiler {
        let mut compiler = Compiler::new();
        for folder in &self.include {
            compiler = compiler.include(folder);
        }
        for each in &self.define {
            // As of cc(1).
            let (name, value) = each.split_once('=').unwrap_or((each, "1"));
            compiler = compiler.define(name, value);
        }
        compiler
    }

    pub(super) fn read(&self) -> Result<Specification, Failure> {
        let tree = self.compiler().parse(&self.file);
        tree.map_err(|wrong| self.complain(&wrong))
    }

    /// What is wrong with the file, with its lines and carets.
    pub(super) fn complain(&self, wrong: &Diagnostics) -> Failure {
        let errors = match wrong.iter().count() {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        // As wide in the line as in the one with the carets.
        let told = wrong.to_string().replace('\t', "    ");
        Failure::new(format!("{}: {errors}\n{told}", self.file.display()))
    }
}

/// What is called.
#[derive(Copy, Clone, Debug)]
pub(super) struct Called<'t> {
    pub(super) program: &'t Program,
    pub(super) version: &'t Version,
    /// `None` for procedure 0, unless the file has it.
    pub(super) procedure: Option<&'t Procedure>,
}

/// What words say of it.
#[derive(Debug)]
pub(super) struct Words<'w> {
    pub(super) program: Option<&'w str>,
    pub(super) version: Option<&'w str>,
    /// `None`: procedure 0.
    pub(super) procedure: Option<&'w str>,
}

impl Words<'_> {
    /// Finds it: of several versions that have the procedure the highest, of several programs none.
    pub(super) fn find<'t>(&self, tree: &'t Specification) -> Result<Called<'t>, Failure> {
        let mut found: Vec<Called<'t>> = Vec::new();
        let is = |word: Option<&str>, name: &str, number: u32| {
            word.is_none_or(|word| word == name || self::number(word) == Some(number))
        };
        for program in &tree.programs {
            if !is(self.program, &program.name, program.number) {
                continue;
            }
            let versions = program.versions.iter();
            let versions = versions.filter(|each| is(self.version, &each.name, each.number));
            let here = versions.filter_map(|version| {
                let procedures = &version.procedures;
                let word = self.procedure.unwrap_or("0");
                let procedure = procedures
                    .iter()
                    .find(|each| is(Some(word), &each.name, each.number));
                let is_null = number(word) == Some(0);
                (procedure.is_some() || is_null).then_some(Called {
                    program,
                    version,
                    procedure,
                })
            });
            found.extend(here.max_by_key(|called| called.version.number));
        }
        match found.as_slice() {
            [called] => Ok(*called),
            [] => Err(wrong(self.missing(tree))),
            several => {
                let programs = several.iter().map(|each| &*each.program.name);
                Err(wrong(format!(
                    "which program? Say --program with one of {}",
                    programs.collect::<Vec<_>>().join(", ")
                )))
            }
        }
    }

    fn missing(&self, tree: &Specification) -> String {
        let wanted = [
            ("program", self.program),
            ("version", self.version),
            ("procedure", self.procedure),
        ];
        let wanted = wanted.iter().filter_map(|(what, word)| {
            let word = (*word)?;
            Some(format!("{what} {word}"))
        });
        let wanted = wanted.collect::<Vec<_>>().join(", ");
        let there = tree.programs.iter().flat_map(|program| {
            program.versions.iter().map(|version| {
                let names = version.procedures.iter().map(|each| &*each.name);
                let names = names.collect::<Vec<_>>().join(", ");
                format!("{} version {}: {names}", program.name, version.number)
            })
        });
        let there = there.collect::<Vec<_>>();
        match there.as_slice() {
            [] => "the file defines no program".into(),
            there => format!("the file has no {wanted}; it has\n{}", there.join("\n")),
        }
    }
}

/// A number as the file may write it.
fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
