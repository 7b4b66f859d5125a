//! Makes or reuses the index file of every split of every source.

use std::path::{Path, PathBuf};

use manyframe_base::{AtomicFile, Executor, FileAction, FileError, Step};
use manyframe_columnar::TableWriter;
use manyframe_core::SourceIndex;
use manyframe_media::MediaError;
use manyframe_sources::{Raw, RawBody, Split};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::cache::IndexCache;
use crate::index::measure::measure;
use crate::index::table::{IndexEntry, IndexTable};

/// Records measured as one unit of work; large enough to make scheduling cheap.
const RECORDS_PER_BATCH: usize = 32;
const BATCHES_PER_THREAD: usize = 8;

/// The index file of one split.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    pub(crate) source: SourceIndex,
    pub(crate) path: PathBuf,
    /// Whether it was made now.
    pub(crate) was_read: bool,
}

/// Files that are computed from an index file and kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DerivedFile {
    /// Fingerprints of images; videos are represented by their bytes.
    ImageFingerprints,
    /// Fingerprints of images and of frames of videos.
    FrameFingerprints,
}

impl DerivedFile {
    const ALL: [Self; 2] = [Self::ImageFingerprints, Self::FrameFingerprints];

    /// Its path beside an index file.
    pub(crate) fn beside(self, index: &Path) -> PathBuf {
        index.with_extension(match self {
            Self::ImageFingerprints => "fingerprints.parquet",
            Self::FrameFingerprints => "frames.parquet",
        })
    }
}

/// The splits of every source, in the order of the pipeline file.
pub(crate) fn list_splits(context: &Context) -> Result<Vec<(SourceIndex, Split)>, PlanError> {
    let mut splits = Vec::new();
    for (index, source) in context.sources.iter_enumerated() {
        let error = |error| PlanError::Source { source_name: source.table.name.clone(), error };
        splits.extend(source.reader().splits().map_err(error)?.into_iter().map(|split| (index, split)));
    }
    Ok(splits)
}

/// Makes or reuses the index of every split of every source.
pub(crate) fn build_index(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Vec<IndexFile>, PlanError> {
    let cache = IndexCache::open(context, work)?;
    let splits = list_splits(context)?;
    executor.progress.start(Step::Index, splits.iter().map(|(_, split)| split.num_bytes).sum());
    let mut files = Vec::new();
    for (source, split) in splits {
        let path = cache.path(source, &split)?;
        let is_reusable = path.exists() && cache.is_current(source, &path)?;
        if is_reusable {
            tracing::debug!(index = %path.display(), file = %split.file, "index reused");
            executor.progress.advance(0, split.num_bytes);
        } else {
            for derived in DerivedFile::ALL {
                remove_if_there(&derived.beside(&path))?;
            }
            build_split(context, &SplitIndex { source, split: &split, path: &path }, executor)?;
        }
        files.push(IndexFile { source, path, was_read: !is_reusable });
    }
    executor.progress.finish(Step::Index);
    Ok(files)
}

/// A split of a source, and where its index goes.
struct SplitIndex<'a> {
    source: SourceIndex,
    split: &'a Split,
    path: &'a Path,
}

fn build_split(context: &Context, made: &SplitIndex<'_>, executor: Executor<'_>) -> Result<(), PlanError> {
    let &SplitIndex { source, split, path } = made;
    let open = context.source(source);
    let source_error = |error| PlanError::Source { source_name: open.table.name.clone(), error };
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let mut writer = TableWriter::<IndexTable, _>::new(AtomicFile::create(path)?).map_err(index_error)?;
    let mut raws = open.reader().read(split).map_err(source_error)?;
    let batches = std::iter::from_fn(|| {
        let batch: Result<Vec<Raw>, _> = raws.by_ref().take(RECORDS_PER_BATCH).collect();
        batch.map(|batch| (!batch.is_empty()).then_some(batch)).map_err(source_error).transpose()
    });
    let measure_batch = |batch: Vec<Raw>| {
        let num_bytes: usize = batch.iter().map(num_bytes_of).sum();
        let entries: Result<Vec<Vec<IndexEntry>>, MediaError> =
            batch.iter().map(|raw| measure(context, source, raw)).collect();
        (num_bytes as u64, entries)
    };
    executor.ordered_map(BATCHES_PER_THREAD).run(batches, measure_batch, |(num_bytes, entries)| {
        let entries = entries.map_err(PlanError::Storage)?;
        executor.progress.advance(entries.len() as u64, num_bytes);
        entries.into_iter().flatten().try_for_each(|entry| writer.write(&entry)).map_err(index_error)
    })?;
    Ok(writer.finish().map_err(index_error)?.publish()?)
}

fn num_bytes_of(raw: &Raw) -> usize {
    match &raw.body {
        RawBody::Json(text) => text.len(),
        RawBody::Broken { head, .. } => head.len(),
    }
}

fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError { action: FileAction::Remove, path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
