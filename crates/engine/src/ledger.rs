//! `ledger.parquet`: the account of all records. Its columns are described in `schemas/ledger.schema.json`.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use manyframe_columnar::{Column, ColumnKind, ColumnSpec, ColumnarError, TableReader, TableWriter};
use manyframe_core::{Cost, Layout, Origin, Position, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EngineError;

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

/// A record in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Why it was rejected, in words.
    pub detail: Option<String>,
    /// The record that is kept in its place.
    pub duplicate_of: Option<RecordId>,
    /// The shard that holds it, without format and extension, such as `temporal/000003`.
    pub shard: Option<String>,
    /// Layout of its sample, as far as it was measured.
    pub layout: Option<Layout>,
    /// Its cost, as far as it was measured.
    pub cost: Option<Cost>,
    /// The annotation file it was read from.
    pub file: String,
    /// Line of its first byte, from 1; JSON only.
    pub line: Option<u64>,
    /// Its first byte in the file; JSON only.
    pub offset: Option<u64>,
    /// Its number of bytes; JSON only.
    pub num_bytes: Option<u64>,
    /// Its row, from 0; Parquet only.
    pub row: Option<u64>,
}

impl LedgerRow {
    /// Where the record was read.
    pub fn origin(&self) -> Origin {
        let position = match (self.line, self.offset, self.num_bytes, self.row) {
            (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { offset, num_bytes, line },
            (_, _, _, Some(row)) => Position::Row(row),
            _ => Position::File,
        };
        Origin { file: self.file.as_str().into(), position }
    }
}

const COLUMNS: [(&str, ColumnKind, &str); 20] = [
    ("id", ColumnKind::Text, "identity, the key of its sample in shards"),
    ("source", ColumnKind::Text, "name of its source"),
    ("subset", ColumnKind::Text, "part of the source"),
    ("upstream_id", ColumnKind::Text, "the id upstream gave it"),
    ("status", ColumnKind::Text, "delivered, rejected, duplicate or not_drawn"),
    ("reason", ColumnKind::Text, "why it was rejected: a stable code"),
    ("detail", ColumnKind::Text, "why it was rejected, in words"),
    ("duplicate_of", ColumnKind::Text, "the record that is kept in its place"),
    ("shard", ColumnKind::Text, "the shard that holds it, without format and extension"),
    ("layout", ColumnKind::Text, "temporal, spatial, image or text"),
    ("num_tokens", ColumnKind::U64, "tokens of its sample"),
    ("text_tokens", ColumnKind::U64, "those that are text"),
    ("visual_tokens", ColumnKind::U64, "those that stand for images"),
    ("num_images", ColumnKind::U64, "images of its sample; frames and sub-images count"),
    ("num_frames", ColumnKind::U64, "those that are frames"),
    ("file", ColumnKind::Text, "the annotation file"),
    ("line", ColumnKind::U64, "line of its first byte, from 1"),
    ("offset", ColumnKind::U64, "its first byte"),
    ("num_bytes", ColumnKind::U64, "its number of bytes"),
    ("row", ColumnKind::U64, "its row, from 0"),
];

const BATCH: usize = 4096;

/// Writes the ledger in batches.
pub(crate) struct LedgerWriter {
    table: TableWriter<BufWriter<File>>,
    path: PathBuf,
    waiting: Vec<LedgerRow>,
}

impl LedgerWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, EngineError> {
        let file = File::create(path).map_err(EngineError::write(path))?;
        let column = |(name, kind, doc): (&str, ColumnKind, &str)| ColumnSpec {
            name: name.to_owned(),
            kind,
            doc: doc.to_owned(),
        };
        let table = TableWriter::new(BufWriter::new(file), &COLUMNS.map(column), &[])
            .map_err(|error| EngineError::Ledger { path: path.to_owned(), error })?;
        Ok(Self { table, path: path.to_owned(), waiting: Vec::new() })
    }

    pub(crate) fn write(&mut self, row: LedgerRow) -> Result<(), EngineError> {
        self.waiting.push(row);
        if self.waiting.len() < BATCH { Ok(()) } else { self.flush() }
    }

