//! Causal grouped-query attention over packed samples, without a matrix of all pairs: memory grows with length only.
//!
//! Scores exist for one block of queries and one block of keys at a time, and blocks are joined by their running maximum
//! and sum ("online softmax", arXiv 2205.14135). Jamba has no positional encoding, and neither has this.
//!
//! Two versions: [`cpu`] is a kernel of its own; [`blocks`] is made of candle's matrix products, which on CUDA are cuBLAS.

mod blocks;
mod cpu;

pub use blocks::attention_in_blocks;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::Window;
use crate::storage::{prepared, values};

/// Attention of the window's tokens to themselves and to what stood before them in their samples.
///
/// `q` is `[T, heads, width]`; `k` and `v` are `[before + T, groups, width]`: first the tokens of the window's first sample
/// that stood before it ([`Window::num_before`]), then the window's. Each group of keys serves `heads / groups` heads.
/// Scores are divided by √width. The result is `[T, heads, width]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, window: &Window) -> Result<Tensor> {
    let sizes = Sizes::of(q, k, v, window)?;
    if !q.device().is_cpu() {
        return attention_in_blocks(q, k, v, window);
    }
    let op = AttentionOp { window: window.clone(), sizes };
    prepared(q)?.apply_op3_no_bwd(&prepared(k)?, &prepared(v)?, &op)?.to_dtype(q.dtype())
}

/// Numbers of heads and of values.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    num_heads: usize,
    num_groups: usize,
    width: usize,
}

impl Sizes {
    fn of(q: &Tensor, k: &Tensor, v: &Tensor, window: &Window) -> Result<Self> {
        let (num_queries, num_heads, width) = q.dims3()?;
        let (num_keys, num_groups, _) = k.dims3()?;
        let expected_keys = window.num_before() + window.num_tokens();
        if num_queries != window.num_tokens() || num_keys != expected_keys {
            bail!(
                "{num_queries} queries and {num_keys} keys for a window of {} tokens after {}",
                window.num_tokens(),
                window.num_before()
            );
        }
        if num_groups == 0 || !num_heads.is_multiple_of(num_groups) {
            bail!("{num_heads} heads cannot share {num_groups} groups of keys");
        }
        if k.dims() != [num_keys, num_groups, width] || v.dims() != k.dims() {
            bail!("queries {:?}, keys {:?} and values {:?} do not fit", q.dims(), k.dims(), v.dims());
        }
        Ok(Self { num_heads, num_groups, width })
    }

    fn heads_per_group(self) -> usize {
        self.num_heads / self.num_groups
    }

    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

struct AttentionOp {
    window: Window,
    sizes: Sizes,
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
        let inputs = cpu::Inputs { q: values(q, q_layout)?, k: values(k, k_layout)?, v: values(v, v_layout)? };
        Ok((CpuStorage::F32(cpu::attend(&inputs, &self.window, self.sizes)), q_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests;
