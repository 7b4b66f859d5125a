//! The samples of a dataset as a model reads them: listed from the ledger, read from their shards, decoded.

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_core::{Digest, Layout, Message, RecordId, Sample, SampleTokens, SampleVisual};
use manyframe_dataset::{DatasetError, DatasetReader, SampleLocation, SamplePlace, Status};
use manyframe_format::{Formatter, VisualRange};
use manyframe_media::video::decode_clip;
use manyframe_media::{MediaLimits, RgbImage, decode_rgb};
use manyframe_validate::measure::{SampleCandidate, SampleSource};
use manyframe_validate::{TokenCounts, ValidationSample};

use crate::error::EngineError;
use crate::verify::tokens::open_formatter;

/// A delivered sample, as the ledger lists it.
#[derive(Clone)]
pub(super) struct ListedSample {
    pub(super) candidate: SampleCandidate,
    /// Where it is.
    pub(super) place: SamplePlace,
}

/// The samples of a run, in order.
pub(super) struct DatasetSamples {
    dataset: DatasetReader,
    samples: Vec<LocatedSample>,
    lengths: Vec<u64>,
    formatter: Formatter,
}

struct LocatedSample {
    id: RecordId,
    location: SampleLocation,
    has_images: bool,
}

/// Every delivered record, once.
pub(super) fn list_samples(dataset: &DatasetReader) -> Result<Vec<ListedSample>, EngineError> {
    let mut listed = Vec::new();
    for row in dataset.ledger()? {
        let row = row?;
        if row.status != Status::Delivered || row.repetition > 0 {
            continue;
        }
        let (Some((cost, layout)), Some(place)) = (row.measured, row.place()) else {
            let detail = format!("ledger: record {} is delivered without a cost or a shard", row.id);
            return Err(DatasetError::NotADataset { path: dataset.location().to_owned(), detail }.into());
        };
        let candidate = SampleCandidate { id: row.id, source: row.source, layout, num_tokens: cost.num_tokens() };
        listed.push(ListedSample { candidate, place });
    }
    Ok(listed)
}

/// Tokens that the models of the dataset's family take for an image.
pub(super) fn tokens_per_image(dataset: &DatasetReader) -> Result<usize, EngineError> {
    let pipeline = dataset.manifest().pipeline_with(&BTreeMap::new())?;
    let family = pipeline.file.family();
    let constant = family.constant().ok_or_else(|| EngineError::NoModelOfFamily { family: family.name() })?;
    Ok(constant.tokens_per_image.get() as usize)
}

