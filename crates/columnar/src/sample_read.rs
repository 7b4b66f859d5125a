//! Reading tables of samples, one row at a time where images are read.
//!
//! Columns are found by name, so that a table whose columns were added to or reordered by others can still be read.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{Int32Type, Int64Type};
use manyframe_core::SampleTokens;

use crate::file::{GroupPart, ParquetFile};
use crate::guard::RecordBatches;
use crate::sample_table::TOKEN_COLUMNS;
use crate::shape::{LeafKind, Shape};
use crate::{ColumnarError, ImageBytes, ImageCell, SampleRow};

/// Rows decoded at once where images are not read.
const BATCH_ROWS: usize = 64;

/// An open table of samples. Opening reads the footer only; clones share it.
#[derive(Debug, Clone)]
pub struct SampleTableReader {
    file: Arc<ParquetFile>,
}

/// Rows in order. After an error there are no more.
pub struct SampleRows {
    file: Arc<ParquetFile>,
    leaves: Vec<usize>,
    batch_rows: usize,
    /// Rows not handed out yet.
    range: Range<u64>,
    group: Option<(usize, RecordBatches)>,
    batch: Option<(RecordBatch, Range<usize>)>,
}

impl SampleTableReader {
    /// Opens a table and reads its footer.
    pub fn open(path: &Path) -> Result<Self, ColumnarError> {
        Ok(Self { file: Arc::new(ParquetFile::open(path)?) })
    }

    /// Number of rows.
    pub fn num_rows(&self) -> u64 {
        self.file.num_rows
    }

    /// The rows of a range (cut at the end of the table).
    pub fn rows(&self, range: Range<u64>, images: ImageBytes) -> Result<SampleRows, ColumnarError> {
        let end = range.end.min(self.num_rows());
        let batch_rows = match images {
            ImageBytes::Read => 1,
            ImageBytes::Skip => BATCH_ROWS,
        };
        Ok(SampleRows {
            file: Arc::clone(&self.file),
            leaves: sample_leaves(&self.file, images)?,
            batch_rows,
            range: range.start.min(end)..end,
            group: None,
            batch: None,
        })
    }

    /// The first row with an id. Reads the column of ids only.
    pub fn find(&self, id: &str) -> Result<Option<u64>, ColumnarError> {
        let file = &self.file;
        let leaf = leaf(file, "id", Place::Value, LeafKind::Text)?;
        for group in 0..file.num_groups() {
            let rows = file.group_rows(group);
            let part = GroupPart { group, leaves: &[leaf], rows: 0..rows.end - rows.start, batch_rows: BATCH_ROWS };
            let mut row = rows.start;
            for batch in file.read(&part)? {
                let batch = batch?;
                let ids = batch.columns().first().and_then(|ids| ids.as_binary_opt::<i32>());
                let found = ids.and_then(|ids| ids.iter().position(|found| found == Some(id.as_bytes())));
                if let Some(position) = found {
                    return Ok(Some(row + position as u64));
                }
                row += batch.num_rows() as u64;
            }
        }
        Ok(None)
    }
}

impl SampleRows {
    fn read_batch(&mut self) -> Result<RecordBatch, ColumnarError> {
        let group = self.file.group_of(self.range.start);
        let open = self.group.take().filter(|(open, _)| *open == group);
        let mut reader = open.map_or_else(|| self.open_group(group), |(_, reader)| Ok(reader))?;
        let batch = reader.next().ok_or_else(|| self.file.ended_early(group))??;
        self.group = Some((group, reader));
        Ok(batch)
    }

    fn open_group(&self, group: usize) -> Result<RecordBatches, ColumnarError> {
        let rows = self.file.group_rows(group);
        let range = self.range.start - rows.start..self.range.end.min(rows.end) - rows.start;
        self.file.read(&GroupPart { group, leaves: &self.leaves, rows: range, batch_rows: self.batch_rows })
    }

