//! The language model: Jamba (arXiv 2403.19887), over packed samples and window by window.
//!
//! ```text
//! x ─ norm ─ Mamba or attention ─⊕─ norm ─ MLP or experts ─⊕─▶ … ─ norm ─▶ hidden states ─ head ─▶ logits
//! ```
//!
//! A long sequence runs through all layers one window at a time; what a layer has to remember is in [`State`]: a few
//! rows for Mamba, keys and values of the open sample for attention.

mod attention;
mod feed_forward;
mod mamba;

use candle_core::{DType, Device, Result, Tensor};
use manyframe_kernels::Window;

use crate::ValidateError;
use crate::checkpoint::Checkpoint;
use crate::config::{JambaConfig, MixerKind};
use crate::layers::{Parameters, RmsNorm};
use attention::Attention;
use feed_forward::FeedForward;
use mamba::Mamba;

/// A Jamba model, ready to run.
#[derive(Debug)]
pub struct Jamba {
    embedding: Tensor,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    head: Tensor,
}

/// What the layers of a model remember of the windows before.
#[derive(Debug, Clone)]
pub struct State(Vec<LayerState>);

#[derive(Debug, Clone)]
enum LayerState {
    Mamba(mamba::MambaState),
    Attention(attention::AttentionState),
}

#[derive(Debug)]
struct Layer {
    mixer_norm: RmsNorm,
    mixer: Mixer,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
}

#[derive(Debug)]
enum Mixer {
    Mamba(Mamba),
    Attention(Attention),
}

impl Jamba {
    /// Reads the language model of a checkpoint.
    pub fn read(checkpoint: &Checkpoint, dtype: DType, device: &Device) -> std::result::Result<Self, ValidateError> {
        let config = &checkpoint.config().language;
        let parameters = Parameters::new(checkpoint, dtype, device);
        let model = parameters.below("model");
        let layers =
            (0..config.num_hidden_layers).map(|layer| Layer::read(&model.below("layers").below(layer), config, layer));
        let embedding = model.tensor("embed_tokens.weight")?;
        let head = if config.tie_word_embeddings { embedding.clone() } else { parameters.tensor("lm_head.weight")? };
        let final_norm = model.rms_norm("final_layernorm", config.rms_norm_eps)?;
        Ok(Self { layers: layers.collect::<std::result::Result<_, _>>()?, embedding, final_norm, head })
    }

    /// The embeddings of ids, `[n, hidden]`.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.embedding.index_select(&Tensor::from_slice(ids, ids.len(), self.embedding.device())?, 0)
    }

    /// What the layers remember before the first window.
    pub fn start(&self) -> Result<State> {
        let states = self.layers.iter().map(|layer| match &layer.mixer {
            Mixer::Mamba(mamba) => mamba.start().map(LayerState::Mamba),
            Mixer::Attention(_) => Ok(LayerState::Attention(attention::AttentionState::default())),
        });
        states.collect::<Result<_>>().map(State)
    }

    /// The hidden states of a window, `[T, hidden]`, from its embeddings, after the final norm.
    ///
    /// Windows are given in order, each with the state that the one before left.
    pub fn forward(&self, embeddings: &Tensor, window: &Window, state: &mut State) -> Result<Tensor> {
        let mut x = embeddings.clone();
        for (layer, state) in self.layers.iter().zip(&mut state.0) {
            x = layer.forward(&x, window, state)?;
        }
        self.final_norm.forward(&x)
    }

    /// The head, `[vocabulary, hidden]`.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    /// The logits of hidden states, `[n, vocabulary]`. For a long sequence take [`manyframe_kernels::cross_entropy`].
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul(&self.head.t()?)
    }
}

impl Layer {
    fn read(
        parameters: &Parameters<'_>,
        config: &JambaConfig,
        layer: usize,
    ) -> std::result::Result<Self, ValidateError> {
        let mixer = match config.mixer(layer) {
            MixerKind::Mamba => Mixer::Mamba(Mamba::read(&parameters.below("mamba"), config)?),
            MixerKind::Attention => Mixer::Attention(Attention::read(&parameters.below("self_attn"), config)?),
        };
        Ok(Self {
            mixer_norm: parameters.rms_norm("input_layernorm", config.rms_norm_eps)?,
            mixer,
            feed_forward_norm: parameters.rms_norm("pre_ff_layernorm", config.rms_norm_eps)?,
            feed_forward: FeedForward::read(&parameters.below("feed_forward"), config, layer)?,
        })
    }

    fn forward(&self, x: &Tensor, window: &Window, state: &mut LayerState) -> Result<Tensor> {
        let normed = self.mixer_norm.forward(x)?;
        let mixed = match (&self.mixer, state) {
            (Mixer::Mamba(mamba), LayerState::Mamba(state)) => mamba.forward(&normed, window, state)?,
            (Mixer::Attention(attention), LayerState::Attention(state)) => attention.forward(&normed, window, state)?,
            _ => candle_core::bail!("the state is that of another model"),
        };
        let x = (x + mixed)?;
        let fed = self.feed_forward.forward(&self.feed_forward_norm.forward(&x)?)?;
        x + fed
    }
}
