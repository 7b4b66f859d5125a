//! What decoding a video gives, the same in builds with and without video.

use manyframe_core::{ClipFrames, Digest, Handling, SampleClip, SampleImage};
use serde::{Deserialize, Serialize};

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

/// A pass over the frames of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Frames are decoded and encoded.
    Frames,
    /// Frames are decoded and compared later.
    Digests,
    /// Frames of a cut are decoded and compared with those of its source.
    Cut,
    /// The file is decoded as a reader does that only counts frames.
    Count,
}

/// A frame that was decoded to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameDigest {
    /// Its position in the index.
    pub index: usize,
    /// Equal for equal pixels.
    pub digest: Digest,
    /// Its width in pixels, as it is stored.
    pub width_px: u32,
    /// Its height in pixels, as it is stored.
    pub height_px: u32,
}

/// Where decoding can go on: at a keyframe behind frames that are all sound. Nothing after it is shown before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// Its packet, as a position in decoding order.
    pub packet: usize,
    /// Number of frames that come before it.
    pub num_frames: usize,
}

/// What was kept of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<T> {
    /// What was made of frames, in the order in which they were decoded.
    pub items: Vec<T>,
    /// Where decoding can go on. Without it, the other frames are reached as if they were all.
    pub beginning: Option<Beginning>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { items: Vec::new(), beginning: None }
    }
}

/// Keeps what is made of frames while a long video is decoded, so that it need not be made again if the process is ended.
pub trait Keeper<T> {
    /// What earlier processes kept of a pass. Asked for once.
    fn kept(&mut self, pass: Pass) -> Kept<T>;

    /// Told of what was made so far, what was kept included, in the order in which it was. Nothing can change it any more.
    fn keep(&mut self, pass: Pass, items: &[T], beginning: Option<Beginning>);

    /// The pass starts again: nothing that was kept counts.
    fn forget(&mut self, pass: Pass);
}

/// Keeps frames, and digests of frames.
pub trait FrameKeeper: Keeper<VideoFrame> + Keeper<FrameDigest> {}

impl<K: Keeper<VideoFrame> + Keeper<FrameDigest>> FrameKeeper for K {}

/// Keeps nothing.
impl<T> Keeper<T> for () {
    fn kept(&mut self, _: Pass) -> Kept<T> {
        Kept::default()
    }

    fn keep(&mut self, _: Pass, _: &[T], _: Option<Beginning>) {}

    fn forget(&mut self, _: Pass) {}
}
