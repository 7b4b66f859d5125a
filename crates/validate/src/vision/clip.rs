//! CLIP's vision transformer (arXiv 2103.00020), up to the hidden state that the projector reads.

use candle_core::{Result, Tensor};

use crate::config::{Activation, VisionConfig};
use crate::error::ValidateError;
use crate::layers::{LayerNorm, Linear, Parameters};

#[derive(Debug)]
pub(super) struct ClipEncoder {
    /// The convolution over patches as a matrix, `[3 × patch × patch, hidden]`.
    patch_weight: Tensor,
    /// `[hidden]`.
    class_embedding: Tensor,
    /// `[1 + patches, hidden]`.
    position_embedding: Tensor,
    pre_norm: LayerNorm,
    layers: Vec<ClipLayer>,
    patch_size: usize,
}

#[derive(Debug)]
struct ClipLayer {
    attention_norm: LayerNorm,
    /// Queries, keys and values.
    inputs: [Linear; 3],
    output: Linear,
    mlp_norm: LayerNorm,
    mlp: [Linear; 2],
    activation: Activation,
    num_heads: usize,
}

impl ClipEncoder {
    /// Reads the embeddings and the first `num_layers` layers.
    pub(super) fn read(
        parameters: &Parameters<'_>,
        config: &VisionConfig,
        num_layers: usize,
    ) -> std::result::Result<Self, ValidateError> {
        let embeddings = parameters.below("embeddings");
        let weight = embeddings.tensor("patch_embedding.weight")?;
        let as_matrix = || weight.flatten_from(1)?.t()?.contiguous();
        let layers = parameters.below("encoder").below("layers");
        let layers = (0..num_layers).map(|layer| ClipLayer::read(&layers.below(layer), config));
        Ok(Self {
            patch_weight: as_matrix().map_err(ValidateError::compute("the parameters of the vision tower"))?,
            class_embedding: embeddings.tensor("class_embedding")?,
            position_embedding: embeddings.tensor("position_embedding.weight")?,
            // The name is misspelled in every checkpoint.
            pre_norm: parameters.layer_norm("pre_layrnorm", config.layer_norm_eps)?,
            layers: layers.collect::<std::result::Result<_, _>>()?,
            patch_size: config.patch_size,
        })
    }

    /// `[images, 3, side, side]` to `[images, 1 + patches, hidden]`, the class token first.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (num_images, channels, height, width) = pixels.dims4()?;
        let (rows, columns) = (height / self.patch_size, width / self.patch_size);
        let patches = pixels
            .reshape(&[num_images, channels, rows, self.patch_size, columns, self.patch_size][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((num_images * rows * columns, channels * self.patch_size * self.patch_size))?
            .matmul(&self.patch_weight)?
            .reshape((num_images, rows * columns, ()))?;
        let hidden = patches.dim(2)?;
        let class = self.class_embedding.reshape((1, 1, hidden))?.expand((num_images, 1, hidden))?;
        let x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.position_embedding)?;
        let mut x = self.pre_norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

impl ClipLayer {
    fn read(parameters: &Parameters<'_>, config: &VisionConfig) -> std::result::Result<Self, ValidateError> {
        let (attention, mlp) = (parameters.below("self_attn"), parameters.below("mlp"));
        let input = |name| attention.linear_with_bias(name);
        Ok(Self {
            attention_norm: parameters.layer_norm("layer_norm1", config.layer_norm_eps)?,
            inputs: [input("q_proj")?, input("k_proj")?, input("v_proj")?],
            output: attention.linear_with_bias("out_proj")?,
            mlp_norm: parameters.layer_norm("layer_norm2", config.layer_norm_eps)?,
            mlp: [mlp.linear_with_bias("fc1")?, mlp.linear_with_bias("fc2")?],
            activation: config.hidden_act,
            num_heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attend(&self.attention_norm.forward(x)?)?)?;
        let [first, second] = &self.mlp;
        let inner = first.forward(&self.mlp_norm.forward(&x)?)?;
        let inner = match self.activation {
            Activation::QuickGelu => (&inner * candle_nn::ops::sigmoid(&(&inner * 1.702)?)?)?,
            Activation::Gelu => inner.gelu_erf()?,
        };
        x + second.forward(&inner)?
    }

    /// Attention of every token to every other: an image is short enough for a matrix of all pairs.
    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (num_images, num_tokens, hidden) = x.dims3()?;
        let width = hidden / self.num_heads;
        let by_head = |linear: &Linear| {
            let heads = linear.forward(x)?.reshape((num_images, num_tokens, self.num_heads, width))?;
            heads.transpose(1, 2)?.contiguous()
        };
        let [q, k, v] = &self.inputs;
        let scale = 1.0 / (width as f64).sqrt();
        let scores = ((by_head(q)? * scale)?.matmul(&by_head(k)?.t()?))?;
        let mixed = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&by_head(v)?)?;
        self.output.forward(&mixed.transpose(1, 2)?.contiguous()?.reshape((num_images, num_tokens, hidden))?)
    }
}
