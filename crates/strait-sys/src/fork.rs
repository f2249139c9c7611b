//! What a fork would spoil: knowing that one happened, state that threads share, and descriptors
//! the child must not keep.
//!
//! Record [`generation`] with state that belongs to one process (threads, rings, sessions) and
//! compare before use: a forked child sees another number. Wrap a descriptor whose closing others
//! watch, such as one with a liveness lock, with [`close_in_child`]: a child that kept it would
//! keep its owner alive after the owner's death. Keep what all threads share, and a child goes on
//! with, in a [`Guarded`]: a plain lock that another thread held at the fork stays locked in the
//! child for ever.
//!
//! Children made by `clone(2)` or `_Fork` directly run no handlers: they see another generation,
//! but keep the descriptors, and a lock that another thread held. `vfork` and `posix_spawn`
//! children run nothing of ours either; `exec` closes every descriptor there.
//!
//! `pthread_atfork(3)`, `madvise(2)` under `MADV_WIPEONFORK`.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::thread::futex;

use crate::slots::{Slot, Table};

/// The last generation known; inherited by a child, unlike the number in the wiped page.
static COUNTER: AtomicU32 = AtomicU32::new(1);
/// Where this process's generation is: in a page that a fork wipes to zero.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// In its place when there was no memory for the page; only `pthread_atfork` renews it then.
static INSTEAD: AtomicU32 = AtomicU32::new(1);

static CLOSED_IN_CHILD: Table<Number> = Table::new();
/// Held while something [`Guarded`] is used, while a registered descriptor is closed (a child must
/// never inherit a number that is registered but already belongs to another one), and by a fork.
static LOCK: Lock = Lock(AtomicU32::new(0));

thread_local! {
    /// Whether this thread holds the lock.
    static HOLDS: Cell<bool> = const { Cell::new(false) };
    /// Handlers of the fork under way in this thread that have run before it, and not after it.
    static FORKING: Cell<u32> = const { Cell::new(0) };
}

/// A number that differs in a forked child, and in its children again; never 0.
///
/// Only a process and its ancestors are told apart: two children of one parent may see the same
/// number. Two plain loads when nothing happened.
#[inline]
#[must_use]
pub fn generation() -> u32 {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: null, or a page that stays mapped for good and holds nothing but this atomic.
    if let Some(number) = unsafe { page.as_ref() } {
        let number = number.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
    }
    generation_anew(page)
}

/// The first call, or the first in a child that ran no handlers.
#[cold]
fn generation_anew(page: *mut AtomicU32) -> u32 {
    install();
    let page = if page.is_null() { add_page() } else { page };
    // SAFETY: not null, and mapped for good.
    let number = unsafe { &*page };
    if number.load(Ordering::Relaxed) == 0 {
        let next = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
        // One of the child's threads wins; the others take its number.
        let _ = number.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
    }
    number.load(Ordering::Relaxed)
}

fn add_page() -> *mut AtomicU32 {
    let len = rustix::param::page_size();
    let fresh = wiped_page(len).unwrap_or((&raw const INSTEAD).cast_mut());
    // SAFETY: a page of our own, or the static.
    unsafe { &*fresh }.store(COUNTER.load(Ordering::Relaxed), Ordering::Relaxed);
    match PAGE.compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(theirs) => {
            if fresh.cast_const() != &raw const INSTEAD {
                // SAFETY: mapped just now, and not published.
                let _ = unsafe { munmap(fresh.cast(), len) };
            }
            theirs
        }
    }
}

