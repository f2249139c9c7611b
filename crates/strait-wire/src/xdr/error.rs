//! What was wrong with bytes, and where.

use core::fmt;

/// A value that cannot be read from these bytes, or written as this type.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Error {
    /// The offset in the input, in bytes, of what is wrong; of a value that cannot be written, the
    /// offset in the output where it would have stood.
    pub at: usize,
    /// What is wrong there.
    pub what: What,
}

/// What can be wrong.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The input ends too soon.
    Short {
        /// Bytes that what follows takes, at the least.
        need: u64,
        /// Bytes that are left.
        left: usize,
    },
    /// The value is whole, and more follows.
    Trailing {
        /// Bytes that follow.
        left: usize,
    },
    /// A byte of padding is not zero.
    Padding,
    /// A `bool` that is neither 0 nor 1.
    Bool(u32),
    /// A string, opaque data or array longer than its type allows.
    TooLong {
        /// Its length, in bytes or elements.
        len: u64,
        /// The bound of its type.
        max: u32,
    },
    /// A string that is not UTF-8.
    Utf8,
    /// A number that no constant of the enumeration has.
    Enum(i32),
    /// A discriminant for which the union has no arm.
    Arm(i64),
    /// A number outside the range of its type: a `char` or `short`, which are sent as `int`.
    Range(i64),
    /// Values nested deeper than [`Limits::depth`](super::Limits::depth).
    TooDeep {
        /// The limit.
        max: u32,
    },
    /// A counted array whose elements take no bytes.
    Hollow,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { need, left } => {
                write!(
                    f,
                    "the value takes at least {need} bytes and {left} are left"
                )
            }
            Self::Trailing { left } => write!(f, "{left} bytes follow the value"),
            Self::Padding => f.write_str("padding that is not zero"),
            Self::Bool(word) => write!(f, "a bool is 0 or 1, not {word}"),
            Self::TooLong { len, max } => write!(f, "length {len} is above the bound {max}"),
            Self::Utf8 => f.write_str("the string is not UTF-8"),
            Self::Enum(number) => write!(f, "the enumeration has no constant {number}"),
            Self::Arm(number) => write!(f, "the union has no arm for {number}"),
            Self::Range(number) => write!(f, "{number} is outside the range of its type"),
            Self::TooDeep { max } => write!(f, "nested deeper than {max} levels"),
            Self::Hollow => f.write_str("a counted array of elements that take no bytes"),
        }
    }
}

impl core::error::Error for Error {}
