//! Decodes the images of samples so that one that a decoder does not survive is a fault of its sample.
//!
//! A process cannot catch its own end. Whoever watches it tries what it was working on in another process, and starts it again
//! with the verdicts (`manyframe_plan::Attempt`).

use std::collections::BTreeMap;

use manyframe_base::in_flight::InFlight;
use manyframe_core::{Rejection, Sample, contained};
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_media::MediaLimits;
use manyframe_plan::Attempt;
use manyframe_storage::Stores;
use rustc_hash::FxHashMap;

use crate::error::EngineError;
use crate::verify::options::Watch;
use crate::verify::sample::sample_faults;
use crate::verify::sources::open_context;

/// Guards the decoding of a dataset's images.
pub(super) struct CheckGuard<'a> {
    in_flight: Option<&'a InFlight>,
    verdicts: FxHashMap<(&'a str, u64), &'a Rejection>,
    limits: MediaLimits,
}

impl<'a> CheckGuard<'a> {
    /// `limits` are those of the dataset's pipeline.
    pub(super) fn new(watch: Option<&'a Watch>, limits: &MediaLimits) -> Self {
        let verdicts = watch.iter().flat_map(|watch| &watch.verdicts).filter_map(|verdict| match &verdict.attempt {
            Attempt::Check { shard, row } => Some(((shard.as_str(), *row), &verdict.rejection)),
            _ => None,
        });
        Self {
            in_flight: watch.map(|watch| &*watch.in_flight),
            verdicts: verdicts.collect(),
            limits: check_limits(limits),
        }
    }

    /// What is wrong with a sample, apart from what its turns, formatted again, show.
    pub(super) fn faults(&self, sample: &Sample, shard: &ShardEntry, row: u64) -> Vec<String> {
        let path = shard.path.to_string();
        if let Some(rejection) = self.verdicts.get(&(path.as_str(), row)) {
            return vec![format!("its images: {rejection}")];
        }
        let describe = || serde_json::to_vec(&Attempt::Check { shard: path.clone(), row }).ok();
        let _entered = self.in_flight.and_then(|in_flight| describe().map(|work| in_flight.enter(&work)));
        let check = || sample_faults(sample, &self.limits);
        contained(check).unwrap_or_else(|panic| vec![format!("a decoder panicked: {panic}")])
    }
}

/// Images were within the limits of their pipeline, but frames and tiles may be smaller and of other shapes than its media.
fn check_limits(limits: &MediaLimits) -> MediaLimits {
    let MediaLimits { max_bytes, max_pixels, .. } = MediaLimits::default();
    MediaLimits {
        max_bytes: limits.max_bytes.max(max_bytes),
        max_pixels: limits.max_pixels.max(max_pixels),
        min_edge_px: 1,
        max_aspect_ratio: f64::MAX,
        ..limits.clone()
    }
}

/// Does again what a verification did not survive; only whether this process does matters.
///
/// # Errors
///
/// If the sample or the record cannot be read.
pub fn repeat_check(
    dataset: &DatasetReader,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
    attempt: &Attempt,
) -> Result<(), EngineError> {
    let Attempt::Check { shard: path, row } = attempt else {
        // What is wrong with the sources is found by the process that goes on.
        let context = open_context(dataset, variables, stores);
        return context.map_or(Ok(()), |context| crate::sample::repeat(&context, attempt));
    };
    let limits = check_limits(&dataset.manifest().pipeline_with(&BTreeMap::new())?.file.limits);
    let shard = dataset.manifest().shards.iter().find(|shard| shard.path.to_string() == *path);
    let sample = shard.map(|shard| dataset.samples(shard)).transpose()?;
    if let Some(sample) = sample.and_then(|mut samples| samples.nth(*row as usize)) {
        _ = sample_faults(&sample?, &limits);
    }
    Ok(())
}
