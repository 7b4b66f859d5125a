//! One image, ready for delivery: unchanged where possible, otherwise decoded, scaled and encoded.

use manyframe_core::{ImageFormat, RejectCode, SampleImage};

use crate::decode::{check_pixels, with_ycbcr};
use crate::encode::{encode_jpeg, encode_ycbcr};
use crate::error::MediaError;
use crate::pixels::RgbImage;
use crate::policy::{Check, ImagePolicy};
use crate::probe::{ImageHeader, ProbedImage, has_end_of_image, probe_whole};
use crate::resize::resize;
use crate::sniff::SourceFormat;
use crate::ycbcr::Ycbcr;

/// Prepares an image for delivery.
///
/// An image that is [`ImageHeader::deliverable_as_is`] and needs no scaling keeps its bytes. Any other becomes a JPEG.
///
/// # Errors
/// A rejection if the bytes are no image, a damaged one, or exceed the limits.
pub fn prepare_image(bytes: Vec<u8>, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let source = probe_whole(&bytes, &policy.limits)?;
    let header = &source.header;
    let delivered_px = policy.delivered_px(header.width_px, header.height_px);
    let is_unchanged = delivered_px == (header.width_px, header.height_px);
    match delivered_format(header) {
        Some(format) if is_unchanged => {
            match policy.check {
                Check::Decode => check_pixels(&source)?,
                Check::Header => check_end(&source)?,
            }
            let (width_px, height_px) = delivered_px;
            Ok(SampleImage { bytes, format, width_px, height_px })
        }
        _ => with_ycbcr(&source, |image| encode_scaled(image, delivered_px, policy)),
    }
}

/// Prepares pixels for delivery: scaled down to `max_edge_px` and encoded as a JPEG.
pub fn prepare_pixels(pixels: &RgbImage, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (width_px, height_px) = policy.delivered_px(pixels.width_px(), pixels.height_px());
    let bytes = if (width_px, height_px) == (pixels.width_px(), pixels.height_px()) {
        encode_jpeg(pixels.view(), policy.jpeg())?
    } else {
        encode_jpeg(resize(pixels.view(), width_px, height_px)?.view(), policy.jpeg())?
    };
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

/// Scales an image to a size and encodes it as a JPEG.
pub(crate) fn encode_scaled(
    image: Ycbcr<'_>,
    (width_px, height_px): (u32, u32),
    policy: &ImagePolicy,
) -> Result<SampleImage, MediaError> {
    let bytes = if (width_px, height_px) == (image.width_px, image.height_px) {
        encode_ycbcr(image, image.whole(), policy.jpeg())?
    } else {
        let scaled = image.resized(width_px, height_px)?;
        encode_ycbcr(scaled.channels(), scaled.channels().whole(), policy.jpeg())?
    };
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

fn delivered_format(header: &ImageHeader) -> Option<ImageFormat> {
    match header.format {
        _ if !header.deliverable_as_is => None,
        SourceFormat::Jpeg => Some(ImageFormat::Jpeg),
        SourceFormat::Png => Some(ImageFormat::Png),
        SourceFormat::Webp => Some(ImageFormat::Webp),
        SourceFormat::Gif | SourceFormat::Bmp | SourceFormat::Tiff => None,
    }
}

/// Rejects a file whose end is missing, without decoding it.
fn check_end(source: &ProbedImage<'_>) -> Result<(), MediaError> {
    let ProbedImage { bytes, parsed, .. } = source;
    let is_whole = match (parsed.format, &parsed.jpeg) {
        (SourceFormat::Jpeg, Some(jpeg)) => has_end_of_image(bytes, jpeg.scan_start),
        (SourceFormat::Png, _) => memchr::memmem::rfind(bytes, b"IEND").is_some(),
        (SourceFormat::Webp, _) => match **bytes {
            [_, _, _, _, s0, s1, s2, s3, ..] => {
                u64::from(u32::from_le_bytes([s0, s1, s2, s3])) + 8 <= bytes.len() as u64
            }
            _ => false,
        },
        _ => true,
    };
    if is_whole {
        return Ok(());
    }
    let detail = format!("the {:?} image is cut short after {} bytes", parsed.format, bytes.len());
    Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
}
