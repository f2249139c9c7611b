//! Channels: their greetings, their rings and their sessions, with bytes that a peer made up.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::channel::flow::{Ended, Inflow, Outflow, Pace, Unit};
use crate::channel::layout::{HEAD, Header, RING, STATE, TAIL, UNIT};
use crate::channel::mailbox::{Mailbox, Turn};
use crate::channel::ring::{ReadLane, Reader};
use crate::channel::sender::Patience;
use crate::channel::{Channel, Options, Taken, hello as greeting};
use crate::error::{Error, ErrorKind, Result};

/// A channel whose sides hand calls over in turn, by the mailbox.
#[derive(Debug)]
pub struct Calls(Mailbox);

impl Calls {
    /// Both sides of the channel must want it.
    #[must_use]
    pub fn over(channel: Channel) -> Option<Self> {
        Mailbox::new(channel).ok().map(Self)
    }

    /// Hands a message over. It must be this side's turn.
    ///
    /// # Errors
    /// As for [`Sender::send`](crate::channel::Sender::send).
    pub fn post(&mut self, message: &[u8]) -> Result<()> {
        self.0.post(0, [&[], message], Patience::Forever).map(drop)
    }

    /// Waits for the other side's message for at most `timeout`.
    ///
    /// # Errors
    /// As for [`Receiver::recv`](crate::channel::Receiver::recv).
    pub fn take(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Taken> {
        let patience = Patience::for_at_most(timeout);
        match self.0.turn(patience)? {
            Turn::Ours(post) => self.0.copy(post, buffer, patience),
            Turn::TimedOut => Ok(Taken::TimedOut),
            Turn::End => Ok(Taken::End),
        }
    }
}

/// A message of the handshake: whatever is understood is what its own bytes say.
pub fn hello(bytes: &[u8]) {
    greeting::fuzz_hello(bytes);
}

// ---- the reader of records -----------------------------------------------------------------

/// Numbers that the input says, and zeros when it has no more to say.
struct Words<'a>(Cell<&'a [u8]>);

impl Words<'_> {
    fn take<const N: usize>(&self) -> [u8; N] {
        let Some((first, rest)) = self.0.get().split_first_chunk() else {
            self.0.set(&[]);
            return [0; N];
        };
        self.0.set(rest);
        *first
    }

    fn byte(&self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn is_over(&self) -> bool {
        self.0.get().is_empty()
    }
}

const ROOM: usize = 4096;
const CAPACITY: u64 = ROOM as u64;

/// A ring whose words are what the input says, each time anew: they change between two looks.
struct Strange<'a> {
    words: Words<'a>,
    /// Where the reader stands, and how far it may read.
    tail: Cell<u64>,
    head: Cell<u64>,
}

impl ReadLane for Strange<'_> {
    fn capacity(&self) -> u64 {
        CAPACITY
    }

    fn head(&self) -> u64 {
        let ahead = u64::from(u16::from_le_bytes(self.words.take()));
        let head = match self.words.byte() {
            0 => u64::from_le_bytes(self.words.take()),
            1 => self.tail.get().wrapping_add(ahead),
            _ => self
                .tail
                .get()
                .wrapping_add(ahead % (CAPACITY / UNIT) * UNIT),
        };
        self.head.set(head);
        head
    }

    fn release(&self, tail: u64) {
        self.note(tail);
    }

    fn note(&self, tail: u64) {
        let forward = tail.wrapping_sub(self.tail.get());
        assert!(
            forward <= self.unread(),
            "consumed what was never published"
        );
        self.tail.set(tail);
    }

    fn read(&self, at: u64, bytes: &mut [u8]) {
        self.holds(at, bytes.len() as u64);
        bytes.fill_with(|| self.words.byte());
    }

    fn get(&self, at: u64) -> u64 {
        self.holds(at, UNIT);
        let len = u64::from(u16::from_le_bytes(self.words.take()));
        match self.words.byte() {
            255 => u64::from_le_bytes(self.words.take()),
            flags => (len % 600) | (u64::from(flags & 15) << 32),
        }
    }
}

