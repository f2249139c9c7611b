//! `strait man`: man pages, from the same table as the help.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::{Cli, EXIT, EXIT_OF_WAITS};

/// Print a man page
#[derive(Args, Debug)]
#[command(after_help = "Example: strait man wait | man -l -")]
pub(crate) struct Arguments {
    /// The verb, such as `event create`; the program itself if not given
    verb: Vec<String>,
    /// Write all pages into this directory instead, which is made if it is not there
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut root = Cli::command();
        root.build();
        if let Some(dir) = &self.dir {
            std::fs::create_dir_all(dir)
                .map_err(|error| Failure::io(format!("make {}", dir.display()), &error))?;
            write_all(&root, "strait", dir)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut command = &root;
        let mut name = "strait".to_owned();
        for word in &self.verb {
            command = command.find_subcommand(word).ok_or_else(|| {
                let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
                Failure::new(match &*known {
                    [] => format!("{name} has no verbs, and so no {word}"),
                    _ => format!("no verb {word}; there are: {}", known.join(", ")),
                })
            })?;
            name = format!("{name}-{}", command.get_name());
        }
        let page = page(command, &name)?;
        context.out.bytes(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn page(command: &Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let written = write(command, name, &mut text);
    written.map_err(|error| Failure::io(format!("make the page of {name}"), &error))?;
    Ok(text)
}

fn write(command: &Command, name: &str, to: &mut Vec<u8>) -> std::io::Result<()> {
    // What stands after the options gets sections of its own.
    Man::new(command.clone().after_help(Resettable::Reset))
        .title(name.to_uppercase())
        .source(concat!("strait ", env!("CARGO_PKG_VERSION")))
        .render(to)?;
    let help = Help::of(command);
    for (title, lines) in [("NOTES", help.notes), ("EXIT STATUS", help.exit)] {
        section(title, &lines, ".PP", to)?;
    }
    section("EXAMPLES", &help.examples, ".br", to)
}

/// What stands after the options in the help of a verb.
struct Help {
    notes: Vec<String>,
    exit: Vec<String>,
    examples: Vec<String>,
}

impl Help {
    /// Of a group of verbs the examples are theirs.
    fn of(command: &Command) -> Self {
        let mut help = Self {
            notes: Vec::new(),
            exit: Vec::new(),
            examples: Vec::new(),
        };
        let text = command.get_after_help().map(ToString::to_string);
        for line in text.unwrap_or_default().lines() {
            if let Some(exit) = line.strip_prefix("Exit status: ") {
                help.exit.push(exit.to_owned());
            } else if let Some(example) = line.strip_prefix("Example: ") {
                help.examples.push(example.to_owned());
            } else {
                help.notes.push(line.to_owned());
            }
        }
        let below = command.get_subcommands();
        let below = below.flat_map(|verb| Self::of(verb).examples);
        help.examples.extend(below);
        if help.exit.is_empty() {
            let waits = command.has_subcommands().then_some(EXIT_OF_WAITS);
            let exit = [Some(EXIT), waits].into_iter().flatten();
            help.exit.push(exit.collect::<Vec<_>>().join(" "));
        }
        help
    }
}

/// Writes a section in the language of man pages, with `between` before each line.
fn section(title: &str, lines: &[String], between: &str, to: &mut Vec<u8>) -> std::io::Result<()> {
    if !lines.is_empty() {
        writeln!(to, ".SH \"{title}\"")?;
    }
    for line in lines {
        let plain = line.replace('\\', "\\e").replace('-', "\\-");
        let plain = plain.replace('\'', "\\(aq").replace('`', "\\(ga");
        // A line that begins with a point would be a command.
        writeln!(to, "{between}\n\\&{plain}")?;
    }
    Ok(())
}

fn write_all(command: &Command, name: &str, dir: &Path) -> Result<(), Failure> {
    let file = dir.join(format!("{name}.1"));
    std::fs::write(&file, page(command, name)?)
        .map_err(|error| Failure::io(format!("write {}", file.display()), &error))?;
    for below in command.get_subcommands() {
        write_all(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(())
}
