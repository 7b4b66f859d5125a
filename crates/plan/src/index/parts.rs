//! An index file in parts, while it is made: a process that is killed loses what it measured in the last seconds.
//!
//! ```text
//! WORK/index/SOURCE-DIGEST.partN.parquet    an index file of some records, sealed like a whole one
//! ```
//!
//! Parts are read in the order of the source, beside the records that are measured: nothing but the next record of them is held.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyframe_core::{Origin, SourceIndex};

use crate::error::PlanError;
use crate::index::file::media_path;
use crate::index::measure::Measured;
use crate::index::records::IndexedRecords;
use crate::index::writer::{IndexWriter, index_seal, remove_if_there};
use crate::seal::is_intact;

/// A part holds what was measured in this time.
const PART_INTERVAL: Duration = Duration::from_secs(2);

/// The records in the parts that earlier processes left of an index file.
pub(crate) struct KeptRecords {
    records: Peekable<Box<dyn Iterator<Item = Measured>>>,
}

impl KeptRecords {
    /// The records of all parts that are whole.
    pub(crate) fn of_parts(index: &Path, source: SourceIndex) -> Self {
        let parts = list_parts(index).into_iter().filter(|part| is_intact(&index_seal(part)));
        let records: Box<dyn Iterator<Item = Measured>> =
            Box::new(parts.flat_map(move |part| read_part(&part, source)));
        Self { records: records.peekable() }
    }

    /// Whether all of them were taken.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.records.peek().is_none()
    }

    /// The record that was read at this position, if it is the next one that was kept.
    pub(crate) fn take(&mut self, origin: &Origin) -> Option<Measured> {
        let is_of_origin = |kept: &Measured| kept.entries.first().is_some_and(|entry| entry.origin == *origin);
        let mut kept = self.records.next_if(is_of_origin)?;
        // Pieces of a record without media are listed as if they were records.
        while let Some(piece) = self.records.next_if(is_of_origin) {
            kept.entries.extend(piece.entries);
        }
        Some(kept)
    }
}

/// The records of a part; nothing is read behind one that cannot be.
fn read_part(part: &Path, source: SourceIndex) -> impl Iterator<Item = Measured> + use<> {
    let records = IndexedRecords::open(part, source);
    records.into_iter().flatten().map_while(|record| record.ok().map(|(_, measured)| measured))
}

/// The parts of an index file that is being made.
pub(crate) struct IndexParts {
    index: PathBuf,
    next: usize,
    writer: Option<IndexWriter>,
    started: Instant,
}

impl IndexParts {
    /// Continues behind the parts of earlier processes.
    pub(crate) fn new(index: &Path) -> Self {
        Self { index: index.to_owned(), next: list_parts(index).len(), writer: None, started: Instant::now() }
    }

    /// Keeps a record for the next process.
    pub(crate) fn write(&mut self, measured: &Measured) -> Result<(), PlanError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => IndexWriter::create(&part_path(&self.index, self.next))?,
        };
        writer.write(measured)?;
        if self.started.elapsed() < PART_INTERVAL {
            self.writer = Some(writer);
            return Ok(());
        }
        writer.finish()?;
        self.next += 1;
        self.started = Instant::now();
        Ok(())
    }
}

/// Removes the parts of an index file, once there is the whole. The first is removed last: where it is gone, all are.
pub(crate) fn remove_parts(index: &Path) -> Result<(), PlanError> {
    for part in list_parts(index).into_iter().rev() {
        for path in [media_path(&part), index_seal(&part), part] {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn list_parts(index: &Path) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    loop {
        let part = part_path(index, parts.len());
        if !part.exists() {
            return parts;
        }
        parts.push(part);
    }
}

fn part_path(index: &Path, number: usize) -> PathBuf {
    index.with_extension(format!("part{number}.parquet"))
}
