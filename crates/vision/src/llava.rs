//! LLaVA-1.5, LLaVA-NeXT (AnyRes) and LLaVA-OneVision, and Granite 4 Vision, which reduces LLaVA-NeXT's tiles.
//!
//! AnyRes takes the canvas, from a list, on which the image is largest, pads the image to it, cuts it into tiles, and
//! drops the padding from the grid of features again. Each row of features ends with a newline token.
//!
//! Sources, in `transformers` 5.23: `models/llava/processing_llava.py`, `models/llava_next/processing_llava_next.py`,
//! `models/llava_onevision/processing_llava_onevision.py`, `image_processing_utils.py` (`select_best_resolution`).

use std::num::{NonZeroU8, NonZeroU16};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::number::{floor_divide, truncated_to_7_digits};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{MediaToken, VisionProcessor, no_video, plan_each, plan_stacked};
use crate::refusal::Refused;
use crate::sampling::{self, Frames, Sampled, nonzero};

const IMAGE: &str = "<image>";
const VIDEO: &str = "<video>";

/// LLaVA-1.5: every image is a square of 336 px with 576 tokens. Images only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Llava15 {
    /// Height and width that the vision tower sees, in pixels. Default: 336.
    pub side_px: NonZeroU16,
    /// Height and width of a patch, in pixels. Default: 14.
    pub patch_px: NonZeroU16,
    /// Whether the image is padded to a square, as LLaVA's training does, and not cropped. Default: false, as the published
    /// checkpoints of `transformers` do.
    pub pad: bool,
}

impl Default for Llava15 {
    fn default() -> Self {
        Self { side_px: nonzero(336), patch_px: nonzero(14), pad: false }
    }
}

/// LLaVA-NeXT (LLaVA-1.6), and its video model: AnyRes tiles of 336 px; 144 tokens for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LlavaNext {
    /// Height and width of a tile, in pixels. Default: 336.
    pub tile_px: NonZeroU16,
    /// Height and width of a patch, in pixels. Default: 14.
    pub patch_px: NonZeroU16,
    /// Canvases, as (height, width) in pixels, in the checkpoint's order: `image_grid_pinpoints`.
    pub canvases_px: Vec<(NonZeroU16, NonZeroU16)>,
    /// Which frames of a video are taken. Default: 8, whatever its length.
    pub frames: Frames,
}

impl Default for LlavaNext {
    fn default() -> Self {
        let canvases = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)];
        let canvases_px = canvases.map(|(height, width)| (nonzero(height), nonzero(width))).into();
        Self { tile_px: nonzero(336), patch_px: nonzero(14), canvases_px, frames: Frames::count(8) }
    }
}

/// LLaVA-OneVision: AnyRes tiles of 384 px for a sample's only image; 730 tokens for each of several; 196 for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LlavaOneVision {
    /// Features are pooled where an image has more than those of so many tiles. Default: 9 (`anyres_max_9`).
    pub max_tiles: NonZeroU16,
    /// The most tiles on a side of a canvas. Default: 6.
    pub max_tiles_per_side: NonZeroU8,
    /// Which frames of a video are taken. Default: 32, whatever its length.
    pub frames: Frames,
}

impl Default for LlavaOneVision {
    fn default() -> Self {
        Self { max_tiles: nonzero(9), max_tiles_per_side: MAX_TILES_PER_SIDE, frames: Frames::count(32) }
    }
}

/// Granite 4 Vision: AnyRes tiles of 384 px whose features a projector reduces. Images only. The numbers of its published
/// checkpoint are not known here; the defaults are one of its forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Granite4Vision {
    /// Height and width of a patch, in pixels. Default: 16.
    pub patch_px: NonZeroU16,
    /// The part of the features on a side that the projector keeps, as numerator and denominator. Default: 1/4.
    pub downsample: (u16, NonZeroU16),
    /// Canvases, as (height, width) in pixels, in the checkpoint's order: `image_grid_pinpoints`.
    pub canvases_px: Vec<(NonZeroU16, NonZeroU16)>,
}

