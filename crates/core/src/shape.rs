//! What is known of a visual before it is decoded: its size, its frames or its tiles.

use crate::media::{FrameChoice, Grid};
use crate::record::VisualKind;

/// The size and the frames or tiles of a visual: all on which its tokens can depend.
#[derive(Debug, Clone, PartialEq)]
pub enum VisualShape {
    /// One image.
    Image {
        /// Width and height in pixels.
        size_px: (u32, u32),
    },
    /// An image cut into tiles (AnyRes): an overview, then the tiles row by row.
    Tiled {
        /// Rows and columns of tiles, without the overview.
        grid: Grid,
    },
    /// Frames of a video, in time.
    Video {
        /// Width and height in pixels.
        size_px: (u32, u32),
        /// Which they are.
        frames: FrameChoice,
    },
}

impl VisualShape {
    /// How it is shown.
    pub fn kind(&self) -> VisualKind {
        match self {
            Self::Image { .. } => VisualKind::Image,
            Self::Tiled { .. } => VisualKind::Tiled,
            Self::Video { .. } => VisualKind::Video,
        }
    }

    /// How many images it consists of: frames, or the overview and all tiles.
    pub fn num_images(&self) -> u64 {
        match self {
            Self::Image { .. } => 1,
            Self::Tiled { grid } => grid.num_tiles().saturating_add(1),
            Self::Video { frames, .. } => frames.taken.len() as u64,
        }
    }
}
