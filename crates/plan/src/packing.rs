//! Packs samples into training sequences: from exact lengths alone, before or after the run.
//!
//! The planner forecasts with it what the commit will write; a committed dataset is packed anew with it.

use std::collections::BTreeMap;

use manyframe_core::{SourceIndex, TypedIndex};
use manyframe_dataset::{AuditSummary, PackSummary};
use manyframe_samplers::{
    ConcatAudit, ConcatOptions, ConcatSample, PackOptions, Packs, SampleLength, audit_concat, pack,
};

use crate::PlanError;
use manyframe_pipeline::{Audit, PackTable, PipelineFile};

/// What the packer needs to know of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSample {
    /// Its source.
    pub source: SourceIndex,
    /// Tokens, visual ones included.
    pub num_tokens: u64,
    /// Those that are text.
    pub text_tokens: u64,
    /// Images; frames and sub-images count.
    pub num_images: u64,
    /// Turns of its conversation.
    pub num_turns: u32,
}

/// Packs over samples, in their order.
pub struct Packing {
    /// The settings of the packer.
    pub options: PackOptions,
    /// SampleLength of each sample.
    pub lengths: Vec<SampleLength>,
    /// The packs.
    pub packs: Packs,
    /// What they cost.
    pub summary: PackSummary,
}

/// Packs samples, given in the order of delivery, as the pipeline file says; `None` if it says nothing.
pub fn pack_samples(file: &PipelineFile, samples: &[PackSample]) -> Result<Option<Packing>, PlanError> {
    let Some(table) = &file.pack else { return Ok(None) };
    let options = table.options(file.format.max_tokens, file.seed);
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let length =
        |sample: &PackSample| SampleLength { tokens: number(sample.num_tokens), images: number(sample.num_images) };
    let lengths: Vec<SampleLength> = samples.iter().map(length).collect();
    let sources: Vec<SourceIndex> = samples.iter().map(|sample| sample.source).collect();
    let packs = pack(&lengths, &options).map_err(PlanError::Pack)?;
    let mut too_long = BTreeMap::new();
    for sample in packs.too_long.iter().filter_map(|&sample| samples.get(sample as usize)) {
        *too_long.entry(source_name(file, sample.source)).or_insert(0) += 1;
    }
    let summary = PackSummary {
        settings: table.clone(),
        capacity_tokens: options.capacity_tokens.get(),
        pad_to_multiple: options.pad_to_multiple.get(),
        report: packs.report(&lengths, &sources, &options),
        too_long,
        audit: table.audit.map(|Audit::Concat| concat_audit(file, table, samples, &options)),
    };
    Ok(Some(Packing { options, lengths, packs, summary }))
}

fn source_name(file: &PipelineFile, source: SourceIndex) -> String {
    file.source.get(source.position()).map(|table| table.name.clone()).unwrap_or_default()
}

fn concat_audit(file: &PipelineFile, table: &PackTable, samples: &[PackSample], options: &PackOptions) -> AuditSummary {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let sample = |sample: &PackSample| ConcatSample {
        source: sample.source,
        num_images: number(sample.num_images),
        text_tokens: number(sample.text_tokens),
        num_turns: sample.num_turns,
    };
    let samples: Vec<ConcatSample> = samples.iter().map(sample).collect();
    let released = ConcatOptions::default().limit_tokens;
    let concat = ConcatOptions {
        limit_tokens: table.audit_max_tokens.map_or(released, |tokens| u64::from(tokens.get())),
        sequence_tokens: u64::from(options.capacity_tokens.get()),
        tokens_per_image: u64::from(file.format.spec.tokens_per_image),
    };
    let ConcatAudit { num_packs, fill, sources } = audit_concat(&samples, &concat);
    let sources = sources.into_iter().map(|(source, loss)| (source_name(file, source), loss)).collect();
    AuditSummary { limit_tokens: concat.limit_tokens, num_packs, fill, sources }
}
