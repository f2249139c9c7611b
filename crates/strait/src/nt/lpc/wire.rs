//! What stands before the bytes of a message, and what goes with a connection.

/// Length of [`Head`].
pub(super) const HEAD_LEN: usize = 8;
/// Length of what goes with a hello or a welcome before the caller's own data.
pub(super) const TERMS_LEN: usize = 32;
/// Length of an extent.
pub(super) const EXTENT_LEN: usize = 16;

/// What a message is. The numbers are NT's, but for the last.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Request,
    Reply,
    Datagram,
    /// The request will not be answered.
    LostReply,
    /// The caller waits for the reply no longer.
    Cancel,
}

impl Type {
    const ALL: [(Self, u8); 5] = [
        (Self::Request, 1),
        (Self::Reply, 2),
        (Self::Datagram, 3),
        (Self::LostReply, 4),
        (Self::Cancel, 128),
    ];

    fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Datagram => 3,
            Self::LostReply => 4,
            Self::Cancel => 128,
        }
    }
}

/// Why a request has no reply. The code is a byte after the head of a [`Type::LostReply`], and
/// words may follow; without either the request was dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Lost {
    pub(super) code: Code,
    pub(super) words: String,
}

/// Whose fault it is, and what for.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Code {
    /// Nobody answered.
    #[default]
    Dropped,
    /// The request is not as long as its type: the words say how long.
    WrongLength,
    /// The handler failed, and the client is not to blame.
    Failed,
    /// The reply is longer than the port allows: the words say how long.
    TooLong,
    /// The words say why.
    Refused,
}

impl Lost {
    /// Most bytes of the words.
    const WORDS_MAX: usize = 512;
    const CODES: [Code; 5] = [
        Code::Dropped,
        Code::WrongLength,
        Code::Failed,
        Code::TooLong,
        Code::Refused,
    ];

    pub(super) fn new(code: Code, words: &str) -> Self {
        let len = words.floor_char_boundary(Self::WORDS_MAX);
        let words = words[..len].to_owned();
        Self { code, words }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        [&[self.code as u8], self.words.as_bytes()].concat()
    }

    /// What the other side said. What nobody says means as little as nothing.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let Some((code, words)) = bytes.split_first() else {
            return Self::default();
        };
        let Some(code) = Self::CODES.get(usize::from(*code)) else {
            return Self::default();
        };
        let words = &words[..words.len().min(Self::WORDS_MAX)];
        Self::new(*code, &String::from_utf8_lossy(words))
    }
}

/// The first eight bytes of a message.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// Never 0, but for a datagram.
    pub(super) id: u32,
    pub(super) kind: Type,
    /// The bytes that follow begin with the [`Extent`](super::Extent) of a view.
    pub(super) extent: bool,
    /// A request of the server's to a client that waits for a reply.
    pub(super) callback: bool,
}

impl Head {
    pub(super) const fn new(kind: Type, id: u32) -> Self {
        Self {
            id,
            kind,
            extent: false,
            callback: false,
        }
    }

    #[inline]
    pub(super) fn encode(self) -> [u8; HEAD_LEN] {
        let flags = u8::from(self.extent) | u8::from(self.callback) << 1;
        let word = u64::from(self.id) | u64::from(self.kind.code()) << 32 | u64::from(flags) << 40;
        word.to_le_bytes()
    }

    /// The head of a message, and the rest of it. `None`: nobody sends such a one.
    #[inline]
    pub(super) fn decode(message: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = message.split_first_chunk::<HEAD_LEN>()?;
        let word = u64::from_le_bytes(*head);
        let [_, _, _, _, kind, flags, 0, 0] = *head else {
            return None;
        };
        let (kind, _) = Type::ALL.into_iter().find(|(_, code)| *code == kind)?;
        let id = (word & 0xffff_ffff) as u32;
        let extent = flags & 1 != 0;
        let is_known = flags & !3 == 0
            && (id == 0) == (kind == Type::Datagram)
            && (!extent || rest.len() >= EXTENT_LEN);
        is_known.then_some((
            Self {
                id,
                kind,
                extent,
                callback: flags & 2 != 0,
            },
            rest,
        ))
    }
}

/// For fuzzing: whatever is understood is what its own bytes say.
#[doc(hidden)]
pub fn fuzz_message(bytes: &[u8]) {
    if let Some((head, rest)) = Head::decode(bytes) {
        assert_eq!([&head.encode()[..], rest].concat(), bytes);
    }
    let lost = Lost::decode(bytes);
    assert_eq!(Lost::decode(&lost.encode()), lost);
    if let Some((terms, rest)) = Terms::decode(bytes) {
        assert_eq!([&terms.encode()[..], rest].concat(), bytes);
    }
}