impl Default for Granite4Vision {
    fn default() -> Self {
        let canvases = [(384, 1..=6), (768, 1..=6), (1152, 1..=6), (1536, 1..=2)];
        let canvases =
            canvases.into_iter().flat_map(|(height, columns)| columns.map(move |count| (height, 384 * count)));
        let canvases_px = canvases.map(|(height, width)| (nonzero(height), nonzero(width))).collect();
        Self { patch_px: nonzero(16), downsample: (1, nonzero(4)), canvases_px }
    }
}

/// SigLIP at 384 px has 27×27 patches of 14 px.
const ONE_VISION_TILE_PX: u32 = 384;
const ONE_VISION_FEATURES_PER_SIDE: u32 = 27;
const MAX_TILES_PER_SIDE: NonZeroU8 = NonZeroU8::MIN.saturating_add(5);

/// All canvases of up to so many tiles on a side, by height, then by width.
fn canvases(tile_px: u32, max_tiles_per_side: NonZeroU8) -> impl Iterator<Item = Size> {
    let sides = 1..=u32::from(max_tiles_per_side.get());
    sides.clone().flat_map(move |rows| sides.clone().map(move |columns| Size::new(rows * tile_px, columns * tile_px)))
}

/// Canvases as a checkpoint lists them.
fn listed(canvases_px: &[(NonZeroU16, NonZeroU16)]) -> impl Iterator<Item = Size> {
    canvases_px.iter().map(|(height, width)| Size::new(height.get().into(), width.get().into()))
}

impl VisionProcessor for Llava15 {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let side_px = u32::from(self.side_px.get());
        let size = Size::square(side_px);
        let layout = if self.pad { Layout::PadSquare(size) } else { Layout::CenterCrop(size) };
        let per_side = side_px / u32::from(self.patch_px.get());
        plan_each(media, |_| Ok(plan_image(layout, per_side * per_side)), no_video)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE)]
    }
}

impl VisionProcessor for LlavaNext {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let tile_px = u32::from(self.tile_px.get());
        let per_side = tile_px / u32::from(self.patch_px.get());
        let law = AnyRes { tile_px, per_side, overview_tokens: per_side * per_side, max_tiles: None };
        let video = |clip: Clip<'_>| {
            let sampled = sampling::starts_of_shares(clip, self.frames);
            let num_tokens = sampled.frames.len() as u32 * (per_side * per_side / 4);
            Ok(plan_video(Layout::CenterCrop(Size::square(tile_px)), sampled, num_tokens))
        };
        plan_stacked(media, |size| Ok(law.plan(size, listed(&self.canvases_px))), video)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE), MediaToken::video(VIDEO)]
    }
}

impl VisionProcessor for LlavaOneVision {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let per_side = ONE_VISION_FEATURES_PER_SIDE;
        let overview_tokens = per_side * per_side;
        let tile = Size::square(ONE_VISION_TILE_PX);
        let law = AnyRes {
            tile_px: ONE_VISION_TILE_PX,
            per_side,
            overview_tokens,
            max_tiles: Some(self.max_tiles.get().into()),
        };
        let num_images = media.iter().filter(|medium| matches!(medium, Geometry::Image(_))).count();
        let image = |size: Size| {
            Ok(match num_images {
                1 => law.plan(size, canvases(ONE_VISION_TILE_PX, self.max_tiles_per_side)),
                // Several images are not tiled: each is an overview with a newline token.
                _ => plan_image(Layout::PadSquare(tile), overview_tokens + 1),
            })
        };
        plan_stacked(media, image, |clip| Ok(self.plan_video(clip)))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE), MediaToken::video(VIDEO)]
    }
}

impl LlavaOneVision {
    /// The features of a frame are pooled two by two; a newline token ends the video.
    fn plan_video(&self, clip: Clip<'_>) -> VisualPlan {
        let sampled = sampling::starts_of_shares(clip, self.frames);
        let pooled = ONE_VISION_FEATURES_PER_SIDE.div_ceil(2);
        let num_tokens = sampled.frames.len() as u32 * pooled * pooled + 1;
        plan_video(Layout::Stretch(Size::square(ONE_VISION_TILE_PX)), sampled, num_tokens)
    }
}

