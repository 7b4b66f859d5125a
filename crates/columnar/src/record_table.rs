//! Tables of records: the columns that index files, plans and ledgers share, and a writer that takes one row at a time.
//!
//! It decides neither which columns a table has nor what its rows mean.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Cost, Layout, Origin, Position, RecordId};

use crate::{Column, ColumnKind, ColumnSpec, ColumnarError, TableReader, TableWriter};

/// A column of a table whose rows are `R`s.
pub struct RowColumn<R> {
    name: &'static str,
    doc: &'static str,
    values: Values<R>,
}

type Get<R, T> = Box<dyn Fn(&R) -> T + Send>;

enum Values<R> {
    Id(Get<R, Option<RecordId>>),
    Text(Get<R, Option<String>>),
    Number(Get<R, Option<u64>>),
    Real(Get<R, Option<f64>>),
    Numbers(Get<R, Vec<u64>>),
    Texts(Get<R, Vec<String>>),
}

impl<R: 'static> RowColumn<R> {
    /// Record ids, as 16 bytes.
    pub fn id(name: &'static str, doc: &'static str, get: impl Fn(&R) -> RecordId + Send + 'static) -> Self {
        Self { name, doc, values: Values::Id(Box::new(move |row| Some(get(row)))) }
    }

    /// Texts.
    pub fn text(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<String> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Text(Box::new(get)) }
    }

    /// Counts.
    pub fn number(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<u64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Number(Box::new(get)) }
    }

    /// Measures.
    pub fn real(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<f64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Real(Box::new(get)) }
    }

    /// Lists of counts.
    pub fn numbers(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Vec<u64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Numbers(Box::new(get)) }
    }

    /// Lists of texts.
    pub fn texts(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Vec<String> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Texts(Box::new(get)) }
    }

    /// Where a record stands in upstream's files, as five columns; [`Cursor::origin`] reads them.
    pub fn origin(of: fn(&R) -> &Origin) -> [Self; 5] {
        let bytes = move |row: &R| match of(row).position {
            Position::Bytes { line, offset, num_bytes } => Some((line, offset, num_bytes)),
            Position::Row(_) | Position::File => None,
        };
        [
            Self::text("file", "the annotation file", move |row| Some(of(row).file.to_string())),
            Self::number("line", "line of its first byte, from 1", move |row| bytes(row).map(|(line, ..)| line)),
            Self::number("offset", "its first byte", move |row| bytes(row).map(|(_, offset, _)| offset)),
            Self::number("num_bytes", "its number of bytes", move |row| bytes(row).map(|(.., num_bytes)| num_bytes)),
            Self::number("row", "its row, from 0", move |row| {
                if let Position::Row(number) = of(row).position { Some(number) } else { None }
            }),
        ]
    }

    /// The layout and exact cost of a sample, as six columns; [`Cursor::measured`] reads them.
    pub fn measured(of: fn(&R) -> Option<(Cost, Layout)>) -> [Self; 6] {
        let cost =
            |name, doc, get: fn(Cost) -> u64| Self::number(name, doc, move |row| of(row).map(|(cost, _)| get(cost)));
        [
            Self::text("layout", "temporal, spatial, image or text", move |row| {
                of(row).map(|(_, layout)| layout.as_str().to_owned())
            }),
            cost("text_tokens", "tokens of text, delimiters and template included", |cost| cost.text_tokens),
            cost("delimiter_tokens", "those of text that the delimiters of visuals add", |cost| cost.delimiter_tokens),
            cost("visual_tokens", "tokens that stand for images", |cost| cost.visual_tokens),
            cost("num_images", "images; frames and sub-images count", |cost| cost.num_images),
            cost("num_frames", "those that are frames", |cost| cost.num_frames),
        ]
    }

    fn spec(&self) -> ColumnSpec {
        let kind = match self.values {
            Values::Id(_) => ColumnKind::Id,
            Values::Text(_) => ColumnKind::Text,
            Values::Number(_) => ColumnKind::U64,
            Values::Real(_) => ColumnKind::F64,
            Values::Numbers(_) => ColumnKind::U64List,
            Values::Texts(_) => ColumnKind::TextList,
        };
        ColumnSpec::new(self.name, kind, self.doc)
    }

    fn values(&self, rows: &[R]) -> Column {
        match &self.values {
            Values::Id(get) => Column::Id(rows.iter().map(get).collect()),
            Values::Text(get) => Column::Text(rows.iter().map(get).collect()),
            Values::Number(get) => Column::U64(rows.iter().map(get).collect()),
            Values::Real(get) => Column::F64(rows.iter().map(get).collect()),
            Values::Numbers(get) => Column::U64List(rows.iter().map(get).collect()),
            Values::Texts(get) => Column::TextList(rows.iter().map(get).collect()),
        }
    }
}

/// The JSON Schema of a row of a table, for people and tests: Parquet itself knows names and types.
pub fn schema_of_rows<R: 'static>(title: &str, description: &str, columns: &[RowColumn<R>]) -> serde_json::Value {
    let list = |kind: &str| serde_json::json!({ "type": "array", "items": { "type": kind } });
    let property = |column: &RowColumn<R>| {
        let mut schema = match column.values {
            Values::Id(_) => serde_json::json!({ "type": "string", "contentEncoding": "16 bytes" }),
            Values::Text(_) => serde_json::json!({ "type": ["string", "null"] }),
            Values::Number(_) => serde_json::json!({ "type": ["integer", "null"], "minimum": 0 }),
            Values::Real(_) => serde_json::json!({ "type": ["number", "null"] }),
            Values::Numbers(_) => list("integer"),
            Values::Texts(_) => list("string"),
        };
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".to_owned(), column.doc.into());
        }
        (column.name.to_owned(), schema)
    };
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "type": "object",
        "properties": columns.iter().map(property).collect::<serde_json::Map<_, _>>(),
        "required": columns.iter().map(|column| column.name).collect::<Vec<_>>(),
    })
}

