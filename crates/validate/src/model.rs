//! The whole model: packed samples in, the loss of every label out.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor, bail};
use manyframe_kernels::{CrossEntropyInputs, PackedSamples, TokenWindow, cross_entropy};
use manyframe_media::RgbImage;

use crate::checkpoint::Checkpoint;
use crate::error::ValidateError;
use crate::jamba::Jamba;
use crate::layers::Parameters;
use crate::sequence::{Sequence, SequenceSizes, SpanTokens};
use crate::vision::{ImageTokens, Tower};

/// How a model runs.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Where.
    pub device: Device,
    /// The number type: `F32`, `BF16` or `F16`.
    pub dtype: DType,
    /// How images become tokens.
    pub image_tokens: ImageTokens,
    /// Tokens that run through the layers at a time. Default: 4096.
    pub window_tokens: usize,
    /// Images that run through the vision tower at a time. Default: 8.
    pub batch_images: usize,
}

impl ModelOptions {
    /// The defaults for a device: `f32` on the CPU, `bf16` elsewhere, 144 tokens per image.
    pub fn on(device: Device) -> Self {
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let image_tokens = ImageTokens::TwoD { edge: 12 };
        Self { device, dtype, image_tokens, window_tokens: 4096, batch_images: 8 }
    }
}

/// A hybrid model, ready to run.
#[derive(Debug)]
pub struct HybridModel {
    jamba: Jamba,
    tower: Option<Tower>,
    vocab_size: usize,
    options: ModelOptions,
}

/// The embeddings of a sample's images, `[images, tokens, hidden]`.
#[derive(Debug, Clone)]
pub struct ImageFeatures(Option<Tensor>);

impl ImageFeatures {
    /// The features of a sample without images.
    pub fn none() -> Self {
        Self(None)
    }

    /// The embeddings of one image, `[tokens, hidden]`.
    pub(crate) fn image(&self, image: usize) -> Result<Tensor> {
        match &self.0 {
            Some(features) => features.get(image),
            None => bail!("no image features for a prompt that has images"),
        }
    }

    /// Features of this many images, by repeating these in turn. Of none, none.
    pub(crate) fn cycled(&self, num_images: usize) -> Result<Self> {
        let Some(features) = &self.0 else { return Ok(Self(None)) };
        let num_own = features.dim(0)?.max(1);
        let images: Vec<u32> = (0..num_images).map(|image| (image % num_own) as u32).collect();
        Ok(Self(Some(features.index_select(&Tensor::from_vec(images, num_images, features.device())?, 0)?)))
    }
}

/// The losses of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenLosses {
    /// The position that predicts each label: the one before the label, increasing.
    pub positions: Vec<usize>,
    /// `−ln p` of each label, in the same order.
    pub values: Vec<f32>,
}

impl HybridModel {
    /// Reads a model onto its device.
    ///
    /// # Errors
    ///
    /// A tensor cannot be read, the device has too little memory, or patches cannot be averaged to the requested number
    /// of tokens.
    pub fn read(checkpoint: &Checkpoint, options: ModelOptions) -> std::result::Result<Self, ValidateError> {
        let config = checkpoint.config();
        let parameters = Parameters::new(checkpoint, options.dtype, &options.device);
        Ok(Self {
            jamba: Jamba::read(&parameters, &config.language)?,
            tower: Tower::read(&parameters, config, options.image_tokens)?,
            vocab_size: config.language.vocab_size,
            options,
        })
    }

    /// The language model.
    pub fn jamba(&self) -> &Jamba {
        &self.jamba
    }

    /// The vision tower; `None` if the model is text-only.
    pub fn tower(&self) -> Option<&Tower> {
        self.tower.as_ref()
    }

    /// The sizes that sequences for this model are laid out with.
    pub fn sequence_sizes(&self) -> SequenceSizes {
        SequenceSizes { tokens_per_image: self.options.image_tokens.num_tokens(), vocab_size: self.vocab_size }
    }

