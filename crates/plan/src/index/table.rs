//! Index files: one Parquet table per split, one row per record seen, written as it is measured.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

use manyframe_columnar::{ColumnarError, Cursor, RowColumn, RowWriter, TableReader, read_rows};
use manyframe_core::{IndexRow, RejectCode, Rejection, SourceIndex};

use super::Entry;
use super::measure::Measurement;
use crate::fit::{Fit, Piece};

/// Writes entries in batches.
pub(crate) type EntryWriter<W> = RowWriter<W, Entry>;

/// A writer of an index file.
pub(crate) fn write_entries<W: Write + Send>(sink: W) -> Result<EntryWriter<W>, ColumnarError> {
    RowWriter::new(sink, columns())
}

fn columns() -> Vec<RowColumn<Entry>> {
    let row =
        |name, get: fn(&IndexRow) -> u64| RowColumn::number(name, "", move |entry: &Entry| Some(get(entry.row()?)));
    let fit = |name, get: fn(&Fit) -> Option<u32>| {
        RowColumn::number(name, "", move |entry: &Entry| get(&entry.outcome.as_ref().ok()?.fit).map(u64::from))
    };
    let mut columns = vec![
        RowColumn::id("id", "", |entry: &Entry| entry.id).of_distinct_values(),
        RowColumn::borrowed_text("subset", "", |entry: &Entry| Some(entry.subset.as_str())),
        RowColumn::borrowed_text("upstream_id", "", |entry: &Entry| Some(entry.upstream_id.as_str()))
            .of_distinct_values(),
    ];
    columns.extend(RowColumn::origin(|entry: &Entry| &entry.origin));
    columns.extend([
        RowColumn::borrowed_text("reason", "", |entry: &Entry| {
            entry.outcome.as_ref().err().map(|rejection| rejection.code.as_str())
        }),
        RowColumn::borrowed_text("detail", "", |entry: &Entry| {
            entry.outcome.as_ref().err().map(|rejection| rejection.detail.as_str())
        }),
    ]);
    columns.extend(RowColumn::measured(|entry: &Entry| entry.row().map(|row| (row.cost, row.layout))));
    columns.extend([
        row("num_turns", |row| u64::from(row.num_turns)),
        row("num_chars", |row| row.num_chars),
        row("estimated_bytes", |row| row.estimated_bytes),
        row("signature", |row| row.signature).of_distinct_values(),
        fit("max_frames", |fit| fit.max_frames.map(NonZeroU32::get)),
        fit("max_tiles", |fit| fit.max_tiles.map(NonZeroU32::get)),
        fit("piece", |fit| fit.piece.map(|piece| piece.number)),
        fit("piece_first_turn", |fit| fit.piece.map(|piece| piece.first_turn)),
        fit("piece_num_turns", |fit| fit.piece.map(|piece| piece.num_turns)),
    ]);
    columns
}

/// The number of entries of an index file, from its footer.
pub(crate) fn num_entries(path: &Path) -> Result<usize, ColumnarError> {
    Ok(usize::try_from(TableReader::open(path)?.num_rows()).unwrap_or(usize::MAX))
}

/// Reads the entries of an index file in order, with `source` as the source of every row.
pub(crate) fn read_entries(
    path: &Path,
    source: SourceIndex,
) -> Result<impl Iterator<Item = Result<Entry, ColumnarError>>, ColumnarError> {
    read_rows(path, &columns(), move |cursor| entry_at(cursor, source))
}

fn entry_at(cursor: &mut Cursor, source: SourceIndex) -> Option<Entry> {
    let id = cursor.id()?;
    let (subset, upstream_id, origin) = (cursor.text()?, cursor.text()?, cursor.origin()?);
    let (reason, detail, measured) = (cursor.text(), cursor.text(), cursor.measured());
    let mut next = || cursor.number();
    let sizes = [next(), next(), next(), next()];
    let fits = [next(), next(), next(), next(), next()];
    let outcome = if let Some(reason) = reason {
        Err(Rejection { code: RejectCode::from_text(&reason)?, detail: detail.unwrap_or_default() })
    } else {
        let (cost, layout) = measured?;
        let [num_turns, num_chars, estimated_bytes, signature] = sizes;
        let row = IndexRow {
            id,
            source,
            cost,
            layout,
            num_turns: u32::try_from(num_turns?).ok()?,
            num_chars: num_chars?,
            estimated_bytes: estimated_bytes?,
            signature: signature?,
        };
        Ok(Measurement { row, fit: fit_from_numbers(fits.map(|number| number.map(|number| number as u32))) })
    };
    Some(Entry { id, subset, upstream_id, origin, outcome })
}

fn fit_from_numbers([max_frames, max_tiles, number, first_turn, num_turns]: [Option<u32>; 5]) -> Fit {
    let piece = || Some(Piece { number: number?, first_turn: first_turn?, num_turns: num_turns? });
    Fit {
        max_frames: max_frames.and_then(NonZeroU32::new),
        max_tiles: max_tiles.and_then(NonZeroU32::new),
        piece: piece(),
    }
}
