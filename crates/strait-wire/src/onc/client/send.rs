//! Calls go out.

use alloc::vec::Vec;

use super::{Again, Client, Error, Order, Pending, RETRY_MIN};
use crate::onc::message::{CallHeader, Xid};
use crate::onc::record;
use crate::time::Time;
use crate::xdr::{self, Encode, Writer};

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
        let max = self.in_flight_max;
        if self.pending.len() >= max {
            return Err(Error::TooMany { max });
        }
        let start = out.len();
        let xid = self.write(order, out, arguments)?;
        let again = self.datagrams.map(|datagrams| {
            let pause = datagrams.retry.first.max(RETRY_MIN);
            Again {
                datagram: out[start..].to_vec(),
                at: now.after(pause),
                pause,
            }
        });
        let deadline = order.deadline;
        let pending = Pending { deadline, again };
        if let Some(due) = pending.due() {
            self.timers.insert((due, xid));
        }
        self.pending.insert(xid, pending);
        Ok(xid)
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
        self.write(order, out, arguments)
    }

    fn write(
        &mut self,
        order: &Order<'_>,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Xid, Error> {
        let xid = self.free();
        let header = CallHeader {
            xid,
            procedure: order.procedure,
            credential: order.credential.clone(),
            verifier: order.verifier.clone(),
        };
        let start = out.len();
        let mark = self.datagrams.is_none().then(|| record::begin(out));
        let mut to = Writer::new(out);
        if let Err(error) = header.encode(&mut to).and_then(|()| arguments(&mut to)) {
            out.truncate(start);
            return Err(Error::Encode(error));
        }
        if let Some(mark) = mark {
            mark.end(out).map_err(Error::Record)?;
        }
        let len = out.len() - start;
        if let Some(datagrams) = self.datagrams
            && len > datagrams.len_max
        {
            out.truncate(start);
            let max = datagrams.len_max;
            return Err(Error::TooLong { len, max });
        }
        // Used up only now: a call that was not made leaves no gap.
        self.next = Xid(xid.0.wrapping_add(1));
        Ok(xid)
    }

    /// A number that no call in flight has: there are fewer of those than numbers.
    fn free(&self) -> Xid {
        let mut xid = self.next;
        while self.pending.contains_key(&xid) {
            xid = Xid(xid.0.wrapping_add(1));
        }
        xid
    }
}
