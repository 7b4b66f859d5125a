//! Makes or reuses the index file of every split of every source.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use manyframe_base::{Executor, Step};
use manyframe_core::{IndexVec, SourceIndex};
use manyframe_media::MediaError;
use manyframe_sources::{Merge, Raw, RawBody};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::cache::IndexCache;
use crate::index::file::{DerivedFile, IndexFile};
use crate::index::group::SplitGroup;
use crate::index::measure::{Measured, measure};
use crate::index::parts::{IndexParts, KeptRecords, remove_parts};
use crate::index::refresh::{ChangedMedia, refresh};
use crate::index::table::num_entries;
use crate::index::writer::{IndexWriter, index_seal, remove_if_there};
use crate::seal::is_intact;

/// Most records measured as one unit of work; enough to make scheduling cheap.
const RECORDS_PER_BATCH: usize = 128;
/// From this many bytes of text on, a unit of work takes no further records: some have images in their text.
const BYTES_PER_BATCH: usize = 1 << 18;
const BATCHES_PER_THREAD: usize = 8;

/// Records are kept until the index is whole if each took this long. Keeping one takes a thirtieth of that; what is not kept is
/// measured again as fast.
const LEAST_TIME_KEPT: Duration = Duration::from_micros(150);

/// How long a unit of work should take: what waits for an earlier one is not kept yet.
const BATCH_TIME: Range<Duration> = Duration::from_millis(10)..Duration::from_millis(100);

/// The splits of every source that an index file is made of, in the order of the pipeline file.
pub(crate) fn list_splits(context: &Context) -> Result<Vec<(SourceIndex, SplitGroup)>, PlanError> {
    let mut groups = Vec::new();
    for (index, source) in context.sources.iter_enumerated() {
        let error = |error| PlanError::Source { source_name: source.table.name.clone(), error };
        let splits = source.reader().splits().map_err(error)?;
        groups.extend(SplitGroup::of_splits(splits).into_iter().map(|group| (index, group)));
    }
    Ok(groups)
}

/// The index of every split of every source, and what changed since it was made.
pub(crate) struct IndexFiles {
    pub(crate) files: Vec<IndexFile>,
    pub(crate) changed: IndexVec<SourceIndex, ChangedMedia>,
}

/// Makes the index of every split of every source, or brings the one that is kept up to date.
pub(crate) fn build_index(
    context: &Context,
    cache: &IndexCache<'_>,
    executor: Executor<'_>,
) -> Result<IndexFiles, PlanError> {
    let groups = list_splits(context)?;
    executor.progress.start(Step::Index, groups.iter().map(|(_, group)| group.num_bytes()).sum());
    let mut files = Vec::new();
    let mut changed = IndexVec::filled(ChangedMedia::default(), context.sources.len());
    for (source, group) in groups {
        let mut file = cache.index_file(source, &group)?;
        if let Some((found, num_records)) = reuse_group(context, &file, executor)? {
            tracing::debug!(index = %file.path.display(), files = %group, "index reused");
            #[expect(clippy::indexing_slicing, reason = "there is an element for each source")]
            changed[source].add(found);
            executor.progress.advance(num_records, group.num_bytes());
            remove_parts(&file.path)?;
        } else {
            for derived in DerivedFile::ALL {
                remove_if_there(&derived.beside(&file.path))?;
            }
            build_group(context, &group, &file, executor)?;
            file.was_read = true;
        }
        files.push(file);
    }
    executor.progress.finish(Step::Index);
    Ok(IndexFiles { files, changed })
}

/// Brings the index of some splits up to date, and counts its records; `None` if there is none that could be.
fn reuse_group(
    context: &Context,
    file: &IndexFile,
    executor: Executor<'_>,
) -> Result<Option<(ChangedMedia, u64)>, PlanError> {
    if !file.path.exists() || !file.media_path().exists() {
        return Ok(None);
    }
    if !is_intact(&index_seal(&file.path)) {
        tracing::warn!(index = %file.path.display(), "a damaged index is made again");
        return Ok(None);
    }
    let refreshed = refresh(context, file, executor);
    match refreshed.and_then(|changed| Ok((changed, num_entries(&file.path)? as u64))) {
        Err(PlanError::Table(error)) => {
            tracing::warn!(index = %file.path.display(), %error, "a damaged index is made again");
            Ok(None)
        }
        refreshed => refreshed.map(Some),
    }
}

