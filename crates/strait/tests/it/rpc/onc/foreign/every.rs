// Made from every.x by strait; changes here are lost when it is made again.

use ::strait::rpc::onc;
use ::strait::rpc::onc::xdr::{Decode as _, Encode as _};

/// `LETTERS`, every.x:64.
pub const LETTERS: u32 = 5;

/// `OCTAL`, every.x:65.
pub const OCTAL: u32 = 3;

/// `enum colour`, every.x:3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
pub enum Colour {
    /// `RED`
    Red = -2147483647,
    /// `GREEN`
    #[default]
    Green = 0,
    /// `BLUE`
    Blue = 2147483647,
}

impl From<Colour> for i32 {
    fn from(value: Colour) -> Self {
        value as Self
    }
}

impl TryFrom<i32> for Colour {
    /// The number, which the enumeration has no name for.
    type Error = i32;

    fn try_from(number: i32) -> Result<Self, i32> {
        match number {
            -2147483647 => Ok(Self::Red),
            0 => Ok(Self::Green),
            2147483647 => Ok(Self::Blue),
            unknown => Err(unknown),
        }
    }
}

impl onc::xdr::Encode for Colour {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(i32::from(*self));
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Colour {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        let at = from.position();
        Self::try_from(from.int()?).map_err(|number| {
            let what = onc::xdr::What::Enum(number);
            onc::xdr::Error { at, what }
        })
    }
}

/// `typedef opaque digest[5]`, every.x:9.
pub type Digest = [u8; 5];

/// Writes a [`Digest`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_digest(value: &Digest, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    to.opaque_fixed(value);
    Ok(())
}

/// Reads a [`Digest`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_digest(from: &mut onc::xdr::Reader<'_>) -> Result<Digest, onc::xdr::Error> {
    from.opaque_array()
}

/// `typedef string word<12>`, every.x:10.
pub type Word = String;

/// Writes a [`Word`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_word(value: &str, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    to.string(value, 12)?;
    Ok(())
}

/// Reads a [`Word`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_word(from: &mut onc::xdr::Reader<'_>) -> Result<Word, onc::xdr::Error> {
    Ok(from.string(12)?.to_owned())
}

/// `typedef opaque octets<>`, every.x:11.
pub type Octets = Vec<u8>;

/// Writes a [`Octets`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_octets(value: &[u8], to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    to.opaque(value, u32::MAX)?;
    Ok(())
}

/// Reads a [`Octets`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_octets(from: &mut onc::xdr::Reader<'_>) -> Result<Octets, onc::xdr::Error> {
    Ok(from.opaque(u32::MAX)?.to_vec())
}

/// `struct point`, every.x:13.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// `int x`
    pub x: i32,
    /// `hyper y`
    pub y: i64,
}

impl onc::xdr::Encode for Point {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(self.x);
        to.hyper(self.y);
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Point {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            x: from.int()?,
            y: from.hyper()?,
        })
    }
}

/// `union outcome`, every.x:18.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
#[allow(clippy::large_enum_variant, reason = "the file lays them out")]
pub enum Outcome {
    /// `RED`: `point at`
    Red(Point),
    /// `GREEN`
    Green,
    /// Every other `which`, and `string why<>`.
    Default(Colour, String),
}

impl Outcome {
    /// Numbers with a variant of their own, which `Default` must not hold.
    const LABELS: [i32; 2] = [-2147483647, 0];

    /// What the union is chosen by.
    #[must_use]
    pub const fn discriminant(&self) -> Colour {
        match self {
            Self::Red(..) => Colour::Red,
            Self::Green => Colour::Green,
            Self::Default(number, ..) => *number,
        }
    }
}

impl onc::xdr::Encode for Outcome {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        match self {
            Self::Red(value) => {
                to.int(-2147483647);
                value.encode(to)?;
            }
            Self::Green => to.int(0),
            Self::Default(number, value) => {
                let number = i32::from(*number);
                if Self::LABELS.contains(&number) {
                    return Err(no_arm(to.position(), number.into()));
                }
                to.int(number);
                to.string(value, u32::MAX)?;
            }
        }
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Outcome {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        match Colour::decode(from)? {
            Colour::Red => Ok(Self::Red(Point::decode(from)?)),
            Colour::Green => Ok(Self::Green),
            number => {
                let value: String = from.string(u32::MAX)?.to_owned();
                Ok(Self::Default(number, value))
            }
        }
    }
}

