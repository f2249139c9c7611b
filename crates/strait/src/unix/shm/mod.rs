//! System V shared memory: segments found by a key, which stay until they are removed.
//!
//! Use it where other programs already do, or where memory must outlive all its users without a
//! file. Else use [`nt::Section`](crate::nt::Section), which has a name instead of a number, goes
//! with its last user, and can be sealed and sent. A segment tells nobody anything: use a
//! [semaphore](crate::unix::sem), an event, or a word that is slept on beside it.
//!
//! A view gives [`Word`](crate::Word)s (atomics) and bounded copies, never a reference: another
//! process may be writing at any moment.
//!
//! | System V | here |
//! | --- | --- |
//! | key, id, owner, mode; size as asked for | faithful; [`Key`] says which key to use |
//! | `shmat` for reading or for both; detached by `shmdt`, exec and exit, kept by fork | faithful: [`Segment::attach`] for [`Read`] or [`Write`]; detached when the view is dropped |
//! | an address of one's choice, `SHM_RND`, `SHM_REMAP` | left out: the kernel chooses. A chosen address can lie over memory in use, and no pointer into a view is ever shared |
//! | `SHM_EXEC` | left out: nothing runs code out of a view |
//! | `SHM_HUGETLB`, `SHM_NORESERVE` | [`SegmentOptions::huge`], [`SegmentOptions::unreserved`] |
//! | `SHM_LOCK` | [`Segment::lock`] |
//! | removal takes the key at once and the memory with the last detachment | faithful. On Linux the id can still be attached until then ([`Stat::removed`]); elsewhere it cannot, so that portable programs must not |
//! | `shmget` with IPC_CREAT: made or found? | [`Birth`] says it |
//! | no word on when the contents are ready | [`publish`], [`Segment::attach_published`] |
//!
//! # Traps
//!
//! - **Left behind.** A segment stays when all its users die. Remove it as soon as everybody who
//!   needs it has it attached; or see [`Stat::attached`], a count of views, not of processes.
//! - **A peer can die half way.** What a lock in the memory guards is then half changed, and the
//!   lock taken for ever: use a [`Mutant`](crate::nt::Mutant), or a semaphore with undo.
//! - **Promises.** Of unreserved memory or huge pages a first touch may find nothing: the view then
//!   says [`ErrorKind::Broken`], where a C program dies of SIGBUS. With memory overcommitted the
//!   kernel may kill a process instead.
//! - **A segment of somebody else's.** A key is a number that anybody can choose: who made it first
//!   decides who may use it. [`Segment::stat`] names owner and creator.
//! - **Reused ids.** Calls with the id of a segment that is gone fail with [`ErrorKind::Removed`];
//!   after 65,536 segments in one place (or 128, with `ipcmni_extend`) an id comes again.
//! - **Gone at logout.** systemd removes the segments of users who log out, unless `RemoveIPC=no`;
//!   and sysctl `kernel.shm_rmid_forced` removes what nobody has attached.
//!
//! Limits: see [`limits`].
//!
//! ```
//! use std::process::Command;
//! use std::sync::atomic::Ordering;
//! use std::time::Duration;
//! use strait::unix::ipc::Key;
//! use strait::unix::shm::{self, HEADER, Read, Segment, Write};
//!
//! let prices = Segment::create(Key::PRIVATE, 1 << 16, 0o600)?;
//! let view = prices.attach::<Write>()?;
//! view.word::<u64>(HEADER)?.store(42, Ordering::Relaxed);
//! shm::publish(&view, 1)?;
//! // ipcs(1), another process, sees that it is attached.
//! # if let Ok(output) =
//! Command::new("ipcs").args(["-m", "-i", &prices.id().to_string()]).output()
//! # { let said = String::from_utf8_lossy(&output.stdout).into_owned();
//! # assert!(said.contains("nattch=1") || !output.status.success(), "{said}"); }
//! # ;
//! let looks = prices.attach_published::<Read>(1, Duration::from_secs(5))?.expect("in time");
//! assert_eq!(looks.word::<u64>(HEADER)?.load(Ordering::Relaxed), 42);
//! prices.remove()?; // goes with the last view
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: sysvipc(7), shmget(2), shmop(2), shmctl(2).

mod fail;
mod published;
mod stat;

use strait_sys::map::Access;
use strait_sys::sysv_shm::{self, Memory};

