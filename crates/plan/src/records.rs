//! `records.parquet`: every record seen, in the order of the sources, and what was decided about it.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use manyframe_columnar::{Column, ColumnKind, ColumnSpec, TableReader, TableWriter};
use manyframe_core::{Cost, Layout, Origin, Position, RecordId, RejectCode};

use crate::PlanError;
use crate::index::Cursor;

/// What was decided about a record before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It cannot be delivered.
    Rejected(RejectCode, String),
    /// It says the same as another record, which is kept.
    Duplicate(RecordId),
    /// It could have been drawn, but was not.
    NotDrawn,
    /// It is part of a task.
    Drawn(u32),
}

/// A record and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRecord {
    /// Identity; unique in the plan.
    pub id: RecordId,
    /// Position of its source in the pipeline file.
    pub source: u32,
    /// Part of the source; may be empty.
    pub subset: String,
    /// The id upstream gave it; may be empty.
    pub upstream_id: String,
    /// Where it was read.
    pub origin: Origin,
    /// What it costs, and its layout, if it could be measured.
    pub measured: Option<(Cost, Layout)>,
    /// What was decided.
    pub decision: Decision,
}

const COLUMNS: [(&str, ColumnKind); 17] = [
    ("id", ColumnKind::Id),
    ("source", ColumnKind::U64),
    ("subset", ColumnKind::Text),
    ("upstream_id", ColumnKind::Text),
    ("file", ColumnKind::Text),
    ("line", ColumnKind::U64),
    ("offset", ColumnKind::U64),
    ("num_bytes", ColumnKind::U64),
    ("row", ColumnKind::U64),
    ("layout", ColumnKind::Text),
    ("text_tokens", ColumnKind::U64),
    ("visual_tokens", ColumnKind::U64),
    ("num_images", ColumnKind::U64),
    ("num_frames", ColumnKind::U64),
    ("decision", ColumnKind::Text),
    ("detail", ColumnKind::Text),
    ("task_or_kept", ColumnKind::Text),
];

/// Writes records in batches.
pub(crate) struct RecordWriter {
    table: TableWriter<BufWriter<File>>,
    path: std::path::PathBuf,
    waiting: Vec<PlannedRecord>,
}

const BATCH: usize = 4096;

impl RecordWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, PlanError> {
        let file = File::create(path).map_err(|source| PlanError::Write { path: path.to_owned(), source })?;
        let column = |(name, kind): (&str, ColumnKind)| ColumnSpec { name: name.to_owned(), kind, doc: String::new() };
        let table = TableWriter::new(BufWriter::new(file), &COLUMNS.map(column), &[])
            .map_err(|error| PlanError::Index { path: path.to_owned(), error })?;
        Ok(Self { table, path: path.to_owned(), waiting: Vec::new() })
    }

    pub(crate) fn write(&mut self, record: PlannedRecord) -> Result<(), PlanError> {
        self.waiting.push(record);
        if self.waiting.len() < BATCH { Ok(()) } else { self.flush() }
    }

    pub(crate) fn finish(mut self) -> Result<(), PlanError> {
        self.flush()?;
        self.table.finish().map_err(|error| PlanError::Index { path: self.path, error })?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PlanError> {
        let records = std::mem::take(&mut self.waiting);
        if records.is_empty() {
            return Ok(());
        }
        let columns = columns_from_records(&records);
        self.table.write(columns).map_err(|error| PlanError::Index { path: self.path.clone(), error })
    }
}

