//! Names of shards. The only place that takes them apart or puts them together.
//!
//! ```text
//! temporal/000003                      ShardName: the same for every format; as ledger and packs write it
//! webdataset/temporal/000003.tar       ShardPath: one file of the dataset; as the manifest writes it
//! ```

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use manyframe_core::Layout;
use manyframe_shards::ShardFormat;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The directory of shards that hold samples of several layouts.
const MIXED: &str = "mixed";

/// A shard, whatever formats it is written in: `temporal/000003`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardName {
    /// The layout of all of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Its number among the shards of that layout, from 0.
    pub number: u64,
}

/// The file of a shard in one format, below the dataset's directory: `webdataset/temporal/000003.tar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardPath {
    /// The format.
    pub format: ShardFormat,
    /// The shard.
    pub name: ShardName,
}

/// Why a text is no name or path of a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseShardNameError {
    /// The text.
    pub text: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

impl ShardName {
    /// Its file in a format.
    pub fn path(self, format: ShardFormat) -> ShardPath {
        ShardPath { format, name: self }
    }

    /// The directory of a layout's shards, below that of a format.
    pub fn directory(layout: Option<Layout>) -> &'static str {
        layout.map_or(MIXED, Layout::as_str)
    }

    fn parse(text: &str) -> Option<Self> {
        let (directory, digits) = text.split_once('/')?;
        let layout = match directory {
            MIXED => None,
            _ => Some(Layout::from_text(directory)?),
        };
        // Each name has exactly one spelling: no fewer digits, no more, and no sign.
        let is_padded = digits.len() == 6 || (digits.len() > 6 && !digits.starts_with('0'));
        let is_number = is_padded && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(Self { layout, number: digits.parse().ok()? })
    }
}

impl ShardPath {
    fn parse(text: &str) -> Option<Self> {
        let (directory, rest) = text.split_once('/')?;
        let format = ShardFormat::ALL.into_iter().find(|format| format.as_str() == directory)?;
        let name = rest.strip_suffix(format.extension())?.strip_suffix('.')?;
        Some(Self { format, name: ShardName::parse(name)? })
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:06}", Self::directory(self.layout), self.number)
    }
}

impl fmt::Display for ShardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.format.as_str(), self.name, self.format.extension())
    }
}

impl FromStr for ShardName {
    type Err = ParseShardNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "the name of a shard, such as temporal/000003";
        Self::parse(text).ok_or_else(|| ParseShardNameError { text: text.to_owned(), expected })
    }
}

impl FromStr for ShardPath {
    type Err = ParseShardNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "the path of a shard, such as webdataset/temporal/000003.tar";
        Self::parse(text).ok_or_else(|| ParseShardNameError { text: text.to_owned(), expected })
    }
}

/// Shards are listed as their texts sort.
impl Ord for ShardName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (Self::directory(self.layout), self.number).cmp(&(Self::directory(other.layout), other.number))
    }
}

impl PartialOrd for ShardName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShardPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.format.as_str(), self.name).cmp(&(other.format.as_str(), other.name))
    }
}

impl PartialOrd for ShardPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! as_text {
    ($($name:ident: $pattern:literal),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )*};
}

as_text!(
    ShardName: "^[a-z]+/[0-9]{6,}$",
    ShardPath: "^[a-z]+/[a-z]+/[0-9]{6,}\\.[a-z]+$"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(numbers: impl Strategy<Value = u64>) -> impl Strategy<Value = ShardName> {
        let layouts: Vec<_> = Layout::ALL.into_iter().map(Some).chain([None]).collect();
        (prop::sample::select(layouts), numbers).prop_map(|(layout, number)| ShardName { layout, number })
    }

    fn any_name() -> impl Strategy<Value = ShardName> {
        names(prop_oneof![0..2_000_000_u64, any::<u64>()])
    }

    proptest! {
        #[test]
        fn names_and_paths_survive_their_text_form(name in any_name(), format in prop::sample::select(&ShardFormat::ALL[..])) {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
            let path = name.path(format);
            prop_assert_eq!(path.to_string().parse(), Ok(path));
            prop_assert_eq!(serde_json::from_str::<ShardPath>(&serde_json::to_string(&path).unwrap()).unwrap(), path);
        }

        #[test]
        fn names_with_six_digits_sort_as_their_texts(a in names(0..1_000_000_u64), b in names(0..1_000_000_u64)) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn whatever_is_read_is_written_alike(text in "[a-z]{0,9}/?[+0-9]{0,8}") {
            if let Ok(name) = text.parse::<ShardName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn names_are_as_ledgers_and_manifests_write_them() {
        let name = ShardName { layout: Some(Layout::Temporal), number: 3 };
        assert_eq!(name.to_string(), "temporal/000003");
        assert_eq!(name.path(ShardFormat::Webdataset).to_string(), "webdataset/temporal/000003.tar");
        assert_eq!(
            ShardName { layout: None, number: 0 }.path(ShardFormat::Parquet).to_string(),
            "parquet/mixed/000000.parquet"
        );
    }

    #[test]
    fn other_texts_are_no_names() {
        for text in ["", "temporal", "temporal/3", "temporal/0000003", "temporal/+00003", "other/000003", "/000003"] {
            assert!(text.parse::<ShardName>().is_err(), "{text:?}");
        }
        for text in [
            "temporal/000003.tar",
            "webdataset/temporal/000003",
            "webdataset/temporal/000003.parquet",
            "webdataset/temporal/000003tar",
            "webdataset/../000003.tar",
            "/webdataset/temporal/000003.tar",
        ] {
            let error = text.parse::<ShardPath>().unwrap_err();
            assert_eq!(error.text, text);
        }
    }
}
