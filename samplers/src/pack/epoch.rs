//! The order in which an epoch of training goes through packs.

use std::num::NonZeroU32;

use super::steps::shuffle_key;

/// The packs of an epoch in order: a function of the seed and the epoch.
///
/// Steps are shuffled, and each stays whole, so that the packs that train together are those that were balanced. An incomplete
/// step stays the last, so that no other is torn apart.
///
/// ```
/// use std::num::NonZeroU32;
/// use manyframe_samplers::epoch_order;
///
/// let order = epoch_order(5, NonZeroU32::new(2).unwrap(), 7, 0);
/// let mut steps: Vec<&[u32]> = order.chunks(2).collect();
/// assert_eq!(steps.pop(), Some(&[4][..]));
/// steps.sort_unstable();
/// assert_eq!(steps, [[0, 1], [2, 3]]);
/// ```
pub fn epoch_order(num_packs: u32, ranks: NonZeroU32, seed: u64, epoch: u64) -> Vec<u32> {
    let ranks = ranks.get();
    let num_complete = num_packs / ranks;
    let seed = shuffle_key(seed, epoch);
    let mut steps: Vec<u32> = (0..num_complete).collect();
    steps.sort_by_cached_key(|&step| (shuffle_key(seed, u64::from(step)), step));
    let complete = steps.into_iter().flat_map(|step| step * ranks..(step + 1) * ranks);
    complete.chain(num_complete * ranks..num_packs).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_epoch_has_each_pack_once_and_keeps_steps(num_packs in 0_u32..300, ranks in 1_u32..9, seed: u64, epoch: u64) {
            let order = epoch_order(num_packs, NonZeroU32::new(ranks).unwrap(), seed, epoch);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..num_packs).collect::<Vec<_>>());
            for (position, &pack) in (0..).zip(&order) {
                prop_assert_eq!(position % ranks, pack % ranks);
            }
        }
    }

    #[test]
    fn epochs_and_seeds_differ_and_nothing_else_does() {
        let order = |seed, epoch| epoch_order(100, NonZeroU32::MIN, seed, epoch);
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
        assert_eq!(order(1, 2)[..8], [12, 20, 9, 69, 73, 56, 71, 37], "training runs resume with later versions");
    }
}
