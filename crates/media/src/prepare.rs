//! One image, ready to be delivered: as it is where that is possible, else decoded, scaled and encoded.

use manyframe_core::{ImageFormat, SampleImage};

use crate::decode::{check_pixels, with_ycbcr};
use crate::encode::encode_ycbcr;
use crate::probe::{ImageHeader, Parsed, has_end_of_image, probe_whole};
use crate::sniff::SourceFormat;
use crate::ycbcr::Ycbcr;
use crate::{Check, ImagePolicy, MediaError, RgbImage, encode_jpeg, resize};

/// The image in the form in which it is delivered.
///
/// An image that [`ImageHeader::deliverable_as_is`] says so and that needs no scaling keeps its very bytes. Every other
/// becomes a JPEG.
pub fn prepare_image(bytes: Vec<u8>, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (header, parsed) = probe_whole(&bytes, &policy.limits)?;
    let delivered_px = policy.delivered_px(header.width_px, header.height_px);
    let is_unchanged = delivered_px == (header.width_px, header.height_px);
    match delivered_format(&header) {
        Some(format) if is_unchanged => {
            match policy.check {
                Check::Decode => check_pixels(&bytes, &header, &parsed)?,
                Check::Header => check_end(&bytes, &parsed)?,
            }
            Ok(SampleImage { bytes, format, width_px: header.width_px, height_px: header.height_px })
        }
        _ => with_ycbcr(&bytes, &header, &parsed, |image| encode_scaled(image, delivered_px, policy)),
    }
}

/// Pixels in the form in which they are delivered: at most `max_edge_px` on a side, as a JPEG.
pub fn prepare_pixels(pixels: &RgbImage, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (width_px, height_px) = policy.delivered_px(pixels.width_px(), pixels.height_px());
    let bytes = if (width_px, height_px) == (pixels.width_px(), pixels.height_px()) {
        encode_jpeg(pixels.view(), policy.jpeg())?
    } else {
        encode_jpeg(resize(pixels.view(), width_px, height_px)?.view(), policy.jpeg())?
    };
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

/// An image at a size, as a JPEG.
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

/// Whether the end of the file is there, which costs nothing to see.
fn check_end(bytes: &[u8], parsed: &Parsed) -> Result<(), MediaError> {
    let is_whole = match (parsed.format, &parsed.jpeg) {
        (SourceFormat::Jpeg, Some(jpeg)) => has_end_of_image(bytes, jpeg.scan_start),
        (SourceFormat::Png, _) => memchr::memmem::rfind(bytes, b"IEND").is_some(),
        (SourceFormat::Webp, _) => match bytes.get(4..8).map(<[u8; 4]>::try_from) {
            Some(Ok(riff_bytes)) => u64::from(u32::from_le_bytes(riff_bytes)) + 8 <= bytes.len() as u64,
            _ => false,
        },
        _ => true,
    };
    if is_whole {
        return Ok(());
    }
    let detail = format!("the {:?} image is cut short after {} bytes", parsed.format, bytes.len());
    Err(MediaError::rejected(manyframe_core::RejectCode::MediaCorrupt, detail))
}
