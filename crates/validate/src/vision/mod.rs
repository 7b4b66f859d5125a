//! Images to token embeddings: preprocessing, vision tower, pooling, projector.

mod clip;
mod preprocess;

use candle_core::{DType, Device, Result, Tensor};
use manyframe_kernels::{Pool, normalize, normalize_images, pool};
use manyframe_media::RgbImage;

use crate::config::ModelConfig;
use crate::error::ValidateError;
use crate::layers::{Linear, Parameters};
use clip::ClipEncoder;
pub use preprocess::preprocess;

/// How the patches of an image are averaged to tokens (LongLLaVA, arXiv 2409.02889).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageTokens {
    /// Square blocks of the grid of patches are averaged to `edge × edge` tokens: 144 if `edge` is 12, 36 if it is 6.
    TwoD {
        /// Tokens along a side.
        edge: usize,
    },
    /// Runs of consecutive patches are averaged to this many tokens.
    OneD {
        /// Tokens per image.
        num_tokens: usize,
    },
}

/// A vision tower with its projector, ready to run.
#[derive(Debug)]
pub struct Tower {
    clip: ClipEncoder,
    pool: Pool,
    projector: [Linear; 2],
    image_size: u32,
    dtype: DType,
    device: Device,
}

impl ImageTokens {
    /// Tokens per image.
    pub fn num_tokens(self) -> usize {
        match self {
            Self::TwoD { edge } => edge * edge,
            Self::OneD { num_tokens } => num_tokens,
        }
    }

    /// Square blocks to this many tokens; `None` if it is not a square number.
    pub fn square(num_tokens: usize) -> Option<Self> {
        let edge = num_tokens.isqrt();
        (edge > 0 && edge * edge == num_tokens).then_some(Self::TwoD { edge })
    }

    /// The pooling of a grid of patches; `None` if whole blocks or runs do not yield that many tokens.
    fn pool(self, grid_edge: usize) -> Option<Pool> {
        let pool = match self {
            Self::TwoD { edge } => Pool::two_d(grid_edge, grid_edge.checked_div(edge)?),
            Self::OneD { num_tokens } => {
                Pool::one_d(grid_edge * grid_edge, (grid_edge * grid_edge).checked_div(num_tokens)?)
            }
        };
        pool.filter(|pool| pool.num_outputs() == self.num_tokens())
    }
}

impl Tower {
    /// Reads the vision tower of a checkpoint; `None` if it has none.
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        config: &ModelConfig,
        tokens: ImageTokens,
    ) -> std::result::Result<Option<Self>, ValidateError> {
        let (Some(vision), Some(num_layers)) = (&config.vision_config, config.num_vision_layers()) else {
            return Ok(None);
        };
        let Some(pool) = tokens.pool(vision.grid_edge()) else {
            let (edge, num_tokens) = (vision.grid_edge(), tokens.num_tokens());
            let detail = format!("its {edge}×{edge} patches of an image cannot be averaged to {num_tokens} tokens");
            return Err(ValidateError::Unfit { detail });
        };
        let projector = parameters.below("projector");
        Ok(Some(Self {
            clip: ClipEncoder::read(&parameters.below("vision"), vision, num_layers)?,
            pool,
            projector: [projector.linear_with_bias("0")?, projector.linear_with_bias("2")?],
            image_size: vision.image_size as u32,
            dtype: parameters.dtype(),
            device: parameters.device().clone(),
        }))
    }

    /// The embeddings of images of any size, `[images, tokens, hidden]`.
    pub(crate) fn encode(&self, images: &[RgbImage]) -> std::result::Result<Tensor, ValidateError> {
        let squares = preprocess::squares(images, self.image_size);
        let edge = self.image_size as usize;
        let compute = || {
            let pixels = Tensor::from_vec(squares, (images.len(), edge, edge, 3), &Device::Cpu)?;
            let pixels = pixels.to_device(&self.device)?;
            self.embed(&normalize_images(&pixels, normalize::CLIP, self.dtype)?)
        };
        compute().map_err(ValidateError::compute("the embeddings of images"))
    }

    /// The hidden state that the projector takes, without the class token: `[images, 3, side, side]` of normalised pixels to
    /// `[images, patches, hidden]`.
    ///
    /// # Errors
    ///
    /// Another shape than the tower's, or too little memory.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        let hidden = self.clip.forward(pixels)?;
        hidden.narrow(1, 1, self.pool.num_inputs())
    }

    /// Normalised pixels to token embeddings.
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let pooled = pool(&self.features(pixels)?, self.pool)?;
        let [first, second] = &self.projector;
        second.forward(&first.forward(&pooled)?.gelu_erf()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_and_runs_make_tokens() {
        assert_eq!(ImageTokens::square(144), Some(ImageTokens::TwoD { edge: 12 }));
        assert_eq!(ImageTokens::square(150), None);
        assert!(ImageTokens::TwoD { edge: 6 }.pool(24).is_some());
        assert!(ImageTokens::OneD { num_tokens: 144 }.pool(24).is_some());
        assert!(ImageTokens::TwoD { edge: 7 }.pool(24).is_none());
        assert!(ImageTokens::TwoD { edge: 48 }.pool(24).is_none());
    }
}