use self::fail::Doing;
pub use self::published::{HEADER, publish};
pub use self::stat::{Limits, Stat, Usage, limits, list, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Birth;
pub use crate::object::view::{Mapping, Read, View, Write};
use crate::unix::ipc::{Key, Kind, facts};

/// Why pages of a view may be missing.
const MISSING: &str = "the kernel has no memory for it, which was promised without a reservation";

/// A segment, by its id. Dropping it does nothing: the segment stays until it is removed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use = "a segment that nobody knows stays in the kernel all the same"]
pub struct Segment {
    raw: sysv_shm::Segment,
    key: Key,
}

/// How a segment is born.
#[derive(Copy, Clone, Debug)]
#[must_use]
pub struct SegmentOptions {
    size: usize,
    mode: u32,
    memory: Memory,
}

impl SegmentOptions {
    /// Who may read (4: attach for [`Read`], look) and also write (2: attach for [`Write`], which
    /// takes both), in octal as for files; the umask does not matter. 0600 if nothing is said.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Of huge pages of the usual size, as sysctl `vm.nr_hugepages` sets them aside.
    #[doc(alias = "SHM_HUGETLB")]
    pub fn huge(mut self) -> Self {
        self.memory.huge = Some(0);
        self
    }

    /// Of huge pages of 2 to this power bytes: 21 for 2 MiB, 30 for 1 GiB.
    #[doc(alias = "SHM_HUGE_SHIFT")]
    pub fn huge_of(mut self, power: u8) -> Self {
        self.memory.huge = Some(power);
        self
    }

    /// Without memory set aside for it: more can be promised than there is.
    #[doc(alias = "SHM_NORESERVE")]
    pub fn unreserved(mut self) -> Self {
        self.memory.unreserved = true;
        self
    }

    /// Makes the segment; its bytes are zero.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if there is one of this key; [`ErrorKind::Exhausted`] if there are as
    /// many as may be, or no memory; [`ErrorKind::InvalidInput`] for 0 bytes, more than
    /// [`Limits::size`], a mode with other bits than read and write, or a size of huge pages that
    /// this machine does not have; [`ErrorKind::Denied`] if huge pages are not for this user.
    #[doc(alias = "shmget")]
    pub fn create(self, key: Key) -> Result<Segment> {
        let mode = facts::checked_mode("create", || Kind::Segment.of_key(key), self.mode)?;
        let raw = sysv_shm::Segment::create(key.raw(), self.size, mode, self.memory);
        let raw = raw.map_err(|errno| fail::of_birth(key, self.size, self.memory, errno))?;
        Ok(Segment { raw, key })
    }

    /// Makes it, or finds the segment of this key as it is, whoever made it. Its contents may not
    /// be there yet: see [`Segment::attach_published`].
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a segment of this key; [`ErrorKind::InvalidInput`] also
    /// if the one that was found is smaller; [`ErrorKind::Busy`] if it came and went a hundred
    /// times meanwhile.
    pub fn create_or_open(self, key: Key) -> Result<(Segment, Birth)> {
        let open = || {
            let segment = Segment::open(key)?;
            let size = segment.look(Doing::Stat)?.size;
            if size < self.size {
                let subject = fail::subject(&segment);
                let error = Error::new(ErrorKind::InvalidInput, "open", subject);
                return Err(error.because(format!("it has {size} bytes, not {}", self.size)));
            }
            Ok(segment)
        };
        let found = Birth::settle(|| self.create(key), open)?;
        found.ok_or_else(|| Kind::Segment.comes_and_goes(key))
    }
}

impl Segment {
    /// Options for a new segment of `size` bytes.
    pub fn options(size: usize) -> SegmentOptions {
        SegmentOptions {
            size,
            mode: 0o600,
            memory: Memory::default(),
        }
    }

    /// Makes a segment of `size` bytes. See [`SegmentOptions::mode`].
    ///
    /// # Errors
    /// As [`SegmentOptions::create`].
    pub fn create(key: Key, size: usize, mode: u32) -> Result<Self> {
        Self::options(size).mode(mode).create(key)
    }

    /// Makes it, or finds the segment of this key.
    ///
    /// # Errors
    /// As [`SegmentOptions::create_or_open`].
    pub fn create_or_open(key: Key, size: usize, mode: u32) -> Result<(Self, Birth)> {
        Self::options(size).mode(mode).create_or_open(key)
    }

    /// Finds the segment of this key. Whether this user may use it shows when it is used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::InvalidInput`] for
    /// [`Key::PRIVATE`], by which nothing is found: pass the [`id`](Self::id) on instead.
    pub fn open(key: Key) -> Result<Self> {
        let raw = sysv_shm::Segment::open(Kind::Segment.findable(key)?);
        let raw = raw.map_err(|errno| Kind::Segment.refused("open", key, errno))?;
        Ok(Self { raw, key })
    }

    /// The segment with this id.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`] if no segment has it (any more).
    pub fn from_id(id: i32) -> Result<Self> {
        let raw = sysv_shm::Segment::from_id(id);
        let mut segment = Self {
            raw,
            key: Key::PRIVATE,
        };
        segment.key = facts::key_of(segment.look(Doing::Stat).map(|stat| stat.perm))?;
        Ok(segment)
    }

    /// Its id: what other processes can find it by, also if it has no key.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.raw.id()
    }

    /// Its key; [`Key::PRIVATE`] if it has none.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Maps all of it, for [`Read`] or for [`Write`], which is both; detached when the view is
    /// dropped. A child made by fork has the views too.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] without read permission, or for [`Write`] without both;
    /// [`ErrorKind::Removed`] if it is gone; [`ErrorKind::Exhausted`] if there is no room for the
    /// mapping.
    #[doc(alias = "shmat")]
    pub fn attach<M: Mapping>(&self) -> Result<View<M>> {
        let map = self.raw.attach(M::ACCESS).map_err(|errno| {
            let doing = Doing::Attach(M::ACCESS == Access::Write);
            fail::of(self, errno, doing)
        })?;
        Ok(View::new(map, fail::subject(self), MISSING))
    }

    /// Keeps its pages in memory, each from when it is first touched, until it is unlocked or gone.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for others than owner, creator and CAP_IPC_LOCK, or where nothing may
    /// be locked; [`ErrorKind::Exhausted`] for more than RLIMIT_MEMLOCK; [`ErrorKind::Removed`].
    #[doc(alias = "SHM_LOCK")]
    pub fn lock(&self) -> Result<()> {
        let result = self.raw.lock();
        result.map_err(|errno| fail::of(self, errno, Doing::Lock))
    }

    /// Lets its pages be swapped out again.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[doc(alias = "SHM_UNLOCK")]
    pub fn unlock(&self) -> Result<()> {
        let result = self.raw.unlock();
        result.map_err(|errno| fail::of(self, errno, Doing::Lock))
    }

    /// Removes its key at once; the memory goes when nobody has it attached any more.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for others than owner, creator and CAP_SYS_ADMIN;
    /// [`ErrorKind::Removed`] if it is gone.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        let result = self.raw.remove();
        result.map_err(|errno| fail::of(self, errno, Doing::Remove))
    }
}
