//! The tensors of a model: names, shapes and initial values, from the configuration alone.

use crate::config::{FeedForwardKind, JambaConfig, MixerKind, ModelConfig, VisionConfig};

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name; `names.rs` has a table of other spellings.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values in a random model.
    pub initial: InitialValues,
}

/// The values of a tensor in a random model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialValues {
    /// Normal, with a standard deviation of 1/√inputs.
    Scaled,
    /// Normal, with a standard deviation of 0.02.
    Small,
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// ln 1, ln 2, ln 3 … along the last axis: Mamba's `A_log` (arXiv 2312.00752).
    LogCount,
    /// Log-uniform step sizes from 0.001 to 0.1, through the inverse of softplus.
    StepSizes,
}

impl TensorSpec {
    /// Number of values, below 2⁶³ for a configuration without problems.
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

/// Collects the tensors whose names begin with a prefix.
struct SpecList {
    prefix: String,
    specs: Vec<TensorSpec>,
}

impl SpecList {
    fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), specs: Vec::new() }
    }

    fn add(&mut self, name: &str, shape: &[usize], initial: InitialValues) -> &mut Self {
        let name = format!("{}{name}", self.prefix);
        self.specs.push(TensorSpec { name, shape: shape.to_owned(), initial });
        self
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> &mut Self {
        self.add(&format!("{name}.weight"), &[outputs, inputs], InitialValues::Scaled)
    }

    fn linear_with_bias(&mut self, name: &str, inputs: usize, outputs: usize) -> &mut Self {
        self.linear(name, inputs, outputs).add(&format!("{name}.bias"), &[outputs], InitialValues::Zeros)
    }

    fn norm(&mut self, name: &str, width: usize) -> &mut Self {
        self.add(&format!("{name}.weight"), &[width], InitialValues::Ones)
    }

    fn norm_with_bias(&mut self, name: &str, width: usize) -> &mut Self {
        self.norm(name, width).add(&format!("{name}.bias"), &[width], InitialValues::Zeros)
    }
}

fn outer_specs(config: &JambaConfig) -> Vec<TensorSpec> {
    let mut list = SpecList::new("");
    list.add("model.embed_tokens.weight", &[config.vocab_size, config.hidden_size], InitialValues::Small);
    list.norm("model.final_layernorm", config.hidden_size);
    if !config.tie_word_embeddings {
        list.add("lm_head.weight", &[config.vocab_size, config.hidden_size], InitialValues::Small);
    }
    list.specs
}

fn layer_specs(config: &JambaConfig, layer: usize) -> Vec<TensorSpec> {
    let mut list = SpecList::new(format!("model.layers.{layer}."));
    let hidden = config.hidden_size;
    list.norm("input_layernorm", hidden).norm("pre_ff_layernorm", hidden);
    match config.mixer(layer) {
        MixerKind::Attention => {
            let keys = config.num_groups() * config.head_width();
            list.linear("self_attn.q_proj", hidden, hidden).linear("self_attn.k_proj", hidden, keys);
            list.linear("self_attn.v_proj", hidden, keys).linear("self_attn.o_proj", hidden, hidden);
        }
        MixerKind::Mamba => mamba_specs(config, &mut list),
    }
    let mlp = |list: &mut SpecList, prefix: &str| {
        let inner = config.intermediate_size;
        list.linear(&format!("{prefix}gate_proj"), hidden, inner).linear(&format!("{prefix}up_proj"), hidden, inner);
        list.linear(&format!("{prefix}down_proj"), inner, hidden);
    };
    match config.feed_forward(layer) {
        FeedForwardKind::Dense => mlp(&mut list, "feed_forward."),
        FeedForwardKind::Experts => {
            list.linear("feed_forward.router", hidden, config.num_experts);
            (0..config.num_experts).for_each(|expert| mlp(&mut list, &format!("feed_forward.experts.{expert}.")));
        }
    }
    list.specs
}

fn mamba_specs(config: &JambaConfig, list: &mut SpecList) {
    let (hidden, channels, states) = (config.hidden_size, config.num_channels(), config.mamba_d_state);
    let rank = config.dt_rank();
    if config.mamba_proj_bias {
        list.linear_with_bias("mamba.in_proj", hidden, 2 * channels);
        list.linear_with_bias("mamba.out_proj", channels, hidden);
    } else {
        list.linear("mamba.in_proj", hidden, 2 * channels).linear("mamba.out_proj", channels, hidden);
    }
    list.add("mamba.conv1d.weight", &[channels, 1, config.mamba_d_conv], InitialValues::Scaled);
    if config.mamba_conv_bias {
        list.add("mamba.conv1d.bias", &[channels], InitialValues::Zeros);
    }
    list.linear("mamba.x_proj", channels, rank + 2 * states).linear("mamba.dt_proj", rank, channels);
    list.add("mamba.dt_proj.bias", &[channels], InitialValues::StepSizes);
    list.add("mamba.A_log", &[channels, states], InitialValues::LogCount).add(
        "mamba.D",
        &[channels],
        InitialValues::Ones,
    );
    list.norm("mamba.dt_layernorm", rank).norm("mamba.b_layernorm", states).norm("mamba.c_layernorm", states);
}

fn vision_specs(config: &VisionConfig) -> Vec<TensorSpec> {
    let (hidden, patch) = (config.hidden_size, config.patch_size);
    let num_positions = config.grid_edge() * config.grid_edge() + 1;
    let mut list = SpecList::new("vision.");
    list.add("embeddings.class_embedding", &[hidden], InitialValues::Small);
    list.add("embeddings.patch_embedding.weight", &[hidden, config.num_channels, patch, patch], InitialValues::Scaled);
    list.add("embeddings.position_embedding.weight", &[num_positions, hidden], InitialValues::Small);
    list.norm_with_bias("pre_layrnorm", hidden).norm_with_bias("post_layernorm", hidden);
    list.specs
}

fn vision_layer_specs(config: &VisionConfig, layer: usize) -> Vec<TensorSpec> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut list = SpecList::new(format!("vision.encoder.layers.{layer}."));
    list.norm_with_bias("layer_norm1", hidden).norm_with_bias("layer_norm2", hidden);
    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        list.linear_with_bias(&format!("self_attn.{name}"), hidden, hidden);
    }
    list.linear_with_bias("mlp.fc1", hidden, inner).linear_with_bias("mlp.fc2", inner, hidden);
    list.specs
}

fn projector_specs(vision: usize, hidden: usize) -> Vec<TensorSpec> {
    let mut list = SpecList::new("projector.");
    list.linear_with_bias("0", vision, hidden).linear_with_bias("2", hidden, hidden);
    list.specs
}
