//! What an epoch costs on clusters of several sizes: a count over sequences, without a model of the hardware.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout::RankLayout;
use crate::balance::{Balance, BalanceSum};
use crate::pack::SampleLength;

/// A sequence, which is a pack or a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceLoad {
    /// Tokens.
    pub tokens: u64,
    /// Encoded images.
    pub images: u64,
    /// Tokens that these images take.
    pub visual_tokens: u64,
}

impl From<SampleLength> for SequenceLoad {
    fn from(length: SampleLength) -> Self {
        Self { tokens: length.tokens.into(), images: length.images.into(), visual_tokens: length.visual_tokens.into() }
    }
}

impl SequenceLoad {
    /// The tokens of so many of its images, if they are alike.
    fn tokens_of_images(self, num_images: u64) -> u64 {
        let share = u128::from(self.visual_tokens) * u128::from(num_images);
        u64::try_from(share.div_ceil(u128::from(self.images.max(1)))).unwrap_or(u64::MAX)
    }
}

/// GPUs in data-parallel groups, each of which divides one sequence at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Number of groups, and of sequences in a step.
    pub num_groups: NonZeroU32,
    /// How a group divides a sequence.
    pub layout: RankLayout,
}

/// What an epoch costs on one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterForecast {
    /// GPUs in all.
    pub num_gpus: u64,
    /// The sequence-parallel (SP) degree: GPUs that share a sequence.
    pub degree: u64,
    /// Sequences in a step.
    pub sequences_per_step: u64,
    /// Steps in the epoch, the last of which may be incomplete.
    pub steps_per_epoch: u64,
    /// GPUs without a sequence in the last step.
    pub num_idle_gpus: u64,
    /// Mean tokens per GPU and step, including padding.
    pub tokens_per_gpu: f64,
    /// How evenly tokens are spread over GPUs.
    pub token_balance: Balance,
    /// Mean images per GPU and step.
    pub images_per_gpu: f64,
    /// How evenly images are spread over GPUs. A few images cannot be even over many GPUs, because images are not divided.
    pub image_balance: Balance,
    /// Mean tokens of images per GPU and step.
    pub visual_tokens_per_gpu: f64,
    /// How evenly the tokens of images are spread over GPUs, if those of one sequence are alike.
    pub visual_token_balance: Balance,
    /// Part of all tokens that is padding to the multiple of the layout. From 0 to 1.
    pub padding_share: f64,
    /// Causal attention work of the most loaded GPU of a group over the mean.
    pub attention_imbalance: f64,
}

impl Cluster {
    /// A cluster of this many GPUs, or `None` if the layout's degree does not divide it.
    pub fn of_gpus(num_gpus: u32, layout: RankLayout) -> Option<Self> {
        let num_gpus = u64::from(num_gpus);
        if !num_gpus.is_multiple_of(layout.degree()) {
            return None;
        }
        let num_groups = u32::try_from(num_gpus / layout.degree()).ok().and_then(NonZeroU32::new)?;
        Some(Self { num_groups, layout })
    }
}

/// What an epoch over these sequences, in this order, costs on each cluster.
pub fn forecast(sequences: &[SequenceLoad], clusters: &[Cluster]) -> Vec<ClusterForecast> {
    clusters.iter().map(|cluster| on_cluster(sequences, cluster)).collect()
}

fn on_cluster(sequences: &[SequenceLoad], cluster: &Cluster) -> ClusterForecast {
    let layout = &cluster.layout;
    let (degree, num_groups) = (layout.degree(), u64::from(cluster.num_groups.get()));
    let (mut tokens, mut padded_tokens, mut images, mut visual_tokens) = (0.0, 0.0, 0.0, 0.0);
    // Tokens are even within a group, so a group counts as one rank. The first rank of a group has the most images.
    let mut token_balance = BalanceSum::new(num_groups as usize, 1);
    let mut image_balance = BalanceSum::new(num_groups as usize, degree);
    let mut visual_token_balance = BalanceSum::new(num_groups as usize, degree);
    for sequence in sequences {
        let padded = layout.padded_tokens(sequence.tokens);
        let images_of_first = layout.images_of_rank(sequence.images, 0);
        token_balance.add(padded / degree, padded / degree);
        let num_of_first = images_of_first.end - images_of_first.start;
        image_balance.add(num_of_first, sequence.images);
        visual_token_balance.add(sequence.tokens_of_images(num_of_first), sequence.visual_tokens);
        tokens += sequence.tokens as f64;
        padded_tokens += padded as f64;
        images += sequence.images as f64;
        visual_tokens += sequence.visual_tokens as f64;
    }
    let steps_per_epoch = (sequences.len() as u64).div_ceil(num_groups);
    let num_shares = (steps_per_epoch * num_groups * degree).max(1) as f64;
    ClusterForecast {
        num_gpus: degree * num_groups,
        degree,
        sequences_per_step: num_groups,
        steps_per_epoch,
        num_idle_gpus: (steps_per_epoch * num_groups - sequences.len() as u64) * degree,
        tokens_per_gpu: padded_tokens / num_shares,
        token_balance: token_balance.finish(),
        images_per_gpu: images / num_shares,
        image_balance: image_balance.finish(),
        visual_tokens_per_gpu: visual_tokens / num_shares,
        visual_token_balance: visual_token_balance.finish(),
        padding_share: if padded_tokens > 0.0 { 1.0 - tokens / padded_tokens } else { 0.0 },
        attention_imbalance: layout.attention_imbalance(),
    }
}
