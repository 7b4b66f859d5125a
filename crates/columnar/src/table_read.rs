//! Reading tables. Columns are found by name, so that a table to which others added columns, or whose columns they
//! reordered, can still be read. An optional column that the file lacks is absent in every row: tables may gain such
//! columns, and older files stay readable.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::ArrowError;
use arrow_schema::DataType;
use manyframe_base::InputFile;

use crate::cells::{ColumnCells, RowCells};
use crate::column::{Column, ColumnType};
use crate::columns::{Columns, columns_of};
use crate::error::ColumnarError;
use crate::file::ParquetFile;
use crate::guard::RecordBatches;
use crate::pages::GroupPart;
use crate::shape::{LeafKind, Shape};
use crate::table_write::BATCH_ROWS;

/// An open table. Opening reads the footer only; clones share it.
pub struct TableReader<T> {
    file: Arc<ParquetFile>,
    table: PhantomData<fn() -> T>,
}

/// Which part of a table is read.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// Its rows, cut at the end of the table.
    pub rows: Range<u64>,
    /// Columns that are not read and need not exist, such as `images`, or `images.bytes` for a field of its elements.
    /// They must be optional, or lists of structs.
    pub without: &'a [&'a str],
    /// How many rows are decoded at once.
    pub batch_rows: usize,
}

/// Rows in order. After an error there are no more.
pub struct TableRows<T> {
    file: Arc<ParquetFile>,
    columns: Vec<Column>,
    leaves: Vec<usize>,
    batch_rows: usize,
    /// Rows that were not returned yet.
    rows: Range<u64>,
    group: Option<(usize, RecordBatches)>,
    batch: Option<(Vec<ColumnCells>, Range<usize>)>,
    table: PhantomData<fn() -> T>,
}

impl<T> Clone for TableReader<T> {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file), table: PhantomData }
    }
}

impl<T: Columns> TableReader<T> {
    /// Opens a table and reads its footer.
    pub fn open(path: &Path) -> Result<Self, ColumnarError> {
        Ok(Self { file: Arc::new(ParquetFile::open(path)?), table: PhantomData })
    }

    /// Reads the footer of an open table.
    pub fn of(file: InputFile) -> Result<Self, ColumnarError> {
        Ok(Self { file: Arc::new(ParquetFile::of(file)?), table: PhantomData })
    }

    /// Number of rows.
    pub fn num_rows(&self) -> u64 {
        self.file.num_rows
    }

