//! Parquet files with interleaved documents as NeMo Curator writes them: a row is a part of a document, and the rows of one document,
//! which have its `sample_id`, follow each other.
//!
//! ```text
//! rows ──▶ {"sample_id": …, what its first row has besides, "interleaved_rows": [its rows, in the order of the file]}
//! ```
//!
//! What the parts are is decided in `interleaved.rs`. A document belongs to the part of the file that its first row is in.

use std::collections::BTreeMap;
use std::ops::Range;

use manyframe_columnar::{Row, RowReader, Rows};
use manyframe_core::{Position, RejectCode, Rejection};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::container::{Container, LocatedRecords};
use super::rows::{parts_of_rows, rows_from};
use crate::interleaved::{ID, OWN_COLUMNS, ROWS};
use crate::json::{self, LocatedRecord, ReadError};
use crate::raw::RawBody;

/// An open file.
pub(crate) struct DocumentFile(RowReader);

impl DocumentFile {
    /// The rows as documents, if their columns say that they are parts of some; otherwise the rows.
    pub(crate) fn of(rows: RowReader) -> Result<Self, RowReader> {
        let names = rows.column_names();
        let needed = [ID, "position", "modality", "text_content", "binary_content"];
        if needed.iter().all(|column| names.contains(column)) { Ok(Self(rows)) } else { Err(rows) }
    }

    /// The documents whose first row is in this range. The row before it may belong to the first one.
    fn documents(&self, rows: Range<u64>, before: Option<&str>) -> Result<Documents, ReadError> {
        let mut documents = Documents { rows: self.0.rows(rows.start..self.0.num_rows())?, next: None, end: rows.end };
        while let Some(row) = documents.next_row()? {
            if before.is_none() || row.id.as_deref().is_some_and(|id| Some(id) != before) {
                documents.next = Some(row);
                break;
            }
        }
        Ok(documents)
    }

    /// The id of the document that the row before this one belongs to. A damaged row belongs to the document before it.
    fn id_before(&self, row: u64) -> Result<Option<String>, ReadError> {
        for number in (0..row).rev() {
            let row = DocumentRow::new(number, self.0.row(number)?);
            if row.id.is_some() {
                return Ok(row.id);
            }
        }
        Ok(None)
    }
}

impl Container for DocumentFile {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        parts_of_rows(self.0.num_rows())
    }

    fn records(self: Box<Self>, rows: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let rows = rows.unwrap_or(0..self.0.num_rows());
        let before = self.id_before(rows.start)?;
        let mut documents = self.documents(rows, before.as_deref())?;
        Ok(Box::new(std::iter::from_fn(move || documents.next_document().transpose())))
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        let Position::Row(row) = position else { return Ok(None) };
        if row >= self.0.num_rows() {
            return Ok(None);
        }
        let found = self.documents(row..row + 1, None)?.next_document()?;
        Ok(found.map(|found| found.body))
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        let Some(rows) = rows_from(position, &self.parts()) else { return Ok(Box::new(std::iter::empty())) };
        let mut documents = self.documents(rows, None)?;
        Ok(Box::new(std::iter::from_fn(move || documents.next_document().transpose())))
    }
}

/// Documents in the order of the file.
struct Documents {
    rows: Rows,
    /// The row after the last document.
    next: Option<DocumentRow>,
    /// Documents that begin here or later are of the next part.
    end: u64,
}

impl Documents {
    fn next_row(&mut self) -> Result<Option<DocumentRow>, ReadError> {
        if self.next.is_some() {
            return Ok(self.next.take());
        }
        Ok(self.rows.next().transpose()?.map(|(number, row)| DocumentRow::new(number, row)))
    }

    fn next_document(&mut self) -> Result<Option<LocatedRecord>, ReadError> {
        let Some(first) = self.next_row()?.filter(|row| row.number < self.end) else { return Ok(None) };
        let position = Position::Row(first.number);
        let mut document = Document { num_bytes: first.text.len(), rows: vec![first] };
        while let Some(row) = self.next_row()? {
            if row.id.is_some() && row.id != document.id() {
                self.next = Some(row);
                break;
            }
            document.push(row);
        }
        Ok(Some(LocatedRecord { position, body: document.body() }))
    }
}

/// A row, and the document that it belongs to.
struct DocumentRow {
    number: u64,
    /// As JSON; `None` if the row is damaged, or has none.
    id: Option<String>,
    text: String,
    damage: Option<String>,
}

/// What is read of a row to know its document.
#[derive(Deserialize)]
struct RowId<'t> {
    #[serde(borrow)]
    sample_id: Option<&'t RawValue>,
}

impl DocumentRow {
    fn new(number: u64, row: Row) -> Self {
        match row {
            Row::Broken { detail } => Self { number, id: None, text: String::new(), damage: Some(detail) },
            Row::Json(text) => {
                let id = serde_json::from_str::<RowId<'_>>(&text).ok().and_then(|row| row.sample_id);
                let id = id.map(|id| id.get().to_owned());
                let damage = id.is_none().then(|| format!("row {number} has no {ID:?}"));
                Self { number, id, text, damage }
            }
        }
    }
}

/// A document while its rows are read.
struct Document {
    rows: Vec<DocumentRow>,
    num_bytes: usize,
}

impl Document {
    fn id(&self) -> Option<String> {
        self.rows.iter().find_map(|row| row.id.clone())
    }

    /// Adds a row. Of a document that is too large, the rest is not kept.
    fn push(&mut self, row: DocumentRow) {
        self.num_bytes += row.text.len();
        if !json::is_overlong(self.num_bytes) {
            self.rows.push(row);
        }
    }

    fn body(&self) -> RawBody {
        let head = self.id().map(|id| format!("{{{ID:?}:{id}}}")).unwrap_or_default().into_bytes();
        if json::is_overlong(self.num_bytes) {
            return json::overlong(&head);
        }
        let damage = self.rows.iter().find_map(|row| row.damage.clone());
        match damage.map_or_else(|| self.text().map_err(|error| error.to_string()), Err) {
            Ok(text) => RawBody::Json(text),
            Err(detail) => RawBody::Broken { rejection: Rejection::new(RejectCode::MalformedRecord, detail), head },
        }
    }

    fn text(&self) -> serde_json::Result<Vec<u8>> {
        let first = self.rows.first().map_or("{}", |row| row.text.as_str());
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(first)?;
        fields.retain(|name, _| !OWN_COLUMNS.contains(&name.as_str()));
        let rows: Vec<&str> = self.rows.iter().map(|row| row.text.as_str()).collect();
        fields.insert(ROWS.to_owned(), RawValue::from_string(format!("[{}]", rows.join(",")))?);
        serde_json::to_vec(&fields)
    }
}
