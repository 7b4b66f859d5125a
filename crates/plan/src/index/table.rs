//! Index files: one Parquet table per split of an annotation file, one row per record seen, written as it is measured.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::Arc;

use manyframe_columnar::{TableReader, table};
use manyframe_core::{IndexRow, Origin, RecordId, RejectCode, Rejection, SourceIndex};
use manyframe_dataset::columns::{MeasuredColumns, OriginColumns};
use manyframe_dataset::{DatasetError, read_table_file};

use crate::reduction::{LengthReduction, TurnSplit};

/// What is known about a record before anything is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Identity; that of an unreadable record is derived from its position.
    pub(crate) id: RecordId,
    /// Part of the source; may be empty.
    pub(crate) subset: String,
    /// Its id upstream; may be empty.
    pub(crate) upstream_id: String,
    /// Where it was read.
    pub(crate) origin: Origin,
    /// Its measures, or why it cannot be delivered.
    pub(crate) outcome: Result<MeasuredRecord, Rejection>,
}

/// An [`IndexEntry`] without what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedEntry {
    pub(crate) id: RecordId,
    pub(crate) subset: String,
    pub(crate) upstream_id: String,
    pub(crate) origin: Origin,
    /// How it is shortened, or why it cannot be delivered.
    pub(crate) outcome: Result<LengthReduction, Rejection>,
}

/// An [`IndexEntry`] without what no decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeasuredEntry {
    pub(crate) id: RecordId,
    pub(crate) subset: Arc<str>,
    pub(crate) origin: Origin,
    /// Its measures, or the code of the reason why it cannot be delivered.
    pub(crate) outcome: Result<MeasuredRecord, RejectCode>,
}

/// What a record costs, and how it is shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeasuredRecord {
    pub(crate) row: IndexRow,
    /// Equal for records that might be duplicates: same text, and media of the same sizes.
    pub(crate) signature: u64,
    pub(crate) reduction: LengthReduction,
}

impl IndexEntry {
    fn rejection(&self) -> Option<&Rejection> {
        self.outcome.as_ref().err()
    }
}

fn row_of<E>(outcome: &Result<MeasuredRecord, E>) -> Option<(&IndexRow, u64)> {
    outcome.as_ref().ok().map(|measured| (&measured.row, measured.signature))
}

table! {
    /// What was measured of a record, and its signature; all absent where it was rejected. The source is that of the file, and no
    /// column.
    struct RowColumns<'r>(row: Option<(&'r IndexRow, u64)>) -> Option<(IndexRow, u64)> {
        measured: MeasuredColumns = row.map(|(row, _)| (row.cost, row.layout)),
        num_turns: Option<u32> = row.map(|(row, _)| row.num_turns),
        num_chars: Option<u64> = row.map(|(row, _)| row.num_chars),
        estimated_bytes: Option<u64> = row.map(|(row, _)| row.estimated_bytes),
        signature: Option<u64> as Distinct = row.map(|(_, signature)| signature),
        media: Option<u64> = row.map(|(row, _)| row.media),
    }
    read {
        match (measured, num_turns, num_chars, estimated_bytes, signature, media) {
            (None, None, None, None, None, None) => Ok(None),
            (Some((cost, layout)), Some(num_turns), Some(num_chars), Some(estimated_bytes), Some(signature), Some(media)) => {
                // The id is a column of its own.
                let (id, source) = (RecordId([0; 16]), SourceIndex(0));
                let row = IndexRow { id, source, cost, layout, num_turns, num_chars, estimated_bytes, media };
                Ok(Some((row, signature)))
            }
            _ => Err("some of its measures are missing".to_owned()),
        }
    }
}

table! {
    /// The columns of an index file.
    pub(crate) struct IndexTable<'r>(entry: &'r IndexEntry) -> IndexEntry {
        id: [u8; 16] as Distinct = entry.id.0,
        subset: String = &entry.subset,
        upstream_id: String as Distinct = &entry.upstream_id,
        origin: OriginColumns = &entry.origin,
        reason: Option<String> = entry.rejection().map(|rejection| rejection.code.as_str()),
        detail: Option<String> = entry.rejection().map(|rejection| &*rejection.detail),
        row: RowColumns = row_of(&entry.outcome),
        reduction: ReductionColumns = entry.outcome.as_ref().map_or(LengthReduction::default(), |measured| measured.reduction),
    }
    read {
        let id = RecordId(id);
        let outcome = match (reason, detail, row) {
            (Some(reason), Some(detail), None) => Err(rejection_of(&reason, detail)?),
            (None, None, Some((row, signature))) => Ok(MeasuredRecord { row: IndexRow { id, ..row }, signature, reduction }),
            _ => return Err("it is neither rejected nor measured".to_owned()),
        };
        Ok(IndexEntry { id, subset, upstream_id, origin, outcome })
    }
}

