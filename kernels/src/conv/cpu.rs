//! The convolution on the CPU: tokens in parallel, channels in the lanes of the vector units.

use rayon::prelude::*;

use crate::Window;
use crate::math::silu;

/// The values of a convolution; shapes are those of [`super::CausalConv`], and have been checked.
pub(super) struct Inputs<'a> {
    pub(super) x: &'a [f32],
    pub(super) history: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
}

/// Tokens that one thread takes at a time.
const STEP: usize = 64;

pub(super) fn convolve(inputs: &Inputs<'_>, window: &Window) -> Vec<f32> {
    let num_channels = inputs.bias.len();
    let mut outputs = vec![0.0; inputs.x.len()];
    if outputs.is_empty() {
        return outputs;
    }
    let num_taps = inputs.weight.len() / num_channels;
    let taps: Vec<Vec<f32>> =
        (0..num_taps).map(|tap| inputs.weight.iter().skip(tap).step_by(num_taps).copied().collect()).collect();
    // For each token, how many tokens of its sample it can look back on.
    let mut num_earlier = Vec::with_capacity(window.num_tokens());
    for (tokens, num_before) in window.samples() {
        num_earlier.extend((num_before..).take(tokens.len()));
    }
    outputs.par_chunks_mut(STEP * num_channels).enumerate().for_each(|(step, rows)| {
        let walk = Walk { inputs, taps: &taps, num_earlier: &num_earlier, first_token: step * STEP, rows };
        pulp::Arch::new().dispatch(walk);
    });
    outputs
}

struct Walk<'a> {
    inputs: &'a Inputs<'a>,
    taps: &'a [Vec<f32>],
    num_earlier: &'a [usize],
    first_token: usize,
    rows: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let num_channels = self.inputs.bias.len();
        let num_kept = self.taps.len() - 1;
        for (row, y) in self.rows.chunks_exact_mut(num_channels).enumerate() {
            let token = self.first_token + row;
            y.copy_from_slice(self.inputs.bias);
            for (tap, weights) in self.taps.iter().enumerate() {
                // Tap `num_kept` is for the token itself, tap 0 for the one `num_kept` tokens earlier.
                if num_kept - tap > self.num_earlier[token] {
                    continue;
                }
                let x = match (token + tap).checked_sub(num_kept) {
                    Some(earlier) => &self.inputs.x[earlier * num_channels..][..num_channels],
                    None => &self.inputs.history[(token + tap) * num_channels..][..num_channels],
                };
                for ((y, weight), x) in y.iter_mut().zip(weights).zip(x) {
                    *y += weight * x;
                }
            }
            for y in y {
                *y = silu(*y);
            }
        }
    }
}