    fn read_row(&mut self) -> Result<SampleRow<'static>, ColumnarError> {
        loop {
            if let Some((batch, rows)) = &mut self.batch
                && let Some(row) = rows.next()
            {
                let position = self.range.start;
                self.range.start += 1;
                return sample_row(batch, row).map_err(|detail| ColumnarError::Row {
                    path: self.file.path.clone(),
                    row: position,
                    detail,
                });
            }
            let batch = self.read_batch()?;
            let rows = 0..batch.num_rows();
            self.batch = Some((batch, rows));
        }
    }
}

impl Iterator for SampleRows {
    type Item = Result<SampleRow<'static>, ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.range.is_empty() {
            return None;
        }
        let row = self.read_row();
        if row.is_err() {
            self.range = 0..0;
        }
        Some(row)
    }
}

fn sample_leaves(file: &ParquetFile, images: ImageBytes) -> Result<Vec<usize>, ColumnarError> {
    let mut leaves = Vec::new();
    for text in ["id", "source", "subset", "layout", "prompt", "metadata"] {
        leaves.push(leaf(file, text, Place::Value, LeafKind::Text)?);
    }
    for (list, field, kind) in [
        ("messages", "role", LeafKind::Text),
        ("messages", "content", LeafKind::Text),
        ("images", "path", LeafKind::Text),
        ("label_spans", "start", LeafKind::Plain),
        ("label_spans", "end", LeafKind::Plain),
    ] {
        leaves.push(leaf(file, list, Place::Field(field), kind)?);
    }
    for count in ["num_tokens", "num_images"] {
        leaves.push(leaf(file, count, Place::Value, LeafKind::Plain)?);
    }
    // Tables of earlier versions have none of these columns.
    if file.column_names().any(|name| TOKEN_COLUMNS.contains(&name)) {
        for integers in TOKEN_COLUMNS {
            leaves.push(leaf(file, integers, Place::Element, LeafKind::Plain)?);
        }
    }
    if images == ImageBytes::Read {
        leaves.push(leaf(file, "images", Place::Field("bytes"), LeafKind::Binary)?);
    }
    Ok(leaves)
}

/// Where a leaf is in its column.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// It is the column.
    Value,
    /// The column is a list of them.
    Element,
    /// The column is a list of structs, of which it is a field.
    Field(&'a str),
}

fn leaf(file: &ParquetFile, column: &str, place: Place<'_>, kind: LeafKind) -> Result<usize, ColumnarError> {
    let shape = file.column(column)?;
    let found = match (shape, place) {
        (shape, Place::Value) => Some(shape),
        (Shape::List(element), Place::Element) => Some(&**element),
        (Shape::List(element), Place::Field(field)) => match &**element {
            Shape::Struct(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, shape)| shape),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some(Shape::Leaf { leaf, kind: found }) if *found == kind => Ok(*leaf),
        _ => Err(ColumnarError::ColumnType {
            path: file.path.clone(),
            column: column.to_owned(),
            found: shape.to_string(),
            expected: match place {
                Place::Value => "a single value".to_owned(),
                Place::Element => "a list of numbers".to_owned(),
                Place::Field(field) => format!("a list of structs with {field:?}"),
            },
        }),
    }
}

fn sample_row(batch: &RecordBatch, row: usize) -> Result<SampleRow<'static>, String> {
    let messages = list(batch, "messages", row)?;
    let images = list(batch, "images", row)?;
    let spans = list(batch, "label_spans", row)?;
    let images = (0..images.len()).map(|index| image(&images, index)).collect::<Result<_, _>>()?;
    let messages = (0..messages.len())
        .map(|index| Ok((field_text(&messages, "role", index)?, field_text(&messages, "content", index)?)))
        .collect::<Result<_, String>>()?;
    let label_spans = (0..spans.len())
        .map(|index| Ok((field_integer(&spans, "start", index)?, field_integer(&spans, "end", index)?)))
        .collect::<Result<_, String>>()?;
    Ok(SampleRow {
        id: text(batch.column_by_name("id"), "id", row)?,
        source: text(batch.column_by_name("source"), "source", row)?,
        subset: text(batch.column_by_name("subset"), "subset", row)?,
        layout: text(batch.column_by_name("layout"), "layout", row)?,
        messages,
        images,
        prompt: text(batch.column_by_name("prompt"), "prompt", row)?,
        label_spans,
        tokens: tokens(batch, row)?.map(Cow::Owned),
        num_tokens: integer(batch.column_by_name("num_tokens"), "num_tokens", row)?,
        num_images: integer(batch.column_by_name("num_images"), "num_images", row)?,
        metadata: text(batch.column_by_name("metadata"), "metadata", row)?,
    })
}

