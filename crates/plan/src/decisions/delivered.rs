//! Which records other datasets delivered, identified by their position in the upstream files.

use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Digest, Origin, Position, RejectCode, Rejection};
use manyframe_dataset::{DatasetError, DatasetReader, Status};
use manyframe_pipeline::SourceTable;
use manyframe_storage::Stores;
use rustc_hash::FxHashSet;

use crate::error::PlanError;

/// What `delivered_in` and `not_delivered_in` of a source ask for, as digests of origins.
pub(crate) struct DeliveredElsewhere {
    only: Option<FxHashSet<u64>>,
    not: FxHashSet<u64>,
}

impl DeliveredElsewhere {
    /// Reads the ledgers of the datasets that the source names. `files` are the files of the source's records.
    pub(crate) fn read(table: &SourceTable, files: &FxHashSet<&str>, stores: &Stores) -> Result<Self, PlanError> {
        let origins_of = |datasets| origins_of(table, datasets, files, stores);
        let only = table.delivered_in.as_slice();
        Ok(Self {
            only: (!only.is_empty()).then(|| origins_of(only)).transpose()?,
            not: origins_of(table.not_delivered_in.as_slice())?,
        })
    }

    /// Whether the source sets either.
    pub(crate) fn is_asked(table: &SourceTable) -> bool {
        !table.delivered_in.as_slice().is_empty() || !table.not_delivered_in.as_slice().is_empty()
    }

    /// Why the record of an origin is left out.
    pub(crate) fn rejection(&self, origin: impl FnOnce() -> Origin) -> Option<Rejection> {
        let filtered = |detail: &str| Some(Rejection::new(RejectCode::Filtered, detail));
        if self.only.is_none() && self.not.is_empty() {
            return None;
        }
        let origin = origin_digest(&origin());
        match &self.only {
            Some(only) if !only.contains(&origin) => filtered("no dataset of `delivered_in` delivered it"),
            _ if self.not.contains(&origin) => filtered("a dataset of `not_delivered_in` delivered it"),
            _ => None,
        }
    }
}

fn origins_of(
    table: &SourceTable,
    datasets: &[String],
    files: &FxHashSet<&str>,
    stores: &Stores,
) -> Result<FxHashSet<u64>, PlanError> {
    let mut origins = FxHashSet::default();
    let mut seen: FxHashSet<Arc<str>> = FxHashSet::default();
    for dataset in datasets {
        let unusable = |error| PlanError::Dataset { source_name: table.name.clone(), error };
        let opened = DatasetReader::open_at(Path::new(dataset), stores);
        opened.and_then(|opened| add_origins(&opened, &mut origins, &mut seen)).map_err(unusable)?;
    }
    // Two spellings of a path would otherwise match nothing, and nobody would notice.
    let is_known = files.is_empty() || files.iter().any(|file| seen.contains(*file));
    match (datasets.first(), files.iter().min()) {
        (Some(dataset), Some(file)) if !is_known => {
            let built_from = seen.iter().min().map_or("no file", |file| file).to_owned();
            let (source_name, dataset, file) = (table.name.clone(), dataset.clone(), (*file).to_owned());
            Err(PlanError::NoSharedFile { source_name, dataset, built_from, file })
        }
        _ => Ok(origins),
    }
}

fn add_origins(
    dataset: &DatasetReader,
    origins: &mut FxHashSet<u64>,
    seen: &mut FxHashSet<Arc<str>>,
) -> Result<(), DatasetError> {
    for row in dataset.origins()? {
        let (status, origin) = row?;
        if status == Status::Delivered {
            origins.insert(origin_digest(&origin));
        }
        if !seen.contains(&origin.file) {
            seen.insert(origin.file);
        }
    }
    Ok(())
}

/// A digest of an origin, cut to 64 bits.
fn origin_digest(origin: &Origin) -> u64 {
    let (kind, number) = match origin.position {
        Position::Bytes { offset, .. } => (0u8, offset),
        Position::Row(row) => (1, row),
        Position::File => (2, 0),
    };
    Digest::of_fields([origin.file.as_bytes(), &[kind], &number.to_le_bytes()]).first_bits()
}
