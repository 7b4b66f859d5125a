//! The values of a batch that was read, one cell at a time.
//!
//! Text is kept as bytes: whether it is UTF-8 is decided cell by cell, so that one bad text breaks its own row only.

use std::cell::RefCell;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, UInt64Array,
};

use crate::column::{Column, ColumnType};
use crate::shape::list_bounds;

/// Hands out the cells of one row, in the order of the columns.
///
/// Only implementations of [`Columns`](crate::Columns) read it, in the order in which they define their columns.
pub struct RowCells<'a> {
    columns: std::slice::Iter<'a, ColumnCells>,
    row: usize,
}

/// The values of one column in a batch.
pub(crate) struct ColumnCells {
    name: &'static str,
    values: Values,
    /// The text that was last shared: texts such as file names repeat from row to row, and one allocation serves them all.
    last_shared: RefCell<Arc<str>>,
}

/// The values of a column, or of a part of one.
enum Values {
    /// The column was not read.
    NotRead,
    Text(BinaryArray),
    U64(UInt64Array),
    I64(Int64Array),
    I32(Int32Array),
    F64(Float64Array),
    Bytes(BinaryArray),
    Bytes16(FixedSizeBinaryArray),
    List(ListArray, Box<ElementCells>),
}

/// The elements of lists.
enum ElementCells {
    /// Values without a name.
    Plain(ColumnCells),
    /// Structs of these fields.
    Structs(Vec<ColumnCells>),
}

/// The elements of one list.
pub(crate) struct ListCells<'a> {
    elements: &'a ElementCells,
    range: std::ops::Range<usize>,
}

/// A cell, with the name of its column: `None` if it is absent or was not read.
pub(crate) struct Cell<T> {
    pub(crate) name: &'static str,
    pub(crate) value: Option<T>,
}

impl ColumnCells {
    /// The values of a column; `None` for a column that was not read. The error is the type that was found.
    pub(crate) fn new(column: &Column, array: Option<&ArrayRef>) -> Result<Self, String> {
        let values = match array {
            None => Values::NotRead,
            Some(array) => Values::new(&column.column_type, array)
                .ok_or_else(|| format!("column {:?} is {}", column.name, array.data_type()))?,
        };
        Ok(Self { name: column.name, values, last_shared: RefCell::new("".into()) })
    }

    fn bytes(&self, row: usize) -> Option<&[u8]> {
        match &self.values {
            Values::Text(values) | Values::Bytes(values) => values.is_valid(row).then(|| values.value(row)),
            Values::Bytes16(values) => values.is_valid(row).then(|| values.value(row)),
            _ => None,
        }
    }

    fn text(&self, row: usize) -> Result<Option<&str>, String> {
        let text = self.bytes(row).map(std::str::from_utf8).transpose();
        text.map_err(|utf8| format!("{:?} is not UTF-8: {utf8}", self.name))
    }
}

impl Values {
    fn new(column_type: &ColumnType, array: &ArrayRef) -> Option<Self> {
        Some(match column_type {
            ColumnType::Text => Self::Text(array.as_binary_opt::<i32>()?.clone()),
            ColumnType::U64 => Self::U64(array.as_primitive_opt::<UInt64Type>()?.clone()),
            ColumnType::I64 => Self::I64(array.as_primitive_opt::<Int64Type>()?.clone()),
            ColumnType::I32 => Self::I32(array.as_primitive_opt::<Int32Type>()?.clone()),
            ColumnType::F64 => Self::F64(array.as_primitive_opt::<Float64Type>()?.clone()),
            ColumnType::Bytes => Self::Bytes(array.as_binary_opt::<i32>()?.clone()),
            ColumnType::Bytes16 => Self::Bytes16(array.as_fixed_size_binary_opt()?.clone()),
            ColumnType::List { element, .. } => {
                let lists = array.as_list_opt::<i32>()?;
                Self::List(lists.clone(), Box::new(ElementCells::new(element, lists.values())?))
            }
            ColumnType::Struct(_) => return None,
        })
    }
}

