//! One definition per table: what a row writes into its columns, and what is read back from them.
//!
//! [`table!`](crate::table) names every column once. The name is that of the column in the file and that of the variable
//! from which the row is rebuilt; the type of the column is the Rust type of the value. Tables nest: one may be a group of
//! columns of another, or the element of a list ([`List`]).
//!
//! A cell that every row must have is an error where it is absent; `Option` says that it may be, and so may the column.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::builder::{Builder, CellWriter};
use crate::cells::RowCells;
use crate::column::{Column, ColumnStorage, ColumnType};

/// One or several columns and the value that they hold together. Implemented by types of single cells, and by
/// [`table!`](crate::table).
pub trait Columns {
    /// What is written.
    type Input<'r>;
    /// What is read back.
    type Output;

    /// Appends the columns. A single column takes its name and description from `definition`; a group of columns brings
    /// its own.
    fn define(definition: Definition, columns: &mut Vec<Column>);

    /// Writes one cell for each column, in their order.
    fn write(value: Self::Input<'_>, cells: &mut CellWriter<'_>);

    /// Reads one cell for each column, in their order. The error explains what is wrong with the row.
    fn read(cells: &mut RowCells<'_>) -> Result<Self::Output, String>;
}

/// How a table describes one of its columns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What it holds, for people; may be empty.
    pub doc: &'static str,
    /// How its values are stored.
    pub storage: ColumnStorage,
}

/// The columns of a table.
pub fn columns_of<T: Columns>() -> Vec<Column> {
    let mut columns = Vec::new();
    T::define(Definition::default(), &mut columns);
    columns
}