/// Makes the index of some splits.
pub(crate) fn build_group(
    context: &Context,
    group: &SplitGroup,
    file: &IndexFile,
    executor: Executor<'_>,
) -> Result<(), PlanError> {
    let open = context.source(file.source);
    let source_error = |error| PlanError::Source { source_name: open.table.name.clone(), error };
    let mut writer = IndexWriter::create(&file.path)?;
    let mut kept = KeptRecords::of_parts(&file.path, file.source);
    let is_continued = !kept.is_at_end();
    let mut parts = IndexParts::new(&file.path);
    let mut raws = group.read(open.reader());
    let size = BatchSize(AtomicUsize::new(1));
    let (mut num_records, mut num_merged) = (0_u64, 0_u64);
    let batches = std::iter::from_fn(|| {
        let is_ahead = kept.is_at_end();
        let (mut records, mut num_bytes) = (Vec::new(), 0);
        while records.len() < size.records() && num_bytes < BYTES_PER_BATCH {
            let raw = match raws.next() {
                Some(Ok(raw)) => raw,
                Some(Err(error)) => return Some(Err(source_error(error))),
                None => break,
            };
            num_records += 1;
            num_merged += u64::from(matches!(raw.body, RawBody::Merged(_)));
            num_bytes += raw.body.text().len();
            records.push((kept.take(&raw.origin), raw));
        }
        (!records.is_empty()).then_some(Ok(Batch { records, is_ahead, num_bytes }))
    });
    let measure_batch = |batch: Batch| batch.measure(context, file.source, &size);
    executor.ordered_map(BATCHES_PER_THREAD).run(batches, measure_batch, |batch| {
        let MeasuredBatch { records, num_bytes, is_worth_keeping } = batch.map_err(PlanError::Storage)?;
        executor.progress.advance(records.len() as u64, num_bytes);
        records.iter().try_for_each(|record| {
            writer.write(record)?;
            if is_worth_keeping { parts.write(record) } else { Ok(()) }
        })
    })?;
    writer.finish()?;
    if open.table.options.merge != Merge::Nothing && num_merged == 0 && num_records > 1 {
        tracing::warn!(
            source = open.table.name, files = %group,
            "`merge` merged none of {num_records} records: none shows the same images as the one before it; sort them by image"
        );
    }
    if is_continued {
        // Media may have changed since an earlier process measured them.
        refresh(context, file, executor)?;
    }
    remove_parts(&file.path)
}

/// Records that follow each other, each with what an earlier process kept of it.
struct Batch {
    records: Vec<(Option<Measured>, Raw)>,
    /// Whether they are behind everything that was kept.
    is_ahead: bool,
    num_bytes: usize,
}

struct MeasuredBatch {
    records: Vec<Measured>,
    num_bytes: u64,
    is_worth_keeping: bool,
}

impl Batch {
    fn measure(self, context: &Context, source: SourceIndex, size: &BatchSize) -> Result<MeasuredBatch, MediaError> {
        // What is measured does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let measure = |(kept, raw): (Option<Measured>, Raw)| kept.map_or_else(|| measure(context, source, &raw), Ok);
        let records = self.records.into_iter().map(measure).collect::<Result<Vec<_>, _>>()?;
        let elapsed = started.elapsed();
        size.adjust(elapsed);
        let is_worth_keeping = self.is_ahead && elapsed >= LEAST_TIME_KEPT * records.len() as u32;
        Ok(MeasuredBatch { records, num_bytes: self.num_bytes as u64, is_worth_keeping })
    }
}

/// The number of records in a batch.
struct BatchSize(AtomicUsize);

impl BatchSize {
    fn records(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes the next ones larger or smaller after one that took this long.
    fn adjust(&self, elapsed: Duration) {
        let records = self.records();
        if elapsed < BATCH_TIME.start {
            self.0.store((2 * records).min(RECORDS_PER_BATCH), Ordering::Relaxed);
        } else if elapsed > BATCH_TIME.end {
            self.0.store((records / 2).max(1), Ordering::Relaxed);
        }
    }
}
