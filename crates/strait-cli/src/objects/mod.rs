//! The verbs of the objects: one file per kind, and here what they share.

pub(crate) mod bytes;
pub(crate) mod event;
pub(crate) mod event_pair;
pub(crate) mod mutant;
pub(crate) mod pipe;
pub(crate) mod port;
pub(crate) mod section;
pub(crate) mod semaphore;
pub(crate) mod timer;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use strait::inspect::{self, Depth, Life};
use strait::nt::{
    Event, EventOptions, EventPair, EventPairOptions, Mutant, MutantOptions, Section,
    SectionOptions, Semaphore, SemaphoreOptions, Timer, TimerOptions,
};
use strait::wait::{self, Waitable};
use strait::{Birth, Kind, Namespace, Rights, Security};

use crate::child::{self, Hold};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT, with_article};
use crate::{seen, value};

/// How an object is born, whatever its kind.
#[derive(Args, Debug)]
pub(crate) struct Born {
    /// Permission bits in octal: read to look, write for everything
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// The group of the object, by name or number
    #[arg(long, value_parser = value::group)]
    group: Option<u32>,
    /// If one of this kind exists, leave it as it is and succeed
    #[arg(long)]
    or_open: bool,
    /// Not permanent: keep it while this command runs (all that follows is the command), and end
    /// with its status
    #[arg(
        long = "while",
        num_args = 1..,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// A name.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// Its name
    pub(crate) name: String,
}

/// Names.
#[derive(Args, Debug)]
pub(crate) struct Names {
    /// What to remove
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// A look at one object.
#[derive(Args, Debug)]
pub(crate) struct Query {
    /// Its name
    name: String,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// A wait for one object.
#[derive(Args, Debug)]
pub(crate) struct Waited {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How long to wait.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct Limit {
    /// Give up after this time, such as 250ms, 5s or 1m30s; a bare number is seconds, and 0 does
    /// not wait
    #[arg(long, value_name = "TIME", value_parser = value::duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
}

impl Limit {
    /// From now on: what is left of the time whenever it is asked for. `None`: it has no end.
    pub(crate) fn begin(self) -> impl Fn() -> Option<Duration> {
        let begin = Instant::now();
        move || Some(self.timeout?.saturating_sub(begin.elapsed()))
    }
}

/// What taking an event or a timer does to it.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct Resets {
    /// Once set it stays so for everybody, until it is reset
    #[arg(long)]
    manual: bool,
    /// One waiter goes on each time it is set, and resets it (the default)
    #[arg(long, conflicts_with = "manual")]
    auto: bool,
}

impl Resets {
    pub(crate) fn reset(self) -> strait::Reset {
        match self.manual {
            true => strait::Reset::Manual,
            false => strait::Reset::Auto,
        }
    }
}

/// A half of an event pair.
#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Side {
    /// The low event
    Low,
    /// The high event
    High,
}

/// What the options of every kind can do.
pub(crate) trait Options: Sized {
    type Object: Object;
    const KIND: Kind;