/// Defines the columns of a table, and how a row is written to them and read back.
///
/// The description of a column is its doc comment. `as Distinct` and `as Raw` choose a [`ColumnStorage`]. The block `read`
/// has a variable for each column, and makes a row from them or explains why it cannot.
///
/// ```
/// use manyframe_columnar::{TableReader, TableWriter, table};
///
/// struct Person {
///     name: String,
///     age: Option<u32>,
/// }
///
/// table! {
///     /// A table of people.
///     struct PersonTable<'r>(person: &'r Person) -> Person {
///         /// Given name.
///         name: String as Distinct = &person.name,
///         /// Age in years, as far as known.
///         age: Option<u32> = person.age,
///     }
///     read { Ok(Person { name, age }) }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("people.parquet");
/// let mut writer = TableWriter::<PersonTable, _>::new(std::fs::File::create(&path)?)?;
/// writer.write(&Person { name: "Ada".to_owned(), age: Some(36) })?;
/// writer.finish()?;
/// let people: Vec<Person> = TableReader::<PersonTable>::open(&path)?.all_rows()?.collect::<Result<_, _>>()?;
/// assert_eq!(people[0].age, Some(36));
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $visibility:vis struct $table:ident<$life:lifetime>($row:ident: $input:ty) -> $output:ty {
            $($(#[doc = $doc:literal])* $name:ident: $columns:ty $(as $storage:ident)? = $value:expr),* $(,)?
        }
        read $read:block
    ) => {
        $(#[doc = $about])*
        $visibility enum $table {}

        impl $crate::Columns for $table {
            type Input<$life> = $input;
            type Output = $output;

            fn define(_: $crate::Definition, columns: &mut Vec<$crate::Column>) {
                $(<$columns as $crate::Columns>::define(
                    $crate::Definition {
                        name: stringify!($name),
                        doc: concat!($($doc),*).trim_ascii_start(),
                        storage: $crate::table!(@storage $($storage)?),
                    },
                    columns,
                );)*
            }

            fn write($row: Self::Input<'_>, cells: &mut $crate::CellWriter<'_>) {
                $(<$columns as $crate::Columns>::write($value, cells);)*
            }

            fn read(cells: &mut $crate::RowCells<'_>) -> Result<Self::Output, String> {
                $(let $name = <$columns as $crate::Columns>::read(cells)?;)*
                $read
            }
        }
    };
    (@storage) => { $crate::ColumnStorage::Repeating };
    (@storage $storage:ident) => { $crate::ColumnStorage::$storage };
}

/// A column of lists whose elements are rows of another table. A list that is absent is read as an empty one.
pub struct List<T>(PhantomData<T>);

/// Implements [`Columns`] for a type of single cells, always there and optional.
macro_rules! single_column {
    ($value:ty, $input:ty, $column_type:expr, |$builder:pat_param, $written:ident| $append:expr, |$cells:ident| $cell:expr) => {
        impl Columns for $value {
            type Input<'r> = $input;
            type Output = $value;

            fn define(definition: Definition, columns: &mut Vec<Column>) {
                columns.push(column(definition, $column_type, false));
            }

            fn write(value: Self::Input<'_>, cells: &mut CellWriter<'_>) {
                <Option<$value>>::write(Some(value), cells);
            }

            fn read($cells: &mut RowCells<'_>) -> Result<Self::Output, String> {
                $cell.required()
            }
        }

        impl Columns for Option<$value> {
            type Input<'r> = Option<$input>;
            type Output = Option<$value>;

            fn define(definition: Definition, columns: &mut Vec<Column>) {
                columns.push(column(definition, $column_type, true));
            }

            fn write($written: Self::Input<'_>, cells: &mut CellWriter<'_>) {
                match cells.next_column() {
                    $builder => $append,
                    _ => wrong_column(stringify!($value)),
                }
            }

            fn read($cells: &mut RowCells<'_>) -> Result<Self::Output, String> {
                Ok($cell.value)
            }
        }
    };
}

fn column(Definition { name, doc, storage }: Definition, column_type: ColumnType, is_optional: bool) -> Column {
    Column { name, column_type, is_optional, doc, storage }
}

fn wrong_column(value: &str) -> ! {
    // Columns and cells come from one list in `table!`.
    unreachable!("a {value} is written to a column of another type")
}

/// Implements [`Columns`] for numbers that have a type of column of their own.
macro_rules! number_columns {
    ($($number:ident: $variant:ident),*) => {$(
        single_column!(
            $number,
            $number,
            ColumnType::$variant,
            |Builder::$variant(column), value| column.append_option(value),
            |cells| cells.$number()
        );
    )*};
}

number_columns!(u64: U64, i64: I64, i32: I32, f64: F64);
single_column!(
    u32,
    u32,
    ColumnType::U64,
    |Builder::U64(column), value| column.append_option(value.map(u64::from)),
    |cells| cells.u64().try_map(|name, value| {
        u32::try_from(value).map_err(|_large| format!("{name:?} is {value}, which is too large a number"))
    })?
);
single_column!(
    String,
    &'r str,
    ColumnType::Text,
    |Builder::Text(column), value| column.append_option(value),
    |cells| cells.text()?.map(str::to_owned)
);
single_column!(
    Arc<str>,
    &'r str,
    ColumnType::Text,
    |Builder::Text(column), value| column.append_option(value),
    |cells| cells.shared_text()?
);
single_column!(
    Vec<u8>,
    &'r [u8],
    ColumnType::Bytes,
    |Builder::Bytes(column), value| column.append_option(value),
    |cells| cells.bytes().map(<[u8]>::to_vec)
);
single_column!(
    [u8; 16],
    [u8; 16],
    ColumnType::Bytes16,
    |Builder::Bytes16(column), value| match value {
        // The width is that of the column, so that it cannot fail.
        Some(value) => _ = column.append_value(value),
        None => column.append_null(),
    },
    |cells| cells.bytes().try_map(|name, bytes| {
        bytes.try_into().map_err(|_length| format!("{name:?} has {} bytes, expected 16", bytes.len()))
    })?
);

/// Implements [`Columns`] for lists of plain values. The elements of plain tables are called `item`, as Arrow calls them.
macro_rules! list_column {
    ($element:ty, $element_type:expr, $element_name:literal, |$builder:pat_param, $list:ident| $append:expr) => {
        single_column!(
            Vec<$element>,
            &'r [$element],
            ColumnType::List { element_name: $element_name, element: Box::new($element_type) },
            |Builder::List(lists), list| match list {
                Some($list) => {
                    match &mut lists.elements {
                        $builder => $append,
                        _ => wrong_column(stringify!($element)),
                    }
                    lists.end_list($list.len());
                }
                None => lists.append_null(),
            },
            |cells| cells.list().try_map(|_, list| {
                list.rows().map(|mut element| <$element>::read(&mut element)).collect::<Result<Vec<_>, _>>()
            })?
        );
    };
}

list_column!(u64, ColumnType::U64, "item", |Builder::U64(elements), list| elements.append_slice(list));
list_column!(f64, ColumnType::F64, "element", |Builder::F64(elements), list| elements.append_slice(list));
list_column!(i32, ColumnType::I32, "element", |Builder::I32(elements), list| elements.append_slice(list));
list_column!(String, ColumnType::Text, "item", |Builder::Text(elements), list| list
    .iter()
    .for_each(|text| elements.append_value(text)));

impl<T: Columns> Columns for List<T> {
    type Input<'r> = Vec<T::Input<'r>>;
    type Output = Vec<T::Output>;

    fn define(definition: Definition, columns: &mut Vec<Column>) {
        let element = Box::new(ColumnType::Struct(columns_of::<T>()));
        columns.push(column(definition, ColumnType::List { element_name: "element", element }, false));
    }

    fn write(list: Self::Input<'_>, cells: &mut CellWriter<'_>) {
        let Builder::List(lists) = cells.next_column() else { wrong_column("list of structs") };
        let Builder::Struct { values, .. } = &mut lists.elements else { wrong_column("struct") };
        let length = list.len();
        for element in list {
            T::write(element, &mut CellWriter::new(values));
        }
        lists.end_list(length);
    }

    fn read(cells: &mut RowCells<'_>) -> Result<Self::Output, String> {
        let list = cells.list();
        let in_list = |detail: String| format!("{:?}: {detail}", list.name);
        let Some(elements) = list.value else { return Ok(Vec::new()) };
        elements.rows().map(|mut element| T::read(&mut element).map_err(in_list)).collect()
    }
}
