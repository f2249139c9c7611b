//! Calls go out.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Again, Client, Error, Order, Pending, RETRY_MIN};
use crate::onc::DATAGRAM_MAX;
use crate::onc::message::{CallHeader, Xid};
use crate::onc::record;
use crate::time::Time;
use crate::xdr::{self, Encode, Writer};

/// What a call looks like on its transport.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Form {
    is_marked: bool,
    len_max: usize,
}

impl Form {
    /// A record of a stream.
    pub const RECORD: Self = Self {
        is_marked: true,
        len_max: usize::MAX,
    };
    /// The bare message, for a transport that keeps messages apart and loses none.
    pub const MESSAGE: Self = Self {
        is_marked: false,
        len_max: usize::MAX,
    };
    /// A datagram.
    pub const DATAGRAM: Self = Self {
        is_marked: false,
        len_max: DATAGRAM_MAX,
    };

    /// Encodes a call that has no number yet, without any machine: what is to be sent is appended
    /// to `out`, and [`Client::launch`] puts the number in.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing has then been appended.
    pub fn draft(
        self,
        order: &Order<'_>,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Draft, Error> {
        let start = out.len();
        let drafted = self.append(order, out, arguments);
        drafted.inspect_err(|_| out.truncate(start))
    }

    fn append(
        self,
        order: &Order<'_>,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Draft, Error> {
        let header = CallHeader {
            xid: Xid(0),
            procedure: order.procedure,
            credential: order.credential.clone(),
            verifier: order.verifier.clone(),
        };
        let mut first = 0;
        let mut draft = self.frame(out, |out| {
            let number = out.len();
            let mut to = Writer::new(out);
            header.encode(&mut to).map_err(Error::Encode)?;
            first = number + header.encoded_len();
            arguments(&mut to).map_err(Error::Encode)
        })?;
        draft.arguments.start = first;
        draft.deadline = order.deadline;
        Ok(draft)
    }

    /// The same for a call that is encoded elsewhere, under a number that was
    /// [reserved](Client::reserve): `message` appends all of it.
    ///
    /// # Errors
    ///
    /// Those of `message`; [`Error`]; what was appended is then to be dropped.
    pub fn frame<E: From<Error>>(
        self,
        out: &mut Vec<u8>,
        message: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Draft, E> {
        let start = out.len();
        let mark = self.is_marked.then(|| record::begin(out));
        let number = out.len();
        message(out)?;
        if let Some(mark) = mark {
            mark.end(out).map_err(Error::Record)?;
        }
        let (len, max) = (out.len() - start, self.len_max);
        if len > max {
            return Err(Error::TooLong { len, max }.into());
        }
        Ok(Draft {
            start,
            number,
            arguments: number..out.len(),
            deadline: None,
        })
    }
}

/// A call that is encoded and has no number yet. Its places are those in the buffer that it was
/// appended to.
#[derive(Clone, Debug)]
pub struct Draft {
    start: usize,
    /// Where the number stands.
    number: usize,
    arguments: Range<usize>,
    deadline: Option<Time>,
}

impl Draft {
    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the arguments stand.
    #[must_use]
    pub fn arguments(&self) -> Range<usize> {
        self.arguments.clone()
    }

    fn number(&self, xid: Xid, out: &mut [u8]) {
        let word = out[self.number..].first_chunk_mut();
        *word.expect("the draft of this buffer has a number") = xid.0.to_be_bytes();
    }
}

impl Client {
    /// Begins a call: what is to be sent is appended to `out`, a record on a stream and a datagram
    /// otherwise. Several calls may be gathered for one write on a stream.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing has then been appended, and no call begun.
    pub fn call(
        &mut self,
        now: Time,
        order: &Order<'_>,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Xid, Error> {
        self.room()?;
        let draft = self.form.draft(order, out, arguments)?;
        self.launch(now, &draft, out)
    }

    /// Begins a call that [`Form::draft`] has encoded in `out`, in this client's form.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`]; no call has then begun.
    ///
    /// # Panics
    ///
    /// If `out` is not the buffer of the draft.
    pub fn launch(&mut self, now: Time, draft: &Draft, out: &mut [u8]) -> Result<Xid, Error> {
        self.room()?;
        let xid = self.take_number();
        self.begin(now, xid, draft, out);
        Ok(xid)
    }

    /// A number for a call whose proof covers it, so that it has to be known before: for
    /// [`launch_as`](Self::launch_as).
    pub fn reserve(&mut self) -> Xid {
        self.take_number()
    }

    /// Begins a call under a number that was reserved, once.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`]; no call has then begun.
    ///
    /// # Panics
    ///
    /// If `out` is not the buffer of the draft.
    pub fn launch_as(
        &mut self,
        now: Time,
        xid: Xid,
        draft: &Draft,
        out: &mut [u8],
    ) -> Result<(), Error> {
        self.room()?;
        self.begin(now, xid, draft, out);
        Ok(())
    }

    fn begin(&mut self, now: Time, xid: Xid, draft: &Draft, out: &mut [u8]) {
        draft.number(xid, out);
        let again = self.retry.map(|retry| {
            let pause = retry.first.max(RETRY_MIN);
            Again {
                datagram: out[draft.start..draft.arguments.end].to_vec(),
                at: now.after(pause),
                pause,
            }
        });
        let deadline = draft.deadline;
        let pending = Pending { deadline, again };
        if let Some(due) = pending.due() {
            self.timers.insert((due, xid));
        }
        self.pending.insert(xid, pending);
    }

    /// Makes a call that nobody waits for: the server is not to answer, and if it does, the reply
    /// is dropped. On datagrams it is sent once.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing has then been appended.
    pub fn call_oneway(
        &mut self,
        order: &Order<'_>,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Xid, Error> {
        let draft = self.form.draft(order, out, arguments)?;
        Ok(self.launch_oneway(&draft, out))
    }

    /// Makes a call that nobody waits for and that [`Form::draft`] has encoded in `out`.
    ///
    /// # Panics
    ///
    /// If `out` is not the buffer of the draft.
    pub fn launch_oneway(&mut self, draft: &Draft, out: &mut [u8]) -> Xid {
        let xid = self.take_number();
        draft.number(xid, out);
        xid
    }

    fn room(&self) -> Result<(), Error> {
        let max = self.in_flight_max;
        if self.pending.len() < max {
            return Ok(());
        }
        Err(Error::TooMany { max })
    }

    /// A number that no call in flight has: there are fewer of those than numbers.
    fn take_number(&mut self) -> Xid {
        let mut xid = self.next;
        while self.pending.contains_key(&xid) {
            xid = Xid(xid.0.wrapping_add(1));
        }
        self.next = Xid(xid.0.wrapping_add(1));
        xid
    }
}
