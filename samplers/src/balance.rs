//! How evenly steps load their ranks: a sum over steps, for packs and for clusters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How evenly something is spread over the ranks of each step. 1 is even.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The largest load of a rank over the mean load, summed over all steps. 1.1 is 10 % more time than needed.
    pub max_over_mean: f64,
    /// The most that a rank has beyond the mean of its step, in means over all complete steps. 0 is even.
    pub worst_excess: f64,
}

/// Sums over steps, in each of which several groups of ranks have a load.
#[derive(Debug, Clone)]
pub(crate) struct BalanceSum {
    groups: usize,
    ranks_per_group: u64,
    open: StepLoad,
    sum_of_max: f64,
    sum_of_means: f64,
    num_complete: u64,
    worst: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct StepLoad {
    num_groups: usize,
    sum: u64,
    max: u64,
}

impl BalanceSum {
    pub(crate) fn new(groups: usize, ranks_per_group: u64) -> Self {
        Self {
            groups,
            ranks_per_group,
            open: StepLoad::default(),
            sum_of_max: 0.0,
            sum_of_means: 0.0,
            num_complete: 0,
            worst: 0.0,
        }
    }

    /// The load of the next group: that of its most loaded rank, and that of all its ranks together.
    pub(crate) fn add(&mut self, max: u64, sum: u64) {
        self.open.num_groups += 1;
        self.open.sum = self.open.sum.saturating_add(sum);
        self.open.max = self.open.max.max(max);
        if self.open.num_groups == self.groups {
            let excess = self.close_step();
            self.worst = self.worst.max(excess);
            self.num_complete += 1;
        }
    }

    /// The balance of all steps. An incomplete last step counts with its idle ranks, but never as the worst.
    pub(crate) fn finish(mut self) -> Balance {
        let mean_of_complete = ratio(self.sum_of_means, self.num_complete as f64);
        self.close_step();
        let max_over_mean = if self.sum_of_means > 0.0 { self.sum_of_max / self.sum_of_means } else { 1.0 };
        Balance { max_over_mean, worst_excess: ratio(self.worst, mean_of_complete) }
    }

    /// What the most loaded rank of the step has beyond the mean.
    fn close_step(&mut self) -> f64 {
        let step = std::mem::take(&mut self.open);
        let mean = step.sum as f64 / (self.groups as f64 * self.ranks_per_group as f64);
        self.sum_of_max += step.max as f64;
        self.sum_of_means += mean;
        step.max as f64 - mean
    }
}

/// A part over a whole, or 0 of nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_step_counts_with_its_idle_ranks_but_not_as_the_worst() {
        let mut sum = BalanceSum::new(2, 1);
        for load in [6, 2, 4] {
            sum.add(load, load);
        }
        // Means of 4 and 2, largest loads of 6 and 4.
        assert_eq!(sum.finish(), Balance { max_over_mean: 10.0 / 6.0, worst_excess: 0.5 });
    }

    #[test]
    fn no_load_is_even() {
        assert_eq!(BalanceSum::new(2, 1).finish(), Balance { max_over_mean: 1.0, worst_excess: 0.0 });
    }
}
