//! Handles: what keeps an object alive, plus rights.
//!
//! [`Handle`] is common to every kind; [`Object`](crate::object::spot::Object) adds the mapped
//! state of those that wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::Mode;
use strait_sys::memfd;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::Domain;
use crate::object::commit::seat;
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::layout::{self, Header};
use crate::object::space::Namespace;
use crate::object::space::files;
use crate::object::space::life::{self, Held, Mapping};
use crate::object::space::name::Name;
use crate::object::space::secure::Security;
use crate::object::word::State;

/// What an object is born as.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    pub(crate) kind: Kind,
    pub(crate) flags: u32,
    pub(crate) limit: u64,
    pub(crate) data_len: u64,
    pub(crate) states: [State; 2],
}

/// Where and how it is born, or opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    pub(crate) space: Option<Namespace>,
    pub(crate) name: Option<String>,
    pub(crate) raw_name: Option<Name>,
    pub(crate) security: Security,
    pub(crate) permanent: bool,
    pub(crate) shared: bool,
}

/// What keeps the object alive.
#[derive(Debug)]
enum Home {
    /// This process's memory.
    Private,
    /// A sealed memfd, unnamed.
    Memfd(OwnedFd),
    /// A name: the locked description goes back to the lock protocol on close.
    Named {
        space: Namespace,
        key: String,
        inode: u64,
        file: Option<OwnedFd>,
    },
}

/// What is common to handles of every kind.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) kind: Kind,
    pub(crate) rights: Rights,
    pub(crate) header: Header,
    pub(crate) name: Option<Name>,
    /// Device and inode of its file.
    identity: Option<(u64, u64)>,
    home: Home,
    domain_of: Option<Namespace>,
}

impl Home {
    fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Private => None,
            Self::Memfd(file) => Some(file.as_fd()),
            Self::Named { file, .. } => file.as_ref().map(AsFd::as_fd),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Home::Named {
            space,
            key,
            inode,
            file,
        } = &mut self.home
            && let Some(file) = file.take()
        {
            life::close(space, key, *inode, file);
        }
    }
}

/// A number for a new object at home there.
fn fresh_id(home: u32) -> Result<u32> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::kernel(errno, "create", ""))?;
    Ok(u32::from_ne_bytes(bytes) & layout::ID_RANDOM | home)
}

impl Site {
    fn resolve(&self) -> Result<Option<(Namespace, Name)>> {
        let space = || self.space.clone().map_or_else(Namespace::local, Ok);
        if let Some(name) = &self.raw_name {
            return Ok(Some((space()?, name.clone())));
        }
        let Some(text) = &self.name else {
            return Ok(None);
        };
        let (name, prefix) = Name::parse_bytes(text.as_bytes())?;
        Ok(Some((space()?.led_by(prefix)?, name)))
    }

    fn subject(&self) -> String {
        match self.resolve() {
            Ok(Some((space, name))) => space.full_name(&name),
            _ => self.name.clone().unwrap_or_else(|| "(unnamed)".into()),
        }
    }

    /// Who the calling thread is in the domain of the object to be born here.
    pub(crate) fn token(&self, verb: &'static str) -> Result<u32> {
        let token = || -> Result<u32> {
            let domain = match (self.resolve()?, self.shared) {
                (Some((space, _)), _) => space.domain_to_join()?,
                (None, true) => self
                    .space
                    .clone()
                    .map_or_else(Namespace::local, Ok)?
                    .domain_to_join()?,
                (None, false) => Domain::private()?,
            };
            Ok(seat::seat(&domain)?.token)
        };
        token().map_err(|error| error.during(verb, self.subject()))
    }

    /// Creates, or joins what exists if it is of the same kind.
    pub(crate) fn create_or_open(
        &self,
        plan: &Blueprint,
        verb: &'static str,
    ) -> Result<(Handle, Birth)> {
        self.create_or_open_with(plan, verb, &[])
    }

