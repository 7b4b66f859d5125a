//! What decoding a video gives, the same in builds with and without video.

use manyframe_core::{ClipFrames, Handling, SampleClip, SampleImage};

use crate::damage::FrameDamage;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFrame {
    /// Its position in the index.
    pub index: usize,
    /// When it is shown, in seconds from the first frame.
    pub time_s: f64,
    /// The frame as a JPEG: upright, scaled according to the policy.
    pub image: SampleImage,
    /// How it came to its bytes.
    pub handling: Handling,
}

/// The frames of a video that could be decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedVideo {
    /// The frames in presentation order, at least one.
    pub frames: Vec<VideoFrame>,
    /// How many more were selected, and how many are damaged.
    pub damage: FrameDamage,
}

/// A video file to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveredClip {
    /// The file.
    pub clip: SampleClip,
    /// Where the frames are in it.
    pub frames: ClipFrames,
}

/// Keeps frames while a long video is decoded, so that they need not be decoded again if the process is ended.
pub trait FrameKeeper {
    /// The frame at a position of the index, if it was kept.
    fn kept(&mut self, position: usize) -> Option<VideoFrame>;

    /// Told after each frame: those so far, in the order in which they were kept or decoded. Nothing can change them any more.
    fn keep(&mut self, frames: &[VideoFrame]);
}

/// Keeps nothing.
impl FrameKeeper for () {
    fn kept(&mut self, _: usize) -> Option<VideoFrame> {
        None
    }

    fn keep(&mut self, _: &[VideoFrame]) {}
}
