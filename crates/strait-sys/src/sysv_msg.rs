//! System V message queues: `msgget(2)`, `msgop(2)`, `msgctl(2)`.
//!
//! A queue is a number, not a descriptor: it lives until it is [removed](Queue::remove), whoever
//! made it. A message is its type, eight bytes in the machine's order and above 0, and then its
//! text, in one buffer, as the kernel has it. [`Queue::send_with`] and [`Queue::recv_with`] copy
//! nothing; [`Queue::send_text`] and [`Queue::recv_text`] put the two together on the stack.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ops::BitOr;
use core::ptr::{null_mut, slice_from_raw_parts};

use rustix::fs::Mode;

use crate::sysv::Perm;
use crate::{Errno, Result, checked};

/// Bytes of a message before its text.
pub const TYPE_LEN: usize = size_of::<c_long>();

/// The longest text that is put together on the stack: what a queue takes unless the administrator
/// says otherwise (`MSGMAX` of `linux/msg.h`).
pub const STAGED_MAX: usize = 8192;

/// A text up to this long takes little of the stack.
const SMALL_MAX: usize = 1024;

/// MSG_STAT_ANY of `linux/msg.h` (Linux 4.17): the libc crate lacks it.
const MSG_STAT_ANY: c_int = 13;

/// How a call behaves.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Flags(c_int);

impl Flags {
    /// Waits, and keeps what does not fit.
    pub const NONE: Self = Self(0);
    /// `EAGAIN` or `ENOMSG` instead of waiting.
    pub const NOWAIT: Self = Self(libc::IPC_NOWAIT);
    /// What does not fit is cut off, and lost, instead of `E2BIG`.
    pub const NOERROR: Self = Self(libc::MSG_NOERROR);
    /// Any type but that one.
    pub const EXCEPT: Self = Self(libc::MSG_EXCEPT);
    /// A copy of the message at this index, which stays; only with [`NOWAIT`](Self::NOWAIT).
    pub const COPY: Self = Self(libc::MSG_COPY);
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A queue in the kernel, by its number.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Queue(c_int);

/// What the kernel says of a queue (`msqid_ds`).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Stat {
    /// Whose it is.
    pub perm: Perm,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of text in it.
    pub bytes: u64,
    /// The most bytes of text, and the most messages, that it takes.
    pub bytes_max: u64,
    /// Who sent last; 0 if nobody did.
    pub last_sender: i32,
    /// Who received last; 0 if nobody did.
    pub last_receiver: i32,
    /// When the last message was sent, in seconds since 1970; 0 if none was.
    pub sent_s: i64,
    /// When the last one was received, likewise.
    pub received_s: i64,
    /// When it was made, or last changed.
    pub changed_s: i64,
}

/// The limits of this IPC namespace, and how much of them is used (`msginfo`).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Info {
    /// The highest index in use.
    pub index_max: i32,
    /// Queues there are.
    pub queues: i32,
    /// Messages in all of them.
    pub messages: i32,
    /// Bytes of text in all of them; the kernel counts no further than an `int` has it.
    pub bytes: i32,
    /// The longest text of a message, in bytes.
    pub text_max: i32,
    /// The bytes that a new queue takes.
    pub bytes_max: i32,
    /// The most queues.
    pub queues_max: i32,
}

/// A message put together: type and text, as the kernel takes and gives it.
#[repr(C)]
struct Staged<const MAX: usize> {
    kind: c_long,
    text: [MaybeUninit<u8>; MAX],
}

impl<const MAX: usize> Staged<MAX> {
    const fn new(kind: c_long) -> Self {
        Self {
            kind,
            text: [const { MaybeUninit::uninit() }; MAX],
        }
    }
}

impl Queue {
    /// The queue of that number, if there is one: every call asks the kernel anew.
    #[must_use]
    pub const fn from_id(id: i32) -> Self {
        Self(id)
    }

    /// Makes the queue with this key; key 0 (`IPC_PRIVATE`) always makes a new one.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one. `ENOSPC`, `ENOMEM`: the system has no more room for queues.
    pub fn create(key: i32, mode: Mode) -> Result<Self> {
        let bits = c_int::try_from(mode.bits()).map_err(|_| Errno::INVAL)?;
        Self::get(key, bits | libc::IPC_CREAT | libc::IPC_EXCL)
    }

