//! Sharding: where one shard ends and the next begins.

use std::num::NonZeroU64;

/// Upper bounds on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLimits {
    /// Maximum number of samples.
    pub max_samples: NonZeroU64,
    /// Maximum estimated size in bytes. A single sample that is larger still gets a shard.
    pub max_bytes: NonZeroU64,
}

/// How full a shard is, while samples are given to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardFill {
    /// Number of samples.
    pub num_samples: u64,
    /// Their estimated size in bytes.
    pub num_bytes: u64,
}

impl ShardFill {
    /// Adds a sample of this size in bytes; false if there is no room for it, so that it is the first of another shard.
    pub fn try_add(&mut self, num_bytes: u64, limits: ShardLimits) -> bool {
        let ShardLimits { max_samples, max_bytes } = limits;
        let added = Self { num_samples: self.num_samples + 1, num_bytes: self.num_bytes.saturating_add(num_bytes) };
        let has_room = added.num_samples <= max_samples.get() && added.num_bytes <= max_bytes.get();
        if has_room || self.num_samples == 0 {
            *self = added;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    fn limits(max_samples: u64, max_bytes: u64) -> ShardLimits {
        let positive = |n| NonZeroU64::new(n).unwrap();
        ShardLimits { max_samples: positive(max_samples), max_bytes: positive(max_bytes) }
    }

    /// The numbers of samples of shards.
    fn cut(sizes: &[u64], limits: ShardLimits) -> Vec<usize> {
        let mut shards = Vec::new();
        let mut fill = ShardFill::default();
        for &size in sizes {
            if !fill.try_add(size, limits) {
                shards.push(fill.num_samples as usize);
                fill = ShardFill::default();
                assert!(fill.try_add(size, limits), "an empty shard takes any sample");
            }
        }
        shards.extend((fill.num_samples > 0).then_some(fill.num_samples as usize));
        shards
    }

    proptest! {
        #[test]
        fn shards_cover_every_row_once_and_fit(sizes in prop::collection::vec(0u64..50, 0..100), samples in 1u64..20, bytes in 1u64..100) {
            let shards = cut(&sizes, limits(samples, bytes));
            prop_assert_eq!(shards.iter().sum::<usize>(), sizes.len());
            let mut rest = sizes.as_slice();
            for shard in shards {
                let (of_shard, after) = rest.split_at(shard);
                let total: u64 = of_shard.iter().sum();
                prop_assert!(shard as u64 <= samples && (total <= bytes || shard == 1));
                if let Some(next) = after.first() {
                    prop_assert!(shard as u64 == samples || total + next > bytes, "a shard is closed only when it is full");
                }
                rest = after;
            }
        }
    }
}
