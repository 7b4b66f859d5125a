//! Tables as files of a dataset or a plan: they appear under their name when they are finished, and errors name them.

use std::path::{Path, PathBuf};

use manyframe_base::{AtomicFile, InputFile};
use manyframe_columnar::{
    ColumnarError, Columns, Descriptions, Selection, Statistics, TableCompression, TableOptions, TableReader,
    TableWriter,
};
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
        Self::with_options(path, &TableOptions::default())
    }

    /// Starts a table of a work directory, which nobody but this program reads, and from its start to its end: it has neither
    /// statistics nor descriptions, and is compressed lightly.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    pub fn create_for_work(path: &Path) -> Result<Self, DatasetError> {
        let (descriptions, statistics) = (Descriptions::Omitted, Statistics::Omitted);
        let options =
            TableOptions { descriptions, statistics, compression: TableCompression::Lz4, ..TableOptions::default() };
        Self::with_options(path, &options)
    }

    fn with_options(path: &Path, options: &TableOptions) -> Result<Self, DatasetError> {
        let table = TableWriter::with_options(AtomicFile::create(path)?, options).map_err(DatasetError::table(path))?;
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

impl<T: Columns> TableFileWriter<T> {
    /// As [`Self::finish`], for a file of a directory that is published later ([`AtomicFile::publish_staged`]).
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish_staged(self) -> Result<(), DatasetError> {
        Ok(self.table.finish().map_err(DatasetError::table(&self.path))?.publish_staged()?)
    }

    /// As [`Self::finish`], but without waiting for the disk ([`AtomicFile::publish_unflushed`]).
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish_unflushed(self) -> Result<(), DatasetError> {
        Ok(self.table.finish().map_err(DatasetError::table(&self.path))?.publish_unflushed()?)
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

/// An open table, of which single rows are read. Clones share it.
#[derive(Clone)]
pub struct OpenTable<T> {
    table: TableReader<T>,
    path: PathBuf,
}

impl<T: Columns> OpenTable<T> {
    /// Reads the footer of a table.
    pub(crate) fn of(file: InputFile) -> Result<Self, DatasetError> {
        let path = file.path().to_owned();
        Ok(Self { table: TableReader::of(file).map_err(DatasetError::table(&path))?, path })
    }

    /// Number of its rows.
    pub fn num_rows(&self) -> u64 {
        self.table.num_rows()
    }

    /// A row, by its number from 0.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read, or is not what the table holds.
    pub fn row(&self, row: u64) -> Result<T::Output, DatasetError> {
        let selection = Selection { rows: row..row.saturating_add(1), without: &[], batch_rows: 1 };
        let mut rows = self.table.rows(&selection).map_err(DatasetError::table(&self.path))?;
        let missing = || DatasetError::damaged(&self.path, format!("it has no row {row}"));
        rows.next().ok_or_else(missing)?.map_err(DatasetError::table(&self.path))
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
///
/// # Errors
///
/// As [`read_table_file`].
pub fn read_rows<T: Columns>(
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
