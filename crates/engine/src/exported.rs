//! What every export has in common: how much was written, and the images of a sample as other trainers take them.

use std::borrow::Cow;

use manyframe_core::{Sample, SampleImage};
use manyframe_media::video::decode_clip;
use manyframe_media::{ImagePolicy, MediaError, MediaLimits, prepare_pixels};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::EngineError;

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exported {
    /// Records or packs.
    pub num_records: u64,
    /// Documents skipped: these trainers read conversations only.
    pub num_documents: u64,
    /// Samples skipped: they have more images than `--max-images`.
    pub num_over_max_images: u64,
    /// Images.
    pub num_images: u64,
    /// Size of all files together.
    pub num_bytes: u64,
}

/// The size at which frames of video files are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameSize {
    /// Their own: the trainer resizes them.
    Own,
    /// That at which their tokens were counted.
    Counted,
}

/// The images of a sample. Its trainers read images only: the frames of a video file are encoded.
pub(crate) fn images_of(sample: &Sample, size: FrameSize) -> Result<Cow<'_, [SampleImage]>, EngineError> {
    if sample.clips.is_empty() {
        return Ok(Cow::Borrowed(&sample.images));
    }
    let undecodable = |error: MediaError| EngineError::Clip { id: sample.id.to_string(), detail: error.to_string() };
    let limits = MediaLimits::default();
    let (mut images, mut clips) = (Vec::new(), sample.clips.iter());
    for visual in &sample.visuals {
        let clip = visual.clip.as_ref().and_then(|frames| Some((frames, clips.next()?)));
        let Some((frames, clip)) = clip else {
            images.extend(sample.images.iter().skip(visual.first_image).take(visual.num_images).cloned());
            continue;
        };
        let model = visual.model.as_ref().filter(|_| size == FrameSize::Counted);
        let policy = ImagePolicy { size_px: model.map(|model| model.resized_px), ..ImagePolicy::default() };
        for frame in decode_clip(clip, frames, &limits).map_err(undecodable)? {
            images.push(prepare_pixels(&frame, &policy).map_err(undecodable)?);
        }
    }
    Ok(Cow::Owned(images))
}
