//! The whole model: packed samples in, the loss of every label out.

use candle_core::{DType, Device, Result, Tensor};
use manyframe_kernels::{Packing, cross_entropy};
use manyframe_media::RgbImage;

use crate::ValidateError;
use crate::checkpoint::Checkpoint;
use crate::jamba::Jamba;
use crate::sequence::{Part, Sequence};
use crate::vision::{ImageTokens, Tower};

/// How a model is run.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Where.
    pub device: Device,
    /// In which type: `F32`, `BF16` or `F16`.
    pub dtype: DType,
    /// How images become tokens.
    pub image_tokens: ImageTokens,
    /// Tokens of a window: what runs through the layers at a time. Default: 4096.
    pub window_tokens: usize,
    /// Images that run through the tower at a time. Default: 8.
    pub batch_images: usize,
}

impl ModelOptions {
    /// The defaults on a device: `f32` on the CPU, `bf16` elsewhere; 144 tokens an image.
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

/// The embeddings of images, `[images, tokens, hidden]`.
#[derive(Debug, Clone)]
pub struct Features(Option<Tensor>);

impl Features {
    /// Those of no images.
    pub fn none() -> Self {
        Self(None)
    }

    /// So many images: these, again and again.
    pub(crate) fn cycled(&self, num_images: usize) -> Result<Self> {
        let Some(features) = &self.0 else { return Ok(Self(None)) };
        let num_own = features.dim(0)?;
        let nth: Vec<u32> = (0..num_images).map(|image| (image % num_own.max(1)) as u32).collect();
        Ok(Self(Some(features.index_select(&Tensor::from_vec(nth, num_images, features.device())?, 0)?)))
    }
}

/// The losses of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// The place of each label that is predicted: that of the token before it.
    pub places: Vec<usize>,
    /// `−ln p` of each, in the same order.
    pub values: Vec<f32>,
}

impl HybridModel {
    /// Reads a model onto its device.
    pub fn read(checkpoint: &Checkpoint, options: ModelOptions) -> std::result::Result<Self, ValidateError> {
        let ModelOptions { device, dtype, image_tokens, .. } = &options;
        Ok(Self {
            jamba: Jamba::read(checkpoint, *dtype, device)?,
            tower: Tower::read(checkpoint, *image_tokens, *dtype, device)?,
            vocab_size: checkpoint.config().language.vocab_size,
            options,
        })
    }

    /// The language model.
    pub fn jamba(&self) -> &Jamba {
        &self.jamba
    }

    /// The vision tower, unless the model is for text only.
    pub fn tower(&self) -> Option<&Tower> {
        self.tower.as_ref()
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// How it is run.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// The embeddings of images, in order.
    pub fn encode_images(&self, images: &[RgbImage]) -> std::result::Result<Features, ValidateError> {
        if images.is_empty() {
            return Ok(Features(None));
        }
        let Some(tower) = &self.tower else {
            return Err(ValidateError::Unfit { detail: "it has no vision tower".to_owned() });
        };
        let batches = images.chunks(self.options.batch_images.max(1)).map(|batch| tower.encode(batch));
        let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
        let features = Tensor::cat(&batches, 0).map_err(ValidateError::compute("the embeddings of images"))?;
        Ok(Features(Some(features)))
    }

    /// The losses of samples that share one packed sequence. Each has its own images.
    pub fn losses(&self, batch: &[(&Sequence, &Features)]) -> std::result::Result<Vec<Losses>, ValidateError> {
        self.compute_losses(batch).map_err(ValidateError::compute("the losses of samples"))
    }

    fn compute_losses(&self, batch: &[(&Sequence, &Features)]) -> Result<Vec<Losses>> {
        let packing = Packing::from_lengths(batch.iter().map(|(sequence, _)| sequence.len()));
        let mut losses = vec![Losses::default(); batch.len()];
        let mut state = self.jamba.start()?;
        for window in packing.windows(self.options.window_tokens) {
            let (from, to) = (window.start(), window.start() + window.num_tokens());
            let mut rows = Vec::new();
            let (mut predicting, mut targets) = (Vec::new(), Vec::new());
            let mut start = 0;
            for ((sequence, features), losses) in batch.iter().zip(&mut losses) {
                let end = start + sequence.len();
                let places = from.clamp(start, end) - start..to.clamp(start, end) - start;
                self.embed(sequence, features, places.clone(), &mut rows)?;
                for place in places {
                    if let Some(Some(target)) = sequence.targets().get(place) {
                        predicting.push((start + place - from) as u32);
                        targets.push(*target);
                        losses.places.push(place);
                    }
                }
                start = end;
            }
            let hidden = self.jamba.forward(&Tensor::cat(&rows, 0)?, &window, &mut state)?;
            if targets.is_empty() {
                continue;
            }
            let predicting = Tensor::from_slice(&predicting, predicting.len(), hidden.device())?;
            let hidden = hidden.index_select(&predicting, 0)?;
            let mut values = cross_entropy(&hidden, self.jamba.head(), &targets)?.to_vec1::<f32>()?.into_iter();
            for losses in &mut losses {
                let num_open = losses.places.len() - losses.values.len();
                losses.values.extend(values.by_ref().take(num_open));
            }
        }
        Ok(losses)
    }

    /// Appends the embeddings of a stretch of a sequence.
    fn embed(
        &self,
        sequence: &Sequence,
        features: &Features,
        places: std::ops::Range<usize>,
        rows: &mut Vec<Tensor>,
    ) -> Result<()> {
        for part in sequence.parts(places) {
            rows.push(match (part, &features.0) {
                (Part::Text(ids), _) => self.jamba.embed(ids)?,
                (Part::Image(image, tokens), Some(features)) => {
                    features.get(image)?.narrow(0, tokens.start, tokens.len())?
                }
                (Part::Image(..), None) => candle_core::bail!("a sample with images has no embeddings of them"),
            });
        }
        Ok(())
    }
}
