//! Causal grouped-query attention over packed samples, without a matrix of all pairs: memory grows linearly with length.
//!
//! Scores exist for one block of queries and one block of keys at a time; blocks are joined by their running maximum and sum
//! ("online softmax", FlashAttention, arXiv 2205.14135). There is no positional encoding, as in Jamba (arXiv 2403.19887).
//!
//! `cpu.rs` is a separate kernel; `blocks.rs` is built from candle's matrix products, which are cuBLAS on CUDA.

mod blocks;
mod cpu;
mod inputs;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
pub use inputs::AttentionInputs;

use crate::storage::{prepared, values};
use crate::window::TokenWindow;
use blocks::attention_in_blocks;
use cpu::AttentionValues;
use inputs::HeadSizes;

/// Attention of a window's tokens to themselves and to the earlier tokens of their samples: `[T, heads, width]`, in the type of
/// the queries. Scores are divided by √width.
///
/// # Errors
///
/// A shape that does not fit the window, or heads that are not a multiple of the groups.
pub fn attention(inputs: AttentionInputs<'_>, window: &TokenWindow) -> Result<Tensor> {
    let sizes = inputs.check(window)?;
    let AttentionInputs { q, k, v } = inputs;
    if !q.device().is_cpu() {
        return attention_in_blocks(inputs, window);
    }
    let op = AttentionOp { window: window.clone(), sizes };
    prepared(q)?.apply_op3_no_bwd(&prepared(k)?, &prepared(v)?, &op)?.to_dtype(q.dtype())
}

/// The operation over queries, keys and values, on the CPU.
struct AttentionOp {
    window: TokenWindow,
    sizes: HeadSizes,
}

impl CustomOp3 for AttentionOp {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (values(q, q_layout)?, values(k, k_layout)?, values(v, v_layout)?);
        let inputs = AttentionValues { q, k, v, sizes: self.sizes };
        Ok((CpuStorage::F32(inputs.attend(&self.window)), q_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests;