fn wiped_page(len: usize) -> Option<*mut AtomicU32> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice touches no existing memory.
    let page = unsafe { mmap_anonymous(null_mut(), len, protection, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the page is ours; only a child finds it zeroed, where zero is expected.
    let advised = unsafe { madvise(page, len, Advice::LinuxWipeOnFork) };
    if advised.is_err() {
        // SAFETY: mapped just now, and not published.
        let _ = unsafe { munmap(page, len) };
        return None;
    }
    Some(page.cast())
}

/// Has the descriptor closed in every child forked from now on, and on drop in this process.
///
/// The child lets go of the file at once, before `fork` returns there (in the parent it may return
/// earlier). The number stays taken there, by a
/// descriptor that answers `EBADF` to almost everything, until the guard is dropped: so that a
/// guard a child has inherited can never act on, or close, a file that was opened later.
///
/// # Panics
///
/// If 67 million descriptors are registered already.
#[must_use]
pub fn close_in_child(fd: OwnedFd) -> ChildClosed {
    install();
    let slot = CLOSED_IN_CHILD.take();
    let slot = slot.expect("the table has room for more descriptors than a process can have");
    slot.value.0.store(fd.as_raw_fd(), Ordering::Release);
    ChildClosed {
        fd: ManuallyDrop::new(fd),
        slot: Some(slot),
    }
}

/// A descriptor that forked children do not keep. See [`close_in_child`].
pub struct ChildClosed {
    fd: ManuallyDrop<OwnedFd>,
    /// Taken only on drop.
    slot: Option<Slot<Number>>,
}

impl ChildClosed {
    /// Whether a forked child had to close the number outright, having nothing to put there.
    fn is_gone(&self) -> bool {
        let number = |slot: &Slot<Number>| slot.value.0.load(Ordering::Relaxed);
        self.slot
            .as_ref()
            .is_some_and(|slot| number(slot) == Number::GONE)
    }

    /// The number leads to the file no more: something else in this process has closed it, or put
    /// another file there. From now on it is left alone, by forked children and on drop too.
    pub fn disown(&self) {
        if let Some(slot) = &self.slot {
            slot.value.0.store(Number::LOST, Ordering::Relaxed);
        }
    }

    /// Puts another file there, as a program may that takes the number for its own. For tests.
    #[cfg(feature = "test-kit")]
    pub fn lose(&self) {
        let null = Placeholder::open();
        // SAFETY: the number stays taken, so that nobody's descriptor is closed for it.
        unsafe { libc::dup3(null, self.fd.as_raw_fd(), libc::O_CLOEXEC) };
        // SAFETY: opened here and given to nobody.
        unsafe { libc::close(null) };
    }
}

impl Deref for ChildClosed {
    type Target = OwnedFd;

    /// # Panics
    ///
    /// In a forked child for which the kernel had no descriptor to put in the place of this one.
    fn deref(&self) -> &OwnedFd {
        assert!(!self.is_gone(), "use of a descriptor that the fork closed");
        &self.fd
    }
}

impl AsFd for ChildClosed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.deref().as_fd()
    }
}

impl fmt::Debug for ChildClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildClosed")
            .field(&self.fd.as_raw_fd())
            .finish()
    }
}

impl Drop for ChildClosed {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        let gone = matches!(
            slot.value.0.load(Ordering::Relaxed),
            Number::GONE | Number::LOST
        );
        let held = LOCK.hold();
        slot.value.0.store(Number::FREE, Ordering::Relaxed);
        if !gone {
            // SAFETY: dropped here only, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
        drop(held);
        CLOSED_IN_CHILD.give(slot);
    }
}

/// State of the whole process, which a forked child finds free and whole.
///
/// A child has one thread. A lock that another held at the fork is never released there, and what
/// it protects may be half changed. So a fork waits until nobody is in here. One lock serves all of
/// these: what is done under it must be short, wait for nobody, use no other one, and not fork.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: `with` lets one thread at a time at the value, and may let each of them drop it.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Guards `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Uses the value, alone.
    ///
    /// # Panics
    ///
    /// Within the use of another one, and where a [`ChildClosed`] is dropped within `run`: the one
    /// lock is held.
    pub fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        install();
        let _held = LOCK.hold();
        // SAFETY: the lock is held, and no thread holds it twice: this is the one reference.
        run(unsafe { &mut *self.0.get() })
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

/// Forks, and in the child runs `child` and ends with what it returns, 101 where it panics. The
/// process id of the child comes back. For tests of what a fork does to this library.
///
/// The child may do everything only because no lock can be held by a thread that it does not have:
/// the caller must be the one thread of its process, but for hidden ones of this library
/// (`strait-*`) and a main thread that only waits for it, as a test harness does.
///
/// # Errors
///
/// `EBUSY`: the process has other threads. `EAGAIN`: no more processes.
#[cfg(feature = "test-kit")]
pub fn run_child(child: impl FnOnce() -> u8) -> crate::Result<rustix::process::Pid> {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::Errno;

    if other_threads()? > 0 {
        return Err(Errno::BUSY);
    }
    // SAFETY: this thread is the only one that runs the program's code, so that the child finds
    // every lock of it free; libc takes care of its own.
    let pid = crate::checked(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(101);
        // SAFETY: ends the child here; the caller's frames are its parent's.
        unsafe { libc::_exit(code.into()) };
    }
    let pid = i32::try_from(pid).map_err(|_| Errno::IO)?;
    rustix::process::Pid::from_raw(pid).ok_or(Errno::IO)
}

/// Threads but the caller, the main one, and those of this library.
#[cfg(feature = "test-kit")]
fn other_threads() -> crate::Result<usize> {
    use crate::Errno;

    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let main = rustix::process::getpid().to_string();
    let caller = rustix::thread::gettid().to_string();
    let mut count = 0;
    for task in std::fs::read_dir("/proc/self/task").map_err(errno)? {
        let task = task.map_err(errno)?;
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else {
            // It has ended.
            continue;
        };
        let id = task.file_name();
        let known = id == *main || id == *caller || name.starts_with("strait-");
        count += usize::from(!known);
    }
    Ok(count)
}

