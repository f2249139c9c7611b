//! Seeing objects without touching them: what there is, in which state, and who holds it.
//!
//! For tools and for the curious. A program that uses an object asks the object itself
//! ([`Event::query`](crate::nt::Event::query) and its like); this looks at all of them at once,
//! also at those it may only read, and finds who holds them.
//!
//! A look opens files for reading and asks for locks without taking any. It takes no unit, no seat
//! and no handle, removes no leftover, and keeps no name alive. States are read from the files, and
//! holders are found in `/proc/PID/fd` by device and inode, so that nothing is written on any fast
//! path for the sake of tools.
//!
//! What it cannot know it says. Processes of other users need permission to trace them: those are
//! counted in [`Sight::unreadable`]. A snapshot races with what it shows: each object is consistent
//! in itself, two objects may be from different moments, and processes may come and go. Where
//! `/proc` hides processes (`hidepid`) or is that of another PID namespace, holders are missing.
//!
//! ```
//! use strait::inspect::{self, Depth};
//!
//! let space = strait::Namespace::temporary()?;
//! let slots = space.semaphore("slots", 3, 8).create()?;
//! let view = inspect::look(std::slice::from_ref(&space), Depth::Holders)?;
//! assert_eq!(view.objects[0].state.to_string(), "3 of 8");
//! # drop(slots);
//! # Ok::<(), strait::Error>(())
//! ```

mod file;
mod holders;
mod service;
mod state;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use rustix::fs;
use rustix::process::geteuid;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::look::Table;
use crate::object::space::name;
use crate::object::{Kind, Name, Namespace};

use self::file::Found;
use self::holders::Id;

pub use self::service::{Service, ServiceKind};
pub use self::state::{Ownership, State};

/// How far a look goes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Depth {
    /// The objects that have names. `/proc` is not read.
    Objects,
    /// Also who holds them, and unnamed objects, which only `/proc` knows.
    Holders,
}

/// What a look saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The objects: by namespace and name, the unnamed ones last.
    pub objects: Vec<Seen>,
    /// The pipes and ports: by namespace and name.
    pub services: Vec<Service>,
    /// What stands among the objects and is none, or cannot be read.
    pub strangers: Vec<Stranger>,
    /// How well holders could be seen.
    pub sight: Sight,
}

/// An object that was seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Its name; `None` for an unnamed one.
    pub name: Option<Name>,
    /// The name as messages show it, such as `Local\build-done`.
    pub full_name: String,
    /// Which of the namespaces looked at it belongs to. `None`: an unnamed one of another.
    pub namespace: Option<usize>,
    /// Its state.
    pub state: State,
    /// Length of its file in bytes, header included.
    pub size: u64,
    /// Whether the name stays without a handle.
    pub permanent: bool,
    /// What keeps it alive.
    pub life: Life,
    /// Owner of its file.
    pub uid: u32,
    /// Group of its file.
    pub gid: u32,
    /// Permission bits of its file.
    pub mode: u32,
    /// The processes with a handle that could be seen, by process id.
    pub holders: Vec<Holder>,
}

/// What keeps an object alive.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Life {
    /// A handle somewhere.
    Held,
    /// No handle: it is permanent.
    Permanent,
    /// Nothing: its last holder was killed. The name counts as free; `strait gc` removes the file.
    Leftover,
    /// A process is making or removing it at this moment.
    Transition,
}

/// A process that holds an object.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its command, as `/proc/PID/comm` has it: at most 15 bytes. The process chooses it.
    pub command: String,
    /// How many descriptors of the object it has.
    pub handles: usize,
}

/// An entry of a namespace's directory that is no object, or cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stranger {
    /// The file's path; `/proc/PID/fd/N` for unnamed memory.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// How well holders could be seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sight {
    /// Processes that this one may not look into.
    pub unreadable: usize,
    /// Why no process could be seen at all; `None` if they could.
    pub blind: Option<String>,
}

impl Sight {
    /// Whether every process could be looked into.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unreadable == 0 && self.blind.is_none()
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Permanent => "permanent",
            Self::Leftover => "leftover",
            Self::Transition => "in transition",
        })
    }
}

/// Looks at every object of these namespaces.
///
/// # Errors
/// What reading a namespace's directory answers. Single objects that cannot be read are no error:
/// they are [`strangers`](View::strangers).
pub fn look(spaces: &[Namespace], depth: Depth) -> Result<View> {
    let mut view = View {
        objects: Vec::new(),
        services: Vec::new(),
        strangers: Vec::new(),
        sight: Sight::default(),
    };
    let mut ids = Vec::new();
    let mut paths = Vec::new();
    let tables: Vec<_> = spaces.iter().map(|space| Table::open(space.fd())).collect();
    for (index, space) in spaces.iter().enumerate() {
        for entry in entries(space)? {
            if let Some(service) = service::look(space, index, &entry) {
                view.services.push(service);
                paths.push(space.path().join(entry));
                continue;
            }
            match named(space, &entry) {
                Ok(Some((name, found))) => {
                    ids.push(found.id());
                    let table = tables[index].as_ref();
                    let full_name = space.full_name(&name);
                    let mut seen = found.seen(table, full_name);
                    (seen.name, seen.namespace) = (Some(name), Some(index));
                    view.objects.push(seen);
                }
                Ok(None) => {}
                Err(why) => view.strangers.push(Stranger {
                    path: space.path().join(entry),
                    why,
                }),
            }
        }
    }
    if depth == Depth::Holders {
        add_holders(&mut view, ids, &tables, &paths);
    }
    view.objects.sort_by_cached_key(|seen| {
        let space = seen.namespace.unwrap_or(usize::MAX);
        let name = seen.name.as_ref().map(|name| name.as_bytes().to_vec());
        (space, name.is_none(), name)
    });
    view.services
        .sort_by(|one, two| (one.namespace, &one.name).cmp(&(two.namespace, &two.name)));
    view.strangers.sort_by(|one, two| one.path.cmp(&two.path));
    Ok(view)
}

