//! `validation.json`: what was measured of all samples together, and the verdict of the policy.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use manyframe_core::{Digest, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forecast::{Footprint, MemoryForecast, forecast};
use super::policy::{Finding, LimitedMeasure, Policy, Verdict};
use super::sample::{LossSum, POSITION_BOUNDS, SampleMeasure};

/// Raised whenever a reader of an older version would misread a report.
const REPORT_VERSION: u32 = 2;
/// Maximum number of samples that are listed by id.
const MAX_LISTED: usize = 20;

/// A validation of a dataset. The same samples, model, device type and options yield the same report, except for `stages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this format.
    pub report_version: u32,
    /// The file with a row for each sample; absent if none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableEntry>,
    /// The worst verdict of all findings.
    pub verdict: Verdict,
    /// Each measure that has limits, compared with them.
    pub findings: Vec<Finding>,
    /// The limits.
    pub policy: Policy,
    /// The model that was run.
    pub model: ModelFacts,
    /// All samples that were chosen.
    pub total: GroupMeasures,
    /// The same by source.
    pub by_source: BTreeMap<String, GroupMeasures>,
    /// The same by layout.
    pub by_layout: BTreeMap<String, GroupMeasures>,
    /// The same by number of images: `0`, `1`, `2-3`, `4-7` …
    pub by_images: BTreeMap<String, GroupMeasures>,
    /// The same by length in tokens: `0-1023`, `1024-2047` …
    pub by_length: BTreeMap<String, GroupMeasures>,
    /// Mean loss by position in the sample.
    pub by_position: Vec<PositionMeasures>,
    /// Samples for which the model saw other numbers of tokens than the dataset states; at most 20.
    pub mismatched: Vec<RecordId>,
    /// Samples that could not be run; at most 20.
    pub unusable: Vec<RecordId>,
    /// Samples with a loss that is NaN or infinite; at most 20.
    pub not_finite: Vec<RecordId>,
    /// Samples without labels; at most 20.
    pub without_labels: Vec<RecordId>,
    /// Samples whose loss rises least, or falls most, with another sample's images; at most 20, the most striking first.
    pub least_dependent_on_images: Vec<RecordId>,
    /// Memory that the model needs in 16 bits.
    pub footprint: Footprint,
    /// What fits on GPUs of 24, 40 and 80 GiB; computed, not measured.
    pub forecasts: Vec<MemoryForecast>,
    /// Time and memory of this run on this machine.
    pub stages: RunUsage,
}

/// The file with a row for each sample that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableEntry {
    /// Path below the dataset's directory.
    pub path: String,
    /// BLAKE3 digest of the file.
    pub digest: Digest,
}

/// The model that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    /// Digest of its configuration and of the names, types, shapes and offsets of its tensors.
    pub digest: Digest,
    /// Number of parameters.
    pub num_parameters: u64,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Tokens per image.
    pub tokens_per_image: usize,
    /// Whether its weights are random. If so, the loss is a smoke test only; it says nothing about data quality.
    pub is_random: bool,
    /// `cpu` or `cuda`.
    pub device: String,
    /// The number type that it runs in: `f32` or `bf16`.
    pub dtype: String,
}

