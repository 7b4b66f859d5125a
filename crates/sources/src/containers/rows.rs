//! Parquet files: each row is a record, and its binary cells are `true`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;

use manyframe_base::InputFile;
use manyframe_columnar::{Row, RowReader};
use manyframe_core::{Position, RejectCode, Rejection};
use memchr::memmem;

use super::container::{Container, LocatedRecords};
use crate::json::{LocatedRecord, ReadError};
use crate::raw::RawBody;

/// How many rows make a part.
const ROWS_PER_PART: u64 = 16_384;
/// Parts of a file with more rows than any real one. A file of a hundred bytes can claim 2⁶³ rows.
const MAX_PARTS: u64 = 1 << 16;

/// An open Parquet file.
pub(crate) struct RowFile(RowReader);

impl RowFile {
    /// Whether a file begins as Parquet does.
    pub(crate) fn is_one(file: &InputFile) -> io::Result<bool> {
        let mut head = Vec::new();
        file.reader(0).take(4).read_to_end(&mut head)?;
        Ok(head == b"PAR1")
    }

    pub(crate) fn of(rows: RowReader) -> Self {
        Self(rows)
    }
}

impl Container for RowFile {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        parts_of_rows(self.0.num_rows())
    }

    fn records(self: Box<Self>, rows: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let rows = self.0.rows(rows.unwrap_or(0..self.0.num_rows()))?;
        Ok(Box::new(rows.map(|next| {
            let (number, row) = next?;
            Ok(LocatedRecord { position: Position::Row(number), body: body_of_row(row) })
        })))
    }

    fn columns_with_bytes(&self) -> BTreeSet<String> {
        self.0.columns_with_bytes().map(str::to_owned).collect()
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        match position {
            Position::Row(row) if row < self.0.num_rows() => Ok(Some(body_of_row(self.0.row(row)?))),
            _ => Ok(None),
        }
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        match rows_from(position, &self.parts()) {
            Some(rows) => Box::new(Self(self.0.clone())).records(Some(rows)),
            None => Ok(Box::new(std::iter::empty())),
        }
    }
}

/// The rows from a position to the end of their part.
pub(crate) fn rows_from(position: Position, parts: &[Option<Range<u64>>]) -> Option<Range<u64>> {
    let Position::Row(row) = position else { return None };
    let part = parts.iter().flatten().find(|part| part.contains(&row))?;
    Some(row..part.end)
}

/// The parts of a file or directory with this many rows.
pub(crate) fn parts_of_rows(num_rows: u64) -> Vec<Option<Range<u64>>> {
    let rows_per_part = ROWS_PER_PART.max(num_rows.div_ceil(MAX_PARTS));
    let starts = (0..num_rows).step_by(rows_per_part as usize);
    starts.map(|start| Some(start..num_rows.min(start.saturating_add(rows_per_part)))).collect()
}

/// So many zeros in a row are no text that somebody wrote: a part of the file was never written.
const LEAST_ZEROS: usize = 16;

fn body_of_row(row: Row) -> RawBody {
    let malformed = |detail: String| RawBody::Broken {
        rejection: Rejection::new(RejectCode::MalformedRecord, detail),
        head: Vec::new(),
    };
    match row {
        // An escaped backslash before `u0000` has another one before it, so that these do not follow each other.
        Row::Json(text) if memmem::find(text.as_bytes(), r"\u0000".repeat(LEAST_ZEROS).as_bytes()).is_some() => {
            malformed("a value of the row has zeros in place of text".to_owned())
        }
        Row::Json(text) => RawBody::Json(text.into_bytes()),
        Row::Broken { detail } => malformed(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_zeros_is_none() {
        let is_read = |caption: &str| {
            let text = serde_json::json!({ "id": 1, "caption": caption }).to_string();
            matches!(body_of_row(Row::Json(text)), RawBody::Json(_))
        };
        assert!(is_read("A cat.") && is_read(&"\0".repeat(15)) && is_read(&r"\u0000".repeat(40)));
        assert!(!is_read(&"\0".repeat(16)) && !is_read(&format!("a cap{}", "\0".repeat(40))));
    }
}