/// `union choice`, every.x:27.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
#[allow(clippy::large_enum_variant, reason = "the file lays them out")]
pub enum Choice {
    /// `1`: `hyper many`
    Case1(i64),
    /// `2`: `hyper many`
    Case2(i64),
    /// `-3`: `opaque few<7>`
    CaseMinus3(Vec<u8>),
    /// Every other `number`.
    Default(i32),
}

impl Choice {
    /// Numbers with a variant of their own, which `Default` must not hold.
    const LABELS: [i32; 3] = [1, 2, -3];

    /// What the union is chosen by.
    #[must_use]
    pub const fn discriminant(&self) -> i32 {
        match self {
            Self::Case1(..) => 1,
            Self::Case2(..) => 2,
            Self::CaseMinus3(..) => -3,
            Self::Default(number) => *number,
        }
    }
}

impl onc::xdr::Encode for Choice {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        match self {
            Self::Case1(value) => {
                to.int(1);
                to.hyper(*value);
            }
            Self::Case2(value) => {
                to.int(2);
                to.hyper(*value);
            }
            Self::CaseMinus3(value) => {
                to.int(-3);
                to.opaque(value, 7)?;
            }
            Self::Default(number) => {
                let number = *number;
                if Self::LABELS.contains(&number) {
                    return Err(no_arm(to.position(), number.into()));
                }
                to.int(number);
            }
        }
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Choice {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        match from.int()? {
            1 => Ok(Self::Case1(from.hyper()?)),
            2 => Ok(Self::Case2(from.hyper()?)),
            -3 => Ok(Self::CaseMinus3(from.opaque(7)?.to_vec())),
            number => Ok(Self::Default(number)),
        }
    }
}

/// `union perhaps`, every.x:37.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
#[allow(clippy::large_enum_variant, reason = "the file lays them out")]
pub enum Perhaps {
    /// `TRUE`: `double value`
    True(f64),
    /// `FALSE`
    False,
}

impl Perhaps {
    /// What the union is chosen by.
    #[must_use]
    pub const fn discriminant(&self) -> bool {
        match self {
            Self::True(..) => true,
            Self::False => false,
        }
    }
}

impl onc::xdr::Encode for Perhaps {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        match self {
            Self::True(value) => {
                to.boolean(true);
                to.double(*value);
            }
            Self::False => to.boolean(false),
        }
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Perhaps {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        match from.boolean()? {
            true => Ok(Self::True(from.double()?)),
            false => Ok(Self::False),
        }
    }
}

/// `union weight`, every.x:44.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
#[allow(clippy::large_enum_variant, reason = "the file lays them out")]
pub enum Weight {
    /// `4294967295`: `float kilograms`
    Case4294967295(f32),
    /// Every other `unit`.
    Default(u32),
}

impl Weight {
    /// Numbers with a variant of their own, which `Default` must not hold.
    const LABELS: [u32; 1] = [4294967295];

    /// What the union is chosen by.
    #[must_use]
    pub const fn discriminant(&self) -> u32 {
        match self {
            Self::Case4294967295(..) => 4294967295,
            Self::Default(number) => *number,
        }
    }
}

impl onc::xdr::Encode for Weight {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        match self {
            Self::Case4294967295(value) => {
                to.unsigned(4294967295);
                to.float(*value);
            }
            Self::Default(number) => {
                let number = *number;
                if Self::LABELS.contains(&number) {
                    return Err(no_arm(to.position(), number.into()));
                }
                to.unsigned(number);
            }
        }
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Weight {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        match from.unsigned()? {
            4294967295 => Ok(Self::Case4294967295(from.float()?)),
            number => Ok(Self::Default(number)),
        }
    }
}

