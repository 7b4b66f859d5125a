//! The samples of a dataset as a model takes them: found in the ledger, read from their shards, decoded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_core::{RecordId, Sample, SampleTokens};
use manyframe_format::Formatter;
use manyframe_media::{MediaLimits, RgbImage, decode_rgb};
use manyframe_shards::ShardFormat;
use manyframe_validate::measure::{Candidate, SampleSource};
use manyframe_validate::{Tokens, ValidationSample};
use rustc_hash::FxHashMap;

use crate::error::EngineError;
use crate::ledger::{Status, read_ledger};
use crate::manifest::Manifest;
use crate::placed::read_placed;
use crate::verify::tokens::open_formatter;

/// A candidate, and the shard that holds it, without format and extension.
pub(super) type Listed = (Candidate, String);

/// The samples of a run, in its order.
pub(super) struct DatasetSamples {
    dataset: PathBuf,
    samples: Vec<Place>,
    lengths: Vec<u64>,
    formatter: Result<Formatter, String>,
}

/// Where a sample is.
struct Place {
    id: RecordId,
    shard: PathBuf,
    format: ShardFormat,
    /// Where it stands in a tar.
    position: Option<u64>,
    has_images: bool,
}

/// Every delivered record, once.
pub(super) fn list_candidates(dataset: &Path, manifest: &Manifest) -> Result<Vec<Listed>, EngineError> {
    let mut listed = Vec::new();
    for row in read_ledger(&dataset.join(&manifest.ledger.path))? {
        let row = row?;
        let is_first = row.status == Status::Delivered && row.repetition == 0;
        if let (true, Some((cost, layout)), Some(shard)) = (is_first, row.measured, row.shard) {
            listed.push((Candidate { id: row.id, source: row.source, layout, num_tokens: cost.num_tokens() }, shard));
        }
    }
    Ok(listed)
}

impl DatasetSamples {
    /// Finds the chosen samples in their shards. The heads of samples are read, and no image.
    pub(super) fn open(
        dataset: &Path,
        manifest: &Manifest,
        chosen: &[Listed],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let mut shards: BTreeMap<&str, (PathBuf, ShardFormat)> = BTreeMap::new();
        for shard in &manifest.shards {
            // `webdataset/temporal/000003.tar` is `temporal/000003`. One format is enough, the first.
            let name = shard.path.split_once('/').and_then(|(_, rest)| rest.rsplit_once('.'));
            if let Some((name, _)) = name {
                shards.entry(name).or_insert_with(|| (dataset.join(&shard.path), shard.format));
            }
        }
        let mut positions: FxHashMap<RecordId, u64> = FxHashMap::default();
        let named: std::collections::BTreeSet<&str> = chosen.iter().map(|(_, shard)| shard.as_str()).collect();
        for name in named {
            if let Some((path, ShardFormat::Webdataset)) = shards.get(name) {
                let failed = |error| EngineError::Shard { path: path.clone(), error };
                for entry in manyframe_shards::list(ShardFormat::Webdataset, path).map_err(failed)? {
                    let entry = entry.map_err(failed)?;
                    positions.entry(entry.sample.id).or_insert(entry.position);
                }
            }
        }
        let mut samples = Vec::with_capacity(chosen.len());
        for (candidate, name) in chosen {
            let Some((shard, format)) = shards.get(name.as_str()).cloned() else {
                let detail = format!("the manifest has no shard {name:?}");
                return Err(EngineError::NotADataset { path: dataset.to_owned(), detail });
            };
            let position = positions.get(&candidate.id).copied();
            let has_images = candidate.layout != manyframe_core::Layout::Text;
            samples.push(Place { id: candidate.id, shard, format, position, has_images });
        }
        let lengths = chosen.iter().map(|(candidate, _)| candidate.num_tokens).collect();
        let formatter = open_formatter(dataset, manifest, variables);
        Ok(Self { dataset: dataset.to_owned(), samples, lengths, formatter })
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Their identities.
    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.samples.iter().map(|place| place.id)
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
        let places = sample.visuals.iter().map(|visual| (visual.message, visual.start, visual.end));
        self.formatter.as_ref().ok()?.count_bare(&sample.messages, places).ok()
    }
}

impl SampleSource for DatasetSamples {
    type Error = EngineError;

    fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    fn has_images(&self, index: usize) -> bool {
        self.samples.get(index).is_some_and(|place| place.has_images)
    }

    fn read(&self, index: usize) -> Result<ValidationSample, EngineError> {
        let sample = self.samples.get(index).map(read_sample).transpose()?.flatten();
        let Some(sample) = sample else {
            let detail = format!("sample {index} of the run is not in its shard");
            return Err(EngineError::NotADataset { path: self.dataset.clone(), detail });
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
            stated: Tokens {
                text: sample.cost.text_tokens,
                delimiters: sample.cost.delimiter_tokens,
                visual: sample.cost.visual_tokens,
            },
            bare_tokens: self.bare_tokens(&sample),
        })
    }
}

fn read_sample(place: &Place) -> Result<Option<Sample>, EngineError> {
    // Tables need no position.
    read_placed(place.format, &place.shard, place.position.unwrap_or(0), place.id)
}
