//! Namespaces: directories in which names are files.

pub(crate) mod claim;
pub(crate) mod files;
pub(crate) mod life;
pub(crate) mod name;
pub(crate) mod secure;
pub(crate) mod socket;
pub(crate) mod sweep;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::process::geteuid;
use strait_sys::fork::Guarded;
use strait_sys::{Errno, kill};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{Domain, TABLE};
use crate::object::space::name::{Prefix, is_key, show_path};

/// A set of names: the user's own (`Local\`), the machine's (`Global\`), a directory's, or a
/// temporary one of its own. A value: clones are the same namespace.
///
/// Events, mutants, semaphores, sections and timers of a namespace share one space of names, and
/// are one commit domain: [`wait::all`](crate::wait::all) works across them.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Scope,
    path: PathBuf,
    directory: OwnedFd,
    /// Once it was asked for.
    domain: Guarded<Option<Arc<Domain>>>,
    /// The process that made a temporary namespace, and removes it.
    temporary: Option<rustix::process::Pid>,
}

/// Which kind of namespace it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// The user's own: found from the uid alone, so that cron, su and a login meet.
    Local,
    /// The machine's, shared by all users.
    Global,
    /// A directory that the caller named.
    Directory,
    /// One that goes with the value.
    Temporary,
}

const GLOBAL: &str = "/dev/shm/strait";

/// The user's own namespace as it was last opened, and what its directory was like.
static LAST_LOCAL: Guarded<Option<(Fingerprint, Namespace)>> = Guarded::new(None);

/// Device, inode, owner and mode of a directory.
type Fingerprint = (u64, u64, u32, u32);

fn fingerprint(stat: &Stat) -> Fingerprint {
    (stat.st_dev, stat.st_ino, stat.st_uid, stat.st_mode)
}