/// What was measured of a group of samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMeasures {
    /// Number of samples.
    pub num_samples: u64,
    /// Tokens that the model saw, of text and images.
    pub num_tokens: u64,
    /// Of these, tokens of the delimiters around visuals.
    pub num_delimiter_tokens: u64,
    /// Of these, tokens of images.
    pub num_visual_tokens: u64,
    /// Labels that were predicted.
    pub num_labels: u64,
    /// Labels per token, from 0 to 1.
    pub label_share: f64,
    /// Answers: runs of consecutive labels.
    pub num_answers: u64,
    /// Sum of the finite losses, in nats.
    pub loss_sum: f64,
    /// Mean loss of a label, in nats; absent without labels, or if a loss is not finite.
    pub loss_mean: Option<f64>,
    /// Mean over samples of their mean losses, in nats.
    pub loss_mean_of_samples: Option<f64>,
    /// Mean over answers of their mean losses, in nats.
    pub loss_mean_of_answers: Option<f64>,
    /// Samples for which the model saw other numbers of tokens than the dataset states.
    pub num_mismatched: u64,
    /// Samples that could not be run.
    pub num_unusable: u64,
    /// Samples without labels.
    pub num_without_labels: u64,
    /// Samples with a loss that is NaN or infinite.
    pub num_not_finite: u64,
    /// Samples that were also run with another sample's images.
    pub num_controlled: u64,
    /// Of these, samples whose loss is no lower with their own images.
    pub num_image_independent: u64,
    /// Mean over samples of the loss with blank images minus the loss with their own, in nats.
    pub gain_over_blank: Option<f64>,
    /// Mean over samples of the loss with another sample's images minus the loss with their own, in nats.
    pub gain_over_other: Option<f64>,
}

/// The losses of a range of positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PositionMeasures {
    /// First position of the range; it ends before the next one.
    pub from: usize,
    /// Labels in the range.
    pub num_labels: u64,
    /// Mean loss of a label, in nats; absent without labels.
    pub loss_mean: Option<f64>,
}

/// Time and memory of a stage of a run, all its steps together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageUsage {
    /// Time, in seconds.
    pub seconds: f64,
    /// Maximum memory of the process at the end of a step, including the model, in bytes; absent where it is not known.
    pub memory_bytes: Option<u64>,
}

/// Time, memory and amount of work of the stages of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunUsage {
    /// Reading samples and decoding their images.
    pub read: StageUsage,
    /// Preprocessing, vision tower and projector.
    pub images: StageUsage,
    /// Language model and losses, including controls.
    pub language: StageUsage,
    /// Images that were run through the vision tower.
    pub num_images: u64,
    /// Tokens that were run through the language model, including controls.
    pub num_tokens: u64,
    /// `num_tokens / language.seconds`.
    pub tokens_per_s: Option<f64>,
    /// `num_images / images.seconds`.
    pub images_per_s: Option<f64>,
    /// Peak memory of the process, in bytes; absent where it is not known.
    pub peak_memory_bytes: Option<u64>,
    /// Peak memory in use on the GPU, in bytes; absent on the CPU.
    pub peak_device_bytes: Option<u64>,
}

impl RunUsage {
    /// With the rates that follow from the other fields.
    pub(super) fn with_rates(self) -> Self {
        let rate = |num: u64, seconds: f64| (seconds > 0.0).then(|| num as f64 / seconds);
        Self {
            tokens_per_s: rate(self.num_tokens, self.language.seconds),
            images_per_s: rate(self.num_images, self.images.seconds),
            ..self
        }
    }
}

/// Adds what was done later, or on another machine: seconds are those of all machines together, memory is that of the largest
/// process.
impl AddAssign for RunUsage {
    fn add_assign(&mut self, other: Self) {
        let together = |stage: StageUsage, other: StageUsage| StageUsage {
            seconds: stage.seconds + other.seconds,
            memory_bytes: stage.memory_bytes.max(other.memory_bytes),
        };
        *self = Self {
            read: together(self.read, other.read),
            images: together(self.images, other.images),
            language: together(self.language, other.language),
            num_images: self.num_images + other.num_images,
            num_tokens: self.num_tokens + other.num_tokens,
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            peak_device_bytes: self.peak_device_bytes.max(other.peak_device_bytes),
            tokens_per_s: None,
            images_per_s: None,
        }
        .with_rates();
    }
}

/// What a report says besides the measures of samples.
#[derive(Debug, Clone)]
pub struct ReportContext {
    /// The model that was run.
    pub model: ModelFacts,
    /// The memory it needs in 16 bits.
    pub footprint: Footprint,
    /// The limits.
    pub policy: Policy,
    /// Time and memory of the run.
    pub usage: RunUsage,
}