    /// [`create_or_open`](Self::create_or_open) with the first bytes of its data.
    pub(crate) fn create_or_open_with(
        &self,
        plan: &Blueprint,
        verb: &'static str,
        data: &[u8],
    ) -> Result<(Handle, Birth)> {
        self.try_create(plan, data)
            .map_err(|error| error.during(verb, self.subject()))
    }

    /// Creates; an existing name is an error.
    pub(crate) fn create(&self, plan: &Blueprint, verb: &'static str) -> Result<Handle> {
        self.create_with(plan, verb, &[])
    }

    /// [`create`](Self::create) with the first bytes of its data.
    pub(crate) fn create_with(
        &self,
        plan: &Blueprint,
        verb: &'static str,
        data: &[u8],
    ) -> Result<Handle> {
        let (handle, birth) = self.create_or_open_with(plan, verb, data)?;
        if birth == Birth::Created {
            return Ok(handle);
        }
        Err(Error::new(ErrorKind::Exists, verb, self.subject()))
    }

    fn try_create(&self, plan: &Blueprint, data: &[u8]) -> Result<(Handle, Birth)> {
        let Some((space, name)) = self.resolve()? else {
            return Ok((self.create_unnamed(plan, data)?, Birth::Created));
        };
        let header = plan.header(
            space.domain_to_join()?.id(),
            fresh_id(layout::ID_NAMED)?,
            name.as_bytes(),
            self.permanent,
        );
        let key = name.key();
        let held = life::create_or_open(&space, &key, &header, data, self.security)?;
        let birth = held.birth;
        Ok((
            Handle::named(space, name, key, held, plan.kind, Rights::ALL)?,
            birth,
        ))
    }

    fn create_unnamed(&self, plan: &Blueprint, data: &[u8]) -> Result<Handle> {
        if !self.shared {
            let header = plan.header(0, fresh_id(layout::ID_PRIVATE)?, b"", false);
            return Ok(Handle::over(header, None, Home::Private, None));
        }
        let space = self.space.clone().map_or_else(Namespace::local, Ok)?;
        let header = plan.header(
            space.domain_to_join()?.id(),
            fresh_id(layout::ID_UNNAMED)?,
            b"",
            false,
        );
        let fail = |errno| Error::kernel(errno, "create", "");
        let file =
            memfd::create(c"strait", header.file_len(), Mode::RUSR | Mode::WUSR).map_err(fail)?;
        files::write_all(&file, 0, &header.encode()).map_err(fail)?;
        files::write_all(&file, header.data_offset() as u64, data).map_err(fail)?;
        Ok(Handle::over(header, None, Home::Memfd(file), Some(space)))
    }

    /// Opens by name.
    pub(crate) fn open(&self, kind: Kind, rights: Rights, verb: &'static str) -> Result<Handle> {
        self.try_open(kind, rights)
            .map_err(|error| error.during(verb, self.subject()))
    }

    fn try_open(&self, kind: Kind, rights: Rights) -> Result<Handle> {
        let Some((space, name)) = self.resolve()? else {
            return Err(
                Error::new(ErrorKind::InvalidInput, "open", "").because("no name was given")
            );
        };
        let mapping = if rights.writes() {
            Mapping::Write
        } else {
            Mapping::Look
        };
        let key = name.key();
        match life::open(&space, &key, mapping)? {
            Some(held) => Handle::named(space, name, key, held, kind, rights),
            None => Err(Error::new(ErrorKind::NotFound, "open", "")),
        }
    }
}

impl Blueprint {
    fn header(&self, domain: u64, id: u32, name: &[u8], permanent: bool) -> Header {
        Header {
            kind: self.kind,
            flags: self.flags,
            domain,
            id,
            limit: self.limit,
            data_len: self.data_len,
            permanent,
            name: name.to_vec(),
            states: [self.states[0].0, self.states[1].0],
        }
    }
}

