//! What the verbs of queues, semaphore sets and segments share: finding, listing and removing one,
//! whose it is, and when it was used.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};
use strait::ErrorKind;
use strait::unix::ipc::{Change, Key, Kind, Permissions};

use super::key::{self, Written};
use crate::context::Context;
use crate::failure::{Failure, USAGE};
use crate::value;

/// An object of System V, as the verbs see it.
pub(crate) trait Object: Sized {
    const KIND: Kind;
    /// The word for its kind on the command line.
    const WORD: &'static str;
    /// What `create` cannot do without, beside the key.
    const NEEDS: &'static str;
    type Stat: Facts;

    fn open(key: Key) -> strait::Result<Self>;
    fn from_id(id: i32) -> strait::Result<Self>;
    fn stat(&self) -> strait::Result<Self::Stat>;
    fn remove(&self) -> strait::Result<()>;
    fn list() -> strait::Result<Vec<Self::Stat>>;
}

/// What is known of one.
pub(crate) trait Facts {
    /// The columns of a list behind key, id and access.
    const HEADS: &'static [&'static str];

    fn common(&self) -> (Key, i32, &Permissions);
    /// What stands in the columns.
    fn cells(&self) -> Vec<String>;
    /// The state in a few words, for a list of all kinds.
    fn state(&self) -> String;
    /// More than key, id, access and creator, for who looks at this one.
    fn rows(&self) -> Vec<(&'static str, String)>;
    /// The same for machines.
    fn values(&self) -> Value;
}

/// The inherent methods of a library's type, which have the same names.
macro_rules! object {
    ($object:ty, $stat:ty, $list:path) => {
        type Stat = $stat;

        fn open(key: strait::unix::ipc::Key) -> strait::Result<Self> {
            <$object>::open(key)
        }

        fn from_id(id: i32) -> strait::Result<Self> {
            <$object>::from_id(id)
        }

        fn stat(&self) -> strait::Result<$stat> {
            <$object>::stat(self)
        }

        fn remove(&self) -> strait::Result<()> {
            <$object>::remove(self)
        }

        fn list() -> strait::Result<Vec<$stat>> {
            $list()
        }
    };
}
pub(crate) use object;

// ---- which one -----------------------------------------------------------------------------

/// One that exists.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// A key such as 0x5100, PATH:PROJECT (ftok) or name:NAME, or id:N
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    pub(crate) key: Written,
}

/// Some that exist.
#[derive(Args, Debug)]
pub(crate) struct Keys {
    /// Keys such as 0x5100, PATH:PROJECT (ftok) or name:NAME, or id:N
    #[arg(required = true, value_name = "KEY", value_parser = key::read)]
    #[arg(allow_negative_numbers = true)]
    keys: Vec<Written>,
}

/// The object that is meant, to be used: what is missing can be made.
pub(crate) fn find<T: Object>(written: &Written) -> Result<T, Failure> {
    search(written, |kind, word| {
        let command = format!("strait {word} create {}{}", quoted(written), T::NEEDS);
        format!("there is no {kind} {written}: create it with `{command}`")
    })
}

fn not_there(written: &Written, kind: Kind, word: &str) -> String {
    format!("there is no {kind} {written} (`strait {word} list` shows what there is)")
}

fn search<T: Object>(
    written: &Written,
    no_such_key: impl FnOnce(Kind, &str) -> String,
) -> Result<T, Failure> {
    let found = match written {
        Written::Id(id) => T::from_id(*id),
        Written::Private => {
            return Err(Failure::new(
                "private: objects without a key are found by their number: id:N",
            ));
        }
        _ => T::open(written.key()?),
    };
    found.map_err(|error| match (error.kind(), written) {
        (ErrorKind::NotFound | ErrorKind::Removed, Written::Id(_)) => {
            Failure::new(not_there(written, T::KIND, T::WORD))
        }
        (ErrorKind::NotFound, _) => Failure::new(no_such_key(T::KIND, T::WORD)),
        _ => Failure::of(error),
    })
}

/// What `create` has made: its id goes to standard output, as the other verbs take it.
pub(crate) fn made<T: Object>(written: &Written, made: strait::Result<T>) -> Result<T, Failure> {
    made.map_err(|error| match error.kind() {
        ErrorKind::Exists => Failure::new(format!(
            "{} {written} exists already (`strait {} stat {}` shows it, `--or-open` takes it as \
             it is)",
            T::KIND,
            T::WORD,
            quoted(written)
        )),
        _ => Failure::of(error),
    })
}

fn quoted(written: &Written) -> String {
    value::quoted(&written.to_string())
}

