//! The order of packs, and with it which packs form a training step over data-parallel ranks.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use super::{Bins, Length, Load, PackOptions};

/// The bins of one window in an order that depends on the seed and on how many packs there are before it.
pub(super) fn shuffled(num_bins: usize, num_before: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..num_bins as u32).collect();
    order.sort_by_cached_key(|&bin| place_of(seed, num_before as u64 + u64::from(bin)));
    order
}

/// Bins in steps of equal work: neighbours by number of images form a step; steps are shuffled, and ranks within a step.
pub(super) fn balanced(loads: &[Load], num_before: usize, options: &PackOptions) -> Vec<u32> {
    let mut by_images: Vec<u32> = (0..loads.len() as u32).collect();
    by_images.sort_unstable_by_key(|&bin| {
        let load = loads.get(bin as usize).copied().unwrap_or_default();
        (Reverse(load.images), Reverse(load.slots), bin)
    });
    let ranks = options.ranks.get() as usize;
    let key = |number: u64| place_of(options.seed, num_before as u64 + number);
    let mut steps: Vec<(bool, u64, &mut [u32])> = by_images
        .chunks_mut(ranks)
        .enumerate()
        .map(|(step, bins)| (bins.len() < ranks, key(step as u64), bins))
        .collect();
    // The incomplete step, if there is one, stays the last: steps are counted off by their size.
    steps.sort_unstable_by_key(|&(is_incomplete, place, _)| (is_incomplete, place));
    let mut order = Vec::with_capacity(loads.len());
    for (_, _, bins) in steps {
        bins.sort_by_cached_key(|&bin| key(u64::from(bin)));
        order.extend_from_slice(bins);
    }
    order
}

/// Takes the emptiest bins out, as many as do not make a step, and returns their samples, ascending.
pub(super) fn split_off_incomplete(bins: &mut Bins, ranks: NonZeroU32) -> Vec<u32> {
    let num_left_over = bins.loads.len() % ranks.get() as usize;
    let mut emptiest: Vec<u32> = (0..bins.loads.len() as u32).collect();
    emptiest.sort_unstable_by_key(|&bin| (bins.loads.get(bin as usize).map(|load| load.slots), bin));
    emptiest.truncate(num_left_over);
    take_out(bins, emptiest)
}

/// Spreads the samples of a few bins over more bins, so that the last step is complete. Too few samples are left as they are.
pub(super) fn complete(bins: &mut Bins, at: impl Fn(u32) -> Length, options: &PackOptions) {
    let ranks = options.ranks.get() as usize;
    let num_left_over = bins.loads.len() % ranks;
    if num_left_over == 0 {
        return;
    }
    // Bins with many samples are the easiest to divide evenly.
    let mut richest: Vec<u32> = (0..bins.loads.len() as u32).collect();
    richest.sort_unstable_by_key(|&bin| (Reverse(bins.loads.get(bin as usize).map(|load| load.num_samples)), bin));
    richest.truncate(num_left_over);
    let mut is_emptied = vec![false; bins.loads.len()];
    for &bin in &richest {
        if let Some(is_emptied) = is_emptied.get_mut(bin as usize) {
            *is_emptied = true;
        }
    }
    let of_emptied = |(_, bin): &(usize, &u32)| is_emptied.get(**bin as usize).copied().unwrap_or_default();
    let mut places: Vec<usize> = bins.of_sample.iter().enumerate().filter(of_emptied).map(|(place, _)| place).collect();
    places.sort_unstable_by_key(|&place| {
        let length = bins.samples.get(place).map(|&sample| at(sample)).unwrap_or_default();
        (Reverse(length.images), Reverse(length.tokens), place)
    });
    let samples: Vec<u32> = places.iter().filter_map(|&place| bins.samples.get(place).copied()).collect();
    let Some((spread, loads)) = spread_over(&samples, ranks, at, options) else { return };
    // The bins that were emptied come first, then new ones.
    let num_bins = bins.loads.len() as u32;
    let numbers: Vec<u32> = richest.into_iter().chain(num_bins..).take(ranks).collect();
    bins.loads.resize(num_bins as usize + ranks - num_left_over, Load::default());
    for (&number, load) in numbers.iter().zip(loads) {
        if let Some(known) = bins.loads.get_mut(number as usize) {
            *known = load;
        }
    }
    for (place, bin) in places.into_iter().zip(spread) {
        if let (Some(known), Some(&number)) = (bins.of_sample.get_mut(place), numbers.get(bin)) {
            *known = number;
        }
    }
}

/// Puts each sample into the bin with the fewest images, then tokens: the bin of each, and what is in the bins. None if
/// that leaves a bin empty or does not fit.
fn spread_over(
    samples: &[u32],
    num_bins: usize,
    at: impl Fn(u32) -> Length,
    options: &PackOptions,
) -> Option<(Vec<usize>, Vec<Load>)> {
    if samples.len() < num_bins {
        return None;
    }
    let mut loads = vec![Load::default(); num_bins];
    let mut of_sample = Vec::with_capacity(samples.len());
    for &sample in samples {
        let length = at(sample);
        let with = |(bin, load): (usize, &Load)| Some((bin, load.with(length, options)?));
        let (bin, load) =
            loads.iter().enumerate().filter_map(with).min_by_key(|(bin, load)| (load.images, load.slots, *bin))?;
        of_sample.push(bin);
        if let Some(known) = loads.get_mut(bin) {
            *known = load;
        }
    }
    let is_complete = loads.iter().all(|load| load.num_samples > 0);
    is_complete.then_some((of_sample, loads))
}

/// Removes bins, renumbers the others, and returns the samples of the removed ones, ascending.
fn take_out(bins: &mut Bins, mut removed: Vec<u32>) -> Vec<u32> {
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
    let mut out = Vec::new();
    for (&sample, &bin) in bins.samples.iter().zip(&bins.of_sample) {
        if let Some(bin) = new_number.get(bin as usize).copied().flatten() {
            kept.samples.push(sample);
            kept.of_sample.push(bin);
        } else {
            out.push(sample);
        }
    }
    *bins = kept;
    out
}

/// A place for a number, as good as random: the finalizer of SplitMix64 (Steele, Lea and Flood 2014), twice.
fn place_of(seed: u64, number: u64) -> u64 {
    let finalize = |state: u64| {
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    };
    finalize(finalize(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_add(number))
}
