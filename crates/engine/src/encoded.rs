//! A visual with its images encoded, before its sample is made.

use manyframe_core::{Grid, HandledImages, SampleImage, VisualKind};
use manyframe_format::ResolvedVisual;
use manyframe_media::FrameDamage;
use serde::{Deserialize, Serialize};

/// A visual with its images encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodedVisual {
    pub(crate) kind: VisualKind,
    /// The journal keeps them beside the rest.
    #[serde(skip)]
    pub(crate) images: Vec<SampleImage>,
    /// Rows and columns of its tiles, if it has any.
    pub(crate) grid: Option<Grid>,
    /// Times of its frames, if it is a video that was decoded.
    pub(crate) times_s: Vec<f64>,
    /// Path of its medium; empty if an earlier build encoded it.
    pub(crate) path: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// How its images came to their bytes.
    pub(crate) handled: HandledImages,
    pub(crate) damage: FrameDamage,
}

impl EncodedVisual {
    pub(crate) fn without_images(&self) -> Self {
        let (times_s, path) = (self.times_s.clone(), self.path.clone());
        Self { images: Vec::new(), times_s, path, ..*self }
    }

    pub(crate) fn resolved(&self) -> ResolvedVisual {
        match (self.kind, self.grid) {
            (VisualKind::Video, _) => ResolvedVisual::Video { num_frames: self.images.len() as u32 },
            (_, Some(grid)) => ResolvedVisual::Tiled { grid },
            (_, None) => ResolvedVisual::Image,
        }
    }
}
