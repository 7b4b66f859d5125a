//! The language model: Jamba (arXiv 2403.19887).

use serde::{Deserialize, Serialize};

use super::untrusted::{Bounds, divides};

/// A Jamba model. Defaults are those of transformers' `JambaConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JambaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside a feed-forward layer or an expert.
    pub intermediate_size: usize,
    /// Number of layers, each a mixer followed by a feed-forward layer.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, which divide the query heads; the same number as query heads if `null`.
    pub num_key_value_heads: Option<usize>,
    /// Every how many layers the mixer is attention.
    pub attn_layer_period: usize,
    /// The first layer whose mixer is attention.
    pub attn_layer_offset: usize,
    /// Every how many layers there is a mixture of experts, if there is more than one expert.
    pub expert_layer_period: usize,
    /// The first layer with a mixture of experts.
    pub expert_layer_offset: usize,
    /// Experts per layer; 1 is a dense model.
    pub num_experts: usize,
    /// Experts that each token is routed to.
    pub num_experts_per_tok: usize,
    /// Mamba: states per channel.
    pub mamba_d_state: usize,
    /// Mamba: taps of the convolution.
    pub mamba_d_conv: usize,
    /// Mamba: channels, as a multiple of `hidden_size`.
    pub mamba_expand: usize,
    /// Mamba: rank of the projection of step sizes.
    pub mamba_dt_rank: DtRank,
    /// Mamba: whether the convolution has a bias.
    pub mamba_conv_bias: bool,
    /// Mamba: whether the projections in and out have biases.
    pub mamba_proj_bias: bool,
    /// Added to the mean square under the root.
    pub rms_norm_eps: f64,
    /// Whether the output head is the token embedding.
    pub tie_word_embeddings: bool,
    /// The activation of feed-forward layers and of Mamba; only `silu` is supported.
    pub hidden_act: String,
}

/// The rank of the projection of step sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DtRank {
    /// This rank.
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

/// What mixes the tokens of a sequence in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixerKind {
    /// A selective state space (arXiv 2312.00752).
    Mamba,
    /// Grouped-query attention.
    Attention,
}

/// What follows the mixer of a layer.
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
        bounds.within([
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 17),
            ("intermediate_size", self.intermediate_size, 1 << 19),
            ("num_hidden_layers", self.num_hidden_layers, 1024),
            ("num_attention_heads", self.num_attention_heads, 1024),
            ("num_key_value_heads", self.num_groups(), 1024),
            ("attn_layer_period", self.attn_layer_period, 1024),
            ("expert_layer_period", self.expert_layer_period, 1024),
            ("num_experts", self.num_experts, 1024),
            ("num_experts_per_tok", self.num_experts_per_tok, 1024),
            ("mamba_d_state", self.mamba_d_state, 1024),
            ("mamba_d_conv", self.mamba_d_conv, 64),
            ("mamba_expand", self.mamba_expand, 64),
            ("mamba_dt_rank", self.dt_rank(), 1 << 17),
        ]);
        self.check_combinations(&mut bounds);
        bounds.expect(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0, || {
            format!("rms_norm_eps is {}, expected a number between 0 and 1", self.rms_norm_eps)
        });
        bounds.expect(self.hidden_act == "silu", || format!("hidden_act is {:?}, expected \"silu\"", self.hidden_act));
        bounds.0
    }

    fn check_combinations(&self, bounds: &mut Bounds) {
        let (hidden, heads, groups) = (self.hidden_size, self.num_attention_heads, self.num_groups());
        bounds.expect(divides(heads, hidden), || {
            format!("hidden_size {hidden} is not a multiple of num_attention_heads {heads}")
        });
        bounds.expect(divides(groups, heads), || {
            format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}")
        });
        bounds.expect(self.attn_layer_offset < self.attn_layer_period, || {
            format!(
                "attn_layer_offset {} is not below attn_layer_period {}",
                self.attn_layer_offset, self.attn_layer_period
            )
        });
        bounds.expect(self.expert_layer_offset < self.expert_layer_period, || {
            format!(
                "expert_layer_offset {} is not below expert_layer_period {}",
                self.expert_layer_offset, self.expert_layer_period
            )
        });
        bounds.expect(self.num_experts == 1 || self.num_experts_per_tok <= self.num_experts, || {
            format!("num_experts_per_tok is {}, more than num_experts {}", self.num_experts_per_tok, self.num_experts)
        });
    }

    /// Key and value heads: groups of query heads that share one.
    pub fn num_groups(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Mamba: channels.
    pub fn num_channels(&self) -> usize {
        self.hidden_size.saturating_mul(self.mamba_expand)
    }

    /// Mamba: rank of the projection of step sizes.
    pub fn dt_rank(&self) -> usize {
        match self.mamba_dt_rank {
            DtRank::Rank(rank) => rank,
            DtRank::Word(Auto::Auto) => self.hidden_size.div_ceil(16),
        }
    }

    /// The mixer of a layer.
    pub fn mixer(&self, layer: usize) -> MixerKind {
        let is_attention = layer % self.attn_layer_period.max(1) == self.attn_layer_offset;
        if is_attention { MixerKind::Attention } else { MixerKind::Mamba }
    }

    /// The feed-forward half of a layer.
    pub fn feed_forward(&self, layer: usize) -> FeedForwardKind {
        let has_experts = self.num_experts > 1 && layer % self.expert_layer_period.max(1) == self.expert_layer_offset;
        if has_experts { FeedForwardKind::Experts } else { FeedForwardKind::Dense }
    }
}
