//! The language model, Jamba (arXiv 2403.19887), over packed samples, window by window.
//!
//! ```text
//! x ─ norm ─ Mamba or attention ─⊕─ norm ─ MLP or experts ─⊕─▶ … ─ norm ─▶ hidden states ─ head ─▶ logits
//! ```
//!
//! A long sequence runs through all layers one window at a time. What layers remember between windows is in [`JambaState`]: a
//! few rows for Mamba, keys and values of the unfinished sample for attention.

mod attention;
mod feed_forward;
mod mamba;

use candle_core::{Result, Tensor, bail};
use manyframe_kernels::TokenWindow;

use crate::config::{JambaConfig, MixerKind};
use crate::error::ValidateError;
use crate::layers::{Parameters, RmsNorm};
use attention::{Attention, AttentionState};
use feed_forward::FeedForward;
use mamba::{Mamba, MambaState};

/// A Jamba model, ready to run.
#[derive(Debug)]
pub struct Jamba {
    embedding: Tensor,
    layers: Vec<JambaLayer>,
    final_norm: RmsNorm,
    head: Tensor,
}

/// What the layers remember of the windows so far.
#[derive(Debug, Clone)]
pub struct JambaState(Vec<LayerState>);

#[derive(Debug, Clone)]
enum LayerState {
    Mamba(MambaState),
    Attention(AttentionState),
}

#[derive(Debug)]
struct JambaLayer {
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
    pub(crate) fn read(parameters: &Parameters<'_>, config: &JambaConfig) -> std::result::Result<Self, ValidateError> {
        let model = parameters.below("model");
        let layers = model.below("layers");
        let layers = (0..config.num_hidden_layers).map(|layer| JambaLayer::read(&layers.below(layer), config, layer));
        let embedding = model.tensor("embed_tokens.weight")?;
        let head = if config.tie_word_embeddings { embedding.clone() } else { parameters.tensor("lm_head.weight")? };
        let final_norm = model.rms_norm("final_layernorm", config.rms_norm_eps)?;
        Ok(Self { layers: layers.collect::<std::result::Result<_, _>>()?, embedding, final_norm, head })
    }

    /// The embeddings of token ids, `[n, hidden]`.
    ///
    /// # Errors
    ///
    /// An id that is not in the vocabulary, or too little memory.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.embedding.index_select(&Tensor::from_slice(ids, ids.len(), self.embedding.device())?, 0)
    }

    /// The state before the first window.
    ///
    /// # Errors
    ///
    /// Too little memory.
    pub fn start(&self) -> Result<JambaState> {
        let states = self.layers.iter().map(|layer| match &layer.mixer {
            Mixer::Mamba(mamba) => mamba.start().map(LayerState::Mamba),
            Mixer::Attention(_) => Ok(LayerState::Attention(AttentionState::default())),
        });
        states.collect::<Result<_>>().map(JambaState)
    }

    /// The hidden states of a window after the final norm, `[T, hidden]`, from its embeddings, `[T, hidden]`.
    ///
    /// Windows must be run in order, all with the same state, which each of them updates.
    ///
    /// # Errors
    ///
    /// A shape that does not fit the window, a state of another model, or too little memory.
    pub fn forward(&self, embeddings: &Tensor, window: &TokenWindow, state: &mut JambaState) -> Result<Tensor> {
        if state.0.len() != self.layers.len() {
            bail!("the state belongs to a different model");
        }
        let mut x = embeddings.clone();
        for (layer, state) in self.layers.iter().zip(&mut state.0) {
            x = layer.forward(&x, window, state)?;
        }
        self.final_norm.forward(&x)
    }

    /// The output head, `[vocabulary, hidden]`.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    /// The logits of hidden states, `[n, vocabulary]`. [`manyframe_kernels::cross_entropy()`] needs less memory if only losses are
    /// wanted.
    ///
    /// # Errors
    ///
    /// Another width, or too little memory.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul(&self.head.t()?)
    }
}

impl JambaLayer {
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

    fn forward(&self, x: &Tensor, window: &TokenWindow, state: &mut LayerState) -> Result<Tensor> {
        let normed = self.mixer_norm.forward(x)?;
        let mixed = match (&self.mixer, state) {
            (Mixer::Mamba(mamba), LayerState::Mamba(state)) => mamba.forward(&normed, window, state)?,
            (Mixer::Attention(attention), LayerState::Attention(state)) => attention.forward(&normed, window, state)?,
            _ => bail!("the state belongs to a different model"),
        };
        let x = (x + mixed)?;
        let fed = self.feed_forward.forward(&self.feed_forward_norm.forward(&x)?)?;
        x + fed
    }
}
