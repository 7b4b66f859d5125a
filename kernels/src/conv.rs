//! Mamba's causal depthwise convolution followed by SiLU (arXiv 2312.00752), over packed samples.
//!
//! `yₜ = silu(bias + Σₖ wₖ·xₜ₋ₖ)` for k from 0 to K − 1, where w₀ is the last tap: a token sees itself and the K − 1 tokens before
//! it, as far as they belong to its sample.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::math::silu;
use crate::storage::{borrowed, expect_shape, prepared, prepared_f32, values};
use crate::window::TokenWindow;

/// Inputs of [`causal_conv`]: T tokens, D channels, K taps.
#[derive(Debug, Clone, Copy)]
pub struct ConvInputs<'a> {
    /// Activations, `[T, D]`.
    pub x: &'a Tensor,
    /// The K − 1 activations before the window, `[K − 1, D]`; rows of earlier samples are ignored.
    pub history: &'a Tensor,
    /// Weights, `[D, K]`; the last tap is for the token itself.
    pub weight: &'a Tensor,
    /// Bias, `[D]`.
    pub bias: &'a Tensor,
}

/// Result of [`causal_conv`], in the type of the activations.
#[derive(Debug, Clone)]
pub struct ConvOutputs {
    /// Activations, `[T, D]`.
    pub y: Tensor,
    /// The history for the next window, `[K − 1, D]`.
    pub history: Tensor,
}

/// Convolves the tokens of a window.
///
/// # Errors
///
/// A shape that does not fit, or no taps.
pub fn causal_conv(inputs: ConvInputs<'_>, window: &TokenWindow) -> Result<ConvOutputs> {
    let (num_channels, num_taps) = inputs.weight.dims2()?;
    let Some(num_kept) = num_taps.checked_sub(1) else { bail!("a convolution needs at least one tap") };
    expect_shape("x", inputs.x, &[window.num_tokens(), num_channels])?;
    expect_shape("history", inputs.history, &[num_kept, num_channels])?;
    expect_shape("bias", inputs.bias, &[num_channels])?;
    let op = ConvOp { window: window.clone(), weight: prepared_f32(inputs.weight)?, bias: prepared_f32(inputs.bias)? };
    let y = prepared(inputs.x)?.apply_op2_no_bwd(&prepared(inputs.history)?, &op)?;
    let last = Tensor::cat(&[inputs.history, inputs.x], 0)?.narrow(0, window.num_tokens(), num_kept)?;
    Ok(ConvOutputs { y: y.to_dtype(inputs.x.dtype())?, history: last.copy()? })
}

/// The operation over activations and history; the rest is held.
struct ConvOp {
    window: TokenWindow,
    weight: Tensor,
    bias: Tensor,
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "causal-conv"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        history: &CpuStorage,
        history_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (borrowed(&self.weight), borrowed(&self.bias));
        let inputs = ConvValues {
            x: values(x, x_layout)?,
            history: values(history, history_layout)?,
            weight: weight.values()?,
            bias: bias.values()?,
        };
        Ok((CpuStorage::F32(inputs.convolve(&self.window)), x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        history: &candle_core::CudaStorage,
        history_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let inputs = [(x, x_layout), (history, history_layout)];
        let arguments =
            crate::cuda::ConvArguments { inputs, weight: &self.weight, bias: &self.bias, window: &self.window };
        Ok((crate::cuda::convolve(&arguments)?, x_layout.shape().clone()))
    }
}

/// Tokens that one thread processes at a time.
const TOKENS_PER_STEP: usize = 64;

/// The values of [`ConvInputs`], with the same shapes.
struct ConvValues<'a> {
    x: &'a [f32],
    history: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl ConvValues<'_> {
    /// Tokens in parallel, channels in the lanes of the vector unit.
    fn convolve(&self, window: &TokenWindow) -> Vec<f32> {
        let num_channels = self.bias.len();
        let mut outputs = vec![0.0; self.x.len()];
        if outputs.is_empty() {
            return outputs;
        }
        let num_taps = self.weight.len() / num_channels;
        let taps: Vec<Vec<f32>> =
            (0..num_taps).map(|tap| self.weight.iter().skip(tap).step_by(num_taps).copied().collect()).collect();
        let num_earlier: Vec<usize> = window.num_earlier().collect();
        outputs.par_chunks_mut(TOKENS_PER_STEP * num_channels).enumerate().for_each(|(step, rows)| {
            let first_token = step * TOKENS_PER_STEP;
            let step = ConvStep { inputs: self, taps: &taps, num_earlier: &num_earlier, first_token, rows };
            pulp::Arch::new().dispatch(step);
        });
        outputs
    }
}

