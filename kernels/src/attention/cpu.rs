//! Attention on the CPU: blocks of queries in parallel; in each, tiles of 4 queries × 16 keys or values in registers.

#![expect(
    clippy::indexing_slicing,
    reason = "positions follow from shapes that `attention` has checked, and from the sizes of the buffers here"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::inputs::{HeadSizes, QueryBlock};
use crate::math::exp;
use crate::window::TokenWindow;

/// Queries of a block.
const QUERIES: usize = 32;
/// Keys of a block: their scores, and the keys themselves at the usual widths, fit into the fast caches.
const KEYS: usize = 64;
/// Values that are computed side by side.
const LANES: usize = 16;
/// Queries that share each load of keys and values.
const ROWS: usize = 4;

/// The values of [`AttentionInputs`](super::AttentionInputs), with the same shapes.
pub(super) struct AttentionValues<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) sizes: HeadSizes,
}

impl AttentionValues<'_> {
    /// The outputs, in the shape of the queries.
    pub(super) fn attend(&self, window: &TokenWindow) -> Vec<f32> {
        let row_len = self.sizes.num_heads * self.sizes.width;
        let mut outputs = vec![0.0; self.q.len()];
        let mut tasks = Vec::new();
        let mut rest = outputs.as_mut_slice();
        for block in QueryBlock::all(window, QUERIES) {
            let (outputs, after) = std::mem::take(&mut rest).split_at_mut(block.num_queries * row_len);
            rest = after;
            tasks.push(BlockTask { inputs: self, block, outputs });
        }
        // Late blocks see more keys: starting with them balances the load better.
        tasks.into_par_iter().rev().with_max_len(1).for_each(|task| pulp::Arch::new().dispatch(task));
        outputs
    }
}

/// The work on a block of queries, for all heads.
struct BlockTask<'a> {
    inputs: &'a AttentionValues<'a>,
    block: QueryBlock,
    outputs: &'a mut [f32],
}

/// What the queries of one head have summed up over the keys so far.
struct RunningSums {
    max: [f32; QUERIES],
    sum: [f32; QUERIES],
    /// Weighted sums of values, `[QUERIES, padded width]`.
    values: Vec<f32>,
}

/// Buffers for one block of queries and one block of keys.
struct Tiles {
    width: usize,
    /// `width`, rounded up to whole lanes.
    padded: usize,
    /// `[QUERIES, width]`, scaled.
    queries: Vec<f32>,
    /// `[width, KEYS]`.
    keys: Vec<f32>,
    /// `[KEYS, padded]`.
    values: Vec<f32>,
    /// Scores, then weights: `[QUERIES, KEYS]`.
    scores: Vec<f32>,
}

impl pulp::NullaryFnOnce for BlockTask<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let HeadSizes { num_groups, width, .. } = self.inputs.sizes;
        let per_group = self.inputs.sizes.heads_per_group();
        let mut tiles = Tiles::new(width);
        for group in 0..num_groups {
            let mut running: Vec<RunningSums> = (0..per_group).map(|_| RunningSums::new(tiles.padded)).collect();
            for first in (0..self.block.num_keys()).step_by(KEYS) {
                let keys = first..self.block.num_keys().min(first + KEYS);
                tiles.load_keys(self.inputs, self.block.first_key + first, (group, keys.len()));
                for (member, running) in running.iter_mut().enumerate() {
                    tiles.load_queries(self.inputs, self.block, group * per_group + member);
                    tiles.multiply_keys();
                    tiles.weigh(self.block, &keys, running);
                    tiles.add_values(keys.len(), running);
                }
            }
            for (member, running) in running.iter().enumerate() {
                self.store(running, group * per_group + member, tiles.padded);
            }
        }
    }
}

impl BlockTask<'_> {
    /// Writes the outputs of one head.
    #[inline(always)]
    fn store(&mut self, running: &RunningSums, head: usize, padded: usize) {
        let HeadSizes { num_heads, width, .. } = self.inputs.sizes;
        for query in 0..self.block.num_queries {
            let output = &mut self.outputs[(query * num_heads + head) * width..][..width];
            for (output, value) in output.iter_mut().zip(&running.values[query * padded..]) {
                *output = value / running.sum[query];
            }
        }
    }
}

impl RunningSums {
    fn new(padded: usize) -> Self {
        Self { max: [f32::NEG_INFINITY; QUERIES], sum: [0.0; QUERIES], values: vec![0.0; QUERIES * padded] }
    }
}

impl Tiles {
    fn new(width: usize) -> Self {
        let padded = width.next_multiple_of(LANES);
        Self {
            width,
            padded,
            queries: vec![0.0; QUERIES * width],
            keys: vec![0.0; width * KEYS],
            values: vec![0.0; KEYS * padded],
            scores: vec![0.0; QUERIES * KEYS],
        }
    }