/// Looks at the object of that name, `Local\` and `Global\` included. The view holds just it.
///
/// # Errors
/// [`ErrorKind::NotFound`], also for a leftover, whose name is free; [`ErrorKind::InvalidName`];
/// [`ErrorKind::PathNotFound`]; [`ErrorKind::Denied`]; [`ErrorKind::Layout`] for a file that is no
/// object.
pub fn look_at(space: &Namespace, text: &str, depth: Depth) -> Result<View> {
    let verb = "look at";
    let (name, prefix) = Name::parse_bytes(text.as_bytes())?;
    let space = space.led_by(prefix)?;
    let full_name = space.full_name(&name);
    let table = Table::open(space.fd());
    let gone = || Error::new(ErrorKind::NotFound, verb, full_name.clone());
    let found = match named(&space, &name.key()) {
        Ok(Some((_, found))) if found.life != Life::Leftover => found,
        Ok(_) => return Err(gone()),
        Err(why) => {
            let denied = why.starts_with(file::DENIED);
            let kind = if denied {
                ErrorKind::Denied
            } else {
                ErrorKind::Layout
            };
            return Err(Error::new(kind, verb, full_name).because(why));
        }
    };
    let mut seen = found.seen(table.as_ref(), full_name);
    (seen.name, seen.namespace) = (Some(name), Some(0));
    let mut view = View {
        objects: vec![seen],
        services: Vec::new(),
        strangers: Vec::new(),
        sight: Sight::default(),
    };
    if depth == Depth::Holders {
        let census = holders::census(&[found.id()].into(), holders::Unnamed::Ignored);
        view.sight = census.sight;
        view.objects[0].holders = census.holders.into_values().next().unwrap_or_default();
    }
    Ok(view)
}

/// The directories in which the user's own namespace may lie: the first where the system made the
/// user a directory in `/run/user`, else the second. Objects in both are worlds that do not meet.
#[must_use]
pub fn local_places() -> [PathBuf; 2] {
    let uid = geteuid().as_raw();
    [
        PathBuf::from(format!("/run/user/{uid}/strait")),
        PathBuf::from(format!("/dev/shm/strait-{uid}")),
    ]
}

/// The seats of a namespace's commit table. `None`: it has no table yet, or one that this process
/// may not read.
#[must_use]
pub fn seats(space: &Namespace) -> Option<Seats> {
    let (living, retired) = Table::open(space.fd())?.census();
    Some(Seats {
        living,
        retired,
        total: usize::from(crate::object::commit::domain::SEATS),
    })
}

/// The seats of a namespace's commit table. Each thread that waits takes one.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Seats {
    /// Taken by living threads.
    pub living: usize,
    /// Never given out again: their threads died at a bad moment.
    pub retired: usize,
    /// All there are.
    pub total: usize,
}

/// What stands in the directory, but for Strait's own files and directories.
fn entries(space: &Namespace) -> Result<Vec<String>> {
    let fail = |errno| Error::kernel(errno, "list", space.to_string());
    let dir = fs::Dir::read_from(space.fd()).map_err(fail)?;
    let mut entries = Vec::new();
    for entry in dir {
        let entry = entry.map_err(fail)?;
        // A name that is not UTF-8 is none of ours; it is shown as well as can be.
        let entry = entry.file_name().to_string_lossy().into_owned();
        if !entry.starts_with('.') {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The object in that entry. `Ok(None)`: it has gone.
fn named(space: &Namespace, entry: &str) -> std::result::Result<Option<(Name, Found)>, String> {
    if !name::is_key(entry) {
        return Err("not an object: no name becomes such a file name".into());
    }
    let Some(found) = file::look(space.fd(), entry)? else {
        return Ok(None);
    };
    match Name::from_header(&found.header.name) {
        Some(name) if name.key() == entry => Ok(Some((name, found))),
        _ => Err("not an object: it holds another name".into()),
    }
}

/// `paths`: of the services.
fn add_holders(view: &mut View, ids: Vec<Id>, tables: &[Option<Table>], paths: &[PathBuf]) {
    let sockets = service::sockets(paths.iter().map(PathBuf::as_path));
    let listening = sockets.iter().map(|(_, id)| *id);
    let wanted = ids.iter().copied().chain(listening).collect();
    let mut census = holders::census(&wanted, holders::Unnamed::Found);
    let mut places: HashMap<Id, usize> = HashMap::new();
    for (index, id) in ids.into_iter().enumerate() {
        places.insert(id, index);
    }
    for (id, found) in census.unnamed {
        let domain = found.header.domain;
        let of = |table: &Option<Table>| table.as_ref().is_some_and(|table| table.id() == domain);
        let namespace = tables.iter().position(of);
        let table = namespace.and_then(|index| tables[index].as_ref());
        let mut seen = found.seen(table, format!("(unnamed {})", found.header.kind));
        seen.namespace = namespace;
        places.insert(id, view.objects.len());
        view.objects.push(seen);
    }
    for (id, index) in places {
        view.objects[index].holders = census.holders.remove(&id).unwrap_or_default();
    }
    for (index, id) in sockets {
        let found = census.holders.remove(&id).unwrap_or_default();
        view.services[index].holders.extend(found);
    }
    view.strangers.append(&mut census.strangers);
    view.sight = census.sight;
}

#[cfg(test)]
mod tests;
