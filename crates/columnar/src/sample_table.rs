//! The table of samples that Parquet shards are: its columns and its rows.
//!
//! | column | type | |
//! |---|---|---|
//! | `id`, `source`, `subset`, `layout` | string | |
//! | `messages` | list<struct<role: string, content: string>> | |
//! | `images` | list<struct<bytes: binary, path: string>> | as Hugging Face `datasets` has images |
//! | `prompt` | string | |
//! | `label_spans` | list<struct<start: int64, end: int64>> | |
//! | `input_ids`, `labels`, `image_positions` | list<int32> | all null where the prompt was not tokenised |
//! | `num_tokens`, `num_images` | int64 | |
//! | `metadata` | string | JSON, whose content is not known here |

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use manyframe_core::SampleTokens;

/// A row of a table of samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleRow<'a> {
    /// Identity, as text.
    pub id: String,
    /// Name of the source.
    pub source: String,
    /// Part of the source.
    pub subset: String,
    /// Kind of visuals.
    pub layout: String,
    /// The conversation: role and content of each turn.
    pub messages: Vec<(String, String)>,
    /// The images in placeholder order.
    pub images: Vec<ImageCell<'a>>,
    /// The whole text, chat template included.
    pub prompt: String,
    /// Where the loss falls: (first, one past last) character of `prompt`.
    pub label_spans: Vec<(i64, i64)>,
    /// Ids and labels of the prompt. A table that has no columns for them has none.
    pub tokens: Option<Cow<'a, SampleTokens>>,
    /// Length of the sequence in tokens.
    pub num_tokens: i64,
    /// Number of images, also where `images` was not read.
    pub num_images: i64,
    /// JSON with everything else.
    pub metadata: String,
}

/// An encoded image of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCell<'a> {
    /// The encoded bytes; empty where they were not read.
    pub bytes: Cow<'a, [u8]>,
    /// File name within the sample, such as `000.jpg`.
    pub path: String,
}

/// Whether the bytes of images are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageBytes {
    /// They are.
    Read,
    /// They stay on the disk.
    Skip,
}

pub(crate) fn message_fields() -> Fields {
    vec![Field::new("role", DataType::Utf8, true), Field::new("content", DataType::Utf8, true)].into()
}

pub(crate) fn image_fields() -> Fields {
    vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into()
}

pub(crate) fn span_fields() -> Fields {
    vec![Field::new("start", DataType::Int64, true), Field::new("end", DataType::Int64, true)].into()
}

/// The columns of [`SampleRow::tokens`].
pub(crate) const TOKEN_COLUMNS: [&str; 3] = ["input_ids", "labels", "image_positions"];

pub(crate) fn integer_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Int32, true))
}

pub(crate) fn element(fields: Fields) -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(fields), true))
}

pub(crate) fn schema() -> Schema {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let count = |name| Field::new(name, DataType::Int64, true);
    let list = |name, fields| Field::new(name, DataType::List(element(fields)), true);
    let [input_ids, labels, image_positions] =
        TOKEN_COLUMNS.map(|name| Field::new(name, DataType::List(integer_element()), true));
    Schema::new(vec![
        text("id"),
        text("source"),
        text("subset"),
        text("layout"),
        list("messages", message_fields()),
        list("images", image_fields()),
        text("prompt"),
        list("label_spans", span_fields()),
        input_ids,
        labels,
        image_positions,
        count("num_tokens"),
        count("num_images"),
        text("metadata"),
    ])
}