    pub(crate) fn finish(mut self) -> Result<(), EngineError> {
        self.flush()?;
        let sink = self.table.finish().map_err(|error| EngineError::Ledger { path: self.path.clone(), error })?;
        let write_error = EngineError::write(&self.path);
        let file = match sink.into_inner() {
            Ok(file) => file,
            Err(error) => return Err(write_error(error.into_error())),
        };
        file.sync_all().map_err(write_error)
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let columns = columns_from_rows(&rows);
        self.table.write(columns).map_err(|error| EngineError::Ledger { path: self.path.clone(), error })
    }
}

fn columns_from_rows(rows: &[LedgerRow]) -> Vec<Column> {
    let text = |get: &dyn Fn(&LedgerRow) -> Option<String>| Column::Text(rows.iter().map(get).collect());
    let number = |get: &dyn Fn(&LedgerRow) -> Option<u64>| Column::U64(rows.iter().map(get).collect());
    let cost = |get: fn(Cost) -> u64| number(&move |row| row.cost.map(get));
    vec![
        text(&|row| Some(row.id.to_string())),
        text(&|row| Some(row.source.clone())),
        text(&|row| Some(row.subset.clone())),
        text(&|row| Some(row.upstream_id.clone())),
        text(&|row| Some(row.status.as_str().to_owned())),
        text(&|row| row.reason.clone()),
        text(&|row| row.detail.clone()),
        text(&|row| row.duplicate_of.map(|id| id.to_string())),
        text(&|row| row.shard.clone()),
        text(&|row| row.layout.map(|layout| layout.as_str().to_owned())),
        cost(|cost| cost.num_tokens()),
        cost(|cost| cost.text_tokens),
        cost(|cost| cost.visual_tokens),
        cost(|cost| cost.num_images),
        cost(|cost| cost.num_frames),
        text(&|row| Some(row.file.clone())),
        number(&|row| row.line),
        number(&|row| row.offset),
        number(&|row| row.num_bytes),
        number(&|row| row.row),
    ]
}

/// Reads the ledger of a dataset, in the order of the sources.
pub fn read_ledger(path: &Path) -> Result<impl Iterator<Item = Result<LedgerRow, EngineError>> + use<>, EngineError> {
    let ledger_error = |error: ColumnarError| EngineError::Ledger { path: path.to_owned(), error };
    let names = COLUMNS.map(|(name, _, _)| name);
    let batches = TableReader::open(path).map_err(ledger_error)?.batches(&names).map_err(ledger_error)?;
    let path = path.to_owned();
    Ok(batches.flat_map(move |batch| match batch {
        Ok(columns) => rows_from_columns(&columns, &path),
        Err(error) => vec![Err(EngineError::Ledger { path: path.clone(), error })],
    }))
}

fn rows_from_columns(columns: &[Column], path: &Path) -> Vec<Result<LedgerRow, EngineError>> {
    let num_rows = if let Some(Column::Text(ids)) = columns.first() { ids.len() } else { 0 };
    let damaged = |at: usize| {
        let detail = format!("row {at} of the batch is not complete");
        EngineError::NotADataset { path: path.to_owned(), detail }
    };
    (0..num_rows).map(|at| row_at(columns, at).ok_or_else(|| damaged(at))).collect()
}

fn row_at(columns: &[Column], at: usize) -> Option<LedgerRow> {
    let column = |name: &str| columns.get(COLUMNS.iter().position(|(column, _, _)| *column == name)?);
    let text = |name: &str| if let Column::Text(values) = column(name)? { values.get(at)?.clone() } else { None };
    let number = |name: &str| if let Column::U64(values) = column(name)? { *values.get(at)? } else { None };
    let cost = || {
        Some(Cost {
            text_tokens: number("text_tokens")?,
            visual_tokens: number("visual_tokens")?,
            num_images: number("num_images")?,
            num_frames: number("num_frames")?,
        })
    };
    let layout = |text: String| Layout::ALL.into_iter().find(|layout| layout.as_str() == text);
    Some(LedgerRow {
        id: text("id")?.parse().ok()?,
        source: text("source")?,
        subset: text("subset")?,
        upstream_id: text("upstream_id")?,
        status: Status::from_text(&text("status")?)?,
        reason: text("reason"),
        detail: text("detail"),
        duplicate_of: text("duplicate_of").and_then(|id| id.parse().ok()),
        shard: text("shard"),
        layout: text("layout").and_then(layout),
        cost: cost(),
        file: text("file")?,
        line: number("line"),
        offset: number("offset"),
        num_bytes: number("num_bytes"),
        row: number("row"),
    })
}
