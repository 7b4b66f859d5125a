//! Samples of the dataset that a build replaces: those that would come out the same are taken over, not made again.
//!
//! A sample would come out the same if its record has the same id (the same text and paths) and its source the same recipe:
//! every setting that a sample depends on, and the places of media. Like the index, this does not notice that an image was
//! replaced under its name; `--fresh` makes everything anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Digest, IndexVec, RecordId, SourceIndex};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE, SampleLocation};
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;

use crate::Context;
use crate::index::recipe;

/// For each source of a pipeline, a digest of every setting that its samples depend on.
pub fn source_settings_digests(context: &Context) -> BTreeMap<String, Digest> {
    context.sources.iter().map(|source| (source.table.name.clone(), recipe(context, &source.table))).collect()
}

/// The samples that can be taken over.
#[derive(Default)]
pub(crate) struct BuiltSamples {
    shards: Vec<(Arc<Path>, ShardFormat)>,
    /// Shard and position of each.
    places: FxHashMap<RecordId, (u32, u64)>,
    /// Whether the source with this position has the same recipe.
    same_recipe: IndexVec<SourceIndex, bool>,
}

impl BuiltSamples {
    /// Lists the samples of the dataset at the pipeline's output, if any source would make them as it did.
    ///
    /// A dataset that cannot be read is no reason not to replace it: nothing is reused then.
    pub(crate) fn list(context: &Context) -> Self {
        let dataset = Path::new(&context.pipeline.file.output.directory);
        if !dataset.join(MANIFEST_FILE).exists() {
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
        let digests = source_settings_digests(context);
        let before = &facts.source_settings_digests;
        let is_same = |name: &String| before.contains_key(name) && before.get(name) == digests.get(name);
        let same_recipe: IndexVec<SourceIndex, bool> =
            context.sources.iter().map(|source| is_same(&source.table.name)).collect();
        let is_same_version = facts.manyframe_version == env!("CARGO_PKG_VERSION");
        if !is_same_version || !same_recipe.as_slice().contains(&true) {
            return Ok(Self::default());
        }
        let mut built = Self { same_recipe, ..Self::default() };
        for shard in dataset.shards_of_one_format() {
            for entry in dataset.sample_entries(shard)? {
                let entry = entry?;
                built.places.insert(entry.sample.id, (built.shards.len() as u32, entry.position));
            }
            built.shards.push((dataset.shard_file(shard)?.into(), shard.format));
        }
        Ok(built)
    }

    /// Where the sample is, if it would come out the same.
    pub(crate) fn find(&self, source: SourceIndex, id: RecordId) -> Option<SampleLocation> {
        self.same_recipe.get(source).filter(|is_same| **is_same)?;
        let &(shard, position) = self.places.get(&id)?;
        let (path, format) = self.shards.get(shard as usize)?;
        Some(SampleLocation { shard: Arc::clone(path), format: *format, position: Some(position) })
    }
}
