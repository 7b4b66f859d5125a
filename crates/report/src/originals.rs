//! Records as their sources have them, on the page: those that were rejected, and duplicates beside what is kept.
//!
//! Sources are opened by whoever asks for the report; where they are not on this machine, records are shown without pictures.

use std::collections::BTreeMap;

use manyframe_core::{Digest, RecordId};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow};
use serde::Serialize;

use crate::samples::{self, ShownImage, ShownSample};

/// Pairs of duplicates that are shown of each source.
const MOST_PAIRS: usize = 6;
/// Characters of an annotation that are shown.
const MAX_CHARS: usize = 2_000;

/// A record as its source has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// Its annotation; empty if it cannot be read.
    pub annotation: String,
    /// Encoded images of it, as far as they can be read.
    pub images: Vec<Vec<u8>>,
}

/// Looks records up in their sources.
pub trait Originals {
    /// A record, as far as it can be found.
    fn of(&self, row: &LedgerRow) -> Original;
}

/// No source is on this machine.
pub struct NoOriginals;

impl Originals for NoOriginals {
    fn of(&self, _: &LedgerRow) -> Original {
        Original::default()
    }
}

/// A record on the page.
#[derive(Debug, Serialize)]
pub(crate) struct ShownOriginal {
    id: String,
    upstream_id: String,
    detail: String,
    annotation: String,
    images: Vec<ShownImage>,
}

impl ShownOriginal {
    pub(crate) fn of(row: &LedgerRow, originals: &dyn Originals) -> Self {
        let Original { annotation, images } = originals.of(row);
        Self {
            id: row.id.to_string(),
            upstream_id: row.upstream_id.clone(),
            detail: row.detail.clone().unwrap_or_default(),
            annotation: annotation.trim().chars().take(MAX_CHARS).collect(),
            images: images.iter().filter_map(|bytes| samples::shown_bytes(bytes)).collect(),
        }
    }
}

/// A record that was left out, and the one that is kept in its place.
#[derive(Debug, Serialize)]
pub(crate) struct Pair {
    source: String,
    left_out: ShownOriginal,
    /// `None` if it was not drawn or could not be delivered.
    kept: Option<ShownSample>,
}

/// Duplicates, those of each source with the lowest ranks.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    lowest: BTreeMap<String, BTreeMap<(Digest, RecordId), LedgerRow>>,
}

impl Duplicates {
    pub(crate) fn add(&mut self, row: LedgerRow, seed: u64) {
        let rank = Digest::of_fields([&b"duplicates"[..], &seed.to_le_bytes(), &row.id.0]);
        let lowest = self.lowest.entry(row.source.clone()).or_default();
        lowest.insert((rank, row.id), row);
        if lowest.len() > MOST_PAIRS {
            lowest.pop_last();
        }
    }

    /// The records that are kept in their place.
    pub(crate) fn kept(&self) -> impl Iterator<Item = RecordId> {
        self.rows().filter_map(|row| row.duplicate_of)
    }

    fn rows(&self) -> impl Iterator<Item = &LedgerRow> {
        self.lowest.values().flat_map(BTreeMap::values)
    }

    /// Each beside what is kept, whose rows are among `rows`.
    pub(crate) fn pairs(
        &self,
        dataset: &DatasetReader,
        rows: &BTreeMap<RecordId, LedgerRow>,
        originals: &dyn Originals,
    ) -> Result<Vec<Pair>, DatasetError> {
        let pair = |row: &LedgerRow| {
            let kept = row.duplicate_of.and_then(|id| rows.get(&id));
            let kept = kept.map(|kept| samples::shown(dataset, kept)).transpose()?.flatten();
            Ok(Pair { source: row.source.clone(), left_out: ShownOriginal::of(row, originals), kept })
        };
        self.rows().map(pair).collect()
    }
}
