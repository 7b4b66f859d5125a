//! A policy turns measures into a verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::Report;

/// What follows from a measure, or from all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is over a limit.
    Pass,
    /// Something is over a limit that only warns.
    Warn,
    /// Something is over a limit.
    Fail,
}

/// The limits of a measure: what is *over* a limit is over it, and equal is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Over this, warn. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<f64>,
    /// Over this, fail. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<f64>,
}

/// Limits. Shares run from 0 to 1 and are of all samples run, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Share of samples of which the model saw another number of tokens than the dataset states. Default: fail over 0.
    pub mismatched_tokens: Limit,
    /// Share of samples that could not be run. Default: fail over 0.
    pub unusable: Limit,
    /// Share of samples without a label. Default: fail over 0.
    pub without_labels: Limit,
    /// Share of samples with a loss that is not a finite number. Default: fail over 0.
    pub not_finite: Limit,
    /// Mean loss of a label, in nats. Default: none.
    pub mean_loss: Limit,
    /// Mean loss of a label of the worst source. Default: none.
    pub worst_source_loss: Limit,
    /// Share of the samples with images whose loss with the right images is no lower than with another sample's. Default: none.
    pub image_independent: Limit,
    /// With random weights: distance of the mean loss from the logarithm of the vocabulary, in nats. Default: warn over 0.5,
    /// fail over 2.
    pub random_distance: Limit,
}

/// A measure that a policy limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// [`Policy::mismatched_tokens`].
    MismatchedTokens,
    /// [`Policy::unusable`].
    Unusable,
    /// [`Policy::without_labels`].
    WithoutLabels,
    /// [`Policy::not_finite`].
    NotFinite,
    /// [`Policy::mean_loss`].
    MeanLoss,
    /// [`Policy::worst_source_loss`].
    WorstSourceLoss,
    /// [`Policy::image_independent`].
    ImageIndependent,
    /// [`Policy::random_distance`].
    RandomDistance,
}

/// A measure beside its limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was measured.
    pub measure: Measure,
    /// What came out.
    pub value: f64,
    /// Its limits.
    pub limit: Limit,
    /// What follows.
    pub verdict: Verdict,
}

impl Default for Policy {
    fn default() -> Self {
        let none = Limit::default();
        let never = Limit { warn: None, fail: Some(0.0) };
        Self {
            mismatched_tokens: never,
            unusable: never,
            without_labels: never,
            not_finite: never,
            mean_loss: none,
            worst_source_loss: none,
            image_independent: none,
            random_distance: Limit { warn: Some(0.5), fail: Some(2.0) },
        }
    }
}

impl Limit {
    /// What follows from a value. NaN is over every limit.
    pub fn verdict(self, value: f64) -> Verdict {
        let is_over = |limit: Option<f64>| limit.is_some_and(|limit| value > limit || value.is_nan());
        match (is_over(self.fail), is_over(self.warn)) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Warn,
            (false, false) => Verdict::Pass,
        }
    }
}

impl Policy {
    /// Every measure that could be taken, beside its limits. The worst of their verdicts is that of the whole.
    pub fn judge(&self, report: &Report) -> (Verdict, Vec<Finding>) {
        let worst = report.by_source.values().filter_map(|group| group.loss_mean).reduce(f64::max);
        let total = &report.total;
        let measures = [
            (Measure::MismatchedTokens, self.mismatched_tokens, total.share(total.num_mismatched)),
            (Measure::Unusable, self.unusable, total.share(total.num_unusable)),
            (Measure::WithoutLabels, self.without_labels, total.share(total.num_without_labels)),
            (Measure::NotFinite, self.not_finite, total.share(total.num_not_finite)),
            (Measure::MeanLoss, self.mean_loss, total.loss_mean),
            (Measure::WorstSourceLoss, self.worst_source_loss, worst),
            (Measure::ImageIndependent, self.image_independent, total.image_independent_share()),
            (Measure::RandomDistance, self.random_distance, report.random_distance()),
        ];
        let findings: Vec<_> = measures
            .into_iter()
            .filter_map(|(measure, limit, value)| {
                let value = value?;
                Some(Finding { measure, value, limit, verdict: limit.verdict(value) })
            })
            .collect();
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Pass);
        (verdict, findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_a_limit_is_over_it() {
        let limit = Limit { warn: Some(0.0), fail: Some(0.5) };
        let verdicts = [0.0, 0.1, 0.5, 0.6, f64::NAN].map(|value| limit.verdict(value));
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail, Verdict::Fail]);
        assert_eq!(Limit::default().verdict(1e9), Verdict::Pass);
    }
}