impl Keys {
    /// Removes all of them; what cannot be is said.
    pub(crate) fn remove<T: Object>(&self, context: &Context) -> ExitCode {
        let mut status = ExitCode::SUCCESS;
        for written in &self.keys {
            let found: Result<T, _> = search(written, |kind, word| not_there(written, kind, word));
            let removed = found.and_then(|it| it.remove().map_err(Failure::of));
            if let Err(failure) = removed {
                context.note(&failure.message);
                status = ExitCode::FAILURE;
            }
        }
        status
    }
}

// ---- looking -------------------------------------------------------------------------------

/// How to look at one.
#[derive(Args, Debug)]
pub(crate) struct Look {
    #[command(flatten)]
    pub(crate) which: Which,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to list all.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Look {
    pub(crate) fn run<T: Object>(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let stat = find::<T>(&self.which.key)?.stat().map_err(Failure::of)?;
        if self.json {
            context.out.json(&json_of(&stat))?;
        } else {
            context.out.table(&rows(&stat))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    pub(crate) fn run<T: Object>(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let stats = T::list().map_err(Failure::of)?;
        if self.json {
            let values: Vec<Value> = stats.iter().map(json_of).collect();
            context.out.json(&values)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = vec![heads(&["KEY", "ID", "ACCESS"])];
        rows[0].extend(heads(T::Stat::HEADS));
        rows.extend(stats.iter().map(|stat| {
            let (key, id, permissions) = stat.common();
            let mut row = vec![key.to_string(), id.to_string(), access(permissions)];
            row.extend(stat.cells());
            row
        }));
        context.out.table(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn heads(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// All that is known of one, in two columns.
pub(crate) fn rows<S: Facts>(stat: &S) -> Vec<Vec<String>> {
    let (key, id, permissions) = stat.common();
    let (uid, gid) = (permissions.creator_uid, permissions.creator_gid);
    let mut rows = vec![
        ("key", key.to_string()),
        ("id", id.to_string()),
        ("access", access(permissions)),
        ("creator", format!("uid {uid}, gid {gid}")),
    ];
    rows.extend(stat.rows());
    let cells = rows.into_iter().map(|(word, text)| vec![word.into(), text]);
    cells.collect()
}

/// The same for machines.
pub(crate) fn json_of<S: Facts>(stat: &S) -> Value {
    let (key, id, permissions) = stat.common();
    let mut value = json!({
        "key": key.number(),
        "id": id,
        "uid": permissions.uid,
        "gid": permissions.gid,
        "creator_uid": permissions.creator_uid,
        "creator_gid": permissions.creator_gid,
        "mode": format!("{:04o}", permissions.mode),
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut value, stat.values()) {
        all.extend(own);
    }
    value
}

/// Whose it is, in words.
pub(crate) fn access(permissions: &Permissions) -> String {
    let Permissions { uid, gid, mode, .. } = permissions;
    format!("uid {uid}, gid {gid}, mode {mode:04o}")
}

/// A moment, by how long ago it was.
pub(crate) fn when(moment: Option<SystemTime>) -> String {
    let Some(moment) = moment else {
        return "never".into();
    };
    match moment.elapsed() {
        Ok(ago) => format!("{} s ago", ago.as_secs()),
        Err(_) => "in the future, by this clock".into(),
    }
}

/// A moment in seconds since 1970.
pub(crate) fn seconds(moment: Option<SystemTime>) -> Option<u64> {
    let since = moment?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// A process, or that there is none.
pub(crate) fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "none".into(), |pid| pid.to_string())
}

// ---- changing ------------------------------------------------------------------------------

/// A new owner, group or mode; what is not given stays.
#[derive(Args, Debug)]
pub(crate) struct Owned {
    /// Another owner, by number
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Another group, by name or number
    #[arg(long, value_parser = value::group)]
    group: Option<u32>,
    /// Permission bits in octal: read to look or receive, write to change or send
    #[arg(long, value_name = "OCTAL", value_parser = value::mode)]
    mode: Option<u32>,
}

/// `set` without anything to set, which is one of these: wrong arguments.
pub(crate) fn nothing(options: &str) -> Failure {
    Failure {
        message: format!("say what to change: {options}"),
        status: USAGE,
    }
}

impl Owned {
    /// What changes; `None`: nothing was given.
    pub(crate) fn change(&self) -> Option<Change> {
        let mut change = Change::new();
        if let Some(uid) = self.owner {
            change = change.owner(uid);
        }
        if let Some(gid) = self.group {
            change = change.group(gid);
        }
        if let Some(mode) = self.mode {
            change = change.mode(mode);
        }
        Some(change).filter(|change| *change != Change::new())
    }
}
