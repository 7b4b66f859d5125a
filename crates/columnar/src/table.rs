//! Plain tables: a few columns of plain values or lists of them, for index, ledger and packs.
//!
//! Deeper nesting and foreign types are no business of theirs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use manyframe_core::RecordId;

/// Bytes of a record id.
const ID_BYTES: i32 = 16;

/// The values of one column. Every value may be absent.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// UTF-8 text.
    Text(Vec<Option<String>>),
    /// Unsigned integers.
    U64(Vec<Option<u64>>),
    /// Signed integers.
    I64(Vec<Option<i64>>),
    /// Floating-point numbers.
    F64(Vec<Option<f64>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// Record ids, stored as 16 bytes.
    Id(Vec<Option<RecordId>>),
    /// Lists of unsigned integers; never absent.
    U64List(Vec<Vec<u64>>),
    /// Lists of texts; never absent.
    TextList(Vec<Vec<String>>),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// [`Column::Text`].
    Text,
    /// [`Column::U64`].
    U64,
    /// [`Column::I64`].
    I64,
    /// [`Column::F64`].
    F64,
    /// [`Column::Bool`].
    Bool,
    /// [`Column::Id`].
    Id,
    /// [`Column::U64List`].
    U64List,
    /// [`Column::TextList`].
    TextList,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
    /// What it holds, for people; may be empty. Kept in the file as the field's `description`.
    pub doc: String,
}

impl ColumnSpec {
    /// A column from its name, type and description.
    pub fn new(name: impl Into<String>, kind: ColumnKind, doc: impl Into<String>) -> Self {
        Self { name: name.into(), kind, doc: doc.into() }
    }
}

impl Column {
    /// The type of the values.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Self::Text(_) => ColumnKind::Text,
            Self::U64(_) => ColumnKind::U64,
            Self::I64(_) => ColumnKind::I64,
            Self::F64(_) => ColumnKind::F64,
            Self::Bool(_) => ColumnKind::Bool,
            Self::Id(_) => ColumnKind::Id,
            Self::U64List(_) => ColumnKind::U64List,
            Self::TextList(_) => ColumnKind::TextList,
        }
    }

    /// Number of values, absent ones included.
    pub fn num_rows(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Id(values) => values.len(),
            Self::U64List(values) => values.len(),
            Self::TextList(values) => values.len(),
        }
    }

    pub(crate) fn into_array(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(values) => Arc::new(StringArray::from(values)),
            Self::U64(values) => Arc::new(UInt64Array::from(values)),
            Self::I64(values) => Arc::new(Int64Array::from(values)),
            Self::F64(values) => Arc::new(Float64Array::from(values)),
            Self::Bool(values) => Arc::new(BooleanArray::from(values)),
            Self::Id(values) => {
                let ids = values.into_iter().map(|id| id.map(|id| id.0));
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, ID_BYTES)?)
            }
            Self::U64List(lists) => {
                let mut builder = ListBuilder::new(UInt64Builder::new());
                for list in lists {
                    builder.values().append_slice(&list);
                    builder.append(true);
                }
                Arc::new(builder.finish())
            }
            Self::TextList(lists) => {
                let mut builder = ListBuilder::new(StringBuilder::new());
                for list in lists {
                    for text in &list {
                        builder.values().append_value(text);
                    }
                    builder.append(true);
                }
                Arc::new(builder.finish())
            }
        })
    }

    pub(crate) fn from_array(kind: ColumnKind, array: &ArrayRef) -> Option<Self> {
        if array.data_type() != &kind.data_type() {
            return None;
        }
        Some(match kind {
            ColumnKind::Text => {
                Self::Text(array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
            }
            ColumnKind::U64 => Self::U64(array.as_primitive::<UInt64Type>().iter().collect()),
            ColumnKind::I64 => Self::I64(array.as_primitive::<Int64Type>().iter().collect()),
            ColumnKind::F64 => Self::F64(array.as_primitive::<Float64Type>().iter().collect()),
            ColumnKind::Bool => Self::Bool(array.as_boolean().iter().collect()),
            ColumnKind::Id => {
                let ids = array.as_fixed_size_binary().iter();
                Self::Id(ids.map(|id| Some(RecordId(id?.try_into().ok()?))).collect())
            }
            ColumnKind::U64List => {
                let list = |list: Option<ArrayRef>| {
                    list.map(|list| list.as_primitive::<UInt64Type>().iter().flatten().collect()).unwrap_or_default()
                };
                Self::U64List(array.as_list::<i32>().iter().map(list).collect())
            }
            ColumnKind::TextList => {
                let texts = |list: ArrayRef| list.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
                let list = |list: Option<ArrayRef>| list.map(texts).unwrap_or_default();
                Self::TextList(array.as_list::<i32>().iter().map(list).collect())
            }
        })
    }
}

impl ColumnKind {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::U64 => DataType::UInt64,
            Self::I64 => DataType::Int64,
            Self::F64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Id => DataType::FixedSizeBinary(ID_BYTES),
            Self::U64List => DataType::List(Arc::new(Field::new_list_field(DataType::UInt64, true))),
            Self::TextList => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        }
    }

    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        [Self::Text, Self::U64, Self::I64, Self::F64, Self::Bool, Self::Id, Self::U64List, Self::TextList]
            .into_iter()
            .find(|kind| kind.data_type() == *data_type)
    }
}
