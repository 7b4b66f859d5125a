//! NVILA: tiles of one size in the grid whose shape is nearest to the image's, each on a line of its own.
//!
//! `transformers` has no processor for it. Sources: VILA's `llava/mm_utils.py` (`dynamic_preprocess`, which is InternVL's law,
//! and `opencv_extract_frames`) and `llava/data/base.py`, which cuts every image of a sample, and no frame. A tile of 448 px has
//! 32×32 patches of 14 px, which the projector `mlp_downsample_3x3_fix` makes 11×11.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Geometry, Size};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{MediaToken, VisionProcessor, plan_each};
use crate::refusal::Refused;
use crate::sampling::{self, Frames, nonzero};
use crate::tiles::TileGrid;

const IMAGE: &str = "<image>";

/// NVILA: up to 12 tiles of 448 px and an overview, 121 tokens each; one tile for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nvila {
    /// Height and width of a tile, in pixels. Default: 448.
    pub tile_px: NonZeroU16,
    /// The fewest tiles, without the overview. Default: 1.
    pub min_tiles: NonZeroU16,
    /// The most tiles, without the overview; 1 shows an image as a whole. Default: 12.
    pub max_tiles: NonZeroU16,
    /// Tokens of a tile. Default: 121.
    pub tokens_per_tile: NonZeroU16,
    /// Which frames of a video are taken; all of a video that has fewer. Default: 8, whatever its length.
    pub frames: Frames,
}

impl Default for Nvila {
    fn default() -> Self {
        Self {
            tile_px: nonzero(448),
            min_tiles: nonzero(1),
            max_tiles: nonzero(12),
            tokens_per_tile: nonzero(121),
            frames: Frames::count(8),
        }
    }
}

impl VisionProcessor for Nvila {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let grid = TileGrid {
            tile_px: self.tile_px.get().into(),
            min_tiles: self.min_tiles.get().into(),
            max_tiles: self.max_tiles.get().into(),
            overview: true,
        };
        let image = |size: Size| {
            let layout = grid.layout(size);
            Ok(self.lines(layout, layout.num_tiles()))
        };
        plan_each(media, image, |clip| {
            let frames = sampling::vila(clip, self.frames);
            let plan = self.lines(Layout::Stretch(Size::square(grid.tile_px)), frames.len() as u64);
            Ok(plan.with_frames(frames.into()))
        })
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE), MediaToken::delimiter("<video>")]
    }
}

impl Nvila {
    /// A line for each tile, or for each frame.
    fn lines(&self, layout: Layout, num_lines: u64) -> VisualPlan {
        let line = || [Markup::Placeholders(self.tokens_per_tile.get().into()), Markup::text("\n")];
        VisualPlan::of_image(IMAGE, layout, (0..num_lines).flat_map(|_| line()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Clip;

    fn plan(medium: Geometry<'_>) -> VisualPlan {
        Nvila::default().plan(&[medium]).unwrap().remove(0)
    }

    #[test]
    fn an_image_is_cut_into_tiles_of_121_tokens_and_an_overview() {
        let plan = plan(Geometry::Image(Size::new(896, 1344)));
        assert_eq!((plan.layout.size(), plan.num_runs(), plan.num_tokens()), (Size::new(896, 1344), 7, 7 * 121));
        let mut text = String::new();
        plan.write(&mut text);
        assert_eq!(text, "<image>\n".repeat(7));
        assert_eq!(self::plan(Geometry::Image(Size::square(300))).num_tokens(), 121);
    }

    #[test]
    fn a_frame_is_one_tile() {
        let video = plan(Geometry::Video(Clip::new(Size::new(720, 1280), 100, 25.0)));
        assert_eq!(video.frames, [0, 14, 28, 42, 56, 70, 84, 99]);
        assert_eq!((video.num_runs(), video.num_tokens()), (8, 8 * 121));
        let short = plan(Geometry::Video(Clip::new(Size::new(720, 1280), 3, 25.0)));
        assert_eq!(short.frames, [0, 1, 2]);
    }
}
