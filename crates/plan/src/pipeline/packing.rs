//! The `[pack]` table: how samples become training sequences.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How samples are put together into training sequences. Packs are an index over samples: other settings rewrite no shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PackTable {
    /// How packs are filled. Default: `none`, which writes no pack index.
    pub strategy: Strategy,
    /// Longest pack, in tokens. Default: `format.max_tokens`.
    pub max_tokens: Option<NonZeroU64>,
    /// Most images of a pack. Default: no limit.
    pub max_images: Option<NonZeroU64>,
    /// Samples that are packed together, in the order of delivery; 0 is all of them. Default: 0.
    pub window: u32,
    /// Data-parallel ranks: one pack for each makes a step. Default: 1.
    pub ranks: NonZeroU32,
    /// Packs are padded to a multiple of this many tokens. Sequence parallelism needs its degree, or twice that. Default: 1.
    pub pad_to_multiple: NonZeroU32,
    /// Reports what another packer would have lost of the same samples. Default: none.
    pub audit: Option<Audit>,
}

impl Default for PackTable {
    fn default() -> Self {
        Self {
            strategy: Strategy::None,
            max_tokens: None,
            max_images: None,
            window: 0,
            ranks: NonZeroU32::MIN,
            pad_to_multiple: NonZeroU32::MIN,
            audit: None,
        }
    }
}

/// Another packer to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// LongLLaVA's released packer: concatenates in order, drops the sample at hand when a pack is full, and text-only packs.
    Concat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy { #[default] None, NextFit, BestFitDecreasing, Balanced }
