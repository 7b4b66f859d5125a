//! Where samples begin and end in a pack, so that attention, position ids and recurrent state can be reset there.

use super::options::{PackBalance, PackOptions, Padding, SampleLength};
use crate::sequence_parallel::RankLayout;

/// The boundaries of the samples of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundaries {
    /// Cumulative tokens: sample k has the positions `cu_seqlens[k] .. cu_seqlens[k + 1]`, including its own padding.
    /// Position ids count from 0 within each sample.
    pub cu_seqlens: Vec<u32>,
    /// Cumulative images: sample k has the images `cu_images[k] .. cu_images[k + 1]` of the pack.
    pub cu_images: Vec<u32>,
    /// Cumulative tokens of images.
    pub cu_visual_tokens: Vec<u64>,
    /// Tokens of the pack, including padding to the multiple: at least the last of `cu_seqlens`.
    pub padded_tokens: u32,
}

/// What each rank of a sequence-parallel group has of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RankBoundaries {
    /// Cumulative images: rank r encodes the images `images[r] .. images[r + 1]`.
    pub images: Vec<u64>,
    /// The first token of each chunk, and one past its last: rank after rank, sample after sample if samples are divided.
    /// Every rank has the same number of chunks.
    pub tokens: Vec<u64>,
}

impl Boundaries {
    /// The boundaries of a pack of these samples.
    ///
    /// # Panics
    /// If a sample is not a position of `lengths`.
    #[expect(clippy::indexing_slicing, reason = "the caller promises that samples are positions of lengths")]
    pub fn of(pack: &[u32], lengths: &[SampleLength], options: &PackOptions) -> Self {
        let (mut tokens, mut images) = (0u32, 0u32);
        let mut visual_tokens = 0u64;
        let mut boundaries =
            Self { cu_seqlens: vec![0], cu_images: vec![0], cu_visual_tokens: vec![0], padded_tokens: 0 };
        for &sample in pack {
            let length = lengths[sample as usize];
            let slot = u32::try_from(options.slot(length.tokens)).unwrap_or(u32::MAX);
            tokens = tokens.saturating_add(slot);
            images = images.saturating_add(length.images);
            visual_tokens += u64::from(length.visual_tokens);
            boundaries.cu_seqlens.push(tokens);
            boundaries.cu_images.push(images);
            boundaries.cu_visual_tokens.push(visual_tokens);
        }
        boundaries.padded_tokens = match options.padding {
            Padding::Packs => tokens.checked_next_multiple_of(options.pad_to_multiple.get()).unwrap_or(u32::MAX),
            Padding::Samples => tokens,
        };
        boundaries
    }

    /// What each rank has. Ranks divide the whole pack, or each sample of it if samples are padded; and its images by their number,
    /// or by their tokens, of which each image of a sample counts as having the same.
    pub fn of_ranks(&self, layout: &RankLayout, options: &PackOptions) -> RankBoundaries {
        let padding = options.padding;
        let num_images = u64::from(self.cu_images.last().copied().unwrap_or(0));
        let first_image = |rank: u64| match options.balance {
            PackBalance::VisionTokens if rank > 0 && self.cu_visual_tokens.last() > Some(&0) => {
                self.first_image_by_tokens(rank, layout.degree())
            }
            PackBalance::VisionTokens | PackBalance::Images => layout.images_of_rank(num_images, rank).start,
        };
        let whole = [0, self.padded_tokens];
        let bounds = if padding == Padding::Samples { self.cu_seqlens.as_slice() } else { &whole };
        let chunks = |rank: u64| {
            bounds.array_windows().flat_map(move |&[start, end]| {
                let chunks = layout.tokens_of_rank(u64::from(end - start), rank);
                chunks.into_iter().flat_map(move |chunk| [chunk.start, chunk.end].map(|at| at + u64::from(start)))
            })
        };
        RankBoundaries {
            images: (0..=layout.degree()).map(first_image).collect(),
            tokens: (0..layout.degree()).flat_map(chunks).collect(),
        }
    }

    /// The image before which `rank` of `degree` parts of all tokens of images are, as nearly as possible.
    fn first_image_by_tokens(&self, rank: u64, degree: u64) -> u64 {
        let total = self.cu_visual_tokens.last().copied().unwrap_or(0);
        let wanted = u128::from(total) * u128::from(rank);
        let samples = self.cu_images.array_windows().zip(self.cu_visual_tokens.array_windows());
        for (&[first, end], &[before, after]) in samples {
            let (before, after) = (u128::from(before) * u128::from(degree), u128::from(after) * u128::from(degree));
            if wanted < after {
                // Images are whole: the nearest boundary counts, and of two the later one.
                let num_images = u128::from(end - first);
                let part = 2 * wanted.saturating_sub(before) * num_images + (after - before);
                return u64::from(first) + u64::try_from(part / (2 * (after - before))).unwrap_or(0);
            }
        }
        u64::from(self.cu_images.last().copied().unwrap_or(0))
    }

    /// The position id of each token of the pack's samples. It restarts with each sample.
    pub fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        self.cu_seqlens.array_windows().flat_map(|&[start, end]| 0..end.saturating_sub(start))
    }
}
