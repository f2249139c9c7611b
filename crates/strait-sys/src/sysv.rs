//! What System V's queues, semaphore sets and segments share: who owns one, and who may use it.
//!
//! `ipc_perm` in `sys_ipc(7)`'s terms: see `msgctl(2)`, `semctl(2)`, `shmctl(2)`.
//!
//! Times of these objects are whole seconds since 1970 in 64 bits, so that they go on after January
//! 2038. The high words in which the kernel's structures have the rest of a time (`sem_otime_high`)
//! exist on 32-bit machines alone, for which this does not build.

/// Were it 32 bits, the high words would have to be put together with it.
const _: () = assert!(size_of::<libc::time_t>() == 8);

/// For tests: a time that 32 bits do not hold, in the year 2109.
#[cfg(test)]
pub(crate) const LATE: i64 = (1 << 32) + 99_999_999;

/// The owner, the creator and the mode of an object.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Perm {
    /// The key that it was made with; 0 if private, or if it is going.
    pub key: i32,
    /// The owner: may use it by the mode's first three bits, change and remove it.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// The creator: as the owner, and cannot be changed.
    pub cuid: u32,
    /// The creator's group.
    pub cgid: u32,
    /// Read and write for owner, group and others: the low nine bits. Above them, flags of shared
    /// memory (`SHM_DEST`, `SHM_LOCKED`).
    pub mode: u16,
    /// How often the kernel used this place before: the upper half of the number.
    pub seq: u16,
}

impl From<&libc::ipc_perm> for Perm {
    fn from(perm: &libc::ipc_perm) -> Self {
        Self {
            key: perm.__key,
            uid: perm.uid,
            gid: perm.gid,
            cuid: perm.cuid,
            cgid: perm.cgid,
            // glibc has widened it to 32 bits on some machines; the kernel fills 16.
            mode: narrow(u32::from(perm.mode)),
            seq: narrow(u32::from(perm.__seq)),
        }
    }
}

fn narrow(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}
