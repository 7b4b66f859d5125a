//! Reuse: samples of the dataset that a build replaces are copied if they would be the same.
//!
//! A sample would be the same if its record has the same id (the same text and paths) and the settings of its source are
//! the same: every setting that a sample depends on, and the locations of media. Like the index, this does not notice that an
//! image was replaced under its name; `--fresh` makes everything again.

use std::path::Path;
use std::sync::Arc;

use manyframe_core::{IndexVec, RecordId, SourceIndex};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE, SampleLocation};
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;

use crate::context::Context;

/// What a build does with the samples of the dataset that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Samples that would be the same are reused.
    Unchanged,
    /// None is reused.
    Nothing,
}

/// The samples that can be reused.
#[derive(Default)]
pub(crate) struct ReusableSamples {
    shards: Vec<(Arc<Path>, ShardFormat)>,
    /// Shard and position of each sample.
    locations: FxHashMap<RecordId, (usize, u64)>,
    /// Whether each source has the settings that it had then; empty if nothing is reused.
    has_same_settings: IndexVec<SourceIndex, bool>,
}

impl ReusableSamples {
    /// The samples of the dataset at the pipeline's output, as far as the settings of their sources are the same.
    ///
    /// A dataset that cannot be read may still be replaced; nothing is then reused.
    pub(crate) fn list(context: &Context, reuse: Reuse) -> Self {
        let dataset = Path::new(&context.pipeline.file.output.directory);
        if reuse == Reuse::Nothing || !dataset.join(MANIFEST_FILE).exists() {
            return Self::default();
        }
        Self::of_dataset(context, dataset).unwrap_or_else(|error| {
            tracing::warn!(dataset = %dataset.display(), %error, "no sample is reused: the dataset cannot be read");
            Self::default()
        })
    }

    fn of_dataset(context: &Context, dataset: &Path) -> Result<Self, DatasetError> {
        let dataset = DatasetReader::open(dataset)?;
        let Some(facts) = dataset.build_facts()? else { return Ok(Self::default()) };
        let before = &facts.source_settings_digests;
        let is_same = |(name, now)| before.get(&name) == Some(&now);
        let has_same_settings: IndexVec<SourceIndex, bool> =
            context.named_source_settings_digests().map(is_same).collect();
        let is_same_version = facts.manyframe_version == env!("CARGO_PKG_VERSION");
        if !is_same_version || !has_same_settings.as_slice().contains(&true) {
            return Ok(Self::default());
        }
        let mut reusable = Self { has_same_settings, ..Self::default() };
        for shard in dataset.shards_of_one_format() {
            for entry in dataset.sample_entries(shard)? {
                let entry = entry?;
                reusable.locations.insert(entry.sample.id, (reusable.shards.len(), entry.position));
            }
            reusable.shards.push((dataset.shard_file(shard)?.into(), shard.format));
        }
        Ok(reusable)
    }

    /// Where the sample is, if it would be the same.
    pub(crate) fn find(&self, source: SourceIndex, id: RecordId) -> Option<SampleLocation> {
        self.has_same_settings.get(source).filter(|is_same| **is_same)?;
        let &(shard, position) = self.locations.get(&id)?;
        #[expect(clippy::indexing_slicing, reason = "locations name shards of this list only")]
        let (path, format) = &self.shards[shard];
        Some(SampleLocation { shard: Arc::clone(path), format: *format, position: Some(position) })
    }
}
