//! Single binary cells of Parquet files, such as the bytes of one image.
//!
//! Reading the next row costs one row. Jumping costs one page if the file has a page index, and a scan from the
//! beginning of the row group if it has none.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use manyframe_base::InputFile;

use crate::error::ColumnarError;
use crate::file::ParquetFile;
use crate::guard::RecordBatches;
use crate::pages::GroupPart;
use crate::shape::{LeafKind, Shape, list_bounds};

/// Most files whose footers are kept, and most idle cursors in them.
const MAX_OPEN: usize = 16;
/// Maximum memory of idle cursors, in bytes, by estimate. One may be idle, whatever its size.
const MAX_IDLE_BYTES: u64 = 1 << 30;
/// How many rows are read and dropped rather than jumped over.
const MAX_DROPPED_ROWS: u64 = 64;

/// Reads binary cells, and keeps files open: up to 16 files and 1 GiB. Threads share it.
///
/// Cells are read fastest in the order of the file. A cursor holds a page, and a page may be as large as its writer
/// made it: Arrow's writers put up to 1024 images into one.
#[derive(Debug, Default)]
pub struct CellReader {
    open: Mutex<OpenFiles>,
}

/// Where a cell is.
#[derive(Debug, Clone, Copy)]
pub struct CellLocation<'a> {
    /// The file.
    pub file: &'a Path,
    /// The column.
    pub column: &'a str,
    /// The row, from 0.
    pub row: u64,
    /// The element of the list; 0 if the column is not a list.
    pub index: u32,
}

/// What is open and not in use by a thread; the most recently used last.
#[derive(Debug, Default)]
struct OpenFiles {
    files: Vec<Arc<ParquetFile>>,
    cursors: Vec<CellCursor>,
}

/// A position in a column, from which its rows can be read.
struct CellCursor {
    file: Arc<ParquetFile>,
    leaf: usize,
    group: usize,
    batches: RecordBatches,
    /// Memory it takes, by estimate.
    num_bytes: u64,
    /// Row that `batches` returns next.
    next_row: u64,
    /// The row before it, if it was read: its images are often read one by one.
    last: Option<ArrayRef>,
}

impl CellReader {
    /// A reader with no file open yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a cell in a column that is `list<struct<bytes, …>>`, `struct<bytes, …>`, `list<binary>` or `binary`.
    /// `None` if the cell is null, or its list has fewer elements.
    ///
    /// # Errors
    /// If the file cannot be read, or has no such row or column, or the column is of another type.
    pub fn read(&self, location: &CellLocation<'_>) -> Result<Option<Vec<u8>>, ColumnarError> {
        self.read_with(location, &InputFile::open)
    }

    /// As [`CellReader::read`], of files that are opened like this.
    ///
    /// # Errors
    /// As [`CellReader::read`].
    pub fn read_with(
        &self,
        location: &CellLocation<'_>,
        open: &dyn Fn(&Path) -> io::Result<InputFile>,
    ) -> Result<Option<Vec<u8>>, ColumnarError> {
        let &CellLocation { file, column, row, index } = location;
        let file = self.file(file, open)?;
        let leaf = bytes_leaf(&file, column)?;
        if row >= file.num_rows {
            return Err(ColumnarError::RowMissing { path: file.path.clone(), row, num_rows: file.num_rows });
        }
        let mut cursor = match self.take_cursor(&file, leaf, row) {
            Some(cursor) => cursor,
            None => CellCursor::open(file, leaf, row)?,
        };
        let bytes = cell(&cursor.row(row)?, 0, index).map(<[u8]>::to_vec);
        self.put_back(cursor);
        Ok(bytes)
    }

    fn file(
        &self,
        path: &Path,
        open: &dyn Fn(&Path) -> io::Result<InputFile>,
    ) -> Result<Arc<ParquetFile>, ColumnarError> {
        let known = self.with_open(|open| {
            let position = open.files.iter().position(|file| file.path == path)?;
            let file = open.files.remove(position);
            open.files.push(Arc::clone(&file));
            Some(file)
        });
        if let Some(file) = known {
            return Ok(file);
        }
        let opened = open(path).map_err(|source| ColumnarError::Open { path: path.to_owned(), source })?;
        let file = Arc::new(ParquetFile::of(opened)?);
        self.with_open(|open| {
            if open.files.len() >= MAX_OPEN {
                let closed = open.files.remove(0);
                open.cursors.retain(|cursor| cursor.file.path != closed.path);
            }
            open.files.push(Arc::clone(&file));
        });
        Ok(file)
    }

