//! The two messages by which a session begins.
//!
//! The connecting side sends a *hello* with a descriptor of its memory, for reading; the accepting
//! side answers with a *welcome*, its own memory and the bell page, or with a refusal. Both are 64
//! bytes in little-endian order and up to [`PAYLOAD_MAX`] bytes for whoever uses the channel. What
//! is said is checked here; what the descriptors are is checked in [`crate::channel::memory`].

use crate::channel::layout::{BLOCKS_MAX, PAGE};

const MAGIC: &[u8; 8] = b"STRAITCH";
/// Versions of memory layout and protocol that this one can talk to: its own.
const VERSION: u16 = 1;
pub(crate) const HEAD_LEN: usize = 64;
/// Most bytes that go with a hello or a welcome for the user of the channel.
pub(crate) const PAYLOAD_MAX: usize = 4096;
/// Smallest and largest ring, in bytes.
pub(crate) const CAPACITY_MIN: u64 = 4096;
pub(crate) const CAPACITY_MAX: u64 = 1 << 30;
/// Longest block, in bytes.
pub(crate) const BLOCK_MAX: u64 = 1 << 30;

/// The memory that a side brings.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Bytes of its ring.
    pub(crate) capacity: u64,
    /// Blocks it can lend, and the bytes of each.
    pub(crate) blocks: u32,
    pub(crate) block_len: u64,
}

impl Shape {
    /// Length of the file.
    pub(crate) fn file_len(self) -> u64 {
        PAGE as u64 + self.claim()
    }

    /// Bytes of its ring and its blocks.
    pub(crate) fn claim(self) -> u64 {
        self.capacity + u64::from(self.blocks) * self.block_len
    }

    pub(crate) fn is_valid(self) -> bool {
        let page = PAGE as u64;
        (CAPACITY_MIN..=CAPACITY_MAX).contains(&self.capacity)
            && self.capacity.is_power_of_two()
            && self.blocks <= BLOCKS_MAX
            && self.block_len <= BLOCK_MAX
            && self.block_len.is_multiple_of(page)
            && (self.blocks == 0) == (self.block_len == 0)
    }
}

/// What the message is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Hello,
    Welcome,
    /// With a code for whoever uses the channel.
    Refusal(u32),
}

/// A message of the handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hello {
    pub(crate) verb: Verb,
    /// What the session is for: pipes, ports and plain channels do not mix.
    pub(crate) role: u32,
    pub(crate) shape: Shape,
    /// The sender's threads can be fenced by membarrier(2).
    pub(crate) fenceable: bool,
    /// Where to ring the accepting side instead of on its bell: the bit in its doorbell, whose file
    /// comes last.
    pub(crate) door: Option<u32>,
    pub(crate) payload: Vec<u8>,
}

const FENCEABLE: u32 = 1;
const DOOR: u32 = 2;

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags =
            if self.fenceable { FENCEABLE } else { 0 } | if self.door.is_some() { DOOR } else { 0 };
        let (verb, code) = match self.verb {
            Verb::Hello => (0u16, 0),
            Verb::Welcome => (1, 0),
            Verb::Refusal(code) => (2, code),
        };
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.payload.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(verb.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(self.role.to_le_bytes());
        bytes.extend(code.to_le_bytes());
        bytes.extend(self.shape.capacity.to_le_bytes());
        bytes.extend(self.shape.block_len.to_le_bytes());
        bytes.extend(self.shape.blocks.to_le_bytes());
        bytes.extend(self.door.unwrap_or(0).to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.resize(HEAD_LEN, 0);
        bytes.extend(&self.payload);
        bytes
    }

    /// What a peer sent, or what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = Rest(bytes);
        if bytes.len() < HEAD_LEN || rest.take()? != *MAGIC {
            return Err("it does not speak the channel's protocol");
        }
        if u16::from_le_bytes(rest.take()?) != VERSION {
            return Err("it speaks another version of the channel's protocol");
        }
        let verb = u16::from_le_bytes(rest.take()?);
        let flags = u32::from_le_bytes(rest.take()?);
        let role = u32::from_le_bytes(rest.take()?);
        let code = u32::from_le_bytes(rest.take()?);
        let capacity = u64::from_le_bytes(rest.take()?);
        let block_len = u64::from_le_bytes(rest.take()?);
        let blocks = u32::from_le_bytes(rest.take()?);
        let door = u32::from_le_bytes(rest.take()?);
        let len = u32::from_le_bytes(rest.take()?) as usize;
        let zeros: [u8; 12] = rest.take()?;
        let verb = match (verb, code) {
            (0, 0) => Verb::Hello,
            (1, 0) => Verb::Welcome,
            (2, code) => Verb::Refusal(code),
            _ => return Err("its greeting is of no known kind"),
        };
        let shape = Shape {
            capacity,
            blocks,
            block_len,
        };
        let is_shapeless = matches!(verb, Verb::Refusal(_));
        if !is_shapeless && !shape.is_valid() {
            return Err("it brings memory of a shape that is not allowed");
        }
        if flags & !(FENCEABLE | DOOR) != 0 || zeros != [0; 12] {
            return Err("its greeting says what nobody understands");
        }
        if len > PAYLOAD_MAX || rest.0.len() != len {
            return Err("its greeting is not as long as it says");
        }
        Ok(Self {
            verb,
            role,
            shape,
            fenceable: flags & FENCEABLE != 0,
            door: (flags & DOOR != 0).then_some(door),
            payload: rest.0.to_vec(),
        })
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (first, rest) = self.0.split_first_chunk().ok_or("its greeting is short")?;
        self.0 = rest;
        Ok(*first)
    }
}

/// For fuzzing: whatever is understood is what its own bytes say.
#[cfg(any(test, feature = "test-kit"))]
pub(crate) fn fuzz_hello(bytes: &[u8]) {
    if let Ok(hello) = Hello::decode(bytes) {
        let again = Hello::decode(&hello.encode());
        assert!(again.as_ref() == Ok(&hello) || matches!(hello.verb, Verb::Refusal(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            verb: Verb::Hello,
            role: 7,
            shape: Shape {
                capacity: 1 << 15,
                blocks: 2,
                block_len: 8192,
            },
            fenceable: true,
            door: Some(9),
            payload: b"who".to_vec(),
        }
    }

    #[test]
    fn what_is_said_is_understood() {
        let hello = hello();
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }

    #[test]
    fn every_bit_counts_or_is_refused() {
        let bytes = hello().encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Hello::decode(&changed), Ok(hello()), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Hello::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_hello(&bytes);
            let mut begins = hello().encode();
            let len = begins.len().min(bytes.len());
            begins[16..16.max(len)].copy_from_slice(&bytes[16.min(len)..len]);
            fuzz_hello(&begins);
        }
    }
}
