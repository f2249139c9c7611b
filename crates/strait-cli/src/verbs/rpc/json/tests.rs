//! Values of the golden files, both ways.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use strait::rpc::onc::xdr::{Reader, Writer};
use strait_idl::onc::{Body, Compiler, Length, Specification, Type, TypeId};

use super::decode::text_within;
use super::{bytes, text};

/// What the compiler's own tests read.
const FILES: &[&str] = &[
    "dialect", "kv", "lists", "names", "programs", "types", "unions",
];

fn tree(file: &str) -> Specification {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strait-idl/tests/golden");
    let read = Compiler::new().parse(folder.join(file).with_extension("x"));
    read.unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn of(source: &str) -> Specification {
    let read = Compiler::new().parse_text("test.x", source);
    read.unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn named(tree: &Specification, name: &str) -> Type {
    Type::Named(tree.find(name).unwrap_or_else(|| panic!("no {name}")))
}

fn to_xdr(tree: &Specification, of: &Type, json: &str) -> Result<Vec<u8>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut to = Vec::new();
    bytes(tree, of, "it", &value, &mut Writer::new(&mut to)).map_err(|error| error.to_string())?;
    Ok(to)
}

fn to_json(tree: &Specification, of: &Type, xdr: &[u8]) -> Result<String, String> {
    let mut from = Reader::new(xdr);
    let json = text(tree, of, "it", &mut from).map_err(|error| error.to_string())?;
    from.finish().map_err(|error| error.to_string())?;
    Ok(json)
}

/// Types of their own, JSON as it is printed, other JSON that means the same.
const SAME: &[(&str, &str, &[&str])] = &[
    ("int", "-7", &["\"-7\""]),
    ("unsigned", "4294967295", &["\"0xffffffff\""]),
    ("hyper", "9007199254740991", &["\"9007199254740991\""]),
    ("hyper", "\"9007199254740992\"", &["9007199254740992"]),
    (
        "hyper",
        "\"-9223372036854775808\"",
        &["-9223372036854775808"],
    ),
    (
        "unsigned hyper",
        "\"18446744073709551615\"",
        &["18446744073709551615"],
    ),
    ("float", "0.1", &["0.10000000149011612"]),
    ("float", "-0.0", &[]),
    ("float", "\"NaN\"", &["\"NaN:7fc00000\""]),
    ("float", "\"NaN:7fc00001\"", &[]),
    ("double", "1e300", &["1.0e300"]),
    ("double", "0.1", &[]),
    ("double", "2.0", &["2"]),
    ("double", "\"-Infinity\"", &[]),
    ("double", "\"NaN:fff8000000000001\"", &[]),
    ("quadruple", "\"000102030405060708090a0b0c0d0e0f\"", &[]),
    ("bool", "true", &[]),
    ("colour", "\"GREEN\"", &["2", "\"2\""]),
    ("name", "\"a\\\"\\u001b\u{e9}\"", &[]),
    ("name", "{\"hex\":\"ff00\"}", &[]),
    ("digest", "\"00ff10\"", &["\"00FF10\""]),
    ("blob", "\"616263\"", &["{\"text\": \"abc\"}"]),
    ("pair", "[1,2]", &[]),
    ("point", "{\"x\":1,\"y\":null}", &["{\"x\": 1}"]),
    ("point", "{\"x\":1,\"y\":2}", &["{\"y\": 2, \"x\": 1}"]),
    ("deep", "null", &[]),
    ("deep", "{\"some\":null}", &[]),
    ("deep", "{\"some\":5}", &[]),
    (
        "either",
        "{\"case\":\"RED\",\"value\":1}",
        &["{\"value\": 1, \"case\": 1}"],
    ),
    (
        "either",
        "{\"case\":\"GREEN\"}",
        &["{\"case\": \"GREEN\", \"value\": null}"],
    ),
    ("sign", "{\"case\":-1,\"value\":\"x\"}", &[]),
    ("sign", "{\"case\":5}", &[]),
    ("switched", "{\"case\":true,\"value\":3}", &[]),
    ("links", "[]", &["null"]),
    ("links", "[{\"n\":1},{\"n\":2}]", &[]),
    ("link", "[{\"n\":1}]", &[]),
];

const SOURCE: &str = "
    enum colour { RED = 1, GREEN = 2 };
    typedef string name<6>;
    typedef opaque digest[3];
    typedef opaque blob<4>;
    typedef int pair[2];
    typedef int many<2>;
    struct point { int x; int *y; };
    typedef int *maybe;
    typedef maybe *deep;
    union either switch (colour c) { case RED: int n; case GREEN: void; };
    union sign switch (int n) { case -1: name text; default: void; };
    union switched switch (bool b) { case TRUE: int n; case FALSE: void; };
    struct link { int n; link *next; };
    typedef link *links;
    struct tree { tree *left; int leaf; };
    struct nothing {};
    typedef nothing nothings<>;
    typedef nothing crowd[100000];
    typedef short little;
";

fn spelt(word: &str) -> (Specification, Type) {
    let tree = of(&format!("{SOURCE} typedef {word} tested;"));
    let tested = named(&tree, "tested");
    (tree, tested)
}

#[test]
fn each_value_has_one_form_and_others_are_taken() {
    for (word, json, others) in SAME {
        let (tree, tested) = spelt(word);
        let xdr = to_xdr(&tree, &tested, json).unwrap_or_else(|why| panic!("{word} {json}: {why}"));
        assert_eq!(
            to_json(&tree, &tested, &xdr).as_deref(),
            Ok(*json),
            "{word}"
        );
        for other in *others {
            assert_eq!(
                to_xdr(&tree, &tested, other).as_ref(),
                Ok(&xdr),
                "{word} {other}"
            );
        }
    }
}

/// Types, JSON that is no value of them, and what is said of it.
const NOT_OF_THE_TYPE: &[(&str, &str, &str)] = &[
    (
        "int",
        "2147483648",
        "it: a whole number from -2147483648 to 2147483647 is wanted",
    ),
    ("int", "1.5", "not 1.5"),
    ("little", "40000", "from -32768 to 32767"),
    (
        "float",
        "1e39",
        "it: a number that fits a float is wanted, not 1e+39",
    ),
    ("bool", "1", "it: true or false is wanted, not 1"),
    (
        "colour",
        "\"BLUE\"",
        "it: one of RED, GREEN is wanted, not \"BLUE\"",
    ),
    ("colour", "3", "it: one of RED, GREEN is wanted, not 3"),
    (
        "name",
        "\"1234567\"",
        "it: 7 bytes, where the type takes at most 6",
    ),
    ("digest", "\"00ff\"", "it: 2 bytes, where the type has 3"),
    ("digest", "\"00ff1\"", "pairs of hexadecimal digits"),
    ("digest", "\"00fg10\"", "pairs of hexadecimal digits"),
    ("pair", "[1]", "it: 1 elements, where the type has 2"),
    ("pair", "[1, \"x\"]", "it[1]: a whole number"),
    (
        "many",
        "[1, 2, 3]",
        "it: 3 elements, where the type takes at most 2",
    ),
    ("point", "{\"y\": 1}", "it.x: this member is missing"),
    (
        "point",
        "{\"x\": 1, \"z\": 1}",
        "it: no member is called \"z\"; the members are x, y",
    ),
    (
        "point",
        "[]",
        "it: an object (x, y) is wanted, not an array",
    ),
    (
        "either",
        "{\"case\": \"BLUE\"}",
        "it.case: one of RED, GREEN is wanted",
    ),
    (
        "either",
        "{\"case\": \"GREEN\", \"value\": 1}",
        "it: the arm of \"GREEN\" is void",
    ),
    (
        "either",
        "{\"case\": \"RED\"}",
        "it.value: this member is missing",
    ),
    (
        "sign",
        "{\"case\": -1, \"value\": 3}",
        "it.value: a string is wanted, not 3",
    ),
    (
        "links",
        "[{\"n\": 1}, {}]",
        "it[1].n: this member is missing",
    ),
    ("link", "[]", "it: at least one node is wanted"),
    ("deep", "5", "it: an object (some) is wanted, not 5"),
    ("nothings", "[{}]", "it: elements that take no bytes"),
];

#[test]
fn what_is_not_of_the_type_is_named_with_its_path() {
    for (word, json, why) in NOT_OF_THE_TYPE {
        let (tree, tested) = spelt(word);
        let error = to_xdr(&tree, &tested, json).expect_err(json);
        assert!(error.contains(why), "{word} {json}: {error}");
    }
}

/// Types, bytes that are no value of them, and what is said of those.
const NO_VALUES: &[(&str, &[u8], &str)] = &[
    (
        "int",
        &[0, 0],
        "it: at byte 0: the value takes at least 4 bytes and 2 are left",
    ),
    (
        "little",
        &[0, 1, 0, 0],
        "it: at byte 0: 65536 is outside the range",
    ),
    (
        "colour",
        &[0, 0, 0, 9],
        "it: at byte 0: the enumeration has no constant 9",
    ),
    (
        "point",
        &[0, 0, 0, 1, 0, 0, 0, 2],
        "it.y: at byte 4: a bool is 0 or 1, not 2",
    ),
    (
        "many",
        &[0, 0, 0, 3],
        "it: at byte 0: length 3 is above the bound 2",
    ),
    (
        "many",
        &[0, 0, 0, 2, 0, 0, 0, 0],
        "it: at byte 4: the value takes at least 8",
    ),
    ("blob", &[0, 0, 0, 1, 7, 7, 0, 0], "it: at byte 5: padding"),
    ("either", &[0, 0, 0, 1], "it.value: at byte 4"),
    (
        "links",
        &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1],
        "it[1].n: at byte 12",
    ),
    (
        "nothings",
        &[0, 0, 0, 1, 0, 0, 0, 0],
        "counted array of elements that take no bytes",
    ),
    ("crowd", &[], "elements that take no bytes"),
    ("bool", &[0, 0, 0, 1, 0], "1 bytes follow the value"),
];

