//! How the pixels of an image become the numbers that a vision tower is given, once it has the size of its plan.
//!
//! Only the arithmetic is here; whoever has pixels applies it.

use crate::constant::Longvila;
use crate::family::Family;
use crate::geometry::Size;
use crate::patches::FRAMES_PER_STEP;
use crate::qwen::{Qwen3Vl, Qwen25Vl};

/// What is subtracted from a channel between 0 and 1, and what the difference is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue.
    pub deviation: [f32; 3],
}

/// The form in which a vision tower takes images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelForm {
    /// Each is padded to a square with CLIP's mean colour and scaled: channels, rows, columns.
    Square {
        /// The side of the square.
        side_px: u32,
        /// How levels become numbers.
        normalisation: Normalisation,
    },
    /// Each is cut into patches, those that are merged to a token one after another: of a patch, channels, frames, rows, columns.
    Patches {
        /// The side of a patch.
        side_px: u32,
        /// Patches along a side of a token.
        merge: u32,
        /// Frames of a patch; an image is shown as often, and so is the last frame of a video that lacks one.
        frames_per_step: u32,
        /// How levels become numbers.
        normalisation: Normalisation,
    },
    /// Each is laid out as its plan says ([`crate::Layout`]). What the tower sees of it, the image or its tiles, is of one size: of
    /// each, channels, rows, columns.
    Tiles {
        /// How an image comes to its canvas.
        fit: CanvasFit,
        /// How levels become numbers.
        normalisation: Normalisation,
    },
}

/// How an image comes to the canvas that is cut into tiles, and where it is also shown as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanvasFit {
    /// It is stretched; the overview follows the tiles.
    Stretched,
    /// It is brought to [`Family::first_size`], then stretched, both by Lanczos' filter; the overview is the canvas at the size of
    /// a tile, and follows the tiles.
    StretchedTwice,
    /// It keeps its shape, with black around it; the overview comes before the tiles.
    Padded,
}

impl Normalisation {
    /// That of OpenAI's CLIP.
    pub const CLIP: Self =
        Self { mean: [0.481_454_66, 0.457_827_5, 0.408_210_73], deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1] };
    /// From −1 to 1.
    pub const SYMMETRIC: Self = Self { mean: [0.5; 3], deviation: [0.5; 3] };
    /// That of ImageNet.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

    /// The mean as a colour, cut to whole levels: what squares are padded with.
    pub fn mean_colour(&self) -> [u8; 3] {
        self.mean.map(|mean| (mean * 255.0) as u8)
    }
}

impl Family {
    /// The form in which its vision tower takes images; `None` where it is not known here.
    pub fn pixel_form(&self) -> Option<PixelForm> {
        let patches = |(side_px, merge), normalisation| PixelForm::Patches {
            side_px,
            merge,
            frames_per_step: FRAMES_PER_STEP,
            normalisation,
        };
        let tiles = |fit, normalisation| PixelForm::Tiles { fit, normalisation };
        match self {
            Self::Longllava(_) => Some(PixelForm::Square { side_px: 336, normalisation: Normalisation::CLIP }),
            Self::Qwen25Vl(_) => Some(patches(Qwen25Vl::patch_sides(), Normalisation::CLIP)),
            Self::Qwen3Vl(_) | Self::Qwen35(_) => Some(patches(Qwen3Vl::patch_sides(), Normalisation::SYMMETRIC)),
            // With other tokens, its vision tower is another.
            Self::Longvila(settings) if settings.tokens_per_image != Longvila::default().tokens_per_image => None,
            Self::Longvila(_) | Self::Nvila(_) => Some(tiles(CanvasFit::Stretched, Normalisation::SYMMETRIC)),
            Self::Idefics3(_) | Self::SmolVlm(_) => Some(tiles(CanvasFit::StretchedTwice, Normalisation::SYMMETRIC)),
            Self::InternVl(_) => Some(tiles(CanvasFit::Stretched, Normalisation::IMAGENET)),
            Self::Llava15(_) | Self::LlavaNext(_) => Some(tiles(CanvasFit::Padded, Normalisation::CLIP)),
            Self::LlavaOneVision(_) => Some(tiles(CanvasFit::Padded, Normalisation::SYMMETRIC)),
            _ => None,
        }
    }

    /// The size to which an image, or a frame of a video, is brought before it is stretched to its canvas, where that is done in
    /// two steps.
    pub fn first_size(&self, image: Size, is_frame: bool) -> Option<Size> {
        match self {
            Self::Idefics3(settings) => Some(settings.first_size(image)),
            Self::SmolVlm(settings) => Some(settings.first_size(image, is_frame)),
            _ => None,
        }
    }
}
