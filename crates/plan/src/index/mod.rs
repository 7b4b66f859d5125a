//! The index: one row per record seen, from annotations and media headers alone.
//!
//! ```text
//! Source::read (one thread, finds boundaries) ──▶ measure (pool) ──▶ index file, in the order of the source
//! ```
//!
//! Index files are kept and reused while the annotation file and every setting that they depend on are unchanged.
//! It does not select anything: what is drawn may change without a new index.

pub(crate) mod cache;
mod fingerprint;
mod measure;
mod over_long;
mod table;

use std::path::{Path, PathBuf};

use manyframe_core::{Digest, RejectCode, SourceIndex};
use manyframe_media::MediaError;
use manyframe_sources::{Raw, RawBody, Split};

pub(crate) use cache::recipe;
pub use measure::in_visual;
pub(crate) use measure::{Entry, Measurement, measure};
pub use over_long::fewest_tiles;
pub(crate) use table::{num_entries, read_entries, write_entries};

use self::fingerprint::Fingerprints;
use crate::{Context, PlanError};
use manyframe_base::{AtomicFile, Executor, Step};

/// The index file of one split.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    pub(crate) source: SourceIndex,
    pub(crate) path: PathBuf,
    /// Whether it was made now.
    pub(crate) was_read: bool,
}

/// Where index files are, below the work directory.
const DIRECTORY: &str = "index";
/// Records measured as one unit of work; large enough to make scheduling cheap.
const RECORDS_PER_BATCH: usize = 32;
const BATCHES_PER_THREAD: usize = 8;

/// The key of a plan: a digest of the settings and of what the inputs hold. The place of the output is no part of it.
pub fn plan_key(context: &Context, work: &Path) -> Result<Digest, PlanError> {
    let directory = work.join(DIRECTORY);
    std::fs::create_dir_all(&directory).map_err(|source| PlanError::Write { path: directory.clone(), source })?;
    let fingerprints = Fingerprints::open(&directory);
    let mut settings = context.pipeline.file.clone();
    settings.output.directory.clear();
    settings.output.root.clear();
    let mut fields = vec![serde_json::json!(settings).to_string(), crate::plan::PLAN_VERSION.to_string()];
    for (number, split) in splits(context)? {
        fields.push(cache::file_name(context, &fingerprints, number, &split)?);
    }
    for source in &context.sources {
        for dataset in source.table.delivered_in.as_slice().iter().chain(source.table.not_delivered_in.as_slice()) {
            fields.push(fingerprints.of(&Path::new(dataset).join(manyframe_dataset::MANIFEST_FILE))?);
        }
    }
    fields.extend(crate::duplicates::excluded_files(context)?);
    fingerprints.save()?;
    Ok(Digest::of_fields(fields.iter().map(String::as_bytes)))
}

fn splits(context: &Context) -> Result<Vec<(SourceIndex, Split)>, PlanError> {
    let mut splits = Vec::new();
    for (number, source) in context.sources.iter_enumerated() {
        let error = |error| PlanError::Source { source_name: source.table.name.clone(), error };
        splits.extend(source.reader().splits().map_err(error)?.into_iter().map(|split| (number, split)));
    }
    Ok(splits)
}

/// Makes or reuses the index of every split of every source.
pub(crate) fn build(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Vec<IndexFile>, PlanError> {
    let directory = work.join(DIRECTORY);
    let fingerprints = Fingerprints::open(&directory);
    let splits = splits(context)?;
    executor.progress.start(Step::Index, splits.iter().map(|(_, split)| split.num_bytes).sum());
    let mut files = Vec::new();
    for (number, split) in splits {
        let path = directory.join(cache::file_name(context, &fingerprints, number, &split)?);
        let is_reusable = path.exists() && cache::is_current(context, number, &path)?;
        if is_reusable {
            tracing::debug!(index = %path.display(), file = %split.file, "index reused");
            executor.progress.advance(0, split.num_bytes);
        } else {
            build_split(context, number, &split, &path, executor)?;
        }
        files.push(IndexFile { source: number, path, was_read: !is_reusable });
    }
    executor.progress.finish(Step::Index);
    Ok(files)
}

fn build_split(
    context: &Context,
    number: SourceIndex,
    split: &Split,
    path: &Path,
    executor: Executor<'_>,
) -> Result<(), PlanError> {
    let source = &context.sources[number];
    let source_error = |error| PlanError::Source { source_name: source.table.name.clone(), error };
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let mut writer = write_entries(AtomicFile::create(path)?).map_err(index_error)?;
    let mut raws = source.reader().read(split).map_err(source_error)?;
    let batches = std::iter::from_fn(|| {
        let batch: Result<Vec<Raw>, _> = raws.by_ref().take(RECORDS_PER_BATCH).collect();
        batch.map(|batch| (!batch.is_empty()).then_some(batch)).map_err(source_error).transpose()
    });
    let measure_batch = |batch: Vec<Raw>| {
        let num_bytes: usize = batch.iter().map(num_bytes_of).sum();
        let entries: Result<Vec<Vec<Entry>>, MediaError> =
            batch.iter().map(|raw| measure(context, number, raw)).collect();
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

/// Whether an entry was rejected for a reason that a change of the media, and not of the annotations, would cure.
pub(crate) fn is_about_media(code: RejectCode) -> bool {
    use RejectCode::{
        MediaCorrupt, MediaEmpty, MediaMissing, MediaShape, MediaTooLarge, MediaType, NoFrames, UnsafePath,
    };
    [MediaMissing, MediaEmpty, MediaType, MediaTooLarge, MediaShape, MediaCorrupt, NoFrames, UnsafePath].contains(&code)
}