impl Report {
    /// Summarises the measures of samples and compares them with the limits.
    pub fn new(measures: &[SampleMeasure], context: ReportContext) -> Self {
        let ReportContext { model, footprint, policy, usage } = context;
        let listed = |keep: &dyn Fn(&SampleMeasure) -> bool| -> Vec<RecordId> {
            measures.iter().filter(|measure| keep(measure)).take(MAX_LISTED).map(|measure| measure.id).collect()
        };
        let mut report = Self {
            report_version: REPORT_VERSION,
            table: None,
            verdict: Verdict::Pass,
            findings: Vec::new(),
            policy,
            forecasts: forecast(&footprint, model.tokens_per_image as u64).to_vec(),
            model,
            total: GroupMeasures::of(measures),
            by_source: grouped(measures, |measure| measure.source.clone()),
            by_layout: grouped(measures, |measure| measure.layout.as_str().to_owned()),
            by_images: grouped(measures, |measure| images_bucket(measure.num_images)),
            by_length: grouped(measures, |measure| length_bucket(measure.seen.text + measure.seen.visual)),
            by_position: positions(measures),
            mismatched: listed(&|measure| !measure.is_as_stated()),
            unusable: listed(&|measure| measure.unusable.is_some()),
            not_finite: listed(&|measure| measure.num_not_finite > 0),
            without_labels: listed(&|measure| measure.unusable.is_none() && measure.num_labels == 0),
            least_dependent_on_images: least_dependent(measures),
            footprint,
            stages: usage,
        };
        (report.verdict, report.findings) = policy.judge(&report.limited_measures());
        report
    }

    /// The measures that a policy has limits for; `None` where one could not be taken.
    fn limited_measures(&self) -> [(LimitedMeasure, Option<f64>); 8] {
        let total = &self.total;
        let worst = self.by_source.values().filter_map(|group| group.loss_mean).reduce(f64::max);
        [
            (LimitedMeasure::MismatchedTokens, total.share(total.num_mismatched)),
            (LimitedMeasure::Unusable, total.share(total.num_unusable)),
            (LimitedMeasure::WithoutLabels, total.share(total.num_without_labels)),
            (LimitedMeasure::NotFinite, total.share(total.num_not_finite)),
            (LimitedMeasure::MeanLoss, total.loss_mean),
            (LimitedMeasure::WorstSourceLoss, worst),
            (LimitedMeasure::ImageIndependent, total.image_independent_share()),
            (LimitedMeasure::RandomDistance, self.random_distance()),
        ]
    }

    /// With random weights, the difference between the mean loss and ln(vocabulary size), in nats; `None` otherwise.
    pub fn random_distance(&self) -> Option<f64> {
        let uniform = (self.model.vocab_size as f64).ln();
        self.total.loss_mean.filter(|_| self.model.is_random).map(|mean| (mean - uniform).abs())
    }
}