    /// How it runs.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// The features of images, in order.
    ///
    /// # Errors
    ///
    /// There are images and the model is text-only, or the computation fails.
    pub fn encode_images(&self, images: &[RgbImage]) -> std::result::Result<ImageFeatures, ValidateError> {
        if images.is_empty() {
            return Ok(ImageFeatures(None));
        }
        let Some(tower) = &self.tower else {
            return Err(ValidateError::Unfit { detail: "it has no vision tower".to_owned() });
        };
        let batches = images.chunks(self.options.batch_images.max(1)).map(|batch| tower.encode(batch));
        let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
        let features = Tensor::cat(&batches, 0).map_err(ValidateError::compute("the embeddings of images"))?;
        Ok(ImageFeatures(Some(features)))
    }

    /// The losses of samples, each with the features of its images, packed into one sequence.
    ///
    /// # Errors
    ///
    /// The computation fails, or a sample has fewer features than images.
    pub fn losses(
        &self,
        batch: &[(&Sequence, &ImageFeatures)],
    ) -> std::result::Result<Vec<TokenLosses>, ValidateError> {
        self.compute_losses(batch).map_err(ValidateError::compute("the losses of samples"))
    }

    fn compute_losses(&self, batch: &[(&Sequence, &ImageFeatures)]) -> Result<Vec<TokenLosses>> {
        let packed = PackedSamples::from_lengths(batch.iter().map(|(sequence, _)| sequence.len()));
        let mut losses = vec![TokenLosses::default(); batch.len()];
        let mut state = self.jamba.start()?;
        for window in packed.windows(self.options.window_tokens) {
            let inputs = self.inputs(batch, &window)?;
            let hidden = self.jamba.forward(&inputs.embeddings, &window, &mut state)?;
            if inputs.targets.is_empty() {
                continue;
            }
            let predicting = Tensor::from_slice(&inputs.predicting, inputs.predicting.len(), hidden.device())?;
            let hidden = hidden.index_select(&predicting, 0)?;
            let head = self.jamba.head();
            let values = cross_entropy(CrossEntropyInputs { hidden: &hidden, head, targets: &inputs.targets })?;
            let mut values = values.to_vec1::<f32>()?.into_iter();
            for (losses, positions) in losses.iter_mut().zip(inputs.positions) {
                losses.values.extend(values.by_ref().take(positions.len()));
                losses.positions.extend(positions);
            }
        }
        Ok(losses)
    }

    /// Embeds the tokens of a window, and lists its targets.
    fn inputs(&self, batch: &[(&Sequence, &ImageFeatures)], window: &TokenWindow) -> Result<WindowInputs> {
        let (from, to) = (window.start(), window.start() + window.num_tokens());
        let mut embeddings = Vec::new();
        let (mut predicting, mut targets, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for (sequence, features) in batch {
            let end = start + sequence.len();
            let within = from.clamp(start, end) - start..to.clamp(start, end) - start;
            embeddings.extend(self.embed(sequence, features, within.clone())?);
            let mut predicting_here = Vec::new();
            for (position, target) in sequence.targets_within(within) {
                predicting.push((start + position - from) as u32);
                targets.push(target);
                predicting_here.push(position);
            }
            positions.push(predicting_here);
            start = end;
        }
        Ok(WindowInputs { embeddings: Tensor::cat(&embeddings, 0)?, predicting, targets, positions })
    }

    /// The embeddings of a range of positions, span by span.
    fn embed(&self, sequence: &Sequence, features: &ImageFeatures, positions: Range<usize>) -> Result<Vec<Tensor>> {
        let spans = sequence.spans_within(positions).map(|span| match (span, &features.0) {
            (SpanTokens::Text(ids), _) => self.jamba.embed(ids),
            (SpanTokens::Image(image, tokens), Some(features)) => {
                features.get(image)?.narrow(0, tokens.start, tokens.len())
            }
            (SpanTokens::Image(..), None) => bail!("no image features for a sample that has images"),
        });
        spans.collect()
    }
}

/// The tokens of a window, and what is to be predicted in it.
struct WindowInputs {
    /// `[T, hidden]`.
    embeddings: Tensor,
    /// Rows of the window that predict something.
    predicting: Vec<u32>,
    /// The id that each of them predicts.
    targets: Vec<u32>,
    /// By sample, their positions in the sample.
    positions: Vec<Vec<usize>>,
}
