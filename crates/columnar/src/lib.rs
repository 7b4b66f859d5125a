//! Parquet: rows of foreign files as JSON, single cells of such files, and tables that manyframe defines itself.
//!
//! ```text
//! foreign file ──▶ RowReader  ──▶ one JSON text per row (binary cells as `true`)
//!              └─▶ CellReader ──▶ the bytes of one binary cell
//! table! { … } ──▶ TableWriter ──▶ file ──▶ TableReader     our own tables, each column defined once
//! ```
//!
//! It is the only crate that names Arrow or Parquet, and neither appears in its interface. It knows nothing of records
//! or samples, nor what the columns of a foreign file mean, and never decodes an image.
//!
//! **Invariant:** no file, however damaged, makes anything here panic; the memory needed is bounded by the largest
//! page and row of a file, not by its row groups.

mod builder;
mod cell;
mod cells;
mod chunks;
mod column;
mod columns;
mod error;
mod file;
mod guard;
mod json;
mod nesting;
mod page_index;
mod pages;
mod plan;
mod round_trip;
mod row;
mod shape;
mod table_read;
mod table_write;
mod text_form;
mod thrift;

pub use builder::CellWriter;
pub use cell::{CellLocation, CellReader};
pub use cells::RowCells;
pub use column::{Column, ColumnStorage, ColumnType, schema_of_row};
pub use columns::{Columns, Definition, List, columns_of};
pub use error::ColumnarError;
pub use json::Row;
pub use round_trip::check_round_trip;
pub use row::{RowReader, Rows};
pub use table_read::{Selection, TableReader, TableRows};
pub use table_write::{Descriptions, RawValues, Statistics, TableCompression, TableOptions, TableWriter};
