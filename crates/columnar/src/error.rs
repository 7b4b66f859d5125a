//! Errors of reading and writing Parquet files.

use std::io;
use std::path::PathBuf;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

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
    /// The file is not Parquet, or a part of it could not be read.
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
    /// The file has a column twice, so that a value would be left out.
    #[error("two columns of {path:?} have the name {column:?}")]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// The file lacks a column.
    #[error("{path:?} has no column {column:?}; it has {found:?}")]
    ColumnMissing {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns it has.
        found: Vec<String>,
    },
    /// A column has another type than expected.
    #[error("column {column:?} of {path:?} is {found}, expected {expected}")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The type expected.
        expected: String,
    },
    /// The file lacks a row.
    #[error("{path:?} has no row {row}; it has {num_rows} rows")]
    RowMissing {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u64,
        /// How many rows it has.
        num_rows: u64,
    },
    /// A row of a table does not hold what its rows hold.
    #[error("cannot read row {row} of {path:?}: {detail}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u64,
        /// What was found.
        detail: String,
    },
    /// Values could not be written.
    #[error("cannot write Parquet")]
    Write {
        /// Why.
        #[source]
        source: ParquetError,
    },
}
