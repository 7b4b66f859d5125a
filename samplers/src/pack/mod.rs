//! Packing: which samples share a training sequence. A pack is a list of samples; no sample is moved, cut or changed.
//!
//! ```text
//! lengths, in delivered order ──window by window──▶ bins ──order of bins──▶ Packs { members, offsets }
//! ```
//!
//! **Invariant:** every sample is in one pack, or in `too_long`; no pack passes the capacity.
//!
//! It deliberately does not know tokens, only how many there are: another length or strategy is another index over the
//! same shards.

mod best_fit;
mod boundaries;
mod levels;
mod report;
mod steps;
#[cfg(test)]
mod tests;

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use best_fit::{OpenBins, best_fit_decreasing};
pub use boundaries::{Boundaries, OfRanks};
pub(crate) use report::Spread;
pub use report::{Balance, PackReport};

/// What a sample takes of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Length {
    /// Tokens, visual ones included.
    pub tokens: u32,
    /// Encoded images: the work of the vision tower.
    pub images: u32,
}

/// How samples are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Every sample is a pack of its own.
    None,
    /// In delivered order; a sample that does not fit closes the pack and opens the next.
    NextFit,
    /// The longest samples first, each into the fullest pack that has room for it.
    #[default]
    BestFitDecreasing,
    /// As best-fit decreasing; then packs with about as many images form a step, so that data-parallel ranks, which have
    /// as many tokens, have as many images too. Every step is complete, if there are samples enough. The packs of a step
    /// are alike in images, and therefore often in their sources; steps follow in shuffled order.
    Balanced,
}

/// What is padded to a multiple of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// The end of each pack.
    #[default]
    Packs,
    /// The end of each sample in a pack: sequence-parallel attention that divides every sample over its ranks asks for it.
    Samples,
}

/// How to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackOptions {
    /// How samples are put together.
    pub strategy: Strategy,
    /// Most tokens in a pack, padding included.
    pub capacity_tokens: NonZeroU32,
    /// Most images in a pack. Default: no limit.
    pub max_images: Option<NonZeroU32>,
    /// Lengths are padded to a multiple of this many tokens. Default: 1, which pads nothing.
    pub pad_to_multiple: NonZeroU32,
    /// What is padded.
    pub padding: Padding,
    /// How many samples, in delivered order, are considered together: a curriculum survives packing to within a window.
    /// Without one, all of them. The last window is up to twice as long. [`Strategy::None`] and [`Strategy::NextFit`]
    /// look at one sample at a time.
    pub window: Option<NonZeroUsize>,
    /// Data-parallel ranks: packs i·ranks .. (i+1)·ranks form step i. Default: 1.
    pub ranks: NonZeroU32,
    /// Decides the order of packs in a window, which best fit would leave sorted by length.
    pub seed: u64,
}

/// Packs over samples, which are numbered by their place in the delivered order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packs {
    /// The samples of all packs, pack after pack, ascending in each.
    pub members: Vec<u32>,
    /// Where packs begin in `members`, and the end of the last: one more than there are packs.
    pub offsets: Vec<usize>,
    /// Samples that fit into no pack, ascending. They are reported and never cut.
    pub too_long: Vec<u32>,
}

/// More samples than an index of 32-bit numbers can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{num_samples} samples cannot be packed at once, at most {} can", u32::MAX)]
pub struct TooManySamples {
    /// How many there are.
    pub num_samples: usize,
}

impl PackOptions {
    /// Packs of this many tokens at most, all else by default.
    pub fn new(strategy: Strategy, capacity_tokens: NonZeroU32) -> Self {
        Self {
            strategy,
            capacity_tokens,
            max_images: None,
            pad_to_multiple: NonZeroU32::MIN,
            padding: Padding::default(),
            window: None,
            ranks: NonZeroU32::MIN,
            seed: 0,
        }
    }

    /// Most tokens that packs hold: the capacity, without what padding to a multiple could never use.
    pub fn usable_tokens(&self) -> u32 {
        self.capacity_tokens.get() - self.capacity_tokens.get() % self.pad_to_multiple
    }

    /// Tokens that a sample takes in a pack: its own, and its padding if samples are padded.
    fn slot(&self, tokens: u32) -> u64 {
        match self.padding {
            Padding::Packs => u64::from(tokens),
            Padding::Samples => u64::from(tokens).next_multiple_of(u64::from(self.pad_to_multiple.get())),
        }
    }

    fn fits(&self, slot: u64, images: u64) -> bool {
        slot <= u64::from(self.usable_tokens()) && self.max_images.is_none_or(|max| images <= u64::from(max.get()))
    }
}

