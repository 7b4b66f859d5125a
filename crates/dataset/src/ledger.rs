//! `ledger.parquet`: the account of all records. Its columns are described in `schemas/ledger.schema.json`.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use manyframe_base::InputFile;
use manyframe_columnar::{columns_of, schema_of_row, table};
use manyframe_core::{Cost, Layout, Origin, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{MeasuredColumns, OriginColumns};
use crate::error::DatasetError;
use crate::shard_name::ShardName;
use crate::table_file::{TableDigest, TableFileWriter, read_rows, read_table_file};

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is in a shard.
    Delivered,
    /// It cannot be delivered, or a filter removed it.
    Rejected,
    /// Another record with the same content is kept.
    Duplicate,
    /// It could have been drawn, but was not.
    NotDrawn,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Rejected, Self::Duplicate, Self::NotDrawn];

    /// The text in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::NotDrawn => "not_drawn",
        }
    }

    /// The status with a text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A record in the ledger; one that is delivered several times has a row for each.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    /// Identity; the key of its sample in shards.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// Part of the source; may be empty.
    pub subset: String,
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// What happened to it.
    pub status: Status,
    /// Why it was rejected: a stable code.
    pub reason: Option<String>,
    /// Why it was rejected, or what it shares with the record that is kept, as text for people.
    pub detail: Option<String>,
    /// The record that is kept instead.
    pub duplicate_of: Option<RecordId>,
    /// How it was shortened to fit the length limit, as text for people.
    pub shortened: Option<String>,
    /// How many frames of its videos are missing or damaged, as text for people.
    pub damage: Option<String>,
    /// What is delivered of its videos where they are to be delivered as files, as text for people.
    pub videos: Option<String>,
    /// How many times it was delivered before: 0 is the first.
    pub repetition: u32,
    /// The shard that holds it.
    pub shard: Option<ShardName>,
    /// Its number among the samples of that shard, from 0.
    pub shard_row: Option<u64>,
    /// Its bytes in the tar of that shard, of the first format whose shards are tars: all of its members. `None` if there are no
    /// tars, and in datasets of earlier versions.
    pub shard_bytes: Option<Range<u64>>,
    /// Its position in the order of delivery, from 0, in which samples are packed. A sample that could not be delivered has a
    /// position, too.
    pub position: Option<u64>,
    /// Turns of its conversation; `None` if it was rejected before it was measured.
    pub num_turns: Option<u32>,
    /// Cost and layout of its sample; `None` if it was rejected before it was measured.
    pub measured: Option<(Cost, Layout)>,
    /// The visual tokens of each visual of its sample; `None` if it was not delivered, and in datasets of earlier versions.
    pub tokens_per_visual: Option<Vec<u64>>,
    /// Where it was read from.
    pub origin: Origin,
}

/// Where a delivered sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplePlace {
    /// The sample.
    pub id: RecordId,
    /// Its shard.
    pub shard: ShardName,
    /// Its number among the samples of the shard.
    pub shard_row: u64,
    /// Its first byte in the tar of the shard, as far as it is known.
    pub shard_offset: Option<u64>,
}

