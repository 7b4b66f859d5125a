//! Tiling (AnyRes): how an image is cut into tiles, planned from its size alone, and the cutting itself.
//!
//! ```text
//! ┌───────────────┐  white, centred     overview (longest side = edge, not padded)
//! │ ┌───────────┐ │  ───────────────▶   tile 0,0  tile 0,1 …
//! │ │   image   │ │  edge × edge each   tile 1,0  …
//! │ └───────────┘ │
//! └───────────────┘
//! ```
//!
//! The rule is that of LongLLaVA (arXiv 2409.02889, section 3), which says "sub-image" for tile: no resizing, white padding,
//! the overview first, then the tiles row by row.

use std::num::NonZeroU32;

use manyframe_core::{Grid, ImageFormat, SampleImage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::with_ycbcr;
use crate::encode::encode_ycbcr;
use crate::error::MediaError;
use crate::policy::ImagePolicy;
use crate::prepare::encode_scaled;
use crate::probe::probe_whole;
use crate::resize::fit_longest_edge;
use crate::ycbcr::{Area, Ycbcr};

/// How images are cut into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TilePolicy {
    /// Side of a tile, and longest side of the overview, in pixels. Default: 336.
    #[schemars(range(min = 14, max = 4096))]
    pub edge_px: NonZeroU32,
    /// Upper bound on tiles of one image, not counting the overview. An image that needs more is scaled down, keeping its
    /// aspect ratio, to the largest size that does not. Default: no limit.
    pub max_tiles: Option<NonZeroU32>,
    /// Where the odd pixel of the padding goes. Default: right and bottom.
    pub odd_pixel: OddPixel,
}

/// Where the odd pixel goes when the padding around a centred image cannot be split evenly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OddPixel {
    /// To the right, and to the bottom: every tile is exactly square.
    #[default]
    RightBottom,
    /// Nowhere: the last column of tiles is one pixel narrower, the last row one pixel shorter, as in LongLLaVA's
    /// released code.
    Dropped,
}

/// How one image is cut, as determined by its size and the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePlan {
    /// Rows and columns of tiles.
    pub grid: Grid,
    /// Size of the image when it is cut: its own, unless that would need too many tiles.
    pub scaled_px: (u32, u32),
    /// Size including the padding.
    pub padded_px: (u32, u32),
    /// Padding on the left and on the top.
    pub offset_px: (u32, u32),
    /// Size of the overview.
    pub overview_px: (u32, u32),
    /// Side of a tile.
    pub edge_px: u32,
}

/// An image that was cut into tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TiledImage {
    /// The overview, then the tiles row by row.
    pub images: Vec<SampleImage>,
    /// Rows and columns of tiles.
    pub grid: Grid,
    /// Width of the original in pixels, as shown.
    pub width_px: u32,
    /// Height of the original in pixels, as shown.
    pub height_px: u32,
}

impl Default for TilePolicy {
    fn default() -> Self {
        const EDGE_PX: NonZeroU32 = NonZeroU32::new(336).unwrap();
        Self { edge_px: EDGE_PX, max_tiles: None, odd_pixel: OddPixel::default() }
    }
}

/// Plans the tiles of an image of this size, as shown.
pub fn plan_tiles(width_px: u32, height_px: u32, policy: &TilePolicy) -> TilePlan {
    let edge_px = policy.edge_px.get();
    let scaled_px = match policy.max_tiles {
        Some(max_tiles) => fit_tiles((width_px, height_px), policy.edge_px, max_tiles),
        None => (width_px, height_px),
    };
    let grid = grid(scaled_px, policy.edge_px);
    let (offset_x, padded_x) = padding(scaled_px.0, grid.columns, policy);
    let (offset_y, padded_y) = padding(scaled_px.1, grid.rows, policy);
    TilePlan {
        grid,
        scaled_px,
        padded_px: (padded_x, padded_y),
        offset_px: (offset_x, offset_y),
        overview_px: fit_longest_edge(width_px, height_px, edge_px),
        edge_px,
    }
}

/// Cuts an image into its overview and tiles, each a JPEG.
///
/// # Errors
/// A rejection if the bytes are no image, a damaged one, or exceed the limits.
pub fn tile_image(bytes: &[u8], policy: &ImagePolicy, tiles: &TilePolicy) -> Result<TiledImage, MediaError> {
    let source = probe_whole(bytes, &policy.limits)?;
    let (width_px, height_px) = (source.header.width_px, source.header.height_px);
    let plan = plan_tiles(width_px, height_px, tiles);
    let images = with_ycbcr(&source, |original| {
        let overview = encode_scaled(original, plan.overview_px, policy)?;
        if plan.scaled_px == (width_px, height_px) {
            return plan.cut(original, overview, policy);
        }
        let scaled = original.resized(plan.scaled_px.0, plan.scaled_px.1)?;
        plan.cut(scaled.channels(), overview, policy)
    })?;
    Ok(TiledImage { images, grid: plan.grid, width_px, height_px })
}

impl TilePlan {
    /// The area of a tile, relative to the image that is cut.
    fn tile(&self, row: u32, column: u32) -> Area {
        let (left, top) = (column * self.edge_px, row * self.edge_px);
        let (offset_left, offset_top) = self.offset_px;
        Area {
            origin_px: (i64::from(left) - i64::from(offset_left), i64::from(top) - i64::from(offset_top)),
            size_px: (self.edge_px.min(self.padded_px.0 - left), self.edge_px.min(self.padded_px.1 - top)),
        }
    }

    /// The overview and the encoded tiles of an image of the size `scaled_px`.
    fn cut(
        &self,
        image: Ycbcr<'_>,
        overview: SampleImage,
        policy: &ImagePolicy,
    ) -> Result<Vec<SampleImage>, MediaError> {
        let mut images = vec![overview];
        for row in 0..self.grid.rows {
            for column in 0..self.grid.columns {
                let tile = self.tile(row, column);
                let bytes = encode_ycbcr(image, tile, policy.jpeg())?;
                let (width_px, height_px) = tile.size_px;
                images.push(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px });
            }
        }
        Ok(images)
    }
}

fn grid((width_px, height_px): (u32, u32), edge_px: NonZeroU32) -> Grid {
    Grid { rows: height_px.div_ceil(edge_px.get()).max(1), columns: width_px.div_ceil(edge_px.get()).max(1) }
}

/// Along one side: the padding before the image, and the size including all padding.
fn padding(size_px: u32, num_tiles: u32, policy: &TilePolicy) -> (u32, u32) {
    let full_px = num_tiles.saturating_mul(policy.edge_px.get());
    let before_px = (full_px - size_px) / 2;
    match policy.odd_pixel {
        OddPixel::RightBottom => (before_px, full_px),
        OddPixel::Dropped => (before_px, size_px + 2 * before_px),
    }
}

/// The largest size with this aspect ratio that needs at most `max_tiles` tiles.
fn fit_tiles((width_px, height_px): (u32, u32), edge_px: NonZeroU32, max_tiles: NonZeroU32) -> (u32, u32) {
    let fits = |longest_px: u32| {
        let size = fit_longest_edge(width_px, height_px, longest_px);
        grid(size, edge_px).num_tiles() <= u64::from(max_tiles.get())
    };
    let long = width_px.max(height_px);
    if fits(long) {
        return (width_px, height_px);
    }
    // Neither side grows when the longest one shrinks, so all sizes up to some length fit.
    let (mut fitting, mut too_long) = (1, long);
    while too_long - fitting > 1 {
        let middle = fitting + (too_long - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    fit_longest_edge(width_px, height_px, fitting)
}
