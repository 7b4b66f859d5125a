//! The `[pack]` table: how samples are packed into training sequences.

use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;

use manyframe_core::text_form;
use manyframe_samplers::sequence_parallel::{RankLayout, Scheme};
use manyframe_samplers::{ConcatOptions, PackBalance, PackOptions, PackingStrategy, Padding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How samples are packed into training sequences. The packs are an index over samples, `pack-DIGEST.parquet`:
/// changing these settings rewrites only the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PackTable {
    /// How packs are filled. Default: `best_fit_decreasing`.
    pub strategy: PackingStrategy,
    /// What `strategy = "balanced"` spreads evenly over `ranks`, besides tokens. Default: `images` for the families `longllava`
    /// and `longvila`, to which every image costs the same, otherwise `vision_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<PackBalance>,
    /// Maximum pack length in tokens, padding included. Default: `format.max_tokens`.
    pub max_tokens: Option<NonZeroU32>,
    /// Maximum number of images in a pack. Default: no limit.
    pub max_images: Option<NonZeroU32>,
    /// How many samples are considered together, in the order of delivery. A curriculum is kept to within a window.
    /// Default: all samples.
    pub window: Option<NonZeroUsize>,
    /// Seed of the order of packs. Default: `seed` of the file.
    pub seed: Option<u64>,
    /// Number of data-parallel ranks. A step has one pack for each rank. Default: 1.
    pub ranks: NonZeroU32,
    /// Lengths are padded to a multiple of this many tokens. Default: as `sequence_parallel` needs, otherwise 1.
    pub pad_to_multiple: Option<NonZeroU32>,
    /// Whether each pack is padded, or each sample in it. Default: `packs`.
    pub padding: Padding,
    /// Sequence parallelism (SP): `ring:8`, `zigzag:8`, or `2d:4x2` (ring × Ulysses). Default: none.
    pub sequence_parallel: Option<SequenceParallel>,
    /// Reports what another packer would have lost of the same samples. Default: no report.
    pub audit: Option<Audit>,
    /// Maximum number of tokens in a pack of the audited packer, as it counts them. The default is the released one.
    #[schemars(extend("default" = ConcatOptions::default().limit_tokens))]
    pub audit_max_tokens: Option<NonZeroU32>,
}

impl Default for PackTable {
    fn default() -> Self {
        Self {
            strategy: PackingStrategy::default(),
            balance: None,
            max_tokens: None,
            max_images: None,
            window: None,
            seed: None,
            ranks: NonZeroU32::MIN,
            pad_to_multiple: None,
            padding: Padding::default(),
            sequence_parallel: None,
            audit: None,
            audit_max_tokens: None,
        }
    }
}

/// Another packer to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// LongLLaVA's released packer: it concatenates samples in order, and drops text-only packs and the sample that overflows a
    /// pack.
    Concat,
}

impl PackTable {
    /// Options of the packer. `max_tokens` and `seed` are those of the file, for what the table leaves open.
    pub(crate) fn options(&self, max_tokens: u64, seed: u64) -> PackOptions {
        let longest = NonZeroU32::new(u32::try_from(max_tokens).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let chunks = self.sequence_parallel.map(SequenceParallel::num_chunks);
        let needed = chunks.and_then(|chunks| NonZeroU32::new(u32::try_from(chunks).ok()?));
        PackOptions {
            strategy: self.strategy,
            balance: self.balance.unwrap_or_default(),
            capacity_tokens: self.max_tokens.unwrap_or(longest),
            max_images: self.max_images,
            pad_to_multiple: self.pad_to_multiple.or(needed).unwrap_or(NonZeroU32::MIN),
            padding: self.padding,
            window: self.window,
            ranks: self.ranks,
            seed: self.seed.unwrap_or(seed),
        }
    }
}

/// How the ranks of a sequence-parallel group share a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceParallel(pub Scheme);

impl SequenceParallel {
    /// Which images and tokens each rank holds.
    pub fn layout(self) -> RankLayout {
        RankLayout::new(self.0)
    }

    /// Number of chunks that a sequence is cut into.
    pub(crate) fn num_chunks(self) -> u64 {
        self.layout().num_chunks()
    }
}

impl FromStr for SequenceParallel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MOST_RANKS: u64 = 4096;
        let wrong = || format!("{text:?} is none of ring:N, zigzag:N and 2d:RINGxULYSSES");
        let (name, numbers) = text.split_once(':').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_digits| wrong());
        let scheme = match name {
            "ring" => Scheme::Ring { degree: number(numbers)? },
            "zigzag" => Scheme::Zigzag { degree: number(numbers)? },
            "2d" => {
                let (ring, ulysses) = numbers.split_once('x').ok_or_else(wrong)?;
                Scheme::TwoD { ring: number(ring)?, ulysses: number(ulysses)? }
            }
            _ => return Err(wrong()),
        };
        let degree = RankLayout::new(scheme).degree();
        if degree > MOST_RANKS {
            Err(format!("{text:?} has {degree} ranks, at most {MOST_RANKS} share a sequence"))
        } else {
            Ok(Self(scheme))
        }
    }
}

impl std::fmt::Display for SequenceParallel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Scheme::Ring { degree } => write!(f, "ring:{degree}"),
            Scheme::Zigzag { degree } => write!(f, "zigzag:{degree}"),
            Scheme::TwoD { ring, ulysses } => write!(f, "2d:{ring}x{ulysses}"),
        }
    }
}

text_form!(SequenceParallel: "^(ring:[0-9]+|zigzag:[0-9]+|2d:[0-9]+x[0-9]+)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_written_as_it_is_read() {
        for text in ["ring:8", "zigzag:256", "2d:4x2"] {
            assert_eq!(text.parse::<SequenceParallel>().map(|scheme| scheme.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["ring", "ring:0", "2d:4", "tree:2", "2d:4096x4096"] {
            assert!(wrong.parse::<SequenceParallel>().is_err(), "{wrong}");
        }
    }
}
