//! `records.parquet`: every record seen, in the order of the sources, and what was decided about it.

use std::path::Path;

use manyframe_columnar::table;
use manyframe_core::{Cost, Layout, Origin, RecordId, RejectCode, Rejection, SourceIndex};
use manyframe_dataset::columns::{MeasuredColumns, OriginColumns};
use manyframe_dataset::{TableFileWriter, read_table_file};

use crate::error::PlanError;

/// What was decided about a record before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It cannot be delivered.
    Rejected(Rejection),
    /// It is a duplicate of another record, which is kept.
    Duplicate {
        /// The record that is kept.
        of: RecordId,
        /// What they have in common.
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
    /// Its id upstream; may be empty.
    pub upstream_id: String,
    /// Where it was read.
    pub origin: Origin,
    /// What it costs, and its layout, if it could be measured.
    pub measured: Option<(Cost, Layout)>,
    /// Turns of its conversation, if it could be measured.
    pub num_turns: Option<u32>,
    /// How it was shortened; empty if it was not.
    pub shortened: String,
    /// What was decided.
    pub decision: Decision,
}

const DRAWN: &str = "drawn";
const NOT_DRAWN: &str = "not_drawn";
const DUPLICATE: &str = "duplicate";

table! {
    /// The columns of `records.parquet`.
    pub(crate) struct RecordTable<'r>(record: &'r PlannedRecord) -> PlannedRecord {
        id: [u8; 16] as Distinct = record.id.0,
        source: u32 = record.source.0,
        subset: String = &record.subset,
        upstream_id: String as Distinct = &record.upstream_id,
        origin: OriginColumns = &record.origin,
        measured: MeasuredColumns = record.measured,
        num_turns: Option<u32> = record.num_turns,
        shortened: Option<String> = (!record.shortened.is_empty()).then_some(&*record.shortened),
        decision: DecisionColumns = &record.decision,
    }
    read {
        Ok(PlannedRecord {
            id: RecordId(id),
            source: SourceIndex(source),
            subset,
            upstream_id,
            origin,
            measured,
            num_turns,
            // Absent where nothing was shortened.
            shortened: shortened.unwrap_or_default(),
            decision,
        })
    }
}

table! {
    /// What was decided: the name of the decision, or the code of a reject; and its details.
    struct DecisionColumns<'r>(decision: &'r Decision) -> Decision {
        decision: String = match decision {
            Decision::Rejected(rejection) => rejection.code.as_str(),
            Decision::Duplicate { .. } => DUPLICATE,
            Decision::NotDrawn => NOT_DRAWN,
            Decision::Drawn(_) => DRAWN,
        },
        detail: Option<String> = match decision {
            Decision::Rejected(Rejection { detail, .. }) | Decision::Duplicate { detail, .. } => Some(detail),
            Decision::NotDrawn | Decision::Drawn(_) => None,
        },
        times: Option<u32> = if let Decision::Drawn(times) = decision { Some(*times) } else { None },
        kept: Option<String> = if let Decision::Duplicate { of, .. } = decision { Some(of.to_string()) } else { None }
            .as_deref(),
    }
    read {
        match (decision.as_str(), detail, times, kept) {
            (DUPLICATE, Some(detail), None, Some(kept)) => {
                let of = kept.parse().map_err(|error| format!("{kept:?} is no record id: {error}"))?;
                Ok(Decision::Duplicate { of, detail })
            }
            (NOT_DRAWN, None, None, None) => Ok(Decision::NotDrawn),
            (DRAWN, None, Some(times), None) => Ok(Decision::Drawn(times)),
            (code, Some(detail), None, None) => {
                let code = RejectCode::from_text(code).ok_or_else(|| format!("unknown decision {code:?}"))?;
                Ok(Decision::Rejected(Rejection { code, detail }))
            }
            (decision, ..) => Err(format!("decision {decision:?} has columns that do not belong to it")),
        }
    }
}

/// Writes the records of a plan.
pub(crate) type RecordWriter = TableFileWriter<RecordTable>;

/// Reads every record of a plan, in order.
///
/// # Errors
///
/// If the file cannot be read, or this version of manyframe did not write it.
pub fn read_records(path: &Path) -> Result<impl Iterator<Item = Result<PlannedRecord, PlanError>>, PlanError> {
    Ok(read_table_file::<RecordTable>(path)?.map(|record| record.map_err(PlanError::Table)))
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;
    use manyframe_core::Position;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let record = |decision| PlannedRecord {
            id: RecordId([1; 16]),
            source: SourceIndex(1),
            subset: "subset".into(),
            upstream_id: "upstream".into(),
            origin: Origin { file: "a.json".into(), position: Position::Bytes { line: 2, offset: 3, num_bytes: 4 } },
            measured: Some((
                Cost { text_tokens: 10, delimiter_tokens: 5, visual_tokens: 20, num_images: 7, num_frames: 6 },
                Layout::Temporal,
            )),
            num_turns: Some(8),
            shortened: "2 turns".into(),
            decision,
        };
        let other = PlannedRecord {
            origin: Origin { file: "a.json".into(), position: Position::Row(9) },
            measured: None,
            num_turns: None,
            shortened: String::new(),
            ..record(Decision::NotDrawn)
        };
        let records = [
            record(Decision::Drawn(11)),
            record(Decision::Duplicate { of: RecordId([2; 16]), detail: "pixels".into() }),
            record(Decision::Rejected(Rejection::new(RejectCode::MalformedRecord, "no turns"))),
            other,
        ];
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<RecordTable, _>(folder.path(), &records).unwrap();
    }
}
