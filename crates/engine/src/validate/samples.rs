//! The samples of a dataset as a model takes them: found in the ledger, read from their shards, decoded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use manyframe_core::{Layout, RecordId, Sample, SampleTokens};
use manyframe_dataset::{DatasetError, DatasetReader, SampleLocation, ShardName, Status};
use manyframe_format::{Formatter, VisualRange};
use manyframe_media::{MediaLimits, RgbImage, decode_rgb};
use manyframe_validate::measure::{SampleCandidate, SampleSource};
use manyframe_validate::{TokenCounts, ValidationSample};

use crate::error::EngineError;
use crate::verify::tokens::open_formatter;

/// A candidate, and the shard that holds it.
pub(super) type Listed = (SampleCandidate, ShardName);

/// The samples of a run, in its order.
pub(super) struct DatasetSamples {
    dataset: PathBuf,
    samples: Vec<LocatedSample>,
    lengths: Vec<u64>,
    formatter: Result<Formatter, String>,
}

struct LocatedSample {
    id: RecordId,
    location: SampleLocation,
    has_images: bool,
}

/// Every delivered record, once.
pub(super) fn list_candidates(dataset: &DatasetReader) -> Result<Vec<Listed>, EngineError> {
    let mut listed = Vec::new();
    for row in dataset.ledger()? {
        let row = row?;
        let is_first = row.status == Status::Delivered && row.repetition == 0;
        if let (true, Some((cost, layout)), Some(shard)) = (is_first, row.measured, row.shard) {
            listed.push((
                SampleCandidate { id: row.id, source: row.source, layout, num_tokens: cost.num_tokens() },
                shard,
            ));
        }
    }
    Ok(listed)
}

impl DatasetSamples {
    /// Finds the chosen samples in their shards. The heads of samples are read, and no image.
    pub(super) fn open(
        dataset: &DatasetReader,
        chosen: &[Listed],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let ids: Vec<(RecordId, ShardName)> = chosen.iter().map(|(candidate, shard)| (candidate.id, *shard)).collect();
        let located = |((candidate, _), location): (&Listed, SampleLocation)| LocatedSample {
            id: candidate.id,
            location,
            has_images: candidate.layout != Layout::Text,
        };
        Ok(Self {
            dataset: dataset.location().to_owned(),
            samples: chosen.iter().zip(dataset.locate(&ids)?).map(located).collect(),
            lengths: chosen.iter().map(|(candidate, _)| candidate.num_tokens).collect(),
            formatter: open_formatter(dataset, variables),
        })
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Their identities.
    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.samples.iter().map(|sample| sample.id)
    }

    /// The ids and labels that the shard holds, which are what a trainer reads; or else those of the prompt.
    fn tokens(&self, sample: &Sample) -> Result<SampleTokens, EngineError> {
        if let Some(tokens) = &sample.tokens {
            return Ok(tokens.clone());
        }
        let none = |detail: String| EngineError::NoTokens { path: self.dataset.clone(), detail };
        let formatter = self.formatter.as_ref().map_err(|detail| none(detail.clone()))?;
        formatter.encode(&sample.prompt, &sample.label_spans).map_err(|error| none(error.to_string()))
    }

    fn bare_tokens(&self, sample: &Sample) -> Option<u64> {
        let visuals = sample.visuals.iter().map(VisualRange::from);
        self.formatter.as_ref().ok()?.count_bare(&sample.messages, visuals).ok()
    }
}

impl SampleSource for DatasetSamples {
    type Error = EngineError;

    fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    fn has_images(&self, index: usize) -> bool {
        self.samples.get(index).is_some_and(|sample| sample.has_images)
    }

    fn read(&self, index: usize) -> Result<ValidationSample, EngineError> {
        let located = self.samples.get(index);
        let sample = located.map(|located| located.location.read(located.id)).transpose()?.flatten();
        let Some(sample) = sample else {
            let detail = format!("sample {index} of the run is not in its shard");
            return Err(DatasetError::NotADataset { path: self.dataset.clone(), detail }.into());
        };
        let tokens = self.tokens(&sample)?;
        // An image that cannot be decoded leaves the sample with fewer than its places; it is then counted as unusable.
        let images: Vec<RgbImage> = {
            let limits = MediaLimits::default();
            sample.images.iter().filter_map(|image| decode_rgb(&image.bytes, &limits).ok()).collect()
        };
        Ok(ValidationSample {
            id: sample.id,
            source: sample.source.to_string(),
            layout: sample.layout,
            input_ids: tokens.input_ids.into_iter().map(i64::from).collect(),
            labels: tokens.labels.into_iter().map(i64::from).collect(),
            images,
            stated: TokenCounts {
                text: sample.cost.text_tokens,
                delimiters: sample.cost.delimiter_tokens,
                visual: sample.cost.visual_tokens,
            },
            bare_tokens: self.bare_tokens(&sample),
        })
    }
}
