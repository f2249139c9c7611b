//! A simulated directory: one name, files, open descriptions and their locks.
//!
//! Each system call is one step. The promises: while anybody alive holds the object, the name is
//! that file's; nobody is told that there is none while somebody holds one all the while; and
//! where nobody died, stopped or may only read, the name goes with the last handle.

use std::mem::ManuallyDrop;

use strait_sys::Errno;
use strait_sys::ofd_lock::Lock;
use strait_sys::time::Deadline;

use crate::error::Result;
use crate::object::commit::tests::explore::{ACTORS_MAX, Share, World};
use crate::object::commit::tests::tape::perform;
use crate::object::kind::Kind;
use crate::object::layout::Header;
use crate::object::space::files::{Answer, Facts, Files, Mapping};
use crate::object::space::secure::Security;

const INODES: usize = 8;
const DESCRIPTIONS: u8 = 10;
/// Who made the leftovers, in a directory where only they may remove them.
pub(super) const DEAD_UID: u32 = 7;

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    Open,
    Inode(u8),
    Named,
    Probe(u8),
    Lock(u8, bool),
    Make,
    Link(u8),
    Unlink,
    IsPermanent(u8),
    SetPermanent(u8, bool),
    Close(u8),
    Pause,
    /// An open or create begins, and what it says in the end.
    Seeks,
    Holds(u64),
    FindsNothing,
    /// A close begins: the caller counts as a holder no more.
    LetsGo,
}

#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Description {
    inode: u8,
    /// Who has it open, one bit each: a forked child shares it.
    holders: u8,
    lock: Option<Held>,
}

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
enum Held {
    Read,
    Write,
}

#[derive(Clone, Debug, Default, Hash, PartialEq)]
pub(crate) struct Directory {
    pub(super) name: Option<u8>,
    made: u8,
    permanent: u8,
    descriptions: [Description; DESCRIPTIONS as usize],
    /// Only the owner of a file may remove its name, and nobody alive owns one.
    pub(super) sticky: bool,
    /// Somebody makes the object permanent, or temporary.
    pub(super) toggles: bool,
    /// The inode that each holds by a handle, and through how many handles.
    held: [Option<(u8, u8)>; ACTORS_MAX],
    /// While somebody seeks: whether there was a moment when nobody held the object.
    vacant: [Option<bool>; ACTORS_MAX],
}

impl Directory {
    /// A file under the name; those who hold it share one description, number 0.
    pub(super) fn with_file(holders: &[usize]) -> Self {
        let mut directory = Self {
            name: Some(0),
            made: 1,
            ..Self::default()
        };
        for who in holders {
            let shared = &mut directory.descriptions[0];
            shared.holders |= 1 << who;
            shared.lock = Some(Held::Read);
            directory.held[*who] = Some((0, 1));
        }
        directory
    }

    pub(super) fn holds_from_the_start(&self, who: usize) -> bool {
        self.held[who].is_some()
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.iter().any(Option::is_some)
    }

    fn free(&mut self, inode: u8, who: usize) -> u64 {
        let free = |open: &Description| open.holders == 0;
        let at = self.descriptions.iter().position(free);
        let at = at.expect("no scenario has so many descriptions");
        self.descriptions[at] = Description {
            inode,
            holders: 1 << who,
            lock: None,
        };
        at as u64
    }

    fn others(&self, at: u8) -> impl Iterator<Item = Held> + '_ {
        let inode = self.descriptions[usize::from(at)].inode;
        let open = self.descriptions.iter().enumerate();
        open.filter(move |(index, other)| {
            *index != usize::from(at) && other.holders != 0 && other.inode == inode
        })
        .filter_map(|(_, other)| other.lock)
    }

    fn lock(&mut self, at: u8, write: bool) -> bool {
        let in_the_way = self.others(at).any(|other| write || other == Held::Write);
        if !in_the_way {
            let lock = if write { Held::Write } else { Held::Read };
            self.descriptions[usize::from(at)].lock = Some(lock);
        }
        !in_the_way
    }

    fn close(&mut self, at: u8, who: usize) {
        let open = &mut self.descriptions[usize::from(at)];
        open.holders &= !(1 << who);
        if open.holders == 0 {
            *open = Description::default();
        }
    }

    fn holds(&mut self, who: usize, inode: u8) -> std::result::Result<(), String> {
        self.vacant[who] = None;
        let handles = match self.held[who] {
            Some((held, handles)) if held == inode => handles,
            Some(_) => return Err("one name, two objects".into()),
            None => 0,
        };
        self.held[who] = Some((inode, handles + 1));
        Ok(())
    }

    fn perform(&mut self, who: usize, op: &Op) -> std::result::Result<u64, String> {
        let answer = match *op {
            Op::Open => match self.name {
                None => 0,
                Some(inode) => self.free(inode, who) + 1,
            },
            Op::Inode(at) => self.descriptions[usize::from(at)].inode.into(),
            Op::Named => self.name.map_or(0, |inode| u64::from(inode) + 1),
            Op::Probe(at) => self.others(at).fold(0, |found, other| match other {
                Held::Write => 2,
                Held::Read => found.max(1),
            }),
            Op::Lock(at, write) => self.lock(at, write).into(),
            Op::Make => {
                self.made += 1;
                assert!(usize::from(self.made) <= INODES, "too many files");
                self.free(self.made - 1, who)
            }
            Op::Link(at) => {
                let free = self.name.is_none();
                if free {
                    self.name = Some(self.descriptions[usize::from(at)].inode);
                }
                free.into()
            }
            Op::Unlink if self.sticky => 2,
            Op::Unlink => self.name.take().is_some().into(),
            Op::IsPermanent(at) => {
                (self.permanent >> self.descriptions[usize::from(at)].inode & 1).into()
            }
            Op::SetPermanent(at, permanent) => {
                let bit = 1 << self.descriptions[usize::from(at)].inode;
                self.permanent = self.permanent & !bit | if permanent { bit } else { 0 };
                0
            }
            Op::Close(at) => {
                self.close(at, who);
                0
            }
            Op::Seeks => {
                self.vacant[who] = Some(!self.is_held());
                0
            }
            Op::Holds(inode) => {
                let inode = u8::try_from(inode).expect("few files");
                self.holds(who, inode)?;
                0
            }
            Op::FindsNothing => {
                if self.vacant[who].take() == Some(false) {
                    return Err("finds nothing, though somebody holds it all the while".into());
                }
                0
            }
            Op::LetsGo => {
                self.held[who] = match self.held[who] {
                    Some((inode, handles)) if handles > 1 => Some((inode, handles - 1)),
                    _ => None,
                };
                0
            }
            Op::Pause => 0,
        };
        Ok(answer)
    }
}

