//! Tiling: the arithmetic, and that tiles show the image.

use std::num::NonZeroU32;

use manyframe_core::Grid;
use manyframe_media::{
    ImagePolicy, MediaLimits, OddPixel, Subsampling, TilePolicy, decode_rgb, encode_jpeg, plan_tiles, resize,
    tile_image,
};
use proptest::prelude::*;

use crate::support::{fixture, jpeg, picture};

fn tiles_of(edge_px: u32, max_tiles: Option<u32>, odd_pixel: OddPixel) -> TilePolicy {
    TilePolicy {
        edge_px: NonZeroU32::new(edge_px).unwrap(),
        max_tiles: max_tiles.map(|n| NonZeroU32::new(n).unwrap()),
        odd_pixel,
        ..TilePolicy::default()
    }
}

fn strict(edge_px: u32) -> TilePolicy {
    tiles_of(edge_px, None, OddPixel::RightBottom)
}

#[test]
fn the_grid_covers_the_image() {
    let grid = |w, h| plan_tiles(w, h, &TilePolicy::default()).grid;
    assert_eq!(grid(336, 336), Grid { rows: 1, columns: 1 });
    assert_eq!(grid(337, 336), Grid { rows: 1, columns: 2 });
    assert_eq!(grid(4000, 3000), Grid { rows: 9, columns: 12 });
    assert_eq!(grid(1, 1), Grid { rows: 1, columns: 1 });
}

#[test]
fn an_odd_pixel_goes_to_the_right_and_bottom_edge() {
    let plan = plan_tiles(501, 335, &strict(336));
    assert_eq!(plan.offset_px, (85, 0));
    assert_eq!(plan.padded_px, (672, 336));
}

#[test]
fn a_dropped_odd_pixel_leaves_the_last_tiles_short() {
    let plan = plan_tiles(501, 335, &tiles_of(336, None, OddPixel::Dropped));
    assert_eq!(plan.offset_px, (85, 0));
    assert_eq!(plan.padded_px, (671, 335));
    let tiled = tile_image(&jpeg(501, 335), &ImagePolicy::default(), &tiles_of(336, None, OddPixel::Dropped)).unwrap();
    let sizes: Vec<(u32, u32)> = tiled.images.iter().map(|image| (image.width_px, image.height_px)).collect();
    assert_eq!(sizes, [(336, 225), (336, 335), (335, 335)]);
}

#[test]
fn too_many_tiles_scale_the_image_down() {
    let plan = plan_tiles(4000, 3000, &tiles_of(336, Some(12), OddPixel::RightBottom));
    assert_eq!(plan.grid, Grid { rows: 3, columns: 4 });
    assert_eq!(plan.scaled_px, (1344, 1008));
    assert_eq!(plan.overview_px, (336, 252));
    let one = plan_tiles(4000, 3000, &tiles_of(336, Some(1), OddPixel::RightBottom));
    assert_eq!((one.grid, one.scaled_px), (Grid { rows: 1, columns: 1 }, (336, 252)));
}

#[test]
fn an_overview_is_never_larger_than_the_image() {
    assert_eq!(plan_tiles(100, 60, &TilePolicy::default()).overview_px, (100, 60));
}

#[test]
fn overview_and_tiles_show_the_image_on_white() {
    let (policy, edge) = (precise(), 32);
    let image = picture(75, 50);
    let bytes = encode_jpeg(image.view(), policy.jpeg()).unwrap();
    let decoded = decode_rgb(&bytes, &policy.limits).unwrap();
    let tiled = tile_image(&bytes, &policy, &strict(edge)).unwrap();
    assert_eq!((tiled.width_px, tiled.height_px), (75, 50));
    assert_eq!(tiled.grid, Grid { rows: 2, columns: 3 });
    assert_eq!((tiled.images[0].width_px, tiled.images[0].height_px), (32, 21));
    // 96 × 64 pixels, the image from (10, 7) on.
    for (position, tile) in tiled.images[1..].iter().enumerate() {
        let pixels = decode_rgb(&tile.bytes, &policy.limits).unwrap();
        let (column, row) = (position as u32 % 3, position as u32 / 3);
        for y in 0..edge {
            for x in 0..edge {
                let (image_x, image_y) = ((column * edge + x).wrapping_sub(10), (row * edge + y).wrapping_sub(7));
                let expected = match decoded.crop((image_x, image_y), (1, 1)) {
                    Some(pixel) => pixel.to_image().into_pixels(),
                    None => vec![255; 3],
                };
                let found = pixels.crop((x, y), (1, 1)).unwrap().to_image().into_pixels();
                let difference = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(difference <= 4, "tile {position} at {x},{y}: {found:?}, expected {expected:?}");
            }
        }
    }
}