/// A registered descriptor.
#[derive(Debug)]
struct Number(AtomicI32);

impl Number {
    const FREE: RawFd = -1;
    const GONE: RawFd = -2;
    const LOST: RawFd = -3;
}

impl Default for Number {
    fn default() -> Self {
        Self(AtomicI32::new(Self::FREE))
    }
}

fn install() {
    /// Threads that race here install the handlers more than once, which those allow for. A child
    /// of a fork at that moment would never see the end of a `Once`.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.load(Ordering::Acquire) {
        return;
    }
    add_handlers();
    INSTALLED.store(true, Ordering::Release);
}

pub(crate) fn add_handlers() {
    // SAFETY: the three functions make only async-signal-safe calls.
    let result = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    assert_eq!(result, 0, "pthread_atfork fails only without memory");
}

extern "C" fn prepare() {
    let before = FORKING.get();
    FORKING.set(before + 1);
    if before == 0 {
        LOCK.lock();
    }
}

/// Whether this is the last handler after the fork; then the lock is free again.
fn forked() -> bool {
    let left = FORKING.get().saturating_sub(1);
    FORKING.set(left);
    if left == 0 {
        LOCK.unlock();
    }
    left == 0
}

extern "C" fn in_parent() {
    forked();
}

/// Only async-signal-safe: the child of a process with threads may do no more.
extern "C" fn in_child() {
    if !forked() {
        return;
    }
    // SAFETY: null, or a page that stays mapped for good.
    if let Some(number) = unsafe { PAGE.load(Ordering::Relaxed).as_ref() } {
        let next = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
        number.store(next, Ordering::Relaxed);
    }
    let mut nothing = Placeholder {
        fd: -1,
        keep: false,
    };
    for number in CLOSED_IN_CHILD.each() {
        let fd = number.0.load(Ordering::Relaxed);
        if fd >= 0 && !nothing.put(fd) {
            number.0.store(Number::GONE, Ordering::Relaxed);
        }
    }
    nothing.close();
}

/// A descriptor that stands for nothing, put in the place of those a child must not have.
struct Placeholder {
    /// -1 until one is needed.
    fd: RawFd,
    /// It landed on a number that it was to stand on.
    keep: bool,
}

impl Placeholder {
    /// Lets go of the file at `fd`; whether the number is still taken.
    fn put(&mut self, fd: RawFd) -> bool {
        if self.fd < 0 {
            self.fd = Self::open();
        }
        // SAFETY: both numbers are ours: a fresh one, and one whose guard waits for this.
        if self.fd >= 0 && unsafe { libc::dup3(self.fd, fd, libc::O_CLOEXEC) } == fd {
            return true;
        }
        // SAFETY: the guard learns from the result whether it still owns the number.
        unsafe { libc::close(fd) };
        if self.fd < 0 {
            // There may have been no free number until now.
            self.fd = Self::open();
            self.keep = self.fd == fd;
            // SAFETY: as above; where the numbers are equal this does nothing.
            return self.fd >= 0 && unsafe { libc::dup2(self.fd, fd) } == fd && set_cloexec(fd);
        }
        false
    }

    /// A path without the right to use it; where there is no /dev, an empty file.
    fn open() -> RawFd {
        use std::os::fd::IntoRawFd;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = rustix::fs::open(c"/dev/null", flags, Mode::empty());
        let opened = opened.or_else(|_| rustix::fs::memfd_create(c"closed", MemfdFlags::CLOEXEC));
        opened.map_or(-1, IntoRawFd::into_raw_fd)
    }

    fn close(self) {
        if self.fd >= 0 && !self.keep {
            // SAFETY: opened here and given to nobody.
            unsafe { libc::close(self.fd) };
        }
    }
}

fn set_cloexec(fd: RawFd) -> bool {
    // SAFETY: sets a flag of a descriptor that is ours.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    true
}

/// A lock that one function may take and another release, as `pthread_atfork` asks.
/// 0: free, 1: held, 2: held and somebody sleeps.
struct Lock(AtomicU32);

/// The lock is held until this is dropped.
struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        LOCK.unlock();
        HOLDS.set(false);
    }
}

impl Lock {
    fn hold(&self) -> Held {
        assert!(!HOLDS.replace(true), "the lock of forks is not taken twice");
        self.lock();
        Held
    }

    fn lock(&self) {
        let free = self
            .0
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if free.is_ok() {
            return;
        }
        while self.0.swap(2, Ordering::Acquire) != 0 {
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, 2, None);
        }
    }

    fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            let _ = futex::wake(&self.0, futex::Flags::PRIVATE, 1);
        }
    }
}