    fn place(self, space: &Namespace, name: &str) -> Self;
    fn secure(self, security: Security) -> Self;
    fn stay(self) -> Self;
    fn look(self) -> Self;
    fn make(self) -> strait::Result<Self::Object>;
    fn make_or_open(self) -> strait::Result<(Self::Object, Birth)>;
    fn find(self) -> strait::Result<Self::Object>;
}

/// What handles of every kind can do.
pub(crate) trait Object {
    fn stay(&self) -> strait::Result<()>;
    fn go(&self) -> strait::Result<()>;
}

macro_rules! kinds {
    ($($kind:ident, $options:ident;)*) => {
        $(impl Options for $options {
            type Object = $kind;
            const KIND: Kind = Kind::$kind;

            fn place(self, space: &Namespace, name: &str) -> Self {
                self.namespace(space).name(name)
            }

            fn secure(self, security: Security) -> Self {
                self.security(security)
            }

            fn stay(self) -> Self {
                self.permanent()
            }

            fn look(self) -> Self {
                self.rights(Rights::LOOK)
            }

            fn make(self) -> strait::Result<$kind> {
                self.create()
            }

            fn make_or_open(self) -> strait::Result<($kind, Birth)> {
                self.create_or_open()
            }

            fn find(self) -> strait::Result<$kind> {
                self.open()
            }
        }

        impl Object for $kind {
            fn stay(&self) -> strait::Result<()> {
                self.make_permanent()
            }

            fn go(&self) -> strait::Result<()> {
                self.make_temporary()
            }
        })*
    };
}

kinds! {
    Event, EventOptions;
    EventPair, EventPairOptions;
    Mutant, MutantOptions;
    Semaphore, SemaphoreOptions;
    Section, SectionOptions;
    Timer, TimerOptions;
}

/// Makes an object, permanent or for as long as the command of `--while` runs.
pub(crate) fn create<O: Options>(
    context: &Context,
    options: O,
    name: &str,
    born: &Born,
) -> Result<ExitCode, Failure> {
    if born.command.is_empty() {
        return made(context, options, name, born).map(|_| ExitCode::SUCCESS);
    }
    let mut hold = Hold::begin();
    let object = made(context, options, name, born).map_err(Failure::into_error)?;
    let status = hold.run(&mut child::command(&born.command)?);
    // The command has ended: now the object may go.
    drop(object);
    status
}

fn made<O: Options>(
    context: &Context,
    options: O,
    name: &str,
    born: &Born,
) -> Result<O::Object, Failure> {
    let explain = |error| context.explain(O::KIND, name, error);
    let permanent = born.command.is_empty();
    let mut security = Security::private().mode(born.mode);
    if let Some(group) = born.group {
        security = security.group(group);
    }
    let mut options = options.place(&context.space()?, name).secure(security);
    if permanent {
        options = options.stay();
    }
    if !born.or_open {
        return options.make().map_err(explain);
    }
    let (object, birth) = options.make_or_open().map_err(explain)?;
    if birth == Birth::Opened && permanent {
        object.stay().map_err(explain)?;
    }
    Ok(object)
}

/// Opens the object of that name.
pub(crate) fn open<O: Options>(
    context: &Context,
    options: O,
    name: &str,
) -> Result<O::Object, Failure> {
    let found = options.place(&context.space()?, name).find();
    found.map_err(|error| context.explain(O::KIND, name, error))
}

/// Makes objects temporary, so that they go with their last handles.
pub(crate) fn rm<O: Options>(
    context: &Context,
    options: impl Fn() -> O,
    names: &Names,
) -> Result<ExitCode, Failure> {
    let mut status = ExitCode::SUCCESS;
    for name in &names.names {
        let result = open(context, options(), name).and_then(|object| {
            object
                .go()
                .map_err(|error| context.explain(O::KIND, name, error))
        });
        if let Err(failure) = result {
            context.note(&failure.message);
            status = ExitCode::FAILURE;
            continue;
        }
        if let Ok(view) = inspect::look_at(&context.space()?, name, Depth::Holders)
            && let Some(seen) = view.objects.first()
        {
            let holders = seen::holders(seen, &view.sight);
            let name = &seen.full_name;
            context.note(&format!(
                "{name} goes with its last handle (held by {holders})"
            ));
        }
    }
    Ok(status)
}

/// Shows one object.
pub(crate) fn query(context: &mut Context, kind: Kind, query: &Query) -> Result<ExitCode, Failure> {
    let space = context.space()?;
    let view = inspect::look_at(&space, &query.name, Depth::Holders);
    let view = view.map_err(|error| context.explain(kind, &query.name, error))?;
    let Some(seen) = view.objects.first() else {
        return Err(Failure::new("nothing was seen"));
    };
    if seen.kind != kind {
        return Err(Failure::new(format!(
            "{} is {}, not {}",
            seen.full_name,
            with_article(seen.kind),
            with_article(kind)
        )));
    }
    if query.json {
        let mut value = seen::json(seen, &[space]);
        value["sight"] = seen::sight(&view.sight);
        context.out.json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    let holders = match seen.life {
        Life::Permanent => "none".into(),
        _ => seen::holders(seen, &view.sight),
    };
    let row = |key: &str, value: String| vec![key.to_owned(), value];
    let stays = if seen.permanent {
        "until removed"
    } else {
        "until its last handle is closed"
    };
    context.out.table(&[
        row("name", seen.full_name.clone()),
        row("kind", seen.kind.to_string()),
        row("state", seen.state.to_string()),
        row("stays", stays.into()),
        row("size", format!("{} bytes", seen.size)),
        row(
            "access",
            format!("uid {}, gid {}, mode {:04o}", seen.uid, seen.gid, seen.mode),
        ),
        row("holders", holders),
    ])?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for one thing and takes it; `None`: the time ran out. Whether it was abandoned.
pub(crate) fn take(
    context: &Context,
    kind: Kind,
    name: &str,
    (waitable, limit): (&dyn Waitable, Limit),
) -> Result<Option<bool>, Failure> {
    let won = match limit.timeout {
        Some(timeout) => wait::any_for(&[waitable], timeout),
        None => wait::any(&[waitable]).map(Some),
    };
    let won = won.map_err(|error| context.explain(kind, name, error).into_error())?;
    Ok(won.map(|won| won.abandoned))
}

/// The status of a wait that was satisfied, or not.
pub(crate) fn status(taken: Option<bool>) -> ExitCode {
    match taken {
        Some(_) => ExitCode::SUCCESS,
        None => TIMED_OUT.into(),
    }
}

/// What to say of an abandoned mutant.
pub(crate) fn abandoned(name: &str) -> String {
    format!("{name} was abandoned: its last owner died holding it, what it guards may be half done")
}
