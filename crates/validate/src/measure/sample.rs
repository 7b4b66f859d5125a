//! What is measured for each sample.

use manyframe_core::{Layout, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::TokenLosses;
use crate::sequence::{Sequence, TokenCounts, Unusable, ValidationSample};

/// First positions of the ranges over which losses are summed up by position. The last range has no end.
pub const POSITION_BOUNDS: [usize; 5] = [0, 1024, 4096, 16_384, 65_536];

/// What was measured of one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleMeasure {
    /// The record that it was made from.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Number of images.
    pub num_images: u64,
    /// Tokens that the dataset says it has.
    pub stated: TokenCounts,
    /// Tokens that the model saw; zeros if it could not be run.
    pub seen: TokenCounts,
    /// Why it could not be run; absent if it was.
    pub unusable: Option<Unusable>,
    /// Labels that are predicted: all but one on the very first token.
    pub num_labels: u64,
    /// Labels whose loss is not a finite number.
    pub num_not_finite: u64,
    /// Sum of the finite losses, in nats.
    pub loss_sum: f64,
    /// The losses of each answer, in order. An answer is a run of consecutive labels.
    pub answers: Vec<LossSum>,
    /// The losses of each range of positions of [`POSITION_BOUNDS`].
    pub positions: [LossSum; POSITION_BOUNDS.len()],
    /// The loss with other images than its own, where that was measured.
    pub controls: ControlLosses,
}

/// The losses of some labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LossSum {
    /// Number of labels.
    pub num_labels: u64,
    /// Sum of their finite losses, in nats.
    pub loss_sum: f64,
}

/// Mean losses of the same labels with other images, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControlLosses {
    /// With images of one colour.
    pub blank: Option<f64>,
    /// With the images of another sample.
    pub other: Option<f64>,
}

impl LossSum {
    /// Adds the loss of one label.
    fn add(&mut self, loss: f64) {
        self.num_labels += 1;
        self.loss_sum += loss;
    }

    /// Mean loss of a label; `None` without labels.
    pub fn mean(&self) -> Option<f64> {
        (self.num_labels > 0).then(|| self.loss_sum / self.num_labels as f64)
    }
}

impl SampleMeasure {
    /// A sample that was not run yet.
    pub(crate) fn of(sample: &ValidationSample) -> Self {
        Self {
            id: sample.id,
            source: sample.source.clone(),
            layout: sample.layout,
            num_images: sample.images.len() as u64,
            stated: sample.stated,
            seen: TokenCounts::default(),
            unusable: None,
            num_labels: 0,
            num_not_finite: 0,
            loss_sum: 0.0,
            answers: Vec::new(),
            positions: Default::default(),
            controls: ControlLosses::default(),
        }
    }

    /// Adds what the model will see. Without a count of bare tokens, the stated number of delimiters is taken.
    pub(crate) fn add_sequence(&mut self, sequence: &Sequence, bare_tokens: Option<u64>) {
        self.seen = sequence.count_tokens(self.stated.delimiters);
        if let Some(bare_tokens) = bare_tokens {
            self.seen.delimiters = self.seen.text.saturating_sub(bare_tokens);
        }
        self.num_labels = sequence.targets().iter().flatten().count() as u64;
    }

    /// Adds the losses of its labels.
    pub(crate) fn add_losses(&mut self, losses: &TokenLosses) {
        let mut previous = None;
        for (&position, &loss) in losses.positions.iter().zip(&losses.values) {
            let is_finite = loss.is_finite();
            let value = if is_finite { f64::from(loss) } else { 0.0 };
            self.num_not_finite += u64::from(!is_finite);
            self.loss_sum += value;
            let continues = previous.is_some_and(|previous| previous + 1 == position);
            previous = Some(position);
            match self.answers.last_mut() {
                Some(answer) if continues => answer.add(value),
                _ => self.answers.push(LossSum { num_labels: 1, loss_sum: value }),
            }
            let ranges = self.positions.iter_mut().zip(POSITION_BOUNDS);
            // The first range begins at position 0.
            if let Some((range, _)) = ranges.rev().find(|(_, from)| *from <= position) {
                range.add(value);
            }
        }
    }

    /// Mean loss of a label, in nats; `None` if it was not run, has no labels, or a loss is not finite.
    pub fn loss_mean(&self) -> Option<f64> {
        (self.num_labels > 0 && self.num_not_finite == 0 && self.unusable.is_none())
            .then(|| self.loss_sum / self.num_labels as f64)
    }

    /// Whether the number of tokens of each kind that the model saw is the number in the dataset. True of a sample that
    /// was not run.
    pub fn is_as_stated(&self) -> bool {
        self.unusable.is_some() || self.seen == self.stated
    }

    /// How much lower its mean loss is with its own images than with blank ones, in nats; negative if it is higher.
    pub fn gain_over_blank(&self) -> Option<f64> {
        Some(self.controls.blank? - self.loss_mean()?)
    }

    /// How much lower its mean loss is with its own images than with another sample's, in nats; negative if it is higher.
    pub fn gain_over_other(&self) -> Option<f64> {
        Some(self.controls.other? - self.loss_mean()?)
    }
}

/// The mean of losses, in nats; `None` if there are none, or one is not finite.
pub(crate) fn finite_mean(losses: &TokenLosses) -> Option<f64> {
    let is_whole = !losses.values.is_empty() && losses.values.iter().all(|loss| loss.is_finite());
    is_whole.then(|| losses.values.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.values.len() as f64)
}

#[cfg(test)]
mod tests {
    use manyframe_core::Digest;

    use super::*;

    #[test]
    fn losses_are_summed_by_answer_and_by_position() {
        let sample = ValidationSample {
            id: RecordId::from_digest(Digest::of(b"sample")),
            source: String::new(),
            layout: Layout::Text,
            input_ids: Vec::new(),
            labels: Vec::new(),
            images: Vec::new(),
            stated: TokenCounts::default(),
            bare_tokens: None,
        };
        let mut measure = SampleMeasure::of(&sample);
        let positions = vec![0, 1, 1023, 1024, 70_000];
        measure.add_losses(&TokenLosses { positions, values: vec![1.0, 2.0, 4.0, f32::NAN, 8.0] });
        let sum = |num_labels, loss_sum| LossSum { num_labels, loss_sum };
        assert_eq!(measure.answers, [sum(2, 3.0), sum(2, 4.0), sum(1, 8.0)]);
        assert_eq!(measure.positions, [sum(3, 7.0), sum(1, 0.0), sum(0, 0.0), sum(0, 0.0), sum(1, 8.0)]);
        assert_eq!((measure.num_not_finite, measure.loss_sum), (1, 15.0));
    }
}
