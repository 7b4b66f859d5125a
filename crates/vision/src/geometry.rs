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
pub struct Clip {
    /// The size of its frames.
    pub size: Size,
    /// How many frames it has.
    pub num_frames: u32,
    /// Frames per second.
    pub rate: f64,
}

impl Clip {
    /// In seconds.
    pub(crate) fn duration_s(self) -> f64 {
        f64::from(self.num_frames) / self.rate
    }
}

/// An image or a video, as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Geometry {
    /// An image, after its EXIF orientation is applied.
    Image(Size),
    /// A video, after its rotation is applied.
    Video(Clip),
}

impl Geometry {
    /// The size of the image, or of a frame.
    pub fn size(self) -> Size {
        match self {
            Self::Image(size) => size,
            Self::Video(clip) => clip.size,
        }
    }
}
