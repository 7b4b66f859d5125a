//! Index files: one Parquet table per split, one row per record seen, written as it is measured.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use manyframe_columnar::{Column, ColumnKind, ColumnSpec, ColumnarError, TableReader, TableWriter};
use manyframe_core::{Cost, IndexRow, Layout, Origin, Position, RejectCode};

use super::Entry;

const COLUMNS: [(&str, ColumnKind); 20] = [
    ("id", ColumnKind::Id),
    ("subset", ColumnKind::Text),
    ("upstream_id", ColumnKind::Text),
    ("file", ColumnKind::Text),
    ("line", ColumnKind::U64),
    ("offset", ColumnKind::U64),
    ("num_bytes", ColumnKind::U64),
    ("row", ColumnKind::U64),
    ("reason", ColumnKind::Text),
    ("detail", ColumnKind::Text),
    ("layout", ColumnKind::Text),
    ("text_tokens", ColumnKind::U64),
    ("visual_tokens", ColumnKind::U64),
    ("num_images", ColumnKind::U64),
    ("num_frames", ColumnKind::U64),
    ("num_turns", ColumnKind::U64),
    ("num_chars", ColumnKind::U64),
    ("estimated_bytes", ColumnKind::U64),
    ("signature", ColumnKind::U64),
    ("source", ColumnKind::U64),
];

/// Writes entries in batches.
pub(crate) struct EntryWriter<W: Write + Send> {
    table: TableWriter<W>,
    waiting: Vec<Entry>,
}

const BATCH: usize = 4096;

impl<W: Write + Send> EntryWriter<W> {
    pub(crate) fn new(sink: W) -> Result<Self, ColumnarError> {
        let column = |(name, kind): (&str, ColumnKind)| ColumnSpec { name: name.to_owned(), kind, doc: String::new() };
        Ok(Self { table: TableWriter::new(sink, &COLUMNS.map(column), &[])?, waiting: Vec::new() })
    }

    pub(crate) fn write(&mut self, entry: Entry) -> Result<(), ColumnarError> {
        self.waiting.push(entry);
        if self.waiting.len() < BATCH { Ok(()) } else { self.flush() }
    }

    pub(crate) fn finish(mut self) -> Result<W, ColumnarError> {
        self.flush()?;
        self.table.finish()
    }

    fn flush(&mut self) -> Result<(), ColumnarError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.waiting);
        self.table.write(columns_from_entries(&entries))
    }
}

fn columns_from_entries(entries: &[Entry]) -> Vec<Column> {
    let text = |get: &dyn Fn(&Entry) -> Option<String>| Column::Text(entries.iter().map(get).collect());
    let number = |get: &dyn Fn(&Entry) -> Option<u64>| Column::U64(entries.iter().map(get).collect());
    let row = |get: fn(&IndexRow) -> u64| {
        Column::U64(entries.iter().map(|entry| entry.outcome.as_ref().ok().map(get)).collect())
    };
    let bytes = |get: fn(u64, u64, u64) -> u64| {
        number(&move |entry| match entry.origin.position {
            Position::Bytes { line, offset, num_bytes } => Some(get(line, offset, num_bytes)),
            Position::Row(_) | Position::File => None,
        })
    };
    vec![
        Column::Id(entries.iter().map(|entry| Some(entry.id)).collect()),
        text(&|entry| Some(entry.subset.clone())),
        text(&|entry| Some(entry.upstream_id.clone())),
        text(&|entry| Some(entry.origin.file.to_string())),
        bytes(|line, _, _| line),
        bytes(|_, offset, _| offset),
        bytes(|_, _, num_bytes| num_bytes),
        number(&|entry| if let Position::Row(row) = entry.origin.position { Some(row) } else { None }),
        text(&|entry| entry.outcome.as_ref().err().map(|(code, _)| code.as_str().to_owned())),
        text(&|entry| entry.outcome.as_ref().err().map(|(_, detail)| detail.clone())),
        text(&|entry| entry.outcome.as_ref().ok().map(|row| row.layout.as_str().to_owned())),
        row(|row| row.cost.text_tokens),
        row(|row| row.cost.visual_tokens),
        row(|row| row.cost.num_images),
        row(|row| row.cost.num_frames),
        row(|row| u64::from(row.num_turns)),
        row(|row| row.num_chars),
        row(|row| row.estimated_bytes),
        row(|row| row.signature),
        row(|row| u64::from(row.source)),
    ]
}