/// Writes rows in batches.
pub struct RowWriter<W: Write + Send, R> {
    table: TableWriter<W>,
    columns: Vec<RowColumn<R>>,
    waiting: Vec<R>,
}

const ROWS_PER_BATCH: usize = 4096;

impl<W: Write + Send, R: 'static> RowWriter<W, R> {
    /// A table with these columns.
    pub fn new(sink: W, columns: Vec<RowColumn<R>>) -> Result<Self, ColumnarError> {
        let specs: Vec<ColumnSpec> = columns.iter().map(RowColumn::spec).collect();
        Ok(Self { table: TableWriter::new(sink, &specs, &[])?, columns, waiting: Vec::new() })
    }

    /// Appends a row.
    pub fn write(&mut self, row: R) -> Result<(), ColumnarError> {
        self.waiting.push(row);
        if self.waiting.len() < ROWS_PER_BATCH { Ok(()) } else { self.flush() }
    }

    /// Writes the end of the table and gives the sink back.
    pub fn finish(mut self) -> Result<W, ColumnarError> {
        self.flush()?;
        self.table.finish()
    }

    fn flush(&mut self) -> Result<(), ColumnarError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        self.table.write(self.columns.iter().map(|column| column.values(&rows)).collect())
    }
}

/// Reads the rows of a table in order. `row` takes a row's values from the cursor, column by column in the order of `columns`;
/// `None` means that the row is not complete.
pub fn read_rows<R: 'static, F: FnMut(&mut Cursor) -> Option<R>>(
    path: &Path,
    columns: &[RowColumn<R>],
    mut row: F,
) -> Result<impl Iterator<Item = Result<R, ColumnarError>> + use<R, F>, ColumnarError> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let batches = TableReader::open(path)?.batches(&names)?;
    let path = path.to_owned();
    let mut last_file: Arc<str> = "".into();
    Ok(batches.flat_map(move |batch| {
        let columns = match batch {
            Ok(columns) => columns,
            Err(error) => return vec![Err(error)],
        };
        let num_rows = columns.first().map_or(0, Column::num_rows);
        let mut cursor = Cursor { columns, row: 0, column: 0, last_file: Arc::clone(&last_file) };
        let mut rows = Vec::with_capacity(num_rows);
        for number in 0..num_rows {
            (cursor.row, cursor.column) = (number, 0);
            let incomplete = || ColumnarError::IncompleteRow { path: path.clone(), row: number as u64 };
            rows.push(row(&mut cursor).ok_or_else(incomplete));
        }
        last_file = cursor.last_file;
        rows
    }))
}

/// Takes the values of a batch row by row, column by column.
pub struct Cursor {
    columns: Vec<Column>,
    row: usize,
    column: usize,
    // Files repeat from row to row; one allocation serves them all.
    last_file: Arc<str>,
}

impl Cursor {
    /// The next column's record id.
    pub fn id(&mut self) -> Option<RecordId> {
        let row = self.row;
        if let Column::Id(values) = self.next_column()? { values.get(row).copied().flatten() } else { None }
    }

    /// The next column's text.
    pub fn text(&mut self) -> Option<String> {
        let row = self.row;
        if let Column::Text(values) = self.next_column()? { values.get_mut(row).and_then(Option::take) } else { None }
    }

    /// The next column's count.
    pub fn number(&mut self) -> Option<u64> {
        let row = self.row;
        if let Column::U64(values) = self.next_column()? { values.get(row).copied().flatten() } else { None }
    }

    /// The next column's measure.
    pub fn real(&mut self) -> Option<f64> {
        let row = self.row;
        if let Column::F64(values) = self.next_column()? { values.get(row).copied().flatten() } else { None }
    }

    /// The next column's list of counts.
    pub fn numbers(&mut self) -> Option<Vec<u64>> {
        let row = self.row;
        if let Column::U64List(lists) = self.next_column()? { lists.get_mut(row).map(std::mem::take) } else { None }
    }

    /// The next column's list of texts.
    pub fn texts(&mut self) -> Option<Vec<String>> {
        let row = self.row;
        if let Column::TextList(lists) = self.next_column()? { lists.get_mut(row).map(std::mem::take) } else { None }
    }

    /// The next five columns, as [`RowColumn::origin`] writes them.
    pub fn origin(&mut self) -> Option<Origin> {
        let file = self.text()?;
        if *self.last_file != *file {
            self.last_file = file.into();
        }
        let (line, offset, num_bytes, row) = (self.number(), self.number(), self.number(), self.number());
        let position = match (line, offset, num_bytes, row) {
            (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { line, offset, num_bytes },
            (_, _, _, Some(row)) => Position::Row(row),
            _ => Position::File,
        };
        Some(Origin { file: Arc::clone(&self.last_file), position })
    }

    /// The next six columns, as [`RowColumn::measured`] writes them.
    pub fn measured(&mut self) -> Option<(Cost, Layout)> {
        let layout = self.text();
        let numbers = [self.number(), self.number(), self.number(), self.number(), self.number()];
        let layout = layout.and_then(|text| Layout::ALL.into_iter().find(|layout| layout.as_str() == text))?;
        let [Some(text_tokens), Some(delimiter_tokens), Some(visual_tokens), Some(num_images), Some(num_frames)] =
            numbers
        else {
            return None;
        };
        Some((Cost { text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames }, layout))
    }

    fn next_column(&mut self) -> Option<&mut Column> {
        self.column += 1;
        self.columns.get_mut(self.column - 1)
    }
}