    /// Names of the columns that the file has, in its order.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.file.column_names()
    }

    /// Every row with all of its columns.
    pub fn all_rows(&self) -> Result<TableRows<T>, ColumnarError> {
        self.rows(&Selection { rows: 0..u64::MAX, without: &[], batch_rows: BATCH_ROWS })
    }

    /// The rows of a selection.
    ///
    /// # Errors
    /// If the file lacks a column of the table that is not optional, or has one of another type.
    pub fn rows(&self, selection: &Selection<'_>) -> Result<TableRows<T>, ColumnarError> {
        let end = selection.rows.end.min(self.num_rows());
        let columns = columns_of::<T>();
        let mut leaves = Vec::new();
        for column in columns.iter().filter(|column| !selection.without.contains(&column.name)) {
            let shape = match self.file.column(column.name) {
                Err(ColumnarError::ColumnMissing { .. }) if column.is_optional => continue,
                found => found?,
            };
            let part =
                ColumnPart { column_type: &column.column_type, shape, path: column.name, without: selection.without };
            self.leaves(&part, &mut leaves).ok_or_else(|| ColumnarError::ColumnType {
                path: self.file.path.clone(),
                column: column.name.to_owned(),
                found: shape.to_string(),
                expected: column.column_type.to_string(),
            })?;
        }
        Ok(TableRows {
            file: Arc::clone(&self.file),
            columns,
            leaves,
            batch_rows: selection.batch_rows,
            rows: selection.rows.start.min(end)..end,
            group: None,
            batch: None,
            table: PhantomData,
        })
    }

    /// Collects the leaves of a column. `None` if the file has another type there.
    fn leaves(&self, part: &ColumnPart<'_>, leaves: &mut Vec<usize>) -> Option<()> {
        match (part.column_type, part.shape) {
            (ColumnType::List { element, .. }, Shape::List(shape)) => {
                self.leaves(&ColumnPart { column_type: element, shape, ..*part }, leaves)
            }
            // Without any of its fields, elements could not be counted.
            (ColumnType::Struct(fields), Shape::Struct(shapes))
                if !fields.iter().any(|field| shapes.iter().any(|(name, _)| name == field.name)) =>
            {
                None
            }
            (ColumnType::Struct(fields), Shape::Struct(shapes)) => fields.iter().try_for_each(|field| {
                let path = format!("{}.{}", part.path, field.name);
                if part.without.contains(&path.as_str()) {
                    return Some(());
                }
                match shapes.iter().find(|(name, _)| name == field.name) {
                    Some((_, shape)) => self
                        .leaves(&ColumnPart { column_type: &field.column_type, shape, path: &path, ..*part }, leaves),
                    None => field.is_optional.then_some(()),
                }
            }),
            (plain, &Shape::Leaf { leaf, kind }) => {
                let fits = match plain {
                    ColumnType::Text => kind == LeafKind::Text,
                    ColumnType::Bytes => {
                        kind == LeafKind::Binary && self.file.leaf_type(leaf) == Some(&DataType::Binary)
                    }
                    plain => self.file.leaf_type(leaf) == Some(&plain.arrow_type()),
                };
                fits.then(|| leaves.push(leaf))
            }
            _ => None,
        }
    }
}

/// A part of a column: as the table defines it, and as the file has it.
#[derive(Clone, Copy)]
struct ColumnPart<'a> {
    column_type: &'a ColumnType,
    shape: &'a Shape,
    /// Its name, after those of the columns around it.
    path: &'a str,
    /// Paths that are not read.
    without: &'a [&'a str],
}

impl<T: Columns> TableRows<T> {
    fn read_row(&mut self) -> Result<T::Output, ColumnarError> {
        loop {
            if let Some((columns, rows)) = &mut self.batch
                && let Some(row) = rows.next()
            {
                let position = self.rows.start;
                self.rows.start += 1;
                let path = &self.file.path;
                return T::read(&mut RowCells::new(columns, row)).map_err(|detail| ColumnarError::Row {
                    path: path.clone(),
                    row: position,
                    detail,
                });
            }
            self.batch = Some(self.read_batch()?);
        }
    }

    fn read_batch(&mut self) -> Result<(Vec<ColumnCells>, Range<usize>), ColumnarError> {
        let group = self.file.group_of(self.rows.start);
        let open = self.group.take().filter(|(open, _)| *open == group);
        let mut reader = open.map_or_else(|| self.open_group(group), |(_, reader)| Ok(reader))?;
        let batch = reader.next().ok_or_else(|| self.file.ended_early(group))??;
        self.group = Some((group, reader));
        let cells = self.columns.iter().map(|column| ColumnCells::new(column, batch.column_by_name(column.name)));
        let cells = cells.collect::<Result<_, _>>().map_err(|found| {
            self.file.cannot_decode(ArrowError::SchemaError(format!("{found}, which the footer does not say")))
        })?;
        Ok((cells, 0..batch.num_rows()))
    }

    fn open_group(&self, group: usize) -> Result<RecordBatches, ColumnarError> {
        let rows = self.file.group_rows(group);
        let range = self.rows.start - rows.start..self.rows.end.min(rows.end) - rows.start;
        self.file.read(GroupPart { group, leaves: self.leaves.clone(), rows: range, batch_rows: self.batch_rows })
    }
}

impl<T: Columns> Iterator for TableRows<T> {
    type Item = Result<T::Output, ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows.is_empty() {
            return None;
        }
        let row = self.read_row();
        if row.is_err() {
            self.rows = 0..0;
        }
        Some(row)
    }
}
