//! Tables as files of a dataset or a plan: they appear under their name when they are finished, and errors name them.

use std::path::{Path, PathBuf};

use manyframe_base::{AtomicFile, InputFile};
use manyframe_columnar::{ColumnarError, Columns, TableReader, TableWriter};
use manyframe_core::Digest;

use crate::error::DatasetError;

/// Writes a table row by row. It appears under its name when it is finished.
pub struct TableFileWriter<T> {
    table: TableWriter<T, AtomicFile>,
    path: PathBuf,
}

impl<T: Columns> TableFileWriter<T> {
    /// Starts a table that will be `path`.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let table = TableWriter::new(AtomicFile::create(path)?).map_err(DatasetError::table(path))?;
        Ok(Self { table, path: path.to_owned() })
    }

    /// Appends a row.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&mut self, row: T::Input<'_>) -> Result<(), DatasetError> {
        self.table.write(row).map_err(DatasetError::table(&self.path))
    }

    /// Makes the table visible under its name.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish(self) -> Result<(), DatasetError> {
        Ok(self.table.finish().map_err(DatasetError::table(&self.path))?.publish()?)
    }
}

/// The digest of the file that some rows are written as. Nothing is written to the disk.
pub struct TableDigest<T> {
    table: TableWriter<T, blake3::Hasher>,
    path: PathBuf,
}

impl<T: Columns> TableDigest<T> {
    /// Starts a table; errors name it by `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub fn new(path: &Path) -> Result<Self, DatasetError> {
        let table = TableWriter::new(blake3::Hasher::new()).map_err(DatasetError::table(path))?;
        Ok(Self { table, path: path.to_owned() })
    }

    /// Appends a row.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub fn write(&mut self, row: T::Input<'_>) -> Result<(), DatasetError> {
        self.table.write(row).map_err(DatasetError::table(&self.path))
    }

    /// The digest of the whole file.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub fn finish(self) -> Result<Digest, DatasetError> {
        let hasher = self.table.finish().map_err(DatasetError::table(&self.path))?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }
}

/// Reads the rows of a table, in order and on demand.
///
/// # Errors
///
/// If the file cannot be read, or a row is not what the table holds; there are no rows after an error.
pub fn read_table_file<T: Columns>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<T::Output, DatasetError>> + use<T>, DatasetError> {
    rows::<T>(TableReader::open(path), path)
}

/// Reads the rows of an open table, in order and on demand.
pub(crate) fn read_table<T: Columns>(
    file: InputFile,
) -> Result<impl Iterator<Item = Result<T::Output, DatasetError>> + use<T>, DatasetError> {
    let path = file.path().to_owned();
    rows::<T>(TableReader::of(file), &path)
}

fn rows<T: Columns>(
    table: Result<TableReader<T>, ColumnarError>,
    path: &Path,
) -> Result<impl Iterator<Item = Result<T::Output, DatasetError>> + use<T>, DatasetError> {
    let rows = table.and_then(|table| table.all_rows()).map_err(DatasetError::table(path))?;
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(DatasetError::table(&path))))
}
