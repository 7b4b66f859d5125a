//! The tensors of a model, from its configuration alone.

use crate::config::{FeedForwardKind, JambaConfig, MixerKind, ModelConfig, VisionConfig};

/// A tensor that a model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name here; see the table in `names.rs`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What a random model has in it.
    pub start: Start,
}

/// How a tensor begins in a random model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Normal numbers with a deviation of one over the root of the inputs.
    Scaled,
    /// Normal numbers with a deviation of 0.02.
    Small,
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Logarithms of 1, 2, 3 … along the last axis (arXiv 2312.00752).
    LogCount,
    /// So that softplus gives step widths from 0.001 to 0.1, evenly spread on a logarithmic scale.
    StepWidths,
}

impl TensorSpec {
    /// Number of values; the bounds of configurations keep it below 2⁶³.
    pub fn num_values(&self) -> u64 {
        self.shape.iter().map(|edge| *edge as u64).product()
    }
}

/// All tensors of a model, in a fixed order.
pub fn specs(config: &ModelConfig) -> impl Iterator<Item = TensorSpec> + '_ {
    let language = &config.language;
    let layers = (0..language.num_hidden_layers).flat_map(|layer| layer_specs(language, layer));
    let vision = config.vision_config.iter().flat_map(|vision| {
        let layers = (0..vision.num_hidden_layers).flat_map(|layer| vision_layer_specs(vision, layer));
        vision_specs(vision).into_iter().chain(layers).chain(projector_specs(vision.hidden_size, language.hidden_size))
    });
    outer_specs(language).into_iter().chain(layers).chain(vision)
}

/// Number of parameters of a model.
pub fn num_parameters(config: &ModelConfig) -> u64 {
    specs(config).map(|spec| spec.num_values()).sum()
}

/// Collects the tensors below a prefix.
struct Below {
    prefix: String,
    specs: Vec<TensorSpec>,
}

impl Below {
    fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), specs: Vec::new() }
    }

    fn add(&mut self, name: &str, shape: &[usize], start: Start) -> &mut Self {
        let name = format!("{}{name}", self.prefix);
        self.specs.push(TensorSpec { name, shape: shape.to_owned(), start });
        self
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> &mut Self {
        self.add(&format!("{name}.weight"), &[outputs, inputs], Start::Scaled)
    }

    fn linear_with_bias(&mut self, name: &str, inputs: usize, outputs: usize) -> &mut Self {
        self.linear(name, inputs, outputs).add(&format!("{name}.bias"), &[outputs], Start::Zeros)
    }

    fn norm(&mut self, name: &str, width: usize) -> &mut Self {
        self.add(&format!("{name}.weight"), &[width], Start::Ones)
    }

    fn norm_with_bias(&mut self, name: &str, width: usize) -> &mut Self {
        self.norm(name, width).add(&format!("{name}.bias"), &[width], Start::Zeros)
    }
}

fn outer_specs(config: &JambaConfig) -> Vec<TensorSpec> {
    let mut below = Below::new("");
    below.add("model.embed_tokens.weight", &[config.vocab_size, config.hidden_size], Start::Small);
    below.norm("model.final_layernorm", config.hidden_size);
    if !config.tie_word_embeddings {
        below.add("lm_head.weight", &[config.vocab_size, config.hidden_size], Start::Small);
    }
    below.specs
}

fn layer_specs(config: &JambaConfig, layer: usize) -> Vec<TensorSpec> {
    let mut below = Below::new(format!("model.layers.{layer}."));
    let hidden = config.hidden_size;
    below.norm("input_layernorm", hidden).norm("pre_ff_layernorm", hidden);
    match config.mixer(layer) {
        MixerKind::Attention => {
            let keys = config.num_groups() * config.head_width();
            below.linear("self_attn.q_proj", hidden, hidden).linear("self_attn.k_proj", hidden, keys);
            below.linear("self_attn.v_proj", hidden, keys).linear("self_attn.o_proj", hidden, hidden);
        }
        MixerKind::Mamba => mamba_specs(config, &mut below),
    }
    let mlp = |below: &mut Below, prefix: &str| {
        let inner = config.intermediate_size;
        below.linear(&format!("{prefix}gate_proj"), hidden, inner).linear(&format!("{prefix}up_proj"), hidden, inner);
        below.linear(&format!("{prefix}down_proj"), inner, hidden);
    };
    match config.feed_forward(layer) {
        FeedForwardKind::Dense => mlp(&mut below, "feed_forward."),
        FeedForwardKind::Experts => {
            below.linear("feed_forward.router", hidden, config.num_experts);
            (0..config.num_experts).for_each(|expert| mlp(&mut below, &format!("feed_forward.experts.{expert}.")));
        }
    }
    below.specs
}

fn mamba_specs(config: &JambaConfig, below: &mut Below) {
    let (hidden, channels, states) = (config.hidden_size, config.num_channels(), config.mamba_d_state);
    let rank = config.dt_rank();
    if config.mamba_proj_bias {
        below.linear_with_bias("mamba.in_proj", hidden, 2 * channels);
        below.linear_with_bias("mamba.out_proj", channels, hidden);
    } else {
        below.linear("mamba.in_proj", hidden, 2 * channels).linear("mamba.out_proj", channels, hidden);
    }
    below.add("mamba.conv1d.weight", &[channels, 1, config.mamba_d_conv], Start::Scaled);
    if config.mamba_conv_bias {
        below.add("mamba.conv1d.bias", &[channels], Start::Zeros);
    }
    below.linear("mamba.x_proj", channels, rank + 2 * states).linear("mamba.dt_proj", rank, channels);
    below.add("mamba.dt_proj.bias", &[channels], Start::StepWidths);
    below.add("mamba.A_log", &[channels, states], Start::LogCount).add("mamba.D", &[channels], Start::Ones);
    below.norm("mamba.dt_layernorm", rank).norm("mamba.b_layernorm", states).norm("mamba.c_layernorm", states);
}

fn vision_specs(config: &VisionConfig) -> Vec<TensorSpec> {
    let (hidden, patch) = (config.hidden_size, config.patch_size);
    let num_places = config.grid_edge() * config.grid_edge() + 1;
    let mut below = Below::new("vision.");
    below.add("embeddings.class_embedding", &[hidden], Start::Small);
    below.add("embeddings.patch_embedding.weight", &[hidden, config.num_channels, patch, patch], Start::Scaled);
    below.add("embeddings.position_embedding.weight", &[num_places, hidden], Start::Small);
    below.norm_with_bias("pre_layrnorm", hidden).norm_with_bias("post_layernorm", hidden);
    below.specs
}

fn vision_layer_specs(config: &VisionConfig, layer: usize) -> Vec<TensorSpec> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut below = Below::new(format!("vision.encoder.layers.{layer}."));
    below.norm_with_bias("layer_norm1", hidden).norm_with_bias("layer_norm2", hidden);
    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        below.linear_with_bias(&format!("self_attn.{name}"), hidden, hidden);
    }
    below.linear_with_bias("mlp.fc1", hidden, inner).linear_with_bias("mlp.fc2", inner, hidden);
    below.specs
}

fn projector_specs(vision: usize, hidden: usize) -> Vec<TensorSpec> {
    let mut below = Below::new("projector.");
    below.linear_with_bias("0", vision, hidden).linear_with_bias("2", hidden, hidden);
    below.specs
}