table! {
    /// The columns of an index file that decisions depend on. The others are not read.
    pub(crate) struct MeasuredTable<'r>(entry: &'r MeasuredEntry) -> MeasuredEntry {
        id: [u8; 16] as Distinct = entry.id.0,
        subset: Arc<str> = &entry.subset,
        origin: OriginColumns = &entry.origin,
        reason: Option<Arc<str>> = entry.outcome.as_ref().err().map(|code| code.as_str()),
        row: RowColumns = row_of(&entry.outcome),
        reduction: ReductionColumns = entry.outcome.as_ref().map_or(LengthReduction::default(), |measured| measured.reduction),
    }
    read {
        let id = RecordId(id);
        let outcome = match (reason, row) {
            (Some(reason), None) => Err(code_of(&reason)?),
            (None, Some((row, signature))) => Ok(MeasuredRecord { row: IndexRow { id, ..row }, signature, reduction }),
            _ => return Err("it is neither rejected nor measured".to_owned()),
        };
        Ok(MeasuredEntry { id, subset, origin, outcome })
    }
}

/// The rejection that two columns have.
fn rejection_of(reason: &str, detail: String) -> Result<Rejection, String> {
    Ok(Rejection { code: code_of(reason)?, detail })
}

fn code_of(reason: &str) -> Result<RejectCode, String> {
    RejectCode::from_text(reason).ok_or_else(|| format!("unknown reject code {reason:?}"))
}

table! {
    /// The columns of an index file that say which record an entry is of, and what became of it. The others are not read.
    pub(crate) struct ListedTable<'r>(entry: &'r ListedEntry) -> ListedEntry {
        id: [u8; 16] as Distinct = entry.id.0,
        subset: String = &entry.subset,
        upstream_id: String as Distinct = &entry.upstream_id,
        origin: OriginColumns = &entry.origin,
        reason: Option<String> = entry.outcome.as_ref().err().map(|rejection| rejection.code.as_str()),
        detail: Option<String> = entry.outcome.as_ref().err().map(|rejection| &*rejection.detail),
        reduction: ReductionColumns = entry.outcome.as_ref().map_or(LengthReduction::default(), |reduction| *reduction),
    }
    read {
        let outcome = match (reason, detail) {
            (Some(reason), Some(detail)) => Err(rejection_of(&reason, detail)?),
            (None, None) => Ok(reduction),
            _ => return Err("a reason and its detail are not both there".to_owned()),
        };
        Ok(ListedEntry { id: RecordId(id), subset, upstream_id, origin, outcome })
    }
}

table! {
    /// How a record is shortened; all absent where it is not.
    struct ReductionColumns<'r>(reduction: LengthReduction) -> LengthReduction {
        max_frames: Option<u32> = reduction.max_frames.map(NonZeroU32::get),
        max_tiles: Option<u32> = reduction.max_tiles.map(NonZeroU32::get),
        max_pixels: Option<u64> = reduction.max_pixels(),
        piece: Option<u32> = reduction.split.map(|split| split.piece),
        piece_first_turn: Option<u32> = reduction.split.map(|split| split.first_turn),
        piece_num_turns: Option<u32> = reduction.split.map(|split| split.num_turns),
    }
    read {
        let split = match (piece, piece_first_turn, piece_num_turns) {
            (Some(piece), Some(first_turn), Some(num_turns)) => Some(TurnSplit { piece, first_turn, num_turns }),
            (None, None, None) => None,
            other => return Err(format!("piece, first turn and number of turns are {other:?}")),
        };
        let (max_frames, max_tiles) = (limit(max_frames, NonZeroU32::new)?, limit(max_tiles, NonZeroU32::new)?);
        Ok(LengthReduction { max_frames, max_tiles, max_pixels: limit(max_pixels, NonZeroU64::new)?, split })
    }
}

