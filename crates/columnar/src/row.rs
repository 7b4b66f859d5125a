//! Rows of a foreign Parquet file as JSON texts.
//!
//! It neither knows nor checks what the columns mean.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use manyframe_base::InputFile;

use crate::error::ColumnarError;
use crate::file::ParquetFile;
use crate::guard::RecordBatches;
use crate::json::{Row, RowEncoder};
use crate::pages::GroupPart;
use crate::plan::GroupPlan;

/// An open Parquet file whose rows can be listed. Opening reads the footer only; clones share it.
#[derive(Debug, Clone)]
pub struct RowReader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: ParquetFile,
    /// One a row group, made when the group is first read.
    plans: Vec<OnceLock<GroupPlan>>,
}

/// Rows in order, with their position in the file. After an error there are no more.
pub struct Rows {
    inner: Arc<Inner>,
    /// Rows that were not returned yet.
    range: Range<u64>,
    open: Option<OpenGroup>,
    batch: Option<OpenBatch>,
}

struct OpenGroup {
    group: usize,
    batches: RecordBatches,
}

struct OpenBatch {
    encoder: RowEncoder,
    rows: Range<usize>,
}

impl RowReader {
    /// Opens a file and reads its footer.
    pub fn open(path: &Path) -> Result<Self, ColumnarError> {
        Self::of_file(ParquetFile::open(path)?)
    }

    /// Reads the footer of an open file.
    pub fn of(file: InputFile) -> Result<Self, ColumnarError> {
        Self::of_file(ParquetFile::of(file)?)
    }

    fn of_file(file: ParquetFile) -> Result<Self, ColumnarError> {
        let mut names = BTreeSet::new();
        let twice = file.column_names().find(|name| !names.insert(*name)).map(str::to_owned);
        if let Some(column) = twice {
            return Err(ColumnarError::ColumnTwice { path: file.path, column });
        }
        let plans = (0..file.num_groups()).map(|_| OnceLock::new()).collect();
        Ok(Self { inner: Arc::new(Inner { file, plans }) })
    }

    /// Number of rows in the file.
    pub fn num_rows(&self) -> u64 {
        self.inner.file.num_rows
    }

    /// Number of row groups, which is how finely the file can be read in parallel.
    pub fn num_row_groups(&self) -> usize {
        self.inner.file.num_groups()
    }

    /// Names of the top-level columns, in the order of the file.
    pub fn column_names(&self) -> Vec<&str> {
        self.inner.file.column_names().collect()
    }

    /// Names of the top-level columns that have bytes, wherever in them, which rows do not show.
    pub fn columns_with_bytes(&self) -> impl Iterator<Item = &str> {
        self.inner.file.columns.iter().filter(|(_, shape)| shape.has_bytes()).map(|(name, _)| name.as_str())
    }

    /// The rows of a range (cut at the end of the file), each with its position in the file.
    pub fn rows(&self, range: Range<u64>) -> Result<Rows, ColumnarError> {
        let end = range.end.min(self.num_rows());
        Ok(Rows { inner: Arc::clone(&self.inner), range: range.start.min(end)..end, open: None, batch: None })
    }

    /// One row. A row that the file does not have is an error.
    pub fn row(&self, row: u64) -> Result<Row, ColumnarError> {
        let missing =
            || ColumnarError::RowMissing { path: self.inner.file.path.clone(), row, num_rows: self.num_rows() };
        let (_, row) = self.rows(row..row.saturating_add(1))?.next().ok_or_else(missing)??;
        Ok(row)
    }
}

impl Rows {
    fn open_batch(&mut self) -> Result<OpenBatch, ColumnarError> {
        let file = &self.inner.file;
        let group = file.group_of(self.range.start);
        let plan = self.inner.plans.get(group).map(|plan| plan.get_or_init(|| GroupPlan::new(file, group)));
        let plan = plan.ok_or_else(|| file.ended_early(group))?;
        let open = self.open.take().filter(|open| open.group == group).map_or_else(
            || {
                let rows = file.group_rows(group);
                let range = self.range.start - rows.start..self.range.end.min(rows.end) - rows.start;
                let part = GroupPart { group, leaves: plan.leaves.clone(), rows: range, batch_rows: plan.batch_rows };
                Ok(OpenGroup { group, batches: file.read(part)? })
            },
            Ok,
        );
        let mut open = open?;
        let batch = open.batches.next().ok_or_else(|| file.ended_early(group))??;
        let num_rows = batch.num_rows();
        let encoder = RowEncoder::new(&file.columns, plan, batch.columns().to_vec())
            .map_err(|source| file.cannot_decode(source))?;
        self.open = Some(open);
        Ok(OpenBatch { encoder, rows: 0..num_rows })
    }
}

impl Iterator for Rows {
    type Item = Result<(u64, Row), ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.range.is_empty() {
            if let Some(batch) = &mut self.batch
                && let Some(row) = batch.rows.next()
            {
                let position = self.range.start;
                self.range.start += 1;
                return Some(Ok((position, batch.encoder.row(row))));
            }
            match self.open_batch() {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => {
                    self.range = 0..0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
