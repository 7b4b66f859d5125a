//! Annotation files of which the dataset to be replaced had records and the new one has none: a copy that is not finished, a disk that
//! is not mounted. A pattern matches what is left, and nobody would know.
//!
//! Sources with other `annotations` than before are left alone, and so are records that are in another file now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::RecordId;
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE, Manifest};
use manyframe_storage::Stores;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

/// What a source lost with its annotation files.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GoneFiles {
    source: String,
    files: BTreeSet<Arc<str>>,
    num_gone: u64,
    num_before: u64,
    num_now: u64,
    /// The share of its records that may be lost.
    allowed: f64,
}

/// Files that a message names.
const MOST_NAMED: usize = 3;

impl GoneFiles {
    /// Whether it is more than the pipeline file allows to lose. Records that took the place of others are no loss: a file of a newer
    /// version, or of another day.
    pub(crate) fn is_excess(&self) -> bool {
        let num_lost = self.num_gone.min(self.num_before.saturating_sub(self.num_now));
        self.allowed < 1.0 && num_lost as f64 > self.allowed * self.num_before as f64
    }
}

impl fmt::Display for GoneFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, files, num_gone, num_before, .. } = self;
        let of_files = if files.len() == 1 {
            "an annotation file".to_owned()
        } else {
            format!("{} annotation files", files.len())
        };
        let mut named = files.iter().take(MOST_NAMED).map(|file| &**file).collect::<Vec<_>>().join(", ");
        if files.len() > MOST_NAMED {
            named.push_str(" …");
        }
        write!(
            f,
            "source {source}: {num_gone} of the {num_before} records that the dataset has are gone, with {of_files} ({named})"
        )
    }
}

/// What sources lost with their files between the dataset at a place, if there is one of this name, and one that is to replace it.
pub(crate) fn gone_files(
    dataset: &Path,
    after: &DatasetReader,
    stores: &Stores,
) -> Result<Vec<GoneFiles>, DatasetError> {
    let storage = stores.storage(dataset)?;
    if storage.num_bytes(MANIFEST_FILE)?.is_none() {
        return Ok(Vec::new());
    }
    let before = DatasetReader::open_in(storage)?;
    let sources = sources_with_the_same_files(before.manifest(), after.manifest());
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = files_of(&before)?;
    let files_after = files_of(after)?;
    files.retain(|file| !files_after.contains(file));
    if files.is_empty() {
        return Ok(Vec::new());
    }
    // Of a disk that is away, this may be all records: a file of a source is a number.
    let mut gone: FxHashMap<RecordId, usize> = FxHashMap::default();
    let mut places: Vec<(String, Arc<str>)> = Vec::new();
    let mut numbers: FxHashMap<(String, Arc<str>), usize> = FxHashMap::default();
    for row in before.ledger()? {
        let row = row?;
        if row.repetition > 0 || !files.contains(&row.origin.file) || !sources.contains_key(row.source.as_str()) {
            continue;
        }
        let number = *numbers.entry((row.source, row.origin.file)).or_insert_with_key(|place| {
            places.push(place.clone());
            places.len() - 1
        });
        gone.insert(row.id, number);
    }
    for row in after.ledger()? {
        gone.remove(&row?.id);
    }
    let mut num_gone = vec![0; places.len()];
    for number in gone.into_values() {
        if let Some(num_gone) = num_gone.get_mut(number) {
            *num_gone += 1;
        }
    }
    let mut found: BTreeMap<String, GoneFiles> = BTreeMap::new();
    for ((source, file), num_gone) in places.into_iter().zip(num_gone).filter(|(_, num_gone)| *num_gone > 0) {
        let Some(&SourceBefore { num_before, num_now, allowed }) = sources.get(source.as_str()) else { continue };
        let nothing =
            || GoneFiles { source: source.clone(), files: BTreeSet::new(), num_gone: 0, num_before, num_now, allowed };
        let of_source = found.entry(source.clone()).or_insert_with(nothing);
        of_source.num_gone += num_gone;
        of_source.files.insert(file);
    }
    Ok(found.into_values().collect())
}

/// A source of both datasets.
#[derive(Clone, Copy)]
struct SourceBefore {
    num_before: u64,
    num_now: u64,
    /// The share of its records that may be lost.
    allowed: f64,
}

/// The sources of both whose `annotations` are the same.
fn sources_with_the_same_files<'m>(before: &'m Manifest, after: &Manifest) -> BTreeMap<&'m str, SourceBefore> {
    if before.name != after.name {
        return BTreeMap::new();
    }
    let annotations = |manifest: &Manifest, name: &str| -> Option<Value> {
        let sources = manifest.pipeline.get("source")?.as_array()?;
        sources.iter().find(|table| table.get("name").is_some_and(|it| it == name))?.get("annotations").cloned()
    };
    let sources = before.sources.iter().filter_map(|source| {
        let name = source.budget.name.as_str();
        let is_same = annotations(before, name).is_some_and(|before| Some(before) == annotations(after, name));
        let now = after.sources.iter().find(|source| source.budget.name == name).filter(|_| is_same)?;
        let (num_before, num_now) = (source.budget.num_seen, now.budget.num_seen);
        Some((name, SourceBefore { num_before, num_now, allowed: now.max_rejects.unwrap_or(1.0) }))
    });
    sources.collect()
}

/// The annotation files of which a dataset has records.
fn files_of(dataset: &DatasetReader) -> Result<FxHashSet<Arc<str>>, DatasetError> {
    let mut files = FxHashSet::default();
    for origin in dataset.origins()? {
        let (_, origin) = origin?;
        if !files.contains(&origin.file) {
            files.insert(origin.file);
        }
    }
    Ok(files)
}