impl Strange<'_> {
    fn unread(&self) -> u64 {
        self.head.get().wrapping_sub(self.tail.get())
    }

    fn holds(&self, at: u64, len: u64) {
        assert!(at.is_multiple_of(UNIT), "a read between two words");
        let end = at.wrapping_sub(self.tail.get()).checked_add(len);
        let published = self.unread().min(CAPACITY);
        assert!(
            end.is_some_and(|end| end <= published),
            "read beyond the head"
        );
    }
}

/// The ring's reader, with a writer that changes everything between two looks: it reads only what
/// was published, delivers only what a header says, and is over with the first lie.
pub fn records(bytes: &[u8]) {
    let words = Words(Cell::new(bytes));
    // Positions wrap too.
    let start = u64::from(words.byte()).wrapping_neg() & !(UNIT - 1);
    let lane = Strange {
        words,
        tail: Cell::new(start),
        head: Cell::new(start),
    };
    let mut reader = Reader::at(lane, start);
    let mut buffer = [0; ROOM];
    while !reader.lane.words.is_over() {
        let at = reader.position();
        match reader.next() {
            Ok(None) => drop(reader.release()),
            Ok(Some(header)) => {
                assert!(header.is_known());
                let len = usize::try_from(header.len()).expect("within the ring");
                let offset = usize::from(reader.lane.words.byte()).min(len);
                reader.copy(offset as u64, &mut buffer[offset..len]);
                reader.consume(header);
                assert_eq!(reader.position(), at.wrapping_add(header.span()));
            }
            Err(lie) => {
                assert_eq!(reader.next(), Err(lie), "a liar is believed again");
                assert_eq!(reader.position(), at);
                return;
            }
        }
    }
}

// ---- a whole session -----------------------------------------------------------------------

const MESSAGE_MAX: usize = 10_000;

/// A session whose peer writes what the input says into its memory. Nothing that has a limit hangs,
/// no message is longer than was agreed on, and after the first lie it is over.
///
/// # Panics
/// Where that is not so.
pub fn session(bytes: &[u8]) {
    let options = Options::new().capacity(ROOM);
    let options = options.message_max(MESSAGE_MAX).shareable(false);
    // Without descriptors or memory nothing is learned.
    let Ok((mut liar, mut victim)) = Channel::pair(&options) else {
        return;
    };
    let words = Words(Cell::new(bytes));
    let mut at = 0;
    let mut buffer = vec![0; MESSAGE_MAX];
    let mut grown = Vec::new();
    let mut caught = None;
    while !words.is_over() {
        let step = words.byte();
        if step & 0x80 == 0 {
            lie(&mut liar, step, &words, &mut at);
            continue;
        }
        let room = usize::from(u16::from_le_bytes(words.take())) % MESSAGE_MAX;
        let done = match step % 5 {
            0 => victim.receiver().try_recv(&mut buffer[..room]),
            1 => victim.receiver().poll(&mut grown),
            2 => victim.receiver().next_len().map(|_| Taken::TimedOut),
            3 => sent(victim.sender().try_send(&buffer[..room])),
            _ => sent(victim.sender().try_send(&[])),
        };
        assert!(grown.len() <= MESSAGE_MAX.next_power_of_two());
        if let Ok(Taken::Message(len)) = done {
            assert!(len <= if step % 5 == 0 { room } else { MESSAGE_MAX });
        }
        if let Err(error) = done {
            hold(&error, &mut caught);
        } else if step % 5 >= 3 {
            assert_eq!(caught, None, "sent to a liar");
        }
    }
}

