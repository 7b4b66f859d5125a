//! Tables of records: the columns that index files, plans and ledgers share, and a writer that takes one row at a time.
//!
//! It decides neither which columns a table has nor what its rows mean.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, UInt64Array};
use arrow::datatypes::{Float64Type, UInt64Type};
use arrow::error::ArrowError;
use manyframe_core::{Cost, Layout, Origin, Position, RecordId};

use crate::table_write::{BATCH_ROWS, cannot_encode};
use crate::{Column, ColumnKind, ColumnSpec, ColumnarError, TableReader, TableWriter};

/// A column of a table whose rows are `R`s.
pub struct RowColumn<R> {
    name: &'static str,
    doc: &'static str,
    values: Values<R>,
    repeats: Repeats,
}

/// Whether values of a column are met again, so that a dictionary of them makes it shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Often,
    Rarely,
}

type Get<R, T> = Box<dyn Fn(&R) -> T + Send>;
type GetText<R> = Box<dyn for<'r> Fn(&'r R) -> Option<Cow<'r, str>> + Send>;

enum Values<R> {
    Id(Get<R, Option<RecordId>>),
    Text(GetText<R>),
    Number(Get<R, Option<u64>>),
    Real(Get<R, Option<f64>>),
    Numbers(Get<R, Vec<u64>>),
    Texts(Get<R, Vec<String>>),
}