impl DatasetSamples {
    /// Finds the chosen samples in their shards. Reads no image.
    pub(super) fn open(
        dataset: &DatasetReader,
        chosen: &[ListedSample],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        // Without it nobody can tell whether stated counts are those of the text.
        let no_tokenizer = |detail| EngineError::NoTokenizer { path: dataset.location().to_owned(), detail };
        let formatter = open_formatter(dataset, variables).map_err(no_tokenizer)?;
        let places: Vec<SamplePlace> = chosen.iter().map(|listed| listed.place).collect();
        let located = |(listed, location): (&ListedSample, SampleLocation)| LocatedSample {
            id: listed.candidate.id,
            location,
            has_images: listed.candidate.layout != Layout::Text,
        };
        Ok(Self {
            dataset: dataset.clone(),
            samples: chosen.iter().zip(dataset.locate(&places)?).map(located).collect(),
            lengths: chosen.iter().map(|listed| listed.candidate.num_tokens).collect(),
            formatter,
        })
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Identifies the dataset and the samples of it.
    pub(super) fn digest(&self) -> Digest {
        let ids = self.samples.iter().map(|sample| sample.id.0).collect::<Vec<_>>().concat();
        Digest::of_fields([&self.dataset.manifest_digest().0[..], &ids])
    }

    /// Where the dataset is.
    pub(super) fn location(&self) -> &Path {
        self.dataset.location()
    }

    /// What makes prompts and their ids.
    pub(super) fn formatter(&self) -> &Formatter {
        &self.formatter
    }

    /// Reads a sample.
    #[expect(clippy::indexing_slicing, reason = "callers count up to `len`")]
    pub(super) fn sample(&self, index: usize) -> Result<Sample, EngineError> {
        let LocatedSample { id, location, .. } = &self.samples[index];
        let Some(sample) = location.read(*id, self.dataset.access())? else {
            let detail = format!("sample {id} is not in its shard");
            return Err(DatasetError::NotADataset { path: self.dataset.location().to_owned(), detail }.into());
        };
        Ok(sample)
    }

    /// The token ids and labels in the shard, which a trainer reads; otherwise those of the prompt.
    fn tokens(&self, sample: &Sample) -> Result<SampleTokens, EngineError> {
        if let Some(tokens) = &sample.tokens {
            return Ok(tokens.clone());
        }
        let none = |detail: String| EngineError::NoTokens { path: self.dataset.location().to_owned(), detail };
        self.formatter.encode_sample(sample).map_err(|rejection| none(rejection.to_string()))
    }
}

/// The images of a sample and the frames of its clips, in placeholder order, as far as they can be decoded.
fn shown_images(sample: &Sample, limits: &MediaLimits) -> Vec<RgbImage> {
    let mut clips = sample.clips.iter();
    let of_visual = |visual: &SampleVisual| -> Vec<RgbImage> {
        if let Some(frames) = &visual.clip {
            return clips.next().and_then(|clip| decode_clip(clip, frames, limits).ok()).unwrap_or_default();
        }
        let images = sample.images.iter().skip(visual.first_image).take(visual.num_images);
        images.filter_map(|image| decode_rgb(&image.bytes, limits).ok()).collect()
    };
    sample.visuals.iter().flat_map(of_visual).collect()
}

/// The text tokens of a sample without its delimiters. 0 if its visuals are not where it says, so that the tokens of
/// delimiters are not those that it states.
fn bare_tokens(formatter: &Formatter, messages: &[Message], visuals: &[SampleVisual]) -> u64 {
    formatter.count_bare(messages, visuals.iter().map(VisualRange::from)).unwrap_or(0)
}

impl SampleSource for DatasetSamples {
    type Error = EngineError;

    fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    #[expect(clippy::indexing_slicing, reason = "there is one length per sample")]
    fn has_images(&self, index: usize) -> bool {
        self.samples[index].has_images
    }

    fn read(&self, index: usize) -> Result<ValidationSample, EngineError> {
        let sample = self.sample(index)?;
        let tokens = self.tokens(&sample)?;
        // A sample with an image that cannot be decoded has fewer images than placeholders, and is counted as unusable.
        let images = shown_images(&sample, &MediaLimits::default());
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
            bare_tokens: Some(bare_tokens(&self.formatter, &sample.messages, &sample.visuals)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manyframe_core::{Role, VisualKind};
    use manyframe_format::{FormatSpec, Tokenizer};
    use manyframe_vision::Family;

    use super::*;

    #[test]
    fn a_sample_with_a_misplaced_visual_has_no_bare_tokens() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/jamba.model");
        let formatter =
            Formatter::new(&FormatSpec::default(), &Family::default(), Arc::new(Tokenizer::open(&path).unwrap()))
                .unwrap();
        let messages = [
            Message { role: Role::User, content: "<img><image></img>\nred".into() },
            Message { role: Role::Assistant, content: "cat".into() },
        ];
        let bare = |end| {
            let visual = SampleVisual {
                kind: VisualKind::Image,
                message: 0,
                start: 0,
                end,
                first_image: 0,
                num_images: 1,
                grid: None,
                cut: None,
                times_s: Vec::new(),
                path: String::new(),
                width_px: 1,
                height_px: 1,
                model: None,
                clip: None,
            };
            bare_tokens(&formatter, &messages, &[visual])
        };
        assert!(bare(19) > 0);
        assert_eq!(bare(99), 0);
    }
}
