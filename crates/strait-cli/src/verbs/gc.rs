//! `strait gc`: removes what killed processes left.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::value::counted;

/// Remove what killed processes left
///
/// Leftovers cost a few pages each and nothing else: their names are free. Works on the user's own
/// namespace and as far as permitted on the machine's, or on that of --ns alone. What a process has
/// open stays, and so does what is permanent; the files of pipes and ports that nobody serves go.
/// Frees seats, too: the places of threads that were
/// killed in the middle of a transaction.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut entries = Vec::new();
        for space in context.spaces()? {
            let collected = space.collect().map_err(Failure::of)?;
            let path = space.path().display().to_string();
            if !self.json {
                context.out.line(&format!(
                    "{path}: removed {} and {}, freed {}",
                    counted(collected.objects, "leftover"),
                    counted(collected.namespaces, "temporary namespace"),
                    counted(collected.seats, "seat")
                ))?;
            }
            entries.push(json!({
                "namespace": path,
                "objects": collected.objects,
                "namespaces": collected.namespaces,
                "seats": collected.seats,
            }));
        }
        if self.json {
            context.out.json(&json!({ "removed": entries }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