    /// The cursor that is at the row or closest before it.
    fn take_cursor(&self, file: &ParquetFile, leaf: usize, row: u64) -> Option<CellCursor> {
        self.with_open(|open| {
            let candidates = open.cursors.iter().enumerate();
            let (position, _) = candidates
                .filter_map(|(position, cursor)| Some((position, cursor.distance(file, leaf, row)?)))
                .min_by_key(|&(_, distance)| distance)?;
            Some(open.cursors.remove(position))
        })
    }

    fn put_back(&self, cursor: CellCursor) {
        self.with_open(|open| {
            open.cursors.push(cursor);
            let idle_bytes =
                |open: &OpenFiles| open.cursors.iter().map(|cursor| cursor.num_bytes).fold(0, u64::saturating_add);
            while open.cursors.len() > MAX_OPEN || (open.cursors.len() > 1 && idle_bytes(open) > MAX_IDLE_BYTES) {
                open.cursors.remove(0);
            }
        });
    }

    fn with_open<T>(&self, use_open: impl FnOnce(&mut OpenFiles) -> T) -> T {
        // A thread that panicked left whole cursors behind: they are moved in and out, never changed in place.
        use_open(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for CellCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellCursor")
            .field("file", &self.file.path)
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

impl CellCursor {
    fn open(file: Arc<ParquetFile>, leaf: usize, row: u64) -> Result<Self, ColumnarError> {
        let group = file.group_of(row);
        let rows = file.group_rows(group);
        let part =
            GroupPart { group, leaves: vec![leaf], rows: row - rows.start..rows.end - rows.start, batch_rows: 1 };
        let batches = file.read(part)?;
        let num_bytes = file.largest_page(group, leaf).saturating_mul(2);
        Ok(Self { file, leaf, group, batches, num_bytes, next_row: row, last: None })
    }

    /// How many rows are before this one; `None` if opening another cursor is better.
    fn distance(&self, file: &ParquetFile, leaf: usize, row: u64) -> Option<u64> {
        if self.file.path != file.path || self.leaf != leaf || self.group != file.group_of(row) {
            return None;
        }
        if self.last.is_some() && row + 1 == self.next_row {
            return Some(0);
        }
        let distance = row.checked_sub(self.next_row)?;
        (distance <= MAX_DROPPED_ROWS || !file.has_page_index(self.group)).then_some(distance)
    }

    fn row(&mut self, row: u64) -> Result<ArrayRef, ColumnarError> {
        while self.next_row <= row {
            let batch = self.batches.next().ok_or_else(|| self.file.ended_early(self.group))??;
            self.last = batch.columns().first().cloned();
            self.next_row += 1;
        }
        self.last.clone().ok_or_else(|| self.file.ended_early(self.group))
    }
}

fn bytes_leaf(file: &ParquetFile, column: &str) -> Result<usize, ColumnarError> {
    let shape = file.column(column)?;
    let element = match shape {
        Shape::List(element) => element,
        shape => shape,
    };
    let value = match element {
        Shape::Struct(fields) => fields.iter().find(|(name, _)| name == "bytes").map(|(_, field)| field),
        element => Some(element),
    };
    match value {
        // If all bytes are absent, writers declare the column as Arrow's type `null`.
        Some(Shape::Leaf { leaf, kind: LeafKind::Binary | LeafKind::Absent }) => Ok(*leaf),
        _ => Err(ColumnarError::ColumnType {
            path: file.path.clone(),
            column: column.to_owned(),
            found: shape.to_string(),
            expected: "binary, struct<bytes: binary>, or a list of these".to_owned(),
        }),
    }
}

/// The bytes in a row of an array of one leaf.
fn cell(array: &dyn Array, row: usize, index: u32) -> Option<&[u8]> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = list_bounds(list, row);
            let element = i32::try_from(index).ok().and_then(|index| start.checked_add(index))?;
            if element >= end {
                return None;
            }
            cell(list.values().as_ref(), usize::try_from(element).ok()?, 0)
        }
        DataType::Struct(_) => cell(array.as_struct().columns().first()?.as_ref(), row, index),
        DataType::Binary if index == 0 => Some(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) if index == 0 => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}
