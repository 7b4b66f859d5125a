//! InternVL 2.5 to 3.5 and Nemotron Nano VL: tiles of one size in the grid whose shape is nearest to the image's.
//!
//! Sources, in `transformers` 5.23: `models/got_ocr2/image_processing_got_ocr2.py`, `models/internvl/processing_internvl.py`,
//! `models/internvl/video_processing_internvl.py`; for Nemotron Nano VL: vLLM's `processors/nano_nemotron_vl.py`.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{MediaToken, VisionProcessor, no_video, plan_each, plan_stacked};
use crate::refusal::Refused;
use crate::sampling::{self, Frames, nonzero};

/// InternVL 2.5 to 3.5: up to 12 tiles of 448 px and an overview, 256 tokens each; one tile for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InternVl {
    /// Height and width of a tile, in pixels. Default: 448.
    pub tile_px: NonZeroU16,
    /// The fewest tiles, without the overview. Default: 1.
    pub min_tiles: NonZeroU16,
    /// The most tiles, without the overview; 1 shows an image as a whole. Default: 12.
    pub max_tiles: NonZeroU16,
    /// Tokens of a tile. Default: 256.
    pub tokens_per_tile: u16,
    /// Which frames of a video are taken. Default: 8, whatever its length.
    pub frames: Frames,
}

impl Default for InternVl {
    fn default() -> Self {
        Self {
            tile_px: nonzero(448),
            min_tiles: nonzero(1),
            max_tiles: nonzero(12),
            tokens_per_tile: 256,
            frames: Frames::count(8),
        }
    }
}

/// Nemotron Nano 12B v2 VL: up to 12 tiles of 512 px and an overview, 256 tokens each. Images only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NemotronNanoVl {
    /// Height and width of a tile, in pixels. Default: 512.
    pub tile_px: NonZeroU16,
    /// The most tiles, without the overview. Default: 12.
    pub max_tiles: NonZeroU16,
    /// Tokens of a tile. Default: 256.
    pub tokens_per_tile: u16,
}

impl Default for NemotronNanoVl {
    fn default() -> Self {
        Self { tile_px: nonzero(512), max_tiles: nonzero(12), tokens_per_tile: 256 }
    }
}

impl VisionProcessor for InternVl {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let law = Tiling {
            grid: TileGrid {
                tile_px: self.tile_px.get().into(),
                min_tiles: self.min_tiles.get().into(),
                max_tiles: self.max_tiles.get().into(),
                overview: true,
            },
            tokens_per_tile: self.tokens_per_tile.into(),
            placeholder: "<IMG_CONTEXT>",
        };
        plan_stacked(media, |size| Ok(law.plan_image(size)), |clip| Ok(law.plan_video(clip, self.frames)))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![
            MediaToken::image("<IMG_CONTEXT>"),
            MediaToken::image_delimiter("<img>"),
            MediaToken::image_delimiter("</img>"),
            MediaToken::delimiter("<video>"),
        ]
    }
}

impl VisionProcessor for NemotronNanoVl {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let law = Tiling {
            grid: TileGrid {
                tile_px: self.tile_px.get().into(),
                min_tiles: 1,
                max_tiles: self.max_tiles.get().into(),
                overview: true,
            },
            tokens_per_tile: self.tokens_per_tile.into(),
            placeholder: "<image>",
        };
        plan_each(media, |size| Ok(law.plan_image(size)), no_video)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image("<image>"), MediaToken::delimiter("<img>"), MediaToken::delimiter("</img>")]
    }
}

/// Tiles of one size, so many tokens each.
struct Tiling {
    grid: TileGrid,
    tokens_per_tile: u32,
    placeholder: &'static str,
}

/// A grid of tiles of one size, chosen by the shape of the image.
pub(crate) struct TileGrid {
    pub(crate) tile_px: u32,
    /// The fewest tiles, without the overview.
    pub(crate) min_tiles: u32,
    /// The most tiles, without the overview.
    pub(crate) max_tiles: u32,
    /// Whether an image with more than one tile is also shown as a whole.
    pub(crate) overview: bool,
}

impl Tiling {
    fn plan_image(&self, size: Size) -> VisualPlan {
        let layout = self.grid.layout(size);
        let num_tokens = layout.num_tiles() as u32 * self.tokens_per_tile;
        let markup = vec![Markup::text("<img>"), Markup::Placeholders(num_tokens), Markup::text("</img>")];
        VisualPlan::of_image(self.placeholder, layout, markup)
    }

    fn plan_video(&self, clip: Clip<'_>, frames: Frames) -> VisualPlan {
        let sampled = sampling::internvl(clip, frames);
        let num_frames = sampled.frames.len();
        let mut markup = Vec::with_capacity(2 * num_frames + 1);
        for number in 1..=num_frames {
            let before = if number == 1 { "" } else { "</img>\n" };
            markup.push(Markup::text(format!("{before}Frame{number}: <img>")));
            markup.push(Markup::Placeholders(self.tokens_per_tile));
        }
        markup.push(Markup::text("</img>"));
        let layout = Layout::Stretch(Size::square(self.grid.tile_px));
        VisualPlan::of_image(self.placeholder, layout, markup).with_frames(sampled)
    }
}

impl TileGrid {
    /// The tiles of an image.
    pub(crate) fn layout(&self, size: Size) -> Layout {
        let (columns, rows) = self.nearest_grid(size);
        Layout::Tiles {
            canvas: Size::new(rows * self.tile_px, columns * self.tile_px),
            tile: Size::square(self.tile_px),
            overview: self.overview && columns * rows > 1,
        }
    }

    /// `get_optimal_tiled_canvas`: the (columns, rows) whose ratio is nearest to the image's. Of equally near ones, a larger
    /// grid is taken if the image has more than half of its area.
    #[expect(clippy::float_cmp, reason = "a tie is an exact one")]
    fn nearest_grid(&self, size: Size) -> (u32, u32) {
        let wanted = size.width() / size.height();
        let tile_area = f64::from(self.tile_px) * f64::from(self.tile_px);
        let mut best = (1, 1);
        let mut best_difference = f64::INFINITY;
        for num_tiles in self.min_tiles..=self.max_tiles {
            for columns in (1..=num_tiles).filter(|columns| num_tiles % columns == 0) {
                let rows = num_tiles / columns;
                let difference = (wanted - f64::from(columns) / f64::from(rows)).abs();
                let is_tie_for_a_large_image =
                    difference == best_difference && size.pixels() > 0.5 * tile_area * f64::from(num_tiles);
                if difference < best_difference || is_tie_for_a_large_image {
                    best = (columns, rows);
                    best_difference = difference;
                }
            }
        }
        best
    }
}
