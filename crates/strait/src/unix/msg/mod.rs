//! System V message queues: messages with a type, kept by the kernel until somebody takes them.
//!
//! Use one to hand whole messages from any number of senders to any number of receivers, who choose
//! them by type; senders and receivers need not live at the same time. Use something else for bulk
//! data (a message has 8 KiB), for a session with one peer (a [socket](crate::unix::socket)), and
//! for what should vanish with its users: a queue stays until it is [removed](Queue::remove).
//! [POSIX queues](crate::unix::mqueue) are descriptors and have priorities instead of types.
//!
//! | System V | here |
//! | --- | --- |
//! | key, id, owner, mode; who may read may receive | faithful; [`Key`] says which key to use |
//! | `msgtyp` 0, above, below 0, `MSG_EXCEPT` | faithful: [`Select`]; a type below 1 is refused, not reinterpreted |
//! | `E2BIG` leaves the message, `MSG_NOERROR` cuts it | faithful: [`Buffer::cutting`]; [`Queue::recv`] makes room by itself |
//! | a struct that begins with a `long` | the type and the bytes apart: nothing of the struct's padding is sent |
//! | `EINTR`, never restarted | asked again; a time-out goes on counting |
//! | no time-outs | [`Queue::recv_for`], [`Queue::send_for`] |
//! | no descriptor | [`Queue::receiving`] joins any [wait](crate::wait) |
//! | `msgget` with IPC_CREAT: made or found? | [`Birth`] says it |
//!
//! # Traps
//!
//! - **A queue of somebody else's.** A key is a number that anybody can choose: who made the queue
//!   first decides who may read it. [`Queue::stat`] names owner and creator.
//! - **Full by count.** A queue takes at most `bytes_max` bytes of text and also at most as many
//!   *messages*, so that empty ones fill it too.
//! - **Too long for ever.** Where an administrator allows messages longer than a queue
//!   (`kernel.msgmax` above its `bytes_max`), sending such a one waits for room that never comes.
//! - **Reused ids.** An id is a place in the kernel's table and a count of its uses, so that the id
//!   of a removed queue is not soon another's: calls with it fail with
//!   [`ErrorKind::Removed`](crate::ErrorKind::Removed), also where a new queue has the same key.
//!   After 65,536 queues in one place (or 128, with `ipcmni_extend`) an id comes again.
//! - **Killed receivers.** What a process has received dies with it.
//! - **Gone at logout.** systemd removes the queues of users who log out, unless `RemoveIPC=no`.
//! - **Type 1 to 2^63 - 1.** Types are 64 bits wide here and 32 in a 32-bit process.
//!
//! Limits: see [`limits`]. There is no way to wait for *room* in a queue together with other
//! things, as there is none in the kernel: [`Queue::send_for`] tries again and again.
//!
//! ```
//! use std::process::Command;
//! use strait::unix::ipc::Key;
//! use strait::unix::msg::{Queue, Select};
//!
//! let orders = Queue::create(Key::PRIVATE, 0o600)?;
//! orders.send(3, b"two coffees")?;
//! orders.send(9, b"the bill")?;
//! // Another process, cat(1), sees that it is there.
//! let cat = Command::new("cat").arg("/proc/sysvipc/msg").output().expect("cat runs");
//! assert!(String::from_utf8_lossy(&cat.stdout).contains(&format!(" {} ", orders.id())));
//! for message in orders.peek() {
//!     println!("{}", String::from_utf8_lossy(&message?.bytes));
//! }
//! assert_eq!(orders.recv(Select::Lowest(8))?.bytes, b"two coffees");
//! assert!(orders.try_recv(Select::Type(3))?.is_none());
//! orders.remove()?;
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: sysvipc(7), msgget(2), msgop(2), msgctl(2), proc_sysvipc(5).

mod fail;
mod message;
mod peek;
mod receiving;
mod stat;

use std::time::Duration;

use strait_sys::Errno;
use strait_sys::sysv_msg::{self, Flags, STAGED_MAX};
use strait_sys::time::Deadline;
use zerocopy::{Immutable, IntoBytes};

use self::fail::Doing;
pub use self::message::{Buffer, Message, Select};
pub use self::peek::Peek;
pub use self::receiving::Receiving;
#[cfg(feature = "test-kit")]
pub(crate) use self::stat::row;
pub use self::stat::{Limits, Stat, Usage, limits, list, usage};
use crate::error::{Error, Result};
use crate::object::Birth;
use crate::unix::ipc::{Key, Kind, facts};

/// The pauses of [`Queue::send_for`] between two attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(1));

