//! Hostile and broken images: each is rejected with a reason, none causes a panic, a hang or a large allocation.

use manyframe_core::{RejectCode, Rejection};
use manyframe_media::{
    Check, ImagePolicy, MediaLimits, TilePolicy, decode_rgb, prepare_image, probe_image_bytes, tile_image,
};
use proptest::prelude::*;

use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, Subsamp};

use crate::support::{code, fixture, fixtures, jpeg, picture, png_chunk, reject};

fn limits() -> MediaLimits {
    MediaLimits::default()
}

/// A PNG header that claims these dimensions, and no pixels.
fn png_claiming(width_px: u32, height_px: u32) -> Vec<u8> {
    let mut bytes = fixture("rgb.png");
    let header = [&width_px.to_be_bytes()[..], &height_px.to_be_bytes(), &bytes[24..29]].concat();
    bytes.splice(8..33, png_chunk(*b"IHDR", &header));
    bytes
}

#[test]
fn a_truncated_image_is_corrupt_wherever_it_was_cut() {
    for fixture in fixtures() {
        // Half of the file, which for an animation may still hold the first frame.
        if fixture.is_animated || fixture.name == "mpo.jpg" || fixture.name == "trailing_garbage.jpg" {
            continue;
        }
        for eighths in 1..8 {
            let cut = &fixture.bytes[..fixture.bytes.len() * eighths / 8];
            let found = decode_rgb(cut, &limits());
            assert!(found.is_err(), "{} cut to {eighths}/8", fixture.name);
            assert_eq!(code(found), RejectCode::MediaCorrupt, "{} cut to {eighths}/8", fixture.name);
        }
    }
}

/// libjpeg goes on after damage, and often says no more of it than that bytes are left over.
#[test]
fn a_jpeg_whose_damage_libjpeg_warns_of_is_corrupt() {
    let image = picture(320, 240);
    let (width, height, pitch) = (320, 240, image.stride());
    let (mut num_corrupt, mut num_unnoticed) = (0, 0);
    for (is_progressive, subsampling) in [(false, Subsamp::None), (false, Subsamp::Sub2x2), (true, Subsamp::Sub2x2)] {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(95).unwrap();
        compressor.set_subsamp(subsampling).unwrap();
        compressor.set_progressive(is_progressive).unwrap();
        let pixels = Image { pixels: image.pixels(), width, pitch, height, format: PixelFormat::RGB };
        let whole = compressor.compress_to_vec(pixels).unwrap();
        let expected = decode_rgb(&whole, &limits()).unwrap();
        for start in (2..16).map(|sixteenths| whole.len() * sixteenths / 16) {
            let end = (start + 512).min(whole.len() - 2);
            let zeros = vec![0; end - start];
            let other = whole[whole.len() / 2 - 700..][..600].to_vec();
            for (damage, bytes) in
                [("zeros", zeros), ("bytes of elsewhere", other), ("bytes that are missing", Vec::new())]
            {
                let mut damaged = whole.clone();
                damaged.splice(start..end, bytes);
                let Ok(found) = decode_rgb(&damaged, &limits()) else {
                    num_corrupt += 1;
                    continue;
                };
                let levels = found.pixels().iter().zip(expected.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b)));
                let mean = levels.sum::<u64>() as f64 / expected.pixels().len() as f64;
                // Now and then as many blocks are in other bytes, and nobody can tell.
                let mut pixels = vec![0; expected.pixels().len()];
                let target =
                    Image { pixels: &mut pixels[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
                let is_noticed = Decompressor::new().unwrap().decompress(&damaged, target).is_err();
                assert!(mean < 1.0 || !is_noticed, "{damage} at {start}, progressive {is_progressive}: {mean} levels");
                num_unnoticed += u32::from(mean >= 1.0);
            }
        }
    }
    assert!(num_corrupt > 100 && num_unnoticed < 5, "{num_corrupt} corrupt, {num_unnoticed} unnoticed");
}

#[test]
fn a_truncated_image_is_not_delivered_whatever_the_check() {
    for check in [Check::Decode, Check::Header] {
        let policy = ImagePolicy { check, ..ImagePolicy::default() };
        for name in ["baseline.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "lossless.webp"] {
            // The last bytes of a PNG are a checksum of nothing: only a JPEG needs its very last one.
            for num_missing in if name.ends_with("jpg") { vec![1, 2, 20] } else { vec![20, 100] } {
                let mut bytes = fixture(name);
                bytes.truncate(bytes.len() - num_missing);
                let found = prepare_image(bytes, &policy);
                assert_eq!(code(found), RejectCode::MediaCorrupt, "{name} without {num_missing} bytes, {check:?}");
            }
        }
    }
}

