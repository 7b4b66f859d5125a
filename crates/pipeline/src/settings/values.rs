//! Values of settings that TOML has no type for: a string or a list, a count or "all", a share in percent.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Says in a schema that keys have to be set: the type has values for those that are not there, and a file has none.
pub(super) fn require(schema: &mut Schema, keys: &[&str]) {
    let mut properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for key in keys {
        let property = properties.as_mut().and_then(|properties| properties.get_mut(*key)?.as_object_mut());
        property.and_then(|property| property.remove("default"));
    }
    schema.insert("required".to_owned(), json!(keys));
}

/// One string, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings in order.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// Whether Parquet shards hold token ids and labels; `true` or `false` in pipeline files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum TokenColumns {
    /// Written to separate columns.
    #[default]
    Written,
    /// The columns are null.
    LeftOut,
}

impl From<bool> for TokenColumns {
    fn from(is_written: bool) -> Self {
        if is_written { Self::Written } else { Self::LeftOut }
    }
}

impl From<TokenColumns> for bool {
    fn from(tokens: TokenColumns) -> Self {
        tokens == TokenColumns::Written
    }
}

/// How much to draw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Take {
    /// Every record that is not rejected, filtered out or a duplicate.
    #[default]
    All,
    /// This amount, or everything if there is less.
    Count(u64),
    /// This part of what the source has, in percent.
    Percent(f64),
}

impl Serialize for Take {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent} %")),
        }
    }
}

impl<'de> Deserialize<'de> for Take {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Count(u64),
            Word(String),
        }
        match Form::deserialize(deserializer) {
            Ok(Form::Count(count)) => Ok(Self::Count(count)),
            Ok(Form::Word(word)) if word == "all" => Ok(Self::All),
            Ok(Form::Word(word)) => percent_of(&word).map(Self::Percent).ok_or(()),
            Err(_) => Err(()),
        }
        .map_err(|()| serde::de::Error::custom("neither a count, nor a share such as \"10 %\", nor \"all\""))
    }
}

impl JsonSchema for Take {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Take".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "title": "a whole number" },
            { "type": "string", "pattern": "^[0-9.]+ ?%$", "title": "a share of the source such as \"10 %\"" },
            { "const": "all" }
        ] })
    }
}

/// The number of a text such as `10 %`, from 0 to 100.
fn percent_of(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim().parse::<f64>().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

/// A share from 0 to 1, written as a number or in percent (`"0.5 %"`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// A share of at most 100 percent.
    pub(crate) const fn percent(percent: u8) -> Self {
        Self(percent as f64 / 100.0)
    }

    /// The share, from 0 to 1.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Part(f64),
            Percent(String),
        }
        let part = match Form::deserialize(deserializer) {
            Ok(Form::Part(part)) => Some(part),
            Ok(Form::Percent(text)) => percent_of(&text).map(|percent| percent / 100.0),
            Err(_) => None,
        };
        match part.filter(|part| (0.0..=1.0).contains(part)) {
            Some(part) => Ok(Self(part)),
            None => Err(serde::de::Error::custom("not a share from 0 to 1, nor one from \"0 %\" to \"100 %\"")),
        }
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": "^[0-9.]+ ?%$" }
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_or_a_percentage() {
        let share = |json: &str| serde_json::from_str::<Share>(json).map(Share::as_f64).ok();
        assert_eq!(share("0.25"), Some(0.25));
        assert_eq!(share("\"0.5 %\""), Some(0.005));
        assert_eq!(share("\"half\""), None);
        assert_eq!(share("1.5"), None);
    }

    #[test]
    fn a_take_is_a_count_a_share_or_all() {
        assert_eq!(serde_json::from_str::<Take>("7").ok(), Some(Take::Count(7)));
        assert_eq!(serde_json::from_str::<Take>("\"all\"").ok(), Some(Take::All));
        assert_eq!(serde_json::from_str::<Take>("\"7 %\"").ok(), Some(Take::Percent(7.0)));
        assert_eq!(serde_json::to_string(&Take::Percent(0.5)).ok().as_deref(), Some("\"0.5 %\""));
        for wrong in ["-1", "1.5", "\"-1 %\"", "\"101 %\"", "\"nan %\"", "\"some\""] {
            assert!(serde_json::from_str::<Take>(wrong).is_err(), "{wrong}");
        }
    }
}
