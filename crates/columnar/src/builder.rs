//! The values of a batch that is being filled, one cell at a time.
//!
//! ```text
//! CellWriter ──▶ Builder of the next column ──▶ Arrow array
//!                List ──▶ Builder of its elements ──▶ Struct ──▶ CellWriter over its fields
//! ```

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Float64Builder, Int32Builder, Int64Builder, NullBufferBuilder,
    StringBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::ArrowError;
use arrow_schema::{FieldRef, Fields};

use crate::column::{Column, ColumnType, NUM_ID_BYTES, element_field, struct_fields};

/// Takes the cells of one row, in the order of the columns.
///
/// Only implementations of [`Columns`](crate::Columns) fill it, in the order in which they define their columns.
pub struct CellWriter<'b> {
    columns: std::slice::IterMut<'b, Builder>,
}

/// The values of a column, or of a part of one.
pub(crate) enum Builder {
    Text(StringBuilder),
    U64(UInt64Builder),
    I64(Int64Builder),
    I32(Int32Builder),
    F64(Float64Builder),
    Bytes(BinaryBuilder),
    Bytes16(FixedSizeBinaryBuilder),
    List(Box<ListBuilder>),
    Struct { fields: Fields, values: Vec<Builder> },
}

/// Lists that are filled element by element.
pub(crate) struct ListBuilder {
    field: FieldRef,
    lengths: Vec<usize>,
    validity: NullBufferBuilder,
    pub(crate) elements: Builder,
}

impl<'b> CellWriter<'b> {
    pub(crate) fn new(columns: &'b mut [Builder]) -> Self {
        Self { columns: columns.iter_mut() }
    }

    /// The builder of the next column.
    #[expect(
        clippy::expect_used,
        reason = "a table writes as many cells as it defines columns: both come from one list"
    )]
    pub(crate) fn next_column(&mut self) -> &'b mut Builder {
        self.columns.next().expect("a table writes no more cells than it has columns")
    }
}

impl Builder {
    pub(crate) fn new(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::U64 => Self::U64(UInt64Builder::new()),
            ColumnType::I64 => Self::I64(Int64Builder::new()),
            ColumnType::I32 => Self::I32(Int32Builder::new()),
            ColumnType::F64 => Self::F64(Float64Builder::new()),
            ColumnType::Bytes => Self::Bytes(BinaryBuilder::new()),
            ColumnType::Bytes16 => Self::Bytes16(FixedSizeBinaryBuilder::new(NUM_ID_BYTES)),
            ColumnType::List { element_name, element } => Self::List(Box::new(ListBuilder {
                field: element_field(element_name, element),
                lengths: Vec::new(),
                validity: NullBufferBuilder::new(0),
                elements: Self::new(element),
            })),
            ColumnType::Struct(columns) => {
                Self::Struct { fields: struct_fields(columns), values: Self::of_columns(columns) }
            }
        }
    }

    pub(crate) fn of_columns(columns: &[Column]) -> Vec<Self> {
        columns.iter().map(|column| Self::new(&column.column_type)).collect()
    }

    /// The values so far; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(values) => Arc::new(values.finish()),
            Self::U64(values) => Arc::new(values.finish()),
            Self::I64(values) => Arc::new(values.finish()),
            Self::I32(values) => Arc::new(values.finish()),
            Self::F64(values) => Arc::new(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
            Self::Bytes16(values) => Arc::new(values.finish()),
            Self::List(list) => Arc::new(list.finish()?),
            Self::Struct { fields, values } => {
                Arc::new(StructArray::try_new(fields.clone(), Self::finish_all(values)?, None)?)
            }
        })
    }

    pub(crate) fn finish_all(builders: &mut [Self]) -> Result<Vec<ArrayRef>, ArrowError> {
        builders.iter_mut().map(Self::finish).collect()
    }
}

impl ListBuilder {
    /// Ends a list of this many elements, which were appended to [`Self::elements`].
    pub(crate) fn end_list(&mut self, length: usize) {
        self.lengths.push(length);
        self.validity.append_non_null();
    }

    /// Appends no list.
    pub(crate) fn append_null(&mut self) {
        self.lengths.push(0);
        self.validity.append_null();
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let elements = self.elements.finish()?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        ListArray::try_new(Arc::clone(&self.field), offsets, elements, self.validity.finish())
    }
}
