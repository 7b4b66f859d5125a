//! Sharding: where one shard ends and the next begins.

use std::num::NonZeroU64;
use std::ops::Range;

/// Upper bounds on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLimits {
    /// Maximum number of samples.
    pub max_samples: NonZeroU64,
    /// Maximum estimated size in bytes. A single sample that is larger still gets a shard.
    pub max_bytes: NonZeroU64,
}

/// Cuts samples of these sizes in bytes, in their order, into runs that are within the limits. Together the runs cover every
/// sample once.
///
/// The runs are ranges of positions in `sizes`.
pub fn cut_shards(sizes: impl IntoIterator<Item = u64>, limits: ShardLimits) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut run = 0..0;
    let mut num_bytes = 0;
    for size in sizes {
        let is_full = run.len() as u64 >= limits.max_samples.get() || num_bytes + size > limits.max_bytes.get();
        if is_full && !run.is_empty() {
            runs.push(run.clone());
            run = run.end..run.end;
            num_bytes = 0;
        }
        run.end += 1;
        num_bytes += size;
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    fn limits(max_samples: u64, max_bytes: u64) -> ShardLimits {
        let positive = |n| NonZeroU64::new(n).unwrap();
        ShardLimits { max_samples: positive(max_samples), max_bytes: positive(max_bytes) }
    }

    proptest! {
        #[test]
        fn runs_cover_every_row_once_and_fit(sizes in prop::collection::vec(0u64..50, 0..100), samples in 1u64..20, bytes in 1u64..100) {
            let runs = cut_shards(sizes.iter().copied(), limits(samples, bytes));
            prop_assert!(runs.iter().cloned().flatten().eq(0..sizes.len()));
            for pair in runs.windows(2) {
                let with_next: u64 = sizes[pair[0].start..=pair[0].end].iter().sum();
                prop_assert!(pair[0].len() as u64 == samples || with_next > bytes, "a shard is closed only when it is full");
            }
            for run in runs {
                let total: u64 = sizes[run.clone()].iter().sum();
                prop_assert!(run.len() as u64 <= samples && (total <= bytes || run.len() == 1));
            }
        }
    }
}
