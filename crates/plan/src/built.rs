//! Samples of the dataset that a build replaces: those that would come out the same are taken over, not made again.
//!
//! A sample would come out the same if its record has the same id (the same text and paths) and its source the same recipe:
//! every setting that a sample depends on, and the places of media. Like the index, this does not notice that an image was
//! replaced under its name; `--fresh` makes everything anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Digest, IndexVec, RecordId, SourceIndex};
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::dataset::list_shards;
use crate::index::recipe;
use crate::plan::BuiltBefore;
use crate::{Context, PlanError};

/// `build.json`: facts about the build that differ between machines, kept apart from the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// Key of the plan.
    pub plan_key: Digest,
    /// Values of the variables in the pipeline file.
    pub variables: BTreeMap<String, String>,
    /// Version of manyframe.
    #[serde(default)]
    pub manyframe_version: String,
    /// For each source, a digest of all that its samples depend on besides their records.
    #[serde(default)]
    pub recipes: BTreeMap<String, Digest>,
    /// What the build did.
    #[serde(default)]
    pub work: WorkDone,
}

/// What a build did, and what it took over from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkDone {
    /// Annotation files, or parts of them, that were read.
    pub num_splits_read: u64,
    /// Annotation files, or parts of them, whose index was there already.
    pub num_splits_reused: u64,
    /// Samples that were made: read, decoded, encoded.
    pub num_samples_made: u64,
    /// Samples that were taken over.
    pub num_samples_reused: u64,
}

impl BuildFacts {
    /// Reads the facts of a dataset; `None` if it has none that this version understands.
    pub fn read(dataset: &Path) -> Result<Option<Self>, PlanError> {
        let path = dataset.join("build.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(|source| PlanError::Read { path, source })?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The recipes of a pipeline's sources.
    pub fn recipes(context: &Context) -> BTreeMap<String, Digest> {
        context.sources.iter().map(|source| (source.table.name.clone(), recipe(context, &source.table))).collect()
    }
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
    pub(crate) fn list(context: &Context) -> Result<Self, PlanError> {
        let dataset = Path::new(&context.pipeline.file.output.directory);
        let Some(facts) = BuildFacts::read(dataset)? else { return Ok(Self::default()) };
        let recipes = BuildFacts::recipes(context);
        let is_same = |name: &String| facts.recipes.contains_key(name) && facts.recipes.get(name) == recipes.get(name);
        let same_recipe: IndexVec<SourceIndex, bool> =
            context.sources.iter().map(|source| is_same(&source.table.name)).collect();
        let is_same_version = facts.manyframe_version == env!("CARGO_PKG_VERSION");
        if !is_same_version || !same_recipe.as_slice().contains(&true) {
            return Ok(Self::default());
        }
        let mut built = Self { same_recipe, ..Self::default() };
        // A dataset that cannot be read is no reason not to replace it.
        let listed = built.add_shards(dataset);
        Ok(listed.map_or_else(|_| Self::default(), |()| built))
    }

    fn add_shards(&mut self, dataset: &Path) -> Result<(), Box<dyn std::error::Error>> {
        for shard in list_shards(dataset)? {
            for entry in shard.samples()? {
                let entry = entry?;
                self.places.insert(entry.sample.id, (self.shards.len() as u32, entry.position));
            }
            self.shards.push((shard.path.into(), shard.format));
        }
        Ok(())
    }

    /// Where the sample is, if it would come out the same.
    pub(crate) fn find(&self, source: SourceIndex, id: RecordId) -> Option<BuiltBefore> {
        self.same_recipe.get(source).filter(|is_same| **is_same)?;
        let &(shard, position) = self.places.get(&id)?;
        let (path, format) = self.shards.get(shard as usize)?;
        Some(BuiltBefore { shard: Arc::clone(path), format: *format, position })
    }
}