/// What [`Limits::message_bytes`] is called, for messages to people.
pub const MESSAGE_LIMIT: &str = "msgmax, see sysctl kernel.msgmax";

/// A queue, by its id. Dropping it does nothing: the queue stays until it is removed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use = "a queue that nobody knows stays in the kernel all the same"]
pub struct Queue {
    raw: sysv_msg::Queue,
    key: Key,
}

impl Queue {
    /// Makes a queue. `mode` says who may read (4: receive, look) and write (2: send), in octal as
    /// for files; the umask does not matter.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) if there is one of this key;
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) if there are as many as may be;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a mode with other bits than
    /// read and write.
    #[doc(alias = "msgget")]
    pub fn create(key: Key, mode: u32) -> Result<Self> {
        let mode = facts::checked_mode("create", || Kind::Queue.of_key(key), mode)?;
        let raw = sysv_msg::Queue::create(key.raw(), mode);
        let raw = raw.map_err(|errno| fail::of_birth(key, errno))?;
        Ok(Self { raw, key })
    }

    /// Makes it, or finds the queue of this key as it is, whoever made it.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a queue of this key;
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if it came and went a hundred times meanwhile.
    pub fn create_or_open(key: Key, mode: u32) -> Result<(Self, Birth)> {
        let found = Birth::settle(|| Self::create(key, mode), || Self::open(key))?;
        found.ok_or_else(|| Kind::Queue.comes_and_goes(key))
    }

    /// Finds the queue of this key. Whether this user may use it shows when it is used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is none;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for [`Key::PRIVATE`], by which
    /// nothing is found: pass the [`id`](Self::id) on instead.
    pub fn open(key: Key) -> Result<Self> {
        let raw = sysv_msg::Queue::open(Kind::Queue.findable(key)?);
        let raw = raw.map_err(|errno| Kind::Queue.refused("open", key, errno))?;
        Ok(Self { raw, key })
    }

    /// The queue with this id.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed) if no queue has it (any more).
    pub fn from_id(id: i32) -> Result<Self> {
        let raw = sysv_msg::Queue::from_id(id);
        let mut queue = Self {
            raw,
            key: Key::PRIVATE,
        };
        let looked = queue.look().map(|stat| stat.perm);
        queue.key = facts::key_of(looked.map_err(|errno| fail::of(&queue, errno, Doing::Stat)))?;
        Ok(queue)
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

    /// Sends a message of this type, 1 or more; waits for room.
    ///
    /// Up to 8 KiB are put together on the stack, longer texts in memory of their own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a type below 1;
    /// [`ErrorKind::TooLong`](crate::ErrorKind::TooLong) for a text longer than
    /// [`Limits::message_bytes`]; [`ErrorKind::Denied`](crate::ErrorKind::Denied) without write
    /// permission; [`ErrorKind::Removed`](crate::ErrorKind::Removed), also while it waits.
    #[doc(alias = "msgsnd")]
    #[inline]
    pub fn send(&self, kind: i64, bytes: &[u8]) -> Result<()> {
        self.put(kind, bytes, Flags::NONE).map(drop)
    }

    /// [`send`](Self::send) without waiting; false: there is no room, and nothing was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send(&self, kind: i64, bytes: &[u8]) -> Result<bool> {
        self.put(kind, bytes, Flags::NOWAIT)
    }

    /// [`send`](Self::send) that waits for at most `timeout`; false: there was no room, and nothing
    /// was sent.
    ///
    /// The kernel has no such call: while the queue is full this tries again after 50 microseconds,
    /// and less and less often, up to every millisecond. Others who wait in [`send`](Self::send) go
    /// first.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`ErrorKind::TooLong`](crate::ErrorKind::TooLong) also for a text
    /// that is longer than the queue as it is now.
    pub fn send_for(&self, kind: i64, bytes: &[u8], timeout: Duration) -> Result<bool> {
        if self.try_send(kind, bytes)? {
            return Ok(true);
        }
        if let Ok(stat) = self.look()
            && bytes.len() as u64 > stat.bytes_max
        {
            return Err(fail::never_fits(self, bytes.len(), stat.bytes_max));
        }
        paced(Deadline::after(timeout), || {
            Ok(self.try_send(kind, bytes)?.then_some(()))
        })
        .map(|sent| sent.is_some())
    }

    /// Sends a value of plain data: what `zerocopy` knows to have no padding.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_value<T>(&self, kind: i64, value: &T) -> Result<()>
    where
        T: IntoBytes + Immutable + ?Sized,
    {
        self.send(kind, value.as_bytes())
    }

    /// Receives a message, however long it is; waits for one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a type below 1;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without read permission;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed), also while it waits.
    #[doc(alias = "msgrcv")]
    pub fn recv(&self, select: Select) -> Result<Message> {
        let (number, flags) = self.wanted(select)?;
        self.take(number, flags)
            .map_err(|errno| self.not_received(errno, STAGED_MAX))
    }

    /// [`recv`](Self::recv) without waiting; `None`: there is no such message.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self, select: Select) -> Result<Option<Message>> {
        let (number, flags) = self.wanted(select)?;
        match self.take(number, flags | Flags::NOWAIT) {
            Ok(message) => Ok(Some(message)),
            Err(Errno::NOMSG) => Ok(None),
            Err(errno) => Err(self.not_received(errno, STAGED_MAX)),
        }
    }

    /// Receives a message into `buffer`, which holds nothing else then; waits for one. Allocates
    /// nothing.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`](crate::ErrorKind::TooLong) for a message that does not fit: it stays
    /// in the queue, and how long it is the kernel does not say ([`recv`](Self::recv) takes it
    /// whatever its length). Otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&self, select: Select, buffer: &mut Buffer) -> Result<()> {
        self.fill(select, buffer, Flags::NONE).map(drop)
    }

    /// [`recv_into`](Self::recv_into) without waiting; false: there is no such message.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into).
    pub fn try_recv_into(&self, select: Select, buffer: &mut Buffer) -> Result<bool> {
        self.fill(select, buffer, Flags::NOWAIT)
    }

    /// Removes the queue and what is in it, for everybody, at once. Whoever waits on it is told
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) for others than owner, creator and
    /// CAP_SYS_ADMIN; [`ErrorKind::Removed`](crate::ErrorKind::Removed) if it was removed before.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        let result = self.raw.remove();
        result.map_err(|errno| fail::of(self, errno, Doing::Remove))
    }

    #[inline]
    fn put(&self, kind: i64, bytes: &[u8], flags: Flags) -> Result<bool> {
        if kind < 1 {
            return Err(fail::no_type(self, Doing::Send(0), kind));
        }
        loop {
            match self.raw.send_text(kind, bytes, flags) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                // Only with NOWAIT.
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(fail::of(self, errno, Doing::Send(bytes.len()))),
            }
        }
    }

    #[inline]
    fn fill(&self, select: Select, buffer: &mut Buffer, flags: Flags) -> Result<bool> {
        let (number, only) = self.wanted(select)?;
        loop {
            let (room, cuts) = buffer.room();
            match self.raw.recv_with(room, number, flags | only | cuts) {
                Ok(len) => {
                    buffer.filled(len);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                // Only with NOWAIT.
                Err(Errno::NOMSG) => return Ok(false),
                Err(errno) => return Err(self.not_received(errno, buffer.len_max())),
            }
        }
    }

    /// Receives or copies a message of any length.
    fn take(&self, number: i64, flags: Flags) -> std::result::Result<Message, Errno> {
        loop {
            let (kind, bytes) = match self.raw.recv_text(number, flags) {
                Err(Errno::INTR) => continue,
                Err(Errno::TOOBIG) => match self.take_long(number, flags) {
                    Err(Errno::INTR | Errno::TOOBIG) => continue,
                    other => other?,
                },
                other => other?,
            };
            return Ok(Message { kind, bytes });
        }
    }

    /// The same for one that is longer than what the stack is for.
    #[cold]
    fn take_long(&self, number: i64, flags: Flags) -> std::result::Result<(i64, Vec<u8>), Errno> {
        // No message in it has more. The kernel holds as much: there is no worse surprise here.
        let room = usize::try_from(self.look()?.bytes).map_err(|_| Errno::NOMEM)?;
        let mut buffer = Buffer::new(room);
        let len = self.raw.recv_with(buffer.room().0, number, flags)?;
        buffer.filled(len);
        Ok((buffer.kind(), buffer.bytes().to_vec()))
    }

    #[inline]
    fn wanted(&self, select: Select) -> Result<(i64, Flags)> {
        select
            .raw()
            .map_err(|kind| fail::no_type(self, Doing::Recv(0), kind))
    }

    #[cold]
    fn not_received(&self, errno: Errno, room: usize) -> Error {
        fail::of(self, errno, Doing::Recv(room))
    }
}

/// Tries until it succeeds or the time is up, at first often.
fn paced<T>(
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let (mut pause, longest) = PAUSE;
    loop {
        let left = deadline.left();
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(pause.min(left));
        if let Some(done) = attempt()? {
            return Ok(Some(done));
        }
        pause = longest.min(pause * 2);
    }
}
