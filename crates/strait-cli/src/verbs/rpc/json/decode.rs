//! Bytes to JSON.

use std::fmt::Write as _;

use strait::rpc::onc::xdr::{Error, Reader, What};
use strait_idl::onc::{Body, Content, Enumerator, Length, Member, Specification, Type, Union};

use super::{
    CASE, EXACT_MAX, HEX, LEVELS_MAX, NAN_DOUBLE, NAN_FLOAT, Path, SOME, Step, VALUE, Wrong,
    is_nullable, list, range,
};

/// Elements and members that take no bytes, in one value: nothing else bounds their number. A
/// structure of two structures of two, and so on, has more of them than fit any memory.
const HOLLOW_MAX: u32 = 65_536;

/// Bytes of JSON, in one value: names of members are longer than what they name may be.
const TEXT_MAX: u32 = 128 << 20;

/// The next value of that type as JSON, on one line. `name` is what errors call it.
pub(crate) fn text(
    tree: &Specification,
    of: &Type,
    name: &str,
    from: &mut Reader<'_>,
) -> Result<String, Wrong> {
    text_within(TEXT_MAX, (tree, of), name, from)
}

/// The same, of so many bytes and what one number, text or opaque value more may take.
pub(super) fn text_within(
    len_max: u32,
    (tree, of): (&Specification, &Type),
    name: &str,
    from: &mut Reader<'_>,
) -> Result<String, Wrong> {
    let mut decoder = Decoder {
        tree,
        from,
        to: String::new(),
        path: Path::new(name),
        len_max,
        levels: 0,
        hollow: 0,
    };
    match decoder.value(of) {
        Ok(()) => Ok(decoder.to),
        Err(error) => Err(Wrong {
            xdr: Some(error),
            ..decoder.path.wrong(error.to_string())
        }),
    }
}

struct Decoder<'t, 'r, 'a> {
    tree: &'t Specification,
    from: &'r mut Reader<'a>,
    to: String,
    /// After an error, where it was.
    path: Path<'t>,
    len_max: u32,
    levels: u32,
    hollow: u32,
}

type Done = Result<(), Error>;

impl<'t> Decoder<'t, '_, '_> {
    fn value(&mut self, of: &'t Type) -> Done {
        let of = self.tree.resolve(of);
        match of {
            Type::Void => self.to.push_str("null"),
            Type::Int
            | Type::Unsigned
            | Type::Char
            | Type::UnsignedChar
            | Type::Short
            | Type::UnsignedShort
            | Type::Hyper
            | Type::UnsignedHyper => self.whole(of)?,
            Type::Float => {
                let float = self.from.float()?;
                self.float(float);
            }
            Type::Double => {
                let double = self.from.double()?;
                self.double(double);
            }
            Type::Quadruple => {
                let bytes = self.from.quadruple()?;
                self.hex(&bytes.0);
            }
            Type::Bool => {
                let is_true = self.from.boolean()?;
                self.to.push_str(if is_true { "true" } else { "false" });
            }
            Type::Opaque(Length::Fixed(len)) => {
                let bytes = self.from.opaque_fixed(*len as usize)?;
                self.hex(bytes);
            }
            Type::Opaque(Length::Max(max)) => {
                let bytes = self.from.opaque(*max)?;
                self.hex(bytes);
            }
            Type::String(max) => {
                let bytes = self.from.string_bytes(*max)?;
                self.string(bytes);
            }
            Type::Array(element, length) => self.array(element, *length)?,
            Type::Optional(to) => self.optional(to)?,
            Type::Named(id) => match &self.tree.definition(*id).body {
                // It was resolved.
                Body::Alias(_) => {}
                Body::Enum(names) => {
                    self.enumeration(names)?;
                }
                Body::Struct(members) if self.tree.is_list(*id) => {
                    self.between('[', |this| {
                        this.path.steps.push(Step::Element(0));
                        this.node(members)?;
                        this.rest(members, 1)
                    })?;
                }
                Body::Struct(members) => self.members(members)?,
                Body::Union(union) => self.union(union)?,
            },
        }
        Ok(())
    }