#[test]
fn a_jpeg_with_broken_codes_is_corrupt() {
    let mut bytes = jpeg(200, 200);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0x55);
    bytes[middle + 40..middle + 42].copy_from_slice(&[0xff, 0xd3]);
    assert_eq!(code(decode_rgb(&bytes, &limits())), RejectCode::MediaCorrupt);
}

#[test]
fn a_decompression_bomb_is_rejected_by_its_header() {
    assert_eq!(code(probe_image_bytes(&png_claiming(100_000, 100_000), &limits())), RejectCode::MediaTooLarge);
    assert_eq!(code(decode_rgb(&png_claiming(9_460, 9_460), &limits())), RejectCode::MediaTooLarge);
    assert_eq!(code(decode_rgb(&png_claiming(u32::MAX, u32::MAX), &limits())), RejectCode::MediaTooLarge);
    let tiled = tile_image(&png_claiming(60_000, 60_000), &ImagePolicy::default(), &TilePolicy::default());
    assert_eq!(code(tiled), RejectCode::MediaTooLarge);
}

#[test]
fn slivers_and_specks_have_the_wrong_shape() {
    for (width_px, height_px) in [(1, 5_000), (10_000, 20), (3, 3), (0, 10), (10, 0)] {
        let found = probe_image_bytes(&png_claiming(width_px, height_px), &limits());
        assert_eq!(code(found), RejectCode::MediaShape, "{width_px}×{height_px}");
    }
    assert!(probe_image_bytes(&png_claiming(10_000, 50), &limits()).is_ok());
}

#[test]
fn more_bytes_than_allowed_are_rejected() {
    let limits = MediaLimits { max_bytes: 100, ..limits() };
    assert_eq!(code(probe_image_bytes(&jpeg(64, 64), &limits)), RejectCode::MediaTooLarge);
}

#[test]
fn a_progressive_file_with_endless_scans_is_rejected() {
    let bytes = fixture("progressive.jpg");
    let last_scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (head, tail) = bytes.split_at(last_scan);
    let scan = &tail[..tail.len() - 2];
    let endless = [head, &scan.repeat(2_000)[..], &[0xff, 0xd9]].concat();
    assert_eq!(code(decode_rgb(&endless, &limits())), RejectCode::MediaCorrupt);
}

#[test]
fn a_file_that_is_no_image_is_described() {
    let Rejection { code, detail } =
        reject(prepare_image(b"<!DOCTYPE html><html>404".to_vec(), &ImagePolicy::default()));
    assert_eq!(code, RejectCode::MediaType);
    assert!(detail.contains("an HTML page"), "{detail}");
    let code = reject(prepare_image(Vec::new(), &ImagePolicy::default())).code;
    assert_eq!(code, RejectCode::MediaEmpty);
}

#[test]
fn a_twelve_bit_jpeg_is_of_an_unsupported_type() {
    let mut bytes = jpeg(64, 64);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 1] = 0xc1;
    bytes[frame + 4] = 12;
    assert_eq!(code(decode_rgb(&bytes, &limits())), RejectCode::MediaType);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics(which in 0_usize..64, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let fixtures = fixtures();
        let mut bytes = fixtures[which % fixtures.len()].bytes.clone();
        for (position, value) in edits {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        let header = probe_image_bytes(&bytes, &limits());
        let image = decode_rgb(&bytes, &limits());
        if let (Ok(header), Ok(image)) = (&header, &image) {
            prop_assert_eq!((header.width_px, header.height_px), (image.width_px(), image.height_px()));
        }
        prop_assert!(header.is_ok() || image.is_err());
    }

    #[test]
    fn noise_never_panics(start in 0_usize..64, noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let fixtures = fixtures();
        let head = &fixtures[start % fixtures.len()].bytes;
        let bytes = [&head[..head.len().min(24)], &noise].concat();
        let _ = probe_image_bytes(&bytes, &limits());
        let _ = decode_rgb(&bytes, &limits());
    }
}

#[test]
fn a_scan_without_room_for_its_header_is_corrupt() {
    let jpeg = fixture("baseline.jpg");
    let scan = jpeg.windows(2).position(|window| window == [0xff, 0xda]).unwrap();
    for length in 0..6_u8 {
        // Bytes that are in place of the header of the scan.
        for before in [0xd9, 0] {
            let mut damaged = jpeg.clone();
            damaged[scan + 3] = length;
            damaged.splice(scan + 4..scan + 4, [before; 3]);
            let code = code(decode_rgb(&damaged, &MediaLimits::default()));
            assert_eq!(code, RejectCode::MediaCorrupt, "{length}, {before:#x}");
        }
    }
}
