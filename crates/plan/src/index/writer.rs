//! Writes an index file and the table of media beside it.

use std::path::{Path, PathBuf};

use manyframe_base::{FileAction, FileError};
use manyframe_dataset::TableFileWriter;

use crate::error::PlanError;
use crate::index::file::media_path;
use crate::index::measure::Measured;
use crate::index::media::{MediaRow, MediaTable, rejection_digest};
use crate::index::table::IndexTable;
use crate::seal::{is_intact, seal, seal_unflushed};

/// An index file and its table of media while they are written.
pub(crate) struct IndexWriter {
    path: PathBuf,
    entries: TableFileWriter<IndexTable>,
    media: TableFileWriter<MediaTable>,
    num_entries: u64,
}

/// Below this number of records, an index is made again sooner than it is on the disk: of thousands of small annotation files, waiting
/// for it would take most of the time. The seal says whether it arrived.
const LEAST_ENTRIES_FLUSHED: u64 = 1000;

impl IndexWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, PlanError> {
        let entries = TableFileWriter::create_for_work(path)?;
        let media = TableFileWriter::create_for_work(&media_path(path))?;
        Ok(Self { path: path.to_owned(), entries, media, num_entries: 0 })
    }

    /// Appends a record.
    pub(crate) fn write(&mut self, measured: &Measured) -> Result<(), PlanError> {
        let Measured { entries, media } = measured;
        let rejection = entries.first().and_then(|entry| entry.outcome.as_ref().err());
        // Records whose text alone is at fault are not looked at again.
        let is_of_interest = rejection.is_none_or(|rejection| rejection.code.depends_on_media());
        if let (true, Some(first), Some(media)) = (is_of_interest, entries.first(), media) {
            self.media.write(&MediaRow {
                first_entry: self.num_entries,
                num_entries: entries.len() as u64,
                origin: first.origin.clone(),
                rejection: rejection.map(rejection_digest),
                media: media.clone(),
            })?;
        }
        self.num_entries += entries.len() as u64;
        entries.iter().try_for_each(|entry| self.entries.write(entry)).map_err(PlanError::Table)
    }

    /// Makes both files visible. The index is gone in between: one that is there belongs to the table beside it.
    pub(crate) fn finish(self) -> Result<(), PlanError> {
        remove_if_there(&self.path)?;
        if self.num_entries < LEAST_ENTRIES_FLUSHED {
            self.media.finish_unflushed()?;
            self.entries.finish_unflushed()?;
            let media = media_path(&self.path);
            return seal_unflushed(&index_seal(&self.path), &[self.path, media]);
        }
        self.media.finish()?;
        self.entries.finish()?;
        let media = media_path(&self.path);
        seal(&index_seal(&self.path), &[self.path, media])
    }
}

/// Whether an index file is there and whole.
pub(crate) fn has_index(path: &Path) -> bool {
    path.exists() && media_path(path).exists() && is_intact(&index_seal(path))
}

/// The seal of an index file and of its table of media.
pub(crate) fn index_seal(index: &Path) -> PathBuf {
    index.with_extension("seal.json")
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError { action: FileAction::Remove, path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