    fn whole(&mut self, of: &Type) -> Done {
        let at = self.from.position();
        let number: i128 = match of {
            Type::Hyper => self.from.hyper()?.into(),
            Type::UnsignedHyper => self.from.unsigned_hyper()?.into(),
            Type::Unsigned => self.from.unsigned()?.into(),
            _ => {
                let number = self.from.int()?;
                if range(of).is_some_and(|range| !range.contains(&number.into())) {
                    let what = What::Range(number.into());
                    return Err(Error { at, what });
                }
                number.into()
            }
        };
        self.number(number);
        Ok(())
    }

    /// What stands in an array or an object.
    fn between(&mut self, open: char, inside: impl FnOnce(&mut Self) -> Done) -> Done {
        if self.levels == LEVELS_MAX {
            return Err(self.from.error(What::TooDeep { max: LEVELS_MAX }));
        }
        self.levels += 1;
        self.to.push(open);
        inside(self)?;
        self.to.push(if open == '[' { ']' } else { '}' });
        self.levels -= 1;
        Ok(())
    }

    /// A member of an object, `name` and all.
    fn named(&mut self, is_first: bool, name: &'t str) {
        if !is_first {
            self.to.push(',');
        }
        // A name of the language needs no escapes.
        let _ = write!(self.to, "\"{name}\":");
    }

    fn member(&mut self, is_first: bool, member: &'t Member) -> Done {
        self.named(is_first, &member.name);
        self.path.steps.push(Step::Member(&member.name));
        self.bounded(&member.of)?;
        self.path.steps.pop();
        Ok(())
    }

    /// A value of which there may be many.
    fn bounded(&mut self, of: &'t Type) -> Done {
        let (len, max) = (self.to.len() as u64, self.len_max);
        if len > max.into() {
            return Err(self.from.error(What::TooLong { len, max }));
        }
        let left = self.from.remaining();
        self.value(of)?;
        if self.from.remaining() == left {
            self.hollow += 1;
            if self.hollow > HOLLOW_MAX {
                return Err(self.from.error(What::Hollow));
            }
        }
        Ok(())
    }

    fn members(&mut self, members: &'t [Member]) -> Done {
        self.between('{', |this| {
            let mut each = members.iter().enumerate();
            each.try_for_each(|(i, member)| this.member(i == 0, member))
        })
    }

    /// A node of a list without its pointer.
    fn node(&mut self, members: &'t [Member]) -> Done {
        self.members(&members[..members.len() - 1])
    }

    /// The nodes from the `from`-th on, of which the last step is one.
    fn rest(&mut self, members: &'t [Member], from: usize) -> Done {
        let mut i = from;
        while self.from.boolean()? {
            if i > 0 {
                self.to.push(',');
            }
            self.path.element(i);
            self.node(members)?;
            i += 1;
        }
        self.path.steps.pop();
        Ok(())
    }

    fn optional(&mut self, to: &'t Type) -> Done {
        if let Some(id) = list(self.tree, to)
            && let Body::Struct(members) = &self.tree.definition(id).body
        {
            return self.between('[', |this| {
                this.path.steps.push(Step::Element(0));
                this.rest(members, 0)
            });
        }
        if !self.from.boolean()? {
            self.to.push_str("null");
            return Ok(());
        }
        if !is_nullable(self.tree, to) {
            return self.value(to);
        }
        self.between('{', |this| {
            this.named(true, SOME);
            this.value(to)
        })
    }

    fn array(&mut self, element: &'t Type, length: Length) -> Done {
        let count = match length {
            Length::Fixed(count) => count,
            Length::Max(max) => {
                let at = self.from.position();
                let count = self.from.unsigned()?;
                if count > max {
                    let what = What::TooLong {
                        len: count.into(),
                        max,
                    };
                    return Err(Error { at, what });
                }
                let need = u64::from(count) * 4;
                let left = self.from.remaining();
                if need > left as u64 {
                    return Err(self.from.error(What::Short { need, left }));
                }
                count
            }
        };
        let before = self.from.remaining();
        self.between('[', |this| {
            this.path.steps.push(Step::Element(0));
            for i in 0..count as usize {
                if i > 0 {
                    this.to.push(',');
                }
                this.path.element(i);
                this.bounded(element)?;
            }
            this.path.steps.pop();
            Ok(())
        })?;
        let taken = (before - self.from.remaining()) as u64;
        if matches!(length, Length::Max(_)) && taken / 4 < count.into() {
            return Err(self.from.error(What::Hollow));
        }
        Ok(())
    }