/// `struct node`, every.x:51.
///
/// A node of a linked list: what `next` leads to follows it in a `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// `word name`
    pub name: Word,
}

impl Node {
    fn encode_members(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        encode_word(&self.name, to)?;
        Ok(())
    }

    fn decode_members(from: &mut onc::xdr::Reader<'_>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            name: decode_word(from)?,
        })
    }

    /// Writes a list: a flag before each node, and one at the end.
    ///
    /// # Errors
    ///
    /// Where a node breaks a bound.
    pub fn encode_list(
        list: &[Self],
        to: &mut onc::xdr::Writer<'_>,
    ) -> Result<(), onc::xdr::Error> {
        to.list(list, |to, node| node.encode_members(to))
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    ///
    /// Where the bytes are no such list.
    pub fn decode_list(from: &mut onc::xdr::Reader<'_>) -> Result<Vec<Self>, onc::xdr::Error> {
        from.list(Self::decode_members)
    }
}

/// `typedef node *nodes`, every.x:55.
pub type Nodes = Vec<Node>;

/// Writes a [`Nodes`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_nodes(value: &[Node], to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    Node::encode_list(value, to)?;
    Ok(())
}

/// Reads a [`Nodes`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_nodes(from: &mut onc::xdr::Reader<'_>) -> Result<Nodes, onc::xdr::Error> {
    Node::decode_list(from)
}

/// `struct tree`, every.x:57.
///
/// A node of a linked list: what `right` leads to follows it in a `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tree {
    /// `int value`
    pub value: i32,
    /// `tree *left`
    pub left: Vec<Self>,
}

impl Tree {
    fn encode_members(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(self.value);
        Self::encode_list(&self.left, to)?;
        Ok(())
    }

    fn decode_members(from: &mut onc::xdr::Reader<'_>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            value: from.int()?,
            left: Self::decode_list(from)?,
        })
    }

    /// Writes a list: a flag before each node, and one at the end.
    ///
    /// # Errors
    ///
    /// Where a node breaks a bound.
    pub fn encode_list(
        list: &[Self],
        to: &mut onc::xdr::Writer<'_>,
    ) -> Result<(), onc::xdr::Error> {
        to.nested(|to| to.list(list, |to, node| node.encode_members(to)))
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    ///
    /// Where the bytes are no such list.
    pub fn decode_list(from: &mut onc::xdr::Reader<'_>) -> Result<Vec<Self>, onc::xdr::Error> {
        from.nested(|from| from.list(Self::decode_members))
    }
}

/// `enum season`, every.x:67.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
pub enum Season {
    /// `SPRING`
    #[default]
    Spring = 0,
    /// `SUMMER`
    Summer = 1,
    /// `AUTUMN`
    Autumn = 7,
    /// `WINTER`
    Winter = 8,
}

impl From<Season> for i32 {
    fn from(value: Season) -> Self {
        value as Self
    }
}

impl TryFrom<i32> for Season {
    /// The number, which the enumeration has no name for.
    type Error = i32;

    fn try_from(number: i32) -> Result<Self, i32> {
        match number {
            0 => Ok(Self::Spring),
            1 => Ok(Self::Summer),
            7 => Ok(Self::Autumn),
            8 => Ok(Self::Winter),
            unknown => Err(unknown),
        }
    }
}

impl onc::xdr::Encode for Season {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(i32::from(*self));
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Season {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        let at = from.position();
        Self::try_from(from.int()?).map_err(|number| {
            let what = onc::xdr::What::Enum(number);
            onc::xdr::Error { at, what }
        })
    }
}

/// `struct odd`, every.x:69.
///
/// A node of a linked list: what `next` leads to follows it in a `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Odd {
    /// `unsigned int bare`
    pub bare: u32,
    /// `short low`
    pub low: i16,
    /// `unsigned short ulow`
    pub ulow: u16,
    /// `char letter`
    pub letter: i8,
    /// `unsigned char byte`
    pub byte: u8,
    /// `int broad`
    pub broad: i32,
    /// `unsigned int ubroad`
    pub ubroad: u32,
    /// `unsigned char bytes<5>`
    pub bytes: Vec<u8>,
    /// `short pairs[2]`
    pub pairs: [i16; 2],
    /// `char *perhaps`
    pub perhaps: Option<i8>,
    /// `season when`
    pub when: Season,
    /// `opaque octal[3]`
    pub octal: [u8; 3],
}

