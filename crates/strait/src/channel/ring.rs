//! The ring: records from one writer to one reader, through memory that only the writer can write.
//!
//! Positions count bytes since the beginning and never wrap; the place in the ring is the position
//! modulo its capacity. The writer publishes `head` and the reader, in its own memory, `tail`. Each
//! looks at the other's word only when what it saw last does not suffice, checks what it finds, and
//! then uses its copy: a peer that lies is found out or fools nobody but itself.

use strait_sys::time::Deadline;

use crate::channel::layout::{Header, UNIT, span};
use crate::channel::park::{Park, Waited, Waiter};
use crate::object::flaw;

/// The peer's words contradict the protocol.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lie(pub(crate) &'static str);

/// The memory of one direction, as its writer sees it.
pub(crate) trait WriteLane {
    fn capacity(&self) -> u64;
    /// Whatever the reader did before it stored this, it has done.
    fn tail(&self) -> u64;
    /// Whatever was written before is seen by whoever sees this.
    fn publish(&self, head: u64);
    fn write(&self, at: u64, bytes: &[u8]);
    fn set(&self, at: u64, word: u64);
}

/// The memory of one direction, as its reader sees it.
pub(crate) trait ReadLane {
    fn capacity(&self) -> u64;
    fn head(&self) -> u64;
    fn release(&self, tail: u64);
    /// Says where the next record lies, to the holders of this end alone.
    fn note(&self, tail: u64);
    fn read(&self, at: u64, bytes: &mut [u8]);
    fn get(&self, at: u64) -> u64;
    /// What lies at `at` will be read soon; only a hint.
    fn prefetch(&self, _at: u64) {}
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Writer<L> {
    pub(crate) lane: L,
    /// Where the next record goes.
    pub(super) head: u64,
    pub(super) published: u64,
    /// The reader's tail as last seen.
    pub(super) tail: u64,
}

impl<L: WriteLane> Writer<L> {
    /// Goes on at `head`, where the last holder of this end has published.
    pub(crate) fn at(lane: L, head: u64) -> Self {
        // Before the first look nothing is known of the reader: as if the ring were full.
        let tail = head.wrapping_sub(lane.capacity());
        Self {
            lane,
            head,
            published: head,
            tail,
        }
    }

    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.head
    }

    /// Goes on at `head`, where another holder of this end has published.
    pub(crate) fn go_on(&mut self, head: u64) {
        (self.head, self.published) = (head, head);
        self.tail = head.wrapping_sub(self.lane.capacity());
    }

    /// Whether a record of that span fits now.
    #[inline]
    pub(crate) fn has_room(&mut self, span: u64) -> Result<bool, Lie> {
        if self.free() >= span {
            return Ok(true);
        }
        self.look()?;
        Ok(self.free() >= span)
    }

    /// Bytes of room that it knows of.
    #[inline]
    pub(crate) fn free(&self) -> u64 {
        self.lane.capacity() - self.head.wrapping_sub(self.tail)
    }

    fn look(&mut self) -> Result<(), Lie> {
        let tail = self.lane.tail();
        // Nor does it take back what it has read: whoever waits for room would wait for ever.
        if self.head.wrapping_sub(tail) > self.head.wrapping_sub(self.tail)
            || !tail.is_multiple_of(UNIT)
        {
            return Err(Lie("it says that it has read what was never sent"));
        }
        self.tail = tail;
        Ok(())
    }

    /// Waits until a record of that span fits, or `is_over`. What is pushed must be published.
    pub(crate) fn await_room(
        &mut self,
        span: u64,
        waiter: &mut Waiter<impl Park>,
        is_over: impl Fn() -> bool,
        until: Option<Deadline>,
    ) -> Result<Waited, Lie> {
        while !self.has_room(span)? {
            // The tail that did not suffice: one that is read now may suffice, and be the last.
            let lane = &self.lane;
            let seen = if flaw("room: the tail of another look") {
                lane.tail()
            } else {
                self.tail
            };
            match waiter.wait(|| lane.tail() != seen, &is_over, until) {
                Waited::Ready => {}
                ended => return Ok(ended),
            }
        }
        Ok(Waited::Ready)
    }

    /// Adds a record for which there is room; it is not published yet.
    #[inline]
    pub(crate) fn push(&mut self, header: Header, parts: [&[u8]; 2]) {
        let mut at = self.head;
        self.lane.set(at, header.0);
        at += UNIT;
        let [first, second] = parts;
        // The parts that are not the last have a length that is a multiple of 8.
        if !first.is_empty() {
            self.lane.write(at, first);
            at += first.len() as u64;
        }
        if !second.is_empty() {
            self.lane.write(at, second);
        }
        self.head = self.head.wrapping_add(header.span());
    }

    /// Publishes what was pushed. False: there is nothing new.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.published == self.head {
            return false;
        }
        self.published = self.head;
        self.lane.publish(self.head);
        true
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Reader<L> {
    pub(crate) lane: L,
    /// Where the next record lies.
    pub(super) tail: u64,
    pub(super) released: u64,
    /// The writer's head as last seen.
    pub(super) head: u64,
    /// What it was caught at: nothing is read from it any more.
    pub(super) lie: Option<Lie>,
}