table! {
    /// The columns of the ledger.
    pub struct LedgerTable<'r>(record: &'r LedgerRow) -> LedgerRow {
        /// identity, the key of its sample in shards
        id: String = &record.id.to_string(),
        /// name of its source
        source: String = &record.source,
        /// part of the source
        subset: String = &record.subset,
        /// its id in the upstream dataset
        upstream_id: String = &record.upstream_id,
        /// delivered, rejected, duplicate or not_drawn
        status: String = record.status.as_str(),
        /// why it was rejected: a stable code
        reason: Option<String> = record.reason.as_deref(),
        /// why it was rejected, or what it shares with the record that is kept, as text
        detail: Option<String> = record.detail.as_deref(),
        /// the record that is kept instead
        duplicate_of: Option<String> = record.duplicate_of.map(|id| id.to_string()).as_deref(),
        /// how it was shortened to fit
        shortened: Option<String> = record.shortened.as_deref(),
        /// how many frames of its videos are missing or damaged
        damage: Option<String> = record.damage.as_deref(),
        /// what is delivered of its videos, where they are to be delivered as files
        videos: Option<String> = record.videos.as_deref(),
        /// how many times it was delivered before
        repetition: u32 = record.repetition,
        /// the shard that holds it, without format and extension
        shard: Option<String> = record.shard.map(|shard| shard.to_string()).as_deref(),
        /// its number among the samples of the shard
        shard_row: Option<u64> = record.shard_row,
        /// first byte of its members in the tar of the shard, of the first format whose shards are tars
        shard_offset: Option<u64> = record.shard_bytes.as_ref().map(|bytes| bytes.start),
        /// bytes of its members there, headers and padding included
        shard_num_bytes: Option<u64> = record.shard_bytes.as_ref().map(|bytes| bytes.end - bytes.start),
        /// its position in the order of delivery
        position: Option<u64> = record.position,
        /// turns of its conversation
        num_turns: Option<u32> = record.num_turns,
        /// tokens of its sample
        num_tokens: Option<u64> = record.num_tokens(),
        measured: MeasuredColumns = record.measured,
        /// tokens of images, of each visual
        tokens_per_visual: Option<Vec<u64>> = record.tokens_per_visual.as_deref(),
        origin: OriginColumns = &record.origin,
    }
    read {
        let row = LedgerRow {
            id: parsed(&id)?,
            source,
            subset,
            upstream_id,
            status: status_from_text(&status)?,
            reason,
            detail,
            duplicate_of: duplicate_of.as_deref().map(parsed).transpose()?,
            shortened,
            damage,
            videos,
            repetition,
            shard: shard.as_deref().map(parsed).transpose()?,
            shard_row,
            shard_bytes: byte_range(shard_offset, shard_num_bytes)?,
            position,
            num_turns,
            measured,
            tokens_per_visual,
            origin,
        };
        if num_tokens != row.num_tokens() {
            return Err(format!("{num_tokens:?} tokens, expected {:?} by its cost", row.num_tokens()));
        }
        Ok(row)
    }
}

table! {
    /// The columns of the ledger that say what happened to a record, and where it was read.
    struct StatusTable<'r>(record: &'r (Status, Origin)) -> (Status, Origin) {
        status: String = record.0.as_str(),
        origin: OriginColumns = &record.1,
    }
    read { Ok((status_from_text(&status)?, origin)) }
}

table! {
    /// The columns of the ledger that say which samples show damaged videos.
    struct DamageTable<'r>(record: &'r (String, Option<String>)) -> (String, Option<String>) {
        id: String = &record.0,
        damage: Option<String> = record.1.as_deref(),
    }
    read { Ok((id, damage)) }
}

impl LedgerRow {
    /// Where its sample is; `None` if it was not delivered.
    pub fn place(&self) -> Option<SamplePlace> {
        let shard_offset = self.shard_bytes.as_ref().map(|bytes| bytes.start);
        Some(SamplePlace { id: self.id, shard: self.shard?, shard_row: self.shard_row?, shard_offset })
    }

    fn num_tokens(&self) -> Option<u64> {
        self.measured.map(|(cost, _)| cost.num_tokens())
    }
}

