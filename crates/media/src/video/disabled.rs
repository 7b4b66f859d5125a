//! The public interface of the module `video` in builds without the feature of that name: opening a video is a rejection.
//!
//! **Invariant:** no [`VideoInput`] exists, so nothing that takes one is ever called.

mod decoded;
mod version;

use std::convert::Infallible;
use std::path::PathBuf;

use manyframe_base::InputFile;
use manyframe_core::{Clip, ClipFrames, RejectCode, SampleClip};

pub use decoded::{Beginning, DecodedVideo, DeliveredClip, FrameDigest, FrameKeeper, Keeper, Kept, Pass, VideoFrame};
pub use version::VideoVersion;

use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::located::Located;
use crate::pixels::RgbImage;
use crate::policy::ImagePolicy;
use crate::sampling::Sampling;

/// Whether this build can decode video.
pub const IS_ENABLED: bool = false;

/// Always the rejection `unsupported_media`.
pub fn ensure_enabled() -> Result<(), MediaError> {
    Err(unsupported())
}

/// An open video; there is none in this build.
#[derive(Debug, Clone)]
pub struct VideoInput {
    never: Infallible,
}

/// The frames of a video; there are none in this build.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoIndex {
    /// Width of the frames in pixels.
    pub width_px: u32,
    /// Height of the frames in pixels.
    pub height_px: u32,
    never: Infallible,
}

/// Indexes of videos; there are none in this build.
#[derive(Debug, Clone, Default)]
pub struct KeptIndexes {
    // As with video, others cannot make one by its name.
    _private: (),
}

impl KeptIndexes {
    /// Keeps nothing.
    pub fn in_directory(_: Option<PathBuf>) -> Self {
        Self::default()
    }

    /// Never called.
    pub fn index_video(
        &self,
        (input, _): (&VideoInput, VideoVersion),
        _: &MediaLimits,
        _: Option<f64>,
    ) -> Result<VideoIndex, MediaError> {
        match input.never {}
    }
}

/// Frames to decode.
#[derive(Debug, Clone, Copy)]
pub struct FrameSelection<'i> {
    /// The index of their video.
    pub index: &'i VideoIndex,
    /// Their positions in the index.
    pub positions: &'i [usize],
}

/// Frames of a video to deliver as a file.
#[derive(Debug, Clone, Copy)]
pub struct ClipRequest<'i> {
    /// The index of the video.
    pub index: &'i VideoIndex,
    /// The first and one past the last frame of the part that the record is about.
    pub part: (usize, usize),
    /// Positions in the index of the frames that are shown.
    pub positions: &'i [usize],
}

/// Never called.
pub fn may_be_clip(input: &VideoInput, _: ClipRequest<'_>, _: &MediaLimits) -> Result<bool, MediaError> {
    match input.never {}
}

/// Never called.
pub fn deliver_clip(
    input: &VideoInput,
    _: ClipRequest<'_>,
    _: &MediaLimits,
    _: &mut dyn FrameKeeper,
) -> Result<Option<DeliveredClip>, MediaError> {
    match input.never {}
}

/// Always the rejection `unsupported_media`.
pub fn check_clip(_: &SampleClip, _: &ClipFrames, _: &MediaLimits) -> Result<(u32, u32), MediaError> {
    Err(unsupported())
}

/// Always the rejection `unsupported_media`.
pub fn decode_clip(_: &SampleClip, _: &ClipFrames, _: &MediaLimits) -> Result<Vec<RgbImage>, MediaError> {
    Err(unsupported())
}

/// Always the rejection `unsupported_media`.
pub fn open_bytes(_: &[u8]) -> Result<VideoInput, MediaError> {
    Err(unsupported())
}

/// Always the rejection `unsupported_media`.
pub fn open_input(_: &Located) -> Result<VideoInput, MediaError> {
    Err(unsupported())
}

/// Always the rejection `unsupported_media`.
pub fn open_range(_: &InputFile, _: u64, _: u64) -> Result<VideoInput, MediaError> {
    Err(unsupported())
}

/// Never called.
pub fn index_video(input: &VideoInput, _: &MediaLimits, _: Option<f64>) -> Result<VideoIndex, MediaError> {
    match input.never {}
}

/// Never called.
pub fn choose_frames(index: &VideoIndex, _: Option<Clip>, _: &Sampling) -> Result<Vec<usize>, MediaError> {
    match index.never {}
}

/// Never called.
pub fn decode_frames(
    input: &VideoInput,
    _: FrameSelection<'_>,
    _: &ImagePolicy,
    _: &mut dyn FrameKeeper,
) -> Result<DecodedVideo, MediaError> {
    match input.never {}
}

impl VideoIndex {
    /// Number of frames.
    pub fn num_frames(&self) -> usize {
        match self.never {}
    }

    /// What is known of these frames without decoding any.
    pub fn known_damage(&self, _: &[usize]) -> FrameDamage {
        match self.never {}
    }

    /// When a frame is shown, in seconds from the first one.
    pub fn time_s(&self, _: usize) -> f64 {
        match self.never {}
    }

    /// Average frames per second.
    pub fn fps(&self) -> f64 {
        match self.never {}
    }

    /// Seconds from the start of the first frame to the end of the last one.
    pub fn duration_s(&self) -> f64 {
        match self.never {}
    }
}

fn unsupported() -> MediaError {
    MediaError::rejected(RejectCode::UnsupportedMedia, "this manyframe was built without the feature `video`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyframe_core::Rejection;

    #[test]
    fn a_video_is_rejected_as_unsupported() {
        assert!(matches!(
            ensure_enabled(),
            Err(MediaError::Rejected(Rejection { code: RejectCode::UnsupportedMedia, .. }))
        ));
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = InputFile::open(file.path()).unwrap();
        for result in [open_input(&Located::File("a.mp4".into())), open_range(&file, 0, 1)] {
            assert!(
                matches!(result, Err(MediaError::Rejected(Rejection { code: RejectCode::UnsupportedMedia, .. }))),
                "{result:?}"
            );
        }
    }
}
