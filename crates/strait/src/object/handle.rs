//! Handles: what keeps an object alive, plus rights.
//!
//! [`Handle`] is common to every kind; [`Object`] adds the mapped state of those that wait, and
//! [`Spot`] is one waitable word of it, as the commit protocol sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::fs::Mode;
use strait_sys::cell::{ReadOnly, Word};
use strait_sys::futex;
use strait_sys::map::{Access, Map};
use strait_sys::memfd;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{self, Domain, Scribe};
use crate::object::commit::txn::{self, Author, Cell, Place};
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::layout::{self, CORE, CORE_SPACING, Header, PAGE, STATE};
use crate::object::life::{self, Held, Mapping};
use crate::object::name::Name;
use crate::object::secure::Security;
use crate::object::space::Namespace;
use crate::object::word::{Rule, State};

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
    home: Home,
    domain_of: Option<Namespace>,
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

fn fresh_id() -> Result<u32> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::kernel(errno, "create", ""))?;
    Ok(u32::from_ne_bytes(bytes))
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
                (Some((space, _)), _) => space.domain()?,
                (None, true) => self
                    .space
                    .clone()
                    .map_or_else(Namespace::local, Ok)?
                    .domain()?,
                (None, false) => Domain::private()?,
            };
            Ok(domain::seat(&domain)?.token)
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
            space.domain()?.id(),
            fresh_id()?,
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
            let header = plan.header(0, fresh_id()?, b"", false);
            return Ok(Handle::over(header, None, Home::Private, None));
        }
        let space = self.space.clone().map_or_else(Namespace::local, Ok)?;
        let header = plan.header(space.domain()?.id(), fresh_id()?, b"", false);
        let fail = |errno| Error::kernel(errno, "create", "");
        let file =
            memfd::create(c"strait", header.file_len(), Mode::RUSR | Mode::WUSR).map_err(fail)?;
        life::write_all(&file, 0, &header.encode()).map_err(fail)?;
        life::write_all(&file, header.data_offset() as u64, data).map_err(fail)?;
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
            generation: 0,
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
            header,
            name,
            home,
            domain_of,
        }
    }

    fn named(
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
        let handle = Self {
            kind: found,
            rights,
            header,
            name: Some(name),
            home,
            domain_of: Some(space),
        };
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
        match &self.home {
            Home::Private => None,
            Home::Memfd(file) => Some(file.as_fd()),
            Home::Named { file, .. } => file.as_ref().map(AsFd::as_fd),
        }
    }

    /// A description to map a view from, where the handle's own will not do: a view keeps the memory,
    /// but not the name, so that it must not hold on to the lock.
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

    /// Whether two handles are of one object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.home, &other.home) {
            (Home::Private, Home::Private) => std::ptr::eq(self, other),
            _ => match (self.file(), other.file()) {
                (Some(one), Some(two)) => same_file(one, two),
                _ => false,
            },
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
        Ok(Self {
            kind: self.kind,
            rights,
            header: self.header.clone(),
            name: self.name.clone(),
            home,
            domain_of: self.domain_of.clone(),
        })
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
        let header = life::read_header(&file, u64::try_from(stat.st_size).unwrap_or(0))?;
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
        let mut handle = Self::over(header, None, Home::Private, Some(space.clone()));
        handle.rights = rights;
        if handle.header.name.is_empty() {
            if !memfd::is_sealed(file.as_fd()) {
                return Err(wrong("an unnamed object must be a sealed memfd"));
            }
            handle.home = Home::Memfd(file);
            return Ok(handle);
        }
        let name = Name::from_header(&handle.header.name).ok_or_else(|| wrong("a bad name"))?;
        let (key, inode) = (name.key(), stat.st_ino);
        // A sound header proves nothing: only a file of the namespace can be closed by its protocol,
        // and only one that we lock ourselves is surely held.
        if !life::hold(&space, &key, &file)? {
            return Err(wrong("it is not the file of that name in its namespace"));
        }
        handle.name = Some(name);
        handle.home = Home::Named {
            space,
            key,
            inode,
            file: Some(file),
        };
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

fn same_file(one: BorrowedFd<'_>, two: BorrowedFd<'_>) -> bool {
    let stat = |fd| {
        rustix::fs::fstat(fd)
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    };
    stat(one).is_some() && stat(one) == stat(two)
}

// ---- objects that wait ---------------------------------------------------------------------

