//! Channels used as stored show the pixels of libjpeg, and are encoded as libjpeg encodes those pixels.

use proptest::prelude::*;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::decode::{decode_rgb, with_ycbcr};
use crate::encode::{encode_jpeg, encode_ycbcr};
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;
use crate::policy::{JpegOptions, Subsampling};
use crate::probe::probe_whole;
use crate::ycbcr::{Area, Channel, Ycbcr, with_ycbcr_of};

const STORED: [Subsamp; 5] = [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::Sub2x2, Subsamp::Gray];

fn any_size() -> MediaLimits {
    MediaLimits { min_edge_px: 1, max_aspect_ratio: 1000.0, ..MediaLimits::default() }
}

/// A picture of noise on gentle slopes.
fn picture(width_px: u32, height_px: u32, seed: u32) -> RgbImage {
    let sample = |at: u32| {
        let noise = (at.wrapping_add(seed)).wrapping_mul(2_654_435_761) >> 25;
        (noise + (at / 3 % width_px + at / 3 / width_px * 2 + at % 3 * 40) % 128) as u8
    };
    RgbImage::try_new(width_px, height_px, (0..width_px * height_px * 3).map(sample).collect()).unwrap()
}

fn jpeg(picture: &RgbImage, subsampling: Subsamp, is_progressive: bool) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(85).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    compressor.set_progressive(is_progressive).unwrap();
    let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
    let pixels = picture.pixels();
    let image = Image { pixels, width, pitch: picture.stride(), height, format: PixelFormat::RGB };
    compressor.compress_to_vec(image).unwrap()
}

/// The channels of a JPEG at full resolution.
fn channels(bytes: &[u8]) -> [Vec<u8>; 3] {
    let source = probe_whole(bytes, &any_size()).unwrap();
    let header = &source.header;
    let in_full = |channel: Channel<'_>| {
        let mut samples = vec![0; header.width_px as usize * header.height_px as usize];
        let rows = samples.chunks_exact_mut(header.width_px as usize);
        rows.enumerate().for_each(|(y, row)| channel.write_row((0, y), row, &mut Vec::new()));
        samples
    };
    with_ycbcr(&source, |image| Ok(image.channels.map(in_full))).unwrap()
}

/// The conversion of `jdcolor.c`.
fn rgb_from_ycbcr([y, cb, cr]: &[Vec<u8>; 3]) -> Vec<u8> {
    let fraction = |weight: f64| (weight * 65536.0 + 0.5) as i32;
    let pixel = |((&y, &cb), &cr): ((&u8, &u8), &u8)| {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let red = y + ((fraction(1.402) * cr + 32_768) >> 16);
        let green = y + ((-fraction(0.34414) * cb - fraction(0.71414) * cr + 32_768) >> 16);
        let blue = y + ((fraction(1.772) * cb + 32_768) >> 16);
        [red, green, blue].map(|level| level.clamp(0, 255) as u8)
    };
    y.iter().zip(cb).zip(cr).flat_map(pixel).collect()
}

proptest! {
    #[test]
    fn stored_channels_converted_to_rgb_are_the_pixels_of_libjpeg(
        (width_px, height_px) in (1_u32..70, 1_u32..50),
        subsampling in prop::sample::select(&STORED[..]),
        is_progressive: bool,
        seed: u32,
    ) {
        let bytes = jpeg(&picture(width_px, height_px, seed), subsampling, is_progressive);
        let pixels = decode_rgb(&bytes, &any_size()).unwrap();
        prop_assert!(rgb_from_ycbcr(&channels(&bytes)) == pixels.into_pixels());
    }

    #[test]
    fn channels_are_encoded_as_libjpeg_encodes_their_pixels(
        (blocks, width_px, height_px) in (1_u32..4, 1_u32..50, 1_u32..50),
        (left, top) in (0_u32..9, 0_u32..9),
        subsampling in prop::sample::select(&[Subsampling::S420, Subsampling::S422, Subsampling::S444][..]),
        seed: u32,
    ) {
        // Where halved colours do not fill the last block, the binding repeats their last sample, and libjpeg the last pixel.
        let width_px = if subsampling == Subsampling::S444 { width_px } else { 16 * blocks };
        let pixels = picture(width_px + left, height_px + top, seed);
        let options = JpegOptions { quality: 90, subsampling };
        let area = Area { origin_px: (left.into(), top.into()), size_px: (width_px, height_px) };
        let of_channels = with_ycbcr_of(&pixels, |image| encode_ycbcr(image, area, options)).unwrap();
        let of_pixels = encode_jpeg(pixels.crop((left, top), (width_px, height_px)).unwrap(), options).unwrap();
        prop_assert!(of_channels == of_pixels);
    }
}

#[test]
fn every_width_is_encoded_whether_or_not_it_fills_the_last_block() {
    for width_px in 1..40 {
        let pixels = RgbImage::gray(width_px, 21, 90).unwrap();
        let encode = |subsampling| {
            let options = JpegOptions { quality: 90, subsampling };
            with_ycbcr_of(&pixels, |image| encode_ycbcr(image, image.whole(), options)).unwrap()
        };
        for subsampling in [Subsampling::S420, Subsampling::S422] {
            assert_eq!(decode_rgb(&encode(subsampling), &any_size()).unwrap(), pixels, "{width_px} pixels");
        }
    }
}

#[test]
fn a_jpeg_with_other_subsampling_is_converted_from_rgb() {
    let bytes = jpeg(&picture(45, 30, 7), Subsamp::Sub4x1, false);
    let pixels = decode_rgb(&bytes, &any_size()).unwrap();
    let of_pixels = |image: Ycbcr<'_>| Ok(image.channels.map(|channel| channel.samples.to_vec()));
    assert_eq!(channels(&bytes), with_ycbcr_of(&pixels, of_pixels).unwrap());
}
