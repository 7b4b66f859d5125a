//! What a packer needs to know: the length of each sample, and the limits of a pack.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The room that a sample takes in a training sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleLength {
    /// Tokens, including visual ones.
    pub tokens: u32,
    /// Encoded images.
    pub images: u32,
    /// Tokens that images take, where they do not all take the same.
    pub visual_tokens: u32,
}

/// How samples are packed into training sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackingStrategy {
    /// Every sample is a pack by itself.
    None,
    /// In delivered order. A sample that does not fit closes the pack and opens the next.
    NextFit,
    /// The longest samples first, each into the fullest pack that has room for it.
    #[default]
    BestFitDecreasing,
    /// As best-fit decreasing. Then packs with similar numbers of images, or of the tokens of images, form a step, so that
    /// data-parallel ranks, which have similar numbers of tokens, have similar work for the vision tower too. Every step is
    /// complete if there are enough samples. The packs of a step are alike in images, and therefore often in their sources;
    /// steps are shuffled.
    Balanced,
}

/// What [`PackingStrategy::Balanced`] spreads evenly over ranks, besides tokens: the work of the vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackBalance {
    /// The number of images.
    #[default]
    Images,
    /// The tokens that images take, where a large image takes more than a small one.
    VisionTokens,
}

/// What is padded to a multiple of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// The end of each pack.
    #[default]
    Packs,
    /// The end of each sample in a pack, for sequence-parallel attention that divides every sample over its ranks.
    Samples,
}

/// How to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackOptions {
    /// How samples are packed.
    pub strategy: PackingStrategy,
    /// What is balanced, if the strategy balances.
    pub balance: PackBalance,
    /// Maximum number of tokens in a pack, including padding.
    pub capacity_tokens: NonZeroU32,
    /// Maximum number of images in a pack. Default: no limit.
    pub max_images: Option<NonZeroU32>,
    /// Lengths are padded to a multiple of this many tokens. Default: 1, which pads nothing.
    pub pad_to_multiple: NonZeroU32,
    /// What is padded.
    pub padding: Padding,
    /// How many samples, in delivered order, are packed together: a curriculum survives packing to within a window.
    /// Default: all samples. The last window is up to twice as long. [`PackingStrategy::None`] and
    /// [`PackingStrategy::NextFit`] look at one sample at a time.
    pub window: Option<NonZeroUsize>,
    /// Data-parallel ranks: packs i·ranks .. (i+1)·ranks form step i. Default: 1.
    pub ranks: NonZeroU32,
    /// Seed of the order of packs in a window, which best fit would leave sorted by length.
    pub seed: u64,
}

impl PackOptions {
    /// Packs of at most this many tokens. Everything else has its default.
    pub fn new(strategy: PackingStrategy, capacity_tokens: NonZeroU32) -> Self {
        Self {
            strategy,
            balance: PackBalance::default(),
            capacity_tokens,
            max_images: None,
            pad_to_multiple: NonZeroU32::MIN,
            padding: Padding::default(),
            window: None,
            ranks: NonZeroU32::MIN,
            seed: 0,
        }
    }

    /// Maximum number of tokens that packs hold: the capacity, without a remainder that padding to a multiple can never
    /// use.
    pub fn usable_tokens(&self) -> u32 {
        self.capacity_tokens.get() - self.capacity_tokens.get() % self.pad_to_multiple
    }

    /// The work of the vision tower for a sample.
    pub(super) fn vision_work(&self, length: SampleLength) -> u32 {
        match self.balance {
            PackBalance::Images => length.images,
            PackBalance::VisionTokens => length.visual_tokens,
        }
    }

    /// Tokens that a sample takes in a pack: its own, and its padding if samples are padded.
    pub(super) fn slot(&self, tokens: u32) -> u64 {
        match self.padding {
            Padding::Packs => u64::from(tokens),
            Padding::Samples => u64::from(tokens).next_multiple_of(u64::from(self.pad_to_multiple.get())),
        }
    }

    /// Whether one pack can hold this much.
    pub(super) fn fits(&self, slots: u64, images: u64) -> bool {
        slots <= u64::from(self.usable_tokens()) && self.max_images.is_none_or(|max| images <= u64::from(max.get()))
    }
}
