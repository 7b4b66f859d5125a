//! A visual with its images encoded, before its sample is made.

use manyframe_core::{FrameChoice, Grid, HandledImages, Handling, SampleImage, TileCut, VisualKind, VisualShape};
use manyframe_media::FrameDamage;
use manyframe_media::video::DeliveredClip;
use serde::{Deserialize, Serialize};

/// A visual with its images encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodedVisual {
    pub(crate) kind: VisualKind,
    /// The journal keeps them beside the rest.
    #[serde(skip)]
    pub(crate) images: Vec<SampleImage>,
    /// The video file that is delivered instead of images. The journal keeps it beside the rest, too.
    #[serde(skip)]
    pub(crate) clip: Option<Box<DeliveredClip>>,
    /// Rows and columns of its tiles, if it has any.
    pub(crate) grid: Option<Grid>,
    /// How it was cut, where tiles without loss were asked for.
    #[serde(default)]
    pub(crate) cut: Option<TileCut>,
    /// Times of its frames, if it is a video that was decoded.
    pub(crate) times_s: Vec<f64>,
    /// Path of its medium; empty if an earlier build encoded it.
    pub(crate) path: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Width and height in pixels of what the model's processor is told of.
    pub(crate) told_px: (u32, u32),
    /// Where its frames are in their video, if it is one.
    pub(crate) frames: Option<FrameChoice>,
    /// How its images came to their bytes.
    pub(crate) handled: HandledImages,
    pub(crate) damage: FrameDamage,
}

impl EncodedVisual {
    /// Whether all of its images have this width and height.
    pub(crate) fn is_of(&self, size_px: (u32, u32)) -> bool {
        self.images.iter().all(|image| (image.width_px, image.height_px) == size_px)
    }

    /// All but its images and its video file.
    pub(crate) fn without_files(&self) -> Self {
        let (times_s, path, frames) = (self.times_s.clone(), self.path.clone(), self.frames.clone());
        Self { images: Vec::new(), clip: None, times_s, path, frames, ..*self }
    }

    /// The size and the frames or tiles on which its tokens depend.
    pub(crate) fn shape(&self) -> VisualShape {
        let size_px = self.told_px;
        match (self.kind, self.grid) {
            (VisualKind::Video, _) => {
                let unknown = || FrameChoice::unknown(self.images.len());
                VisualShape::Video { size_px, frames: self.frames.clone().unwrap_or_else(unknown) }
            }
            (_, Some(grid)) => VisualShape::Tiled { grid },
            (_, None) => VisualShape::Image { size_px },
        }
    }
}

/// The counts of how images came to their bytes.
pub(crate) fn handled(handlings: impl IntoIterator<Item = Handling>) -> HandledImages {
    let mut handled = HandledImages::default();
    handlings.into_iter().for_each(|handling| handled.add(handling, 1));
    handled
}
