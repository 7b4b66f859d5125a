//! PNG, WebP, GIF, BMP and TIFF to RGB, through the `image` crate's decoders.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::{ImageError, ImageResult};
use image::{DynamicImage, ImageDecoder, Limits, RgbaImage};
use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::pixels::{RgbImage, no_pixels};
use crate::sniff::SourceFormat;

/// Number of bytes that a decoder may allocate per pixel: 16-bit RGBA, twice.
const MAX_BYTES_PER_PIXEL: u64 = 16;

/// Number of bytes that a decoder may allocate besides pixels, for tables and colour profiles.
const MAX_EXTRA_BYTES: u64 = 32 << 20;

/// Decodes the pixels as stored. Their number must be that of the header.
pub(super) fn decode_rgb_image(
    bytes: &[u8],
    format: SourceFormat,
    size_px: (u32, u32),
) -> Result<RgbImage, MediaError> {
    let source = Cursor::new(bytes);
    let decoded = match format {
        SourceFormat::Png => PngDecoder::with_limits(source, limits(size_px)).and_then(|d| pixels(d, size_px)),
        SourceFormat::Webp => WebPDecoder::new(source).and_then(|decoder| pixels(decoder, size_px)),
        SourceFormat::Gif => GifDecoder::new(source).and_then(|decoder| pixels(decoder, size_px)),
        SourceFormat::Bmp => BmpDecoder::new(source).and_then(|decoder| pixels(decoder, size_px)),
        SourceFormat::Tiff => TiffDecoder::new(source).and_then(|decoder| pixels(decoder, size_px)),
        SourceFormat::Jpeg => return Err(no_pixels()),
    };
    let image = decoded.map_err(|error| not_decoded(format, &error))?;
    if (image.width(), image.height()) != size_px {
        let detail =
            format!("the {format:?} holds {}×{} pixels, not what its header says", image.width(), image.height());
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    let (width_px, height_px) = size_px;
    RgbImage::try_new(width_px, height_px, rgb_on_white(image)).ok_or_else(no_pixels)
}

fn pixels(mut decoder: impl ImageDecoder, size_px: (u32, u32)) -> ImageResult<DynamicImage> {
    decoder.set_limits(limits(size_px))?;
    DynamicImage::from_decoder(decoder)
}

fn limits((width_px, height_px): (u32, u32)) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(width_px);
    limits.max_image_height = Some(height_px);
    limits.max_alloc = Some(u64::from(width_px) * u64::from(height_px) * MAX_BYTES_PER_PIXEL + MAX_EXTRA_BYTES);
    limits
}

fn rgb_on_white(image: DynamicImage) -> Vec<u8> {
    if image.color().has_alpha() { blend_on_white(&image.into_rgba8()) } else { image.into_rgb8().into_raw() }
}

fn blend_on_white(image: &RgbaImage) -> Vec<u8> {
    let (pixels, _) = image.as_raw().as_chunks::<4>();
    pixels.iter().flat_map(|&[r, g, b, alpha]| [r, g, b].map(|level| over_white(level, alpha))).collect()
}

/// `level × alpha + 255 × (1 − alpha)`, rounded, with alpha in 255ths.
fn over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u16::from(level), u16::from(alpha));
    // 255 × 255 + 127 still fits into 16 bits.
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn not_decoded(format: SourceFormat, error: &ImageError) -> MediaError {
    let code = match error {
        ImageError::Unsupported(_) => RejectCode::MediaType,
        ImageError::Limits(_) => RejectCode::MediaTooLarge,
        _ => RejectCode::MediaCorrupt,
    };
    MediaError::rejected(code, format!("the {format:?} cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparency_shows_white() {
        assert_eq!(over_white(0, 0), 255);
        assert_eq!(over_white(10, 255), 10);
        assert_eq!(over_white(0, 128), 127);
    }
}