impl VisionProcessor for Granite4Vision {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let (kept, of) = self.downsample;
        let per_side = ONE_VISION_TILE_PX / u32::from(self.patch_px.get()) * u32::from(kept) / u32::from(of.get());
        let law =
            AnyRes { tile_px: ONE_VISION_TILE_PX, per_side, overview_tokens: per_side * per_side, max_tiles: None };
        plan_each(media, |size| Ok(law.plan(size, listed(&self.canvases_px))), no_video)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE)]
    }
}

fn plan_image(layout: Layout, num_tokens: u32) -> VisualPlan {
    VisualPlan::of_image(IMAGE, layout, vec![Markup::Placeholders(num_tokens)])
}

fn plan_video(layout: Layout, sampled: Sampled, num_tokens: u32) -> VisualPlan {
    VisualPlan::of_image(VIDEO, layout, vec![Markup::Placeholders(num_tokens)]).with_frames(sampled)
}

/// The arithmetic of AnyRes.
struct AnyRes {
    tile_px: u32,
    /// Features on a side of a tile.
    per_side: u32,
    overview_tokens: u32,
    /// Beyond the features of so many tiles, they are pooled.
    max_tiles: Option<u32>,
}

impl AnyRes {
    fn plan(&self, size: Size, canvases: impl Iterator<Item = Size>) -> VisualPlan {
        let canvas = best_canvas(size, canvases).unwrap_or_else(|| Size::square(self.tile_px));
        let layout = Layout::Tiles { canvas, tile: Size::square(self.tile_px), overview: true };
        plan_image(layout, self.overview_tokens.saturating_add(self.grid_tokens(size, canvas)))
    }

    /// Tokens of the tiles: the features that are no padding, and a newline token for each row of them.
    fn grid_tokens(&self, size: Size, canvas: Size) -> u32 {
        let features = |canvas_px: u32| self.per_side * (canvas_px / self.tile_px);
        let (rows, columns) = without_padding(size, (features(canvas.height_px), features(canvas.width_px)));
        if let Some(max_tiles) = self.max_tiles {
            let most = f64::from(max_tiles) * f64::from(self.per_side * self.per_side);
            let ratio = (f64::from(rows) * f64::from(columns) / most).sqrt();
            if ratio > 1.1 {
                let pooled = |features: u32| floor_divide(f64::from(features), ratio) as u32;
                return features_and_newlines(pooled(rows), pooled(columns));
            }
        }
        features_and_newlines(rows, columns)
    }
}

/// Each row of features ends with a newline token.
fn features_and_newlines(rows: u32, columns: u32) -> u32 {
    rows.saturating_mul(columns.saturating_add(1))
}

/// `select_best_resolution`: the canvas that shows most pixels of the image; of those, the one with least padding.
fn best_canvas(size: Size, canvases: impl Iterator<Item = Size>) -> Option<Size> {
    let mut best = None;
    let (mut most_shown, mut least_wasted) = (0, u64::MAX);
    for canvas in canvases {
        let scale = (canvas.width() / size.width()).min(canvas.height() / size.height());
        let scaled = Size::new((size.height() * scale) as u32, (size.width() * scale) as u32);
        let shown = scaled.num_pixels().min(size.num_pixels());
        let wasted = canvas.num_pixels() - shown;
        if shown > most_shown || (shown == most_shown && wasted < least_wasted) {
            best = Some(canvas);
            (most_shown, least_wasted) = (shown, wasted);
        }
    }
    best
}

/// `_get_unpadded_features`: rows and columns of features without those that lie in the padding.
fn without_padding(size: Size, (rows, columns): (u32, u32)) -> (u32, u32) {
    let kept = |all: u32, filled: u32| all - (all - filled) / 2 * 2;
    if size.width() / size.height() > f64::from(columns) / f64::from(rows) {
        let filled = truncated_to_7_digits(size.height() * (f64::from(columns) / size.width()));
        (kept(rows, filled), columns)
    } else {
        let filled = truncated_to_7_digits(size.width() * (f64::from(rows) / size.height()));
        (rows, kept(columns, filled))
    }
}