impl Packs {
    /// Number of packs.
    pub fn num_packs(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The samples of each pack.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> + Clone {
        self.offsets.windows(2).map(|bounds| match *bounds {
            [start, end] => self.members.get(start..end).unwrap_or_default(),
            _ => &[],
        })
    }

    /// Appends bins, in this order.
    fn push_bins(&mut self, bins: &Bins, order: &[u32]) {
        let mut next_place = vec![usize::MAX; bins.loads.len()];
        let mut end = self.members.len();
        for &bin in order {
            if let (Some(place), Some(load)) = (next_place.get_mut(bin as usize), bins.loads.get(bin as usize)) {
                *place = end;
                end += load.num_samples as usize;
                self.offsets.push(end);
            }
        }
        self.members.resize(end, 0);
        for (&sample, &bin) in bins.samples.iter().zip(&bins.of_sample) {
            let Some(place) = next_place.get_mut(bin as usize) else { continue };
            if let Some(member) = self.members.get_mut(*place) {
                *member = sample;
                *place += 1;
            }
        }
    }
}

/// The bins of one window.
#[derive(Debug, Clone, Default)]
struct Bins {
    /// Samples, ascending.
    samples: Vec<u32>,
    /// The bin of each.
    of_sample: Vec<u32>,
    loads: Vec<Load>,
}

/// What is in a bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    slots: u32,
    images: u64,
    num_samples: u32,
}

impl Load {
    /// The load with one more sample, if that fits.
    fn with(self, length: Length, options: &PackOptions) -> Option<Self> {
        let slots = u64::from(self.slots) + options.slot(length.tokens);
        let images = self.images + u64::from(length.images);
        let num_samples = self.num_samples + 1;
        options.fits(slots, images).then_some(Self { slots: slots as u32, images, num_samples })
    }
}

/// Packs samples of these lengths, given in delivered order.
///
/// The packs are a function of the lengths and options. Memory is some 30 bytes for each length.
pub fn pack(lengths: &[Length], options: &PackOptions) -> Result<Packs, TooManySamples> {
    let num_samples = lengths.len();
    let end = u32::try_from(num_samples).map_err(|_range| TooManySamples { num_samples })?;
    let fits = |length: &Length| Load::default().with(*length, options).is_some();
    let at = |sample: u32| lengths.get(sample as usize).copied().unwrap_or_default();
    let (samples, too_long): (Vec<u32>, Vec<u32>) = (0..end).partition(|&sample| fits(&at(sample)));
    let mut packs = Packs { members: Vec::with_capacity(samples.len()), offsets: vec![0], too_long };
    match options.strategy {
        Strategy::None | Strategy::NextFit => {
            let bins = next_fit(samples, at, options);
            let order: Vec<u32> = (0..bins.loads.len() as u32).collect();
            packs.push_bins(&bins, &order);
        }
        Strategy::BestFitDecreasing => {
            let mut open = OpenBins::new(options.usable_tokens());
            for window in windows(&samples, options) {
                let bins = best_fit_decreasing(&mut open, window.to_vec(), at, options);
                packs.push_bins(&bins, &steps::shuffled(bins.loads.len(), packs.num_packs(), options.seed));
            }
        }
        Strategy::Balanced => {
            let mut open = OpenBins::new(options.usable_tokens());
            let mut carried = Vec::new();
            let mut windows = windows(&samples, options).peekable();
            while let Some(window) = windows.next() {
                carried.extend_from_slice(window);
                let mut bins = best_fit_decreasing(&mut open, std::mem::take(&mut carried), at, options);
                if windows.peek().is_some() {
                    carried = steps::split_off_incomplete(&mut bins, options.ranks);
                } else {
                    steps::complete(&mut bins, at, options);
                }
                packs.push_bins(&bins, &steps::balanced(&bins.loads, packs.num_packs(), options));
            }
        }
    }
    Ok(packs)
}

/// Runs of samples that are packed together. What would be a last, short window belongs to the one before it.
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

fn next_fit(samples: Vec<u32>, at: impl Fn(u32) -> Length, options: &PackOptions) -> Bins {
    let mut bins = Bins { of_sample: Vec::with_capacity(samples.len()), ..Bins::default() };
    for &sample in &samples {
        let open = bins.loads.last_mut().filter(|_| options.strategy == Strategy::NextFit);
        match open.and_then(|load| load.with(at(sample), options).map(|more| *load = more)) {
            Some(()) => {}
            None => bins.loads.push(Load::default().with(at(sample), options).unwrap_or_default()),
        }
        bins.of_sample.push(bins.loads.len().saturating_sub(1) as u32);
    }
    Bins { samples, ..bins }
}
