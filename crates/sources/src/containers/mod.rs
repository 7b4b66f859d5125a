//! Annotation files as sequences of records, whatever they are: text, tables, archives, directories.
//!
//! | container | a record is |
//! |---|---|
//! | `text.rs` | an element of a JSON array, a line of JSON lines, a row of CSV or TSV; compressed with gzip or Zstandard, too |
//! | `rows.rs` | a row of a Parquet file |
//! | `documents.rs` | rows of a Parquet file that follow each other: the parts of a document, as NeMo Curator writes them |
//! | `archive.rs` | the members of a tar that share a name, as WebDataset writes them |
//! | `directory.rs` | the files of a directory that share a name: an image and its text |
//!
//! A record leaves as the text of a JSON object. What its fields mean is not known here.
//!
//! **Invariant:** [`Container::record_at`] returns for a position what [`Container::records`] returned there.

mod archive;
mod container;
mod content;
mod delimited;
mod directory;
mod documents;
mod rows;
mod sample;
mod text;

use std::io;
use std::ops::Range;
use std::path::Path;

use manyframe_base::FileAccess;
use manyframe_columnar::RowReader;
use manyframe_core::Position;
use manyframe_media::is_tar;

use crate::error::SourceError;
use crate::json::{self, LocatedRecord, NotRecords, ReadError};
use crate::raw::RawBody;

use self::archive::Archive;
pub(crate) use self::container::{Container, LocatedRecords};
use self::content::Content;
use self::directory::SampleDirectory;
pub use self::directory::{is_dataset_or_work, walk_samples};
use self::documents::DocumentFile;
use self::rows::RowFile;
pub(crate) use self::rows::{parts_of_rows, rows_from};
use self::text::TextFile;

/// Opens an annotation file as what its content says that it is. Names decide only whether text that is no JSON is CSV or TSV.
///
/// `list` is the list of a JSON file with the records, if one object is around several.
///
/// # Errors
/// If it cannot be read, or holds no records. A file that may not be read is a container, with that as its only record.
pub(crate) fn open_container(
    access: &FileAccess,
    path: &Path,
    list: Option<&str>,
) -> Result<Box<dyn Container>, ReadError> {
    if path.is_dir() {
        return Ok(Box::new(SampleDirectory::open(path)?));
    }
    let file = match access.open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Box::new(Unopened { body: json::unreadable(&error) }));
        }
        opened => opened?,
    };
    let content = Content::of(file)?;
    let is_table = !content.is_compressed() && RowFile::is_one(content.file())?;
    let is_archive = !content.is_compressed() && is_tar(content.file())?;
    if let (true, Some(list)) = (is_table || is_archive, list) {
        return Err(NotRecords::no_list(list, &[]).into());
    }
    if is_table {
        return Ok(match DocumentFile::of(RowReader::of(content.file().clone())?) {
            Ok(documents) => Box::new(documents),
            Err(rows) => Box::new(RowFile::of(rows)),
        });
    }
    if is_archive {
        return Ok(Box::new(Archive::open(content.file().clone())?));
    }
    Ok(Box::new(TextFile::open(content, list)?))
}

/// Makes sure that a file is one that records can be read from, as far as its start and its names of columns say. It does not list
/// the members of a tar, and a file that may not be read costs its records only.
///
/// # Errors
/// [`SourceError::NotRecords`] if it holds no records, and others if it cannot be read.
pub fn expect_records(access: &FileAccess, path: &Path, list: Option<&str>) -> Result<(), SourceError> {
    let is_archive = || access.open(path).is_ok_and(|file| is_tar(&file).is_ok_and(|is_tar| is_tar));
    let opened = match list {
        None if path.is_dir() || is_archive() => Ok(()),
        list => open_container(access, path, list).map(drop),
    };
    opened.map_err(|error| SourceError::of(path, error))
}

/// A file that may not be read: an unknown number of records is missing.
struct Unopened {
    body: RawBody,
}

impl Container for Unopened {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        vec![None]
    }

    fn records(self: Box<Self>, _: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        Ok(Box::new(std::iter::once(Ok(LocatedRecord { position: Position::File, body: self.body }))))
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        Ok((position == Position::File).then(|| self.body.clone()))
    }

    fn records_at(&self, _: Position) -> Result<LocatedRecords, ReadError> {
        Ok(Box::new(std::iter::empty()))
    }
}
