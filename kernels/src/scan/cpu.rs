//! The scan on the CPU: blocks of channels in parallel, one channel per lane of the vector unit.

#![expect(
    clippy::indexing_slicing,
    reason = "positions follow from shapes that `selective_scan` has checked, and bounds checks on whole rows cost nothing"
)]

use rayon::prelude::*;

use crate::math::{exp, silu, softplus};
use crate::window::TokenWindow;

/// Channels of a block, which one thread carries through time together.
const LANES: usize = 32;
/// Tokens between two copies of a block's outputs to their rows; the outputs of two blocks fit into the fast caches.
const TOKENS_PER_STEP: usize = 128;

/// The values of the scan's inputs: T tokens, D channels, N states per channel.
pub(super) struct ScanValues<'a> {
    /// D.
    pub(super) num_channels: usize,
    /// N.
    pub(super) num_states: usize,
    /// `[T, D]`.
    pub(super) u: &'a [f32],
    /// `[T, D]`.
    pub(super) dt: &'a [f32],
    /// `[T, D]`.
    pub(super) z: &'a [f32],
    /// `[D, N]`.
    pub(super) a: &'a [f32],
    /// `[T, N]`.
    pub(super) b: &'a [f32],
    /// `[T, N]`.
    pub(super) c: &'a [f32],
    /// `[D]`.
    pub(super) d: &'a [f32],
    /// `[D, N]`.
    pub(super) state: &'a [f32],
}

impl ScanValues<'_> {
    /// The outputs, `[T, D]`, followed by the state, `[D, N]`.
    pub(super) fn scan(&self, window: &TokenWindow) -> Vec<f32> {
        let (num_channels, num_states) = (self.num_channels, self.num_states);
        let num_tokens = window.num_tokens();
        let mut result = vec![0.0; num_channels * (num_tokens + num_states)];
        if result.is_empty() {
            return result;
        }
        let (outputs, state) = result.split_at_mut(num_channels * num_tokens);
        let first_channels = (0..num_channels).step_by(LANES);
        let mut blocks: Vec<_> = first_channels.map(|first| ChannelBlock::new(self, first)).collect();
        let is_first: Vec<bool> = window.num_earlier().map(|num_earlier| num_earlier == 0).collect();
        for (step, rows) in outputs.chunks_mut(TOKENS_PER_STEP * num_channels).enumerate() {
            let first_token = step * TOKENS_PER_STEP;
            let last_token = first_token + rows.len() / num_channels;
            blocks.par_iter_mut().for_each(|block| {
                let step = BlockScan { block, inputs: self, is_first: &is_first, first_token, last_token };
                pulp::Arch::new().dispatch(step);
            });
            rows.par_chunks_mut(num_channels).enumerate().for_each(|(row, values)| {
                for (block, values) in blocks.iter().zip(values.chunks_mut(LANES)) {
                    values.copy_from_slice(&block.outputs[row][..values.len()]);
                }
            });
        }
        // Without states, nothing is left to be written, in chunks of at least one.
        for (block, state) in blocks.iter().zip(state.chunks_mut(LANES * num_states.max(1))) {
            for (lane, values) in state.chunks_exact_mut(num_states.max(1)).enumerate() {
                for (value, states) in values.iter_mut().zip(&block.states) {
                    *value = states[lane];
                }
            }
        }
        result
    }
}

/// Neighbouring channels that one thread carries through time.
struct ChannelBlock {
    /// The first of the channels.
    first: usize,
    /// Their number: [`LANES`], or fewer in the last block.
    width: usize,
    /// By state, then by channel.
    states: Vec<[f32; LANES]>,
    /// By state, then by channel.
    decays: Vec<[f32; LANES]>,
    /// By channel.
    skip: [f32; LANES],
    /// Of the current step, by token, then by channel.
    outputs: Vec<[f32; LANES]>,
}

impl ChannelBlock {
    fn new(inputs: &ScanValues<'_>, first: usize) -> Self {
        let num_states = inputs.num_states;
        let width = LANES.min(inputs.num_channels - first);
        let by_state = |values: &[f32]| {
            let mut lanes = vec![[0.0; LANES]; num_states];
            for (state, lanes) in lanes.iter_mut().enumerate() {
                for (lane, value) in lanes.iter_mut().enumerate().take(width) {
                    *value = values[(first + lane) * num_states + state];
                }
            }
            lanes
        };
        Self {
            first,
            width,
            states: by_state(inputs.state),
            decays: by_state(inputs.a),
            skip: lanes_of(inputs.d, first, width),
            outputs: vec![[0.0; LANES]; TOKENS_PER_STEP],
        }
    }
}

/// `width` values from `first` on, padded with zeros.
#[inline(always)]
fn lanes_of(values: &[f32], first: usize, width: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..width].copy_from_slice(&values[first..first + width]);
    lanes
}

/// The tokens from `first_token` to before `last_token`, for one block of channels.
struct BlockScan<'a> {
    block: &'a mut ChannelBlock,
    inputs: &'a ScanValues<'a>,
    /// For each token of the window, whether it is the first of its sample.
    is_first: &'a [bool],
    first_token: usize,
    last_token: usize,
}

impl pulp::NullaryFnOnce for BlockScan<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let ChannelBlock { first, width, states, decays, skip, outputs } = self.block;
        let ScanValues { num_channels, num_states, .. } = *self.inputs;
        for token in self.first_token..self.last_token {
            if self.is_first[token] {
                states.fill([0.0; LANES]);
            }
            let at = token * num_channels + *first;
            let u = lanes_of(self.inputs.u, at, *width);
            let mut dt = lanes_of(self.inputs.dt, at, *width);
            let mut input = [0.0; LANES];
            let mut y = [0.0; LANES];
            for lane in 0..LANES {
                dt[lane] = softplus(dt[lane]);
                input[lane] = dt[lane] * u[lane];
                y[lane] = skip[lane] * u[lane];
            }
            let b = &self.inputs.b[token * num_states..(token + 1) * num_states];
            let c = &self.inputs.c[token * num_states..(token + 1) * num_states];
            for (((state, decay), &b), &c) in states.iter_mut().zip(decays.iter()).zip(b).zip(c) {
                for lane in 0..LANES {
                    let h = exp(dt[lane] * decay[lane]) * state[lane] + input[lane] * b;
                    state[lane] = h;
                    y[lane] += h * c;
                }
            }
            let z = lanes_of(self.inputs.z, at, *width);
            for lane in 0..LANES {
                y[lane] *= silu(z[lane]);
            }
            outputs[token - self.first_token] = y;
        }
    }
}
