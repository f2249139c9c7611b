//! `strait ls`: every object, its state, and who holds it.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use strait::inspect::{self, Depth, Life, ServiceKind, View};
use strait::unix::mqueue as posix;
use strait::unix::msg::Queue;
use strait::unix::sem::Set;
use strait::unix::shm::Segment;
use strait::{Kind, Namespace};

use crate::context::Context;
use crate::failure::Failure;
use crate::seen;
use crate::unix::system_v::{self, Facts, Object};
use crate::unix::{mqueue, text};

/// List objects: kind, name, state, and the processes that have them open
///
/// Lists the user's own namespace and the machine's, or that of --ns alone. Unnamed objects are
/// found through the processes that have them open. NT pipes and LPC ports follow, with who serves
/// them, and then the System V objects and POSIX queues of this IPC namespace, unless --ns is
/// given. Looking changes nothing, and keeps nothing alive.
#[derive(Args, Debug)]
#[command(
    after_help = "Kinds: event, eventpair, mutant, semaphore, section, timer; pipe, port; msg, \
                  sem, shm, mqueue.\n\
                  What stands in a namespace and is no object is listed with the kind `?`.\n\
                  No list has all FIFOs and sockets: `find DIR -type p`, `strait socket list`."
)]
pub(crate) struct Arguments {
    /// Only this kind
    #[arg(value_parser = asked)]
    kind: Option<Asked>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Which kind was asked for.
#[derive(Copy, Clone, Debug)]
enum Asked {
    Object(Kind),
    Service(ServiceKind),
    Kept(Kept),
}

/// What the kernel keeps, where no namespace has it.
#[derive(Copy, Clone, Debug)]
enum Kept {
    Msg,
    Sem,
    Shm,
    Mqueue,
}

const KEPT: [(Kept, &str); 4] = [
    (Kept::Msg, Queue::WORD),
    (Kept::Sem, Set::WORD),
    (Kept::Shm, Segment::WORD),
    (Kept::Mqueue, "mqueue"),
];

fn asked(text: &str) -> Result<Asked, String> {
    let objects = Kind::ALL.map(|kind| (Asked::Object(kind), kind.word()));
    let services = [ServiceKind::Pipe, ServiceKind::Port];
    let services = services.map(|kind| (Asked::Service(kind), kind.word()));
    let kept = KEPT.map(|(kept, word)| (Asked::Kept(kept), word));
    let mut all = objects.into_iter().chain(services).chain(kept);
    all.clone()
        .find_map(|(asked, word)| (word == text).then_some(asked))
        .ok_or_else(|| {
            let words: Vec<_> = all.by_ref().map(|(_, word)| word).collect();
            format!("there are: {}", words.join(", "))
        })
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let kept = match self.kind {
            Some(Asked::Kept(kind)) => kept(kind).map_err(Failure::of)?,
            // They are of no directory.
            None if context.ns.is_none() => everything_kept(),
            _ => Vec::new(),
        };
        match self.kind {
            Some(Asked::Kept(_)) if self.json => {
                let values = kept.iter().map(|row| &row.json);
                context
                    .out
                    .json(&json!({ "ipc": values.collect::<Vec<_>>() }))?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(Asked::Kept(_)) => {
                context.out.table(&table(&kept))?;
                return Ok(ExitCode::SUCCESS);
            }
            _ => {}
        }
        self.objects(context, &kept)
    }

    /// Lists the objects of namespaces, and then what the kernel keeps.
    fn objects(&self, context: &mut Context, kept: &[Row]) -> Result<ExitCode, Failure> {
        let spaces = context.spaces()?;
        let mut view = inspect::look(&spaces, Depth::Holders).map_err(Failure::of)?;
        let own = context.ns.is_some();
        view.objects.retain(|seen| {
            let asked = match self.kind {
                Some(Asked::Object(kind)) => seen.kind == kind,
                asked => asked.is_none(),
            };
            // Unnamed objects of other namespaces are not of this directory.
            asked && (!own || seen.namespace.is_some())
        });
        view.services.retain(|service| match self.kind {
            Some(Asked::Service(kind)) => service.kind == kind,
            asked => asked.is_none(),
        });
        view.strangers.retain(|stranger| {
            let asked = self.kind.is_none();
            asked && (!own || !stranger.path.starts_with("/proc"))
        });
        if self.json {
            return json(context, &view, &spaces, kept);
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
        for service in &view.services {
            let state = match service.life {
                Life::Held => "served",
                _ => "leftover",
            };
            rows.push(vec![
                service.kind.to_string(),
                seen::service_name(service),
                state.into(),
                seen::servers(service, &view.sight),
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
        if !kept.is_empty() {
            context.out.line("")?;
            context.out.table(&table(kept))?;
        }
        if let Some(why) = &view.sight.blind {
            context.note(&format!("holders are unknown: {why}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(
    context: &mut Context,
    view: &View,
    spaces: &[Namespace],
    kept: &[Row],
) -> Result<ExitCode, Failure> {
    let objects: Vec<_> = view
        .objects
        .iter()
        .map(|seen| seen::json(seen, spaces))
        .collect();
    let strangers = view
        .strangers
        .iter()
        .map(|stranger| json!({ "path": stranger.path.to_string_lossy(), "why": stranger.why }));
    let services = view.services.iter();
    let services = services.map(|service| seen::service_json(service, spaces));
    context.out.json(&json!({
        "objects": objects,
        "services": services.collect::<Vec<_>>(),
        "not_objects": strangers.collect::<Vec<_>>(),
        "ipc": kept.iter().map(|row| &row.json).collect::<Vec<_>>(),
        "sight": seen::sight(&view.sight),
    }))?;
    Ok(ExitCode::SUCCESS)
}

// ---- what the kernel keeps -----------------------------------------------------------------

/// A System V object or a POSIX queue.
struct Row {
    cells: Vec<String>,
    json: Value,
}

fn table(kept: &[Row]) -> Vec<Vec<String>> {
    let mut rows = vec![system_v::heads(&["KIND", "NAME", "ID", "ACCESS", "STATE"])];
    rows.extend(kept.iter().map(|row| row.cells.clone()));
    rows
}

/// All there is, but for kinds that this kernel does not have, or does not list.
fn everything_kept() -> Vec<Row> {
    let lists = KEPT.iter().filter_map(|(kind, _)| kept(*kind).ok());
    lists.flatten().collect()
}

fn kept(kind: Kept) -> strait::Result<Vec<Row>> {
    match kind {
        Kept::Msg => of_system_v::<Queue>(),
        Kept::Sem => of_system_v::<Set>(),
        Kept::Shm => of_system_v::<Segment>(),
        Kept::Mqueue => Ok(posix::list()?.iter().map(|name| of_posix(name)).collect()),
    }
}

fn of_system_v<T: Object>() -> strait::Result<Vec<Row>> {
    let rows = T::list()?.into_iter().map(|stat| {
        let (key, id, permissions) = stat.common();
        let access = system_v::access(permissions);
        let cells = [T::WORD.into(), key.to_string(), id.to_string(), access];
        let mut json = system_v::json_of(&stat);
        json["kind"] = T::WORD.into();
        Row {
            cells: [&cells[..], &[stat.state()]].concat(),
            json,
        }
    });
    Ok(rows.collect())
}

fn of_posix(name: &str) -> Row {
    // Anybody chose it, and it may speak the terminal's language.
    let shown = text::escaped(name.as_bytes(), true);
    let cells =
        |access: String, state: String| vec!["mqueue".into(), shown, "-".into(), access, state];
    let looked = mqueue::look(name).and_then(|queue| queue.stat().map_err(Failure::of));
    match looked {
        Ok(stat) => {
            let access = format!("uid {}, gid {}, mode {:04o}", stat.uid, stat.gid, stat.mode);
            let state = format!("{} of {} messages", stat.messages, stat.messages_max);
            let mut json = mqueue::json_of(&stat);
            json["kind"] = "mqueue".into();
            json["name"] = name.into();
            let cells = cells(access, state);
            Row { cells, json }
        }
        Err(_) => Row {
            cells: cells("-".into(), "not for this user to look at".into()),
            json: json!({ "kind": "mqueue", "name": name }),
        },
    }
}
