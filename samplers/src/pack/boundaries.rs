//! Where samples begin and end in a pack, so that attention, position ids and the state of a recurrent model restart.

use super::{Length, PackOptions, Padding};
use crate::parallel::Layout;

/// The boundaries of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundaries {
    /// Cumulative tokens: sample k takes positions `cu_seqlens[k] .. cu_seqlens[k + 1]`, its own padding included.
    /// Position ids count from 0 within each.
    pub cu_seqlens: Vec<u32>,
    /// Cumulative images: sample k has images `cu_images[k] .. cu_images[k + 1]` of the pack.
    pub cu_images: Vec<u32>,
    /// Tokens of the pack, padding to the multiple included: at least the last of `cu_seqlens`.
    pub padded_tokens: u32,
}

/// What each rank of a sequence-parallel group has of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfRanks {
    /// Images before each rank, and of all: rank r encodes `images[r] .. images[r + 1]`.
    pub images: Vec<u64>,
    /// First token, and one past the last, of each chunk: rank after rank, sample after sample if samples are divided. Every rank
    /// has as many chunks.
    pub tokens: Vec<u64>,
}

impl Boundaries {
    /// The boundaries of a pack of these samples. Samples that `lengths` does not have take no room.
    pub fn of(pack: &[u32], lengths: &[Length], options: &PackOptions) -> Self {
        let (mut tokens, mut images) = (0u32, 0u32);
        let mut boundaries = Self { cu_seqlens: vec![0], cu_images: vec![0], padded_tokens: 0 };
        for &sample in pack {
            let length = lengths.get(sample as usize).copied().unwrap_or_default();
            let slot = u32::try_from(options.slot(length.tokens)).unwrap_or(u32::MAX);
            tokens = tokens.saturating_add(slot);
            images = images.saturating_add(length.images);
            boundaries.cu_seqlens.push(tokens);
            boundaries.cu_images.push(images);
        }
        boundaries.padded_tokens = match options.padding {
            Padding::Packs => tokens.checked_next_multiple_of(options.pad_to_multiple.get()).unwrap_or(u32::MAX),
            Padding::Samples => tokens,
        };
        boundaries
    }

    /// What each rank has. Ranks divide the whole pack, or each sample of it if samples are padded.
    pub fn of_ranks(&self, layout: &Layout, padding: Padding) -> OfRanks {
        let num_images = u64::from(self.cu_images.last().copied().unwrap_or(0));
        let whole = [0, self.padded_tokens];
        let bounds = if padding == Padding::Samples { self.cu_seqlens.as_slice() } else { &whole };
        let sequences = || bounds.windows(2).filter_map(|pair| pair.first().copied().zip(pair.last().copied()));
        let chunks = |rank: u64| {
            sequences().flat_map(move |(start, end)| {
                let chunks = layout.tokens_of_rank(u64::from(end - start), rank);
                chunks.into_iter().flat_map(move |chunk| [chunk.start, chunk.end].map(|at| at + u64::from(start)))
            })
        };
        OfRanks {
            images: (0..=layout.degree()).map(|rank| layout.images_of_rank(num_images, rank).start).collect(),
            tokens: (0..layout.degree()).flat_map(chunks).collect(),
        }
    }

    /// The position id of each token of the pack's samples: it restarts with each sample.
    pub fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        self.cu_seqlens.windows(2).flat_map(|bounds| match *bounds {
            [start, end] => 0..end.saturating_sub(start),
            _ => 0..0,
        })
    }
}
