//! Any value comes back, and so do any bytes that are read as one.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Decode, Encode, Error, Quadruple, Reader, What, Writer, from_slice, to_vec};

/// One of everything, as a compiler of `.x` files would write it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Int(i32),
    Unsigned(u32),
    Hyper(i64),
    UnsignedHyper(u64),
    Float(u32),
    Double(u64),
    Quadruple([u8; 16]),
    Bool(bool),
    Fixed([u8; 5]),
    Opaque(Vec<u8>),
    Text(String),
    Words(Vec<u32>),
    Hypers(Vec<u64>),
    Pair(Box<[Self; 2]>),
    Array(Vec<Self>),
    Optional(Option<Box<Self>>),
    List(Vec<Self>),
}

const OPAQUE_MAX: u32 = 20;

impl Encode for Value {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.nested(|to| {
            to.unsigned(self.tag());
            match self {
                Self::Int(value) => to.int(*value),
                Self::Unsigned(value) => to.unsigned(*value),
                Self::Hyper(value) => to.hyper(*value),
                Self::UnsignedHyper(value) => to.unsigned_hyper(*value),
                Self::Float(value) => to.float(f32::from_bits(*value)),
                Self::Double(value) => to.double(f64::from_bits(*value)),
                Self::Quadruple(value) => to.quadruple(Quadruple(*value)),
                Self::Bool(value) => to.boolean(*value),
                Self::Fixed(value) => to.opaque_fixed(value),
                Self::Opaque(value) => return to.opaque(value, OPAQUE_MAX),
                Self::Text(value) => return to.string(value, OPAQUE_MAX),
                Self::Words(value) => return to.numbers(value, OPAQUE_MAX),
                Self::Hypers(value) => return to.numbers(value, OPAQUE_MAX),
                Self::Pair(value) => return to.array_fixed(value, |to, each| each.encode(to)),
                Self::Array(value) => {
                    return to.array(value, OPAQUE_MAX, |to, each| each.encode(to));
                }
                Self::Optional(value) => return value.encode(to),
                Self::List(value) => return to.list(value, |to, each| each.encode(to)),
            }
            Ok(())
        })
    }
}

impl<'a> Decode<'a> for Value {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        from.nested(|from| {
            Ok(match from.unsigned()? {
                0 => Self::Int(from.int()?),
                1 => Self::Unsigned(from.unsigned()?),
                2 => Self::Hyper(from.hyper()?),
                3 => Self::UnsignedHyper(from.unsigned_hyper()?),
                4 => Self::Float(from.float()?.to_bits()),
                5 => Self::Double(from.double()?.to_bits()),
                6 => Self::Quadruple(from.quadruple()?.0),
                7 => Self::Bool(from.boolean()?),
                8 => Self::Fixed(from.opaque_array()?),
                9 => Self::Opaque(from.opaque(OPAQUE_MAX)?.into()),
                10 => Self::Text(from.string(OPAQUE_MAX)?.into()),
                11 => Self::Words(from.numbers(OPAQUE_MAX)?),
                12 => Self::Hypers(from.numbers(OPAQUE_MAX)?),
                13 => Self::Pair(from.array_fixed(Self::decode).map(Box::new)?),
                14 => Self::Array(from.array(OPAQUE_MAX, Self::decode)?),
                15 => Self::Optional(Option::decode(from)?),
                16 => Self::List(from.list(Self::decode)?),
                tag => return Err(from.error(What::Arm(tag.into()))),
            })
        })
    }
}

impl Value {
    fn tag(&self) -> u32 {
        match self {
            Self::Int(_) => 0,
            Self::Unsigned(_) => 1,
            Self::Hyper(_) => 2,
            Self::UnsignedHyper(_) => 3,
            Self::Float(_) => 4,
            Self::Double(_) => 5,
            Self::Quadruple(_) => 6,
            Self::Bool(_) => 7,
            Self::Fixed(_) => 8,
            Self::Opaque(_) => 9,
            Self::Text(_) => 10,
            Self::Words(_) => 11,
            Self::Hypers(_) => 12,
            Self::Pair(_) => 13,
            Self::Array(_) => 14,
            Self::Optional(_) => 15,
            Self::List(_) => 16,
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let max = OPAQUE_MAX as usize;
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::Int),
        any::<u32>().prop_map(Value::Unsigned),
        any::<i64>().prop_map(Value::Hyper),
        any::<u64>().prop_map(Value::UnsignedHyper),
        any::<u32>().prop_map(Value::Float),
        any::<u64>().prop_map(Value::Double),
        any::<[u8; 16]>().prop_map(Value::Quadruple),
        any::<bool>().prop_map(Value::Bool),
        any::<[u8; 5]>().prop_map(Value::Fixed),
        vec(any::<u8>(), 0..=max).prop_map(Value::Opaque),
        "[a-zé]{0,10}".prop_map(Value::Text),
        vec(any::<u32>(), 0..=max).prop_map(Value::Words),
        vec(any::<u64>(), 0..=max).prop_map(Value::Hypers),
    ];
    leaf.prop_recursive(5, 60, 4, move |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.prop_map(|(one, two)| Value::Pair(Box::new([one, two]))),
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::option::of(inner.clone().prop_map(Box::new)).prop_map(Value::Optional),
            vec(inner, 0..4).prop_map(Value::List),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_that_is_written_is_read_again(value in value()) {
        let bytes = to_vec(&value).unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        prop_assert_eq!(from_slice::<Value>(&bytes), Ok(value));
    }

    /// One byte of a sound value is changed: it is refused, or is another value's bytes.
    #[test]
    fn bytes_that_are_read_are_written_again(
        value in value(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![0..=17_u8, any::<u8>()],
    ) {
        let mut bytes = to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = from_slice::<Value>(&bytes) {
            prop_assert_eq!(to_vec(&value).unwrap(), bytes);
        }
    }

    #[test]
    fn any_words_are_read_or_refused(words in vec(0..18_u32, 0..40)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        if let Ok(value) = from_slice::<Value>(&bytes) {
            prop_assert_eq!(to_vec(&value).unwrap(), bytes);
        }
    }
}
