//! Tiles cut without loss: their samples are those of the photograph, and everything else is cut as ever.

use std::num::NonZeroU32;

use manyframe_core::TileCut;
use manyframe_media::{
    Cut, ImagePolicy, MediaLimits, OverviewScaling, RgbImage, TilePolicy, TiledImage, check_delivered, decode_rgb,
    tile_image,
};
use proptest::prelude::*;
use turbojpeg::{
    Compressor, Decompressor, Image, PixelFormat, Subsamp, Transform, TransformOp, YuvImage, yuv_pixels_len,
};

use crate::support::{fixture, picture};

const SUBSAMPLINGS: [Subsamp; 6] =
    [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::Sub2x2, Subsamp::Sub4x1, Subsamp::Gray];
const WHITE: [u8; 3] = [255, 128, 128];
const BLOCK: usize = 8;

fn lossless(edge_px: u32) -> TilePolicy {
    TilePolicy { edge_px: NonZeroU32::new(edge_px).unwrap(), cut: Cut::Lossless, ..TilePolicy::default() }
}

fn any_size() -> ImagePolicy {
    let limits = MediaLimits { min_edge_px: 1, max_aspect_ratio: 1000.0, ..MediaLimits::default() };
    ImagePolicy { limits, ..ImagePolicy::default() }
}

fn cut(bytes: &[u8], tiles: &TilePolicy) -> TiledImage {
    tile_image(bytes, &any_size(), tiles).unwrap()
}

/// How a JPEG is coded.
#[derive(Debug, Clone, Copy)]
struct Coding {
    subsampling: Subsamp,
    is_progressive: bool,
    is_optimized: bool,
    quality: i32,
}

fn jpeg(picture: &RgbImage, coding: Coding) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(coding.quality).unwrap();
    compressor.set_subsamp(coding.subsampling).unwrap();
    compressor.set_progressive(coding.is_progressive).unwrap();
    compressor.set_optimize(coding.is_optimized).unwrap();
    let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
    let pixels = picture.pixels();
    compressor
        .compress_to_vec(Image { pixels, width, pitch: picture.stride(), height, format: PixelFormat::RGB })
        .unwrap()
}

/// A channel as libjpeg-turbo decodes it, before colours are interpolated.
struct Plane {
    samples: Vec<u8>,
    width: usize,
}

fn planes(bytes: &[u8]) -> Vec<Plane> {
    let mut decoder = Decompressor::new().unwrap();
    let header = decoder.read_header(bytes).unwrap();
    let (width, height, subsamp) = (header.width, header.height, header.subsamp);
    let mut samples = vec![0; yuv_pixels_len(width, 1, height, subsamp).unwrap()];
    let image = YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp };
    let (y, uv) = (image.y_size(), image.uv_size());
    decoder.decompress_to_yuv(bytes, image).unwrap();
    let sizes = if subsamp == Subsamp::Gray { vec![y] } else { vec![y, uv, uv] };
    let mut rest = &samples[..];
    let plane = |(width, height): (usize, usize)| {
        let (samples, later) = rest.split_at(width * height);
        rest = later;
        Plane { samples: samples.to_vec(), width }
    };
    sizes.into_iter().map(plane).collect()
}

