//! Reads packs with their contents: samples from their shards, token ids, pixels.
//!
//! Threads share a reader: each pack is read on its own. Token ids that shards do not hold are made again, with the tokenizer of
//! the dataset.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use manyframe_core::Sample;
use manyframe_dataset::{DatasetReader, OpenTable, PackIndexTable, PackRow, SampleReader};
use manyframe_format::Formatter;
use manyframe_media::video::decode_clip;
use manyframe_media::{MediaError, MediaLimits, RgbImage, decode_rgb};
use manyframe_shards::PackedSequence;

use crate::error::EngineError;
use crate::verify::tokens::open_formatter;

/// Reads the packs of a dataset, in any order.
pub struct PackReader {
    samples: SampleReader,
    index: OpenTable<PackIndexTable>,
    /// Opened when a sample without token ids is met.
    formatter: OnceLock<Result<Formatter, String>>,
}

impl PackReader {
    /// Opens the packs of a dataset.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotPacked`] if it has none, or if the index cannot be read.
    pub fn open(dataset: &DatasetReader) -> Result<Self, EngineError> {
        let not_packed = || {
            let detail = "its samples are not packed; `manyframe pack` packs them".to_owned();
            EngineError::NotPacked { path: dataset.location().to_owned(), detail }
        };
        let index = dataset.open_packs()?.ok_or_else(not_packed)?;
        Ok(Self { samples: SampleReader::new(dataset.clone()), index, formatter: OnceLock::new() })
    }

    /// The dataset.
    pub fn dataset(&self) -> &DatasetReader {
        self.samples.dataset()
    }

    /// Number of packs.
    pub fn num_packs(&self) -> u64 {
        self.index.num_rows()
    }

    /// A pack, by its number.
    ///
    /// # Errors
    ///
    /// If there is none, or the index cannot be read.
    pub fn pack(&self, pack: u64) -> Result<PackRow, EngineError> {
        Ok(self.index.row(pack)?)
    }

    /// All packs, in order.
    ///
    /// # Errors
    ///
    /// If the index cannot be read.
    pub fn packs(&self) -> Result<impl Iterator<Item = Result<PackRow, EngineError>> + use<>, EngineError> {
        Ok(self.dataset().packs()?.map(|row| row.map_err(EngineError::from)))
    }

    /// The samples of a pack, in order.
    ///
    /// # Errors
    ///
    /// If a shard cannot be read, or does not hold its sample.
    pub fn samples(&self, pack: &PackRow) -> Result<Vec<Sample>, EngineError> {
        pack.places().map(|place| Ok(self.samples.packed(place)?)).collect()
    }

    /// The tokens of a pack. Samples without token ids get them.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoTokens`] if ids cannot be made, or if a sample has not as many as the index says.
    pub fn sequence(&self, pack: &PackRow, samples: &mut [Sample]) -> Result<PackedSequence, EngineError> {
        for sample in &mut *samples {
            if sample.tokens.is_none() {
                let tokens = self.formatter()?.encode_sample(sample);
                sample.tokens = Some(tokens.map_err(|error| self.no_tokens(error.to_string()))?);
            }
        }
        let location = || self.location();
        PackedSequence::of(samples, &pack.cu_seqlens).map_err(|error| EngineError::Shard { path: location(), error })
    }

    fn formatter(&self) -> Result<&Formatter, EngineError> {
        let opened = self.formatter.get_or_init(|| open_formatter(self.dataset(), &BTreeMap::new()));
        opened.as_ref().map_err(|detail| self.no_tokens(detail.clone()))
    }

    fn no_tokens(&self, detail: String) -> EngineError {
        EngineError::NoTokens { path: self.location(), detail }
    }

    fn location(&self) -> PathBuf {
        self.dataset().location().to_owned()
    }
}

/// Decodes the images of a sample and the frames of its clips, in placeholder order.
///
/// # Errors
///
/// [`EngineError::Undecodable`] if one of them cannot be decoded.
pub fn decode_images(sample: &Sample) -> Result<Vec<RgbImage>, EngineError> {
    let limits = MediaLimits::default();
    let undecodable =
        |error: MediaError| EngineError::Undecodable { id: sample.id.to_string(), detail: error.to_string() };
    if sample.clips.is_empty() {
        let images = sample.images.iter().map(|image| decode_rgb(&image.bytes, &limits));
        return images.collect::<Result<_, _>>().map_err(undecodable);
    }
    let (mut decoded, mut clips) = (Vec::new(), sample.clips.iter());
    for visual in &sample.visuals {
        if let Some((frames, clip)) = visual.clip.as_ref().and_then(|frames| Some((frames, clips.next()?))) {
            decoded.extend(decode_clip(clip, frames, &limits).map_err(undecodable)?);
        } else {
            for image in sample.images.iter().skip(visual.first_image).take(visual.num_images) {
                decoded.push(decode_rgb(&image.bytes, &limits).map_err(undecodable)?);
            }
        }
    }
    Ok(decoded)
}