#[test]
fn bytes_that_are_no_value_are_named_with_their_path() {
    for (word, xdr, why) in NO_VALUES {
        let (tree, tested) = spelt(word);
        let error = to_json(&tree, &tested, xdr).expect_err(word);
        assert!(error.contains(why), "{word}: {error}");
    }
}

#[test]
fn lists_may_be_long_and_values_not_deep() {
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let work = || {
        let (tree, links) = spelt("links");
        let mut xdr = Vec::new();
        for i in 0..100_000_u32 {
            xdr.extend([0, 0, 0, 1]);
            xdr.extend(i.to_be_bytes());
        }
        xdr.extend([0; 4]);
        let json = to_json(&tree, &links, &xdr).unwrap();
        assert!(json.ends_with(",{\"n\":99999}]"));
        assert_eq!(to_xdr(&tree, &links, &json).as_ref(), Ok(&xdr));

        let (tree, down) = spelt("tree");
        let levels =
            |count: usize| [[0, 0, 0, 1].repeat(count - 1), vec![0; 4 * count + 4]].concat();
        let json = to_json(&tree, &down, &levels(120)).unwrap();
        assert_eq!(to_xdr(&tree, &down, &json).as_ref(), Ok(&levels(120)));
        for count in [121, 100_000] {
            let error = to_json(&tree, &down, &levels(count)).unwrap_err();
            assert!(error.contains("nested deeper than 120 levels"), "{error}");
        }
        let deeper = format!("{{\"left\":{json},\"leaf\":0}}");
        let error = to_xdr(&tree, &down, &deeper).unwrap_err();
        assert!(error.contains("nested deeper than 120 levels"), "{error}");
    };
    small.spawn(work).unwrap().join().unwrap();
}

