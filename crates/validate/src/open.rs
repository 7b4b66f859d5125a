//! Opens a model for a validation: chooses device, number type and image tokens, and collects what reports say about it.

use std::path::Path;

use candle_core::DType;
use manyframe_core::DeviceChoice;

use crate::checkpoint::{Checkpoint, num_parameters};
use crate::device::open_device;
use crate::error::ValidateError;
use crate::measure::{Footprint, ModelFacts};
use crate::model::{HybridModel, ModelOptions};
use crate::vision::ImageTokens;

/// A model that is ready to run, and what reports say about it.
#[derive(Debug)]
pub struct OpenModel {
    /// The model.
    pub model: HybridModel,
    /// Its identity and settings.
    pub facts: ModelFacts,
    /// The memory it needs in 16 bits.
    pub footprint: Footprint,
}

impl OpenModel {
    /// Opens a model with this many tokens per image: square blocks of patches are averaged if the number is a square, runs of
    /// patches otherwise.
    ///
    /// # Errors
    ///
    /// The directory holds no complete model, its patches cannot be averaged to that many tokens, or the device cannot be
    /// opened or has too little memory.
    pub fn open(directory: &Path, choice: DeviceChoice, tokens_per_image: usize) -> Result<Self, ValidateError> {
        let checkpoint = Checkpoint::open(directory)?;
        let in_runs = ImageTokens::OneD { num_tokens: tokens_per_image };
        let image_tokens = ImageTokens::square(tokens_per_image).unwrap_or(in_runs);
        let options = ModelOptions { image_tokens, ..ModelOptions::on(open_device(choice)?) };
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
        // Forecasts are for GPUs, which run models in 16 bits.
        let bytes_per_value = if dtype == DType::F32 { 2 } else { dtype.size_in_bytes() as u64 };
        let footprint = Footprint::of(checkpoint.config(), bytes_per_value, window_tokens);
        Ok(Self { model: HybridModel::read(&checkpoint, options)?, facts, footprint })
    }
}