impl<R: 'static> RowColumn<R> {
    /// Record ids, as 16 bytes.
    pub fn id(name: &'static str, doc: &'static str, get: impl Fn(&R) -> RecordId + Send + 'static) -> Self {
        Self { name, doc, values: Values::Id(Box::new(move |row| Some(get(row)))), repeats: Repeats::Often }
    }

    /// Texts.
    pub fn text(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<String> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Text(Box::new(move |row| get(row).map(Cow::Owned))), repeats: Repeats::Often }
    }

    /// Texts that the row has, and need not be copied.
    pub fn borrowed_text(
        name: &'static str,
        doc: &'static str,
        get: impl for<'r> Fn(&'r R) -> Option<&'r str> + Send + 'static,
    ) -> Self {
        Self {
            name,
            doc,
            values: Values::Text(Box::new(move |row| get(row).map(Cow::Borrowed))),
            repeats: Repeats::Often,
        }
    }

    /// Counts.
    pub fn number(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<u64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Number(Box::new(get)), repeats: Repeats::Often }
    }

    /// Measures.
    pub fn real(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Option<f64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Real(Box::new(get)), repeats: Repeats::Often }
    }

    /// Lists of counts.
    pub fn numbers(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Vec<u64> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Numbers(Box::new(get)), repeats: Repeats::Often }
    }

    /// Lists of texts.
    pub fn texts(name: &'static str, doc: &'static str, get: impl Fn(&R) -> Vec<String> + Send + 'static) -> Self {
        Self { name, doc, values: Values::Texts(Box::new(get)), repeats: Repeats::Often }
    }

    /// Where a record stands in upstream's files, as five columns; [`Cursor::origin`] reads them.
    pub fn origin(of: fn(&R) -> &Origin) -> [Self; 5] {
        let bytes = move |row: &R| match of(row).position {
            Position::Bytes { line, offset, num_bytes } => Some((line, offset, num_bytes)),
            Position::Row(_) | Position::File => None,
        };
        [
            Self::borrowed_text("file", "the annotation file", move |row| Some(&*of(row).file)),
            Self::number("line", "line of its first byte, from 1", move |row| bytes(row).map(|(line, ..)| line))
                .of_distinct_values(),
            Self::number("offset", "its first byte", move |row| bytes(row).map(|(_, offset, _)| offset))
                .of_distinct_values(),
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
            Self::borrowed_text("layout", "temporal, spatial, image or text", move |row| {
                of(row).map(|(_, layout)| layout.as_str())
            }),
            cost("text_tokens", "tokens of text, delimiters and template included", |cost| cost.text_tokens),
            cost("delimiter_tokens", "those of text that the delimiters of visuals add", |cost| cost.delimiter_tokens),
            cost("visual_tokens", "tokens that stand for images", |cost| cost.visual_tokens),
            cost("num_images", "images; frames and sub-images count", |cost| cost.num_images),
            cost("num_frames", "those that are frames", |cost| cost.num_frames),
        ]
    }

    /// The same column, stored without a dictionary, which takes time and room if hardly any two values are equal.
    #[must_use]
    pub fn of_distinct_values(self) -> Self {
        Self { repeats: Repeats::Rarely, ..self }
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

    fn values(&self, rows: &[R]) -> Result<ArrayRef, ArrowError> {
        match &self.values {
            Values::Text(get) => Ok(Arc::new(rows.iter().map(get).collect::<StringArray>())),
            Values::Number(get) => Ok(Arc::new(rows.iter().map(get).collect::<UInt64Array>())),
            Values::Real(get) => Ok(Arc::new(rows.iter().map(get).collect::<Float64Array>())),
            Values::Id(get) => Column::Id(rows.iter().map(get).collect()).into_array(),
            Values::Numbers(get) => Column::U64List(rows.iter().map(get).collect()).into_array(),
            Values::Texts(get) => Column::TextList(rows.iter().map(get).collect()).into_array(),
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

impl<W: Write + Send, R: 'static> RowWriter<W, R> {
    /// A table with these columns.
    pub fn new(sink: W, columns: Vec<RowColumn<R>>) -> Result<Self, ColumnarError> {
        let specs: Vec<ColumnSpec> = columns.iter().map(RowColumn::spec).collect();
        let distinct = columns.iter().filter(|column| column.repeats == Repeats::Rarely).map(|column| column.name);
        let table = TableWriter::without_dictionaries(sink, &specs, &[], distinct)?;
        Ok(Self { table, columns, waiting: Vec::new() })
    }

    /// Appends a row.
    pub fn write(&mut self, row: R) -> Result<(), ColumnarError> {
        self.waiting.push(row);
        if self.waiting.len() < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    /// Writes the end of the table and gives the sink back.
    pub fn finish(mut self) -> Result<W, ColumnarError> {
        self.flush()?;
        self.table.finish()
    }

    fn flush(&mut self) -> Result<(), ColumnarError> {
        let arrays: Result<Vec<_>, _> = self.columns.iter().map(|column| column.values(&self.waiting)).collect();
        self.waiting.clear();
        self.table.write_arrays(arrays.map_err(cannot_encode)?)
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
    let mut batches = TableReader::open(path)?.batches(&names)?;
    let path = path.to_owned();
    let mut cursor = Cursor { columns: Vec::new(), row: 0, column: 0, last_file: "".into() };
    Ok(std::iter::from_fn(move || {
        while cursor.row >= cursor.columns.first().map_or(0, Array::len) {
            match batches.next_arrays()? {
                Ok(arrays) => (cursor.columns, cursor.row) = (arrays, 0),
                Err(error) => return Some(Err(error)),
            }
        }
        cursor.column = 0;
        let incomplete = ColumnarError::IncompleteRow { path: path.clone(), row: cursor.row as u64 };
        let read = row(&mut cursor).ok_or(incomplete);
        cursor.row += 1;
        Some(read)
    }))
}

/// Takes the values of a batch row by row, column by column.
pub struct Cursor {
    columns: Vec<ArrayRef>,
    row: usize,
    column: usize,
    // Files repeat from row to row; one allocation serves them all.
    last_file: Arc<str>,
}

impl Cursor {
    /// The next column's record id.
    pub fn id(&mut self) -> Option<RecordId> {
        let row = self.row;
        let values = self.next_column()?.as_fixed_size_binary_opt()?;
        values.is_valid(row).then(|| values.value(row).try_into().ok().map(RecordId)).flatten()
    }

    /// The next column's text.
    pub fn text(&mut self) -> Option<String> {
        self.borrowed_text().map(str::to_owned)
    }

    /// The next column's text, not copied.
    pub fn borrowed_text(&mut self) -> Option<&str> {
        let row = self.row;
        let values = self.next_column()?.as_string_opt::<i32>()?;
        values.is_valid(row).then(|| values.value(row))
    }

    /// The next column's count.
    pub fn number(&mut self) -> Option<u64> {
        let row = self.row;
        let values = self.next_column()?.as_primitive_opt::<UInt64Type>()?;
        values.is_valid(row).then(|| values.value(row))
    }

    /// The next column's measure.
    pub fn real(&mut self) -> Option<f64> {
        let row = self.row;
        let values = self.next_column()?.as_primitive_opt::<Float64Type>()?;
        values.is_valid(row).then(|| values.value(row))
    }

    /// The next column's list of counts.
    pub fn numbers(&mut self) -> Option<Vec<u64>> {
        let row = self.row;
        let lists = self.next_column()?.as_list_opt::<i32>()?;
        let list = lists.is_valid(row).then(|| lists.value(row));
        Some(list.map(|list| list.as_primitive::<UInt64Type>().iter().flatten().collect()).unwrap_or_default())
    }

    /// The next column's list of texts.
    pub fn texts(&mut self) -> Option<Vec<String>> {
        let row = self.row;
        let lists = self.next_column()?.as_list_opt::<i32>()?;
        let list = lists.is_valid(row).then(|| lists.value(row));
        let texts = |list: ArrayRef| list.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        Some(list.map(texts).unwrap_or_default())
    }

    /// The next five columns, as [`RowColumn::origin`] writes them.
    pub fn origin(&mut self) -> Option<Origin> {
        let last_file = Arc::clone(&self.last_file);
        let file = self.borrowed_text()?;
        let file = if *last_file == *file { last_file } else { file.into() };
        self.last_file = Arc::clone(&file);
        let (line, offset, num_bytes, row) = (self.number(), self.number(), self.number(), self.number());
        let position = match (line, offset, num_bytes, row) {
            (Some(line), Some(offset), Some(num_bytes), _) => Position::Bytes { line, offset, num_bytes },
            (_, _, _, Some(row)) => Position::Row(row),
            _ => Position::File,
        };
        Some(Origin { file, position })
    }

    /// The next six columns, as [`RowColumn::measured`] writes them.
    pub fn measured(&mut self) -> Option<(Cost, Layout)> {
        let layout =
            self.borrowed_text().and_then(|text| Layout::ALL.into_iter().find(|layout| layout.as_str() == text));
        let numbers = [self.number(), self.number(), self.number(), self.number(), self.number()];
        let layout = layout?;
        let [Some(text_tokens), Some(delimiter_tokens), Some(visual_tokens), Some(num_images), Some(num_frames)] =
            numbers
        else {
            return None;
        };
        Some((Cost { text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames }, layout))
    }

    fn next_column(&mut self) -> Option<&ArrayRef> {
        self.column += 1;
        self.columns.get(self.column - 1)
    }
}
