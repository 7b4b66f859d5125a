//! The causal depthwise convolution of Mamba with its SiLU, over packed samples.
//!
//! `yₜ = silu(bias + Σₖ weightₖ·xₜ₋ₖ₊₁…)`: a token sees itself and the K − 1 tokens before it, as far as they are of its sample.

mod cpu;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use crate::Window;
use crate::storage::{expect_shape, held, prepared, prepared_f32, values};

/// What a convolution reads. T tokens, D channels, K taps.
#[derive(Debug, Clone, Copy)]
pub struct CausalConv<'a> {
    /// Inputs, `[T, D]`.
    pub x: &'a Tensor,
    /// The last K − 1 inputs before the window, `[K − 1, D]`; rows of other samples are not read.
    pub history: &'a Tensor,
    /// Weights, `[D, K]`, the last tap for the token itself.
    pub weight: &'a Tensor,
    /// Bias, `[D]`.
    pub bias: &'a Tensor,
}

/// Outputs, `[T, D]`, and the history for the next window, both in the type of the inputs.
pub fn causal_conv(conv: CausalConv<'_>, window: &Window) -> Result<(Tensor, Tensor)> {
    let (num_channels, num_taps) = conv.weight.dims2()?;
    let Some(num_kept) = num_taps.checked_sub(1) else { candle_core::bail!("a convolution has one tap at least") };
    expect_shape("x", conv.x, &[window.num_tokens(), num_channels])?;
    expect_shape("history", conv.history, &[num_kept, num_channels])?;
    expect_shape("bias", conv.bias, &[num_channels])?;
    let op = ConvOp { window: window.clone(), weight: prepared_f32(conv.weight)?, bias: prepared_f32(conv.bias)? };
    let y = prepared(conv.x)?.apply_op2_no_bwd(&prepared(conv.history)?, &op)?;
    let last = Tensor::cat(&[conv.history, conv.x], 0)?.narrow(0, window.num_tokens(), num_kept)?.copy()?;
    Ok((y.to_dtype(conv.x.dtype())?, last))
}

/// The operation over inputs and history.
pub(crate) struct ConvOp {
    pub(crate) window: Window,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
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
        let (weight, bias) = (held(&self.weight), held(&self.bias));
        let inputs = cpu::Inputs {
            x: values(x, x_layout)?,
            history: values(history, history_layout)?,
            weight: weight.values()?,
            bias: bias.values()?,
        };
        Ok((CpuStorage::F32(cpu::convolve(&inputs, &self.window)), x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        history: &candle_core::CudaStorage,
        history_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((crate::cuda::convolve(self, (x, x_layout), (history, history_layout))?, x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::Packing;

    const CHANNELS: usize = 3;

    fn tensor(rows: usize, columns: usize) -> Tensor {
        let values = (0..rows * columns).map(|index| ((index * 37 % 101) as f32 - 50.0) / 25.0);
        Tensor::from_vec(values.collect::<Vec<_>>(), (rows, columns), &Device::Cpu).unwrap()
    }

    fn in_windows(x: &Tensor, packing: &Packing, num_taps: usize, max_tokens: usize) -> Vec<Vec<f32>> {
        let weight = tensor(CHANNELS, num_taps);
        let bias = tensor(1, CHANNELS).squeeze(0).unwrap();
        let mut history = Tensor::zeros((num_taps - 1, CHANNELS), x.dtype(), x.device()).unwrap();
        let mut rows = Vec::new();
        for window in packing.windows(max_tokens) {
            let x = x.narrow(0, window.start(), window.num_tokens()).unwrap();
            let conv = CausalConv { x: &x, history: &history, weight: &weight, bias: &bias };
            let (y, last) = causal_conv(conv, &window).unwrap();
            history = last;
            rows.extend(y.to_vec2::<f32>().unwrap());
        }
        rows
    }

    #[test]
    fn it_is_the_convolution_of_candle_on_a_single_sample() {
        let (x, num_taps) = (tensor(11, CHANNELS), 4);
        let padded = x.t().unwrap().unsqueeze(0).unwrap().pad_with_zeros(2, num_taps - 1, 0).unwrap();
        let weight = tensor(CHANNELS, num_taps).unsqueeze(1).unwrap();
        let bias = tensor(1, CHANNELS).reshape((1, CHANNELS, 1)).unwrap();
        let truth = padded.conv1d(&weight, 0, 1, 1, CHANNELS).unwrap().broadcast_add(&bias).unwrap().silu().unwrap();
        let truth = truth.squeeze(0).unwrap().t().unwrap().to_vec2::<f32>().unwrap();
        let ours = in_windows(&x, &Packing::from_lengths([11]), num_taps, 11);
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
            let packing = Packing::from_lengths(lengths.clone());
            let x = tensor(packing.num_tokens(), CHANNELS);
            let packed = in_windows(&x, &packing, num_taps, step);
            let mut start = 0;
            for length in lengths {
                let alone = x.narrow(0, start, length).unwrap();
                let alone = in_windows(&alone, &Packing::from_lengths([length]), num_taps, length);
                prop_assert_eq!(&packed[start..start + length], &alone[..]);
                start += length;
            }
        }
    }
}
