//! What is measured of one sample.

use manyframe_core::{Layout, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Losses;
use crate::sequence::{Sequence, Tokens, Unusable, ValidationSample};

/// Places at which a new stretch of a sequence begins, for losses by position.
pub const POSITION_BOUNDS: [usize; 5] = [0, 1024, 4096, 16_384, 65_536];

/// What was measured of a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleMeasure {
    /// Identity.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Images.
    pub num_images: u64,
    /// Tokens that the dataset says it has.
    pub stated: Tokens,
    /// Tokens that the model saw; those of the layout alone if it could not be run.
    pub seen: Tokens,
    /// Why it could not be run.
    pub unusable: Option<Unusable>,
    /// Labels that are predicted: those under the mask, but one that stands first.
    pub num_labels: u64,
    /// Labels whose loss is not a finite number.
    pub num_not_finite: u64,
    /// Sum of the finite losses, in nats.
    pub loss_sum: f64,
    /// The answers, in order: runs of labels.
    pub answers: Vec<Answer>,
    /// The loss by position, for each stretch of [`POSITION_BOUNDS`].
    pub positions: [PositionLoss; POSITION_BOUNDS.len()],
    /// The loss with other images than its own.
    pub controls: ControlLosses,
}

/// An answer: a run of labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Its labels.
    pub num_labels: u64,
    /// Sum of their finite losses.
    pub loss_sum: f64,
}

/// Labels and losses of a stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PositionLoss {
    /// Labels there.
    pub num_labels: u64,
    /// Sum of their finite losses.
    pub loss_sum: f64,
}

/// Mean losses over the same labels, with other images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControlLosses {
    /// With images of one colour.
    pub blank: Option<f64>,
    /// With the images of another sample.
    pub other: Option<f64>,
}

impl SampleMeasure {
    /// What can be said before the model has run.
    pub(crate) fn of(sample: &ValidationSample) -> Self {
        Self {
            id: sample.id,
            source: sample.source.clone(),
            layout: sample.layout,
            num_images: sample.images.len() as u64,
            stated: sample.stated,
            seen: Tokens::default(),
            unusable: None,
            num_labels: 0,
            num_not_finite: 0,
            loss_sum: 0.0,
            answers: Vec::new(),
            positions: Default::default(),
            controls: ControlLosses::default(),
        }
    }

    /// Adds what the model saw. Without a tokenizer, its delimiters are taken to be those that are stated.
    pub(crate) fn add_sequence(&mut self, sequence: &Sequence, bare_tokens: Option<u64>) {
        self.seen = sequence.tokens(self.stated.delimiters);
        if let Some(bare_tokens) = bare_tokens {
            self.seen.delimiters = self.seen.text.saturating_sub(bare_tokens);
        }
        self.num_labels = sequence.targets().iter().flatten().count() as u64;
    }

    /// Adds the losses.
    pub(crate) fn add_losses(&mut self, losses: &Losses) {
        let mut previous = None;
        for (&place, &loss) in losses.places.iter().zip(&losses.values) {
            if previous.is_none_or(|previous| previous + 1 != place) {
                self.answers.push(Answer::default());
            }
            previous = Some(place);
            let is_finite = loss.is_finite();
            let value = if is_finite { f64::from(loss) } else { 0.0 };
            self.num_not_finite += u64::from(!is_finite);
            self.loss_sum += value;
            if let Some(answer) = self.answers.last_mut() {
                answer.num_labels += 1;
                answer.loss_sum += value;
            }
            let stretch = POSITION_BOUNDS.iter().rposition(|bound| *bound <= place).unwrap_or(0);
            if let Some(stretch) = self.positions.get_mut(stretch) {
                stretch.num_labels += 1;
                stretch.loss_sum += value;
            }
        }
    }

    /// Mean loss over the labels; `None` without labels, or if one of their losses is not finite.
    pub fn loss_mean(&self) -> Option<f64> {
        (self.num_labels > 0 && self.num_not_finite == 0 && self.unusable.is_none())
            .then(|| self.loss_sum / self.num_labels as f64)
    }

    /// Whether the model saw as many tokens as the dataset says, of each kind.
    pub fn is_as_stated(&self) -> bool {
        self.unusable.is_some() || self.seen == self.stated
    }

    /// How much lower the loss is with the right images than with blank ones; negative if it is higher.
    pub fn gain_over_blank(&self) -> Option<f64> {
        Some(self.controls.blank? - self.loss_mean()?)
    }

    /// How much lower the loss is with the right images than with another sample's.
    pub fn gain_over_other(&self) -> Option<f64> {
        Some(self.controls.other? - self.loss_mean()?)
    }
}

/// The mean of some losses; `None` if there are none, or one is not finite.
pub(crate) fn finite_mean(losses: &Losses) -> Option<f64> {
    let is_whole = !losses.values.is_empty() && losses.values.iter().all(|loss| loss.is_finite());
    is_whole.then(|| losses.values.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.values.len() as f64)
}