/// Private objects share maps: one of 64 KiB holds 256.
const SLAB: usize = 64 * 1024;
const SLAB_OBJECT: usize = 256;

#[derive(Debug)]
struct Slab {
    map: Map,
    free: Vec<usize>,
}

static SLABS: Mutex<Vec<Slab>> = Mutex::new(Vec::new());

fn slabs() -> std::sync::MutexGuard<'static, Vec<Slab>> {
    SLABS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn slab_take() -> Result<(Map, usize)> {
    let mut slabs = slabs();
    if let Some(slab) = slabs.iter_mut().rev().find(|slab| !slab.free.is_empty()) {
        let at = slab.free.pop().expect("looked for a slab that has one");
        return Ok((slab.map.clone(), at));
    }
    let map = Map::private(SLAB).map_err(|errno| Error::kernel(errno, "create", "(unnamed)"))?;
    let free = (1..SLAB / SLAB_OBJECT)
        .map(|index| index * SLAB_OBJECT)
        .collect();
    slabs.push(Slab {
        map: map.clone(),
        free,
    });
    Ok((map, 0))
}

fn slab_give(map: &Map, at: usize) {
    let mut slabs = slabs();
    if let Some(slab) = slabs
        .iter_mut()
        .find(|slab| slab.map.address() == map.address())
    {
        slab.free.push(at);
    }
}

/// A handle to an object that waits, and its mapped state.
#[derive(Debug)]
pub(crate) struct Object {
    /// Unmapped before the handle is closed: a map keeps the description alive, and its lock.
    pub(crate) map: Map,
    pub(crate) handle: Handle,
    base: usize,
    rule: Rule,
    pub(crate) domain: Arc<Domain>,
    in_slab: bool,
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.in_slab {
            slab_give(&self.map, self.base);
        }
    }
}

impl Object {
    /// Maps the state of the object behind `handle`.
    pub(crate) fn new(handle: Handle, rule: Rule) -> Result<Self> {
        let subject = handle.full_name();
        Self::map(handle, rule).map_err(|error| error.during("map object", subject))
    }

    fn map(handle: Handle, rule: Rule) -> Result<Self> {
        let domain = handle.domain()?;
        let (map, base, in_slab) = match handle.file() {
            None if handle.kind == Kind::Timer => {
                let map = Map::private(PAGE).map_err(|errno| Error::kernel(errno, "map", ""))?;
                (map, CORE, false)
            }
            None => {
                let (map, base) = slab_take()?;
                (map, base, true)
            }
            Some(file) => {
                let access = if handle.rights.writes() {
                    Access::Write
                } else {
                    Access::Read
                };
                let map = Map::shared(file, 0, handle.header.data_offset(), access)
                    .map_err(|errno| Error::kernel(errno, "map", ""))?;
                (map, CORE, false)
            }
        };
        let object = Self {
            map,
            handle,
            base,
            rule,
            domain,
            in_slab,
        };
        if object.handle.is_private() {
            for core in 0..2 {
                let spot = object.spot(core);
                spot.clear();
                Cell::store(spot.cell(), object.handle.header.states[core]);
            }
        }
        Ok(object)
    }

    /// One of its words.
    pub(crate) fn spot(&self, core: usize) -> Spot<'_> {
        Spot { object: self, core }
    }

    /// Fails if the memory was found truncated.
    pub(crate) fn check_whole(&self, verb: &'static str) -> Result<()> {
        if self.map.is_broken() {
            return Err(Error::new(ErrorKind::Broken, verb, self.handle.full_name())
                .because("a process with write access truncated it"));
        }
        Ok(())
    }

    pub(crate) fn require(&self, rights: Rights, verb: &'static str) -> Result<()> {
        if self.handle.rights.includes(rights) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, verb, self.handle.full_name())
            .because("the handle was opened or duplicated with fewer rights"))
    }

    pub(crate) fn has_flag(&self, flag: u32) -> bool {
        self.handle.header.flags & flag != 0
    }
}

/// One waitable word of an object.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) object: &'a Object,
    core: usize,
}

impl Cell for Word<'_, u64> {
    fn load(self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn store(self, value: u64) {
        self.store(value, Ordering::SeqCst);
    }

    fn cas(self, old: u64, new: u64) -> std::result::Result<(), u64> {
        self.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
    }
}

impl<'a> Spot<'a> {
    fn at(&self, field: usize) -> usize {
        self.object.base + self.core * CORE_SPACING + field
    }

