//! `records.parquet`: every record seen, in the order of the sources, and what was decided about it.

use std::path::{Path, PathBuf};

use manyframe_base::AtomicFile;
use manyframe_columnar::{Cursor, RowColumn, RowWriter, read_rows};
use manyframe_core::{Cost, Layout, Origin, RecordId, RejectCode, Rejection, SourceIndex};

use crate::PlanError;

/// What was decided about a record before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It cannot be delivered.
    Rejected(Rejection),
    /// It says the same as another record, which is kept.
    Duplicate {
        /// The record that is kept.
        of: RecordId,
        /// What they share, in words.
        detail: String,
    },
    /// It could have been drawn, but was not.
    NotDrawn,
    /// It is delivered this many times.
    Drawn(u32),
}

/// A record and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRecord {
    /// Identity; unique in the plan.
    pub id: RecordId,
    /// Its source.
    pub source: SourceIndex,
    /// Part of the source; may be empty.
    pub subset: String,
    /// The id upstream gave it; may be empty.
    pub upstream_id: String,
    /// Where it was read.
    pub origin: Origin,
    /// What it costs, and its layout, if it could be measured.
    pub measured: Option<(Cost, Layout)>,
    /// Turns of its conversation, if it could be measured.
    pub num_turns: Option<u32>,
    /// What was given up so that it fits, in words; empty if nothing was.
    pub shortened: String,
    /// What was decided.
    pub decision: Decision,
}

const DRAWN: &str = "drawn";
const NOT_DRAWN: &str = "not_drawn";
const DUPLICATE: &str = "duplicate";

fn columns() -> Vec<RowColumn<PlannedRecord>> {
    let mut columns = vec![
        RowColumn::id("id", "", |record: &PlannedRecord| record.id).of_distinct_values(),
        RowColumn::number("source", "", |record: &PlannedRecord| Some(u64::from(record.source.0))),
        RowColumn::borrowed_text("subset", "", |record: &PlannedRecord| Some(record.subset.as_str())),
        RowColumn::borrowed_text("upstream_id", "", |record: &PlannedRecord| Some(record.upstream_id.as_str()))
            .of_distinct_values(),
    ];
    columns.extend(RowColumn::origin(|record: &PlannedRecord| &record.origin));
    columns.extend(RowColumn::measured(|record: &PlannedRecord| record.measured));
    columns.extend([
        RowColumn::number("num_turns", "", |record: &PlannedRecord| record.num_turns.map(u64::from)),
        RowColumn::borrowed_text("shortened", "", |record: &PlannedRecord| {
            (!record.shortened.is_empty()).then_some(record.shortened.as_str())
        }),
        RowColumn::borrowed_text("decision", "", |record: &PlannedRecord| {
            let text = match &record.decision {
                Decision::Rejected(rejection) => rejection.code.as_str(),
                Decision::Duplicate { .. } => DUPLICATE,
                Decision::NotDrawn => NOT_DRAWN,
                Decision::Drawn(_) => DRAWN,
            };
            Some(text)
        }),
        RowColumn::borrowed_text("detail", "", |record: &PlannedRecord| match &record.decision {
            Decision::Rejected(Rejection { detail, .. }) | Decision::Duplicate { detail, .. } => Some(detail.as_str()),
            Decision::NotDrawn | Decision::Drawn(_) => None,
        }),
        RowColumn::number("times", "", |record: &PlannedRecord| {
            if let Decision::Drawn(times) = record.decision { Some(u64::from(times)) } else { None }
        }),
        RowColumn::text("kept", "", |record: &PlannedRecord| {
            if let Decision::Duplicate { of, .. } = &record.decision { Some(of.to_string()) } else { None }
        }),
    ]);
    columns
}

/// Writes records in batches.
pub(crate) struct RecordWriter {
    rows: RowWriter<AtomicFile, PlannedRecord>,
    path: PathBuf,
}

impl RecordWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, PlanError> {
        let rows = RowWriter::new(AtomicFile::create(path)?, columns());
        let rows = rows.map_err(|error| PlanError::Index { path: path.to_owned(), error })?;
        Ok(Self { rows, path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, record: PlannedRecord) -> Result<(), PlanError> {
        self.rows.write(record).map_err(|error| PlanError::Index { path: self.path.clone(), error })
    }

    pub(crate) fn finish(self) -> Result<(), PlanError> {
        Ok(self.rows.finish().map_err(|error| PlanError::Index { path: self.path, error })?.publish()?)
    }
}

/// Reads every record of a plan, in order.
pub fn read_records(path: &Path) -> Result<impl Iterator<Item = Result<PlannedRecord, PlanError>>, PlanError> {
    let rows = read_rows(path, &columns(), record_at);
    let rows = rows.map_err(|error| PlanError::Index { path: path.to_owned(), error })?;
    let path = path.to_owned();
    Ok(rows.map(move |record| record.map_err(|error| PlanError::Index { path: path.clone(), error })))
}

fn record_at(cursor: &mut Cursor) -> Option<PlannedRecord> {
    let id = cursor.id()?;
    let source = SourceIndex(u32::try_from(cursor.number()?).ok()?);
    let (subset, upstream_id, origin) = (cursor.text()?, cursor.text()?, cursor.origin()?);
    let measured = cursor.measured();
    let num_turns = cursor.number().and_then(|number| u32::try_from(number).ok());
    let shortened = cursor.text().unwrap_or_default();
    let (decision, detail, times, kept) = (cursor.text()?, cursor.text(), cursor.number(), cursor.text());
    let detail = detail.unwrap_or_default();
    let decision = match decision.as_str() {
        DUPLICATE => Decision::Duplicate { of: kept?.parse().ok()?, detail },
        NOT_DRAWN => Decision::NotDrawn,
        DRAWN => Decision::Drawn(u32::try_from(times?).ok()?),
        code => Decision::Rejected(Rejection { code: RejectCode::from_text(code)?, detail }),
    };
    Some(PlannedRecord { id, source, subset, upstream_id, origin, measured, num_turns, shortened, decision })
}
