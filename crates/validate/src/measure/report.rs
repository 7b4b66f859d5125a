//! What was measured of all samples together: `validation.json`.

use std::collections::BTreeMap;

use manyframe_core::{Digest, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forecast::{Footprint, Forecast};
use super::policy::{Finding, Policy, Verdict};
use super::sample::{POSITION_BOUNDS, SampleMeasure};

/// Raised whenever readers of an older version would misread a report.
const REPORT_VERSION: u32 = 1;
/// Samples that are named in a list.
const MOST_NAMED: usize = 20;

/// A validation of a dataset. All of it but `stages` is the same for the same samples, model, device type and options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this format.
    pub report_version: u32,
    /// What follows, by the policy.
    pub verdict: Verdict,
    /// Each measure that the policy limits.
    pub findings: Vec<Finding>,
    /// The policy.
    pub policy: Policy,
    /// The model.
    pub model: ModelFacts,
    /// All samples run.
    pub total: Group,
    /// By source.
    pub by_source: BTreeMap<String, Group>,
    /// By layout.
    pub by_layout: BTreeMap<String, Group>,
    /// By number of images: `0`, `1`, `2-3`, `4-7` …
    pub by_images: BTreeMap<String, Group>,
    /// By length in tokens: `0-1023`, `1024-2047` …
    pub by_length: BTreeMap<String, Group>,
    /// By place in the sequence: mean loss of the labels between two bounds.
    pub by_position: Vec<Position>,
    /// Samples of which the model saw another number of tokens than the dataset states, 20 at most.
    pub mismatched: Vec<RecordId>,
    /// Samples that could not be run, 20 at most.
    pub unusable: Vec<RecordId>,
    /// Samples with losses that are not finite, 20 at most.
    pub not_finite: Vec<RecordId>,
    /// Samples without a label, 20 at most.
    pub without_labels: Vec<RecordId>,
    /// Samples that lose least when their images are another sample's, 20 at most.
    pub least_dependent_on_images: Vec<RecordId>,
    /// Bytes that the model takes in 16 bits.
    pub footprint: Footprint,
    /// What fits on cards of 24, 40 and 80 GB; computed, not measured.
    pub forecasts: Vec<Forecast>,
    /// Time, of this run on this machine.
    pub stages: Stages,
}

/// The model that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    /// Digest of its configuration and of the names, shapes and sizes of its tensors.
    pub digest: Digest,
    /// Number of parameters.
    pub num_parameters: u64,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Tokens of an image.
    pub tokens_per_image: usize,
    /// Whether its weights are random: then the loss checks the wiring, and judges no data.
    pub is_random: bool,
    /// `cpu` or `cuda`.
    pub device: String,
    /// The type it computes in.
    pub dtype: String,
}

/// Measures of some samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Samples.
    pub num_samples: u64,
    /// Tokens that the model saw.
    pub num_tokens: u64,
    /// Those that are delimiters of visuals.
    pub num_delimiter_tokens: u64,
    /// Those that stand for images.
    pub num_visual_tokens: u64,
    /// Labels that were predicted.
    pub num_labels: u64,
    /// Labels over tokens.
    pub label_share: f64,
    /// Answers.
    pub num_answers: u64,
    /// Sum of the losses, in nats.
    pub loss_sum: f64,
    /// Mean loss of a label; absent without labels, or if a loss is not finite.
    pub loss_mean: Option<f64>,
    /// Mean over samples of their mean losses.
    pub loss_mean_of_samples: Option<f64>,
    /// Mean over answers of their mean losses.
    pub loss_mean_of_answers: Option<f64>,
    /// Samples of which the model saw another number of tokens than stated.
    pub num_mismatched: u64,
    /// Samples that could not be run.
    pub num_unusable: u64,
    /// Samples without a label.
    pub num_without_labels: u64,
    /// Samples with a loss that is not finite.
    pub num_not_finite: u64,
    /// Samples that were run with other images, too.
    pub num_controlled: u64,
    /// Of these: those whose loss is no lower with the right images than with another sample's.
    pub num_image_independent: u64,
    /// Mean over these of loss with blank images less loss.
    pub gain_over_blank: Option<f64>,
    /// Mean over these of loss with another sample's images less loss.
    pub gain_over_other: Option<f64>,
}

/// Labels between two places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// First place.
    pub from: usize,
    /// Labels from there to the next bound.
    pub num_labels: u64,
    /// Their mean loss.
    pub loss_mean: Option<f64>,
}

/// A stage of a run, all its steps together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Time it took.
    pub seconds: f64,
    /// The most that the process had in memory at the end of a step, where the system tells. Model included.
    pub memory_bytes: Option<u64>,
}