impl ElementCells {
    fn new(element: &ColumnType, array: &ArrayRef) -> Option<Self> {
        let ColumnType::Struct(fields) = element else {
            let values = Values::new(element, array)?;
            return Some(Self::Plain(ColumnCells { name: "", values, last_shared: RefCell::new("".into()) }));
        };
        let structs = array.as_struct_opt()?;
        let fields = fields.iter().map(|field| ColumnCells::new(field, structs.column_by_name(field.name)).ok());
        Some(Self::Structs(fields.collect::<Option<_>>()?))
    }
}

/// Defines a method of [`RowCells`] for each type of numbers, named after it: the next cell as such a number.
macro_rules! number_cells {
    ($($number:ident: $variant:ident),*) => {$(
        pub(crate) fn $number(&mut self) -> Cell<$number> {
            let column = self.next_column();
            let value = match &column.values {
                Values::$variant(values) => values.is_valid(self.row).then(|| values.value(self.row)),
                _ => None,
            };
            Cell { name: column.name, value }
        }
    )*};
}

impl<'a> RowCells<'a> {
    pub(crate) fn new(columns: &'a [ColumnCells], row: usize) -> Self {
        Self { columns: columns.iter(), row }
    }

    #[expect(
        clippy::expect_used,
        reason = "a table reads as many cells as it defines columns: both come from one list"
    )]
    fn next_column(&mut self) -> &'a ColumnCells {
        self.columns.next().expect("a table reads no more cells than it has columns")
    }

    /// The next cell as bytes.
    pub(crate) fn bytes(&mut self) -> Cell<&'a [u8]> {
        let column = self.next_column();
        Cell { name: column.name, value: column.bytes(self.row) }
    }

    /// The next cell as text.
    pub(crate) fn text(&mut self) -> Result<Cell<&'a str>, String> {
        let column = self.next_column();
        Ok(Cell { name: column.name, value: column.text(self.row)? })
    }

    /// The next cell as text that it shares with the row before if both are equal.
    pub(crate) fn shared_text(&mut self) -> Result<Cell<Arc<str>>, String> {
        let column = self.next_column();
        let value = column.text(self.row)?.map(|text| {
            let mut last = column.last_shared.borrow_mut();
            if **last != *text {
                *last = text.into();
            }
            Arc::clone(&last)
        });
        Ok(Cell { name: column.name, value })
    }

    number_cells!(u64: U64, i64: I64, i32: I32, f64: F64);

    /// The elements of the next cell.
    pub(crate) fn list(&mut self) -> Cell<ListCells<'a>> {
        let column = self.next_column();
        let value = match &column.values {
            Values::List(lists, elements) if lists.is_valid(self.row) => {
                let (start, end) = list_bounds(lists, self.row);
                Some(ListCells { elements, range: start as usize..end as usize })
            }
            _ => None,
        };
        Cell { name: column.name, value }
    }
}

impl<'a> ListCells<'a> {
    /// Every element, as the cells of its fields; an element that is no struct is a single cell.
    pub(crate) fn rows(self) -> impl Iterator<Item = RowCells<'a>> {
        let columns = match self.elements {
            ElementCells::Plain(values) => std::slice::from_ref(values),
            ElementCells::Structs(fields) => fields,
        };
        self.range.map(|row| RowCells::new(columns, row))
    }
}

impl<T> Cell<T> {
    /// The value of a cell that every row has.
    pub(crate) fn required(self) -> Result<T, String> {
        self.value.ok_or_else(|| format!("{:?} is absent", self.name))
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Cell<U> {
        Cell { name: self.name, value: self.value.map(convert) }
    }

    pub(crate) fn try_map<U>(self, convert: impl FnOnce(&str, T) -> Result<U, String>) -> Result<Cell<U>, String> {
        let value = self.value.map(|value| convert(self.name, value)).transpose()?;
        Ok(Cell { name: self.name, value })
    }
}