/// Consecutive tokens from `first_token`, whose outputs go to `rows`.
struct ConvStep<'a> {
    inputs: &'a ConvValues<'a>,
    /// Weights by tap, then by channel.
    taps: &'a [Vec<f32>],
    /// For each token of the window, the tokens of its sample before it.
    num_earlier: &'a [usize],
    first_token: usize,
    rows: &'a mut [f32],
}

impl pulp::NullaryFnOnce for ConvStep<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "`causal_conv` has checked the shapes that the positions follow from")]
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

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::window::PackedSamples;

    const CHANNELS: usize = 3;

    fn tensor(rows: usize, columns: usize) -> Tensor {
        let values = (0..rows * columns).map(|index| ((index * 37 % 101) as f32 - 50.0) / 25.0);
        Tensor::from_vec(values.collect::<Vec<_>>(), (rows, columns), &Device::Cpu).unwrap()
    }

    /// Outputs by token, computed window by window.
    fn in_windows(x: &Tensor, packing: &PackedSamples, (num_taps, max_tokens): (usize, usize)) -> Vec<Vec<f32>> {
        let weight = tensor(CHANNELS, num_taps);
        let bias = tensor(1, CHANNELS).squeeze(0).unwrap();
        let mut history = Tensor::zeros((num_taps - 1, CHANNELS), x.dtype(), x.device()).unwrap();
        let mut rows = Vec::new();
        for window in packing.windows(max_tokens) {
            let x = x.narrow(0, window.start(), window.num_tokens()).unwrap();
            let inputs = ConvInputs { x: &x, history: &history, weight: &weight, bias: &bias };
            let convolved = causal_conv(inputs, &window).unwrap();
            history = convolved.history;
            rows.extend(convolved.y.to_vec2::<f32>().unwrap());
        }
        rows
    }

    #[test]
    fn a_single_sample_is_convolved_as_by_candle() {
        let (x, num_taps) = (tensor(11, CHANNELS), 4);
        let padded = x.t().unwrap().unsqueeze(0).unwrap().pad_with_zeros(2, num_taps - 1, 0).unwrap();
        let weight = tensor(CHANNELS, num_taps).unsqueeze(1).unwrap();
        let bias = tensor(1, CHANNELS).reshape((1, CHANNELS, 1)).unwrap();
        let truth = padded.conv1d(&weight, 0, 1, 1, CHANNELS).unwrap().broadcast_add(&bias).unwrap().silu().unwrap();
        let truth = truth.squeeze(0).unwrap().t().unwrap().to_vec2::<f32>().unwrap();
        let ours = in_windows(&x, &PackedSamples::from_lengths([11]), (num_taps, 11));
        assert_eq!(ours.len(), truth.len());
        let differences = ours.iter().flatten().zip(truth.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0.0, f32::max) < 1e-6);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn windows_and_neighbours_do_not_change_the_result(
            lengths in prop::collection::vec(1_usize..9, 1..5),
            step in 1_usize..9,
            num_taps in 1_usize..6,
        ) {
            let packing = PackedSamples::from_lengths(lengths.clone());
            let x = tensor(packing.num_tokens(), CHANNELS);
            let packed = in_windows(&x, &packing, (num_taps, step));
            let mut start = 0;
            for length in lengths {
                let alone = x.narrow(0, start, length).unwrap();
                let alone = in_windows(&alone, &PackedSamples::from_lengths([length]), (num_taps, length));
                prop_assert_eq!(&packed[start..start + length], &alone[..]);
                start += length;
            }
        }
    }
}
