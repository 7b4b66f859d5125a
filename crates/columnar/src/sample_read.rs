//! Reading tables of samples, one row at a time where images are read.
//!
//! Columns are found by name, so that a table whose columns were added to or reordered by others can still be read.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Int64Type;

use crate::file::{GroupPart, ParquetFile};
use crate::guard::RecordBatches;
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
        let leaf = leaf(file, "id", None, LeafKind::Text)?;
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
        leaves.push(leaf(file, text, None, LeafKind::Text)?);
    }
    for (list, field, kind) in [
        ("messages", "role", LeafKind::Text),
        ("messages", "content", LeafKind::Text),
        ("images", "path", LeafKind::Text),
        ("label_spans", "start", LeafKind::Plain),
        ("label_spans", "end", LeafKind::Plain),
    ] {
        leaves.push(leaf(file, list, Some(field), kind)?);
    }
    for count in ["num_tokens", "num_images"] {
        leaves.push(leaf(file, count, None, LeafKind::Plain)?);
    }
    if images == ImageBytes::Read {
        leaves.push(leaf(file, "images", Some("bytes"), LeafKind::Binary)?);
    }
    Ok(leaves)
}

/// The leaf of a column, or of a field of a column that is a list of structs.
fn leaf(file: &ParquetFile, column: &str, field: Option<&str>, kind: LeafKind) -> Result<usize, ColumnarError> {
    let shape = file.column(column)?;
    let found = match (shape, field) {
        (Shape::List(element), Some(field)) => match &**element {
            Shape::Struct(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, shape)| shape),
            _ => None,
        },
        (shape, None) => Some(shape),
        _ => None,
    };
    match found {
        Some(Shape::Leaf { leaf, kind: found }) if *found == kind => Ok(*leaf),
        _ => Err(ColumnarError::ColumnType {
            path: file.path.clone(),
            column: column.to_owned(),
            found: shape.to_string(),
            expected: match field {
                Some(field) => format!("a list of structs with {field:?}"),
                None => "a single value".to_owned(),
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
        num_tokens: integer(batch.column_by_name("num_tokens"), "num_tokens", row)?,
        num_images: integer(batch.column_by_name("num_images"), "num_images", row)?,
        metadata: text(batch.column_by_name("metadata"), "metadata", row)?,
    })
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
