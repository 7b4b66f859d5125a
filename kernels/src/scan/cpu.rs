//! The scan on the CPU: blocks of channels in parallel, a channel to each lane of the vector units.

use rayon::prelude::*;

use crate::Window;
use crate::math::{exp, silu, softplus};

/// Channels of a block: what one thread carries through time, side by side.
const LANES: usize = 32;
/// Tokens after which outputs are put in their place: two blocks of them fit into the fast caches.
const STEP: usize = 128;

/// The values of a scan; shapes are those of [`super::Scan`], and have been checked.
pub(super) struct Inputs<'a> {
    pub(super) u: &'a [f32],
    pub(super) dt: &'a [f32],
    pub(super) z: &'a [f32],
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) c: &'a [f32],
    pub(super) d: &'a [f32],
    pub(super) state: &'a [f32],
}

/// The outputs, then the state.
pub(super) fn scan(inputs: &Inputs<'_>, window: &Window, num_channels: usize, num_states: usize) -> Vec<f32> {
    let num_tokens = window.num_tokens();
    let mut result = vec![0.0; num_channels * (num_tokens + num_states)];
    if result.is_empty() {
        return result;
    }
    let (outputs, state) = result.split_at_mut(num_channels * num_tokens);
    let is_continued = window.num_before() > 0;
    let mut blocks: Vec<Block> = (0..num_channels)
        .step_by(LANES)
        .map(|first| Block::new(inputs, first, LANES.min(num_channels - first), num_states, is_continued))
        .collect();
    let is_first = starts(window, num_tokens);
    for (step, rows) in outputs.chunks_mut(STEP * num_channels).enumerate() {
        let first_token = step * STEP;
        let last_token = first_token + rows.len() / num_channels;
        blocks.par_iter_mut().for_each(|block| {
            let walk = Walk { block, inputs, num_channels, is_first: &is_first, first_token, last_token };
            pulp::Arch::new().dispatch(walk);
        });
        rows.par_chunks_mut(num_channels).enumerate().for_each(|(row, values)| {
            for (block, values) in blocks.iter().zip(values.chunks_mut(LANES)) {
                values.copy_from_slice(&block.outputs[row][..values.len()]);
            }
        });
    }
    for (block, state) in blocks.iter().zip(state.chunks_mut(LANES * num_states)) {
        for (lane, values) in state.chunks_exact_mut(num_states).enumerate() {
            for (value, states) in values.iter_mut().zip(&block.states) {
                *value = states[lane];
            }
        }
    }
    result
}

/// For each token whether it is the first of a sample.
fn starts(window: &Window, num_tokens: usize) -> Vec<bool> {
    let mut is_first = vec![false; num_tokens];
    for (tokens, num_before) in window.samples() {
        is_first[tokens.start] = num_before == 0;
    }
    is_first
}

/// Channels that one thread carries through time. `states` and `decays` are by state, then by channel.
struct Block {
    first: usize,
    width: usize,
    states: Vec<[f32; LANES]>,
    decays: Vec<[f32; LANES]>,
    skip: [f32; LANES],
    outputs: Vec<[f32; LANES]>,
}

impl Block {
    fn new(inputs: &Inputs<'_>, first: usize, width: usize, num_states: usize, is_continued: bool) -> Self {
        let by_state = |values: &[f32]| {
            let mut lanes = vec![[0.0; LANES]; num_states];
            for (state, lanes) in lanes.iter_mut().enumerate() {
                for (lane, value) in lanes.iter_mut().enumerate().take(width) {
                    *value = values[(first + lane) * num_states + state];
                }
            }
            lanes
        };
        let states = if is_continued { by_state(inputs.state) } else { vec![[0.0; LANES]; num_states] };
        Self {
            first,
            width,
            states,
            decays: by_state(inputs.a),
            skip: lanes_of(inputs.d, first, width),
            outputs: vec![[0.0; LANES]; STEP],
        }
    }
}

#[inline(always)]
fn lanes_of(values: &[f32], first: usize, width: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..width].copy_from_slice(&values[first..first + width]);
    lanes
}

/// A block's way through the tokens from `first_token` to `last_token`.
struct Walk<'a> {
    block: &'a mut Block,
    inputs: &'a Inputs<'a>,
    num_channels: usize,
    is_first: &'a [bool],
    first_token: usize,
    last_token: usize,
}

impl pulp::NullaryFnOnce for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Block { first, width, states, decays, skip, outputs } = self.block;
        let num_states = states.len();
        for token in self.first_token..self.last_token {
            if self.is_first[token] {
                states.fill([0.0; LANES]);
            }
            let at = token * self.num_channels + *first;
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
