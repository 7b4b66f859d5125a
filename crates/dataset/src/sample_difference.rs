//! Which samples of two datasets have other text or media: what no ledger says.
//!
//! Only shards that are not the same file in both are read. Of datasets at URLs none is: their shards would be downloaded whole.
//! Memory: 48 bytes for each sample of such a shard of the first.

use std::collections::BTreeSet;

use manyframe_base::is_url;
use manyframe_core::{Digest, RecordId, Sample};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::DatasetError;
use crate::manifest::ShardEntry;
use crate::reader::DatasetReader;

/// Which samples were compared with those of the other dataset: those in shards with the same bytes are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SampleComparison {
    /// Samples in other shards that both datasets have, whose text and media were compared.
    pub num_compared: u64,
    /// Shards that were not read.
    pub num_shards_not_read: u64,
    /// Why the first of them was not; absent if all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_read_because: Option<String>,
}

/// In what a sample differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Differs {
    pub(crate) text: bool,
    pub(crate) media: bool,
}

/// What is compared of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    text: u128,
    media: u128,
}

/// The samples that differ in text or media, by their ids, and which were compared.
pub(crate) fn compare_samples(
    a: &DatasetReader,
    b: &DatasetReader,
) -> (FxHashMap<RecordId, Differs>, SampleComparison) {
    let mut comparison = SampleComparison::default();
    let same = same_shards(a, b);
    let mut before = FxHashMap::default();
    let read = |sample: Sample| {
        before.insert(sample.id, Content::of(&sample));
    };
    comparison.read(a, &same, read);
    let mut found = FxHashMap::default();
    let mut num_compared = 0;
    comparison.read(b, &same, |sample| {
        let Some(earlier) = before.get(&sample.id) else { return };
        num_compared += 1;
        let content = Content::of(&sample);
        if content != *earlier {
            let differs = Differs { text: content.text != earlier.text, media: content.media != earlier.media };
            found.insert(sample.id, differs);
        }
    });
    comparison.num_compared = num_compared;
    (found, comparison)
}

/// The shards that are the same file in both.
fn same_shards(a: &DatasetReader, b: &DatasetReader) -> BTreeSet<Digest> {
    let of = |dataset: &DatasetReader| -> BTreeSet<Digest> {
        dataset.manifest().shards.iter().map(|shard| shard.digest).collect()
    };
    of(a).intersection(&of(b)).copied().collect()
}

impl SampleComparison {
    /// Reads the samples of all shards but those that are the same; of one that cannot be read to its end, those before.
    fn read(&mut self, dataset: &DatasetReader, same: &BTreeSet<Digest>, mut read: impl FnMut(Sample)) {
        for shard in dataset.shards_of_one_format().filter(|shard| !same.contains(&shard.digest)) {
            if let Err(reason) = read_shard(dataset, shard, &mut read) {
                self.num_shards_not_read += 1;
                self.not_read_because.get_or_insert(reason);
            }
        }
    }
}

fn read_shard(dataset: &DatasetReader, shard: &ShardEntry, mut read: impl FnMut(Sample)) -> Result<(), String> {
    let location = dataset.shard_location(shard);
    if is_url(&location) {
        return Err(format!(
            "{}: only shards on this machine are read; download the dataset first",
            location.display()
        ));
    }
    let describe = |error: DatasetError| {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    for sample in dataset.samples(shard).map_err(describe)? {
        read(sample.map_err(describe)?);
    }
    Ok(())
}

impl Content {
    fn of(sample: &Sample) -> Self {
        let images = sample.images.iter().map(|image| image.bytes.as_slice());
        let clips = sample.clips.iter().map(|clip| clip.bytes.as_slice());
        Self {
            text: short(Digest::of_fields([sample.prompt.as_bytes()])),
            media: short(Digest::of_fields(images.chain(clips))),
        }
    }
}

/// As many bits as no two samples share by chance.
fn short(digest: Digest) -> u128 {
    u128::from_be_bytes(RecordId::from_digest(digest).0)
}
