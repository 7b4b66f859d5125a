//! Reuse: samples of the dataset that a build replaces are copied if they would be the same.
//!
//! A sample would be the same if its record has the same id (the same text and paths), its media are the versions that it was
//! made of, and the settings of its source are the same: every setting that a sample depends on, and the locations of media.
//! What is not reused is counted by its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Digest, IndexRow, IndexVec, RecordId, SourceIndex};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE, SampleLocation};
use manyframe_pipeline::MediaFreshness;
use manyframe_samplers::sample_id;
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::{Context, OpenSource, source_settings};
use crate::error::PlanError;
use crate::sample_media::{kept_media_path, read_sample_media};

/// What a build does with the samples of the dataset that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Samples that would be the same are reused.
    Unchanged,
    /// None is reused.
    Nothing,
}

/// A sample of the dataset that is being replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReusedSample {
    /// Its id there: that of another repetition of the same record, if this one was not delivered.
    pub id: RecordId,
    /// Where it is.
    #[serde(flatten)]
    pub location: SampleLocation,
}

/// Why a sample is made and not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBecause {
    /// There is no dataset to reuse samples of, or it must not be used.
    NothingBefore,
    /// Another version of manyframe made the dataset.
    OtherVersion,
    /// The source is new.
    NewSource,
    /// Settings changed that samples of the source depend on.
    SettingsChanged,
    /// The dataset does not have the record.
    NewRecord,
    /// The media of the record were replaced, completed or restored.
    MediaChanged,
    /// It is not known of which versions of its media the sample was made.
    MediaUnknown,
}

/// What is reused of a source, and what is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReuse {
    /// The source.
    pub source: String,
    /// Number of samples that are reused.
    pub num_reused: u64,
    /// Samples that are made, by reason.
    pub made: BTreeMap<MadeBecause, MadeSamples>,
    /// The settings that changed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed_settings: BTreeSet<String>,
}

/// Samples that are made for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSamples {
    /// How many.
    pub num_samples: u64,
    /// The medium that changed of the first of them, or its record.
    pub example: String,
}

impl SourceReuse {
    /// Counts a sample that is reused, or made for a reason; `example` is asked for the first of each reason.
    pub(crate) fn count(&mut self, because: Option<MadeBecause>, example: impl FnOnce() -> String) {
        let Some(because) = because else {
            self.num_reused += 1;
            return;
        };
        let made = self.made.entry(because).or_default();
        if made.num_samples == 0 {
            made.example = example();
        }
        made.num_samples += 1;
    }
}

/// The samples that can be reused.
pub(crate) struct ReusableSamples {
    shards: Vec<(Arc<Path>, ShardFormat)>,
    /// Shard and position of each sample.
    locations: FxHashMap<RecordId, (usize, u64)>,
    /// Of each source, why none of its samples can be reused.
    obstacles: IndexVec<SourceIndex, Option<MadeBecause>>,
    changed_settings: IndexVec<SourceIndex, BTreeSet<String>>,
    media: MediaBefore,
}

/// What is known about the media that samples were made of.
enum MediaBefore {
    /// They are taken to be the same.
    Trusted,
    Unknown,
    /// The records whose media are different now, the first of them with one that is.
    Changed(FxHashMap<RecordId, Option<Box<str>>>),
}

/// Changed media that are remembered by name.
const MOST_NAMED: usize = 1000;

impl ReusableSamples {
    /// The samples of the dataset at the pipeline's output, for a plan whose table of media is finished.
    ///
    /// A dataset that cannot be read may still be replaced; nothing is then reused.
    pub(crate) fn list(context: &Context, reuse: Reuse, work: &Path, media: &Path) -> Self {
        let dataset = Path::new(&context.pipeline.file.output.directory);
        if reuse == Reuse::Nothing || !dataset.join(MANIFEST_FILE).exists() {
            return Self::nothing(context, MadeBecause::NothingBefore);
        }
        Self::of_dataset(context, dataset, work, media).unwrap_or_else(|error| {
            tracing::warn!(dataset = %dataset.display(), %error, "no sample is reused: the dataset cannot be read");
            Self::nothing(context, MadeBecause::NothingBefore)
        })
    }

    fn nothing(context: &Context, because: MadeBecause) -> Self {
        let num_sources = context.sources.len();
        Self {
            shards: Vec::new(),
            locations: FxHashMap::default(),
            obstacles: IndexVec::filled(Some(because), num_sources),
            changed_settings: IndexVec::filled(BTreeSet::new(), num_sources),
            media: MediaBefore::Trusted,
        }
    }

    fn of_dataset(context: &Context, dataset: &Path, work: &Path, media: &Path) -> Result<Self, PlanError> {
        let dataset = DatasetReader::open(dataset)?;
        let Some(facts) = dataset.build_facts()? else {
            return Ok(Self::nothing(context, MadeBecause::NothingBefore));
        };
        if facts.manyframe_version != env!("CARGO_PKG_VERSION") {
            return Ok(Self::nothing(context, MadeBecause::OtherVersion));
        }
        let mut reusable = Self::nothing(context, MadeBecause::NewSource);
        let obstacle = |(name, now): (String, Digest)| match facts.source_settings_digests.get(&name) {
            None => Some(MadeBecause::NewSource),
            Some(before) => (*before != now).then_some(MadeBecause::SettingsChanged),
        };
        reusable.obstacles = context.named_source_settings_digests().map(obstacle).collect();
        reusable.changed_settings = changed_settings(context, &dataset);
        if reusable.obstacles.as_slice().contains(&None) {
            reusable.add_shards(&dataset)?;
            reusable.media = match context.pipeline.file.reuse.media {
                MediaFreshness::Trust => MediaBefore::Trusted,
                MediaFreshness::Stat => MediaBefore::read(&kept_media_path(work, dataset.manifest()), media)?,
            };
        }
        Ok(reusable)
    }

