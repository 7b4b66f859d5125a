//! Parquet files: rows of foreign files as JSON, single cells of them, plain tables, and the table of samples.
//!
//! ```text
//! foreign file ──▶ RowReader  ──▶ one JSON text per row (binary cells as `true`)
//!              └─▶ CellReader ──▶ the bytes of one binary cell
//! index, ledger ◀─▶ TableWriter, TableReader              columns of plain values
//! shards        ◀─▶ SampleTableWriter, SampleTableReader  one row per sample
//! ```
//!
//! It is the only crate that names Arrow or Parquet, and neither appears in its interface.
//! It does not know what the columns of a foreign file mean, and never decodes an image.
//!
//! **Invariant:** no file, however damaged, makes anything here panic; the memory needed is bounded by the largest
//! page and row of a file, not by its row groups.

mod cell;
mod chunks;
mod error;
mod file;
mod guard;
mod json;
mod nesting;
mod plan;
mod record_table;
mod row;
mod sample_read;
mod sample_table;
mod sample_write;
mod shape;
mod table;
mod table_read;
mod table_write;

pub use cell::CellReader;
pub use error::ColumnarError;
pub use record_table::{Cursor, RowColumn, RowWriter, read_rows, schema_of_rows};
pub use row::{Row, RowReader, Rows};
pub use sample_read::{SampleRows, SampleTableReader};
pub use sample_table::{ImageBytes, ImageCell, SampleRow};
pub use sample_write::SampleTableWriter;
pub use table::{Column, ColumnKind, ColumnSpec};
pub use table_read::{Batches, TableReader};
pub use table_write::TableWriter;
