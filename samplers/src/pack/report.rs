//! What packs cost: how full they are, how mixed, and how evenly they load data-parallel ranks.

use manyframe_core::SourceIndex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::boundaries::Boundaries;
use super::options::{PackOptions, SampleLength};
use super::packs::Packs;
use crate::balance::{Balance, BalanceSum, ratio};

/// What packs cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackReport {
    /// Packs.
    pub num_packs: u64,
    /// Samples in packs.
    pub num_samples: u64,
    /// Samples that fit into no pack.
    pub num_too_long: u64,
    /// Tokens of the samples in packs.
    pub num_tokens: u64,
    /// Tokens that pad samples or packs to the multiple.
    pub num_padding_tokens: u64,
    /// Images of the samples in packs.
    pub num_images: u64,
    /// Tokens that these images take.
    pub num_visual_tokens: u64,
    /// Tokens over the capacity of all packs. From 0 to 1.
    pub fill: f64,
    /// Mean number of samples per pack.
    pub samples_per_pack: f64,
    /// Mean number of different sources per pack.
    pub sources_per_pack: f64,
    /// Training steps, each of which has one pack per rank.
    pub num_steps: u64,
    /// Ranks without a pack in the last step.
    pub num_idle_ranks: u64,
    /// How evenly tokens are spread over ranks.
    pub token_balance: Balance,
    /// How evenly images are spread over ranks.
    pub image_balance: Balance,
    /// How evenly the tokens of images are spread over ranks.
    pub visual_token_balance: Balance,
}

impl Packs {
    /// What these packs cost. `lengths` and `sources` have the length and source of each sample, in delivered order.
    ///
    /// # Panics
    /// If a sample is not a position of both.
    #[expect(clippy::indexing_slicing, reason = "the caller promises a length and a source for each sample")]
    pub fn report(&self, lengths: &[SampleLength], sources: &[SourceIndex], options: &PackOptions) -> PackReport {
        let ranks = options.ranks.get() as usize;
        let [mut num_tokens, mut num_padding_tokens, mut num_images, mut num_visual_tokens, mut num_sources] =
            [0u64; 5];
        let [mut token_balance, mut image_balance, mut visual_token_balance] =
            [(); 3].map(|()| BalanceSum::new(ranks, 1));
        let mut of_pack: Vec<SourceIndex> = Vec::new();
        for pack in self.iter() {
            let sum = |part: fn(SampleLength) -> u32| -> u64 {
                pack.iter().map(|&sample| u64::from(part(lengths[sample as usize]))).sum()
            };
            let parts: [fn(SampleLength) -> u32; 3] = [|of| of.tokens, |of| of.images, |of| of.visual_tokens];
            let [tokens, images, visual_tokens] = parts.map(sum);
            let padded = u64::from(Boundaries::of(pack, lengths, options).padded_tokens);
            of_pack.clear();
            of_pack.extend(pack.iter().map(|&sample| sources[sample as usize]));
            of_pack.sort_unstable();
            of_pack.dedup();
            num_sources += of_pack.len() as u64;
            num_tokens += tokens;
            num_images += images;
            num_visual_tokens += visual_tokens;
            num_padding_tokens += padded.saturating_sub(tokens);
            token_balance.add(padded, padded);
            image_balance.add(images, images);
            visual_token_balance.add(visual_tokens, visual_tokens);
        }
        let num_packs = self.num_packs();
        let num_steps = num_packs.div_ceil(ranks);
        let per_pack = |sum: u64| ratio(sum as f64, num_packs as f64);
        PackReport {
            num_packs: num_packs as u64,
            num_samples: self.members.len() as u64,
            num_too_long: self.too_long.len() as u64,
            num_tokens,
            num_padding_tokens,
            num_images,
            num_visual_tokens,
            fill: ratio(num_tokens as f64, num_packs as f64 * f64::from(options.capacity_tokens.get())),
            samples_per_pack: per_pack(self.members.len() as u64),
            sources_per_pack: per_pack(num_sources),
            num_steps: num_steps as u64,
            num_idle_ranks: (num_steps * ranks - num_packs) as u64,
            token_balance: token_balance.finish(),
            image_balance: image_balance.finish(),
            visual_token_balance: visual_token_balance.finish(),
        }
    }
}