impl Odd {
    fn encode_members(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.unsigned(self.bare);
        to.int(i32::from(self.low));
        to.int(i32::from(self.ulow));
        to.int(i32::from(self.letter));
        to.int(i32::from(self.byte));
        to.int(self.broad);
        to.unsigned(self.ubroad);
        to.array(&self.bytes, 5, |to, item| {
            to.int(i32::from(*item));
            Ok(())
        })?;
        to.array_fixed(&self.pairs, |to, item| {
            to.int(i32::from(*item));
            Ok(())
        })?;
        to.optional(self.perhaps.as_ref(), |to, item| {
            to.int(i32::from(*item));
            Ok(())
        })?;
        self.when.encode(to)?;
        to.opaque_fixed(&self.octal);
        Ok(())
    }

    fn decode_members(from: &mut onc::xdr::Reader<'_>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            bare: from.unsigned()?,
            low: small(from)?,
            ulow: small(from)?,
            letter: small(from)?,
            byte: small(from)?,
            broad: from.int()?,
            ubroad: from.unsigned()?,
            bytes: from.array(5, small)?,
            pairs: from.array_fixed(small)?,
            perhaps: from.optional(small)?,
            when: Season::decode(from)?,
            octal: from.opaque_array()?,
        })
    }

    /// Writes a list: a flag before each node, and one at the end.
    ///
    /// # Errors
    ///
    /// Where a node breaks a bound.
    pub fn encode_list(
        list: &[Self],
        to: &mut onc::xdr::Writer<'_>,
    ) -> Result<(), onc::xdr::Error> {
        to.list(list, |to, node| node.encode_members(to))
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    ///
    /// Where the bytes are no such list.
    pub fn decode_list(from: &mut onc::xdr::Reader<'_>) -> Result<Vec<Self>, onc::xdr::Error> {
        from.list(Self::decode_members)
    }
}

/// `struct everything`, every.x:85.
#[derive(Clone, Debug, PartialEq)]
pub struct Everything {
    /// `int small`
    pub small: i32,
    /// `unsigned int natural`
    pub natural: u32,
    /// `colour paint`
    pub paint: Colour,
    /// `bool sure`
    pub sure: bool,
    /// `hyper large`
    pub large: i64,
    /// `unsigned hyper huge`
    pub huge: u64,
    /// `float single`
    pub single: f32,
    /// `double twice`
    pub twice: f64,
    /// `opaque raw[3]`
    pub raw: [u8; 3],
    /// `digest sum`
    pub sum: Digest,
    /// `octets any`
    pub any: Octets,
    /// `opaque some<9>`
    pub some: Vec<u8>,
    /// `string text<>`
    pub text: String,
    /// `word name`
    pub name: Word,
    /// `int row[4]`
    pub row: [i32; 4],
    /// `int column<>`
    pub column: Vec<i32>,
    /// `point corners[2]`
    pub corners: [Point; 2],
    /// `point path<5>`
    pub path: Vec<Point>,
    /// `word words<3>`
    pub words: Vec<Word>,
    /// `digest sums<2>`
    pub sums: Vec<Digest>,
    /// `outcome end`
    pub end: Outcome,
    /// `choice chosen`
    pub chosen: Choice,
    /// `perhaps maybe`
    pub maybe: Perhaps,
    /// `weight heavy`
    pub heavy: Weight,
    /// `point *here`
    pub here: Option<Point>,
    /// `nodes list`
    pub list: Nodes,
    /// `tree *branches`
    pub branches: Vec<Tree>,
    /// `odd *odds`
    pub odds: Vec<Odd>,
}

