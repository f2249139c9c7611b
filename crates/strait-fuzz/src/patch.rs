//! Sound bytes that the input changes: what is changed at random from nothing is refused by its
//! first word, and shows nothing of what stands behind it.

/// Changes to files: each is a file, an offset, a length, and so many bytes.
#[derive(Debug)]
pub(crate) struct Patches<'a>(&'a [u8]);

/// One change.
#[derive(Debug)]
pub(crate) struct Patch<'a> {
    pub(crate) file: u8,
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Patches<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }
}

impl<'a> Iterator for Patches<'a> {
    type Item = Patch<'a>;

    fn next(&mut self) -> Option<Patch<'a>> {
        let ([file, low, high, len], rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
        self.0 = rest;
        Some(Patch {
            file: *file,
            at: usize::from(u16::from_le_bytes([*low, *high])),
            bytes,
        })
    }
}

impl Patch<'_> {
    /// Makes the change. One without bytes cuts the file off, or makes it longer.
    pub(crate) fn apply(&self, to: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            to.resize(self.at, 0);
            return;
        }
        // Whatever the offset, something is changed.
        let len = to.len();
        for (byte, at) in self.bytes.iter().zip(self.at..) {
            if len > 0 {
                to[at % len] = *byte;
            }
        }
    }
}