/// A session that is read in parts and written with a quota, whose peer writes what the input says
/// into its memory: no call hangs, none gives more than there was room for, and what is read is
/// what a look has seen before.
///
/// # Panics
/// Where that is not so.
pub fn flow(bytes: &[u8]) {
    let options = Options::new().capacity(ROOM).shareable(false);
    let Ok((mut liar, victim)) = Channel::pair(&options) else {
        return;
    };
    let (sender, receiver) = victim.split();
    let made = Outflow::new(sender, CAPACITY / 4).zip(Inflow::new(receiver));
    let (mut out, mut input) = made.expect("room for the words");
    let words = Words(Cell::new(bytes));
    let mut at = 0;
    let (mut buffer, mut seen) = (vec![0; ROOM], vec![0; ROOM]);
    let mut broken = false;
    while !words.is_over() {
        let step = words.byte();
        if step & 0x80 == 0 {
            lie(&mut liar, step, &words, &mut at);
            continue;
        }
        let room = usize::from(u16::from_le_bytes(words.take())) % ROOM;
        let unit = if step & 0x40 == 0 {
            Unit::Bytes
        } else {
            Unit::Message
        };
        let ended = if step & 1 == 0 {
            let looked = input.peek(&mut seen[..room], unit);
            let read = input.read(&mut buffer[..room], unit, Pace::NOW);
            if let (Ok(looked), Ok(Some(part))) = (&looked, &read) {
                assert!(part.len <= room && looked.len <= room);
                let both = part.len.min(looked.len);
                assert_eq!(buffer[..both], seen[..both], "read is what was seen");
            }
            read.err().or(looked.err())
        } else {
            let written = out.write(&buffer[..room], unit, Pace::NOW);
            if let Ok(len) = written {
                assert!(len <= room);
            }
            assert!(out.free() <= CAPACITY / 4);
            written.err()
        };
        match ended {
            Some(Ended::Broken(error)) => {
                assert!(
                    !error.why().is_empty() || broken,
                    "{error} does not say why"
                );
                broken = true;
            }
            Some(_) => {}
            None => assert!(!broken || step & 1 == 0, "written to a liar"),
        }
    }
}

fn sent(result: Result<bool>) -> Result<Taken> {
    result.map(|_| Taken::TimedOut)
}

fn hold(error: &Error, caught: &mut Option<ErrorKind>) {
    let kinds = [ErrorKind::Broken, ErrorKind::PeerGone, ErrorKind::TooLong];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(!error.why().is_empty(), "{error} does not say why");
    if error.kind() == ErrorKind::Broken {
        *caught = Some(ErrorKind::Broken);
    }
}

/// Writes into the liar's own memory.
fn lie(liar: &mut Channel, step: u8, words: &Words<'_>, at: &mut u64) {
    let memory = &liar.sender().link.own;
    let put = |offset: u64, value: u64| {
        let offset = usize::try_from(offset & !7).expect("a few pages");
        if let Some(word) = memory.word::<u64>(offset) {
            word.store(value, Ordering::Release);
        }
    };
    match step % 5 {
        // A record, published.
        0 | 1 => {
            let len = u64::from(u16::from_le_bytes(words.take())) % 1024;
            let flags = u64::from(words.byte() & 15);
            let header = Header(len | flags << 32);
            put(RING as u64 + *at % CAPACITY, header.0);
            let value = match words.byte() {
                255 => u64::from_le_bytes(words.take()),
                value => u64::from(value) * 16,
            };
            put(RING as u64 + (*at + UNIT) % CAPACITY, value);
            *at += header.span();
            put(HEAD as u64, *at);
        }
        2 => put(HEAD as u64, u64::from(u16::from_le_bytes(words.take()))),
        3 => put(TAIL as u64, u64::from(u16::from_le_bytes(words.take()))),
        _ => {
            let offset = u64::from(u16::from_le_bytes(words.take()));
            let value = u64::from_le_bytes(words.take());
            let offset = offset % (RING as u64 + CAPACITY);
            // Who has closed tells no more lies.
            if offset & !7 != STATE as u64 {
                put(offset, value);
            }
        }
    }
}
