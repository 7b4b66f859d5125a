//! Images to embeddings: preprocessing, vision tower, pooling, projector.

mod clip;
mod preprocess;

use candle_core::{DType, Device, Result, Tensor};
use manyframe_kernels::{Pool, normalize, normalize_images, pool};
use manyframe_media::RgbImage;

use crate::ValidateError;
use crate::checkpoint::Checkpoint;
use crate::layers::{Linear, Parameters};
use clip::Clip;
pub use preprocess::preprocess;

/// How the vectors of an image become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageTokens {
    /// Blocks of the grid are averaged, so that `edge × edge` tokens are left: 12 gives 144 and 6 gives 36.
    TwoD {
        /// Tokens along a side.
        edge: usize,
    },
    /// Runs along the sequence of vectors are averaged, so that this many tokens are left.
    OneD {
        /// Tokens of an image.
        num_tokens: usize,
    },
}

/// A vision tower with its projector, ready to run.
#[derive(Debug)]
pub struct Tower {
    clip: Clip,
    pool: Pool,
    projector: [Linear; 2],
    image_size: u32,
    dtype: DType,
    device: Device,
}

impl ImageTokens {
    /// Tokens of an image.
    pub fn num_tokens(self) -> usize {
        match self {
            Self::TwoD { edge } => edge * edge,
            Self::OneD { num_tokens } => num_tokens,
        }
    }

    /// The two-dimensional way to this many tokens; `None` if it is not a square.
    pub fn square(num_tokens: usize) -> Option<Self> {
        let edge = num_tokens.isqrt();
        (edge > 0 && edge * edge == num_tokens).then_some(Self::TwoD { edge })
    }

    fn pool(self, grid_edge: usize) -> Option<Pool> {
        match self {
            Self::TwoD { edge } => Pool::two_d(grid_edge, grid_edge.checked_div(edge)?),
            Self::OneD { num_tokens } => {
                Pool::one_d(grid_edge * grid_edge, (grid_edge * grid_edge).checked_div(num_tokens)?)
            }
        }
        .filter(|pool| pool.num_outputs() == self.num_tokens())
    }
}

impl Tower {
    /// Reads the vision tower of a checkpoint; `None` if it has none.
    pub fn read(
        checkpoint: &Checkpoint,
        tokens: ImageTokens,
        dtype: DType,
        device: &Device,
    ) -> std::result::Result<Option<Self>, ValidateError> {
        let config = checkpoint.config();
        let (Some(vision), Some(num_layers)) = (&config.vision_config, config.num_vision_layers()) else {
            return Ok(None);
        };
        let Some(pool) = tokens.pool(vision.grid_edge()) else {
            let edge = vision.grid_edge();
            let detail =
                format!("{edge}×{edge} vectors of an image cannot be averaged to {} tokens", tokens.num_tokens());
            return Err(ValidateError::Unfit { detail });
        };
        let parameters = Parameters::new(checkpoint, dtype, device);
        let projector = parameters.below("projector");
        Ok(Some(Self {
            clip: Clip::read(&parameters.below("vision"), vision, num_layers)?,
            pool,
            projector: [projector.linear_with_bias("0")?, projector.linear_with_bias("2")?],
            image_size: vision.image_size as u32,
            dtype,
            device: device.clone(),
        }))
    }

    /// Tokens of an image.
    pub fn tokens_per_image(&self) -> usize {
        self.pool.num_outputs()
    }

    /// The embeddings of images, `[images, tokens, hidden]`, from pixels of any size.
    pub fn encode(&self, images: &[RgbImage]) -> std::result::Result<Tensor, ValidateError> {
        let squares = preprocess::squares(images, self.image_size);
        let edge = self.image_size as usize;
        let compute = || {
            let pixels =
                Tensor::from_vec(squares, (images.len(), edge, edge, 3), &Device::Cpu)?.to_device(&self.device)?;
            self.embed(&normalize_images(&pixels, normalize::CLIP, self.dtype)?)
        };
        compute().map_err(ValidateError::compute("the embeddings of images"))
    }

    /// The hidden state that is used of normalised pixels `[images, 3, side, side]`, the class token dropped.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        let hidden = self.clip.forward(pixels)?;
        hidden.narrow(1, 1, self.pool.num_inputs())
    }

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
    fn only_whole_blocks_make_tokens() {
        assert_eq!(ImageTokens::square(144), Some(ImageTokens::TwoD { edge: 12 }));
        assert_eq!(ImageTokens::square(150), None);
        assert!(ImageTokens::TwoD { edge: 6 }.pool(24).is_some());
        assert!(ImageTokens::OneD { num_tokens: 144 }.pool(24).is_some());
        assert!(ImageTokens::TwoD { edge: 7 }.pool(24).is_none());
        assert!(ImageTokens::TwoD { edge: 48 }.pool(24).is_none());
    }
}
