//! Receiving what was lent.

use std::time::Duration;

use crate::channel::layout::Header;
use crate::channel::loan::{Lent, Message, NOTE_LEN, Note};
use crate::channel::receiver::Found;
use crate::channel::ring::Lie;
use crate::channel::sender::Patience;
use crate::channel::{Receiver, Taken};
use crate::error::{ErrorKind, Result};

impl Receiver {
    /// Receives a message, but one that was lent is left where it lies.
    ///
    /// ```
    /// use strait::channel::{Channel, Message, Options};
    ///
    /// let (mut near, mut far) = Channel::pair(&Options::new().blocks(4, 1 << 20))?;
    /// let mut loan = near.sender().loan(1 << 20)?;
    /// loan.write(0, b"a picture")?;
    /// near.sender().send_loan(loan, 9)?;
    /// match far.receiver().recv_message(&mut [0; 64])? {
    ///     Some(Message::Lent(lent)) => {
    ///         let mut bytes = [0; 7];
    ///         lent.read(2, &mut bytes)?;
    ///         assert_eq!(&bytes, b"picture");
    ///         // The sender gets its block back here.
    ///     }
    ///     _ => unreachable!("it was lent"),
    /// }
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_message(&mut self, buffer: &mut [u8]) -> Result<Option<Message>> {
        loop {
            match self.take_message(buffer, Patience::Forever)? {
                Taken::Message(message) => return Ok(Some(message)),
                Taken::End => return Ok(None),
                Taken::TimedOut => {}
            }
        }
    }

    /// [`recv_message`](Self::recv_message) for at most `timeout`; zero does not block.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_message_for(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Taken<Message>> {
        self.take_message(buffer, Patience::for_at_most(timeout))
    }

    fn take_message(&mut self, buffer: &mut [u8], patience: Patience) -> Result<Taken<Message>> {
        if self.is_odd() {
            return self.in_turn(patience, |receiver, patience| {
                receiver.take_message_alone(buffer, patience)
            });
        }
        self.take_message_alone(buffer, patience)
    }

    fn take_message_alone(
        &mut self,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken<Message>> {
        self.let_go();
        loop {
            let header = match self.find(patience)? {
                Found::Record(header) => header,
                Found::End => return Ok(Taken::End),
                Found::TimedOut => return Ok(Taken::TimedOut),
            };
            if header.has(Header::LOAN) && self.total.is_none() {
                let note = self.note(header)?;
                let lent = Lent::new(&self.waiter.park, note);
                self.accept(header)?;
                return Ok(Taken::Message(Message::Lent(lent)));
            }
            return match self.take_alone(buffer, patience) {
                Ok(taken) => Ok(taken.map(Message::Copied)),
                // A torn one made way for a loan, for which there need be no room.
                Err(error) if error.kind() == ErrorKind::TooLong && self.loan_is_next() => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn loan_is_next(&mut self) -> bool {
        let next = self.input.next();
        self.total.is_none() && matches!(next, Ok(Some(next)) if next.has(Header::LOAN))
    }

    /// What the record of that header lends.
    pub(in crate::channel) fn note(&mut self, header: Header) -> Result<Note> {
        if header.has(Header::MORE | Header::TOTAL) || header.len() != NOTE_LEN {
            return Err(self.lied(Lie("a loan is not the whole of its message")));
        }
        let mut note = [0; NOTE_LEN as usize];
        self.input.copy(0, &mut note);
        Note::decode(note, &self.link).map_err(|lie| self.lied(lie))
    }
}
