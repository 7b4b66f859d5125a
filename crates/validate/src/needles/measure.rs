//! What is measured of each question.

use manyframe_core::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::question::QuestionFacts;
use crate::prefix::ContinuationScore;
use crate::sequence::Unusable;

/// How likely a model finds the options of a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptionScores {
    /// `ln p` of all tokens of each option together, in nats, in the order of the prompt; of a free answer, of the answer alone. Null if
    /// it is not a finite number.
    pub log_likelihoods: Vec<Option<f64>>,
    /// Whether each token of the right answer is the most probable one at its place: greedy decoding would write it.
    pub is_greedy: bool,
}

/// What was measured of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionMeasure {
    /// Which question it is.
    pub facts: QuestionFacts,
    /// Images of the prompt.
    pub num_images: u64,
    /// Tokens of the prompt, those of its images included; 0 if it could not be run.
    pub num_tokens: u64,
    /// With its visuals; absent if it could not be run.
    pub seen: Option<OptionScores>,
    /// As text alone; absent if it could not be run.
    pub blind: Option<OptionScores>,
    /// Digest of the question as text alone, answers included: equal for questions that read the same.
    pub text: Digest,
    /// Why it could not be run; absent if it was.
    pub unusable: Option<Unusable>,
}

impl OptionScores {
    /// Position of the likeliest option, the first of equals; `None` if one has no finite likelihood.
    pub fn likeliest(&self) -> Option<usize> {
        let likelihoods = self.log_likelihoods.iter().copied().collect::<Option<Vec<f64>>>()?;
        let best = likelihoods.iter().copied().reduce(f64::max)?;
        likelihoods.iter().position(|likelihood| *likelihood >= best)
    }

    /// Whether the answer to a question is right: the right option is the likeliest, or a free answer is the greedy one.
    pub fn is_right(&self, facts: &QuestionFacts) -> bool {
        if facts.has_options() {
            return self.likeliest().is_some_and(|likeliest| likeliest as u64 == facts.right);
        }
        self.is_greedy
    }
}

impl QuestionFacts {
    /// Whether one of several options is to be chosen.
    pub fn has_options(&self) -> bool {
        self.num_options > 0
    }

    /// The share of right answers of whoever guesses; 0 for a free answer.
    pub fn chance(&self) -> f64 {
        if self.has_options() { 1.0 / self.num_options as f64 } else { 0.0 }
    }
}

impl QuestionMeasure {
    /// Whether it is answered right with its visuals.
    pub fn is_right(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is_right(&self.facts))
    }

    /// Whether it is answered right without its visuals.
    pub fn is_right_blind(&self) -> bool {
        self.blind.as_ref().is_some_and(|blind| blind.is_right(&self.facts))
    }

    /// Whether greedy decoding would write the right answer.
    pub fn is_greedy(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is_greedy)
    }
}

/// Scores of the options of a question as they come in.
#[derive(Debug)]
pub(super) struct PendingScores {
    scores: Vec<Option<ContinuationScore>>,
    right: usize,
}

impl PendingScores {
    pub(super) fn of(num_answers: usize, right: usize) -> Self {
        Self { scores: vec![None; num_answers], right }
    }

    pub(super) fn take(&mut self, option: usize, score: ContinuationScore) {
        if let Some(place) = self.scores.get_mut(option) {
            *place = Some(score);
        }
    }

    /// The scores once all are there.
    pub(super) fn complete(&self) -> Option<OptionScores> {
        let scores = self.scores.iter().copied().collect::<Option<Vec<_>>>()?;
        let finite = |score: &ContinuationScore| Some(score.log_likelihood).filter(|value| value.is_finite());
        Some(OptionScores {
            log_likelihoods: scores.iter().map(finite).collect(),
            is_greedy: scores.get(self.right).is_some_and(|score| score.is_greedy),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(log_likelihoods: &[Option<f64>]) -> OptionScores {
        OptionScores { log_likelihoods: log_likelihoods.to_vec(), is_greedy: false }
    }

    #[test]
    fn the_first_of_equals_is_likeliest_and_nan_none() {
        assert_eq!(scores(&[Some(-3.0), Some(-1.0), Some(-1.0)]).likeliest(), Some(1));
        assert_eq!(scores(&[Some(-3.0), None]).likeliest(), None);
        assert_eq!(scores(&[]).likeliest(), None);
    }

    #[test]
    fn scores_are_complete_when_every_option_has_one() {
        let mut pending = PendingScores::of(2, 1);
        let score = |log_likelihood, is_greedy| ContinuationScore { log_likelihood, is_greedy };
        pending.take(1, score(f64::NAN, true));
        assert_eq!(pending.complete(), None);
        pending.take(0, score(-2.0, false));
        let complete = pending.complete().unwrap();
        assert_eq!(complete, OptionScores { log_likelihoods: vec![Some(-2.0), None], is_greedy: true });
    }
}
