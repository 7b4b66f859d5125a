//! Packs: the result of packing, as an index over samples.

use super::bins::Bins;

/// Packs over samples, which are numbered by their position in the delivered order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packs {
    /// The samples of all packs, pack after pack, ascending within each.
    pub members: Vec<u32>,
    /// Where packs begin in `members`, and the end of the last one: one more than there are packs.
    pub offsets: Vec<usize>,
    /// Samples that fit into no pack, ascending. They are reported, never truncated.
    pub too_long: Vec<u32>,
}

/// There are more samples than 32-bit numbers can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{num_samples} samples cannot be packed at once, at most {} can", u32::MAX)]
pub struct TooManySamples {
    /// How many there are.
    pub num_samples: usize,
}

impl Packs {
    /// Number of packs.
    pub fn num_packs(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The samples of each pack.
    #[expect(clippy::indexing_slicing, reason = "offsets are ascending positions of members")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> + Clone {
        let bounds = self.offsets.iter().zip(self.offsets.iter().skip(1));
        bounds.map(|(&start, &end)| &self.members[start..end])
    }

    /// Appends the bins of a window in this order, which names each bin once.
    #[expect(clippy::indexing_slicing, reason = "the order and the bins of samples are positions of loads")]
    pub(super) fn push_bins(&mut self, bins: &Bins, order: &[u32]) {
        let mut next_member = vec![usize::MAX; bins.loads.len()];
        let mut end = self.members.len();
        for &bin in order {
            next_member[bin as usize] = end;
            end += bins.loads[bin as usize].num_samples as usize;
            self.offsets.push(end);
        }
        self.members.resize(end, 0);
        for (&sample, &bin) in bins.samples.iter().zip(&bins.of_sample) {
            let member = &mut next_member[bin as usize];
            self.members[*member] = sample;
            *member += 1;
        }
    }
}
