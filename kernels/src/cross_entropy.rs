//! The loss of next-token prediction, without the logits of a whole sequence ever existing.
//!
//! Rows of hidden states are multiplied with the head a few at a time; of their logits only the loss is kept.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::math::exp;
use crate::storage::{prepared, values, values_of};

/// Most logits that exist at a time: 64 Mi, which is 256 MiB in `f32`.
const MOST_LOGITS: usize = 64 << 20;

/// `−ln p(target)` of each row, `[n]`, `f32`.
///
/// `hidden` is `[n, H]`, `head` is `[V, H]`, `targets` are `n` ids below V. The result does not depend on the size of the
/// pieces in which rows are worked on.
pub fn cross_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let num_tokens = head.dim(0)?.max(1);
    cross_entropy_in_pieces(hidden, head, targets, (MOST_LOGITS / num_tokens).max(1))
}

/// [`cross_entropy`], at most so many rows (at least 1) at a time.
pub fn cross_entropy_in_pieces(hidden: &Tensor, head: &Tensor, targets: &[u32], max_rows: usize) -> Result<Tensor> {
    let (num_rows, _) = hidden.dims2()?;
    if num_rows != targets.len() {
        bail!("{num_rows} rows of hidden states have {} targets", targets.len());
    }
    if num_rows == 0 {
        return Tensor::zeros(0, DType::F32, hidden.device());
    }
    let head = head.t()?;
    let mut losses = Vec::new();
    for (piece, targets) in targets.chunks(max_rows.max(1)).enumerate() {
        let rows = hidden.narrow(0, piece * max_rows.max(1), targets.len())?;
        let targets = Tensor::from_slice(targets, targets.len(), hidden.device())?;
        losses.push(losses_of_logits(&rows.matmul(&head)?, &targets)?);
    }
    Tensor::cat(&losses, 0)
}

/// `−ln p(target)` of each row of logits, `[n, V]`, for targets `[n]` (`u32`, below V).
pub fn losses_of_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    prepared(logits)?.apply_op2_no_bwd(&targets.contiguous()?, &LossOp)
}

pub(crate) struct LossOp;

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
        let (num_rows, num_tokens) = logits_layout.shape().dims2()?;
        let logits = values(logits, logits_layout)?;
        let targets = values_of(targets.as_slice::<u32>()?, targets_layout)?;
        if targets.len() != num_rows {
            bail!("{num_rows} rows of logits have {} targets", targets.len());
        }
        let rows: Vec<_> = logits.chunks_exact(num_tokens.max(1)).zip(targets).collect();
        let losses = rows.into_par_iter().map(|(logits, &target)| {
            let Some(chosen) = logits.get(target as usize) else { bail!("target {target} is not below {num_tokens}") };
            Ok(pulp::Arch::new().dispatch(LogSumExp(logits)) - chosen)
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

/// `ln Σ eˣ`, summed in 16 lanes whatever the machine, so that every machine gives the same.
struct LogSumExp<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        // NaN does not win a maximum, but any sum it is in is NaN.
        let mut lanes = [f32::NEG_INFINITY; 16];
        for piece in self.0.chunks(16) {
            for (most, &x) in lanes.iter_mut().zip(piece) {
                *most = if x > *most { x } else { *most };
            }
        }
        let most = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        if most.is_infinite() {
            return f32::NAN;
        }
        let mut lanes = [0.0_f32; 16];
        for piece in self.0.chunks(16) {
            for (sum, x) in lanes.iter_mut().zip(piece) {
                *sum += exp(x - most);
            }
        }
        let sum: f64 = lanes.iter().map(|&sum| f64::from(sum)).sum();
        most + sum.ln() as f32
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
    fn a_target_beyond_the_vocabulary_is_an_error() {
        assert!(cross_entropy(&tensor(1, 4, 1.0), &tensor(3, 4, 1.0), &[3]).is_err());
        assert!(cross_entropy(&tensor(1, 4, 1.0), &tensor(3, 4, 1.0), &[0, 1]).is_err());
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
        fn pieces_do_not_change_the_losses(num_rows in 1_usize..20, max_rows in 1_usize..20) {
            let (hidden, head) = (tensor(num_rows, 8, 3.0), tensor(50, 8, 2.0));
            let targets: Vec<u32> = (0..num_rows as u32).map(|row| row * 13 % 50).collect();
            let whole = cross_entropy(&hidden, &head, &targets).unwrap().to_vec1::<f32>().unwrap();
            let pieces = cross_entropy_in_pieces(&hidden, &head, &targets, max_rows).unwrap();
            for (whole, piece) in whole.iter().zip(pieces.to_vec1::<f32>().unwrap()) {
                prop_assert!((whole - piece).abs() < 1e-5);
            }
        }
    }
}
