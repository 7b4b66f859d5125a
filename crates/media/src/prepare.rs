//! One image, ready to be delivered: as it is where that is possible, else decoded, scaled and encoded.

use manyframe_core::{ImageFormat, SampleImage};

use crate::decode::decode_at;
use crate::probe::{ImageHeader, Parsed, has_end_of_image, probe_whole};
use crate::scratch::with_scratch;
use crate::sniff::SourceFormat;
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
                Check::Decode => with_pixels(&bytes, &header, &parsed, |_pixels| Ok(()))?,
                Check::Header => check_end(&bytes, &parsed)?,
            }
            Ok(SampleImage { bytes, format, width_px: header.width_px, height_px: header.height_px })
        }
        _ => {
            let bytes = with_pixels(&bytes, &header, &parsed, |pixels| encode_scaled(pixels, delivered_px, policy))?;
            Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px: delivered_px.0, height_px: delivered_px.1 })
        }
    }
}

/// Pixels in the form in which they are delivered: at most `max_edge_px` on a side, as a JPEG.
pub fn prepare_pixels(pixels: &RgbImage, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (width_px, height_px) = policy.delivered_px(pixels.width_px(), pixels.height_px());
    let bytes = encode_scaled(pixels, (width_px, height_px), policy)?;
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

fn encode_scaled(pixels: &RgbImage, size_px: (u32, u32), policy: &ImagePolicy) -> Result<Vec<u8>, MediaError> {
    if size_px == (pixels.width_px(), pixels.height_px()) {
        return encode_jpeg(pixels.view(), policy.jpeg());
    }
    let scaled = resize(pixels.view(), size_px.0, size_px.1)?;
    encode_jpeg(scaled.view(), policy.jpeg())
}

fn with_pixels<T>(
    bytes: &[u8],
    header: &ImageHeader,
    parsed: &Parsed,
    work: impl FnOnce(&RgbImage) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    with_scratch(header.width_px, header.height_px, |pixels| {
        decode_at(bytes, header, parsed, pixels, (0, 0))?;
        work(pixels)
    })
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
    Err(MediaError::bad(manyframe_core::RejectCode::MediaCorrupt, detail))
}