fn tokens(batch: &RecordBatch, row: usize) -> Result<Option<SampleTokens>, String> {
    let [input_ids, labels, positions] = TOKEN_COLUMNS.map(|name| integers(batch, name, row));
    match (input_ids?, labels?, positions?) {
        (Some(input_ids), Some(labels), Some(positions)) => {
            let position = |n: i32| u32::try_from(n).map_err(|_negative| format!("image position {n} is negative"));
            let image_positions = positions.into_iter().map(position).collect::<Result<_, _>>()?;
            Ok(Some(SampleTokens { input_ids, labels, image_positions }))
        }
        (None, None, None) => Ok(None),
        _ => Err(format!("only some of {TOKEN_COLUMNS:?} are absent")),
    }
}

fn image(images: &StructArray, index: usize) -> Result<ImageCell<'static>, String> {
    let path = field_text(images, "path", index)?;
    let Some(column) = images.column_by_name("bytes") else {
        return Ok(ImageCell { bytes: Cow::Borrowed(&[]), path });
    };
    let bytes = column.as_binary_opt::<i32>().filter(|bytes| index < bytes.len() && !bytes.is_null(index));
    let bytes = bytes.ok_or_else(|| format!("image {path:?} has no bytes"))?;
    Ok(ImageCell { bytes: Cow::Owned(bytes.value(index).to_vec()), path })
}

fn field_text(structs: &StructArray, name: &str, index: usize) -> Result<String, String> {
    text(structs.column_by_name(name), name, index)
}

fn field_integer(structs: &StructArray, name: &str, index: usize) -> Result<i64, String> {
    integer(structs.column_by_name(name), name, index)
}

fn text(column: Option<&Arc<dyn Array>>, name: &str, row: usize) -> Result<String, String> {
    let texts = column.and_then(|column| column.as_binary_opt::<i32>());
    let texts = texts.filter(|texts| row < texts.len() && !texts.is_null(row));
    let bytes = texts.ok_or_else(|| format!("{name:?} is absent"))?.value(row);
    String::from_utf8(bytes.to_vec()).map_err(|utf8| format!("{name:?} is not UTF-8: {utf8}"))
}

fn integer(column: Option<&Arc<dyn Array>>, name: &str, row: usize) -> Result<i64, String> {
    let integers = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    let integers = integers.filter(|integers| row < integers.len() && !integers.is_null(row));
    Ok(integers.ok_or_else(|| format!("{name:?} is not a 64-bit integer"))?.value(row))
}

/// The elements of a list of structs. An absent list has none.
fn list(batch: &RecordBatch, name: &str, row: usize) -> Result<StructArray, String> {
    let lists = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
    let lists = lists.filter(|lists| row < lists.len()).ok_or_else(|| format!("{name:?} is not a list"))?;
    let elements = if lists.is_null(row) { lists.values().slice(0, 0) } else { lists.value(row) };
    let structs = elements.as_struct_opt().ok_or_else(|| format!("{name:?} is not a list of structs"))?;
    Ok(structs.clone())
}

/// A list of integers, if there is one.
fn integers(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<Vec<i32>>, String> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let lists = column.as_list_opt::<i32>().filter(|lists| row < lists.len());
    let lists = lists.ok_or_else(|| format!("{name:?} is not a list"))?;
    if lists.is_null(row) {
        return Ok(None);
    }
    let list = lists.value(row);
    let integers = list.as_primitive_opt::<Int32Type>().filter(|integers| integers.null_count() == 0);
    let integers = integers.ok_or_else(|| format!("{name:?} is not a list of 32-bit integers"))?;
    Ok(Some(integers.values().to_vec()))
}