#[test]
fn tiles_do_not_depend_on_what_was_in_memory_before() {
    let (policy, tiles) = (precise(), strict(32));
    let before = tile_image(&jpeg(40, 40), &policy, &tiles).unwrap();
    tile_image(&fixture("rgb.png"), &policy, &strict(400)).unwrap();
    tile_image(&jpeg(333, 222), &policy, &tiles).unwrap();
    assert_eq!(tile_image(&jpeg(40, 40), &policy, &tiles).unwrap(), before);
}

#[test]
fn every_kind_of_image_is_tiled_at_its_upright_size() {
    for name in ["orientation_6.jpg", "rgba.png", "cmyk_adobe.jpg", "animated.webp", "gray.jpg"] {
        let tiled = tile_image(&fixture(name), &ImagePolicy::default(), &strict(10)).unwrap();
        let (rows, columns) = if name.starts_with("orientation") { (3, 2) } else { (2, 3) };
        assert_eq!(tiled.grid, Grid { rows, columns }, "{name}");
        assert_eq!(tiled.images.len(), 7, "{name}");
    }
}

#[test]
fn a_scaled_image_is_cut_from_its_scaled_pixels() {
    let policy = tiles_of(32, Some(8), OddPixel::RightBottom);
    let bytes = jpeg(200, 100);
    let tiled = tile_image(&bytes, &precise(), &policy).unwrap();
    let plan = plan_tiles(200, 100, &policy);
    assert_eq!(plan.scaled_px, (128, 64));
    assert_eq!(tiled.images.len() as u64, 1 + plan.grid.num_tiles());
    assert_eq!((tiled.width_px, tiled.height_px), (200, 100));
    let scaled = resize(decode_rgb(&bytes, &MediaLimits::default()).unwrap().view(), 128, 64).unwrap();
    for (position, tile) in (0..).zip(&tiled.images[1..]) {
        let expected = scaled.crop((position % 4 * 32, position / 4 * 32), (32, 32)).unwrap().to_image();
        let found = decode_rgb(&tile.bytes, &MediaLimits::default()).unwrap();
        assert_eq!((found.width_px(), found.height_px()), (32, 32));
        let difference = found.pixels().iter().zip(expected.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(difference <= 6, "tile {position}: {difference} levels");
    }
}

fn precise() -> ImagePolicy {
    ImagePolicy { quality: 100, subsampling: Subsampling::S444, ..ImagePolicy::default() }
}

proptest! {
    #[test]
    fn plans_hold_together(w in 1_u32..9000, h in 1_u32..9000, edge in 1_u32..700, cap in prop::option::of(1_u32..200)) {
        let plan = plan_tiles(w, h, &tiles_of(edge, cap, OddPixel::RightBottom));
        let (sw, sh) = plan.scaled_px;
        prop_assert_eq!(plan.padded_px, (plan.grid.columns * edge, plan.grid.rows * edge));
        prop_assert_eq!(plan.grid, Grid { rows: sh.div_ceil(edge), columns: sw.div_ceil(edge) });
        prop_assert_eq!(plan.offset_px, ((plan.padded_px.0 - sw) / 2, (plan.padded_px.1 - sh) / 2));
        prop_assert_eq!(plan.overview_px.0.max(plan.overview_px.1), edge.min(w.max(h)));
        prop_assert!(sw <= w && sh <= h && sw > 0 && sh > 0);
        if let Some(cap) = cap {
            prop_assert!(plan.grid.num_tiles() <= u64::from(cap));
        } else {
            prop_assert_eq!((sw, sh), (w, h));
        }
    }

    #[test]
    fn scaling_down_stops_at_the_largest_size_that_fits(w in 1_u32..3000, h in 1_u32..3000, cap in 1_u32..40) {
        let policy = tiles_of(100, Some(cap), OddPixel::RightBottom);
        let (sw, sh) = plan_tiles(w, h, &policy).scaled_px;
        let longest = sw.max(sh);
        if longest < w.max(h) {
            // One pixel more on the longest side needs more tiles than allowed.
            let (next_w, next_h) = manyframe_media::fit_longest_edge(w, h, longest + 1);
            prop_assert!(u64::from(next_w.div_ceil(100)) * u64::from(next_h.div_ceil(100)) > u64::from(cap));
        }
    }
}