    /// The state word. Only for handles with write access, which callers have checked.
    pub(crate) fn cell(&self) -> Word<'a, u64> {
        self.object
            .map
            .word(self.at(STATE))
            .expect("cores lie within every map that may be written")
    }

    pub(crate) fn look(&self) -> Word<'a, u64, ReadOnly> {
        self.object
            .map
            .look(self.at(STATE))
            .expect("cores lie within every map")
    }

    pub(crate) fn half(&self, field: usize) -> Word<'a, u32> {
        self.object
            .map
            .word(self.at(field))
            .expect("cores lie within every map that may be written")
    }

    pub(crate) fn half_look(&self, field: usize) -> Word<'a, u32, ReadOnly> {
        self.object
            .map
            .look(self.at(field))
            .expect("cores lie within every map")
    }

    fn clear(&self) {
        for field in [layout::TICKET_MARK, layout::BELL_MARK, layout::RECURSION] {
            self.half(field).store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn core(&self) -> usize {
        self.core
    }

    pub(crate) fn is_private(&self) -> bool {
        self.object.handle.is_private()
    }

    /// Whether two spots are one word.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.core == other.core
            && (std::ptr::eq(self.object, other.object)
                || self.object.handle.is_same(&other.object.handle))
    }

    /// The order in which every process marks: it keeps crossing transactions from aborting each
    /// other for ever.
    pub(crate) fn order(&self) -> (bool, u32, usize, usize) {
        let header = &self.object.handle.header;
        (
            self.is_private(),
            header.id,
            self.core,
            self.object.map.address() + self.object.base,
        )
    }

    /// The state without its mark, for those who may only look: what is committed counts.
    pub(crate) fn observe(&self) -> State {
        let state = State(self.look().load(Ordering::SeqCst));
        if !state.locked() {
            return state;
        }
        match self.status_of(state.slot()) {
            Some(status) if txn::decided(status, state.seq()) => {
                self.rule()
                    .finish(state, txn::op_of(status), self.token_of(state.slot()))
            }
            _ => state.unmarked(),
        }
    }
}

impl<'a> Place for Spot<'a> {
    type Cell = Word<'a, u64>;

    fn state(&self) -> Word<'a, u64> {
        self.cell()
    }

    fn rule(&self) -> Rule {
        self.object.rule
    }

    fn status_of(&self, slot: u16) -> Option<u64> {
        if self.is_private()
            && let Some((domain, slot)) = domain::redirected(&self.object.domain, slot)
        {
            return Some(domain.status(slot)?.load(Ordering::SeqCst));
        }
        Some(self.object.domain.status(slot)?.load(Ordering::SeqCst))
    }

    fn overrule(&self, slot: u16, old: u64, new: u64) {
        let cas = |domain: &Domain, slot| {
            if let Some(status) = domain.status(slot) {
                // Lost: its author or another has decided meanwhile.
                let _ = status.cas(old, new);
            }
        };
        match domain::redirected(&self.object.domain, slot) {
            Some((domain, slot)) if self.is_private() => cas(&domain, slot),
            _ => cas(&self.object.domain, slot),
        }
    }

    fn token_of(&self, slot: u16) -> u32 {
        self.object.domain.token(slot)
    }

    fn enlisted(&self, slot: u16) -> bool {
        let id = self.object.handle.header.id;
        if self.is_private()
            && let Some((domain, slot)) = domain::redirected(&self.object.domain, slot)
        {
            return domain.names(slot, id);
        }
        self.object.domain.names(slot, id)
    }
}

impl<'a> Author<Spot<'a>> for Scribe<'a> {
    fn status(&self) -> Word<'a, u64> {
        Scribe::status(self)
    }

    fn slot(&self, place: &Spot<'a>) -> u16 {
        self.seat_for(place.is_private()).slot
    }

    fn token(&self, place: &Spot<'a>) -> u32 {
        self.seat_for(place.is_private()).token
    }

    fn enlist(&self, places: &[&Spot<'a>]) -> u32 {
        Scribe::enlist(
            self,
            places.iter().map(|place| place.object.handle.header.id),
        )
    }

    fn decide_and_wake(&self, place: &Spot<'a>) {
        let status = Scribe::status(self);
        if futex::wake_op_or(place.cell().low(), status.low(), 1).is_err() {
            // The memory was truncated under the kernel's feet: decide, and wake what can be woken.
            status.fetch_or(1, Ordering::SeqCst);
            let _ = futex::wake(place.cell().low(), u32::MAX >> 1);
        }
    }
}