fn status_from_text(text: &str) -> Result<Status, String> {
    Status::from_text(text).ok_or_else(|| format!("unknown status {text:?}"))
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn byte_range(offset: Option<u64>, num_bytes: Option<u64>) -> Result<Option<Range<u64>>, String> {
    match (offset, num_bytes) {
        (None, None) => Ok(None),
        (Some(offset), Some(num_bytes)) => Ok(Some(offset..offset.saturating_add(num_bytes))),
        parts => Err(format!("{parts:?} are the bytes of its sample, of which a part is missing")),
    }
}

/// The JSON Schema of a row of the ledger.
pub fn ledger_schema() -> serde_json::Value {
    let description = "A row of ledger.parquet: a record seen, or a further delivery of it.";
    schema_of_row("LedgerRow", description, &columns_of::<LedgerTable>())
}

/// The ledger's file name.
pub const LEDGER_FILE: &str = "ledger.parquet";

/// Writes a ledger.
pub type LedgerWriter = TableFileWriter<LedgerTable>;
/// The digest of the ledger of some rows.
pub type LedgerDigest = TableDigest<LedgerTable>;

/// Reads a ledger, in the order of the sources. Rows are read on demand.
///
/// # Errors
///
/// If the file cannot be read, or a row is not what a ledger holds; there are no rows after an error.
pub fn read_ledger(path: &Path) -> Result<impl Iterator<Item = Result<LedgerRow, DatasetError>> + use<>, DatasetError> {
    read_table_file::<LedgerTable>(path)
}

/// Reads an open ledger.
pub(crate) fn read_ledger_of(
    file: InputFile,
) -> Result<impl Iterator<Item = Result<LedgerRow, DatasetError>> + use<>, DatasetError> {
    read_rows::<LedgerTable>(file)
}

/// Reads what happened to each record, and where it was read: a few columns of a ledger, many times as fast as whole
/// rows.
///
/// # Errors
///
/// As [`read_ledger`].
pub(crate) fn read_origins(
    file: InputFile,
) -> Result<impl Iterator<Item = Result<(Status, Origin), DatasetError>> + use<>, DatasetError> {
    read_rows::<StatusTable>(file)
}

/// Reads which samples show videos with frames missing or damaged, and how many: two columns of a ledger.
///
/// # Errors
///
/// As [`read_ledger`].
pub(crate) fn read_damaged(file: InputFile) -> Result<Vec<(RecordId, String)>, DatasetError> {
    let mut damaged = Vec::new();
    let path = file.path().to_owned();
    for row in read_rows::<DamageTable>(file)? {
        let (id, damage) = row?;
        if let Some(damage) = damage {
            damaged.push((parsed(&id).map_err(|detail| DatasetError::damaged(&path, detail))?, damage));
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;
    use manyframe_core::Position;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let delivered = LedgerRow {
            id: RecordId([1; 16]),
            source: "source".into(),
            subset: "subset".into(),
            upstream_id: "upstream".into(),
            status: Status::Delivered,
            reason: None,
            detail: None,
            duplicate_of: None,
            shortened: Some("2 turns".into()),
            damage: Some("1 of 9 frames are missing".into()),
            videos: Some("a.mp4, delivered as its file of 9 frames".into()),
            repetition: 1,
            shard: Some("image/000001".parse().unwrap()),
            shard_row: Some(2),
            shard_bytes: Some(512..2048),
            position: Some(3),
            num_turns: Some(4),
            measured: Some((
                Cost { text_tokens: 10, delimiter_tokens: 5, visual_tokens: 20, num_images: 7, num_frames: 6 },
                Layout::Image,
            )),
            tokens_per_visual: Some(vec![12, 8]),
            origin: Origin { file: "a.json".into(), position: Position::Bytes { line: 8, offset: 9, num_bytes: 11 } },
        };
        let rejected = LedgerRow {
            id: RecordId([2; 16]),
            status: Status::Duplicate,
            reason: Some("reason".into()),
            detail: Some("detail".into()),
            duplicate_of: Some(RecordId([3; 16])),
            shortened: None,
            damage: None,
            videos: None,
            repetition: 0,
            shard: None,
            shard_row: None,
            shard_bytes: None,
            position: None,
            num_turns: None,
            measured: None,
            tokens_per_visual: None,
            origin: Origin { file: "b.json".into(), position: Position::Row(12) },
            ..delivered.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<LedgerTable, _>(folder.path(), &[delivered, rejected]).unwrap();
    }
}