    /// The number.
    fn enumeration(&mut self, names: &'t [Enumerator]) -> Result<i64, Error> {
        let at = self.from.position();
        let number = self.from.int()?;
        let Some(found) = names.iter().find(|each| each.value == number) else {
            let what = What::Enum(number);
            return Err(Error { at, what });
        };
        let _ = write!(self.to, "\"{}\"", found.name);
        Ok(number.into())
    }

    fn union(&mut self, union: &'t Union) -> Done {
        self.between('{', |this| {
            this.named(true, CASE);
            let at = this.from.position();
            this.path.steps.push(Step::Member(CASE));
            let number = this.discriminant(&union.discriminant.of)?;
            let Some(content) = arm(union, number) else {
                let what = What::Arm(number);
                return Err(Error { at, what });
            };
            if let Some(member) = content {
                this.path.member(VALUE);
                this.named(false, VALUE);
                this.value(&member.of)?;
            }
            this.path.steps.pop();
            Ok(())
        })
    }

    fn discriminant(&mut self, of: &'t Type) -> Result<i64, Error> {
        let of = self.tree.resolve(of);
        let word = self.from.rest().first_chunk().copied().unwrap_or_default();
        match of {
            Type::Named(id) if let Body::Enum(names) = &self.tree.definition(*id).body => {
                return self.enumeration(names);
            }
            _ => self.value(of)?,
        }
        Ok(match of {
            Type::Unsigned => u32::from_be_bytes(word).into(),
            _ => i32::from_be_bytes(word).into(),
        })
    }

    fn number(&mut self, number: i128) {
        let _ = match (-EXACT_MAX..=EXACT_MAX).contains(&number) {
            true => write!(self.to, "{number}"),
            false => write!(self.to, "\"{number}\""),
        };
    }

    fn float(&mut self, float: f32) {
        if float.is_nan() {
            return match float.to_bits() {
                NAN_FLOAT => self.to.push_str("\"NaN\""),
                bits => drop(write!(self.to, "\"NaN:{bits:08x}\"")),
            };
        }
        // As short as it comes back to the same: what is read is a double.
        let short: f64 = format!("{float:?}").parse().unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "compared just below")]
        let again = short as f32;
        let is_same = again.to_bits() == float.to_bits();
        self.double(if is_same { short } else { float.into() });
    }

    fn double(&mut self, double: f64) {
        let _ = match double {
            f64::INFINITY => write!(self.to, "\"Infinity\""),
            f64::NEG_INFINITY => write!(self.to, "\"-Infinity\""),
            _ if double.is_nan() => match double.to_bits() {
                NAN_DOUBLE => write!(self.to, "\"NaN\""),
                bits => write!(self.to, "\"NaN:{bits:016x}\""),
            },
            // With an exponent where that is shorter, and a point where it has none.
            _ => write!(self.to, "{double:?}"),
        };
    }

    fn hex(&mut self, bytes: &[u8]) {
        self.to.reserve(2 * bytes.len() + 2);
        self.to.push('"');
        for byte in bytes {
            let _ = write!(self.to, "{byte:02x}");
        }
        self.to.push('"');
    }

    fn string(&mut self, bytes: &[u8]) {
        let Ok(text) = str::from_utf8(bytes) else {
            let _ = write!(self.to, "{{\"{HEX}\":");
            self.hex(bytes);
            self.to.push('}');
            return;
        };
        self.to.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.to.push_str("\\\""),
                '\\' => self.to.push_str("\\\\"),
                '\n' => self.to.push_str("\\n"),
                '\t' => self.to.push_str("\\t"),
                // JSON wants it of some; the others steer terminals.
                control if control.is_control() => {
                    let _ = write!(self.to, "\\u{:04x}", u32::from(control));
                }
                letter => self.to.push(letter),
            }
        }
        self.to.push('"');
    }
}

/// What follows that number; `None`: the union has no such arm.
pub(super) fn arm(union: &Union, number: i64) -> Option<&Content> {
    let labelled = union.arms.iter().find(|arm| arm.value == number);
    labelled.map(|arm| &arm.content).or(union.default.as_ref())
}
