//! Attention on the CPU: blocks of queries in parallel; in each, tiles of 4 queries × 16 keys or values in registers.

use rayon::prelude::*;

use super::Sizes;
use crate::Window;
use crate::math::exp;

/// Queries of a block.
const QUERIES: usize = 32;
/// Keys of a block: their scores, and the keys themselves at the usual widths, stay in the fast caches.
const KEYS: usize = 64;
/// Values that are computed side by side.
const LANES: usize = 16;
/// Queries that share what is loaded of keys and values.
const ROWS: usize = 4;

/// The values of an attention; shapes are those of [`super::attention`], and have been checked.
pub(super) struct Inputs<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

pub(super) fn attend(inputs: &Inputs<'_>, window: &Window, sizes: Sizes) -> Vec<f32> {
    let row_len = sizes.num_heads * sizes.width;
    let mut outputs = vec![0.0; inputs.q.len()];
    let mut blocks = Vec::new();
    let mut rest = outputs.as_mut_slice();
    for (tokens, num_before) in window.samples() {
        // Keys of the first sample begin before the window, those of the others after the keys before them.
        let first_key = tokens.start + window.num_before() - num_before;
        for first_query in tokens.clone().step_by(QUERIES) {
            let num_queries = QUERIES.min(tokens.end - first_query);
            let (outputs, after) = std::mem::take(&mut rest).split_at_mut(num_queries * row_len);
            rest = after;
            let num_earlier = num_before + first_query - tokens.start;
            blocks.push(Block { inputs, sizes, first_query, num_queries, first_key, num_earlier, outputs });
        }
    }
    // Late blocks have more keys: beginning with them shares the work better.
    blocks.into_par_iter().rev().with_max_len(1).for_each(|block| pulp::Arch::new().dispatch(block));
    outputs
}

/// A block of queries of one sample, for all heads.
struct Block<'a> {
    inputs: &'a Inputs<'a>,
    sizes: Sizes,
    first_query: usize,
    num_queries: usize,
    /// First key of the sample.
    first_key: usize,
    /// Tokens of the sample before the first query.
    num_earlier: usize,
    outputs: &'a mut [f32],
}

/// What has been seen of the keys by the queries of a head.
struct Running {
    most: [f32; QUERIES],
    sum: [f32; QUERIES],
    /// Weighted sums of values, `[QUERIES, padded width]`.
    values: Vec<f32>,
}

impl pulp::NullaryFnOnce for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Sizes { num_heads, num_groups, width } = self.sizes;
        let padded = width.next_multiple_of(LANES);
        let per_group = self.sizes.heads_per_group();
        let num_keys = self.num_earlier + self.num_queries;
        let mut keys = vec![0.0; width * KEYS];
        let mut values = vec![0.0; KEYS * padded];
        let mut scores = vec![0.0; QUERIES * KEYS];
        let mut queries = vec![0.0; QUERIES * width];
        for group in 0..num_groups {
            let mut running: Vec<Running> = (0..per_group)
                .map(|_| Running {
                    most: [f32::NEG_INFINITY; QUERIES],
                    sum: [0.0; QUERIES],
                    values: vec![0.0; QUERIES * padded],
                })
                .collect();
            for first in (0..num_keys).step_by(KEYS) {
                let num = KEYS.min(num_keys - first);
                for key in 0..num {
                    let at = ((self.first_key + first + key) * num_groups + group) * width;
                    for (index, value) in self.inputs.k[at..at + width].iter().enumerate() {
                        keys[index * KEYS + key] = *value;
                    }
                    values[key * padded..][..width].copy_from_slice(&self.inputs.v[at..at + width]);
                }
                for (member, running) in running.iter_mut().enumerate() {
                    let head = group * per_group + member;
                    for query in 0..self.num_queries {
                        let at = ((self.first_query + query) * num_heads + head) * width;
                        let scaled = self.inputs.q[at..at + width].iter().map(|value| value * self.sizes.scale());
                        queries[query * width..][..width].iter_mut().zip(scaled).for_each(|(to, from)| *to = from);
                    }
                    multiply_keys(&queries, &keys, &mut scores, width);
                    for query in 0..self.num_queries {
                        let num_seen = (self.num_earlier + query + 1).saturating_sub(first).min(num);
                        let row = &mut scores[query * KEYS..][..KEYS];
                        weigh(row, num_seen, query, running, padded);
                    }
                    for query in self.num_queries..QUERIES {
                        scores[query * KEYS..][..KEYS].fill(0.0);
                    }
                    add_values(&scores, &values, &mut running.values, num, padded);
                }
            }
            for (member, running) in running.iter().enumerate() {
                let head = group * per_group + member;
                for query in 0..self.num_queries {
                    let output = &mut self.outputs[(query * num_heads + head) * width..][..width];
                    for (output, value) in output.iter_mut().zip(&running.values[query * padded..]) {
                        *output = value / running.sum[query];
                    }
                }
            }
        }
    }
}

/// `scores[query][key] = Σ queries[query]·keys[·][key]`.
#[inline(always)]
fn multiply_keys(queries: &[f32], keys: &[f32], scores: &mut [f32], width: usize) {
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

/// Turns the scores of a query into weights; what was summed up before is scaled to the new maximum.
#[inline(always)]
fn weigh(row: &mut [f32], num_seen: usize, query: usize, running: &mut Running, padded: usize) {
    let (seen, unseen) = row.split_at_mut(num_seen);
    unseen.fill(0.0);
    if seen.is_empty() {
        return;
    }
    let before = running.most[query];
    let most = seen.iter().fold(before, |most, &score| if score > most { score } else { most });
    // With NaN or −∞ only there is no maximum; the weights then become NaN, which is what the result has to be.
    let shift = if most == f32::NEG_INFINITY { 0.0 } else { most };
    let mut sum = 0.0;
    for score in seen.iter_mut() {
        *score = exp(*score - shift);
    }
    for weight in seen.iter() {
        sum += weight;
    }
    let scale = if before == f32::NEG_INFINITY { 0.0 } else { exp(before - shift) };
    running.most[query] = most;
    running.sum[query] = running.sum[query] * scale + sum;
    running.values[query * padded..][..padded].iter_mut().for_each(|value| *value *= scale);
}

/// `sums[query] += Σ weights[query][key]·values[key]`.
#[inline(always)]
fn add_values(weights: &[f32], values: &[f32], sums: &mut [f32], num_keys: usize, padded: usize) {
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
                let sums = &mut sums[(row + offset) * padded + first..][..LANES];
                sums.iter_mut().zip(tile).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}
