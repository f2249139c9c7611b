//! `strait man`: man pages, from the same table as the help.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::Cli;

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
                .map_err(|error| Failure::new(format!("make {}: {error}", dir.display())))?;
            write_all(&root, "strait", dir)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut command = &root;
        let mut name = "strait".to_owned();
        for word in &self.verb {
            command = command.find_subcommand(word).ok_or_else(|| {
                let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
                Failure::new(format!("no verb {word}; there are: {}", known.join(", ")))
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
    Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut text)
        .map_err(|error| Failure::new(format!("make the page of {name}: {error}")))?;
    Ok(text)
}

fn write_all(command: &Command, name: &str, dir: &Path) -> Result<(), Failure> {
    let file = dir.join(format!("{name}.1"));
    std::fs::write(&file, page(command, name)?)
        .map_err(|error| Failure::new(format!("write {}: {error}", file.display())))?;
    for below in command.get_subcommands() {
        write_all(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(())
}