    /// The queue with this key.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none. `EACCES`: not for this user.
    pub fn open(key: i32) -> Result<Self> {
        // IPC_PRIVATE would make a queue.
        if key == libc::IPC_PRIVATE {
            return Err(Errno::NOENT);
        }
        Self::get(key, 0)
    }

    fn get(key: i32, flags: c_int) -> Result<Self> {
        // SAFETY: the call takes two integers.
        let result = unsafe { libc::msgget(key, flags) };
        checked(c_long::from(result)).map(|_| Self(result))
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Sends one message, type and text; waits for room.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no type, a type below 1, more text than a queue takes (`msgmax`), or no such
    /// queue. `EIDRM`: the queue was removed. `EINTR`: a signal came. `EACCES`: not for this user.
    pub fn send(self, message: &[u8]) -> Result<()> {
        self.send_with(message, Flags::NONE)
    }

    /// [`send`](Self::send), with flags.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). `EAGAIN`: no room, and not to wait.
    pub fn send_with(self, message: &[u8], flags: Flags) -> Result<()> {
        let len = message.len().checked_sub(TYPE_LEN).ok_or(Errno::INVAL)?;
        // SAFETY: the buffer holds the type and `len` bytes more.
        let result = unsafe { libc::msgsnd(self.0, message.as_ptr().cast(), len, flags.0) };
        checked(c_long::from(result)).map(drop)
    }

    /// Sends a text with this type.
    ///
    /// # Errors
    ///
    /// As [`send_with`](Self::send_with).
    #[inline]
    pub fn send_text(self, kind: i64, text: &[u8], flags: Flags) -> Result<()> {
        let len = text.len();
        if len <= SMALL_MAX {
            self.send_staged::<SMALL_MAX>(kind, text, flags)
        } else if len <= STAGED_MAX {
            self.send_staged::<STAGED_MAX>(kind, text, flags)
        } else {
            self.send_with(&[&kind.to_ne_bytes(), text].concat(), flags)
        }
    }

    // Not inlined: its caller should not have this on its stack when it calls something else.
    #[inline(never)]
    fn send_staged<const MAX: usize>(self, kind: i64, text: &[u8], flags: Flags) -> Result<()> {
        let mut staged = Staged::<MAX>::new(kind);
        let room = staged.text.get_mut(..text.len()).ok_or(Errno::TOOBIG)?;
        room.write_copy_of_slice(text);
        // SAFETY: `staged` is the type and then the text, of which `text.len()` bytes are written.
        let result =
            unsafe { libc::msgsnd(self.0, (&raw const staged).cast(), text.len(), flags.0) };
        checked(c_long::from(result)).map(drop)
    }

    /// Receives one message, type and text, and returns how long the text is; waits for it.
    ///
    /// `select` is 0 for the first message, a type for the first of that type, or the negative
    /// of the highest type for the lowest there is.
    ///
    /// # Errors
    ///
    /// `E2BIG`: the text is longer than the buffer; the message stays. `EINVAL`: the buffer has no
    /// room for a type, or no such queue. `EIDRM`, `EINTR`, `EACCES`: as for [`send`](Self::send).
    pub fn recv(self, buffer: &mut [u8], select: i64) -> Result<usize> {
        self.recv_with(buffer, select, Flags::NONE)
    }

    /// [`recv`](Self::recv), with flags.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv). `ENOMSG`: no such message, and not to wait; no message at that
    /// index. `ENOSYS`: a copy, of a kernel that cannot (CONFIG_CHECKPOINT_RESTORE).
    pub fn recv_with(self, buffer: &mut [u8], select: i64, flags: Flags) -> Result<usize> {
        let room = buffer.len().checked_sub(TYPE_LEN).ok_or(Errno::INVAL)?;
        let to = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer may be written: a type and `room` bytes more.
        let result = unsafe { libc::msgrcv(self.0, to, room, select, flags.0) };
        usize::try_from(result).map_err(|_| crate::last_errno())
    }

    /// Receives one message of at most [`STAGED_MAX`] bytes of text: its type, and the text.
    ///
    /// # Errors
    ///
    /// As [`recv_with`](Self::recv_with).
    #[inline(never)]
    pub fn recv_text(self, select: i64, flags: Flags) -> Result<(i64, Vec<u8>)> {
        let mut staged = Staged::<STAGED_MAX>::new(0);
        let to = (&raw mut staged).cast();
        // SAFETY: `staged` may be written: a type and `STAGED_MAX` bytes more. With MSG_COPY the
        // kernel reads those bytes first, whatever they are, and forgets them.
        let result = unsafe { libc::msgrcv(self.0, to, STAGED_MAX, select, flags.0) };
        let len = usize::try_from(result).map_err(|_| crate::last_errno())?;
        let text = slice_from_raw_parts(staged.text.as_ptr().cast::<u8>(), len.min(STAGED_MAX));
        // SAFETY: the kernel has just written `len` bytes of text.
        Ok((staged.kind, unsafe { &*text }.to_vec()))
    }

    /// What the kernel says of it.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EIDRM`: there is none with this number. `EACCES`: not for this user to read.
    pub fn stat(self) -> Result<Stat> {
        self.look(libc::IPC_STAT).map(|(_, stat)| stat)
    }

    /// The queue with this index, from 0 to [`Info::index_max`], or with the index of this number;
    /// also one that this user may not read.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no queue has that index now, or a kernel before 4.17.
    pub fn stat_any(index: i32) -> Result<(Self, Stat)> {
        Self(index).look(MSG_STAT_ANY)
    }

    fn look(self, command: c_int) -> Result<(Self, Stat)> {
        let mut ds = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: both commands fill the structure they are given.
        let result = unsafe { libc::msgctl(self.0, command, ds.as_mut_ptr()) };
        checked(c_long::from(result))?;
        // SAFETY: it is integers, and the kernel has filled it.
        let ds = unsafe { ds.assume_init() };
        Ok((Self(result), Stat::from(&ds)))
    }

    /// Sets owner, group, mode (the low nine bits) and the bytes it takes.
    ///
    /// # Errors
    ///
    /// `EPERM`: neither owner nor creator, or more bytes than a new queue takes without
    /// CAP_SYS_RESOURCE. `EINVAL`: no user or group of that number, or no such queue.
    pub fn set(self, (uid, gid, mode): (u32, u32, Mode), bytes_max: u64) -> Result<()> {
        // SAFETY: the structure is integers, for which zero is valid.
        let mut ds: libc::msqid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        ds.msg_perm.uid = uid;
        ds.msg_perm.gid = gid;
        // The field has 16 bits on some machines and 32 on others.
        ds.msg_perm.mode = (mode.bits() & 0o777) as _;
        ds.msg_qbytes = bytes_max;
        // SAFETY: IPC_SET only reads the structure.
        let result = unsafe { libc::msgctl(self.0, libc::IPC_SET, &raw mut ds) };
        checked(c_long::from(result)).map(drop)
    }

    /// Removes the queue, with what is in it, for everybody; sleepers get `EIDRM`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is none with this number. `EPERM`: neither owner nor creator.
    pub fn remove(self) -> Result<()> {
        // SAFETY: IPC_RMID takes no buffer.
        let result = unsafe { libc::msgctl(self.0, libc::IPC_RMID, null_mut()) };
        checked(c_long::from(result)).map(drop)
    }
}

/// The limits, and how much of them is used.
///
/// # Errors
///
/// `ENOSYS`: a kernel without such queues.
pub fn info() -> Result<Info> {
    let mut info = MaybeUninit::<libc::msginfo>::zeroed();
    // SAFETY: MSG_INFO fills a msginfo, whatever the prototype calls it.
    let result = unsafe { libc::msgctl(0, libc::MSG_INFO, info.as_mut_ptr().cast()) };
    let index_max = c_int::try_from(checked(c_long::from(result))?).unwrap_or(c_int::MAX);
    // SAFETY: it is integers, and the kernel has filled it.
    let info = unsafe { info.assume_init() };
    Ok(Info {
        index_max,
        // `msgctl(2)`: with MSG_INFO these three fields have this meaning.
        queues: info.msgpool,
        messages: info.msgmap,
        bytes: info.msgtql,
        text_max: info.msgmax,
        bytes_max: info.msgmnb,
        queues_max: info.msgmni,
    })
}

impl From<&libc::msqid_ds> for Stat {
    fn from(ds: &libc::msqid_ds) -> Self {
        Self {
            perm: Perm::from(&ds.msg_perm),
            messages: ds.msg_qnum,
            bytes: ds.__msg_cbytes,
            bytes_max: ds.msg_qbytes,
            last_sender: ds.msg_lspid,
            last_receiver: ds.msg_lrpid,
            sent_s: ds.msg_stime,
            received_s: ds.msg_rtime,
            changed_s: ds.msg_ctime,
        }
    }
}

#[cfg(test)]
mod tests {
    //! One queue from birth to removal.