impl Handle {
    fn over(header: Header, name: Option<Name>, home: Home, domain_of: Option<Namespace>) -> Self {
        Self {
            kind: header.kind,
            rights: Rights::ALL,
            identity: home.file().and_then(identity),
            header,
            name,
            home,
            domain_of,
        }
    }

    pub(crate) fn named(
        space: Namespace,
        name: Name,
        key: String,
        held: Held,
        kind: Kind,
        rights: Rights,
    ) -> Result<Self> {
        let Held {
            file,
            inode,
            header,
            ..
        } = held;
        let found = header.kind;
        let foreign_name = header.name != name.as_bytes();
        let home = Home::Named {
            space: space.clone(),
            key,
            inode,
            file: Some(file),
        };
        // From here on the handle is closed by the protocol, whatever is wrong with it.
        let mut handle = Self::over(header, Some(name), home, Some(space));
        handle.rights = rights;
        if foreign_name {
            return Err(Error::new(ErrorKind::Layout, "open", "").because("it holds another name"));
        }
        if found != kind {
            return Err(Error::new(ErrorKind::WrongKind, "open", "")
                .because(format!("it is {} {found}", article(found))));
        }
        Ok(handle)
    }

    /// The descriptor that holds the object, if one does.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.home.file()
    }

    /// A description to map a view from, where the handle's own will not do: a view keeps the
    /// memory, but not the name, so that it must not hold on to the lock.
    pub(crate) fn file_for_view(&self, mapping: Mapping) -> Option<OwnedFd> {
        match &self.home {
            Home::Named {
                space, key, inode, ..
            } => life::open_unlocked(space, key, *inode, mapping),
            // A map of a writable descriptor counts as one that may become writable, which is in
            // the way of a seal.
            Home::Memfd(file) if mapping == Mapping::Look => {
                memfd::reopen_read_only(file.as_fd()).ok()
            }
            _ => None,
        }
    }

    /// The name with its namespace, as messages show it.
    pub(crate) fn full_name(&self) -> String {
        match (&self.name, &self.domain_of) {
            (Some(name), Some(space)) => space.full_name(name),
            _ => format!("(unnamed {})", self.kind),
        }
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self.home, Home::Private)
    }

    pub(crate) fn space(&self) -> Option<&Namespace> {
        self.domain_of.as_ref()
    }

    pub(crate) fn domain(&self) -> Result<Arc<Domain>> {
        let Some(space) = &self.domain_of else {
            return Domain::private();
        };
        let domain = space.domain()?;
        if domain.id() == self.header.domain {
            return Ok(domain);
        }
        Err(Error::new(ErrorKind::Broken, "open", self.full_name())
            .because("its commit table was replaced"))
    }

    /// The number of its file; `None` for a private object.
    #[inline]
    pub(crate) fn inode(&self) -> Option<u64> {
        self.identity.map(|(_, inode)| inode)
    }

    /// Whether two handles are of one object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.identity, other.identity) {
            (None, None) => std::ptr::eq(self, other),
            (one, two) => one == two,
        }
    }

    /// A handle of its own to the same object, with these rights or fewer.
    pub(crate) fn duplicate(&self, rights: Rights) -> Result<Self> {
        let fail = |error: Error| error.during("duplicate handle", self.full_name());
        if !self.rights.includes(rights) {
            return Err(fail(
                Error::new(ErrorKind::Denied, "", "").because("rights can only shrink"),
            ));
        }
        let file = self.fresh_description(rights).map_err(fail)?;
        let home = match (&self.home, file) {
            (
                Home::Named {
                    space, key, inode, ..
                },
                Some(file),
            ) => Home::Named {
                space: space.clone(),
                key: key.clone(),
                inode: *inode,
                file: Some(file),
            },
            (Home::Memfd(_), Some(file)) => Home::Memfd(file),
            _ => {
                return Err(fail(
                    Error::new(ErrorKind::Unsupported, "", "")
                        .because("a private object has one handle: create it `.shared()`"),
                ));
            }
        };
        let mut duplicate = Self::over(
            self.header.clone(),
            self.name.clone(),
            home,
            self.domain_of.clone(),
        );
        duplicate.rights = rights;
        Ok(duplicate)
    }

    /// A freshly opened, locked description, for a duplicate or a transfer.
    pub(crate) fn fresh_description(&self, rights: Rights) -> Result<Option<OwnedFd>> {
        let mapping = if rights.writes() {
            Mapping::Write
        } else {
            Mapping::Look
        };
        match &self.home {
            Home::Private => Ok(None),
            Home::Named {
                space, key, inode, ..
            } => life::reopen(space, key, *inode, mapping).map(Some),
            // A memfd needs no lock: it lives by its descriptors.
            Home::Memfd(file) if mapping == Mapping::Write => file
                .try_clone()
                .map(Some)
                .map_err(|_| Error::kernel(strait_sys::Errno::MFILE, "duplicate", "")),
            Home::Memfd(file) => memfd::reopen_read_only(file.as_fd())
                .map(Some)
                .map_err(|errno| Error::kernel(errno, "duplicate", "")),
        }
    }

    /// A handle around a description that came from another process.
    pub(crate) fn received(file: OwnedFd, rights: Rights, spaces: &[Namespace]) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::Layout, "receive handle", "").because(why);
        let kernel = |errno| Error::kernel(errno, "receive handle", "");
        // Asks no file system: a foreign one could stall us.
        if !memfd::is_shmem(file.as_fd()) {
            return Err(wrong("neither a memfd nor a file of a namespace on tmpfs"));
        }
        let stat = rustix::fs::fstat(&file).map_err(kernel)?;
        let header = files::read_header(&file, u64::try_from(stat.st_size).unwrap_or(0))?;
        let mut known = spaces.iter();
        let space = known
            .find(|space| {
                space
                    .domain()
                    .is_ok_and(|domain| domain.id() == header.domain)
            })
            .cloned()
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "receive handle", "")
                    .because("it belongs to a namespace that this process has not opened")
            })?;
        let (name, home) = if header.name.is_empty() {
            if !memfd::is_sealed(file.as_fd()) {
                return Err(wrong("an unnamed object must be a sealed memfd"));
            }
            (None, Home::Memfd(file))
        } else {
            let name = Name::from_header(&header.name).ok_or_else(|| wrong("a bad name"))?;
            let (key, inode) = (name.key(), stat.st_ino);
            // A sound header proves nothing: only a file of the namespace can be closed by its
            // protocol, and only one that we lock ourselves is surely held.
            if !life::hold(&space, &key, &file)? {
                return Err(wrong("it is not the file of that name in its namespace"));
            }
            (
                Some(name),
                Home::Named {
                    space: space.clone(),
                    key,
                    inode,
                    file: Some(file),
                },
            )
        };
        let mut handle = Self::over(header, name, home, Some(space));
        handle.rights = rights;
        Ok(handle)
    }

    /// Makes the name stay until it is made temporary again, or go with the last handle.
    pub(crate) fn set_permanent(&self, permanent: bool) -> Result<()> {
        if !self.rights.includes(Rights::DELETE) {
            return Err(Error::new(
                ErrorKind::Denied,
                "make permanent",
                self.full_name(),
            ));
        }
        let Home::Named {
            file: Some(file), ..
        } = &self.home
        else {
            return Err(
                Error::new(ErrorKind::InvalidInput, "make permanent", self.full_name())
                    .because("it has no name"),
            );
        };
        let word = u32::from(permanent).to_le_bytes();
        rustix::io::pwrite(file, &word, layout::PERMANENT as u64)
            .map_err(|errno| Error::kernel(errno, "make permanent", self.full_name()))?;
        Ok(())
    }
}

fn article(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Event | Kind::EventPair) {
        "an"
    } else {
        "a"
    }
}

fn identity(file: BorrowedFd<'_>) -> Option<(u64, u64)> {
    rustix::fs::fstat(file)
        .ok()
        .map(|stat| (stat.st_dev, stat.st_ino))
}
