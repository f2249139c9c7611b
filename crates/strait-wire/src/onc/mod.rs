//! ONC RPC, version 2: RFC 5531.
//!
//! A call is a message with a number, the XID, that its reply repeats. On a stream each message is
//! a record, led by a mark; on UDP it is a datagram.
//!
//! - [`auth`]: who calls, as credential and verifier say it.
//! - [`message`]: the headers of calls and replies.
//! - [`record`]: messages on a stream.
//! - [`client`]: calls in flight, their replies, deadlines and retransmissions.
//! - [`server`]: calls taken apart, replies put together, programs, duplicate requests.
//! - [`rpcbind`]: the registry of programs (RFC 1833).
//! - [`gss`]: calls whose caller, arguments and results are proven (RFC 2203).
//!
//! A machine never calls out. What drives it reads, hands it the bytes and the time, sends what it
//! is given, and asks when to come back.
//!
//! ```
//! use std::time::Duration;
//! use strait_wire::onc::client::{Client, Order, Received};
//! use strait_wire::onc::message::{Procedure, Xid};
//! use strait_wire::onc::record::{self, Records};
//! use strait_wire::onc::server::{self, Caps};
//! use strait_wire::time::Time;
//! use strait_wire::xdr::Reader;
//!
//! // A call, marked as a record.
//! let now = Time::default();
//! let mut client = Client::stream(Xid(7));
//! let double = Procedure { program: 0x2000_0001, version: 1, number: 1 };
//! let order = Order::new(double).deadline(now.after(Duration::from_secs(5)));
//! let mut wire = Vec::new();
//! let xid = client.call(now, &order, &mut wire, |to| Ok(to.int(21))).unwrap();
//!
//! // The server takes the record from what came in, and answers.
//! let mut records = Records::default();
//! records.push(&wire);
//! let message = records.next_record().unwrap().expect("the record is whole");
//! let call = server::parse_call(message, &Caps::default()).unwrap();
//! assert_eq!(call.header.procedure, double);
//! let number = Reader::new(call.arguments).int().unwrap();
//! let mut reply = Vec::new();
//! let mark = record::begin(&mut reply);
//! server::success(&mut reply, call.header.xid, &Default::default(), |to| Ok(to.int(2 * number)))
//!     .unwrap();
//! mark.end(&mut reply).unwrap();
//!
//! // The client knows whose answer it is.
//! let mut records = Records::default();
//! records.push(&reply);
//! let message = records.next_record().unwrap().expect("the record is whole");
//! let Received::Answer(answer) = client.receive(message) else { panic!("no answer") };
//! assert_eq!(answer.header.xid, xid);
//! assert_eq!(Reader::new(answer.results().unwrap()).int(), Ok(42));
//! ```

/// Constants of a type that keeps any other number as well.
macro_rules! named {
    ($of:ident, $rfc:literal:
        $($(#[$doc:meta])* $word:ident = $number:literal $name:literal;)*) => {
        impl $of {
            $($(#[$doc])* #[doc(alias = $name)] pub const $word: Self = Self($number);)*

            #[doc = concat!("The name in ", $rfc, "; `None` for a number that has none there.")]
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

pub mod auth;
pub mod client;
pub mod gss;
pub mod message;
pub mod record;
pub mod rpcbind;
pub mod server;
#[cfg(test)]
mod tests;

/// The longest message that UDP carries over IPv4, in bytes.
pub const DATAGRAM_MAX: usize = 65_507;
