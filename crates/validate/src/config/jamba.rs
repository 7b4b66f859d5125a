//! The language model: Jamba (arXiv 2403.19887).

use serde::{Deserialize, Serialize};

use super::Bounds;

/// A Jamba model. Defaults are those of Hugging Face's `JambaConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JambaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside of a feed-forward layer or an expert.
    pub intermediate_size: usize,
    /// Layers, each a mixer and a feed-forward layer.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values. Default: as many as heads of queries if `null`.
    pub num_key_value_heads: Option<usize>,
    /// One layer in so many is attention.
    pub attn_layer_period: usize,
    /// The first layer that is attention.
    pub attn_layer_offset: usize,
    /// One layer in so many has experts, if there is more than one.
    pub expert_layer_period: usize,
    /// The first layer that has experts.
    pub expert_layer_offset: usize,
    /// Experts of a layer; 1 is a dense model.
    pub num_experts: usize,
    /// Experts that a token is sent to.
    pub num_experts_per_tok: usize,
    /// States of a channel.
    pub mamba_d_state: usize,
    /// Taps of the convolution.
    pub mamba_d_conv: usize,
    /// Channels of Mamba over `hidden_size`.
    pub mamba_expand: usize,
    /// Rank of the step widths.
    pub mamba_dt_rank: DtRank,
    /// Whether the convolution has a bias.
    pub mamba_conv_bias: bool,
    /// Whether the projections in and out of Mamba have a bias.
    pub mamba_proj_bias: bool,
    /// What is added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// The activation of feed-forward layers and of Mamba; only `silu` exists.
    pub hidden_act: String,
}

/// The rank of the step widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DtRank {
    /// So many.
    Rank(usize),
    /// A sixteenth of `hidden_size`, rounded up.
    Word(Auto),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auto {
    /// `"auto"`.
    #[serde(rename = "auto")]
    Auto,
}

/// What mixes tokens in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixerKind {
    /// A selective state space.
    Mamba,
    /// Attention.
    Attention,
}

/// What follows the mixer in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForwardKind {
    /// One MLP.
    Dense,
    /// A mixture of experts.
    Experts,
}

impl Default for JambaConfig {
    fn default() -> Self {
        Self {
            vocab_size: 65_536,
            hidden_size: 4096,
            intermediate_size: 14_336,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: Some(8),
            attn_layer_period: 8,
            attn_layer_offset: 4,
            expert_layer_period: 2,
            expert_layer_offset: 1,
            num_experts: 16,
            num_experts_per_tok: 2,
            mamba_d_state: 16,
            mamba_d_conv: 4,
            mamba_expand: 2,
            mamba_dt_rank: DtRank::Word(Auto::Auto),
            mamba_conv_bias: true,
            mamba_proj_bias: false,
            rms_norm_eps: 1e-6,
            tie_word_embeddings: false,
            hidden_act: "silu".to_owned(),
        }
    }
}

impl JambaConfig {
    /// Everything that is out of range or does not fit together.
    pub fn problems(&self) -> Vec<String> {
        let mut bounds = Bounds(Vec::new());
        bounds.check("vocab_size", self.vocab_size, 1 << 24);
        bounds.check("hidden_size", self.hidden_size, 1 << 17);
        bounds.check("intermediate_size", self.intermediate_size, 1 << 19);
        bounds.check("num_hidden_layers", self.num_hidden_layers, 1024);
        bounds.check("num_attention_heads", self.num_attention_heads, 1024);
        bounds.check("num_key_value_heads", self.num_groups(), 1024);
        bounds.check("attn_layer_period", self.attn_layer_period, 1024);
        bounds.check("expert_layer_period", self.expert_layer_period, 1024);
        bounds.check("num_experts", self.num_experts, 1024);
        bounds.check("num_experts_per_tok", self.num_experts_per_tok, 1024);
        bounds.check("mamba_d_state", self.mamba_d_state, 1024);
        bounds.check("mamba_d_conv", self.mamba_d_conv, 64);
        bounds.check("mamba_expand", self.mamba_expand, 64);
        bounds.check("mamba_dt_rank", self.dt_rank(), 1 << 17);
        let fits = |whole: usize, part: usize| part > 0 && whole.is_multiple_of(part);
        bounds.check_that(fits(self.hidden_size, self.num_attention_heads), || {
            format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            )
        });
        bounds.check_that(fits(self.num_attention_heads, self.num_groups()), || {
            let (heads, groups) = (self.num_attention_heads, self.num_groups());
            format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}")
        });
        bounds.check_that(self.attn_layer_offset < self.attn_layer_period, || {
            format!("attn_layer_offset {} is not below attn_layer_period", self.attn_layer_offset)
        });
        bounds.check_that(self.expert_layer_offset < self.expert_layer_period, || {
            format!("expert_layer_offset {} is not below expert_layer_period", self.expert_layer_offset)
        });
        bounds.check_that(self.num_experts == 1 || self.num_experts_per_tok <= self.num_experts, || {
            format!("num_experts_per_tok is {}, and there are {} experts", self.num_experts_per_tok, self.num_experts)
        });
        bounds.check_that(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0, || {
            format!("rms_norm_eps is {}, expected a number between 0 and 1", self.rms_norm_eps)
        });
        bounds.check_that(self.hidden_act == "silu", || {
            format!("hidden_act is {:?}, expected \"silu\"", self.hidden_act)
        });
        bounds.0
    }

    /// Heads of keys and values.
    pub fn num_groups(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Channels of Mamba.
    pub fn num_channels(&self) -> usize {
        self.hidden_size.saturating_mul(self.mamba_expand)
    }

    /// Rank of the step widths.
    pub fn dt_rank(&self) -> usize {
        match self.mamba_dt_rank {
            DtRank::Rank(rank) => rank,
            DtRank::Word(Auto::Auto) => self.hidden_size.div_ceil(16),
        }
    }

    /// What mixes tokens in a layer.
    pub fn mixer(&self, layer: usize) -> MixerKind {
        let is_attention = layer % self.attn_layer_period.max(1) == self.attn_layer_offset;
        if is_attention { MixerKind::Attention } else { MixerKind::Mamba }
    }

    /// What follows the mixer in a layer.
    pub fn feed_forward(&self, layer: usize) -> FeedForwardKind {
        let has_experts = self.num_experts > 1 && layer % self.expert_layer_period.max(1) == self.expert_layer_offset;
        if has_experts { FeedForwardKind::Experts } else { FeedForwardKind::Dense }
    }
}