impl<L: ReadLane> Reader<L> {
    /// Goes on at `tail`, where the last holder of this end has read.
    pub(crate) fn at(lane: L, tail: u64) -> Self {
        Self {
            lane,
            tail,
            released: tail,
            head: tail,
            lie: None,
        }
    }

    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.tail
    }

    /// Whether a ring's worth has been consumed since that position: one who sends without end is
    /// heard for so long.
    pub(crate) fn went_round(&self, since: u64) -> bool {
        self.tail.wrapping_sub(since) >= self.lane.capacity()
    }

    /// Goes on at `tail`, where another holder of this end has read; the writer knows of what was
    /// before `released`.
    pub(crate) fn go_on(&mut self, tail: u64, released: u64) {
        (self.tail, self.head, self.released) = (tail, tail, released);
    }

    /// Bytes published and not consumed, as of now.
    pub(crate) fn unread(&mut self) -> Result<u64, Lie> {
        self.look()?;
        Ok(self.head.wrapping_sub(self.tail))
    }

    fn look(&mut self) -> Result<(), Lie> {
        if let Some(lie) = self.lie {
            return Err(lie);
        }
        let head = self.lane.head();
        let unread = head.wrapping_sub(self.tail);
        if unread > self.lane.capacity() || !head.is_multiple_of(UNIT) {
            return Err(self.distrust(Lie("it has published more than its ring holds")));
        }
        self.head = head;
        Ok(())
    }

    /// The writer was caught at that: the reader stays where it is, for good.
    #[cold]
    pub(crate) fn distrust(&mut self, lie: Lie) -> Lie {
        self.head = self.tail;
        *self.lie.get_or_insert(lie)
    }

    /// The header of the next record, if there is one.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Header>, Lie> {
        if self.head == self.tail {
            self.look()?;
            if self.head == self.tail {
                return Ok(None);
            }
        }
        match self.header_at(self.tail) {
            Err(lie) => Err(self.distrust(lie)),
            found => found,
        }
    }

    /// The header of the record at `at`, between the next one and all that was published as of the
    /// last look.
    #[inline]
    pub(crate) fn header_at(&self, at: u64) -> Result<Option<Header>, Lie> {
        if at == self.head {
            return Ok(None);
        }
        let header = Header(self.lane.get(at));
        if !header.is_known() || header.span() > self.head.wrapping_sub(at) {
            return Err(Lie("a record is longer than what it has published"));
        }
        Ok(Some(header))
    }

    /// Waits for a record after [`Reader::next`] found none, or `is_over`. What was consumed must
    /// be released.
    #[inline]
    pub(crate) fn await_record(
        &self,
        waiter: &mut Waiter<impl Park>,
        is_over: impl Fn() -> bool,
        until: Option<Deadline>,
    ) -> Waited {
        waiter.wait(|| self.has_come(), is_over, until)
    }

    /// One look of who waits for a record: its lines shall come with the word that announces it.
    #[inline]
    pub(crate) fn has_come(&self) -> bool {
        self.lane.prefetch(self.tail);
        self.lane.prefetch(self.tail.wrapping_add(64));
        self.lane.head() != self.tail
    }

    /// Copies bytes of the record that [`Reader::next`] has found, from `offset` in it.
    #[inline]
    pub(crate) fn copy(&self, offset: u64, bytes: &mut [u8]) {
        self.copy_at(self.tail, offset, bytes);
    }

    /// Copies bytes of the record at `at`, from `offset` in it.
    #[inline]
    pub(crate) fn copy_at(&self, at: u64, offset: u64, bytes: &mut [u8]) {
        let at = at.wrapping_add(UNIT + offset);
        let odd = (at % UNIT) as usize;
        if odd == 0 {
            return self.lane.read(at, bytes);
        }
        // The rest of a word that was read in part.
        let word = self.lane.get(at - odd as u64).to_ne_bytes();
        let rest = &word[odd..];
        let count = rest.len().min(bytes.len());
        let (first, more) = bytes.split_at_mut(count);
        first.copy_from_slice(&rest[..count]);
        if !more.is_empty() {
            self.lane.read((at - odd as u64).wrapping_add(UNIT), more);
        }
    }

    /// Goes past the record of that header, and tells nobody.
    #[inline]
    pub(crate) fn pass(&mut self, header: Header) {
        self.tail = self.tail.wrapping_add(header.span());
    }

    /// Says to the holders of this end where the next record lies.
    #[inline]
    pub(crate) fn note(&self) {
        self.lane.note(self.tail);
    }

    /// Done with the record of that header. False: the writer has not been told yet.
    #[inline]
    pub(crate) fn consume(&mut self, header: Header) -> bool {
        self.pass(header);
        self.note();
        if self.tail.wrapping_sub(self.released) >= self.lane.capacity() / 8 {
            return self.release();
        }
        false
    }

    /// Tells the writer of everything consumed. False: it knows.
    #[inline]
    pub(crate) fn release(&mut self) -> bool {
        if self.released == self.tail {
            return false;
        }
        self.released = self.tail;
        self.lane.release(self.tail);
        true
    }
}

/// The largest record that is sent in one piece through a ring of that capacity, in bytes of
/// message: a quarter of it, so that reader and writer work at the same time.
pub(crate) const fn piece(capacity: u64) -> u64 {
    let quarter = capacity / 4;
    quarter - span(0)
}