impl Namespace {
    /// The user's own namespace, `Local\`: `/run/user/<uid>/strait` if that exists and is the
    /// user's, else `/dev/shm/strait-<uid>`; mode 0700. Made if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the directory belongs to somebody else or lets others in.
    pub fn local() -> Result<Self> {
        let path = local_path();
        let stat = match fs::lstat(&path) {
            Err(Errno::NOENT) => {
                make_directory(&path)?;
                fs::lstat(&path)
            }
            other => other,
        };
        let fail = |errno| Error::kernel(errno, "open namespace", show_path(&path));
        let stat = stat.map_err(fail)?;
        // The same directory as last time, with the same owner and mode: all was checked then.
        let last = LAST_LOCAL.with(|last| last.clone());
        if let Some((known, namespace)) = last
            && known == fingerprint(&stat)
        {
            return Ok(namespace);
        }
        let found = Self::open_as(&path, Scope::Local)?;
        let stat = found.stat()?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(refused(&path, format!("it belongs to uid {}", stat.st_uid)));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(refused(
                &path,
                format!("mode {:o} lets others in", stat.st_mode & 0o777),
            ));
        }
        let kept = (fingerprint(&stat), found.clone());
        let replaced = LAST_LOCAL.with(|last| last.replace(kept));
        drop(replaced);
        Ok(found)
    }

    /// The machine's namespace, `Global\`: `/dev/shm/strait`, owned by root, mode 1777.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody made it (`strait doctor --fix` does, as root);
    /// [`ErrorKind::Denied`] if it is not root's, or not sticky: its owner could take any name.
    pub fn global() -> Result<Self> {
        let path = PathBuf::from(GLOBAL);
        let found = Self::open_as(&path, Scope::Global).map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.because("made by `strait doctor --fix`, as root"),
            _ => error,
        })?;
        let stat = found.stat()?;
        if stat.st_uid != 0 {
            return Err(refused(
                &path,
                format!("it belongs to uid {}, not to root", stat.st_uid),
            ));
        }
        if stat.st_mode & 0o1000 == 0 {
            return Err(refused(
                &path,
                "it is not sticky: anybody could remove any name".into(),
            ));
        }
        Ok(found)
    }

    /// Makes the directory of [`Namespace::global`]. For root.
    ///
    /// # Errors
    /// What mkdir(2) and chmod(2) answer.
    pub fn make_global() -> Result<Self> {
        let fail = |errno| Error::kernel(errno, "make namespace", GLOBAL);
        match fs::mkdir(GLOBAL, Mode::from_raw_mode(0o1777)) {
            Ok(()) => fs::chmod(GLOBAL, Mode::from_raw_mode(0o1777)).map_err(fail)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
        Self::global()
    }

    /// A directory as a namespace. Whoever may write the directory is trusted with its names; a
    /// group shares one of mode 2770 without the sticky bit.
    ///
    /// An empty directory becomes a namespace when the first object is created in it, and one with
    /// other things in it never does.
    ///
    /// # Errors
    /// What open(2) answers; [`ErrorKind::InvalidInput`] if it is no directory, or neither empty
    /// nor a namespace.
    pub fn directory(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let found = Self::open_as(path, Scope::Directory)?;
        let fail = |errno| Error::kernel(errno, "open namespace", show_path(path));
        if found.has_table().map_err(fail)?
            || is_empty(&found.0.directory).map_err(fail)?
            // It was empty, and another process has made the first object since.
            || found.has_table().map_err(fail)?
        {
            return Ok(found);
        }
        Err(
            Error::new(ErrorKind::InvalidInput, "open namespace", show_path(path)).because(
                format!("neither empty nor a namespace: it has no commit table, {TABLE}"),
            ),
        )
    }

    fn has_table(&self) -> std::result::Result<bool, Errno> {
        match fs::statat(&self.0.directory, TABLE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A namespace of its own, for tests, containers and private worlds: it is removed with the
    /// value (by the process that made it), or by `strait gc` if that process was killed.
    ///
    /// # Errors
    /// As [`Namespace::local`], in which it lies.
    pub fn temporary() -> Result<Self> {
        let local = Self::local()?;
        let fail = |errno| Error::kernel(errno, "make namespace", local.to_string());
        loop {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .map_err(fail)?;
            let path = local
                .0
                .path
                .join(format!(".tmp-{:016x}", u64::from_ne_bytes(random)));
            fs::mkdir(&path, Mode::RWXU).map_err(fail)?;
            let mut found = match Self::open_as(&path, Scope::Temporary) {
                // A collector took it for a dead process's, before it was locked.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                found => found?,
            };
            kill::point("space.made");
            match fs::flock(found.fd(), FlockOperation::NonBlockingLockShared) {
                // A collector has it in hand.
                Err(Errno::WOULDBLOCK) => continue,
                locked => locked.map_err(fail)?,
            }
            if found.stat()?.st_nlink == 0 {
                continue;
            }
            if let Some(inner) = Arc::get_mut(&mut found.0) {
                inner.temporary = Some(rustix::process::getpid());
            }
            // It is a namespace from now on, whatever else is put into it.
            found.domain_to_join()?;
            return Ok(found);
        }
    }

    fn open_as(path: &Path, scope: Scope) -> Result<Self> {
        let fail = |errno| Error::kernel(errno, "open namespace", show_path(path));
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => {
                Error::new(ErrorKind::InvalidInput, "open namespace", show_path(path))
                    .because("not a directory")
            }
            errno => fail(errno),
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Self(Arc::new(Inner {
            scope,
            path,
            directory,
            domain: Guarded::new(None),
            temporary: None,
        })))
    }

    /// The namespace that a name's prefix leads to, seen from this one.
    pub(crate) fn led_by(&self, prefix: Prefix) -> Result<Self> {
        match prefix {
            Prefix::None => Ok(self.clone()),
            Prefix::Local if self.0.scope == Scope::Global => Self::local(),
            Prefix::Local => Ok(self.clone()),
            Prefix::Global if self.0.scope == Scope::Global => Ok(self.clone()),
            Prefix::Global => Self::global(),
        }
    }

    /// Which kind of namespace it is.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.0.scope
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.directory.as_fd()
    }

    fn stat(&self) -> Result<Stat> {
        fs::fstat(&self.0.directory)
            .map_err(|errno| Error::kernel(errno, "look at namespace", self.to_string()))
    }

    /// The commit domain of its objects.
    pub(crate) fn domain(&self) -> Result<Arc<Domain>> {
        self.domain_of(None)
    }

    /// The same, for an object to be born: its table is made if this is the first.
    pub(crate) fn domain_to_join(&self) -> Result<Arc<Domain>> {
        if let Some(domain) = self.0.domain.with(|domain| domain.clone()) {
            return Ok(domain);
        }
        // Who may make names may also commit: the table is as open as the directory is writable.
        let directory = self.stat()?.st_mode;
        let mode = 0o600
            | if directory & 0o020 != 0 { 0o060 } else { 0 }
            | if directory & 0o002 != 0 { 0o006 } else { 0 };
        self.domain_of(Some(Mode::from_raw_mode(mode)))
    }

    fn domain_of(&self, to_make: Option<Mode>) -> Result<Arc<Domain>> {
        if let Some(domain) = self.0.domain.with(|domain| domain.clone()) {
            return Ok(domain);
        }
        let domain = Domain::of_directory(self.fd(), to_make, &show_path(&self.0.path))?;
        let kept = |kept: &mut Option<_>| kept.get_or_insert_with(|| domain.clone()).clone();
        Ok(self.0.domain.with(kept))
    }

    /// The namespace of a domain that was opened before. `None`: the private one has none.
    pub(crate) fn of_domain(domain: &Arc<Domain>) -> Option<Self> {
        let (directory, path) = domain.directory()?;
        Some(Self(Arc::new(Inner {
            scope: Scope::Directory,
            path: PathBuf::from(path),
            directory: directory.try_clone_to_owned().ok()?,
            domain: Guarded::new(Some(domain.clone())),
            temporary: None,
        })))
    }

    /// What a name is called in messages.
    pub(crate) fn full_name(&self, name: &dyn std::fmt::Display) -> String {
        match self.0.scope {
            Scope::Local => format!(r"Local\{name}"),
            Scope::Global => format!(r"Global\{name}"),
            _ => format!("{}/{name}", self.0.path.display()),
        }
    }

    /// Removes what nobody holds: leftovers of killed processes, and in [`Namespace::local`] also
    /// temporary namespaces whose makers are gone. Brings what the dead had decided to its end on
    /// every object that has a name, so that their seats can be taken again. How many of each.
    ///
    /// # Errors
    /// What reading the directory answers.
    pub fn collect(&self) -> Result<Collected> {
        let mut collected = Collected::default();
        for entry in self.entries()? {
            if is_key(&entry) {
                collected.objects += usize::from(life::reap(self, &entry));
            } else if socket::is_key(&entry) {
                collected.objects += usize::from(socket::reap(self, &entry));
            } else if entry.starts_with(".tmp-") && self.0.scope == Scope::Local {
                collected.namespaces += usize::from(self.collect_temporary(&entry));
            }
        }
        collected.seats = sweep::readmit_seats(self);
        Ok(collected)
    }

    /// A maker holds a shared lock of its directory, a collector an exclusive one: flock(2)'s,
    /// since the others need a descriptor for writing, which no directory has.
    fn collect_temporary(&self, entry: &str) -> bool {
        let path = self.0.path.join(entry);
        let Ok(inner) = Self::open_as(&path, Scope::Temporary) else {
            return false;
        };
        if fs::flock(inner.fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        // Its maker is gone, but others may hold what it made.
        let is_used = |entries: Vec<String>| {
            entries
                .iter()
                .any(|entry| is_key(entry) || socket::is_key(entry))
        };
        if inner.collect().is_err()
            || inner.entries().map_or(true, is_used)
            || inner.domain().is_ok_and(|domain| domain.census().0 > 0)
        {
            return false;
        }
        kill::point("space.collecting");
        remove_directory(&path, &inner.0.directory)
    }

    /// The names of the files in the directory.
    pub(crate) fn entries(&self) -> Result<Vec<String>> {
        let fail = |errno| Error::kernel(errno, "list", self.to_string());
        let dir = fs::Dir::read_from(&self.0.directory).map_err(fail)?;
        let mut entries = Vec::new();
        for entry in dir {
            let entry = entry.map_err(fail)?;
            if let Ok(name) = entry.file_name().to_str() {
                entries.push(name.to_owned());
            }
        }
        Ok(entries)
    }
}

/// What [`Namespace::collect`] removed.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Collected {
    /// Leftover files of objects, and those of pipes and ports that nobody listens at.
    pub objects: usize,
    /// Temporary namespaces.
    pub namespaces: usize,
    /// Seats of the commit table that can be taken again.
    pub seats: usize,
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.path.display())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.temporary == Some(rustix::process::getpid()) {
            remove_directory(&self.path, &self.directory);
        }
    }
}

fn is_empty(directory: &OwnedFd) -> std::result::Result<bool, Errno> {
    for entry in fs::Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a temporary namespace with the files that are left in it.
fn remove_directory(path: &Path, directory: &OwnedFd) -> bool {
    let Ok(dir) = fs::Dir::read_from(directory) else {
        return false;
    };
    for entry in dir.flatten() {
        if entry.file_type() != FileType::Directory {
            let _ = fs::unlinkat(directory, entry.file_name(), AtFlags::empty());
        }
    }
    fs::rmdir(path).is_ok()
}

fn local_path() -> PathBuf {
    let uid = geteuid().as_raw();
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    match fs::lstat(&runtime) {
        Ok(stat)
            if stat.st_uid == uid
                && FileType::from_raw_mode(stat.st_mode) == FileType::Directory =>
        {
            runtime.join("strait")
        }
        _ => PathBuf::from(format!("/dev/shm/strait-{uid}")),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::kernel(errno, "make namespace", show_path(path))),
    }
}

fn refused(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::Denied, "open namespace", show_path(path)).because(why)
}
