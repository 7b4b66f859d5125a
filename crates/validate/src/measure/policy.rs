//! Limits for measures, and the verdict that follows from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of comparing measures with their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No limit is exceeded.
    Pass,
    /// A limit that warns is exceeded, and none that fails.
    Warn,
    /// A limit that fails is exceeded.
    Fail,
}

/// The limits of a measure. A value equal to a limit does not exceed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Warns above this value. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<f64>,
    /// Fails above this value. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<f64>,
}

/// Limits on what was measured. Shares are from 0 to 1, of all samples that were chosen unless another base is named.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Share of samples for which the model saw other numbers of tokens than the dataset states. Default: fails above 0.
    pub mismatched_tokens: Limit,
    /// Share of samples that could not be run. Default: fails above 0.
    pub unusable: Limit,
    /// Share of samples without labels. Default: fails above 0.
    pub without_labels: Limit,
    /// Share of samples with a loss that is NaN or infinite. Default: fails above 0.
    pub not_finite: Limit,
    /// Mean loss of a label, in nats. Default: no limit.
    pub mean_loss: Limit,
    /// Mean loss of a label in the source where it is highest, in nats. Default: no limit.
    pub worst_source_loss: Limit,
    /// Share of samples whose loss is no lower with their own images than with another sample's, of the samples with images.
    /// Default: no limit.
    pub image_independent: Limit,
    /// With random weights only: difference between the mean loss and ln(vocabulary size), in nats. Default: warns above 0.5,
    /// fails above 2.
    pub random_distance: Limit,
}

/// A measure that a policy has limits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitedMeasure {
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

/// A measure compared with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The measure.
    pub measure: LimitedMeasure,
    /// Its value.
    pub value: f64,
    /// Its limits.
    pub limit: Limit,
    /// The result.
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
    /// Compares a value with the limits. NaN exceeds every limit.
    pub fn verdict(self, value: f64) -> Verdict {
        let exceeds = |limit: Option<f64>| limit.is_some_and(|limit| value > limit || value.is_nan());
        match (exceeds(self.fail), exceeds(self.warn)) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Warn,
            (false, false) => Verdict::Pass,
        }
    }
}

impl Policy {
    /// The limits of a measure.
    pub fn limit(&self, measure: LimitedMeasure) -> Limit {
        match measure {
            LimitedMeasure::MismatchedTokens => self.mismatched_tokens,
            LimitedMeasure::Unusable => self.unusable,
            LimitedMeasure::WithoutLabels => self.without_labels,
            LimitedMeasure::NotFinite => self.not_finite,
            LimitedMeasure::MeanLoss => self.mean_loss,
            LimitedMeasure::WorstSourceLoss => self.worst_source_loss,
            LimitedMeasure::ImageIndependent => self.image_independent,
            LimitedMeasure::RandomDistance => self.random_distance,
        }
    }

    /// Compares each measure that has a value with its limits; the verdict is the worst of all.
    pub fn judge(&self, values: &[(LimitedMeasure, Option<f64>)]) -> (Verdict, Vec<Finding>) {
        let findings = values.iter().filter_map(|(measure, value)| {
            let (measure, value, limit) = (*measure, (*value)?, self.limit(*measure));
            Some(Finding { measure, value, limit, verdict: limit.verdict(value) })
        });
        let findings: Vec<_> = findings.collect();
        let worst = findings.iter().map(|finding| finding.verdict).fold(Verdict::Pass, Verdict::max);
        (worst, findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_above_a_limit_exceed_it() {
        let limit = Limit { warn: Some(0.0), fail: Some(0.5) };
        let verdicts = [0.0, 0.1, 0.5, 0.6, f64::NAN].map(|value| limit.verdict(value));
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail, Verdict::Fail]);
        assert_eq!(Limit::default().verdict(1e9), Verdict::Pass);
    }

    #[test]
    fn the_worst_finding_decides_and_measures_without_a_value_are_left_out() {
        let policy = Policy { mean_loss: Limit { warn: Some(2.0), fail: None }, ..Policy::default() };
        let values = [(LimitedMeasure::MeanLoss, Some(3.0)), (LimitedMeasure::Unusable, None)];
        let (verdict, findings) = policy.judge(&values);
        assert_eq!((verdict, findings.len()), (Verdict::Warn, 1));
        assert_eq!(policy.judge(&[(LimitedMeasure::NotFinite, Some(0.1))]).0, Verdict::Fail);
        assert_eq!(policy.judge(&[]).0, Verdict::Pass);
    }
}