impl World for Directory {
    type Op = Op;

    fn share(&self, op: &Op) -> Share {
        match op {
            Op::IsPermanent(_) if !self.toggles => Share::Silent,
            Op::Pause => Share::Pause,
            Op::Inode(_) | Op::Make | Op::Holds(_) | Op::FindsNothing => Share::Silent,
            _ => Share::Step,
        }
    }

    fn apply(&mut self, who: usize, op: &Op) -> std::result::Result<Option<u64>, String> {
        let answer = self.perform(who, op)?;
        if !self.is_held() {
            for vacant in self.vacant.iter_mut().flatten() {
                *vacant = true;
            }
        }
        Ok(Some(answer))
    }

    fn bury(&mut self, who: usize) {
        for at in 0..DESCRIPTIONS {
            self.close(at, who);
        }
        self.held[who] = None;
        self.vacant[who] = None;
        if !self.is_held() {
            for vacant in self.vacant.iter_mut().flatten() {
                *vacant = true;
            }
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        for (who, held) in self.held.iter().enumerate() {
            if let Some((inode, _)) = held
                && self.name != Some(*inode)
            {
                return Err(format!(
                    "{who} holds file {inode}; the name is of {:?}",
                    self.name
                ));
            }
        }
        Ok(())
    }

    /// Somebody stopped with the name in transition: the others get `Busy`.
    fn may_wait_for_the_stopped(&self) -> bool {
        let mut open = self.descriptions.iter();
        open.any(|open| open.holders != 0 && open.lock == Some(Held::Write))
    }
}

/// An open description of the simulated directory, closed by drop.
#[derive(Debug)]
pub(super) struct File(pub(super) u8);

impl File {
    fn numbered(at: u64) -> Self {
        Self(u8::try_from(at).expect("few descriptions"))
    }

    /// The handle stays open between two operations of a participant.
    pub(super) fn keep(self) -> u8 {
        ManuallyDrop::new(self).0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        perform(Op::Close(self.0));
    }
}

/// The directory as a participant sees it.
#[derive(Debug)]
pub(super) struct View;

fn facts(inode: u64) -> Facts {
    Facts {
        device: 1,
        inode,
        len: 0,
        uid: DEAD_UID,
        mode: 0o600,
        is_regular: true,
    }
}

impl Files for View {
    type File = File;

    fn open(&self, _: &str, _: Mapping) -> Answer<File> {
        match perform(Op::Open) {
            0 => Err(Errno::NOENT),
            at => Ok(File::numbered(at - 1)),
        }
    }

    fn facts(&self, file: &File) -> Answer<Facts> {
        Ok(facts(perform(Op::Inode(file.0))))
    }

    fn named(&self, _: &str) -> Answer<Facts> {
        match perform(Op::Named) {
            0 => Err(Errno::NOENT),
            inode => Ok(facts(inode - 1)),
        }
    }

    fn probe(&self, file: &File) -> Answer<Option<Lock>> {
        Ok(match perform(Op::Probe(file.0)) {
            0 => None,
            1 => Some(Lock::Read),
            _ => Some(Lock::Write),
        })
    }

    fn lock(&self, file: &File, lock: Lock) -> Answer<bool> {
        Ok(perform(Op::Lock(file.0, lock == Lock::Write)) == 1)
    }

    fn make(&self, _: Security) -> Answer<File> {
        Ok(File::numbered(perform(Op::Make)))
    }

    fn link(&self, file: &File, _: &str) -> Answer<()> {
        match perform(Op::Link(file.0)) {
            1 => Ok(()),
            _ => Err(Errno::EXIST),
        }
    }

    fn unlink(&self, _: &str) -> Answer<()> {
        match perform(Op::Unlink) {
            0 => Err(Errno::NOENT),
            1 => Ok(()),
            _ => Err(Errno::PERM),
        }
    }

    fn is_permanent(&self, file: &File) -> bool {
        perform(Op::IsPermanent(file.0)) == 1
    }

    fn recognise(&self, _: &File) -> Result<()> {
        Ok(())
    }

    fn header(&self, _: &File, _: u64) -> Result<Header> {
        Ok(header())
    }

    fn fill(&self, _: &File, _: &Header, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn wait_out(&self, _: &mut Option<Deadline>) -> bool {
        perform(Op::Pause) == 0
    }
}

pub(super) fn header() -> Header {
    Header {
        kind: Kind::Event,
        flags: 0,
        domain: 1,
        id: 1,
        limit: 0,
        data_len: 0,
        permanent: false,
        name: b"x".to_vec(),
        states: [0; 2],
    }
}
