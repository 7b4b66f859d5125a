//! Sequence packing: samples to training sequences, from exact lengths alone, before or after the run.
//!
//! The planner uses it to forecast what the commit will write; a committed dataset is repacked with it.

use std::collections::BTreeMap;

use manyframe_core::{Cost, SourceIndex, TypedIndex};
use manyframe_dataset::{AuditSummary, PackSummary};
use manyframe_format::PromptOverhead;
use manyframe_pipeline::{Audit, PipelineFile};
use manyframe_samplers::sequence_parallel::SequenceLoad;
use manyframe_samplers::{
    ConcatAudit, ConcatOptions, ConcatSample, PackOptions, Packs, SampleLength, audit_concat, pack,
};

use crate::error::PlanError;

/// What the packer needs to know of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSample {
    /// Its source.
    pub source: SourceIndex,
    /// The room it takes.
    pub length: SampleLength,
    /// Turns of its conversation.
    pub num_turns: u32,
}

impl PackSample {
    /// A sample with these costs. Numbers beyond 32 bits, which no sequence has room for, become the largest.
    #[must_use]
    pub fn new(source: SourceIndex, cost: &Cost, num_turns: u32) -> Self {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let length = SampleLength {
            tokens: number(cost.num_tokens()),
            images: number(cost.num_images),
            visual_tokens: number(cost.visual_tokens),
        };
        Self { source, length, num_turns }
    }

    fn text_tokens(&self) -> u32 {
        self.length.tokens.saturating_sub(self.length.visual_tokens)
    }
}

/// What the packer needs to know of samples, in the order of delivery: 20 bytes each.
#[derive(Debug, Default)]
pub struct PackSamples {
    sources: Vec<SourceIndex>,
    lengths: Vec<SampleLength>,
    num_turns: Vec<u32>,
}

impl FromIterator<PackSample> for PackSamples {
    fn from_iter<I: IntoIterator<Item = PackSample>>(samples: I) -> Self {
        let samples = samples.into_iter();
        let (num_samples, _) = samples.size_hint();
        let mut all = Self {
            sources: Vec::with_capacity(num_samples),
            lengths: Vec::with_capacity(num_samples),
            num_turns: Vec::with_capacity(num_samples),
        };
        for PackSample { source, length, num_turns } in samples {
            all.sources.push(source);
            all.lengths.push(length);
            all.num_turns.push(num_turns);
        }
        all
    }
}

impl PackSamples {
    /// The length of each.
    pub fn lengths(&self) -> &[SampleLength] {
        &self.lengths
    }

    fn iter(&self) -> impl Iterator<Item = PackSample> {
        let samples = self.sources.iter().zip(&self.lengths).zip(&self.num_turns);
        samples.map(|((&source, &length), &num_turns)| PackSample { source, length, num_turns })
    }
}

/// Packs over samples, in their order.
pub struct Packing {
    /// The settings of the packer.
    pub options: PackOptions,
    /// Length of each sample.
    pub lengths: Vec<SampleLength>,
    /// The packs.
    pub packs: Packs,
    /// What they cost.
    pub summary: PackSummary,
}

impl Packing {
    /// What a trainer loads for a pack.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "packs hold positions of the samples that were packed")]
    pub fn load(&self, pack: &[u32]) -> SequenceLoad {
        let mut load = SequenceLoad { tokens: 0, images: 0, visual_tokens: 0 };
        for &sample in pack {
            let of_sample = SequenceLoad::from(self.lengths[sample as usize]);
            load.tokens += of_sample.tokens;
            load.images += of_sample.images;
            load.visual_tokens += of_sample.visual_tokens;
        }
        load
    }
}

/// Packs samples as the pipeline file says; `None` if it has no `[pack]`. Without the overhead of their prompts, there is no audit.
///
/// # Errors
///
/// [`PlanError::Pack`] if there are too many samples, [`PlanError::NoSuchSource`] if a sample is of a source that the file does
/// not have.
pub fn pack_samples(
    file: &PipelineFile,
    samples: PackSamples,
    overhead: Option<PromptOverhead>,
) -> Result<Option<Packing>, PlanError> {
    let (Some(table), Some(options)) = (&file.pack, file.pack_options()) else { return Ok(None) };
    let names = SourceNames::of(file, &samples)?;
    let packs = pack(&samples.lengths, &options).map_err(PlanError::Pack)?;
    let mut too_long = BTreeMap::new();
    for &sample in &packs.too_long {
        #[expect(clippy::indexing_slicing, reason = "the packer numbers the samples that it was given")]
        let source = samples.sources[sample as usize];
        *too_long.entry(names.name(source)).or_insert(0) += 1;
    }
    let summary = PackSummary {
        settings: table.clone(),
        capacity_tokens: options.capacity_tokens.get(),
        pad_to_multiple: options.pad_to_multiple.get(),
        report: packs.report(&samples.lengths, &samples.sources, &options),
        too_long,
        audit: table.audit.zip(overhead).map(|(Audit::Concat, overhead)| {
            let released = ConcatOptions::default().limit_tokens;
            let concat = ConcatOptions {
                limit_tokens: table.audit_max_tokens.map_or(released, |tokens| u64::from(tokens.get())),
                sequence_tokens: u64::from(options.capacity_tokens.get()),
                tokens_per_image: file.family().constant().map_or(0, |constant| constant.tokens_per_image.get().into()),
            };
            concat_audit(&names, samples.iter().map(|sample| concat_sample(&sample, overhead)), &concat)
        }),
    };
    Ok(Some(Packing { options, lengths: samples.lengths, packs, summary }))
}

/// The names of the sources of a file.
struct SourceNames<'a>(&'a PipelineFile);

impl<'a> SourceNames<'a> {
    /// # Errors
    ///
    /// If a sample is of a source that the file does not have.
    fn of(file: &'a PipelineFile, samples: &PackSamples) -> Result<Self, PlanError> {
        match samples.sources.iter().find(|source| source.position() >= file.source.len()) {
            None => Ok(Self(file)),
            Some(source) => Err(PlanError::NoSuchSource { source_index: *source }),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the sources of all samples were checked")]
    fn name(&self, source: SourceIndex) -> String {
        self.0.source[source.position()].name.clone()
    }
}

/// A sample as the released packer counts it: its tokenizer adds a start token to each text.
fn concat_sample(sample: &PackSample, overhead: PromptOverhead) -> ConcatSample {
    let num_turns = PromptOverhead::num_turns(sample.num_turns);
    let images = sample.length.images;
    let turn_tokens = overhead.turn_tokens(sample.text_tokens().into(), sample.num_turns, images.into());
    ConcatSample {
        source: sample.source,
        num_images: images,
        text_tokens: sample.text_tokens(),
        turn_tokens: u32::try_from(turn_tokens.saturating_add(u64::from(num_turns))).unwrap_or(u32::MAX),
        num_turns,
    }
}

/// What LongLLaVA's released packer would have lost of the samples.
fn concat_audit(
    names: &SourceNames<'_>,
    samples: impl Iterator<Item = ConcatSample>,
    options: &ConcatOptions,
) -> AuditSummary {
    let ConcatAudit { num_packs, fill, sources } = audit_concat(samples, options);
    let sources = sources.into_iter().map(|(source, loss)| (names.name(source), loss)).collect();
    AuditSummary { limit_tokens: options.limit_tokens, num_packs, fill, sources }
}
