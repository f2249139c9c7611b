//! Tells code from comments and literals, byte by byte, and splits code into tokens.

/// What a byte of a Rust file belongs to. Quotes belong to their literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Comment,
    Literal,
    /// A raw string: a line break inside it would change it.
    RawLiteral,
}

/// An identifier, keyword or number, or one character of punctuation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Where it begins, in bytes from the start of the file.
    pub(super) at: usize,
}

/// The kind of each byte of `text`.
pub(super) fn kinds(text: &str) -> Vec<Kind> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        kinds: Vec::with_capacity(text.len()),
    };
    while scanner.at() < text.len() {
        scanner.step();
    }
    scanner.kinds
}

/// `text` with every byte that is not of a wanted kind blanked; offsets and lines stay.
pub(super) fn keep(text: &str, kinds: &[Kind], wanted: Kind) -> String {
    let mut kept = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c == '\n' || kinds[at] == wanted {
            kept.push(c);
        } else {
            kept.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    kept
}

/// The tokens of text in which only code is left.
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut chars = code.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut end = at + c.len_utf8();
        if is_word(c) {
            while let Some((next, _)) = chars.next_if(|(_, c)| is_word(*c)) {
                end = next + code[next..].chars().next().map_or(0, char::len_utf8);
            }
        }
        tokens.push(Token {
            text: &code[at..end],
            at,
        });
    }
    tokens
}

/// Whether a token can be an identifier or keyword.
pub(super) fn is_ident(token: &str) -> bool {
    token.starts_with(|c: char| is_word(c) && !c.is_ascii_digit())
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    kinds: Vec<Kind>,
}

impl Scanner<'_> {
    fn at(&self) -> usize {
        self.kinds.len()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at() + ahead).copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize, kind: Kind) {
        let end = (self.at() + count).min(self.bytes.len());
        self.kinds.resize(end, kind);
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (b'/', b'/') => {
                let rest = &self.bytes[self.at()..];
                let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                self.take(length, Kind::Comment);
            }
            (b'/', b'*') => self.block_comment(),
            (b'"', _) => self.string(),
            (b'\'', _) => self.quote(),
            (first, _) if first == b'_' || first.is_ascii_alphabetic() || first >= 0x80 => {
                self.word();
            }
            (first, _) if first.is_ascii_digit() => {
                // A number swallows its suffix, so that `1r"` is no raw string.
                while self.peek(0) == b'_' || self.peek(0).is_ascii_alphanumeric() {
                    self.take(1, Kind::Code);
                }
            }
            _ => self.take(1, Kind::Code),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at() < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.take(2, Kind::Comment);
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.take(2, Kind::Comment);
                }
                _ => self.take(1, Kind::Comment),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(1, Kind::Literal);
        while self.at() < self.bytes.len() {
            match self.peek(0) {
                b'\\' => self.take(2, Kind::Literal),
                b'"' => return self.take(1, Kind::Literal),
                _ => self.take(1, Kind::Literal),
            }
        }
    }

    /// A character literal, or a lifetime, which is code.
    fn quote(&mut self) {
        if self.peek(1) == b'\\' {
            self.take(3, Kind::Literal);
            while self.at() < self.bytes.len() && self.peek(0) != b'\'' {
                self.take(1, Kind::Literal);
            }
            return self.take(1, Kind::Literal);
        }
        let length = match self.peek(1) {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        if self.peek(1 + length) == b'\'' {
            self.take(length + 2, Kind::Literal);
        } else {
            self.take(1, Kind::Code);
        }
    }

    /// An identifier, or the prefix of a literal; a raw string is read to its end.
    fn word(&mut self) {
        let start = self.at();
        while self.peek(0) == b'_' || self.peek(0).is_ascii_alphanumeric() || self.peek(0) >= 0x80 {
            self.take(1, Kind::Code);
        }
        match &self.bytes[start..self.at()] {
            b"r" | b"br" | b"cr" => self.raw_string(start),
            b"b" | b"c" if matches!(self.peek(0), b'"' | b'\'') => {
                self.kinds[start..].fill(Kind::Literal);
            }
            _ => {}
        }
    }

    /// Behind a prefix that began at `start`: a raw string, or nothing such as in `r#type`.
    fn raw_string(&mut self, start: usize) {
        let mut hashes = 0;
        while self.peek(hashes) == b'#' {
            hashes += 1;
        }
        if self.peek(hashes) != b'"' {
            return;
        }
        self.kinds[start..].fill(Kind::RawLiteral);
        self.take(hashes + 1, Kind::RawLiteral);
        while self.at() < self.bytes.len() {
            let closes = self.peek(0) == b'"' && (1..=hashes).all(|i| self.peek(i) == b'#');
            if closes {
                return self.take(hashes + 1, Kind::RawLiteral);
            }
            self.take(1, Kind::RawLiteral);
        }
    }
}