    use super::*;
    use crate::sysv::LATE;

    #[test]
    fn messages_come_by_type_and_the_queue_goes() {
        let queue = Queue::create(libc::IPC_PRIVATE, Mode::RUSR | Mode::WUSR).unwrap();
        let message = |kind: i64, text: &[u8]| [&kind.to_ne_bytes()[..], text].concat();
        queue.send(&message(3, b"three")).unwrap();
        queue.send(&message(1, b"one")).unwrap();
        assert_eq!(queue.send(&message(0, b"")), Err(Errno::INVAL));
        assert_eq!(queue.send(&[1]), Err(Errno::INVAL));
        let mut buffer = [0; 16];
        assert_eq!(queue.recv(&mut buffer, -5), Ok(3));
        assert_eq!(buffer[..11], message(1, b"one")[..]);
        assert_eq!(queue.recv(&mut buffer[..10], 0), Err(Errno::TOOBIG));
        assert_eq!(queue.recv(&mut buffer, 0), Ok(5));
        assert_eq!(queue.remove(), Ok(()));
        assert!(queue.remove().is_err());
        assert_eq!(Queue::open(libc::IPC_PRIVATE), Err(Errno::NOENT));
    }

    /// A queue that goes with the value, also when the test fails.
    struct Gone(Queue);

    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.remove();
        }
    }

    fn queue() -> Gone {
        Gone(Queue::create(libc::IPC_PRIVATE, Mode::RUSR | Mode::WUSR).unwrap())
    }

    #[test]
    fn texts_are_staged_whatever_their_length() {
        let gone = queue();
        for len in [0, 1, SMALL_MAX, SMALL_MAX + 1, STAGED_MAX] {
            let text: Vec<u8> = (0..=250).cycle().take(len).collect();
            gone.0.send_text(7, &text, Flags::NOWAIT).unwrap();
            let got = gone.0.recv_text(0, Flags::NOWAIT).unwrap();
            assert_eq!(got, (7, text));
        }
        let long = gone.0.send_text(7, &[0; STAGED_MAX + 1], Flags::NOWAIT);
        // Unless the administrator allows more.
        let allowed = info().unwrap().text_max > STAGED_MAX.try_into().unwrap();
        assert_eq!(long, if allowed { Ok(()) } else { Err(Errno::INVAL) });
    }

    #[test]
    fn the_lowest_of_all_types_may_be_asked_for_as_min() {
        let gone = queue();
        gone.0.send_text(i64::MAX, b"high", Flags::NOWAIT).unwrap();
        gone.0.send_text(2, b"low", Flags::NOWAIT).unwrap();
        let lowest = |select| gone.0.recv_text(select, Flags::NOWAIT);
        assert_eq!(lowest(-1), Err(Errno::NOMSG));
        assert_eq!(lowest(i64::MIN), Ok((2, b"low".to_vec())));
        assert_eq!(lowest(i64::MIN), Ok((i64::MAX, b"high".to_vec())));
        assert_eq!(lowest(i64::MIN), Err(Errno::NOMSG));
    }

    #[test]
    fn times_after_2038_are_read() {
        // SAFETY: integers, for which zero is valid.
        let mut ds: libc::msqid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        ds.msg_stime = LATE;
        (ds.msg_rtime, ds.msg_ctime) = (LATE + 1, LATE + 2);
        let stat = Stat::from(&ds);
        let times = (stat.sent_s, stat.received_s, stat.changed_s);
        assert_eq!(times, (LATE, LATE + 1, LATE + 2));
    }

    #[test]
    fn a_queue_tells_of_itself_and_is_changed() {
        let gone = queue();
        gone.0.send_text(1, b"abc", Flags::NOWAIT).unwrap();
        let stat = gone.0.stat().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!((stat.messages, stat.bytes), (1, 3));
        assert_eq!((stat.last_sender, stat.last_receiver), (me, 0));
        assert!(stat.sent_s > 0 && stat.received_s == 0 && stat.changed_s > 0);
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        gone.0
            .set((stat.perm.uid, stat.perm.gid, mode), 100)
            .unwrap();
        let (found, changed) = Queue::stat_any(gone.0.id()).unwrap();
        assert_eq!((found, changed), (gone.0, gone.0.stat().unwrap()));
        assert_eq!((changed.perm.mode, changed.bytes_max), (0o640, 100));
        let info = info().unwrap();
        assert!(info.queues >= 1 && info.queues_max >= info.queues);
    }
}
