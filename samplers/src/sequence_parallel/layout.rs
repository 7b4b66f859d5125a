//! Which rank of a sequence-parallel group encodes which images and holds which tokens.

use std::num::NonZeroU32;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the tokens of a sequence are divided over the ranks of a sequence-parallel group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// One contiguous chunk per rank. Under causal attention, the last rank has almost twice the mean work.
    Ring {
        /// Ranks.
        degree: NonZeroU32,
    },
    /// Two chunks per rank, one from either end, so that all ranks have the same causal work.
    Zigzag {
        /// Ranks.
        degree: NonZeroU32,
    },
    /// Ulysses (heads exchanged within a group) times zigzag ring (keys and values passed between groups). Each Ulysses
    /// rank has a contiguous block of the sequence, which its ring ranks divide as in [`Self::Zigzag`].
    TwoD {
        /// Ranks of a ring.
        ring: NonZeroU32,
        /// Ranks of a Ulysses group; the model's number of heads must be a multiple of it.
        ulysses: NonZeroU32,
    },
}

/// Which images and tokens each rank of a sequence-parallel group has.
///
/// Ranks are numbered with the Ulysses rank changing fastest: `rank = ring_rank · ulysses + ulysses_rank`. So the ranks
/// of a Ulysses group, which exchange most, are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankLayout {
    scheme: Scheme,
    ring: u64,
    ulysses: u64,
}

impl RankLayout {
    /// The layout of a scheme.
    pub fn new(scheme: Scheme) -> Self {
        let (ring, ulysses) = match scheme {
            Scheme::Ring { degree } | Scheme::Zigzag { degree } => (degree, NonZeroU32::MIN),
            Scheme::TwoD { ring, ulysses } => (ring, ulysses),
        };
        Self { scheme, ring: u64::from(ring.get()), ulysses: u64::from(ulysses.get()) }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The sequence-parallel (SP) degree: the ranks of a group, among which a sequence is divided.
    pub fn degree(&self) -> u64 {
        self.ring * self.ulysses
    }

    /// Chunks into which a sequence is cut. Sequences are padded to a multiple of it.
    pub fn num_chunks(&self) -> u64 {
        match self.scheme {
            Scheme::Ring { .. } => self.degree(),
            Scheme::Zigzag { .. } | Scheme::TwoD { .. } => self.degree().saturating_mul(2),
        }
    }

    /// Tokens of a sequence with the padding that the layout needs.
    pub fn padded_tokens(&self, num_tokens: u64) -> u64 {
        num_tokens.checked_next_multiple_of(self.num_chunks()).unwrap_or(u64::MAX)
    }

    /// The chunks of a rank, ascending. A rank outside the group has none.
    ///
    /// On a mesh, block u of 2·ring chunks belongs to Ulysses rank u, and ring rank r has the r-th chunk from either end of
    /// that block: `offset + r` and `offset + 2·ring − 1 − r`, where `offset = u · 2 · ring`.
    pub fn chunks_of_rank(&self, rank: u64) -> Vec<u64> {
        if rank >= self.degree() {
            return Vec::new();
        }
        if let Scheme::Ring { .. } = self.scheme {
            return vec![rank];
        }
        let (ring_rank, ulysses_rank) = (rank / self.ulysses, rank % self.ulysses);
        let offset = ulysses_rank.saturating_mul(2 * self.ring);
        vec![offset.saturating_add(ring_rank), offset.saturating_add(2 * self.ring - 1 - ring_rank)]
    }

    /// The tokens of a rank in a sequence of this length, ascending: positions in the padded sequence.
    pub fn tokens_of_rank(&self, num_tokens: u64, rank: u64) -> Vec<Range<u64>> {
        let size = self.padded_tokens(num_tokens) / self.num_chunks();
        self.chunks_of_rank(rank).into_iter().map(|chunk| chunk * size..(chunk + 1) * size).collect()
    }

    /// The images that a rank encodes: a contiguous run. Runs differ by at most one image, and the longer ones come first.
    /// With fewer images than ranks, the last ranks have none, and no image is invented for them.
    pub fn images_of_rank(&self, num_images: u64, rank: u64) -> Range<u64> {
        let (each, more) = (num_images / self.degree(), num_images % self.degree());
        let start = |rank: u64| {
            let rank = rank.min(self.degree());
            rank * each + rank.min(more)
        };
        start(rank)..start(rank.saturating_add(1))
    }

    /// Pairs of query and key that a rank computes under causal attention over a padded sequence, each weighted by the
    /// part of the heads that the rank has: a Ulysses group has the queries of all its ranks, and each rank 1/ulysses
    /// of the heads.
    pub fn attention_pairs(&self, num_tokens: u64, rank: u64) -> f64 {
        let first_of_group = rank - rank % self.ulysses;
        let group = first_of_group..first_of_group.saturating_add(self.ulysses);
        let ranges = group.flat_map(|member| self.tokens_of_rank(num_tokens, member));
        // The query at position p sees p + 1 keys.
        let pairs = |range: Range<u64>| (range.end - range.start) as f64 * (range.start + range.end + 1) as f64 / 2.0;
        ranges.map(pairs).sum::<f64>() / self.ulysses as f64
    }

    /// Causal attention work of the most loaded rank over the mean, for long sequences. 1 is even.
    ///
    /// Of n contiguous chunks, the last one has 2n − 1 of n² parts of the work. All pairs of chunks from either end
    /// have the same.
    pub fn attention_imbalance(&self) -> f64 {
        match self.scheme {
            Scheme::Ring { .. } => (2 * self.degree() - 1) as f64 / self.degree() as f64,
            Scheme::Zigzag { .. } | Scheme::TwoD { .. } => 1.0,
        }
    }
}
