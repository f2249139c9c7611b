//! Ends of pipes that go to other processes: passed to a child, or sent.

use std::sync::Arc;

use crate::channel::Channel;
use crate::channel::flow;
use crate::channel::share::NOTE_LEN;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::end::{End, Facts, Mode};
use crate::nt::pipe::{Client, QUOTA_MAX, Reader, Session, Writer};
use crate::object::Namespace;
use crate::object::transfer::{NOTE_MAX, Parcel, Transferable};

const MAGIC: &[u8; 8] = b"STRAITP1";
const RECEIVE: &str = "receive pipe";

/// What handle it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Handle {
    Reader = 1,
    Writer = 2,
    Client = 3,
    Session = 4,
}

/// What an heir is told of the pipe.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Note {
    handle: Handle,
    facts: Facts,
    /// How reads see it, and whether calls wait.
    mode: u8,
    /// Something was read with it.
    has_read: bool,
    /// The server may act as the client.
    impersonation: bool,
    /// Instances there may be.
    max: u8,
}

const FIXED: usize = MAGIC.len() + 16;
/// Longest name that goes along, in bytes; of one that is longer the beginning.
const NAME_MAX: usize = NOTE_MAX - FIXED - NOTE_LEN;

impl Note {
    fn encode(self, link: &[u8], name: &str) -> Vec<u8> {
        let facts = self.facts;
        let flags = [
            facts.message,
            facts.reads,
            facts.writes,
            facts.server,
            self.has_read,
            self.impersonation,
        ];
        let flags = flags
            .iter()
            .enumerate()
            .fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit);
        let mut bytes = MAGIC.to_vec();
        bytes.extend([self.handle as u8, flags, self.mode, self.max, 0, 0, 0, 0]);
        bytes.extend(facts.quota.to_le_bytes());
        bytes.extend(link);
        let len = (0..=name.len().min(NAME_MAX))
            .rev()
            .find(|len| name.is_char_boundary(*len));
        bytes.extend(&name.as_bytes()[..len.unwrap_or(0)]);
        bytes
    }

    /// The note, that of the link, and the name.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8], &str)> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (fixed, rest) = rest.split_first_chunk::<8>()?;
        let (quota, rest) = rest.split_first_chunk::<8>()?;
        let (link, name) = rest.split_at_checked(NOTE_LEN)?;
        let [handle, flags @ 0..64, mode, max, 0, 0, 0, 0] = *fixed else {
            return None;
        };
        let handle = match handle {
            1 => Handle::Reader,
            2 => Handle::Writer,
            3 => Handle::Client,
            4 => Handle::Session,
            _ => return None,
        };
        let flag = |bit: u8| flags & 1 << bit != 0;
        let note = Self {
            handle,
            facts: Facts {
                message: flag(0),
                reads: flag(1),
                writes: flag(2),
                server: flag(3),
                quota: u64::from_le_bytes(*quota),
            },
            mode,
            has_read: flag(4),
            impersonation: flag(5),
            max,
        };
        let is_sound = Mode::is_known(mode, note.facts.message) && note.facts.quota <= QUOTA_MAX;
        is_sound.then_some((note, link, std::str::from_utf8(name).ok()?))
    }
}

fn pack(end: &Arc<End>, handle: Handle, verb: &'static str) -> Result<Parcel> {
    pack_with(end, handle, (false, 0), verb)
}

fn pack_with(
    end: &Arc<End>,
    handle: Handle,
    (impersonation, max): (bool, u8),
    verb: &'static str,
) -> Result<Parcel> {
    let mut parcel = end.pack(verb)?;
    let note = Note {
        handle,
        facts: end.facts,
        mode: end.mode.bits(),
        has_read: end.has_read(),
        impersonation,
        max,
    };
    parcel.note = note.encode(&parcel.note, &end.name);
    Ok(parcel)
}

fn unpack(parcel: Parcel, handle: Handle) -> Result<(Arc<End>, Note)> {
    let wrong = |why: &str| Error::new(ErrorKind::WrongKind, RECEIVE, "").because(why);
    let (note, link, name) =
        Note::decode(&parcel.note).ok_or_else(|| wrong("it is no end of a pipe"))?;
    if note.handle != handle {
        return Err(wrong("it is another end of a pipe"));
    }
    let link = Parcel {
        note: link.to_vec(),
        files: parcel.files,
        space: None,
    };
    let channel: Channel = flow::unpack(link)?;
    let mode = Arc::new(Mode::of(note.mode));
    let end = End::new(channel, note.facts, mode, name.into())?;
    end.set_has_read(note.has_read);
    Ok((end, note))
}

/// The heir reads too: what one reads the others do not.
impl Transferable for Reader {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        pack(&self.end, Handle::Reader, verb)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (end, _) = unpack(parcel, Handle::Reader)?;
        Ok(Self { end })
    }
}

/// The heir writes too. The reader sees the end once every writer is closed or its process gone.
impl Transferable for Writer {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        pack(&self.end, Handle::Writer, verb)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (end, _) = unpack(parcel, Handle::Writer)?;
        Ok(Self { end })
    }
}

/// The heir is at the same connection; the server goes on seeing the process that opened it.
impl Transferable for Client {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        pack_with(&self.end, Handle::Client, (false, self.max), verb)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (end, note) = unpack(parcel, Handle::Client)?;
        Ok(Self { end, max: note.max })
    }
}

/// The connection goes, and nothing else of the instance: the heir may disconnect the client, and
/// waits for no other one.
impl Transferable for Session {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        let (end, impersonation) = self.connection(verb)?;
        pack_with(&end, Handle::Session, (impersonation, 0), verb)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (end, note) = unpack(parcel, Handle::Session)?;
        Ok(Self::of(end, note.impersonation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note() -> Note {
        Note {
            handle: Handle::Session,
            facts: Facts {
                message: true,
                reads: true,
                writes: false,
                server: true,
                quota: QUOTA_MAX,
            },
            mode: 3,
            has_read: true,
            impersonation: false,
            max: 7,
        }
    }

    #[test]
    fn a_note_says_what_it_was_told() {
        let link = [9; NOTE_LEN];
        let bytes = note().encode(&link, r"\\.\pipe\é");
        let decoded = Note::decode(&bytes);
        assert_eq!(decoded, Some((note(), &link[..], r"\\.\pipe\é")));
        let long = "é".repeat(NAME_MAX);
        let bytes = note().encode(&link, &long);
        assert!(bytes.len() <= NOTE_MAX);
        let (_, _, name) = Note::decode(&bytes).unwrap();
        assert!(long.starts_with(name) && name.len() >= NAME_MAX - 1);
    }

    proptest! {
        #[test]
        fn what_is_understood_is_what_was_said(
            edits in prop::collection::vec((0..FIXED, any::<u8>()), 0..4),
        ) {
            let mut bytes = note().encode(&[0; NOTE_LEN], "name");
            for (at, byte) in edits {
                bytes[at] = byte;
            }
            if let Some((note, link, name)) = Note::decode(&bytes) {
                prop_assert_eq!(note.encode(link, name), bytes);
            }
        }
    }
}
