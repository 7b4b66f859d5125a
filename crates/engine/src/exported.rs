//! What every export has in common: how much was written, and the images of a sample as other trainers take them.

use std::borrow::Cow;

use manyframe_core::{Sample, SampleImage};
use manyframe_media::video::decode_clip;
use manyframe_media::{ImagePolicy, MediaError, prepare_pixels};
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
    /// Images.
    pub num_images: u64,
    /// Size of all files together.
    pub num_bytes: u64,
}

/// The images of a sample. Its trainers read images only: the frames of a video file are encoded.
pub(crate) fn images_of(sample: &Sample) -> Result<Cow<'_, [SampleImage]>, EngineError> {
    if sample.clips.is_empty() {
        return Ok(Cow::Borrowed(&sample.images));
    }
    let undecodable = |error: MediaError| EngineError::Clip { id: sample.id.to_string(), detail: error.to_string() };
    let policy = ImagePolicy::default();
    let (mut images, mut clips) = (Vec::new(), sample.clips.iter());
    for visual in &sample.visuals {
        let clip = visual.clip.as_ref().and_then(|frames| Some((frames, clips.next()?)));
        let Some((frames, clip)) = clip else {
            images.extend(sample.images.iter().skip(visual.first_image).take(visual.num_images).cloned());
            continue;
        };
        for frame in decode_clip(clip, frames, &policy.limits).map_err(undecodable)? {
            images.push(prepare_pixels(&frame, &policy).map_err(undecodable)?);
        }
    }
    Ok(Cow::Owned(images))
}
