//! The loss of next-token prediction, without ever holding the logits of a whole sequence.
//!
//! Hidden states are multiplied with the head a few rows at a time, and only the loss of each row is kept.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::math::exp;
use crate::storage::{contiguous, prepared, values};

/// Maximum number of logits held at a time: 64 Mi, which is 256 MiB in `f32`.
const MAX_LOGITS: usize = 64 << 20;
/// Partial sums that run side by side. Fixed, so that the rounding is the same on every machine.
const LANES: usize = 16;

/// Inputs of [`cross_entropy`]: n rows, H hidden values, V token ids.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyInputs<'a> {
    /// Hidden states, `[n, H]`.
    pub hidden: &'a Tensor,
    /// The output head, `[V, H]`.
    pub head: &'a Tensor,
    /// The correct token id of each row, `n` ids below V.
    pub targets: &'a [u32],
}

/// `−ln p(target)` of each row, `[n]`, `f32`.
///
/// # Errors
///
/// A shape that does not fit, or a target that is not below V.
pub fn cross_entropy(inputs: CrossEntropyInputs<'_>) -> Result<Tensor> {
    let vocab_size = inputs.head.dim(0)?.max(1);
    in_chunks(inputs, (MAX_LOGITS / vocab_size).max(1))
}

/// [`cross_entropy`] over at most `max_rows` rows at a time.
fn in_chunks(inputs: CrossEntropyInputs<'_>, max_rows: usize) -> Result<Tensor> {
    let CrossEntropyInputs { hidden, head, targets } = inputs;
    let (num_rows, _) = hidden.dims2()?;
    if num_rows != targets.len() {
        bail!("{num_rows} rows of hidden states have {} targets", targets.len());
    }
    let vocab_size = head.dim(0)?;
    if let Some(target) = targets.iter().find(|&&target| target as usize >= vocab_size) {
        bail!("target {target} is not below {vocab_size}");
    }
    if num_rows == 0 {
        return Tensor::zeros(0, DType::F32, hidden.device());
    }
    let head = head.t()?;
    let mut losses = Vec::new();
    for (chunk, targets) in targets.chunks(max_rows).enumerate() {
        let rows = hidden.narrow(0, chunk * max_rows, targets.len())?;
        let targets = Tensor::from_slice(targets, targets.len(), hidden.device())?;
        losses.push(losses_of_logits(&rows.matmul(&head)?, &targets)?);
    }
    Tensor::cat(&losses, 0)
}

/// `−ln p(target)` of each row of logits `[n, V]`, for targets `[n]` of type `u32`.
fn losses_of_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    prepared(logits)?.apply_op2_no_bwd(&targets.contiguous()?, &LossOp)
}

struct LossOp;

impl CustomOp2 for LossOp {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        targets: &CpuStorage,
        targets_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (num_rows, vocab_size) = logits_layout.shape().dims2()?;
        let logits = values(logits, logits_layout)?;
        let targets = contiguous(targets.as_slice::<u32>()?, targets_layout)?;
        if targets.len() != num_rows {
            bail!("{num_rows} rows of logits have {} targets", targets.len());
        }
        let rows: Vec<_> = logits.chunks_exact(vocab_size.max(1)).zip(targets).collect();
        let losses = rows.into_par_iter().map(|(logits, &target)| {
            let Some(logit) = logits.get(target as usize) else { bail!("target {target} is not below {vocab_size}") };
            Ok(pulp::Arch::new().dispatch(LogSumExp(logits)) - logit)
        });
        Ok((CpuStorage::F32(losses.collect::<Result<_>>()?), num_rows.into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        logits: &candle_core::CudaStorage,
        logits_layout: &Layout,
        targets: &candle_core::CudaStorage,
        targets_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (num_rows, _) = logits_layout.shape().dims2()?;
        Ok((crate::cuda::losses((logits, logits_layout), (targets, targets_layout))?, num_rows.into()))
    }
}

/// `ln Σ eˣ`; NaN if a value is NaN or ∞, or all are −∞.
struct LogSumExp<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        // NaN never becomes the maximum, but makes the sum below NaN.
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in self.0.chunks(LANES) {
            for (max, &x) in lanes.iter_mut().zip(chunk) {
                *max = if x > *max { x } else { *max };
            }
        }
        let max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        if max.is_infinite() {
            return f32::NAN;
        }
        let mut lanes = [0.0_f32; LANES];
        for chunk in self.0.chunks(LANES) {
            for (sum, x) in lanes.iter_mut().zip(chunk) {
                *sum += exp(x - max);
            }
        }
        let sum: f64 = lanes.iter().map(|&sum| f64::from(sum)).sum();
        max + sum.ln() as f32
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    fn tensor(rows: usize, columns: usize, scale: f32) -> Tensor {
        let values = (0..rows * columns).map(|index| ((index * 7919 % 1009) as f32 / 504.5 - 1.0) * scale);
        Tensor::from_vec(values.collect::<Vec<_>>(), (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_their_number() {
        let logits = Tensor::zeros((2, 1000), DType::F32, &Device::Cpu).unwrap();
        let losses = losses_of_logits(&logits, &Tensor::new(&[0_u32, 999], &Device::Cpu).unwrap()).unwrap();
        for loss in losses.to_vec1::<f32>().unwrap() {
            assert!((loss - 1000.0_f32.ln()).abs() < 1e-6);
        }
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_an_error() {
        let (hidden, head) = (tensor(1, 4, 1.0), tensor(3, 4, 1.0));
        let losses = |targets: &[u32]| cross_entropy(CrossEntropyInputs { hidden: &hidden, head: &head, targets });
        assert!(losses(&[2]).is_ok());
        assert!(losses(&[3]).is_err());
        assert!(losses(&[0, 1]).is_err());
    }

    #[test]
    fn nan_and_infinity_are_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = Tensor::new(&[[0.0, bad, 1.0]], &Device::Cpu).unwrap();
            let loss = losses_of_logits(&logits, &Tensor::new(&[0_u32], &Device::Cpu).unwrap()).unwrap();
            assert!(!loss.to_vec1::<f32>().unwrap()[0].is_finite());
        }
    }

    proptest! {
        #[test]
        fn chunks_do_not_change_the_losses(num_rows in 1_usize..20, max_rows in 1_usize..20) {
            let (hidden, head) = (tensor(num_rows, 8, 3.0), tensor(50, 8, 2.0));
            let targets: Vec<u32> = (0..num_rows as u32).map(|row| row * 13 % 50).collect();
            let inputs = CrossEntropyInputs { hidden: &hidden, head: &head, targets: &targets };
            let whole = cross_entropy(inputs).unwrap().to_vec1::<f32>().unwrap();
            let chunked = in_chunks(inputs, max_rows).unwrap().to_vec1::<f32>().unwrap();
            prop_assert_eq!(whole.len(), chunked.len());
            for (whole, chunked) in whole.iter().zip(chunked) {
                prop_assert!((whole - chunked).abs() < 1e-5);
            }
        }
    }
}
