//! Index files: one Parquet table per split, one row per record seen, written as it is measured.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

use manyframe_columnar::{ColumnarError, TableReader, TableWriter, table};
use manyframe_core::{IndexRow, RecordId, RejectCode, Rejection, SourceIndex};
use manyframe_dataset::columns::{MeasuredColumns, OriginColumns};

use super::measure::{Entry, Measurement};
use crate::fit::{Fit, Piece};

/// Writes entries in batches.
pub(crate) type EntryWriter<W> = TableWriter<IndexTable, W>;

/// A writer of an index file.
pub(crate) fn write_entries<W: Write + Send>(sink: W) -> Result<EntryWriter<W>, ColumnarError> {
    TableWriter::new(sink)
}

table! {
    /// The columns of an index file. The source is that of the file, and no column.
    pub(crate) struct IndexTable<'r>(entry: &'r Entry) -> Entry {
        id: [u8; 16] as Distinct = entry.id.0,
        subset: String = &entry.subset,
        upstream_id: String as Distinct = &entry.upstream_id,
        origin: OriginColumns = &entry.origin,
        reason: Option<String> = entry.rejection().map(|rejection| rejection.code.as_str()),
        detail: Option<String> = entry.rejection().map(|rejection| &*rejection.detail),
        measured: MeasuredColumns = entry.row().map(|row| (row.cost, row.layout)),
        num_turns: Option<u32> = entry.row().map(|row| row.num_turns),
        num_chars: Option<u64> = entry.row().map(|row| row.num_chars),
        estimated_bytes: Option<u64> = entry.row().map(|row| row.estimated_bytes),
        signature: Option<u64> as Distinct = entry.row().map(|row| row.signature),
        fit: FitColumns = entry.outcome.as_ref().map_or(Fit::default(), |measurement| measurement.fit),
    }
    read {
        let id = RecordId(id);
        let outcome = match (reason, detail, measured, num_turns, num_chars, estimated_bytes, signature) {
            (Some(reason), Some(detail), None, None, None, None, None) => {
                let code = RejectCode::from_text(&reason).ok_or_else(|| format!("unknown reject code {reason:?}"))?;
                Err(Rejection { code, detail })
            }
            (None, None, Some(measured), Some(num_turns), Some(num_chars), Some(estimated_bytes), Some(signature)) => {
                let (cost, layout) = measured;
                let row = IndexRow { id, source: SourceIndex(0), cost, layout, num_turns, num_chars, estimated_bytes, signature };
                Ok(Measurement { row, fit })
            }
            _ => return Err("it is neither rejected nor measured".to_owned()),
        };
        Ok(Entry { id, subset, upstream_id, origin, outcome })
    }
}

table! {
    /// How a record is shortened; all absent where it is not.
    struct FitColumns<'r>(fit: Fit) -> Fit {
        max_frames: Option<u32> = fit.max_frames.map(NonZeroU32::get),
        max_tiles: Option<u32> = fit.max_tiles.map(NonZeroU32::get),
        piece: Option<u32> = fit.piece.map(|piece| piece.number),
        piece_first_turn: Option<u32> = fit.piece.map(|piece| piece.first_turn),
        piece_num_turns: Option<u32> = fit.piece.map(|piece| piece.num_turns),
    }
    read {
        let piece = match (piece, piece_first_turn, piece_num_turns) {
            (Some(number), Some(first_turn), Some(num_turns)) => Some(Piece { number, first_turn, num_turns }),
            (None, None, None) => None,
            other => return Err(format!("{other:?} are number, first turn and turns of its piece")),
        };
        Ok(Fit { max_frames: nonzero(max_frames)?, max_tiles: nonzero(max_tiles)?, piece })
    }
}

fn nonzero(number: Option<u32>) -> Result<Option<NonZeroU32>, String> {
    number.map(|number| NonZeroU32::new(number).ok_or("a limit of 0".to_owned())).transpose()
}

/// The number of entries of an index file, from its footer.
pub(crate) fn num_entries(path: &Path) -> Result<usize, ColumnarError> {
    Ok(usize::try_from(TableReader::<IndexTable>::open(path)?.num_rows()).unwrap_or(usize::MAX))
}

/// Reads the entries of an index file in order, with `source` as the source of every row.
pub(crate) fn read_entries(
    path: &Path,
    source: SourceIndex,
) -> Result<impl Iterator<Item = Result<Entry, ColumnarError>> + use<>, ColumnarError> {
    let entries = TableReader::<IndexTable>::open(path)?.all_rows()?;
    Ok(entries.map(move |entry| {
        let mut entry = entry?;
        if let Ok(measurement) = &mut entry.outcome {
            measurement.row.source = source;
        }
        Ok(entry)
    }))
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
            signature: 12,
        };
        let fit = Fit {
            max_frames: NonZeroU32::new(13),
            max_tiles: NonZeroU32::new(14),
            piece: Some(Piece { number: 15, first_turn: 16, num_turns: 17 }),
        };
        let measured = Entry {
            id,
            subset: "subset".into(),
            upstream_id: "upstream".into(),
            origin: Origin { file: "a.json".into(), position: Position::Bytes { line: 2, offset: 3, num_bytes: 4 } },
            outcome: Ok(Measurement { row, fit }),
        };
        let rejected = Entry {
            origin: Origin { file: "a.json".into(), position: Position::Row(18) },
            outcome: Err(Rejection::new(RejectCode::MalformedRecord, "no turns")),
            ..measured.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<IndexTable, _>(folder.path(), &[measured, rejected]).unwrap();
    }
}
