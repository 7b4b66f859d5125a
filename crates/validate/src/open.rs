//! A model made ready from its directory: device, type and size of images chosen.

use std::path::Path;

use candle_core::DType;

use crate::ValidateError;
use crate::checkpoint::{Checkpoint, num_parameters};
use crate::device::DeviceChoice;
use crate::measure::{Footprint, ModelFacts};
use crate::model::{HybridModel, ModelOptions};
use crate::vision::ImageTokens;

/// A model that is ready to run, and what reports say of it.
#[derive(Debug)]
pub struct OpenModel {
    /// The model.
    pub model: HybridModel,
    /// What it is.
    pub facts: ModelFacts,
    /// What it takes.
    pub footprint: Footprint,
}

impl OpenModel {
    /// Opens a model whose images become so many tokens: in blocks if that is a square, in runs if not.
    pub fn open(directory: &Path, choice: DeviceChoice, tokens_per_image: usize) -> Result<Self, ValidateError> {
        let checkpoint = Checkpoint::open(directory)?;
        let image_tokens =
            ImageTokens::square(tokens_per_image).unwrap_or(ImageTokens::OneD { num_tokens: tokens_per_image });
        let options = ModelOptions { image_tokens, ..ModelOptions::on(choice.open()?) };
        let (dtype, window_tokens) = (options.dtype, options.window_tokens as u64);
        let facts = ModelFacts {
            digest: checkpoint.digest(),
            num_parameters: num_parameters(checkpoint.config()),
            vocab_size: checkpoint.config().language.vocab_size,
            tokens_per_image,
            is_random: checkpoint.is_random(),
            device: if options.device.is_cuda() { "cuda" } else { "cpu" }.to_owned(),
            dtype: dtype.as_str().to_owned(),
        };
        // Forecasts are for cards, which run models in 16 bits.
        let num_bytes = if dtype == DType::F32 { 2 } else { dtype.size_in_bytes() as u64 };
        let footprint = Footprint::of(checkpoint.config(), num_bytes, window_tokens);
        Ok(Self { model: HybridModel::read(&checkpoint, options)?, facts, footprint })
    }
}
