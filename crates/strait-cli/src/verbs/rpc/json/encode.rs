//! JSON to bytes.

use serde_json::{Map, Value};
use strait::rpc::onc::xdr::{Quadruple, Writer};
use strait_idl::onc::{Body, Enumerator, Length, Member, Specification, Type, Union};

use super::decode::arm;
use super::{
    CASE, HEX, LEVELS_MAX, NAN_DOUBLE, NAN_FLOAT, Path, SOME, Step, TEXT, VALUE, Wrong,
    is_nullable, list, range,
};

/// How much of a wrong value is shown, in characters.
const SHOWN_MAX: usize = 40;

/// Appends a value of that type. `name` is what errors call it.
/// Where the JSON is no
/// such value, a part of it was written.
pub(crate) fn bytes(
    tree: &Specification,
    of: &Type,
    name: &str,
    value: &Value,
    to: &mut Writer<'_>,
) -> Result<(), Wrong> {
    let mut encoder = Encoder {
        tree,
        to,
        path: Path::new(name),
        levels: 0,
    };
    encoder.value(of, value)
}

struct Encoder<'t, 'w, 'v> {
    tree: &'t Specification,
    to: &'w mut Writer<'v>,
    path: Path<'t>,
    levels: u32,
}

type Done = Result<(), Wrong>;

impl<'t> Encoder<'t, '_, '_> {
    fn value(&mut self, of: &'t Type, value: &Value) -> Done {
        let of = self.tree.resolve(of);
        match of {
            Type::Void if value.is_null() => {}
            Type::Void => return Err(self.wants("null (void)", value)),
            Type::Hyper => {
                let number = self.whole(of, value)?;
                self.to.hyper(number);
            }
            Type::UnsignedHyper => {
                let number = self.whole(of, value)?;
                self.to.unsigned_hyper(number);
            }
            Type::Unsigned => {
                let number = self.whole(of, value)?;
                self.to.unsigned(number);
            }
            Type::Int | Type::Char | Type::UnsignedChar | Type::Short | Type::UnsignedShort => {
                let number = self.whole(of, value)?;
                self.to.int(number);
            }
            Type::Float => {
                let float = self.float(value)?;
                self.to.float(float);
            }
            Type::Double => {
                let double = self.double(value)?;
                self.to.double(double);
            }
            Type::Quadruple => {
                let bytes = value.as_str().and_then(unhex);
                match bytes.and_then(|bytes| bytes.try_into().ok()) {
                    Some(bytes) => self.to.quadruple(Quadruple(bytes)),
                    None => return Err(self.wants("a string of 32 hexadecimal digits", value)),
                }
            }
            Type::Bool => match value {
                Value::Bool(is_true) => self.to.boolean(*is_true),
                _ => return Err(self.wants("true or false", value)),
            },
            Type::Opaque(length) => self.opaque(*length, value)?,
            Type::String(max) => self.string(*max, value)?,
            Type::Array(element, length) => self.array(element, *length, value)?,
            Type::Optional(to) => self.optional(to, value)?,
            Type::Named(id) => match &self.tree.definition(*id).body {
                // It was resolved.
                Body::Alias(_) => {}
                Body::Enum(names) => {
                    let number = self.enumeration(names, value)?;
                    self.to.int(number);
                }
                Body::Struct(members) if self.tree.is_list(*id) => {
                    let nodes = self.elements(value)?;
                    let Some((first, rest)) = nodes.split_first() else {
                        return Err(self.path.wrong("at least one node is wanted"));
                    };
                    self.level(|this| {
                        this.path.steps.push(Step::Element(0));
                        this.node(members, first)?;
                        this.rest(members, rest, 1)
                    })?;
                }
                Body::Struct(members) => self.members(members, value)?,
                Body::Union(union) => self.union(union, value)?,
            },
        }
        Ok(())
    }

    fn wants(&self, what: &str, value: &Value) -> Wrong {
        self.path
            .wrong(format!("{what} is wanted, not {}", shown(value)))
    }

    /// What stands in an array or an object.
    fn level(&mut self, inside: impl FnOnce(&mut Self) -> Done) -> Done {
        if self.levels == LEVELS_MAX {
            let why = format!("nested deeper than {LEVELS_MAX} levels");
            return Err(self.path.wrong(why));
        }
        self.levels += 1;
        inside(self)?;
        self.levels -= 1;
        Ok(())
    }

