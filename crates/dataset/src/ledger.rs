//! `ledger.parquet`: the account of all records. Its columns are described in `schemas/ledger.schema.json`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use manyframe_base::AtomicFile;
use manyframe_columnar::{Column, Cursor, RowColumn, RowWriter, TableReader, read_rows, schema_of_rows};
use manyframe_core::{Cost, Layout, Origin, Position, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::shard_name::ShardName;

/// What became of a record.
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
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// What became of it.
    pub status: Status,
    /// Why it was rejected: a stable code.
    pub reason: Option<String>,
    /// Why it was rejected, or what it shares with the record that is kept, as text for people.
    pub detail: Option<String>,
    /// The record that is kept in its place.
    pub duplicate_of: Option<RecordId>,
    /// How it was shortened to fit the length limit, as text for people.
    pub shortened: Option<String>,
    /// How many times it was delivered before: 0 is the first.
    pub repetition: u32,
    /// The shard that holds it.
    pub shard: Option<ShardName>,
    /// Its number among the samples of that shard, from 0.
    pub shard_row: Option<u64>,
    /// Its position in the order of delivery, from 0, in which samples are packed. A sample that could not be delivered has a
    /// position, too.
    pub place: Option<u64>,
    /// Turns of its conversation; `None` if it was rejected before it was measured.
    pub num_turns: Option<u32>,
    /// Cost and layout of its sample; `None` if it was rejected before it was measured.
    pub measured: Option<(Cost, Layout)>,
    /// Where it was read from.
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
            row.shard.map(|shard| shard.to_string())
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

/// The ledger's file name.
pub const LEDGER_FILE: &str = "ledger.parquet";

/// Writes a ledger row by row. It appears under its name when it is finished.
pub struct LedgerWriter {
    rows: RowWriter<AtomicFile, LedgerRow>,
    path: PathBuf,
}

impl LedgerWriter {
    /// Starts a ledger that will be `path`.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let rows = RowWriter::new(AtomicFile::create(path)?, columns()).map_err(DatasetError::table(path))?;
        Ok(Self { rows, path: path.to_owned() })
    }

    /// Appends a row.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&mut self, row: LedgerRow) -> Result<(), DatasetError> {
        self.rows.write(row).map_err(DatasetError::table(&self.path))
    }

    /// Makes the ledger visible under its name.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish(self) -> Result<(), DatasetError> {
        Ok(self.rows.finish().map_err(DatasetError::table(&self.path))?.publish()?)
    }
}

/// Reads a ledger, in the order of the sources. Rows are read as they are asked for.
///
/// # Errors
///
/// If the file cannot be read, or a row is not what a ledger holds; there are no rows after an error.
pub fn read_ledger(path: &Path) -> Result<impl Iterator<Item = Result<LedgerRow, DatasetError>> + use<>, DatasetError> {
    let rows = read_rows(path, &columns(), row_at).map_err(DatasetError::table(path))?;
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(DatasetError::table(&path))))
}

/// Reads what became of each record, and where it was read: a few columns of a ledger, many times as fast as whole rows.
///
/// # Errors
///
/// As [`read_ledger`].
pub fn read_origins(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(Status, Origin), DatasetError>> + use<>, DatasetError> {
    let names = ["status", "file", "line", "offset", "num_bytes", "row"];
    let table = TableReader::open(path).map_err(DatasetError::table(path))?;
    let batches = table.batches(&names).map_err(DatasetError::table(path))?;
    let path = path.to_owned();
    Ok(batches.flat_map(move |batch| {
        let damaged = || DatasetError::damaged(&path, "a row has no status or no origin");
        let rows = match batch.map_err(DatasetError::table(&path)) {
            Ok(batch) => origins_of(&batch).ok_or_else(damaged),
            Err(error) => Err(error),
        };
        let (rows, error) = rows.map_or_else(|error| (Vec::new(), Some(error)), |rows| (rows, None));
        rows.into_iter().map(Ok).chain(error.map(Err))
    }))
}

fn origins_of(batch: &[Column]) -> Option<Vec<(Status, Origin)>> {
    let [
        Column::Text(statuses),
        Column::Text(files),
        Column::U64(lines),
        Column::U64(offsets),
        Column::U64(sizes),
        Column::U64(rows),
    ] = batch
    else {
        return None;
    };
    // Neighbouring records come from one file.
    let mut last: Arc<str> = Arc::from("");
    let mut origins = Vec::with_capacity(statuses.len());
    let positions = lines.iter().zip(offsets).zip(sizes).zip(rows);
    for ((status, file), (((line, offset), num_bytes), row)) in statuses.iter().zip(files).zip(positions) {
        let file = file.as_deref()?;
        if *last != *file {
            last = file.into();
        }
        let position = match (*line, *offset, *num_bytes, *row) {
            (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { line, offset, num_bytes },
            (_, _, _, Some(row)) => Position::Row(row),
            _ => Position::File,
        };
        origins.push((Status::from_text(status.as_deref()?)?, Origin { file: Arc::clone(&last), position }));
    }
    Some(origins)
}

/// A value that may be absent, but must be readable if it is there.
fn parsed<T: FromStr>(text: Option<String>) -> Option<Option<T>> {
    text.map(|text| text.parse()).transpose().ok()
}

fn row_at(cursor: &mut Cursor) -> Option<LedgerRow> {
    let id = cursor.text()?.parse().ok()?;
    let (source, subset, upstream_id) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let status = Status::from_text(&cursor.text()?)?;
    let (reason, detail) = (cursor.text(), cursor.text());
    let (duplicate_of, shortened) = (parsed(cursor.text())?, cursor.text());
    let repetition = u32::try_from(cursor.number()?).ok()?;
    let (shard, shard_row, place) = (parsed(cursor.text())?, cursor.number(), cursor.number());
    let num_turns = cursor.number().map(u32::try_from).transpose().ok()?;
    let _num_tokens = cursor.number();
    Some(LedgerRow {
        id,
        source,
        subset,
        upstream_id,
        status,
        reason,
        detail,
        duplicate_of,
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
