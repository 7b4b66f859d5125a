//! `ledger.parquet`: the account of all records. Its columns are described in `schemas/ledger.schema.json`.

use std::path::{Path, PathBuf};

use manyframe_base::AtomicFile;
use manyframe_columnar::{Cursor, RowColumn, RowWriter, read_rows, schema_of_rows};
use manyframe_core::{Cost, Layout, Origin, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is in a shard.
    Delivered,
    /// It cannot be delivered, or a filter left it out.
    Rejected,
    /// Another record that says the same is kept.
    Duplicate,
    /// It could have been drawn, but was not.
    NotDrawn,
}

impl Status {
    /// The text in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::NotDrawn => "not_drawn",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Rejected, Self::Duplicate, Self::NotDrawn].into_iter().find(|s| s.as_str() == text)
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
    /// The id upstream gave it; may be empty.
    pub upstream_id: String,
    /// What became of it.
    pub status: Status,
    /// Why it was rejected: a stable code.
    pub reason: Option<String>,
    /// Why it was rejected, or what it shares with the record that is kept, in words.
    pub detail: Option<String>,
    /// The record that is kept in its place.
    pub duplicate_of: Option<RecordId>,
    /// What it gave up so that it fits, in words.
    pub shortened: Option<String>,
    /// How many times it was delivered before: 0 is the first.
    pub repetition: u32,
    /// The shard that holds it, without format and extension, such as `temporal/000003`.
    pub shard: Option<String>,
    /// Its number among the samples of that shard, from 0.
    pub shard_row: Option<u64>,
    /// Its place in the order of delivery, from 0, in which samples are packed; what could not be delivered has a place, too.
    pub place: Option<u64>,
    /// Turns of its conversation, as far as it was measured.
    pub num_turns: Option<u32>,
    /// Cost and layout of its sample, as far as it was measured.
    pub measured: Option<(Cost, Layout)>,
    /// Where it was read.
    pub origin: Origin,
}

/// The columns of the ledger; `schemas/ledger.schema.json` describes them.
fn columns() -> Vec<RowColumn<LedgerRow>> {
    let mut columns = vec![
        RowColumn::text("id", "identity, the key of its sample in shards", |row: &LedgerRow| Some(row.id.to_string())),
        RowColumn::text("source", "name of its source", |row: &LedgerRow| Some(row.source.clone())),
        RowColumn::text("subset", "part of the source", |row: &LedgerRow| Some(row.subset.clone())),
        RowColumn::text("upstream_id", "the id upstream gave it", |row: &LedgerRow| Some(row.upstream_id.clone())),
        RowColumn::text("status", "delivered, rejected, duplicate or not_drawn", |row: &LedgerRow| {
            Some(row.status.as_str().to_owned())
        }),
        RowColumn::text("reason", "why it was rejected: a stable code", |row: &LedgerRow| row.reason.clone()),
        RowColumn::text("detail", "why it was rejected, or what it shares, in words", |row: &LedgerRow| {
            row.detail.clone()
        }),
        RowColumn::text("duplicate_of", "the record that is kept in its place", |row: &LedgerRow| {
            row.duplicate_of.map(|id| id.to_string())
        }),
        RowColumn::text("shortened", "what it gave up so that it fits", |row: &LedgerRow| row.shortened.clone()),
        RowColumn::number("repetition", "how many times it was delivered before", |row: &LedgerRow| {
            Some(u64::from(row.repetition))
        }),
        RowColumn::text("shard", "the shard that holds it, without format and extension", |row: &LedgerRow| {
            row.shard.clone()
        }),
        RowColumn::number("shard_row", "its number among the samples of the shard", |row: &LedgerRow| row.shard_row),
        RowColumn::number("place", "its place in the order of delivery", |row: &LedgerRow| row.place),
        RowColumn::number("num_turns", "turns of its conversation", |row: &LedgerRow| row.num_turns.map(u64::from)),
        RowColumn::number("num_tokens", "tokens of its sample", |row: &LedgerRow| {
            row.measured.map(|(cost, _)| cost.num_tokens())
        }),
    ];
    columns.extend(RowColumn::measured(|row: &LedgerRow| row.measured));
    columns.extend(RowColumn::origin(|row: &LedgerRow| &row.origin));
    columns
}

/// The JSON Schema of a row of the ledger.
pub fn ledger_schema() -> serde_json::Value {
    schema_of_rows("LedgerRow", "A row of ledger.parquet: a record seen, or a further delivery of it.", &columns())
}

/// Writes the ledger in batches.
pub(crate) struct LedgerWriter {
    rows: RowWriter<AtomicFile, LedgerRow>,
    path: PathBuf,
}

impl LedgerWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, EngineError> {
        let rows = RowWriter::new(AtomicFile::create(path)?, columns()).map_err(EngineError::table(path))?;
        Ok(Self { rows, path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, row: LedgerRow) -> Result<(), EngineError> {
        self.rows.write(row).map_err(EngineError::table(&self.path))
    }

    pub(crate) fn finish(self) -> Result<(), EngineError> {
        Ok(self.rows.finish().map_err(EngineError::table(&self.path))?.publish()?)
    }
}

/// Reads the ledger of a dataset, in the order of the sources.
pub fn read_ledger(path: &Path) -> Result<impl Iterator<Item = Result<LedgerRow, EngineError>> + use<>, EngineError> {
    let rows = read_rows(path, &columns(), row_at).map_err(EngineError::table(path))?;
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(EngineError::table(&path))))
}

fn row_at(cursor: &mut Cursor) -> Option<LedgerRow> {
    let id = cursor.text()?.parse().ok()?;
    let (source, subset, upstream_id) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let status = Status::from_text(&cursor.text()?)?;
    let (reason, detail, duplicate_of, shortened) = (cursor.text(), cursor.text(), cursor.text(), cursor.text());
    let repetition = u32::try_from(cursor.number()?).ok()?;
    let (shard, shard_row, place) = (cursor.text(), cursor.number(), cursor.number());
    let num_turns = cursor.number().and_then(|number| u32::try_from(number).ok());
    let _num_tokens = cursor.number();
    Some(LedgerRow {
        id,
        source,
        subset,
        upstream_id,
        status,
        reason,
        detail,
        duplicate_of: duplicate_of.and_then(|id| id.parse().ok()),
        shortened,
        repetition,
        shard,
        shard_row,
        place,
        num_turns,
        measured: cursor.measured(),
        origin: cursor.origin()?,
    })
}
