//! What a processor sees of a medium before it is decoded: sizes, frames and rates.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub height_px: u32,
    /// Columns.
    pub width_px: u32,
}

impl Size {
    /// A size of that height and width.
    pub const fn new(height_px: u32, width_px: u32) -> Self {
        Self { height_px, width_px }
    }

    /// As high as it is wide.
    pub const fn square(side_px: u32) -> Self {
        Self::new(side_px, side_px)
    }

    /// Height times width.
    pub fn num_pixels(self) -> u64 {
        u64::from(self.height_px) * u64::from(self.width_px)
    }

    pub(crate) fn height(self) -> f64 {
        f64::from(self.height_px)
    }

    pub(crate) fn width(self) -> f64 {
        f64::from(self.width_px)
    }

    pub(crate) fn pixels(self) -> f64 {
        self.height() * self.width()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width_px, self.height_px)
    }
}

/// A video, of which a processor takes frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip<'f> {
    /// The size of its frames.
    pub size: Size,
    /// How many frames it has.
    pub num_frames: u32,
    /// Frames per second.
    pub rate: f64,
    /// The frames that were taken before, in their order. `None` if the processor chooses them.
    pub taken: Option<&'f [u32]>,
}

impl<'f> Clip<'f> {
    /// A video of which no frame is chosen yet.
    pub const fn new(size: Size, num_frames: u32, rate: f64) -> Self {
        Self { size, num_frames, rate, taken: None }
    }

    /// The video with frames that are taken already.
    #[must_use]
    pub const fn with_frames(self, taken: &'f [u32]) -> Self {
        Self { taken: Some(taken), ..self }
    }

    /// In seconds.
    pub(crate) fn duration_s(self) -> f64 {
        f64::from(self.num_frames) / self.rate
    }
}

/// An image or a video, as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Geometry<'f> {
    /// An image, after its EXIF orientation is applied.
    Image(Size),
    /// An image that is delivered as an overview and rows of tiles, each an image of its own.
    Tiles {
        /// Rows of tiles.
        rows: u32,
        /// Tiles in a row.
        columns: u32,
    },
    /// A video, after its rotation is applied.
    Video(Clip<'f>),
}

impl Geometry<'_> {
    /// The size of the image, or of a frame; `None` of tiles.
    pub fn size(self) -> Option<Size> {
        match self {
            Self::Image(size) => Some(size),
            Self::Tiles { .. } => None,
            Self::Video(clip) => Some(clip.size),
        }
    }
}