fn columns_from_records(records: &[PlannedRecord]) -> Vec<Column> {
    let text = |get: &dyn Fn(&PlannedRecord) -> Option<String>| Column::Text(records.iter().map(get).collect());
    let number = |get: &dyn Fn(&PlannedRecord) -> Option<u64>| Column::U64(records.iter().map(get).collect());
    let cost = |get: fn(Cost) -> u64| {
        Column::U64(records.iter().map(|record| record.measured.map(|(cost, _)| get(cost))).collect())
    };
    let bytes = |get: fn(u64, u64, u64) -> u64| {
        number(&move |record| match record.origin.position {
            Position::Bytes { line, offset, num_bytes } => Some(get(line, offset, num_bytes)),
            Position::Row(_) | Position::File => None,
        })
    };
    vec![
        Column::Id(records.iter().map(|record| Some(record.id)).collect()),
        number(&|record| Some(u64::from(record.source))),
        text(&|record| Some(record.subset.clone())),
        text(&|record| Some(record.upstream_id.clone())),
        text(&|record| Some(record.origin.file.to_string())),
        bytes(|line, _, _| line),
        bytes(|_, offset, _| offset),
        bytes(|_, _, num_bytes| num_bytes),
        number(&|record| if let Position::Row(row) = record.origin.position { Some(row) } else { None }),
        text(&|record| record.measured.map(|(_, layout)| layout.as_str().to_owned())),
        cost(|cost| cost.text_tokens),
        cost(|cost| cost.visual_tokens),
        cost(|cost| cost.num_images),
        cost(|cost| cost.num_frames),
        text(&|record| {
            Some(match &record.decision {
                Decision::Rejected(code, _) => code.as_str().to_owned(),
                Decision::Duplicate(_) => "duplicate".to_owned(),
                Decision::NotDrawn => "not_drawn".to_owned(),
                Decision::Drawn(_) => "drawn".to_owned(),
            })
        }),
        text(&|record| if let Decision::Rejected(_, detail) = &record.decision { Some(detail.clone()) } else { None }),
        text(&|record| match &record.decision {
            Decision::Duplicate(kept) => Some(kept.to_string()),
            Decision::Drawn(task) => Some(task.to_string()),
            Decision::Rejected(..) | Decision::NotDrawn => None,
        }),
    ]
}

/// Reads every record of a plan, in order.
pub fn read_records(path: &Path) -> Result<impl Iterator<Item = Result<PlannedRecord, PlanError>>, PlanError> {
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let names = COLUMNS.map(|(name, _)| name);
    let batches = TableReader::open(path).map_err(index_error)?.batches(&names).map_err(index_error)?;
    let path = path.to_owned();
    Ok(batches.flat_map(move |batch| match batch {
        Ok(columns) => records_from_columns(columns, &path),
        Err(error) => vec![Err(PlanError::Index { path: path.clone(), error })],
    }))
}

fn records_from_columns(columns: Vec<Column>, path: &Path) -> Vec<Result<PlannedRecord, PlanError>> {
    let mut cursor = Cursor::new(columns);
    let mut records = Vec::new();
    while let Some(id) = cursor.id() {
        let record = record_at(&mut cursor, id);
        let damaged = || PlanError::Damaged { path: path.to_owned(), detail: format!("record {id} is not complete") };
        records.push(record.ok_or_else(damaged));
        cursor.next_row();
    }
    records
}

fn record_at(cursor: &mut Cursor, id: RecordId) -> Option<PlannedRecord> {
    let source = u32::try_from(cursor.number()?).ok()?;
    let (subset, upstream_id, file) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let (line, offset, num_bytes, row) = (cursor.number(), cursor.number(), cursor.number(), cursor.number());
    let position = match (line, offset, num_bytes, row) {
        (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { line, offset, num_bytes },
        (_, _, _, Some(row)) => Position::Row(row),
        _ => Position::File,
    };
    let layout = cursor.text().and_then(|text| Layout::ALL.into_iter().find(|layout| layout.as_str() == text));
    let mut next = || cursor.number().unwrap_or(0);
    let cost = Cost { text_tokens: next(), visual_tokens: next(), num_images: next(), num_frames: next() };
    let (decision, detail, target) = (cursor.text()?, cursor.text(), cursor.text());
    let decision = match decision.as_str() {
        "duplicate" => Decision::Duplicate(target?.parse().ok()?),
        "not_drawn" => Decision::NotDrawn,
        "drawn" => Decision::Drawn(target?.parse().ok()?),
        code => Decision::Rejected(RejectCode::from_text(code)?, detail.unwrap_or_default()),
    };
    let origin = Origin { file: file.into(), position };
    let measured = layout.map(|layout| (cost, layout));
    Some(PlannedRecord { id, source, subset, upstream_id, origin, measured, decision })
}
