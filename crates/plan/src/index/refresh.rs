//! Measures those records of an index again whose media changed since.
//!
//! ```text
//! table of media ──stat (pool)──▶ records that changed ──read, measure (pool)──▶ new index file, other rows as they were
//! ```
//!
//! Records that were rejected for their media are measured again each time: a rejection may have causes that no `stat` shows,
//! such as permissions.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use manyframe_base::Executor;
use manyframe_core::Origin;
use manyframe_dataset::DatasetError;
use manyframe_pipeline::MediaFreshness;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::file::IndexFile;
use crate::index::measure::{Measured, measure};
use crate::index::media::{MediaRow, RecentIdentities, read_media, rejection_digest};
use crate::index::records::IndexedRecords;
use crate::index::writer::IndexWriter;

/// Records that are looked at as one unit of work.
const RECORDS_PER_BATCH: usize = 128;
const BATCHES_PER_THREAD: usize = 8;

/// The records of a source whose media changed since its index was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedMedia {
    /// Number of records.
    pub num_records: u64,
    /// The medium that changed of the first of them.
    pub example: String,
}

impl ChangedMedia {
    pub(crate) fn add(&mut self, later: Self) {
        if self.num_records == 0 {
            self.example = later.example;
        }
        self.num_records += later.num_records;
    }
}

/// Brings an index file up to date with the media; other rows stay as they are.
pub(crate) fn refresh(context: &Context, file: &IndexFile, executor: Executor<'_>) -> Result<ChangedMedia, PlanError> {
    let stale = StaleRecords::find(context, file, executor)?;
    if !stale.first_entries.is_empty() {
        rewrite(context, file, &stale, executor)?;
    }
    Ok(stale.changed())
}

/// What changed among the media of an index file since it was made.
pub(crate) fn find_changed(
    context: &Context,
    file: &IndexFile,
    executor: Executor<'_>,
) -> Result<ChangedMedia, PlanError> {
    Ok(StaleRecords::find(context, file, executor)?.changed())
}

/// The records whose rows are not what they would be now.
#[derive(Default)]
struct StaleRecords {
    /// The first entry of each.
    first_entries: BTreeSet<u64>,
    /// The medium that changed of the first of them.
    example: String,
}

impl StaleRecords {
    fn find(context: &Context, file: &IndexFile, executor: Executor<'_>) -> Result<Self, PlanError> {
        let mut rows = read_media(&file.path)?;
        let batches = std::iter::from_fn(|| {
            let batch: Result<Vec<MediaRow>, DatasetError> = rows.by_ref().take(RECORDS_PER_BATCH).collect();
            batch.map(|batch| (!batch.is_empty()).then_some(batch)).map_err(PlanError::Table).transpose()
        });
        let comparison = Comparison { context, file, idle: Mutex::default() };
        let check = |batch: Vec<MediaRow>| comparison.changed_media(&batch);
        let mut stale = Self::default();
        executor.ordered_map(BATCHES_PER_THREAD).run(batches, check, |checked| {
            for (first_entry, changed) in checked? {
                let Some(name) = changed else { continue };
                if stale.first_entries.is_empty() {
                    stale.example = name;
                }
                stale.first_entries.insert(first_entry);
            }
            Ok(())
        })?;
        Ok(stale)
    }

    fn changed(self) -> ChangedMedia {
        ChangedMedia { num_records: self.first_entries.len() as u64, example: self.example }
    }
}

/// Compares the media of an index file with what they were.
struct Comparison<'a> {
    context: &'a Context,
    file: &'a IndexFile,
    /// What threads saw a moment ago that look at nothing now.
    idle: Mutex<Vec<RecentIdentities>>,
}

impl Comparison<'_> {
    /// The first entry of each record, with the medium for which the record has to be measured again, if any.
    fn changed_media(&self, batch: &[MediaRow]) -> Result<Vec<(u64, Option<String>)>, PlanError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = idle().pop();
        let mut recent = lent.unwrap_or_default();
        let changed = batch.iter().map(|row| Ok((row.first_entry, self.changed_medium(row, &mut recent)?))).collect();
        idle().push(recent);
        changed
    }

    fn changed_medium(&self, row: &MediaRow, recent: &mut RecentIdentities) -> Result<Option<String>, PlanError> {
        let Self { context, file, .. } = self;
        let Some(before) = row.rejection else {
            let is_trusted = context.pipeline.file.reuse.media == MediaFreshness::Trust;
            let media = &context.source(file.source).media;
            return Ok(if is_trusted { None } else { row.media.first_changed(media, recent).map(str::to_owned) });
        };
        let now = measure_again(context, file, &row.origin)?;
        let rejection = now.entries.first().and_then(|entry| entry.outcome.as_ref().err()).map(rejection_digest);
        let name = row.media.names().next().cloned().unwrap_or_default();
        Ok((rejection != Some(before)).then_some(name))
    }
}

fn measure_again(context: &Context, file: &IndexFile, origin: &Origin) -> Result<Measured, PlanError> {
    let open = context.source(file.source);
    let raw = open.read_at(origin);
    let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    measure(context, file.source, &raw).map_err(PlanError::Storage)
}

/// Writes the index file again, with stale records measured again.
fn rewrite(context: &Context, file: &IndexFile, stale: &StaleRecords, executor: Executor<'_>) -> Result<(), PlanError> {
    let mut writer = IndexWriter::create(&file.path)?;
    let mut records = IndexedRecords::open(&file.path, file.source)?;
    let batches = std::iter::from_fn(|| {
        let batch: Result<Vec<_>, PlanError> = records.by_ref().take(RECORDS_PER_BATCH).collect();
        batch.map(|batch| (!batch.is_empty()).then_some(batch)).transpose()
    });
    let renew = |(first_entry, kept): (u64, Measured)| match kept.entries.first() {
        Some(entry) if stale.first_entries.contains(&first_entry) => measure_again(context, file, &entry.origin),
        _ => Ok(kept),
    };
    let renew_batch = |batch: Vec<(u64, Measured)>| batch.into_iter().map(renew).collect::<Result<Vec<_>, _>>();
    executor
        .ordered_map(BATCHES_PER_THREAD)
        .run(batches, renew_batch, |renewed| renewed?.iter().try_for_each(|record| writer.write(record)))?;
    writer.finish()
}
