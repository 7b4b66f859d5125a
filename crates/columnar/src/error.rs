//! What can go wrong with a Parquet file.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::ColumnKind;

/// What could not be done with a Parquet file.
#[derive(Debug, thiserror::Error)]
pub enum ColumnarError {
    /// The file could not be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not Parquet, or what was asked for could not be read from it.
    #[error("cannot read {path:?} as Parquet")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The values of the file could not be assembled.
    #[error("cannot decode the values of {path:?}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ArrowError,
    },
    /// A column that was asked for is not in the file.
    #[error("{path:?} has no column {column:?}; it has {found:?}")]
    ColumnMissing {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// The columns it has.
        found: Vec<String>,
    },
    /// A column has another type than the one asked for.
    #[error("column {column:?} of {path:?} is {found}, expected {expected}")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// Its type.
        found: String,
        /// The type expected.
        expected: String,
    },
    /// A row lacks a value that every row has.
    #[error("row {row} of a batch of {path:?} is not complete")]
    IncompleteRow {
        /// The file.
        path: PathBuf,
        /// The row within its batch, from 0.
        row: u64,
    },
    /// A row that was asked for is not in the file.
    #[error("{path:?} has no row {row}; it has {num_rows} rows")]
    RowMissing {
        /// The file.
        path: PathBuf,
        /// The row asked for, from 0.
        row: u64,
        /// How many rows it has.
        num_rows: u64,
    },
    /// A row of a table of samples does not hold a sample.
    #[error("row {row} of {path:?} is not a sample: {detail}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u64,
        /// What was found, in words.
        detail: String,
    },
    /// A batch given to a table writer does not fit the table's columns.
    #[error(
        "column {index} of the batch is {found:?} with {num_rows} rows, expected {expected:?} with {expected_rows}"
    )]
    BatchShape {
        /// Position of the column.
        index: usize,
        /// Kind of the column given; `None` if there is none.
        found: Option<ColumnKind>,
        /// Number of its rows.
        num_rows: usize,
        /// Kind of the table's column; `None` if it has none.
        expected: Option<ColumnKind>,
        /// Number of rows of the first column of the batch.
        expected_rows: usize,
    },
    /// A row is too large for one row group.
    #[error("row {id:?} has {num_bytes} bytes, at most {max_bytes} are possible")]
    RowTooLarge {
        /// Id of the row.
        id: String,
        /// Its size in bytes.
        num_bytes: usize,
        /// The most that are possible.
        max_bytes: usize,
    },
    /// Values could not be written.
    #[error("cannot write Parquet")]
    Write {
        /// Why.
        #[source]
        source: ParquetError,
    },
}
