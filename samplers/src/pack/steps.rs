//! The order of packs, and with it which packs form a training step over data-parallel ranks.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use super::bins::{BinLoad, Bins, PackInput};
use super::options::PackOptions;

/// The bins of one window in an order that depends on the seed and on how many packs come before it.
pub(super) fn shuffled(num_bins: usize, num_before: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..num_bins as u32).collect();
    order.sort_by_cached_key(|&bin| shuffle_key(seed, num_before as u64 + u64::from(bin)));
    order
}

/// Bins in steps of equal work: neighbours by the work of the vision tower form a step. Steps are shuffled, and ranks within a step.
#[expect(clippy::indexing_slicing, reason = "bins are positions of loads")]
pub(super) fn balanced(loads: &[BinLoad], num_before: usize, options: &PackOptions) -> Vec<u32> {
    let mut by_work: Vec<u32> = (0..loads.len() as u32).collect();
    by_work.sort_unstable_by_key(|&bin| {
        let load = loads[bin as usize];
        (Reverse(load.vision_work), Reverse(load.slots), bin)
    });
    let ranks = options.ranks.get() as usize;
    let key = |number: u64| shuffle_key(options.seed, num_before as u64 + number);
    let mut steps: Vec<(bool, u64, &mut [u32])> = by_work
        .chunks_mut(ranks)
        .enumerate()
        .map(|(step, bins)| (bins.len() < ranks, key(step as u64), bins))
        .collect();
    // An incomplete step stays the last: steps are told apart by counting packs.
    steps.sort_unstable_by_key(|&(is_incomplete, key, _)| (is_incomplete, key));
    let mut order = Vec::with_capacity(loads.len());
    for (_, _, bins) in steps {
        bins.sort_by_cached_key(|&bin| key(u64::from(bin)));
        order.extend_from_slice(bins);
    }
    order
}

/// Removes the emptiest bins, those that do not fill a complete step, and returns their samples, ascending.
#[expect(clippy::indexing_slicing, reason = "bins are positions of loads")]
pub(super) fn split_off_incomplete(bins: &mut Bins, ranks: NonZeroU32) -> Vec<u32> {
    let num_left_over = bins.loads.len() % ranks.get() as usize;
    let mut emptiest: Vec<u32> = (0..bins.loads.len() as u32).collect();
    emptiest.sort_unstable_by_key(|&bin| (bins.loads[bin as usize].slots, bin));
    emptiest.truncate(num_left_over);
    remove_bins(bins, emptiest)
}

/// Distributes the samples of a few bins over more bins, so that the last step is complete. Bins with too few samples for
/// that are left as they are.
#[expect(clippy::indexing_slicing, reason = "bins are positions of loads, and there is a bin for each sample")]
pub(super) fn complete(bins: &mut Bins, input: PackInput<'_>) {
    let ranks = input.options.ranks.get() as usize;
    let num_left_over = bins.loads.len() % ranks;
    if num_left_over == 0 {
        return;
    }
    // Bins with many samples are the easiest to divide evenly.
    let mut richest: Vec<u32> = (0..bins.loads.len() as u32).collect();
    richest.sort_unstable_by_key(|&bin| (Reverse(bins.loads[bin as usize].num_samples), bin));
    richest.truncate(num_left_over);
    let mut is_emptied = vec![false; bins.loads.len()];
    for &bin in &richest {
        is_emptied[bin as usize] = true;
    }
    // Positions of samples, the largest first.
    let mut moved: Vec<usize> =
        (0..bins.samples.len()).filter(|&position| is_emptied[bins.of_sample[position] as usize]).collect();
    moved.sort_unstable_by_key(|&position| {
        let length = input.length(bins.samples[position]);
        (Reverse(input.options.vision_work(length)), Reverse(length.tokens), position)
    });
    let samples: Vec<u32> = moved.iter().map(|&position| bins.samples[position]).collect();
    let Some((bin_of_moved, loads)) = distribute(&samples, ranks, input) else { return };
    // The bins that were emptied come first, then new ones.
    let num_bins = bins.loads.len() as u32;
    let numbers: Vec<u32> = richest.into_iter().chain(num_bins..).take(ranks).collect();
    bins.loads.resize(num_bins as usize + ranks - num_left_over, BinLoad::default());
    for (&number, load) in numbers.iter().zip(loads) {
        bins.loads[number as usize] = load;
    }
    for (position, bin) in moved.into_iter().zip(bin_of_moved) {
        bins.of_sample[position] = numbers[bin];
    }
}

/// Puts each sample into the bin with the least work of the vision tower, then the fewest tokens: the bin of each, and what is in the bins. `None` if
/// that leaves a bin empty, or if a sample fits nowhere.
fn distribute(samples: &[u32], num_bins: usize, input: PackInput<'_>) -> Option<(Vec<usize>, Vec<BinLoad>)> {
    if samples.len() < num_bins {
        return None;
    }
    let mut loads = vec![BinLoad::default(); num_bins];
    let mut of_sample = Vec::with_capacity(samples.len());
    for &sample in samples {
        let length = input.length(sample);
        let fitting =
            loads.iter_mut().enumerate().filter_map(|(bin, load)| Some((load.with(length, input.options)?, bin, load)));
        let (more, bin, load) = fitting.min_by_key(|(more, bin, _)| (more.vision_work, more.slots, *bin))?;
        *load = more;
        of_sample.push(bin);
    }
    let is_complete = loads.iter().all(|load| load.num_samples > 0);
    is_complete.then_some((of_sample, loads))
}

/// Removes bins, renumbers the others, and returns the samples of the removed ones, ascending.
fn remove_bins(bins: &mut Bins, mut removed: Vec<u32>) -> Vec<u32> {
    if removed.is_empty() {
        return Vec::new();
    }
    removed.sort_unstable();
    let mut new_number = Vec::with_capacity(bins.loads.len());
    let mut kept_loads = Vec::with_capacity(bins.loads.len());
    for (bin, load) in bins.loads.iter().enumerate() {
        let is_removed = removed.binary_search(&(bin as u32)).is_ok();
        new_number.push((!is_removed).then_some(kept_loads.len() as u32));
        if !is_removed {
            kept_loads.push(*load);
        }
    }
    let mut kept = Bins { loads: kept_loads, ..Bins::default() };
    let mut samples = Vec::new();
    for (&sample, &bin) in bins.samples.iter().zip(&bins.of_sample) {
        #[expect(clippy::indexing_slicing, reason = "every bin has a new number, or none")]
        if let Some(bin) = new_number[bin as usize] {
            kept.samples.push(sample);
            kept.of_sample.push(bin);
        } else {
            samples.push(sample);
        }
    }
    *bins = kept;
    samples
}

/// A key for a number, as good as random: the finalizer of SplitMix64 (Steele, Lea and Flood 2014), twice.
pub(super) fn shuffle_key(seed: u64, number: u64) -> u64 {
    let finalize = |state: u64| {
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    };
    finalize(finalize(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_add(number))
}