    fn add_shards(&mut self, dataset: &DatasetReader) -> Result<(), DatasetError> {
        for shard in dataset.shards_of_one_format() {
            for entry in dataset.sample_entries(shard)? {
                let entry = entry?;
                self.locations.insert(entry.sample.id, (self.shards.len(), entry.position));
            }
            self.shards.push((dataset.shard_file(shard)?.into(), shard.format));
        }
        Ok(())
    }

    /// The sample, if it would be the same, or why it has to be made.
    pub(crate) fn find(&self, row: &IndexRow, repetition: u32) -> Result<ReusedSample, MadeBecause> {
        if let Some(obstacle) = self.obstacles.get(row.source).copied().flatten() {
            return Err(obstacle);
        }
        // Repetitions of a record differ in nothing but their ids.
        let ids = [sample_id(row.id, repetition), row.id];
        let found = ids.into_iter().find_map(|id| Some((id, *self.locations.get(&id)?)));
        let Some((id, (shard, position))) = found else { return Err(MadeBecause::NewRecord) };
        match &self.media {
            MediaBefore::Changed(records) if records.contains_key(&row.id) => return Err(MadeBecause::MediaChanged),
            MediaBefore::Unknown if row.cost.num_images > 0 => return Err(MadeBecause::MediaUnknown),
            _ => {}
        }
        #[expect(clippy::indexing_slicing, reason = "locations name shards of this list only")]
        let (path, format) = &self.shards[shard];
        let location = SampleLocation { shard: Arc::clone(path), format: *format, position: Some(position) };
        Ok(ReusedSample { id, location })
    }

    /// The name of a medium of the record that changed, if it is remembered.
    pub(crate) fn changed_medium(&self, id: RecordId) -> Option<&str> {
        match &self.media {
            MediaBefore::Changed(records) => records.get(&id)?.as_deref(),
            MediaBefore::Trusted | MediaBefore::Unknown => None,
        }
    }

    /// The counts of all sources before any sample is counted.
    pub(crate) fn start_count(&self, context: &Context) -> IndexVec<SourceIndex, SourceReuse> {
        let changed_settings = self.changed_settings.iter().cloned();
        let count = |(open, changed_settings): (&OpenSource, BTreeSet<String>)| SourceReuse {
            source: open.table.name.clone(),
            changed_settings,
            ..SourceReuse::default()
        };
        context.sources.iter().zip(changed_settings).map(count).collect()
    }
}

impl MediaBefore {
    /// Compares the media of a dataset with those of a plan.
    fn read(before: &Path, now: &Path) -> Result<Self, DatasetError> {
        let rows = before.exists().then(|| read_sample_media(before)).transpose();
        let known = rows
            .and_then(|rows| rows.into_iter().flatten().map(|row| row.map(|row| (row.id, row.identities))).collect());
        let known: FxHashMap<RecordId, Vec<u64>> = match known {
            Ok(known) if before.exists() => known,
            Ok(_) => return Ok(Self::Unknown),
            Err(error) => {
                tracing::warn!(table = %before.display(), %error, "samples with media are not reused");
                return Ok(Self::Unknown);
            }
        };
        let mut changed = FxHashMap::default();
        for row in read_sample_media(now)? {
            let row = row?;
            let before = known.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            if before != row.identities {
                let pairs = row.identities.iter().zip(before.iter().map(Some).chain(std::iter::repeat(None)));
                let position = pairs.take_while(|(now, before)| Some(*now) == *before).count();
                let name = row.names.get(position).map(|name| name.as_str().into());
                let name = name.filter(|_| changed.len() < MOST_NAMED);
                changed.insert(row.id, name);
            }
        }
        Ok(Self::Changed(changed))
    }
}

/// The settings of each source that changed since a dataset was built; none for a source that it does not have.
fn changed_settings(context: &Context, dataset: &DatasetReader) -> IndexVec<SourceIndex, BTreeSet<String>> {
    let before = dataset.pipeline(&BTreeMap::new()).ok();
    let tokenizer = dataset.manifest().tokenizer_digest;
    let changed = |open: &OpenSource| {
        let mut differences = BTreeSet::new();
        let file = before.as_ref().map(|pipeline| &pipeline.file);
        let table = file.and_then(|file| Some((file, file.source.iter().find(|table| table.name == open.table.name)?)));
        if let Some((file, table)) = table {
            let before = source_settings(file, table, tokenizer);
            add_differences("", &before, &context.source_settings(&open.table), &mut differences);
        }
        differences
    };
    context.sources.iter().map(changed).collect()
}

/// Adds the dotted path of every value that differs.
fn add_differences(path: &str, before: &Value, now: &Value, differences: &mut BTreeSet<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for key in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let value = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                add_differences(&path, &value(before), &value(now), differences);
            }
        }
        _ if before != now => _ = differences.insert(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_differ_are_named_by_their_path() {
        let mut found = BTreeSet::new();
        let before = json!({"tiles": {"max": 4, "edge": 336}, "overlength": null, "format": {"dialect": "a"}});
        let now = json!({"tiles": {"max": 6, "edge": 336}, "overlength": ["reject", 5], "format": {"dialect": "a"}});
        add_differences("", &before, &now, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["overlength", "tiles.max"]);
    }
}
