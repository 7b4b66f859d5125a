//! JSON values that borrow their text. The type of a field can change within one upstream file, so readers look at the
//! value instead of declaring a type.
//!
//! It is not `serde_json::Value`: that copies every string, and sorts keys.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::number::Number;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number from 0 on without fraction or exponent, of at most 64 bits.
    Unsigned(u64),
    /// A negative number without fraction or exponent, of at most 64 bits.
    Negative(i64),
    /// An integer of more than 64 bits, as it is written: an id must keep its digits.
    LongInteger(Cow<'a, str>),
    Float(f64),
    /// A number with a fraction or exponent that no float of 64 bits is, as it is written.
    LongFraction(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// A JSON object: fields in order. If a name repeats, the last field counts, as in Python.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl Value<'_> {
    /// What it is, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            // Tables have it for bytes, whose text nobody knows.
            Self::Bool(true) => "true (in a table: bytes that are not marked as text)",
            Self::Bool(false) => "false",
            Self::Unsigned(_) | Self::Negative(_) | Self::LongInteger(_) | Self::Float(_) | Self::LongFraction(_) => {
                "a number"
            }
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Null, or a string, list or object without content: what exporters write for "not there".
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(object) => object.0.is_empty(),
            Self::Bool(_)
            | Self::Unsigned(_)
            | Self::Negative(_)
            | Self::LongInteger(_)
            | Self::Float(_)
            | Self::LongFraction(_) => false,
        }
    }

    /// The same value, which owns its texts.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Unsigned(number) => (*number).into(),
            Self::Negative(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::LongInteger(text) | Self::LongFraction(text) | Self::Text(text) => text.as_ref().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(object) => object.0.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The float that is nearest to it, if it is a number: for measures, such as seconds.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(integer) => Some(*integer as f64),
            Self::Negative(integer) => Some(*integer as f64),
            Self::LongInteger(digits) | Self::LongFraction(digits) => digits.parse().ok(),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The number to its last digit, if it is one.
    pub(crate) fn as_number(&self) -> Option<Number<'_>> {
        match self {
            Self::Unsigned(integer) => Some(Number::Integer((*integer).into())),
            Self::Negative(integer) => Some(Number::Integer((*integer).into())),
            Self::LongInteger(digits) | Self::LongFraction(digits) => Number::of_text(digits),
            Self::Float(float) => Some(Number::Float(*float)),
            _ => None,
        }
    }

    /// The position that it is, from 0: a whole number, be it written as `2.0`.
    pub(crate) fn as_position(&self) -> Option<usize> {
        match self {
            Self::Unsigned(position) => usize::try_from(*position).ok(),
            // Larger ones are no positions in a list, and every whole number up to there is one float.
            Self::Float(position) if position.fract() == 0.0 && (0.0..1e9).contains(position) => {
                Some(*position as usize)
            }
            _ => None,
        }
    }
}

impl<'a> Object<'a> {
    /// An object of these fields.
    pub(crate) fn from_fields(fields: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Self(fields)
    }

    /// The field of this name, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.get_or_null(name).filter(|value| **value != Value::Null)
    }

    /// The field of this name, be it null.
    pub(crate) fn get_or_null(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Gives a field a value, in place of the one that it has.
    pub(crate) fn set(&mut self, name: &str, value: Value<'a>) {
        self.0.retain(|(field, _)| field != name);
        self.0.push((Cow::Owned(name.to_owned()), value));
    }

    /// Adds the fields of another object that this one lacks, but for its key.
    pub(crate) fn complete_with(&mut self, other: Object<'a>, key: &str) {
        for (name, value) in other.0 {
            if name != key && self.get(&name).is_none() {
                self.0.push((name, value));
            }
        }
    }

    /// Whether this field is present, and null.
    pub(crate) fn has_null(&self, name: &str) -> bool {
        self.0.iter().any(|(field, value)| field == name && *value == Value::Null)
    }

    /// The first of these fields that is present and not null, with its name.
    pub(crate) fn get_any<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &Value<'a>)> {
        names.iter().find_map(|&name| self.get(name).map(|value| (name, value)))
    }

    /// The first of these fields that is present and not blank, with its name.
    pub(crate) fn get_filled<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &Value<'a>)> {
        let filled = |name: &&'n str| self.get(name).filter(|value| !value.is_blank()).map(|value| (*name, value));
        names.iter().find_map(filled)
    }

    /// The names of its fields, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Name(name), value)) = fields.next_entry()? {
            object.push((name, value));
        }
        Ok(Value::Object(Object(object)))
    }
}

/// A field name, borrowed where it has no escapes; serde's own `Cow` is always owned here.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_escapes_is_borrowed() {
        let value: Value<'_> = serde_json::from_str(r#"["a", "\u00e9", -1, 1.5, null, {"k": true, "k": 2}]"#).unwrap();
        let Value::List(items) = value else { panic!("not a list") };
        assert!(matches!(&items[0], Value::Text(Cow::Borrowed("a"))));
        assert!(matches!(&items[1], Value::Text(Cow::Owned(text)) if text == "é"));
        assert_eq!(items[2..5], [Value::Negative(-1), Value::Float(1.5), Value::Null]);
        let Value::Object(object) = &items[5] else { panic!("not an object") };
        assert_eq!(object.get("k"), Some(&Value::Unsigned(2)));
    }

    #[test]
    fn a_field_that_is_set_takes_the_place_of_its_own() {
        let Value::Object(mut object) = serde_json::from_str(r#"{"a": null, "b": 2, "a": 1}"#).unwrap() else {
            panic!("not an object")
        };
        object.set("a", Value::Unsigned(3));
        assert_eq!((object.get("a"), object.has_null("a")), (Some(&Value::Unsigned(3)), false));
        assert_eq!(object.names().collect::<Vec<_>>(), ["b", "a"]);
    }
}