impl GroupMeasures {
    fn of<'a>(measures: impl IntoIterator<Item = &'a SampleMeasure>) -> Self {
        let mut group = Self::default();
        let (mut of_samples, mut of_answers) = (Mean::default(), Mean::default());
        let (mut over_blank, mut over_other) = (Mean::default(), Mean::default());
        for measure in measures {
            group.num_samples += 1;
            group.num_tokens += measure.seen.text + measure.seen.visual;
            group.num_delimiter_tokens += measure.seen.delimiters;
            group.num_visual_tokens += measure.seen.visual;
            group.num_mismatched += u64::from(!measure.is_as_stated());
            group.num_unusable += u64::from(measure.unusable.is_some());
            if measure.unusable.is_some() {
                continue;
            }
            group.num_labels += measure.num_labels;
            group.num_answers += measure.answers.len() as u64;
            group.loss_sum += measure.loss_sum;
            group.num_without_labels += u64::from(measure.num_labels == 0);
            group.num_not_finite += u64::from(measure.num_not_finite > 0);
            of_samples.add(measure.loss_mean());
            if measure.num_not_finite == 0 {
                measure.answers.iter().for_each(|answer| of_answers.add(answer.mean()));
            }
            over_blank.add(measure.gain_over_blank());
            over_other.add(measure.gain_over_other());
            let gain = measure.gain_over_other();
            group.num_controlled += u64::from(gain.is_some());
            group.num_image_independent += u64::from(gain.is_some_and(|gain| gain <= 0.0));
        }
        group.label_share = ratio(group.num_labels as f64, group.num_tokens).unwrap_or(0.0);
        group.loss_mean = ratio(group.loss_sum, group.num_labels).filter(|_| group.num_not_finite == 0);
        group.loss_mean_of_samples = of_samples.value();
        group.loss_mean_of_answers = of_answers.value();
        group.gain_over_blank = over_blank.value();
        group.gain_over_other = over_other.value();
        group
    }

    /// The share of this many samples in all of them; `None` without samples.
    fn share(&self, num: u64) -> Option<f64> {
        ratio(num as f64, self.num_samples)
    }

    /// The share of samples whose loss does not depend on their images; `None` if none was run with other images.
    fn image_independent_share(&self) -> Option<f64> {
        ratio(self.num_image_independent as f64, self.num_controlled)
    }
}

/// A mean of the values that there are.
#[derive(Default)]
struct Mean {
    sum: f64,
    num: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.num += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        ratio(self.sum, self.num)
    }
}

fn ratio(sum: f64, num: u64) -> Option<f64> {
    (num > 0).then(|| sum / num as f64)
}

fn grouped(measures: &[SampleMeasure], name: impl Fn(&SampleMeasure) -> String) -> BTreeMap<String, GroupMeasures> {
    let mut members: BTreeMap<String, Vec<&SampleMeasure>> = BTreeMap::new();
    for measure in measures {
        members.entry(name(measure)).or_default().push(measure);
    }
    members.into_iter().map(|(name, members)| (name, GroupMeasures::of(members))).collect()
}

fn images_bucket(num_images: u64) -> String {
    match num_images {
        0 | 1 => num_images.to_string(),
        _ => format!("{}-{}", 1_u64 << num_images.ilog2(), (2_u64 << num_images.ilog2()) - 1),
    }
}

fn length_bucket(num_tokens: u64) -> String {
    match num_tokens {
        0..1024 => "0-1023".to_owned(),
        _ => format!("{}-{}", 1_u64 << num_tokens.ilog2(), (2_u64 << num_tokens.ilog2()) - 1),
    }
}

fn positions(measures: &[SampleMeasure]) -> Vec<PositionMeasures> {
    let mut totals = [LossSum::default(); POSITION_BOUNDS.len()];
    for measure in measures {
        for (total, range) in totals.iter_mut().zip(&measure.positions) {
            total.num_labels += range.num_labels;
            total.loss_sum += range.loss_sum;
        }
    }
    let ranges = POSITION_BOUNDS.into_iter().zip(totals);
    ranges
        .map(|(from, total)| PositionMeasures { from, num_labels: total.num_labels, loss_mean: total.mean() })
        .collect()
}

fn least_dependent(measures: &[SampleMeasure]) -> Vec<RecordId> {
    let mut gains: Vec<_> =
        measures.iter().filter_map(|measure| Some((measure.gain_over_other()?, measure.id))).collect();
    gains.sort_by(|(left, left_id), (right, right_id)| left.total_cmp(right).then(left_id.cmp(right_id)));
    gains.into_iter().take(MAX_LISTED).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_named_by_their_bounds() {
        assert_eq!([0, 1, 2, 3, 4, 9].map(images_bucket), ["0", "1", "2-3", "2-3", "4-7", "8-15"]);
        assert_eq!([0, 1023, 1024, 5000].map(length_bucket), ["0-1023", "0-1023", "1024-2047", "4096-8191"]);
    }
}