impl onc::xdr::Encode for Everything {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(self.small);
        to.unsigned(self.natural);
        self.paint.encode(to)?;
        to.boolean(self.sure);
        to.hyper(self.large);
        to.unsigned_hyper(self.huge);
        to.float(self.single);
        to.double(self.twice);
        to.opaque_fixed(&self.raw);
        encode_digest(&self.sum, to)?;
        encode_octets(&self.any, to)?;
        to.opaque(&self.some, 9)?;
        to.string(&self.text, u32::MAX)?;
        encode_word(&self.name, to)?;
        to.array_fixed(&self.row, |to, item| {
            to.int(*item);
            Ok(())
        })?;
        to.numbers(&self.column, u32::MAX)?;
        to.array_fixed(&self.corners, |to, item| item.encode(to))?;
        to.array(&self.path, 5, |to, item| item.encode(to))?;
        to.array(&self.words, 3, |to, item| encode_word(item, to))?;
        to.array(&self.sums, 2, |to, item| encode_digest(item, to))?;
        self.end.encode(to)?;
        self.chosen.encode(to)?;
        self.maybe.encode(to)?;
        self.heavy.encode(to)?;
        to.optional(self.here.as_ref(), |to, item| item.encode(to))?;
        encode_nodes(&self.list, to)?;
        Tree::encode_list(&self.branches, to)?;
        Odd::encode_list(&self.odds, to)?;
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Everything {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            small: from.int()?,
            natural: from.unsigned()?,
            paint: Colour::decode(from)?,
            sure: from.boolean()?,
            large: from.hyper()?,
            huge: from.unsigned_hyper()?,
            single: from.float()?,
            twice: from.double()?,
            raw: from.opaque_array()?,
            sum: decode_digest(from)?,
            any: decode_octets(from)?,
            some: from.opaque(9)?.to_vec(),
            text: from.string(u32::MAX)?.to_owned(),
            name: decode_word(from)?,
            row: from.array_fixed(|from| from.int())?,
            column: from.numbers(u32::MAX)?,
            corners: from.array_fixed(Point::decode)?,
            path: from.array(5, Point::decode)?,
            words: from.array(3, decode_word)?,
            sums: from.array(2, decode_digest)?,
            end: Outcome::decode(from)?,
            chosen: Choice::decode(from)?,
            maybe: Perhaps::decode(from)?,
            heavy: Weight::decode(from)?,
            here: from.optional(Point::decode)?,
            list: decode_nodes(from)?,
            branches: Tree::decode_list(from)?,
            odds: Odd::decode_list(from)?,
        })
    }
}

/// `struct caller`, every.x:116.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// `unsigned int flavor`
    pub flavor: u32,
    /// `string machine<255>`
    pub machine: String,
    /// `unsigned int uid`
    pub uid: u32,
    /// `unsigned int gid`
    pub gid: u32,
    /// `unsigned int gids<16>`
    pub gids: Vec<u32>,
}

impl onc::xdr::Encode for Caller {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.unsigned(self.flavor);
        to.string(&self.machine, 255)?;
        to.unsigned(self.uid);
        to.unsigned(self.gid);
        to.numbers(&self.gids, 16)?;
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for Caller {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            flavor: from.unsigned()?,
            machine: from.string(255)?.to_owned(),
            uid: from.unsigned()?,
            gid: from.unsigned()?,
            gids: from.numbers(16)?,
        })
    }
}

/// A `char` or `short`, which is sent as an `int`.
fn small<T: TryFrom<i32>>(from: &mut onc::xdr::Reader<'_>) -> Result<T, onc::xdr::Error> {
    let at = from.position();
    let number = from.int()?;
    T::try_from(number).map_err(|_| {
        let what = onc::xdr::What::Range(number.into());
        onc::xdr::Error { at, what }
    })
}

/// A number that no arm of a union has, or not this one.
const fn no_arm(at: usize, number: i64) -> onc::xdr::Error {
    let what = onc::xdr::What::Arm(number);
    onc::xdr::Error { at, what }
}

/// Program `EVERY_PROG`, every.x:124.
pub mod every_prog {
    /// The number of the program.
    pub const PROGRAM: u32 = 0x2000_0043;