/// Checks that tiles have the samples of an upright photograph, and white around it.
fn check_tiles(photograph: &[u8], tiled: &TiledImage, edge: usize) {
    let TileCut { is_lossless, offset_px } = tiled.cut.unwrap();
    assert!(is_lossless);
    let whole = planes(photograph);
    let (width, height) = (tiled.width_px as usize, tiled.height_px as usize);
    for (number, tile) in tiled.images[1..].iter().enumerate() {
        assert_eq!(check_delivered(&tile.bytes, &any_size().limits).unwrap(), (edge as u32, edge as u32));
        let columns = tiled.grid.columns as usize;
        let (left, top) = (number % columns * edge, number / columns * edge);
        let parts = planes(&tile.bytes);
        assert_eq!(parts.len(), whole.len());
        for (channel, (part, whole)) in parts.iter().zip(&whole).enumerate() {
            // By how much the channel is smaller than the image.
            let (across, down) = (edge / part.width, edge * part.width / part.samples.len());
            // Planes are filled to whole groups of samples that share a colour.
            let (width, height) = (width.div_ceil(across), height.div_ceil(down));
            let (offset_x, offset_y) = (offset_px.0 as usize / across, offset_px.1 as usize / down);
            for (at, &sample) in part.samples.iter().enumerate() {
                let x = (left / across + at % part.width).wrapping_sub(offset_x);
                let y = (top / down + at / part.width).wrapping_sub(offset_y);
                let is_whole = |at: usize, length: usize| at / BLOCK * BLOCK + BLOCK <= length;
                let is_beside = |at: usize, length: usize| at / BLOCK * BLOCK >= length;
                if is_beside(x, width) || is_beside(y, height) {
                    assert_eq!(sample, WHITE[channel], "tile {number}, channel {channel} at {x},{y}");
                } else if is_whole(x, width) && is_whole(y, height) {
                    let expected = whole.samples[y * whole.width + x];
                    assert_eq!(sample, expected, "tile {number}, channel {channel} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn blocks_at_the_border_show_the_image_and_white() {
    let photograph = jpeg(
        &picture(75, 50),
        Coding { subsampling: Subsamp::None, is_progressive: false, is_optimized: false, quality: 100 },
    );
    let tiled = cut(&photograph, &lossless(96));
    // Padding of 10 and 23 pixels, brought to blocks of 8.
    assert_eq!(tiled.cut, Some(TileCut { is_lossless: true, offset_px: (8, 24) }));
    let (whole, tile) = (
        decode_rgb(&photograph, &any_size().limits).unwrap(),
        decode_rgb(&tiled.images[1].bytes, &any_size().limits).unwrap(),
    );
    let mut farthest = 0;
    for (x, y) in (0..96_u32).flat_map(|y| (0..96_u32).map(move |x| (x, y))) {
        let found = tile.crop((x, y), (1, 1)).unwrap().to_image().into_pixels();
        let expected = match whole.crop((x.wrapping_sub(8), y.wrapping_sub(24)), (1, 1)) {
            Some(pixel) => pixel.to_image().into_pixels(),
            None => vec![255; 3],
        };
        farthest = found.iter().zip(expected).map(|(found, expected)| found.abs_diff(expected)).fold(farthest, u8::max);
    }
    assert!(farthest <= 4, "{farthest} levels");
}

proptest! {
    #[test]
    fn tiles_have_the_samples_of_the_photograph(
        (width_px, height_px) in (1_u32..140, 1_u32..110),
        edge_px in prop::sample::select(&[32_u32, 64, 96][..]),
        subsampling in prop::sample::select(&SUBSAMPLINGS[..]),
        (is_progressive, is_optimized) in any::<(bool, bool)>(),
        quality in prop::sample::select(&[10, 75, 90, 100][..]),
    ) {
        let photograph = jpeg(&picture(width_px, height_px), Coding { subsampling, is_progressive, is_optimized, quality });
        check_tiles(&photograph, &cut(&photograph, &lossless(edge_px)), edge_px as usize);
    }

    #[test]
    fn damage_is_found_as_where_tiles_are_encoded(
        seed in any::<u32>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        name in prop::sample::select(&["baseline.jpg", "restarts.jpg", "progressive.jpg", "gray.jpg", "orientation_6.jpg"][..]),
        is_dct: bool,
    ) {
        let mut bytes = if seed % 2 == 0 {
            fixture(name)
        } else {
            jpeg(&picture(90, 70), Coding { subsampling: Subsamp::Sub2x2, is_progressive: false, is_optimized: seed % 4 == 1, quality: 80 })
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let overview = if is_dct { OverviewScaling::Dct } else { OverviewScaling::Pixels };
        let found = tile_image(&bytes, &any_size(), &TilePolicy { overview, ..lossless(32) });
        let exact = tile_image(&bytes, &any_size(), &TilePolicy { cut: Cut::Exact, ..lossless(32) });
        prop_assert_eq!(found.is_ok(), exact.is_ok());
        if let Ok(found) = found {
            for image in found.images {
                prop_assert_eq!(check_delivered(&image.bytes, &any_size().limits).unwrap(), (image.width_px, image.height_px));
            }
        }
    }
}

#[test]
fn restarts_are_taken_out() {
    let photograph = fixture("restarts.jpg");
    assert!(photograph.windows(4).any(|segment| segment == [0xff, 0xdd, 0, 4]));
    check_tiles(&photograph, &cut(&photograph, &lossless(32)), 32);
}

#[test]
fn a_turned_photograph_is_turned_by_its_coefficients_where_its_blocks_are_whole() {
    // Every mirrored side is a multiple of 8.
    for (orientation, op) in
        [(3, TransformOp::Rot180), (6, TransformOp::Rot90), (5, TransformOp::Transpose), (8, TransformOp::Rot270)]
    {
        let coding = Coding { subsampling: Subsamp::None, is_progressive: false, is_optimized: false, quality: 90 };
        let plain = jpeg(&picture(88, 48), coding);
        let exif = [
            b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
            &[orientation][..],
            b"\0\0\0\0\0\0",
        ]
        .concat();
        let turned = [&plain[..2], &exif, &plain[2..]].concat();
        let tiled = cut(&turned, &lossless(64));
        assert_eq!((tiled.width_px, tiled.height_px), if orientation >= 5 { (48, 88) } else { (88, 48) });
        let upright = turbojpeg::transform(&Transform::op(op), &plain).unwrap();
        check_tiles(&upright, &tiled, 64);
        // The overview is that of the other path: turned as pixels.
        let exact = cut(&turned, &TilePolicy { cut: Cut::Exact, ..lossless(64) });
        assert_eq!(tiled.images[0], exact.images[0]);
    }
}

#[test]
fn what_cannot_be_cut_without_loss_is_cut_exactly() {
    let of = |width_px, height_px, subsampling| {
        jpeg(
            &picture(width_px, height_px),
            Coding { subsampling, is_progressive: false, is_optimized: false, quality: 90 },
        )
    };
    let scaled = TilePolicy { max_tiles: NonZeroU32::new(2), ..lossless(32) };
    let cases: [(&str, Vec<u8>, TilePolicy); 7] = [
        ("another format", fixture("rgb.png"), lossless(32)),
        ("CMYK", fixture("cmyk_adobe.jpg"), lossless(32)),
        ("RGB", fixture("rgb.jpg"), lossless(32)),
        ("units wider than half a tile", of(90, 60, Subsamp::Sub4x1), lossless(48)),
        ("units that do not divide the tile", of(90, 60, Subsamp::None), lossless(50)),
        ("scaled", of(90, 60, Subsamp::Sub2x2), scaled),
        ("a cut block would be turned inwards", fixture("orientation_8.jpg"), lossless(32)),
    ];
    for (name, bytes, settings) in cases {
        let tiled = cut(&bytes, &settings);
        let exact = cut(&bytes, &TilePolicy { cut: Cut::Exact, ..settings });
        assert_eq!(tiled.images, exact.images, "{name}");
        let offset_px = manyframe_media::plan_tiles(tiled.width_px, tiled.height_px, &settings).offset_px;
        assert_eq!(tiled.cut, Some(TileCut { is_lossless: false, offset_px }), "{name}");
        assert_eq!(exact.cut, None, "{name}");
    }
}

#[test]
fn the_overview_is_the_exact_one_or_scaled_from_low_frequencies() {
    let coding = Coding { subsampling: Subsamp::Sub2x2, is_progressive: false, is_optimized: true, quality: 92 };
    for (width_px, height_px) in [(640, 427), (200, 333), (90, 60)] {
        let photograph = jpeg(&picture(width_px, height_px), coding);
        let of = |overview, cut: Cut| self::cut(&photograph, &TilePolicy { overview, cut, ..lossless(96) });
        let (pixels, dct) = (of(OverviewScaling::Pixels, Cut::Lossless), of(OverviewScaling::Dct, Cut::Lossless));
        assert_eq!(pixels.images[0], of(OverviewScaling::Pixels, Cut::Exact).images[0]);
        assert_eq!(pixels.images[1..], dct.images[1..]);
        let [pixels, dct] = [&pixels, &dct].map(|tiled| {
            assert_eq!(tiled.images[0].width_px.max(tiled.images[0].height_px), width_px.max(height_px).min(96));
            decode_rgb(&tiled.images[0].bytes, &any_size().limits).unwrap()
        });
        let differences = pixels.pixels().iter().zip(dct.pixels()).map(|(&a, &b)| u64::from(a.abs_diff(b)));
        let mean = differences.sum::<u64>() as f64 / pixels.pixels().len() as f64;
        assert!(mean < 6.0, "{width_px}×{height_px}: {mean} levels");
    }
}
