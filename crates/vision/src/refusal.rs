//! Why a processor takes no image or video of some size or length.

use crate::geometry::Size;

/// The reason why a processor raises an error instead of returning tokens.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to show.
    #[error("{size} pixels: there is nothing to see")]
    Empty {
        /// The size of the medium.
        size: Size,
    },
    /// A strip.
    #[error("{size} pixels: one side is {ratio:.1} times the other, where the processor allows 200")]
    TooNarrow {
        /// The size of the medium.
        size: Size,
        /// The longer side, divided by the shorter one.
        ratio: f64,
    },
    /// It shrinks to nothing.
    #[error("{size} pixels: a side shrinks to nothing within {max_tokens} tokens")]
    VanishingSide {
        /// The size of the medium.
        size: Size,
        /// The most tokens it may take.
        max_tokens: u64,
    },
    /// The video is shorter than what is asked for.
    #[error("{wanted} frames are wanted of a video that has {num_frames}")]
    TooFewFrames {
        /// Frames that the settings ask for.
        wanted: u32,
        /// Frames of the video.
        num_frames: u32,
    },
    /// The settings take no frame of it.
    #[error("no frame is taken of a video that has {num_frames}")]
    NoFrame {
        /// Frames of the video.
        num_frames: u32,
    },
    /// One frame, where the processor cannot show less than two.
    #[error("a single frame is taken, where the processor needs two")]
    SingleFrame,
    /// Rounding asks for a frame beyond the end, with which the processor of `transformers` crashes.
    #[error("taking {wanted} of {num_frames} frames, the processor asks for frame {num_frames}, which does not exist")]
    FrameBeyondEnd {
        /// Frames that the settings ask for.
        wanted: u32,
        /// Frames of the video.
        num_frames: u32,
    },
    /// More than any model takes: a mistake in the settings.
    #[error("{num_images} images, at most {most} are possible")]
    TooManyImages {
        /// Frames, or tiles and the overview.
        num_images: u64,
        /// How many are possible.
        most: u64,
    },
    /// The image was cut into tiles, which the processor does itself.
    #[error("the model cuts images into tiles itself")]
    Tiles,
    /// The model shows one video at a time.
    #[error("the model takes one video in a sample")]
    SecondVideo,
    /// The frames of all videos of a sample become one tensor.
    #[error(
        "{num_frames} frames, where another video of the sample has {others}: the processor takes videos of one length only"
    )]
    UnlikeVideos {
        /// Frames of this video.
        num_frames: usize,
        /// Frames of the first video.
        others: usize,
    },
    /// The model shows no videos.
    #[error("the model takes no videos")]
    Video,
    /// The settings do not say what an image costs.
    #[error("there is no law: what an image costs is unknown")]
    NoLaw,
    /// No rate, so times are unknown.
    #[error("a rate of {rate} frames per second: times are unknown")]
    NoRate {
        /// As the container states it.
        rate: f64,
    },
}

/// A medium that a processor refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("medium {medium_index}: {reason}")]
pub struct Refused {
    /// Its position among the media of the sample.
    pub medium_index: usize,
    /// Why.
    pub reason: Refusal,
}