/// Ids of requests: never 0, and after the last comes 1.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Ids(u32);

impl Ids {
    pub(super) const fn after(last: u32) -> Self {
        Self(last)
    }

    #[inline]
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}

/// What a client asks for, or a server grants, beside its own data.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Terms {
    /// The client wants a server thread of its own.
    pub(super) quick: bool,
    /// The server may know who the client is, but not act as the client.
    pub(super) identification: bool,
    /// A view comes with it: where in the file it lies, and how long it is.
    pub(super) view: Option<(u64, u64)>,
    /// From the server: the longest message, in bytes.
    pub(super) message_max: u32,
}

impl Terms {
    const VERSION: u8 = 1;

    pub(super) fn encode(self) -> [u8; TERMS_LEN] {
        let mut bytes = [0; TERMS_LEN];
        let flags = u8::from(self.quick)
            | u8::from(self.view.is_some()) << 1
            | u8::from(self.identification) << 2;
        let (offset, len) = self.view.unwrap_or_default();
        bytes[0] = Self::VERSION;
        bytes[1] = flags;
        bytes[4..8].copy_from_slice(&self.message_max.to_le_bytes());
        bytes[8..16].copy_from_slice(&offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<TERMS_LEN>()?;
        let [Self::VERSION, flags @ 0..=7, 0, 0, ..] = *head else {
            return None;
        };
        let word = |at: usize| {
            let bytes = head.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (offset, len) = (word(8)?, word(16)?);
        let has_view = flags & 2 != 0;
        let is_known = word(24)? == 0 && (has_view || (offset, len) == (0, 0));
        let [_, _, _, _, a, b, c, d, ..] = *head;
        is_known.then_some((
            Self {
                quick: flags & 1 != 0,
                identification: flags & 4 != 0,
                view: has_view.then_some((offset, len)),
                message_max: u32::from_le_bytes([a, b, c, d]),
            },
            rest,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_never_0_and_wrap_to_1() {
        let mut ids = Ids::after(u32::MAX - 2);
        let drawn: Vec<_> = (0..4).map(|_| ids.next()).collect();
        assert_eq!(drawn, [u32::MAX - 1, u32::MAX, 1, 2]);
    }

    #[test]
    fn what_is_said_is_understood() {
        for (kind, _) in Type::ALL {
            for flags in 0..4_u8 {
                let head = Head {
                    id: u32::from(kind != Type::Datagram) * 7,
                    kind,
                    extent: flags & 1 != 0,
                    callback: flags & 2 != 0,
                };
                let message = [&head.encode()[..], &[5; 16]].concat();
                assert_eq!(Head::decode(&message), Some((head, &[5; 16][..])));
            }
        }
        let terms = Terms {
            quick: true,
            identification: true,
            view: Some((4096, 1 << 20)),
            message_max: 65_536,
        };
        assert_eq!(Terms::decode(&terms.encode()), Some((terms, &[][..])));
    }

    #[test]
    fn why_there_is_no_reply() {
        assert_eq!(Lost::decode(&[]), Lost::default());
        assert_eq!(Lost::decode(&[5, b'?']), Lost::default());
        let said = Lost::new(Code::Refused, "exit status: 3");
        assert_eq!(Lost::decode(&said.encode()), said);
        let long = Lost::new(Code::Failed, &"\u{e4}".repeat(Lost::WORDS_MAX));
        assert_eq!(long.words.len(), Lost::WORDS_MAX);
        let odd = Lost::new(
            Code::Failed,
            &format!("a{}", "\u{e4}".repeat(Lost::WORDS_MAX)),
        );
        assert_eq!(odd.words.len(), Lost::WORDS_MAX - 1);
        let beyond = [&[2][..], &[b'a'; 513]].concat();
        assert_eq!(Lost::decode(&beyond).words.len(), Lost::WORDS_MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        let request = Head::new(Type::Request, 1).encode();
        let wrong = |at: usize, value: u8| {
            let mut bytes = request;
            bytes[at] = value;
            assert_eq!(Head::decode(&bytes), None, "{bytes:?}");
        };
        wrong(0, 0);
        wrong(4, 0);
        wrong(4, 5);
        wrong(5, 1);
        wrong(5, 4);
        wrong(6, 1);
        wrong(7, 1);
        assert_eq!(Head::decode(&request[..7]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            fuzz_message(&bytes);
        }
    }
}
