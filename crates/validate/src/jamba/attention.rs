//! The attention mixer: grouped-query attention without positional encoding.

use candle_core::{Result, Tensor};
use manyframe_kernels::{AttentionInputs, TokenWindow, attention};

use crate::config::JambaConfig;
use crate::error::ValidateError;
use crate::layers::{Linear, Parameters};

#[derive(Debug)]
pub(super) struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    num_heads: usize,
    num_groups: usize,
    width: usize,
}

/// Keys and values of the sample that is unfinished at the end of the last window, `[tokens, groups, width]` each.
#[derive(Debug, Clone, Default)]
pub(super) struct AttentionState(Option<(Tensor, Tensor)>);

impl Attention {
    pub(super) fn read(parameters: &Parameters<'_>, config: &JambaConfig) -> std::result::Result<Self, ValidateError> {
        Ok(Self {
            q_proj: parameters.linear("q_proj")?,
            k_proj: parameters.linear("k_proj")?,
            v_proj: parameters.linear("v_proj")?,
            o_proj: parameters.linear("o_proj")?,
            num_heads: config.num_attention_heads,
            num_groups: config.num_groups(),
            width: config.head_width(),
        })
    }

    /// `[T, hidden]` to `[T, hidden]`.
    pub(super) fn forward(&self, x: &Tensor, window: &TokenWindow, state: &mut AttentionState) -> Result<Tensor> {
        let num_tokens = x.dim(0)?;
        let q = self.q_proj.forward(x)?.reshape((num_tokens, self.num_heads, self.width))?;
        let by_group = |linear: &Linear| linear.forward(x)?.reshape((num_tokens, self.num_groups, self.width));
        let (mut k, mut v) = (by_group(&self.k_proj)?, by_group(&self.v_proj)?);
        if let (Some((earlier_k, earlier_v)), true) = (&state.0, window.num_before() > 0) {
            k = Tensor::cat(&[earlier_k, &k], 0)?;
            v = Tensor::cat(&[earlier_v, &v], 0)?;
        }
        let mixed = attention(AttentionInputs { q: &q, k: &k, v: &v }, window)?;
        // Only the unfinished sample is needed again. A copy, because a view would keep the rest in memory.
        let num_open = window.num_open();
        let first_open = k.dim(0)? - num_open;
        let open = |t: &Tensor| if first_open == 0 { Ok(t.clone()) } else { t.narrow(0, first_open, num_open)?.copy() };
        state.0 = Some((open(&k)?, open(&v)?));
        self.o_proj.forward(&mixed.reshape((num_tokens, self.num_heads * self.width))?)
    }
}
