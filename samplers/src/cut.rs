//! Where one shard ends and the next begins.

use std::num::NonZeroU64;
use std::ops::Range;

use manyframe_core::IndexRow;

/// Bounds on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// Most samples.
    pub max_samples: NonZeroU64,
    /// Most estimated bytes; a single larger sample still gets a shard.
    pub max_bytes: NonZeroU64,
}

/// Cuts rows, in their order, into runs that fit the limits. Together the runs cover every position once.
pub fn cut(rows: &[IndexRow], ordered: &[usize], limits: CutLimits) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut num_bytes = 0;
    for (at, index) in ordered.iter().enumerate() {
        let row_bytes = rows.get(*index).map_or(0, |row| row.estimated_bytes);
        let is_full = (at - start) as u64 >= limits.max_samples.get() || num_bytes + row_bytes > limits.max_bytes.get();
        if is_full && at > start {
            runs.push(start..at);
            start = at;
            num_bytes = 0;
        }
        num_bytes += row_bytes;
    }
    if start < ordered.len() {
        runs.push(start..ordered.len());
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::tests::row;

    fn limits(max_samples: u64, max_bytes: u64) -> CutLimits {
        let positive = |n| NonZeroU64::new(n).unwrap();
        CutLimits { max_samples: positive(max_samples), max_bytes: positive(max_bytes) }
    }

    proptest! {
        #[test]
        fn runs_cover_every_row_once_and_fit(sizes in prop::collection::vec(0u64..50, 0..100), samples in 1u64..20, bytes in 1u64..100) {
            let rows: Vec<IndexRow> = sizes.iter().map(|&size| IndexRow { estimated_bytes: size, ..row("x") }).collect();
            let ordered: Vec<usize> = (0..rows.len()).collect();
            let runs = cut(&rows, &ordered, limits(samples, bytes));
            prop_assert_eq!(runs.iter().cloned().flatten().collect::<Vec<_>>(), ordered);
            for run in runs {
                let total: u64 = rows[run.clone()].iter().map(|row| row.estimated_bytes).sum();
                prop_assert!(run.len() as u64 <= samples && (total <= bytes || run.len() == 1));
            }
        }
    }
}
