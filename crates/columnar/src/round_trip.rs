//! Checks a table's definition: what is written is read back, column by column.

use std::fmt::Debug;
use std::fs::File;
use std::path::Path;

use arrow_array::Array;
use arrow_array::cast::AsArray;

use crate::builder::{Builder, CellWriter};
use crate::columns::{Columns, columns_of};
use crate::table_read::TableReader;
use crate::table_write::TableWriter;

/// Writes rows to a file in `directory` and reads them back. For tests of tables.
///
/// # Errors
/// Says what differs if the rows do not come back as they were, if a column is empty in all of them, or if two columns of
/// one type hold the same values in all of them: exchanging the two would not show.
pub fn check_round_trip<T, R>(directory: &Path, rows: &[R]) -> Result<(), String>
where
    T: for<'r> Columns<Input<'r> = &'r R, Output = R>,
    R: PartialEq + Debug + 'static,
{
    let columns = columns_of::<T>();
    let mut builders = Builder::of_columns(&columns);
    for row in rows {
        T::write(row, &mut CellWriter::new(&mut builders));
    }
    let arrays = Builder::finish_all(&mut builders).map_err(|error| error.to_string())?;
    let named: Vec<_> = columns.iter().zip(&arrays).collect();
    for (number, (column, array)) in named.iter().enumerate() {
        let is_empty_list = array.as_list_opt::<i32>().is_some_and(|lists| lists.values().is_empty());
        if array.null_count() == array.len() || is_empty_list {
            return Err(format!("column {:?} is empty in every row", column.name));
        }
        if let Some((twin, _)) = named.iter().take(number).find(|(_, other)| other == array) {
            return Err(format!("columns {:?} and {:?} are equal in every row", twin.name, column.name));
        }
    }
    let path = directory.join("round_trip.parquet");
    let as_text = |error: &dyn std::error::Error| error.to_string();
    let file = File::create(&path).map_err(|error| as_text(&error))?;
    let mut writer = TableWriter::<T, _>::new(file).map_err(|error| as_text(&error))?;
    rows.iter().try_for_each(|row| writer.write(row)).map_err(|error| as_text(&error))?;
    writer.finish().map_err(|error| as_text(&error))?;
    let reader = TableReader::<T>::open(&path).map_err(|error| as_text(&error))?;
    let read: Result<Vec<R>, _> = reader.all_rows().and_then(Iterator::collect);
    let read = read.map_err(|error| as_text(&error))?;
    if read != rows {
        return Err(format!("read back {read:#?}, expected {rows:#?}"));
    }
    Ok(())
}
