//! What packs cost: how full they are, how mixed, and how evenly they load data-parallel ranks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Boundaries, Length, PackOptions, Packs};

/// How evenly something is spread over the ranks of each step: 1 is even.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The largest share of a rank over the mean, summed over all steps: 1.1 is 10 % more time than needed.
    pub max_over_mean: f64,
    /// The most that a rank has over the mean of its step, in means over all complete steps: 0 is even.
    pub worst_excess: f64,
}

/// What packs cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackReport {
    /// Packs.
    pub num_packs: u64,
    /// Samples in packs.
    pub num_samples: u64,
    /// Samples in no pack.
    pub num_too_long: u64,
    /// Tokens of the samples in packs.
    pub num_tokens: u64,
    /// Tokens that pad samples or packs to the multiple.
    pub num_padding_tokens: u64,
    /// Images of the samples in packs.
    pub num_images: u64,
    /// Tokens over the capacity of all packs, from 0 to 1.
    pub fill: f64,
    /// Mean number of samples in a pack.
    pub samples_per_pack: f64,
    /// Mean number of different sources in a pack.
    pub sources_per_pack: f64,
    /// Steps: one pack for each rank.
    pub num_steps: u64,
    /// Ranks without a pack in the last step.
    pub num_idle_ranks: u64,
    /// Tokens over ranks.
    pub token_balance: Balance,
    /// Images over ranks.
    pub image_balance: Balance,
}

impl Packs {
    /// What these packs cost. `sources` has the source of each sample, in delivered order.
    pub fn report(&self, lengths: &[Length], sources: &[u32], options: &PackOptions) -> PackReport {
        let ranks = options.ranks.get() as usize;
        let (mut num_tokens, mut num_padding_tokens, mut num_images, mut num_sources) = (0u64, 0u64, 0u64, 0u64);
        let (mut token_spread, mut image_spread) = (Spread::new(ranks, 1), Spread::new(ranks, 1));
        let mut of_pack: Vec<u32> = Vec::new();
        for pack in self.iter() {
            let length = |&sample: &u32| lengths.get(sample as usize).copied().unwrap_or_default();
            let tokens: u64 = pack.iter().map(|sample| u64::from(length(sample).tokens)).sum();
            let images: u64 = pack.iter().map(|sample| u64::from(length(sample).images)).sum();
            let padded = u64::from(Boundaries::of(pack, lengths, options).padded_tokens);
            of_pack.clear();
            of_pack.extend(pack.iter().filter_map(|&sample| sources.get(sample as usize)));
            of_pack.sort_unstable();
            of_pack.dedup();
            num_sources += of_pack.len() as u64;
            num_tokens += tokens;
            num_images += images;
            num_padding_tokens += padded.saturating_sub(tokens);
            token_spread.add(padded, padded);
            image_spread.add(images, images);
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
            fill: ratio(num_tokens as f64, num_packs as f64 * f64::from(options.capacity_tokens.get())),
            samples_per_pack: per_pack(self.members.len() as u64),
            sources_per_pack: per_pack(num_sources),
            num_steps: num_steps as u64,
            num_idle_ranks: (num_steps * ranks - num_packs) as u64,
            token_balance: token_spread.finish(),
            image_balance: image_spread.finish(),
        }
    }
}

/// Sums over steps, in which each of several groups of ranks has a load.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    groups: usize,
    ranks_per_group: u64,
    open: Step,
    sum_of_max: f64,
    sum_of_means: f64,
    num_complete: u64,
    worst: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    num_groups: usize,
    sum: u64,
    max: u64,
}

impl Spread {
    pub(crate) fn new(groups: usize, ranks_per_group: u64) -> Self {
        Self {
            groups,
            ranks_per_group,
            open: Step::default(),
            sum_of_max: 0.0,
            sum_of_means: 0.0,
            num_complete: 0,
            worst: 0.0,
        }
    }

    /// The load of the next group: that of its most loaded rank, and that of all its ranks.
    pub(crate) fn add(&mut self, max: u64, sum: u64) {
        self.open.num_groups += 1;
        self.open.sum = self.open.sum.saturating_add(sum);
        self.open.max = self.open.max.max(max);
        if self.open.num_groups == self.groups {
            let excess = self.close_step();
            self.worst = self.worst.max(excess);
            self.num_complete += 1;
        }
    }

    /// An incomplete last step counts with its idle ranks, but not as the worst.
    pub(crate) fn finish(mut self) -> Balance {
        let mean_of_complete = ratio(self.sum_of_means, self.num_complete as f64);
        self.close_step();
        let max_over_mean = if self.sum_of_means > 0.0 { self.sum_of_max / self.sum_of_means } else { 1.0 };
        Balance { max_over_mean, worst_excess: ratio(self.worst, mean_of_complete) }
    }

    /// What the most loaded rank has over the mean.
    fn close_step(&mut self) -> f64 {
        let step = std::mem::take(&mut self.open);
        let mean = step.sum as f64 / (self.groups as f64 * self.ranks_per_group as f64);
        self.sum_of_max += step.max as f64;
        self.sum_of_means += mean;
        step.max as f64 - mean
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
