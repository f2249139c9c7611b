//! Values of every type, of which both sides make the same bytes.

use super::every::{
    Choice, Colour, Everything, Node, Odd, Outcome, Perhaps, Point, Season, Tree, Weight,
    encode_nodes,
};
use crate::world::Random;

pub(super) fn node(name: &str) -> Node {
    Node { name: name.into() }
}

/// What `client.c` calls its own.
pub(super) fn own() -> Everything {
    let point = |x, y| Point { x, y };
    let leaf = Tree {
        value: -1,
        left: vec![],
    };
    let root = Tree {
        value: 7,
        left: vec![],
    };
    Everything {
        small: i32::MIN,
        natural: u32::MAX,
        paint: Colour::Red,
        sure: true,
        large: i64::MIN,
        huge: u64::MAX,
        single: 1.5,
        twice: -0.1,
        raw: [1, 2, 3],
        sum: *b"12345",
        any: b"abcdef".to_vec(),
        some: vec![],
        text: "grün".into(),
        name: String::new(),
        row: [1, -1, 2, -2],
        column: vec![5, 6],
        corners: [point(1, 2), point(3, 4)],
        path: vec![],
        words: vec![],
        sums: vec![],
        end: Outcome::Default(Colour::Blue, "so".into()),
        chosen: Choice::Case2(1),
        maybe: Perhaps::True(2.25),
        heavy: Weight::Case4294967295(0.25),
        here: Some(point(-2, -3)),
        list: vec![node("eins"), node("zwei")],
        // The last optional member of its own type makes a list: on the right of the root.
        branches: vec![root, leaf],
        odds: vec![Odd {
            bare: u32::MAX,
            low: i16::MIN,
            ulow: u16::MAX,
            letter: 65,
            byte: u8::MAX,
            broad: i32::MIN,
            ubroad: u32::MAX,
            bytes: vec![0, 255],
            pairs: [-1, 1],
            perhaps: Some(33),
            when: Season::Winter,
            octal: [7, 8, 9],
        }],
    }
}

/// Any value; a string of C has no NUL.
pub(super) fn any(random: &mut Random) -> Everything {
    let number = random.next();
    Everything {
        small: number as i32,
        natural: random.next() as u32,
        paint: colour(random),
        sure: random.below(2) == 1,
        large: random.next() as i64,
        huge: random.next(),
        single: f32::from_bits(random.next() as u32),
        twice: f64::from_bits(random.next()),
        raw: bytes(random),
        sum: bytes(random),
        any: some(random, 300, |random| random.next() as u8),
        some: some(random, 9, |random| random.next() as u8),
        text: text(random, 99),
        name: text(random, 6),
        row: std::array::from_fn(|_| random.next() as i32),
        column: some(random, 40, |random| random.next() as i32),
        corners: [point(random), point(random)],
        path: some(random, 5, point),
        words: some(random, 3, |random| text(random, 6)),
        sums: some(random, 2, bytes),
        end: match colour(random) {
            Colour::Red => Outcome::Red(point(random)),
            Colour::Green => Outcome::Green,
            other @ Colour::Blue => Outcome::Default(other, text(random, 50)),
        },
        chosen: match random.below(4) {
            0 => Choice::Case1(random.next() as i64),
            1 => Choice::Case2(random.next() as i64),
            2 => Choice::CaseMinus3(some(random, 7, |random| random.next() as u8)),
            _ => Choice::Default(4 + random.below(1000) as i32),
        },
        maybe: match random.below(2) {
            0 => Perhaps::False,
            _ => Perhaps::True(f64::from_bits(random.next())),
        },
        heavy: match random.below(2) {
            0 => Weight::Default(random.below(1000) as u32),
            _ => Weight::Case4294967295(f32::from_bits(random.next() as u32)),
        },
        here: (random.below(2) == 1).then(|| point(random)),
        list: some(random, 20, |random| node(&text(random, 6))),
        branches: branches(random, 4),
        odds: some(random, 3, odd),
    }
}

fn odd(random: &mut Random) -> Odd {
    use Season::{Autumn, Spring, Summer, Winter};
    // Whether a char of C may be negative is the machine's business.
    let letter = |random: &mut Random| random.below(128) as i8;
    Odd {
        bare: random.next() as u32,
        low: random.next() as i16,
        ulow: random.next() as u16,
        letter: letter(random),
        byte: random.next() as u8,
        broad: random.next() as i32,
        ubroad: random.next() as u32,
        bytes: some(random, 5, |random| random.next() as u8),
        pairs: [random.next() as i16, random.next() as i16],
        perhaps: (random.below(2) == 1).then(|| letter(random)),
        when: [Spring, Summer, Autumn, Winter][random.below(4)],
        octal: bytes(random),
    }
}

fn colour(random: &mut Random) -> Colour {
    [Colour::Red, Colour::Green, Colour::Blue][random.below(3)]
}

fn point(random: &mut Random) -> Point {
    let x = random.next() as i32;
    let y = random.next() as i64;
    Point { x, y }
}

fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    std::array::from_fn(|_| random.next() as u8)
}

/// Up to `most` of them, none and the most more often than others.
fn some<T>(random: &mut Random, most: usize, mut one: impl FnMut(&mut Random) -> T) -> Vec<T> {
    let count = [0, most, random.below(most + 1)][random.below(3)];
    (0..count).map(|_| one(random)).collect()
}

/// Up to so many characters of at most two bytes.
fn text(random: &mut Random, most: usize) -> String {
    let letters = ['a', 'Z', ' ', 'ß', '\n', '~'];
    let letters = some(random, most, |random| letters[random.below(6)]);
    letters.into_iter().collect()
}

fn branches(random: &mut Random, deep: usize) -> Vec<Tree> {
    if deep == 0 {
        return vec![];
    }
    some(random, 2, |random| Tree {
        value: random.next() as i32,
        left: branches(random, deep - 1),
    })
}

/// A list that is over its bound is refused before it is sent.
#[test]
fn what_breaks_a_bound_is_not_written() {
    let long = [node("thirteen byte"), node("")];
    let mut to = Vec::new();
    assert!(encode_nodes(&long, &mut strait::rpc::onc::xdr::Writer::new(&mut to)).is_err());
}
