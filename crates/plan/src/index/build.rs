//! Makes or reuses the index file of every split of every source.

use manyframe_base::{Executor, Step};
use manyframe_core::{IndexVec, SourceIndex};
use manyframe_media::MediaError;
use manyframe_sources::{Raw, RawBody, Split};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::cache::IndexCache;
use crate::index::file::{DerivedFile, IndexFile};
use crate::index::measure::{Measured, measure};
use crate::index::refresh::{ChangedMedia, refresh};
use crate::index::writer::{IndexWriter, index_seal, remove_if_there};
use crate::seal::is_intact;

/// Records measured as one unit of work; large enough to make scheduling cheap.
const RECORDS_PER_BATCH: usize = 32;
const BATCHES_PER_THREAD: usize = 8;

/// The splits of every source, in the order of the pipeline file.
fn list_splits(context: &Context) -> Result<Vec<(SourceIndex, Split)>, PlanError> {
    let mut splits = Vec::new();
    for (index, source) in context.sources.iter_enumerated() {
        let error = |error| PlanError::Source { source_name: source.table.name.clone(), error };
        splits.extend(source.reader().splits().map_err(error)?.into_iter().map(|split| (index, split)));
    }
    Ok(splits)
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
    let splits = list_splits(context)?;
    executor.progress.start(Step::Index, splits.iter().map(|(_, split)| split.num_bytes).sum());
    let mut files = Vec::new();
    let mut changed = IndexVec::filled(ChangedMedia::default(), context.sources.len());
    for (source, split) in splits {
        let path = cache.path(source, &split)?;
        let mut file = IndexFile { source, path, was_read: false };
        if let Some(found) = reuse_split(context, &file, executor)? {
            tracing::debug!(index = %file.path.display(), file = %split.file, "index reused");
            #[expect(clippy::indexing_slicing, reason = "there is an element for each source")]
            changed[source].add(found);
            executor.progress.advance(0, split.num_bytes);
        } else {
            for derived in DerivedFile::ALL {
                remove_if_there(&derived.beside(&file.path))?;
            }
            build_split(context, &split, &file, executor)?;
            file.was_read = true;
        }
        files.push(file);
    }
    executor.progress.finish(Step::Index);
    Ok(IndexFiles { files, changed })
}

/// Brings the index of a split up to date; `None` if there is none that could be.
fn reuse_split(context: &Context, file: &IndexFile, executor: Executor<'_>) -> Result<Option<ChangedMedia>, PlanError> {
    if !file.path.exists() || !file.media_path().exists() {
        return Ok(None);
    }
    if !is_intact(&index_seal(&file.path)) {
        tracing::warn!(index = %file.path.display(), "a damaged index is made again");
        return Ok(None);
    }
    match refresh(context, file, executor) {
        Err(PlanError::Table(error)) => {
            tracing::warn!(index = %file.path.display(), %error, "a damaged index is made again");
            Ok(None)
        }
        refreshed => refreshed.map(Some),
    }
}

fn build_split(context: &Context, split: &Split, file: &IndexFile, executor: Executor<'_>) -> Result<(), PlanError> {
    let open = context.source(file.source);
    let source_error = |error| PlanError::Source { source_name: open.table.name.clone(), error };
    let mut writer = IndexWriter::create(&file.path)?;
    let mut raws = open.reader().read(split).map_err(source_error)?;
    let batches = std::iter::from_fn(|| {
        let batch: Result<Vec<Raw>, _> = raws.by_ref().take(RECORDS_PER_BATCH).collect();
        batch.map(|batch| (!batch.is_empty()).then_some(batch)).map_err(source_error).transpose()
    });
    let measure_batch = |batch: Vec<Raw>| {
        let num_bytes: usize = batch.iter().map(num_bytes_of).sum();
        let measured: Result<Vec<Measured>, MediaError> =
            batch.iter().map(|raw| measure(context, file.source, raw)).collect();
        (num_bytes as u64, measured)
    };
    executor.ordered_map(BATCHES_PER_THREAD).run(batches, measure_batch, |(num_bytes, measured)| {
        let measured = measured.map_err(PlanError::Storage)?;
        executor.progress.advance(measured.len() as u64, num_bytes);
        measured.iter().try_for_each(|record| writer.write(record))
    })?;
    writer.finish()
}

fn num_bytes_of(raw: &Raw) -> usize {
    match &raw.body {
        RawBody::Json(text) => text.len(),
        RawBody::Broken { head, .. } => head.len(),
    }
}
