//! How many right answers guessing gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often guessing goes beyond either bound: one run in a thousand.
const TAIL: f64 = 0.0005;

/// The shares of right answers between which guessing stays, in 999 of 1,000 runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChanceBounds {
    /// The mean of guessing.
    pub mean: f64,
    /// The least.
    pub lower: f64,
    /// The most.
    pub upper: f64,
}

impl ChanceBounds {
    /// Whether guessing gives such a share.
    pub fn contains(&self, share: f64) -> bool {
        // A share is a mean of fractions, which rounds.
        share >= self.lower - 1e-9 && share <= self.upper + 1e-9
    }
}

/// The bounds of the binomial distribution: `num` independent questions, each right with the same probability. For questions of
/// different probabilities, their mean gives bounds that are at least as wide (Hoeffding, 1956). Without questions, from 0 to 1.
pub fn chance_bounds(num: u64, probability: f64) -> ChanceBounds {
    let mean = probability.clamp(0.0, 1.0);
    if num == 0 {
        return ChanceBounds { mean, lower: 0.0, upper: 1.0 };
    }
    let (lower, upper) = (lowest(num, mean), num - lowest(num, 1.0 - mean));
    let share = |count: u64| count as f64 / num as f64;
    ChanceBounds { mean, lower: share(lower), upper: share(upper) }
}

/// The least count that is not below the tail: `P(X < count) ≤ TAIL`, and no larger count has that.
fn lowest(num: u64, probability: f64) -> u64 {
    if probability <= 0.0 {
        return 0;
    }
    if probability >= 1.0 {
        return num;
    }
    let (log_p, log_q) = (probability.ln(), (-probability).ln_1p());
    // ln of the number of ways to choose `count` of `num`, from one count to the next.
    let mut log_ways = 0.0_f64;
    let mut below = 0.0_f64;
    for count in 0..=num {
        below += (log_ways + count as f64 * log_p + (num - count) as f64 * log_q).exp();
        if below > TAIL {
            return count;
        }
        log_ways += ((num - count) as f64).ln() - ((count + 1) as f64).ln();
    }
    num
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binom(n, p).ppf(0.0005)` and `.isf(0.0005)`, scipy 1.17.1.
    #[test]
    fn bounds_are_those_of_scipy() {
        for (num, probability, lower, upper) in SCIPY {
            let bounds = chance_bounds(num, probability);
            let counts = [bounds.lower, bounds.upper].map(|share| (share * num as f64).round() as u64);
            assert_eq!(counts, [lower, upper], "{num} {probability}");
        }
    }

    const SCIPY: [(u64, f64, u64, u64); 9] = [
        (1, 0.25, 0, 1),
        (4, 0.25, 0, 4),
        (24, 0.25, 0, 14),
        (60, 0.25, 5, 27),
        (100, 0.5, 34, 66),
        (600, 0.25, 116, 186),
        (1500, 0.2, 250, 352),
        (5000, 0.3, 1394, 1607),
        (50, 1.0 / 3.0, 6, 28),
    ];

    #[test]
    fn few_questions_say_nothing() {
        let bounds = chance_bounds(1, 0.25);
        assert!(bounds.contains(0.0) && bounds.contains(1.0));
        assert!(chance_bounds(0, 0.25).contains(1.0));
        assert!(!chance_bounds(100, 0.25).contains(0.6));
        let certain = chance_bounds(10, 1.0);
        assert!((certain.lower - 1.0).abs() < 1e-12 && (certain.upper - 1.0).abs() < 1e-12);
    }
}
