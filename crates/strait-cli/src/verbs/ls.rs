//! `strait ls`: every object, its state, and who holds it.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use strait::inspect::{self, Depth, View};
use strait::{Kind, Namespace};

use crate::context::Context;
use crate::failure::Failure;
use crate::seen;

/// List objects: kind, name, state, and the processes that have them open
///
/// Lists the user's own namespace and the machine's, or that of --ns alone. Unnamed objects are
/// found through the processes that have them open. Looking changes nothing, and keeps nothing
/// alive.
#[derive(Args, Debug)]
#[command(after_help = "What stands in a namespace and is no object is listed with the kind `?`.")]
pub(crate) struct Arguments {
    /// Only this kind
    #[arg(value_parser = kind)]
    kind: Option<Kind>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.word() == text);
    found.ok_or_else(|| {
        let words: Vec<_> = Kind::ALL.into_iter().map(Kind::word).collect();
        format!("there are: {}", words.join(", "))
    })
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let spaces = context.spaces()?;
        let mut view = inspect::look(&spaces, Depth::Holders).map_err(Failure::of)?;
        let own = context.ns.is_some();
        view.objects.retain(|seen| {
            let asked = self.kind.is_none_or(|kind| seen.kind == kind);
            // Unnamed objects of other namespaces are not of this directory.
            asked && (!own || seen.namespace.is_some())
        });
        view.strangers.retain(|stranger| {
            let asked = self.kind.is_none();
            asked && (!own || !stranger.path.starts_with("/proc"))
        });
        if self.json {
            return json(context, &view, &spaces);
        }
        let mut rows = vec![
            ["KIND", "NAME", "STATE", "HOLDERS"]
                .map(str::to_owned)
                .into(),
        ];
        for seen in &view.objects {
            rows.push(vec![
                seen.kind.to_string(),
                seen::short_name(seen, &spaces),
                seen.state.to_string(),
                seen::holders(seen, &view.sight),
            ]);
        }
        for stranger in &view.strangers {
            let own = spaces.first().map(Namespace::path);
            let file = own.and_then(|own| stranger.path.strip_prefix(own).ok());
            let file = file.unwrap_or(&stranger.path).display().to_string();
            rows.push(vec![
                "?".into(),
                file.escape_debug().to_string(),
                stranger.why.clone(),
            ]);
        }
        context.out.table(&rows)?;
        if let Some(why) = &view.sight.blind {
            context.note(&format!("holders are unknown: {why}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(context: &mut Context, view: &View, spaces: &[Namespace]) -> Result<ExitCode, Failure> {
    let objects: Vec<_> = view
        .objects
        .iter()
        .map(|seen| seen::json(seen, spaces))
        .collect();
    let strangers = view
        .strangers
        .iter()
        .map(|stranger| json!({ "path": stranger.path.to_string_lossy(), "why": stranger.why }));
    context.out.json(&json!({
        "objects": objects,
        "not_objects": strangers.collect::<Vec<_>>(),
        "sight": seen::sight(&view.sight),
    }))?;
    Ok(ExitCode::SUCCESS)
}
