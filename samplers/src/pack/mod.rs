//! Sequence packing: which samples share a training sequence. A pack is a list of samples; no sample is moved, truncated or
//! changed.
//!
//! ```text
//! lengths, in delivered order ──window by window──▶ bins ──order of bins──▶ Packs { members, offsets }
//! ```
//!
//! **Invariant:** every sample is in exactly one pack or in `too_long`; no pack exceeds the capacity.
//!
//! It deliberately knows only the number of tokens, not the tokens: another length or strategy is another index over
//! the same shards.

mod best_fit;
mod bins;
mod boundaries;
mod epoch;
mod integer_set;
mod options;
mod packs;
mod report;
mod steps;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

pub use boundaries::{Boundaries, RankBoundaries};
pub use epoch::epoch_order;
pub use options::{PackBalance, PackOptions, PackingStrategy, Padding, SampleLength};
pub use packs::{Packs, TooManySamples};
pub use report::PackReport;

use best_fit::{OpenBins, best_fit_decreasing};
use bins::{BinLoad, Bins, PackInput};

/// Packs samples of these lengths, which are in delivered order.
///
/// The packs are a function of the lengths and options. It takes some 30 bytes of memory for each sample.
///
/// # Errors
/// If there are more samples than 32-bit numbers can name.
///
/// ```
/// use std::num::NonZeroU32;
/// use manyframe_samplers::{PackOptions, PackingStrategy, SampleLength, pack};
///
/// let lengths = [60, 50, 40, 30].map(|tokens| SampleLength { tokens, ..SampleLength::default() });
/// let options = PackOptions::new(PackingStrategy::BestFitDecreasing, NonZeroU32::new(100).unwrap());
/// let packs = pack(&lengths, &options)?;
/// let mut packs: Vec<&[u32]> = packs.iter().collect();
/// packs.sort_unstable();
/// assert_eq!(packs, [[0, 2], [1, 3]]);
/// # Ok::<(), manyframe_samplers::TooManySamples>(())
/// ```
pub fn pack(lengths: &[SampleLength], options: &PackOptions) -> Result<Packs, TooManySamples> {
    let num_samples = lengths.len();
    let end = u32::try_from(num_samples).map_err(|_range| TooManySamples { num_samples })?;
    let input = PackInput { lengths, options };
    let fits = |sample: &u32| BinLoad::default().with(input.length(*sample), options).is_some();
    let (samples, too_long): (Vec<u32>, Vec<u32>) = (0..end).partition(fits);
    let mut packs = Packs { members: Vec::with_capacity(samples.len()), offsets: vec![0], too_long };
    match options.strategy {
        PackingStrategy::None | PackingStrategy::NextFit => {
            let bins = next_fit(samples, input);
            let order: Vec<u32> = (0..bins.loads.len() as u32).collect();
            packs.push_bins(&bins, &order);
        }
        PackingStrategy::BestFitDecreasing => {
            let mut open = OpenBins::new(options.usable_tokens());
            for window in windows(&samples, options) {
                let bins = best_fit_decreasing(&mut open, window.to_vec(), input);
                packs.push_bins(&bins, &steps::shuffled(bins.loads.len(), packs.num_packs(), options.seed));
            }
        }
        PackingStrategy::Balanced => pack_balanced(&samples, input, &mut packs),
    }
    Ok(packs)
}

/// Packs window by window. What does not make a complete step is packed again with the next window.
fn pack_balanced(samples: &[u32], input: PackInput<'_>, packs: &mut Packs) {
    let options = input.options;
    let mut open = OpenBins::new(options.usable_tokens());
    let mut carried = Vec::new();
    let mut windows = windows(samples, options).peekable();
    while let Some(window) = windows.next() {
        carried.extend_from_slice(window);
        let mut bins = best_fit_decreasing(&mut open, std::mem::take(&mut carried), input);
        if windows.peek().is_some() {
            carried = steps::split_off_incomplete(&mut bins, options.ranks);
        } else {
            steps::complete(&mut bins, input);
        }
        packs.push_bins(&bins, &steps::balanced(&bins.loads, packs.num_packs(), options));
    }
}

/// Runs of samples that are packed together. A last window that would be short is added to the one before it.
fn windows<'a>(samples: &'a [u32], options: &PackOptions) -> impl Iterator<Item = &'a [u32]> {
    let size = options.window.map_or(samples.len(), NonZeroUsize::get).max(1);
    let num_windows = (samples.len() / size).max(1);
    (1..=num_windows).scan(samples, move |rest, window| {
        let at = if window == num_windows { rest.len() } else { size };
        let (head, tail) = rest.split_at_checked(at)?;
        *rest = tail;
        Some(head)
    })
}

/// Packs samples each of which fits into an empty bin, in their order.
fn next_fit(samples: Vec<u32>, input: PackInput<'_>) -> Bins {
    let options = input.options;
    let mut bins = Bins { of_sample: Vec::with_capacity(samples.len()), ..Bins::default() };
    for &sample in &samples {
        let length = input.length(sample);
        let open = bins.loads.last_mut().filter(|_| options.strategy == PackingStrategy::NextFit);
        match open.and_then(|load| load.with(length, options).map(|more| *load = more)) {
            Some(()) => {}
            None => bins.loads.push(BinLoad::default().with_fitting(length, options)),
        }
        bins.of_sample.push(bins.loads.len() as u32 - 1);
    }
    Bins { samples, ..bins }
}