    /// Loads keys and values of a group, from `first_key` on.
    #[inline(always)]
    fn load_keys(&mut self, inputs: &AttentionValues<'_>, first_key: usize, (group, num_keys): (usize, usize)) {
        let (width, padded) = (self.width, self.padded);
        for key in 0..num_keys {
            let at = ((first_key + key) * inputs.sizes.num_groups + group) * width;
            for (index, value) in inputs.k[at..at + width].iter().enumerate() {
                self.keys[index * KEYS + key] = *value;
            }
            self.values[key * padded..][..width].copy_from_slice(&inputs.v[at..at + width]);
        }
    }

    /// Loads the queries of a head, scaled.
    #[inline(always)]
    fn load_queries(&mut self, inputs: &AttentionValues<'_>, block: QueryBlock, head: usize) {
        let (width, scale) = (self.width, inputs.sizes.scale());
        for query in 0..block.num_queries {
            let at = ((block.first_query + query) * inputs.sizes.num_heads + head) * width;
            let scaled = inputs.q[at..at + width].iter().map(|value| value * scale);
            self.queries[query * width..][..width].iter_mut().zip(scaled).for_each(|(to, from)| *to = from);
        }
    }

    /// `scores[query][key] = Σ queries[query]·keys[·][key]`.
    #[inline(always)]
    fn multiply_keys(&mut self) {
        let (queries, keys, width) = (self.queries.as_slice(), self.keys.as_slice(), self.width);
        let scores = self.scores.as_mut_slice();
        for row in (0..QUERIES).step_by(ROWS) {
            for first in (0..KEYS).step_by(LANES) {
                let mut tile = [[0.0_f32; LANES]; ROWS];
                for index in 0..width {
                    let key = &keys[index * KEYS + first..][..LANES];
                    for (offset, sums) in tile.iter_mut().enumerate() {
                        let query = queries[(row + offset) * width + index];
                        for lane in 0..LANES {
                            sums[lane] += query * key[lane];
                        }
                    }
                }
                for (offset, sums) in tile.iter().enumerate() {
                    scores[(row + offset) * KEYS + first..][..LANES].copy_from_slice(sums);
                }
            }
        }
    }

    /// Turns scores into weights, 0 for keys that a query does not see, and rescales earlier sums to the new maximum.
    #[inline(always)]
    fn weigh(&mut self, block: QueryBlock, keys: &Range<usize>, running: &mut RunningSums) {
        let padded = self.padded;
        for query in 0..block.num_queries {
            let row = &mut self.scores[query * KEYS..][..KEYS];
            let (seen, unseen) = row.split_at_mut(block.num_seen(query, keys));
            unseen.fill(0.0);
            if seen.is_empty() {
                continue;
            }
            let before = running.max[query];
            let max = seen.iter().fold(before, |max, &score| if score > max { score } else { max });
            // If all scores are NaN or −∞ there is no maximum; the weights become NaN, as the result must.
            let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
            let mut sum = 0.0;
            for score in seen.iter_mut() {
                *score = exp(*score - shift);
            }
            for weight in seen.iter() {
                sum += weight;
            }
            let scale = if before == f32::NEG_INFINITY { 0.0 } else { exp(before - shift) };
            running.max[query] = max;
            running.sum[query] = running.sum[query] * scale + sum;
            running.values[query * padded..][..padded].iter_mut().for_each(|value| *value *= scale);
        }
        for query in block.num_queries..QUERIES {
            self.scores[query * KEYS..][..KEYS].fill(0.0);
        }
    }

    /// `sums[query] += Σ weights[query][key]·values[key]`.
    #[inline(always)]
    fn add_values(&self, num_keys: usize, running: &mut RunningSums) {
        let (weights, values, padded) = (self.scores.as_slice(), self.values.as_slice(), self.padded);
        let sums_of_rows = running.values.as_mut_slice();
        for row in (0..QUERIES).step_by(ROWS) {
            for first in (0..padded).step_by(LANES) {
                let mut tile = [[0.0_f32; LANES]; ROWS];
                for key in 0..num_keys {
                    let value = &values[key * padded + first..][..LANES];
                    for (offset, sums) in tile.iter_mut().enumerate() {
                        let weight = weights[(row + offset) * KEYS + key];
                        for lane in 0..LANES {
                            sums[lane] += weight * value[lane];
                        }
                    }
                }
                for (offset, tile) in tile.iter().enumerate() {
                    let sums = &mut sums_of_rows[(row + offset) * padded + first..][..LANES];
                    sums.iter_mut().zip(tile).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}