/// Time and memory by stage, and how much was done in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stages {
    /// Reading samples and decoding their images.
    pub read: Stage,
    /// Preprocessing, vision tower and projector.
    pub images: Stage,
    /// Language model and losses, controls included.
    pub language: Stage,
    /// Images that went through the tower.
    pub num_images: u64,
    /// Tokens that went through the language model, controls included.
    pub num_tokens: u64,
    /// `num_tokens / language.seconds`.
    pub tokens_per_s: Option<f64>,
    /// `num_images / images.seconds`.
    pub images_per_s: Option<f64>,
    /// Peak memory of the process, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// Peak memory of tensors on the GPU; absent on the CPU.
    pub peak_device_bytes: Option<u64>,
}

impl Report {
    /// Puts the measures together and judges them.
    pub fn new(
        measures: &[SampleMeasure],
        model: ModelFacts,
        policy: Policy,
        footprint: Footprint,
        stages: Stages,
    ) -> Self {
        let named = |keep: &dyn Fn(&SampleMeasure) -> bool| -> Vec<RecordId> {
            measures.iter().filter(|measure| keep(measure)).take(MOST_NAMED).map(|measure| measure.id).collect()
        };
        let mut report = Self {
            report_version: REPORT_VERSION,
            verdict: Verdict::Pass,
            findings: Vec::new(),
            policy,
            forecasts: super::forecast::forecast(&footprint, model.tokens_per_image as u64).to_vec(),
            model,
            total: Group::of(measures),
            by_source: grouped(measures, |measure| measure.source.clone()),
            by_layout: grouped(measures, |measure| measure.layout.as_str().to_owned()),
            by_images: grouped(measures, |measure| images_bucket(measure.num_images)),
            by_length: grouped(measures, |measure| length_bucket(measure.seen.text + measure.seen.visual)),
            by_position: positions(measures),
            mismatched: named(&|measure| !measure.is_as_stated()),
            unusable: named(&|measure| measure.unusable.is_some()),
            not_finite: named(&|measure| measure.num_not_finite > 0),
            without_labels: named(&|measure| measure.unusable.is_none() && measure.num_labels == 0),
            least_dependent_on_images: least_dependent(measures),
            footprint,
            stages,
        };
        (report.verdict, report.findings) = policy.judge(&report);
        report
    }

    /// With random weights: how far the mean loss is from the logarithm of the vocabulary.
    pub fn random_distance(&self) -> Option<f64> {
        let uniform = (self.model.vocab_size as f64).ln();
        self.total.loss_mean.filter(|_| self.model.is_random).map(|mean| (mean - uniform).abs())
    }
}

impl Group {
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
                measure
                    .answers
                    .iter()
                    .for_each(|answer| of_answers.add(Some(answer.loss_sum / answer.num_labels as f64)));
            }
            over_blank.add(measure.gain_over_blank());
            over_other.add(measure.gain_over_other());
            group.num_controlled += u64::from(measure.gain_over_other().is_some());
            group.num_image_independent += u64::from(measure.gain_over_other().is_some_and(|gain| gain <= 0.0));
        }
        group.label_share = ratio(group.num_labels as f64, group.num_tokens).unwrap_or(0.0);
        group.loss_mean = ratio(group.loss_sum, group.num_labels).filter(|_| group.num_not_finite == 0);
        group.loss_mean_of_samples = of_samples.value();
        group.loss_mean_of_answers = of_answers.value();
        group.gain_over_blank = over_blank.value();
        group.gain_over_other = over_other.value();
        group
    }

    /// A number of samples over all of them; `None` without samples.
    pub(super) fn share(&self, num: u64) -> Option<f64> {
        ratio(num as f64, self.num_samples)
    }

    /// Share of the samples with controls whose loss does not depend on having the right images.
    pub(super) fn image_independent_share(&self) -> Option<f64> {
        ratio(self.num_image_independent as f64, self.num_controlled)
    }
}

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

fn grouped(measures: &[SampleMeasure], name: impl Fn(&SampleMeasure) -> String) -> BTreeMap<String, Group> {
    let mut members: BTreeMap<String, Vec<&SampleMeasure>> = BTreeMap::new();
    for measure in measures {
        members.entry(name(measure)).or_default().push(measure);
    }
    members.into_iter().map(|(name, members)| (name, Group::of(members))).collect()
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

fn positions(measures: &[SampleMeasure]) -> Vec<Position> {
    let stretch = |(index, &from): (usize, &usize)| {
        let stretches = || measures.iter().filter_map(|measure| measure.positions.get(index));
        let num_labels = stretches().map(|stretch| stretch.num_labels).sum();
        let loss_mean = ratio(stretches().map(|stretch| stretch.loss_sum).sum(), num_labels);
        Position { from, num_labels, loss_mean }
    };
    POSITION_BOUNDS.iter().enumerate().map(stretch).collect()
}

fn least_dependent(measures: &[SampleMeasure]) -> Vec<RecordId> {
    let mut gains: Vec<_> =
        measures.iter().filter_map(|measure| Some((measure.gain_over_other()?, measure.id))).collect();
    gains.sort_by(|(left, left_id), (right, right_id)| left.total_cmp(right).then(left_id.cmp(right_id)));
    gains.into_iter().take(MOST_NAMED).map(|(_, id)| id).collect()
}
