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

use manyframe_core::{Grid, ImageFormat, SampleImage, TileCut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::{check_jpeg_header, with_ycbcr};
use crate::encode::encode_ycbcr;
use crate::error::MediaError;
use crate::lossless::{LosslessJpeg, OverviewRequest};
use crate::policy::ImagePolicy;
use crate::prepare::encode_scaled;
use crate::probe::{ProbedImage, probe_whole};
use crate::resize::fit_longest_edge;
use crate::scratch::with_memory;
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
    /// How tiles come to their bytes.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = Cut::default()))]
    pub cut: Cut,
    /// How the overview of an image that is cut without loss is scaled.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = OverviewScaling::default()))]
    pub overview: OverviewScaling,
}

/// Settings that were added later are written only where they were chosen: nothing that is there depends on them.
fn is_default<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

/// How tiles come to their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The image is decoded, centred on white, and every tile is encoded with `[images]`' quality and subsampling.
    #[default]
    Exact,
    /// The coded blocks of a JPEG are copied, so that tiles have its own coefficients: nothing is lost, and it takes less time than decoding. Quality, subsampling and tables are those of the photograph. Blocks have 8 pixels on a side, or 16 or 32 where colours have less resolution: the image is moved from the centre to the nearest multiple, by half a block at most, and blocks that its right or bottom border crosses are encoded again, with white. Images for which this is impossible (other formats, CMYK and RGB, those that `max_tiles` scales, sides of tiles that are no multiple of blocks, orientations that would turn a cut block inwards) are cut as with `exact`. Each sample says which it was.
    Lossless,
}

/// How the overview of an image that is cut without loss is scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverviewScaling {
    /// From all of its pixels, as with `exact`.
    #[default]
    Pixels,
    /// It is decoded at the nearest larger number of eighths of its size, from the lowest frequencies of each block (as Pillow's `draft` does), and scaled from there.
    Dct,
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
    /// How it was cut, if tiles without loss were asked for.
    pub cut: Option<TileCut>,
}

impl Default for TilePolicy {
    fn default() -> Self {
        const EDGE_PX: NonZeroU32 = NonZeroU32::new(336).unwrap();
        Self {
            edge_px: EDGE_PX,
            max_tiles: None,
            odd_pixel: OddPixel::default(),
            cut: Cut::default(),
            overview: OverviewScaling::default(),
        }
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
    if tiles.cut == Cut::Lossless
        && let Some(tiled) = cut_lossless(&source, &plan, (policy, tiles))?
    {
        return Ok(tiled);
    }
    let images = with_ycbcr(&source, |original| {
        let overview = encode_scaled(original, plan.overview_px, policy)?;
        if plan.scaled_px == (width_px, height_px) {
            return plan.cut(original, overview, policy);
        }
        original.with_resized(plan.scaled_px, |scaled| plan.cut(scaled, overview, policy))
    })?;
    let cut = (tiles.cut == Cut::Lossless).then_some(TileCut { is_lossless: false, offset_px: plan.offset_px });
    Ok(TiledImage { images, grid: plan.grid, width_px, height_px, cut })
}

/// Cuts a JPEG without decoding its tiles. `None` if that is impossible.
fn cut_lossless(
    source: &ProbedImage<'_>,
    plan: &TilePlan,
    (policy, tiles): (&ImagePolicy, &TilePolicy),
) -> Result<Option<TiledImage>, MediaError> {
    let (width_px, height_px) = (source.header.width_px, source.header.height_px);
    if plan.scaled_px != (width_px, height_px) || tiles.odd_pixel == OddPixel::Dropped {
        return Ok(None);
    }
    with_memory(|memory| {
        let least_px = plan.overview_px.0.max(plan.overview_px.1);
        let request =
            (tiles.overview == OverviewScaling::Dct).then_some(OverviewRequest { least_px, memory: &mut *memory });
        let Some(jpeg) = LosslessJpeg::read(source, request) else { return Ok(None) };
        let Some(mut writer) = jpeg.tiles((plan.edge_px, plan.edge_px)) else { return Ok(None) };
        let plan = plan.in_units(jpeg.unit_px());
        let mut images = Vec::new();
        for row in 0..plan.grid.rows {
            for column in 0..plan.grid.columns {
                let Area { origin_px, size_px: (width_px, height_px) } = plan.tile(row, column);
                let Some(bytes) = writer.tile(origin_px) else { return Ok(None) };
                images.push(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px });
            }
        }
        let encode = |image: Ycbcr<'_>| encode_scaled(image, plan.overview_px, policy);
        if tiles.overview == OverviewScaling::Dct && !jpeg.is_rearranged() {
            check_jpeg_header(source)?;
        }
        let overview = jpeg.overview(memory).map_or_else(|| with_ycbcr(source, encode), encode)?;
        images.insert(0, overview);
        let cut = Some(TileCut { is_lossless: true, offset_px: plan.offset_px });
        Ok(Some(TiledImage { images, grid: plan.grid, width_px, height_px, cut }))
    })
}

impl TilePlan {
    /// The same plan with the image at the nearest multiple of a unit, which divides the side of a tile: at most half of one from
    /// the centre, and never beyond the padding.
    fn in_units(self, unit_px: (u32, u32)) -> Self {
        let nearest = |offset_px: u32, unit_px: u32| (offset_px + (unit_px - 1) / 2) / unit_px * unit_px;
        let offset_px = (nearest(self.offset_px.0, unit_px.0), nearest(self.offset_px.1, unit_px.1));
        Self { offset_px, ..self }
    }

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
