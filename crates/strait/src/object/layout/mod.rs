//! The bytes of an object's file: what two processes of different builds must agree on.
//!
//! ```text
//!    0  magic u64   8 layout u32  12 kind u32   16 file length u64   24 flags u32  28 name length
//!    u32
//!   32  domain u64 40 id u32      44 zero u32         48 limit u64   56 data length u64
//!   64  permanent u32 (the one field here that changes)
//!  128  core A: state u64, +8 ticket mark u32, +12 bell mark u32, +16 recursion u32
//!  256  core B (the High half of an event pair)
//!  512  tickets A: 128 x u32     1024  bells A     1536  tickets B     2048  bells B
//! 1536  a timer has no core B: 32 schedules of 32 bytes
//! 2560  the name (WTF-8), then, page-aligned, a section's data
//! ```
//! All little-endian: the layout is shared by processes of one machine only. A reader accepts
//! every layout from [`LAYOUT_OLDEST`] to [`LAYOUT`].

use crate::error::{Error, ErrorKind, Result};
use crate::object::kind::Kind;
use crate::object::word::Rule;

pub(crate) const MAGIC: u64 = 0x3154_4941_5254_5321;
/// What this build writes.
pub(crate) const LAYOUT: u32 = 1;
/// The oldest that this build reads.
pub(crate) const LAYOUT_OLDEST: u32 = 1;

pub(crate) const PAGE: usize = 4096;
pub(crate) const PERMANENT: usize = 64;
pub(crate) const CORE: usize = 128;
pub(crate) const CORE_SPACING: usize = 128;
pub(crate) const STATE: usize = 0;
pub(crate) const TICKET_MARK: usize = 8;
pub(crate) const BELL_MARK: usize = 12;
pub(crate) const RECURSION: usize = 16;
const ROSTER: usize = 512;
/// Entries of a roster; a waiter that finds it full still waits, but is not counted.
pub(crate) const ROSTER_LEN: usize = 128;
pub(crate) const SCHEDULE: usize = 1536;
pub(crate) const SCHEDULE_SPACING: usize = 32;
const NAME: usize = 2560;

/// Longest name: NT's 65,532 bytes of UTF-16, each unit at most three bytes in WTF-8.
pub(crate) const NAME_MAX: usize = 65_532 / 2 * 3;

/// The longest section.
pub(crate) const SECTION_MAX: u64 = 1 << 46;

/// The largest count of a semaphore, as in NT.
pub(crate) const COUNT_MAX: u32 = i32::MAX.unsigned_abs();

/// The bits of an id that are drawn. The lowest tells the cores apart.
pub(crate) const ID_RANDOM: u32 = 0x3fff_fffe;
/// The two uppermost bits say whether a collector can look the object up when it finds the id in a
/// record: by name,
pub(crate) const ID_NAMED: u32 = 0;
/// not at all, since only its handles lead to it,
pub(crate) const ID_UNNAMED: u32 = 2 << 30;
/// or need not: it has gone with its process.
pub(crate) const ID_PRIVATE: u32 = 3 << 30;

/// Set and pulse always make the wake-up call, so that read-only handles can wait.
pub(crate) const FLAG_LOOK_WAITS: u32 = 1;
/// Manual reset (events, timers).
pub(crate) const FLAG_MANUAL: u32 = 2;
/// A section whose bytes are those of another file; that file's path follows the name.
pub(crate) const FLAG_FILE: u32 = 4;
const FLAGS_KNOWN: u32 = FLAG_LOOK_WAITS | FLAG_MANUAL | FLAG_FILE;

/// Where the tickets of a core stand.
pub(crate) fn tickets(core: usize) -> usize {
    ROSTER + core * 1024
}

/// Where the bells of a core stand.
pub(crate) fn bells(core: usize) -> usize {
    ROSTER + core * 1024 + 512
}

/// What the object's word of that core is called in records.
pub(crate) fn word_id(id: u32, core: usize) -> u32 {
    id & !1 | u32::from(core != 0)
}

/// The fixed part of an object, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u32,
    pub(crate) domain: u64,
    pub(crate) id: u32,
    pub(crate) limit: u64,
    pub(crate) data_len: u64,
    pub(crate) permanent: bool,
    pub(crate) name: Vec<u8>,
    /// The initial state words, for a new object; what was found, for a read one.
    pub(crate) states: [u64; 2],
}