fn limit<N, L>(number: Option<N>, nonzero: fn(N) -> Option<L>) -> Result<Option<L>, String> {
    number.map(|number| nonzero(number).ok_or("a limit of 0".to_owned())).transpose()
}

/// The number of entries of an index file, from its footer.
pub(crate) fn num_entries(path: &Path) -> Result<usize, DatasetError> {
    let table = TableReader::<IndexTable>::open(path);
    let table = table.map_err(|error| DatasetError::Table { path: path.to_owned(), error })?;
    Ok(usize::try_from(table.num_rows()).unwrap_or(usize::MAX))
}

/// Reads the entries of an index file in order, with `source` as the source of every row.
pub(crate) fn read_entries(
    path: &Path,
    source: SourceIndex,
) -> Result<impl Iterator<Item = Result<IndexEntry, DatasetError>> + use<>, DatasetError> {
    Ok(read_table_file::<IndexTable>(path)?.map(move |entry| {
        let mut entry = entry?;
        if let Ok(measured) = &mut entry.outcome {
            measured.row.source = source;
        }
        Ok(entry)
    }))
}

/// Reads the entries of an index file in order, as decisions need them, with `source` as the source of every row.
pub(crate) fn read_measured(
    path: &Path,
    source: SourceIndex,
) -> Result<impl Iterator<Item = Result<MeasuredEntry, DatasetError>> + use<>, DatasetError> {
    Ok(read_table_file::<MeasuredTable>(path)?.map(move |entry| {
        let mut entry = entry?;
        if let Ok(measured) = &mut entry.outcome {
            measured.row.source = source;
        }
        Ok(entry)
    }))
}

/// Reads the entries of an index file in order, without what was measured.
pub(crate) fn read_listed(
    path: &Path,
) -> Result<impl Iterator<Item = Result<ListedEntry, DatasetError>> + use<>, DatasetError> {
    read_table_file::<ListedTable>(path)
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;
    use manyframe_core::{Cost, Layout, Origin, Position};

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let id = RecordId([1; 16]);
        let row = IndexRow {
            id,
            source: SourceIndex(0),
            cost: Cost { text_tokens: 10, delimiter_tokens: 5, visual_tokens: 20, num_images: 7, num_frames: 6 },
            layout: Layout::Temporal,
            num_turns: 8,
            num_chars: 9,
            estimated_bytes: 11,
            media: 21,
        };
        let reduction = LengthReduction {
            max_frames: NonZeroU32::new(13),
            max_tiles: NonZeroU32::new(14),
            max_pixels: NonZeroU64::new(19),
            split: Some(TurnSplit { piece: 15, first_turn: 16, num_turns: 17 }),
        };
        let measured = IndexEntry {
            id,
            subset: "subset".into(),
            upstream_id: "upstream".into(),
            origin: Origin { file: "a.json".into(), position: Position::Bytes { line: 2, offset: 3, num_bytes: 4 } },
            outcome: Ok(MeasuredRecord { row, signature: 12, reduction }),
        };
        let rejected = IndexEntry {
            origin: Origin { file: "a.json".into(), position: Position::Row(18) },
            outcome: Err(Rejection::new(RejectCode::MalformedRecord, "no turns")),
            ..measured.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let listed = |entry: &IndexEntry| ListedEntry {
            id: entry.id,
            subset: entry.subset.clone(),
            upstream_id: entry.upstream_id.clone(),
            origin: entry.origin.clone(),
            outcome: entry.outcome.clone().map(|measured| measured.reduction),
        };
        let decided = |entry: &IndexEntry| MeasuredEntry {
            id: entry.id,
            subset: entry.subset.as_str().into(),
            origin: entry.origin.clone(),
            outcome: entry.outcome.clone().map_err(|rejection| rejection.code),
        };
        check_round_trip::<MeasuredTable, _>(folder.path(), &[decided(&measured), decided(&rejected)]).unwrap();
        check_round_trip::<ListedTable, _>(folder.path(), &[listed(&measured), listed(&rejected)]).unwrap();
        check_round_trip::<IndexTable, _>(folder.path(), &[measured, rejected]).unwrap();
    }
}
