//! Sub-images: how an image is cut into tiles, from its size alone, and the cutting itself.
//!
//! ```text
//! ┌───────────────┐  white, centred     overview (longest side = edge, not padded)
//! │ ┌───────────┐ │  ───────────────▶   tile 0,0  tile 0,1 …
//! │ │   image   │ │  edge × edge each   tile 1,0  …
//! │ └───────────┘ │
//! └───────────────┘
//! ```
//!
//! The rule is LongLLaVA's (arXiv 2409.02889, section 3): no resizing, white padding, overview first, then row by row.

use std::num::NonZeroU32;

use manyframe_core::{Grid, ImageFormat, SampleImage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::with_ycbcr;
use crate::encode::encode_ycbcr;
use crate::prepare::encode_scaled;
use crate::probe::probe_whole;
use crate::ycbcr::{Area, Ycbcr};
use crate::{ImagePolicy, MediaError, fit_longest_edge};

/// How images are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TilePolicy {
    /// Side of a tile, and longest side of the overview, in pixels. Default: 336.
    #[schemars(range(min = 14, max = 4096))]
    pub edge_px: NonZeroU32,
    /// Most tiles of one image, the overview not counted. An image that needs more is scaled down, its aspect kept,
    /// to the largest size that needs no more. Default: no limit.
    pub max_tiles: Option<NonZeroU32>,
    /// Where the odd pixel of the padding goes. Default: to the right and the bottom.
    pub odd_pixel: OddPixel,
}

/// Where the odd pixel goes when the padding of a centred image cannot be shared equally.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OddPixel {
    /// To the right, and to the bottom: every tile is exactly square.
    #[default]
    RightBottom,
    /// Nowhere: the last column is one pixel narrower, the last row one lower, as in the code released with LongLLaVA.
    Dropped,
}

/// How one image is cut; it follows from the size of the image and the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePlan {
    /// Rows and columns of tiles.
    pub grid: Grid,
    /// Size of the image when it is cut: its own, unless that would make too many tiles.
    pub scaled_px: (u32, u32),
    /// Size with the padding.
    pub padded_px: (u32, u32),
    /// Padding on the left and on the top.
    pub offset_px: (u32, u32),
    /// Size of the overview.
    pub overview_px: (u32, u32),
    /// Side of a tile.
    pub edge_px: u32,
}

/// An image as it is delivered in tiles.
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

/// How an image of this size, as shown, is cut.
pub fn plan_tiles(width_px: u32, height_px: u32, policy: &TilePolicy) -> TilePlan {
    let edge_px = policy.edge_px.get();
    let scaled_px = match policy.max_tiles {
        Some(max_tiles) => fit_tiles(width_px, height_px, policy.edge_px, max_tiles),
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
pub fn tile_image(bytes: &[u8], policy: &ImagePolicy, tiles: &TilePolicy) -> Result<TiledImage, MediaError> {
    let (header, parsed) = probe_whole(bytes, &policy.limits)?;
    let (width_px, height_px) = (header.width_px, header.height_px);
    let plan = plan_tiles(width_px, height_px, tiles);
    let images = with_ycbcr(bytes, &header, &parsed, |original| {
        let overview = encode_scaled(original, plan.overview_px, policy)?;
        if plan.scaled_px == (width_px, height_px) {
            return cut(original, overview, &plan, policy);
        }
        let scaled = original.resized(plan.scaled_px.0, plan.scaled_px.1)?;
        cut(scaled.channels(), overview, &plan, policy)
    })?;
    Ok(TiledImage { images, grid: plan.grid, width_px, height_px })
}

impl TilePlan {
    /// Where a tile lies, relative to the image that is cut.
    fn tile(&self, row: u32, column: u32) -> Area {
        let (left, top) = (column * self.edge_px, row * self.edge_px);
        let (offset_left, offset_top) = self.offset_px;
        Area {
            origin_px: (i64::from(left) - i64::from(offset_left), i64::from(top) - i64::from(offset_top)),
            size_px: (self.edge_px.min(self.padded_px.0 - left), self.edge_px.min(self.padded_px.1 - top)),
        }
    }
}

fn grid((width_px, height_px): (u32, u32), edge_px: NonZeroU32) -> Grid {
    Grid { rows: height_px.div_ceil(edge_px.get()).max(1), columns: width_px.div_ceil(edge_px.get()).max(1) }
}

/// Padding before, and size with all padding, along one side.
fn padding(size_px: u32, num_tiles: u32, policy: &TilePolicy) -> (u32, u32) {
    let full_px = num_tiles.saturating_mul(policy.edge_px.get());
    let before_px = (full_px - size_px) / 2;
    match policy.odd_pixel {
        OddPixel::RightBottom => (before_px, full_px),
        OddPixel::Dropped => (before_px, size_px + 2 * before_px),
    }
}

/// The largest size with this aspect that needs at most `max_tiles` tiles.
fn fit_tiles(width_px: u32, height_px: u32, edge_px: NonZeroU32, max_tiles: NonZeroU32) -> (u32, u32) {
    let fits = |longest_px: u32| {
        let size = fit_longest_edge(width_px, height_px, longest_px);
        grid(size, edge_px).num_tiles() <= u64::from(max_tiles.get())
    };
    let long = width_px.max(height_px);
    if fits(long) {
        return (width_px, height_px);
    }
    // Neither side grows when the longest one shrinks, so the sizes that fit are those up to some length.
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

fn cut(
    image: Ycbcr<'_>,
    overview: SampleImage,
    plan: &TilePlan,
    policy: &ImagePolicy,
) -> Result<Vec<SampleImage>, MediaError> {
    let mut images = Vec::with_capacity(1 + usize::try_from(plan.grid.num_tiles()).unwrap_or_default());
    images.push(overview);
    for row in 0..plan.grid.rows {
        for column in 0..plan.grid.columns {
            let tile = plan.tile(row, column);
            let bytes = encode_ycbcr(image, tile, policy.jpeg())?;
            let (width_px, height_px) = tile.size_px;
            images.push(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px });
        }
    }
    Ok(images)
}