    fn elements<'j>(&self, value: &'j Value) -> Result<&'j [Value], Wrong> {
        match value {
            Value::Array(elements) => Ok(elements),
            _ => Err(self.wants("an array", value)),
        }
    }

    /// An object that has no members but these.
    fn object<'j>(
        &self,
        value: &'j Value,
        names: &[&str],
    ) -> Result<&'j Map<String, Value>, Wrong> {
        let all = || names.join(", ");
        let Value::Object(object) = value else {
            return Err(self.wants(&format!("an object ({})", all()), value));
        };
        let strange = object.keys().find(|name| !names.contains(&name.as_str()));
        match strange {
            None => Ok(object),
            Some(name) => Err(self.path.wrong(format!(
                "no member is called {}; the members are {}",
                shown(&Value::from(name.as_str())),
                all()
            ))),
        }
    }

    fn members(&mut self, members: &'t [Member], value: &Value) -> Done {
        let names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
        let object = self.object(value, &names)?;
        self.level(|this| {
            for member in members {
                this.member(member, &member.name, object)?;
            }
            Ok(())
        })
    }

    /// A member by the name that it has in the object.
    fn member(&mut self, member: &'t Member, name: &'t str, object: &Map<String, Value>) -> Done {
        self.path.steps.push(Step::Member(name));
        match object.get(name) {
            Some(value) => self.value(&member.of, value)?,
            None if self.may_be_absent(&member.of) => self.to.boolean(false),
            None => return Err(self.path.wrong("this member is missing")),
        }
        self.path.steps.pop();
        Ok(())
    }

    fn may_be_absent(&self, of: &Type) -> bool {
        matches!(self.tree.resolve(of), Type::Optional(_))
    }

    /// A node of a list without its pointer.
    fn node(&mut self, members: &'t [Member], value: &Value) -> Done {
        self.members(&members[..members.len() - 1], value)
    }

    /// The nodes from the `from`-th on, of which the last step is one.
    fn rest(&mut self, members: &'t [Member], nodes: &[Value], from: usize) -> Done {
        for (i, node) in nodes.iter().enumerate() {
            self.to.boolean(true);
            self.path.element(from + i);
            self.node(members, node)?;
        }
        self.to.boolean(false);
        self.path.steps.pop();
        Ok(())
    }

    fn optional(&mut self, to: &'t Type, value: &Value) -> Done {
        if let Some(id) = list(self.tree, to)
            && let Body::Struct(members) = &self.tree.definition(id).body
        {
            let nodes = match value {
                Value::Null => &[],
                value => self.elements(value)?,
            };
            return self.level(|this| {
                this.path.steps.push(Step::Element(0));
                this.rest(members, nodes, 0)
            });
        }
        self.to.boolean(!value.is_null());
        if value.is_null() {
            return Ok(());
        }
        if !is_nullable(self.tree, to) {
            return self.value(to, value);
        }
        let object = self.object(value, &[SOME])?;
        let Some(value) = object.get(SOME) else {
            return Err(self.wants("null or {\"some\": …}", value));
        };
        self.level(|this| this.value(to, value))
    }

    /// The count in front, if there is one.
    fn count(&mut self, len: usize, length: Length, what: &str) -> Done {
        let given = u32::try_from(len).ok();
        match length {
            Length::Fixed(count) if given == Some(count) => Ok(()),
            Length::Fixed(count) => Err(self
                .path
                .wrong(format!("{len} {what}, where the type has {count}"))),
            Length::Max(max) => match given.filter(|given| *given <= max) {
                Some(given) => {
                    self.to.unsigned(given);
                    Ok(())
                }
                None => Err(self
                    .path
                    .wrong(format!("{len} {what}, where the type takes at most {max}"))),
            },
        }
    }

    fn array(&mut self, element: &'t Type, length: Length, value: &Value) -> Done {
        let elements = self.elements(value)?;
        self.count(elements.len(), length, "elements")?;
        let before = self.to.position();
        self.level(|this| {
            this.path.steps.push(Step::Element(0));
            for (i, each) in elements.iter().enumerate() {
                this.path.element(i);
                this.value(element, each)?;
            }
            this.path.steps.pop();
            Ok(())
        })?;
        let taken = (self.to.position() - before) / 4;
        if matches!(length, Length::Max(_)) && taken < elements.len() {
            let why = "elements that take no bytes cannot be counted by who reads them";
            return Err(self.path.wrong(why));
        }
        Ok(())
    }

    fn opaque(&mut self, length: Length, value: &Value) -> Done {
        let bytes = match value {
            Value::String(digits) => unhex(digits),
            Value::Object(_) => {
                let object = self.object(value, &[TEXT])?;
                let text = object.get(TEXT).and_then(Value::as_str);
                text.map(|text| text.as_bytes().to_vec())
            }
            _ => None,
        };
        let Some(bytes) = bytes else {
            let what = "opaque data as pairs of hexadecimal digits, or {\"text\": \"…\"},";
            return Err(self.wants(what, value));
        };
        self.count(bytes.len(), length, "bytes")?;
        self.to.opaque_fixed(&bytes);
        Ok(())
    }

    fn string(&mut self, max: u32, value: &Value) -> Done {
        let decoded;
        let bytes = match value {
            Value::String(text) => text.as_bytes(),
            Value::Object(_) => {
                let object = self.object(value, &[HEX])?;
                let digits = object.get(HEX).and_then(Value::as_str);
                let Some(bytes) = digits.and_then(unhex) else {
                    return Err(self.wants("a string, or {\"hex\": \"…\"},", value));
                };
                decoded = bytes;
                &decoded
            }
            _ => return Err(self.wants("a string", value)),
        };
        self.count(bytes.len(), Length::Max(max), "bytes")?;
        self.to.opaque_fixed(bytes);
        Ok(())
    }

    fn enumeration(&self, names: &[Enumerator], value: &Value) -> Result<i32, Wrong> {
        let by_name = |name: &str| names.iter().find(|each| each.name == name);
        let by_number = |number| names.iter().find(|each| i128::from(each.value) == number);
        let found = value
            .as_str()
            .and_then(by_name)
            .or_else(|| number(value).and_then(by_number));
        found.map(|found| found.value).ok_or_else(|| {
            let some: Vec<&str> = names.iter().take(8).map(|each| &*each.name).collect();
            let more = if names.len() > some.len() {
                ", …"
            } else {
                ""
            };
            self.wants(&format!("one of {}{more}", some.join(", ")), value)
        })
    }

    fn union(&mut self, union: &'t Union, value: &Value) -> Done {
        let object = self.object(value, &[CASE, VALUE])?;
        self.level(|this| {
            let Some(case) = object.get(CASE) else {
                return Err(this.wants("{\"case\": …, \"value\": …}", value));
            };
            this.path.steps.push(Step::Member(CASE));
            let number = this.discriminant(&union.discriminant.of, case)?;
            let Some(content) = arm(union, number) else {
                let why = format!("the union has no arm for {}", shown(case));
                return Err(this.path.wrong(why));
            };
            this.path.steps.pop();
            match (content, object.get(VALUE)) {
                (Some(member), _) => this.member(member, VALUE, object),
                (None, None | Some(Value::Null)) => Ok(()),
                (None, Some(_)) => Err(this.path.wrong(format!(
                    "the arm of {} is void and has no value",
                    shown(case)
                ))),
            }
        })
    }

    /// Writes it. Its number.
    fn discriminant(&mut self, of: &'t Type, case: &Value) -> Result<i64, Wrong> {
        let of = self.tree.resolve(of);
        Ok(match of {
            Type::Bool => {
                self.value(of, case)?;
                i64::from(case == &Value::Bool(true))
            }
            Type::Unsigned => {
                let number: u32 = self.whole(of, case)?;
                self.to.unsigned(number);
                number.into()
            }
            Type::Named(id) if let Body::Enum(names) = &self.tree.definition(*id).body => {
                let number = self.enumeration(names, case)?;
                self.to.int(number);
                number.into()
            }
            _ => {
                let number: i32 = self.whole(of, case)?;
                self.to.int(number);
                number.into()
            }
        })
    }

    /// A whole number in the range of its type.
    fn whole<N: TryFrom<i128>>(&self, of: &Type, value: &Value) -> Result<N, Wrong> {
        let range = range(of).unwrap_or(0..=0);
        let fits = |number: &i128| range.contains(number);
        let number = number(value).filter(fits);
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| {
                let (least, most) = range.clone().into_inner();
                self.wants(&format!("a whole number from {least} to {most}"), value)
            })
    }

    fn float(&self, value: &Value) -> Result<f32, Wrong> {
        let special = match value.as_str() {
            Some("Infinity") => Some(f32::INFINITY),
            Some("-Infinity") => Some(f32::NEG_INFINITY),
            Some("NaN") => Some(f32::from_bits(NAN_FLOAT)),
            Some(text) => bits(text, 8)
                .and_then(|bits| u32::try_from(bits).ok())
                .map(f32::from_bits)
                .filter(|float| float.is_nan()),
            None => None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "rounded, as decimals are")]
        let rounded = || value.as_f64().map(|double| double as f32);
        special
            .or_else(|| rounded().filter(|float| float.is_finite()))
            .ok_or_else(|| self.wants("a number that fits a float", value))
    }

    fn double(&self, value: &Value) -> Result<f64, Wrong> {
        let special = match value.as_str() {
            Some("Infinity") => Some(f64::INFINITY),
            Some("-Infinity") => Some(f64::NEG_INFINITY),
            Some("NaN") => Some(f64::from_bits(NAN_DOUBLE)),
            Some(text) => bits(text, 16)
                .map(f64::from_bits)
                .filter(|double| double.is_nan()),
            None => None,
        };
        special
            .or_else(|| value.as_f64())
            .ok_or_else(|| self.wants("a number", value))
    }
}

/// A whole number: of JSON, or digits in a string.
fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from)),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) if !digits.starts_with('+') => {
                u64::from_str_radix(digits, 16).ok().map(i128::from)
            }
            Some(_) => None,
            None => text.parse().ok(),
        },
        _ => None,
    }
}

/// The bits of `NaN:BITS`.
fn bits(text: &str, digits: usize) -> Option<u64> {
    let bits = text.strip_prefix("NaN:")?;
    let is_plain = bits.len() == digits && bits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(bits, 16).ok().filter(|_| is_plain)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let bytes = pairs.iter().map(byte).collect::<Option<_>>();
    bytes.filter(|_| rest.is_empty())
}

/// A wrong value, as far as it helps to see it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.chars().nth(SHOWN_MAX).is_some() => {
            let start: String = text.chars().take(SHOWN_MAX).collect();
            format!("{} …", Value::from(start))
        }
        plain => plain.to_string(),
    }
}