/// Reads the entries of an index file in order, with `source` as the source of every row.
pub(crate) fn read_entries(
    path: &Path,
    source: u32,
) -> Result<impl Iterator<Item = Result<Entry, ColumnarError>>, ColumnarError> {
    let names = COLUMNS.map(|(name, _)| name);
    let batches = TableReader::open(path)?.batches(&names)?;
    // Files repeat from row to row; one allocation serves them all.
    let mut last_file: Arc<str> = "".into();
    Ok(batches.flat_map(move |batch| match batch {
        Ok(columns) => entries_from_columns(columns, source, &mut last_file),
        Err(error) => vec![Err(error)],
    }))
}

fn entries_from_columns(
    columns: Vec<Column>,
    source: u32,
    last_file: &mut Arc<str>,
) -> Vec<Result<Entry, ColumnarError>> {
    let mut cursor = Cursor::new(columns);
    let mut entries = Vec::new();
    while let Some(entry) = next_entry(&mut cursor, source, last_file) {
        entries.push(Ok(entry));
    }
    entries
}

fn next_entry(cursor: &mut Cursor, source: u32, last_file: &mut Arc<str>) -> Option<Entry> {
    let id = cursor.id()?;
    let (subset, upstream_id, file) = (cursor.text(), cursor.text(), cursor.text());
    if **last_file != *file.as_deref().unwrap_or_default() {
        *last_file = file.unwrap_or_default().into();
    }
    let (line, offset, num_bytes, row) = (cursor.number(), cursor.number(), cursor.number(), cursor.number());
    let position = match (line, offset, num_bytes, row) {
        (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { line, offset, num_bytes },
        (_, _, _, Some(row)) => Position::Row(row),
        _ => Position::File,
    };
    let reject = cursor.text().and_then(|code| RejectCode::from_text(&code));
    let detail = cursor.text();
    let layout = cursor.text().and_then(|text| Layout::ALL.into_iter().find(|layout| layout.as_str() == text));
    let mut next = || cursor.number().unwrap_or(0);
    let cost = Cost { text_tokens: next(), visual_tokens: next(), num_images: next(), num_frames: next() };
    let (num_turns, num_chars, estimated_bytes, signature) = (next(), next(), next(), next());
    _ = next();
    cursor.next_row();
    let row = IndexRow {
        id,
        source,
        cost,
        layout: layout.unwrap_or(Layout::Text),
        num_turns: u32::try_from(num_turns).unwrap_or(u32::MAX),
        num_chars,
        estimated_bytes,
        signature,
    };
    Some(Entry {
        id,
        subset: subset.unwrap_or_default(),
        upstream_id: upstream_id.unwrap_or_default(),
        origin: Origin { file: Arc::clone(last_file), position },
        outcome: match reject {
            Some(code) => Err((code, detail.unwrap_or_default())),
            None => Ok(row),
        },
    })
}

/// Takes the values of a batch row by row, column by column.
pub(crate) struct Cursor {
    columns: Vec<Column>,
    row: usize,
    column: usize,
}

impl Cursor {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, row: 0, column: 0 }
    }

    pub(crate) fn next_row(&mut self) {
        self.row += 1;
        self.column = 0;
    }

    pub(crate) fn id(&mut self) -> Option<manyframe_core::RecordId> {
        let row = self.row;
        if let Column::Id(values) = self.next_column()? { values.get(row).copied().flatten() } else { None }
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let row = self.row;
        if let Column::Text(values) = self.next_column()? { values.get_mut(row).and_then(Option::take) } else { None }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let row = self.row;
        if let Column::U64(values) = self.next_column()? { values.get(row).copied().flatten() } else { None }
    }

    fn next_column(&mut self) -> Option<&mut Column> {
        self.column += 1;
        self.columns.get_mut(self.column - 1)
    }
}