    /// Version `EVERY_V1`, every.x:125.
    pub mod v1 {
        use super::super::onc;
        use super::super::onc::xdr::{Decode as _, Encode as _};
        use ::core::future::Future;

        /// The number of the version.
        pub const VERSION: u32 = 1;

        /// The numbers of the procedures.
        pub mod procedures {
            /// `MIRROR`, every.x:127.
            pub const MIRROR: u32 = 1;
            /// `ENCODED`, every.x:130.
            pub const ENCODED: u32 = 2;
            /// `WHO`, every.x:133.
            pub const WHO: u32 = 3;
            /// `FAIL`, every.x:136.
            pub const FAIL: u32 = 4;
        }

        const fn procedure(number: u32) -> onc::Procedure {
            onc::Procedure {
                program: super::PROGRAM,
                version: VERSION,
                number,
            }
        }

        /// Calls the program, and waits for each reply; many threads may call at once.
        #[derive(Clone, Debug)]
        pub struct Client<C = onc::Client>(C);

        impl<C: onc::Call> Client<C> {
            /// Calls over this connection.
            pub const fn over(connection: C) -> Self {
                Self(connection)
            }

            /// The same connection; each call through it may take so long.
            #[must_use]
            pub fn within(&self, limit: ::core::time::Duration) -> Self {
                Self(self.0.within(limit))
            }

            /// `everything MIRROR(everything) = 1`, every.x:127.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn mirror(
                &self,
                everything: &super::super::Everything,
            ) -> Result<super::super::Everything, onc::Error> {
                self.0.call(
                    procedure(procedures::MIRROR),
                    |to| {
                        everything.encode(to)?;
                        Ok(())
                    },
                    |from| {
                        let result = super::super::Everything::decode(from)?;
                        Ok(result)
                    },
                )
            }

            /// `octets ENCODED(everything) = 2`, every.x:130.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn encoded(
                &self,
                everything: &super::super::Everything,
            ) -> Result<super::super::Octets, onc::Error> {
                self.0.call(
                    procedure(procedures::ENCODED),
                    |to| {
                        everything.encode(to)?;
                        Ok(())
                    },
                    |from| {
                        let result = super::super::decode_octets(from)?;
                        Ok(result)
                    },
                )
            }