/// Makes any value of a type of bytes that come from anywhere; 0 when there are no more.
struct Maker<'t> {
    tree: &'t Specification,
    entropy: std::vec::IntoIter<u8>,
    levels: u32,
    to: Vec<u8>,
}

impl Maker<'_> {
    fn byte(&mut self) -> u8 {
        self.entropy.next().unwrap_or(0)
    }

    fn word(&mut self) -> [u8; 4] {
        [(); 4].map(|()| self.byte())
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    fn put(&mut self, word: u32) {
        self.to.extend(word.to_be_bytes());
    }

    /// A few, fewer further down.
    fn few(&mut self, length: Length) -> usize {
        match length {
            Length::Fixed(count) => count as usize,
            Length::Max(max) => {
                let most = if self.levels > 6 { 0 } else { max.min(4) };
                let count = self.below(most as usize + 1);
                self.put(u32::try_from(count).unwrap());
                count
            }
        }
    }

    fn blob(&mut self, length: Length, byte: impl Fn(u8) -> u8) {
        for _ in 0..self.few(length) {
            let made = byte(self.byte());
            self.to.push(made);
        }
        self.to.resize(self.to.len().next_multiple_of(4), 0);
    }

    fn value(&mut self, of: &Type) {
        self.levels += 1;
        match self.tree.resolve(of).clone() {
            Type::Void => {}
            Type::Int | Type::Unsigned | Type::Float => {
                let word = self.word();
                self.to.extend(word);
            }
            Type::Hyper | Type::UnsignedHyper | Type::Double => {
                let words = [self.word(), self.word()].concat();
                self.to.extend(words);
            }
            Type::Quadruple => {
                let words = [(); 4].map(|()| self.word()).concat();
                self.to.extend(words);
            }
            Type::Char | Type::Short | Type::UnsignedChar | Type::UnsignedShort => {
                let word = self.byte() & 0x7f;
                self.put(word.into());
            }
            Type::Bool => {
                let word = self.byte() & 1;
                self.put(word.into());
            }
            Type::Opaque(length) => self.blob(length, |byte| byte),
            // Some are UTF-8, some are not.
            Type::String(max) => self.blob(Length::Max(max), |byte| byte % 0xa0),
            Type::Array(element, length) => {
                for _ in 0..self.few(length) {
                    self.value(&element);
                }
            }
            Type::Optional(to) => {
                let is_there = self.levels < 12 && !self.byte().is_multiple_of(3);
                self.put(is_there.into());
                if is_there {
                    self.value(&to);
                }
            }
            Type::Named(id) => self.named(id),
        }
        self.levels -= 1;
    }

    fn named(&mut self, id: TypeId) {
        match self.tree.definition(id).body.clone() {
            Body::Alias(of) => self.value(&of),
            Body::Enum(names) => {
                let at = self.below(names.len());
                self.put(names[at].value.cast_unsigned());
            }
            Body::Struct(members) => members.iter().for_each(|member| self.value(&member.of)),
            Body::Union(union) => {
                let at = self.below(union.arms.len());
                let arm = &union.arms[at];
                // The low half, whichever sign it has.
                self.to.extend(&arm.value.to_be_bytes()[4..]);
                if let Some(member) = &arm.content {
                    self.value(&member.of);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_value_of_any_type_comes_back(
        entropy in proptest::collection::vec(any::<u8>(), 0..600),
        file in 0..FILES.len(),
        (at, flip) in (any::<usize>(), any::<u8>()),
    ) {
        let tree = tree(FILES[file]);
        for definition in &tree.types {
            let name = &definition.name;
            let of = named(&tree, name);
            let entropy = entropy.clone().into_iter();
            let mut maker = Maker { tree: &tree, entropy, levels: 0, to: Vec::new() };
            maker.value(&of);
            let mut xdr = maker.to;
            let json = to_json(&tree, &of, &xdr);
            // A type may have no small value.
            let Ok(json) = json else {
                let why = json.unwrap_err();
                prop_assert!(why.contains("take no bytes"), "{name}: {why}");
                continue;
            };
            let again = to_xdr(&tree, &of, &json);
            prop_assert_eq!(again.as_ref(), Ok(&xdr), "{}: {}", name, json);
            prop_assert_eq!(to_json(&tree, &of, &xdr), Ok(json));

            // What was damaged is refused, or is another value.
            let len = xdr.len();
            if len > 0 {
                xdr[at % len] ^= flip;
            }
            if let Ok(json) = to_json(&tree, &of, &xdr) {
                prop_assert_eq!(to_xdr(&tree, &of, &json), Ok(xdr), "{}: {}", name, json);
            }
        }
    }
}

#[test]
fn what_takes_no_bytes_does_not_take_all_memory() {
    let mut file = "struct s0 { };".to_owned();
    for level in 1..=60 {
        let below = level - 1;
        file += &format!("struct s{level} {{ s{below} a; s{below} b; }};");
    }
    let tree = of(&file);
    let error = to_json(&tree, &named(&tree, "s60"), &[]).unwrap_err();
    assert!(error.contains("elements that take no bytes"), "{error}");
    assert!(to_json(&tree, &named(&tree, "s5"), &[]).is_ok());
}

#[test]
fn long_names_do_not_take_all_memory() {
    let name = "n".repeat(250);
    let tree = of(&format!("struct s {{ int {name}; }}; typedef s many<>;"));
    let xdr = [&[0, 0, 0, 9][..], &[0; 36]].concat();
    let many = named(&tree, "many");
    let within = |max| text_within(max, (&tree, &many), "it", &mut Reader::new(&xdr));
    assert_eq!(
        within(9 * 300).unwrap(),
        to_json(&tree, &many, &xdr).unwrap()
    );
    let error = within(4 * 250).unwrap_err();
    assert!(
        error.to_string().contains("is above the bound 1000"),
        "{error}"
    );
}
