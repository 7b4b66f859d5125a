//! Sharding: where one shard ends and the next begins.

use std::num::NonZeroU64;
use std::ops::Range;

use manyframe_core::IndexRow;

/// Upper bounds on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLimits {
    /// Maximum number of samples.
    pub max_samples: NonZeroU64,
    /// Maximum estimated size in bytes. A single sample that is larger still gets a shard.
    pub max_bytes: NonZeroU64,
}

/// Cuts rows, in their order, into runs that are within the limits. Together the runs cover every row once.
///
/// The runs are ranges of positions in `ordered`.
pub fn cut_shards<'r>(ordered: impl IntoIterator<Item = &'r IndexRow>, limits: ShardLimits) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut run = 0..0;
    let mut num_bytes = 0;
    for row in ordered {
        let is_full =
            run.len() as u64 >= limits.max_samples.get() || num_bytes + row.estimated_bytes > limits.max_bytes.get();
        if is_full && !run.is_empty() {
            runs.push(run.clone());
            run = run.end..run.end;
            num_bytes = 0;
        }
        run.end += 1;
        num_bytes += row.estimated_bytes;
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
    use crate::reference::row;

    fn limits(max_samples: u64, max_bytes: u64) -> ShardLimits {
        let positive = |n| NonZeroU64::new(n).unwrap();
        ShardLimits { max_samples: positive(max_samples), max_bytes: positive(max_bytes) }
    }

    proptest! {
        #[test]
        fn runs_cover_every_row_once_and_fit(sizes in prop::collection::vec(0u64..50, 0..100), samples in 1u64..20, bytes in 1u64..100) {
            let rows: Vec<IndexRow> = sizes.iter().map(|&size| IndexRow { estimated_bytes: size, ..row("x") }).collect();
            let runs = cut_shards(&rows, limits(samples, bytes));
            prop_assert!(runs.iter().cloned().flatten().eq(0..rows.len()));
            for pair in runs.windows(2) {
                let with_next: u64 = rows[pair[0].start..=pair[0].end].iter().map(|row| row.estimated_bytes).sum();
                prop_assert!(pair[0].len() as u64 == samples || with_next > bytes, "a shard is closed only when it is full");
            }
            for run in runs {
                let total: u64 = rows[run.clone()].iter().map(|row| row.estimated_bytes).sum();
                prop_assert!(run.len() as u64 <= samples && (total <= bytes || run.len() == 1));
            }
        }
    }
}