            /// `caller WHO(void) = 3`, every.x:133.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn who(&self) -> Result<super::super::Caller, onc::Error> {
                self.0.call(
                    procedure(procedures::WHO),
                    |_| Ok(()),
                    |from| {
                        let result = super::super::Caller::decode(from)?;
                        Ok(result)
                    },
                )
            }

            /// `void FAIL(void) = 4`, every.x:136.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn fail(&self) -> Result<(), onc::Error> {
                self.0
                    .call(procedure(procedures::FAIL), |_| Ok(()), |_| Ok(()))
            }

            /// `void FAIL(void) = 4`, every.x:136.
            ///
            /// Sends the call and waits for no reply: whether it was done stays unknown.
            ///
            /// # Errors
            ///
            /// Where the call could not be sent.
            pub fn fail_oneway(&self) -> Result<(), onc::Error> {
                self.0.call_oneway(procedure(procedures::FAIL), |_| Ok(()))
            }
        }

        /// Calls the program; many tasks may call at once.
        #[derive(Clone, Debug)]
        pub struct AsyncClient<C = onc::AsyncClient>(C);

        impl<C: onc::AsyncCall> AsyncClient<C> {
            /// Calls over this connection.
            pub const fn over(connection: C) -> Self {
                Self(connection)
            }

            /// The same connection; each call through it may take so long.
            #[must_use]
            pub fn within(&self, limit: ::core::time::Duration) -> Self {
                Self(self.0.within(limit))
            }

            /// `everything MIRROR(everything) = 1`, every.x:127.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn mirror(
                &self,
                everything: &super::super::Everything,
            ) -> Result<super::super::Everything, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::MIRROR),
                        |to| {
                            everything.encode(to)?;
                            Ok(())
                        },
                        |from| {
                            let result = super::super::Everything::decode(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `octets ENCODED(everything) = 2`, every.x:130.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn encoded(
                &self,
                everything: &super::super::Everything,
            ) -> Result<super::super::Octets, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::ENCODED),
                        |to| {
                            everything.encode(to)?;
                            Ok(())
                        },
                        |from| {
                            let result = super::super::decode_octets(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `caller WHO(void) = 3`, every.x:133.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn who(&self) -> Result<super::super::Caller, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::WHO),
                        |_| Ok(()),
                        |from| {
                            let result = super::super::Caller::decode(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `void FAIL(void) = 4`, every.x:136.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn fail(&self) -> Result<(), onc::Error> {
                self.0
                    .call(procedure(procedures::FAIL), |_| Ok(()), |_| Ok(()))
                    .await
            }

            /// `void FAIL(void) = 4`, every.x:136.
            ///
            /// Sends the call and waits for no reply: whether it was done stays unknown.
            ///
            /// # Errors
            ///
            /// Where the call could not be sent.
            pub async fn fail_oneway(&self) -> Result<(), onc::Error> {
                self.0
                    .call_oneway(procedure(procedures::FAIL), |_| Ok(()))
                    .await
            }
        }

        /// What a server of the program does. Write the methods as `async fn`.
        pub trait Service: Send + Sync + 'static {
            /// `everything MIRROR(everything) = 1`, every.x:127.
            fn mirror(
                &self,
                call: &onc::Context,
                everything: super::super::Everything,
            ) -> impl Future<Output = Result<super::super::Everything, onc::Refusal>> + Send;

            /// `octets ENCODED(everything) = 2`, every.x:130.
            fn encoded(
                &self,
                call: &onc::Context,
                everything: super::super::Everything,
            ) -> impl Future<Output = Result<super::super::Octets, onc::Refusal>> + Send;

            /// `caller WHO(void) = 3`, every.x:133.
            fn who(
                &self,
                call: &onc::Context,
            ) -> impl Future<Output = Result<super::super::Caller, onc::Refusal>> + Send;

            /// `void FAIL(void) = 4`, every.x:136.
            fn fail(
                &self,
                call: &onc::Context,
            ) -> impl Future<Output = Result<(), onc::Refusal>> + Send;
        }

        /// Serves the calls of this version by a [`Service`].
        #[derive(Debug)]
        pub struct Dispatcher<S>(pub S);

        impl<S: Service> onc::Program for Dispatcher<S> {
            fn program(&self) -> u32 {
                super::PROGRAM
            }

            fn version(&self) -> u32 {
                VERSION
            }

            #[allow(clippy::too_many_lines, reason = "an arm for each procedure")]
            fn dispatch(
                self: ::std::sync::Arc<Self>,
                context: onc::Context,
                procedure: u32,
                args: &[u8],
                reply: Vec<u8>,
            ) -> Result<onc::Answer, onc::Refusal> {
                match procedure {
                    0 => {
                        onc::arguments(&context, args, |_| Ok(()))?;
                        Ok(Box::pin(async { Ok(reply) }))
                    }
                    procedures::MIRROR => {
                        let everything = onc::arguments(&context, args, |from| {
                            let everything = super::super::Everything::decode(from)?;
                            Ok(everything)
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.mirror(&context, everything).await?;
                            onc::results(reply, |to| {
                                result.encode(to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::ENCODED => {
                        let everything = onc::arguments(&context, args, |from| {
                            let everything = super::super::Everything::decode(from)?;
                            Ok(everything)
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.encoded(&context, everything).await?;
                            onc::results(reply, |to| {
                                super::super::encode_octets(&result, to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::WHO => {
                        onc::arguments(&context, args, |_| Ok(()))?;
                        Ok(Box::pin(async move {
                            let result = self.0.who(&context).await?;
                            onc::results(reply, |to| {
                                result.encode(to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::FAIL => {
                        onc::arguments(&context, args, |_| Ok(()))?;
                        Ok(Box::pin(async move {
                            self.0.fail(&context).await?;
                            Ok(reply)
                        }))
                    }
                    _ => Err(onc::Refusal::ProcedureUnavailable),
                }
            }
        }
    }
}