impl Header {
    /// What its state words mean; `None` for a section, or a limit that none can have.
    pub(crate) fn rule(&self) -> Option<Rule> {
        let manual = self.flags & FLAG_MANUAL != 0;
        Some(match self.kind {
            Kind::Event if manual => Rule::Manual,
            Kind::Event | Kind::EventPair => Rule::Auto,
            Kind::Mutant => Rule::Mutant,
            Kind::Semaphore => {
                let limit = u32::try_from(self.limit).ok();
                Rule::Semaphore {
                    limit: limit.filter(|limit| (1..=COUNT_MAX).contains(limit))?,
                }
            }
            Kind::Timer => Rule::Timer { auto: !manual },
            Kind::Section => return None,
        })
    }

    /// Where a section's data begins, and how long the file of anything else is.
    pub(crate) fn data_offset(&self) -> usize {
        (NAME + self.name.len()).next_multiple_of(PAGE)
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.data_offset() as u64 + self.data_len
    }

    /// The bytes before the data.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.data_offset()];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC.to_le_bytes());
        put(8, &LAYOUT.to_le_bytes());
        put(12, &self.kind.code().to_le_bytes());
        put(16, &self.file_len().to_le_bytes());
        put(24, &self.flags.to_le_bytes());
        let name_len = u32::try_from(self.name.len()).expect("names are at most NAME_MAX bytes");
        put(28, &name_len.to_le_bytes());
        put(32, &self.domain.to_le_bytes());
        put(40, &self.id.to_le_bytes());
        put(48, &self.limit.to_le_bytes());
        put(56, &self.data_len.to_le_bytes());
        put(PERMANENT, &u32::from(self.permanent).to_le_bytes());
        put(CORE, &self.states[0].to_le_bytes());
        put(CORE + CORE_SPACING, &self.states[1].to_le_bytes());
        put(NAME, &self.name);
        bytes
    }

    /// How many bytes must be read to decode: told by the first page of the file.
    pub(crate) fn needed(first: &[u8]) -> usize {
        let name_len = u32_at(first, 28)
            .map_or(0, |len| len as usize)
            .min(NAME_MAX);
        (NAME + name_len).next_multiple_of(PAGE)
    }

    /// Checks that this is an object, and of a layout that this build reads.
    pub(crate) fn recognise(bytes: &[u8]) -> Result<()> {
        let wrong = |why: &str| Err(Error::new(ErrorKind::Layout, "read header", "").because(why));
        if u64_at(bytes, 0) != Some(MAGIC) {
            return wrong("no object of Strait");
        }
        match u32_at(bytes, 8) {
            Some(layout) if (LAYOUT_OLDEST..=LAYOUT).contains(&layout) => Ok(()),
            layout => wrong(&format!(
                "layout {}; this build reads {LAYOUT_OLDEST} to {LAYOUT}",
                layout.unwrap_or(0)
            )),
        }
    }

    /// Checks the bytes before the data against the length of their file.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::Layout, "read header", "").because(why);
        let short = || wrong("shorter than a header");
        let u32_of = |at| u32_at(bytes, at).ok_or_else(short);
        let u64_of = |at| u64_at(bytes, at).ok_or_else(short);
        Self::recognise(bytes)?;
        let kind = u32_of(12)?;
        let kind = Kind::of_code(kind).ok_or_else(|| wrong(&format!("unknown kind {kind}")))?;
        let name_len = u32_of(28)? as usize;
        if name_len > NAME_MAX {
            return Err(wrong("name longer than any name can be"));
        }
        let name = bytes.get(NAME..NAME + name_len).ok_or_else(short)?.to_vec();
        let header = Self {
            kind,
            flags: u32_of(24)?,
            domain: u64_of(32)?,
            id: u32_of(40)?,
            limit: u64_of(48)?,
            data_len: u64_of(56)?,
            permanent: u32_of(PERMANENT)? != 0,
            name,
            states: [u64_of(CORE)?, u64_of(CORE + CORE_SPACING)?],
        };
        if header.flags & !FLAGS_KNOWN != 0 {
            return Err(wrong("unknown flags"));
        }
        let own_memory = header.kind == Kind::Section && header.flags & FLAG_FILE == 0;
        if own_memory && header.limit != header.data_len {
            return Err(wrong("a section's length is not that of its memory"));
        }
        if header.kind == Kind::Section && header.limit > SECTION_MAX {
            return Err(wrong("a section longer than any memory"));
        }
        let len = (header.data_offset() as u64).checked_add(header.data_len);
        if len != Some(u64_of(16)?) || len != Some(file_len) {
            return Err(wrong("truncated, or its length was tampered with"));
        }
        Ok(header)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
