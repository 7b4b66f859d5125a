//! Bytes to RGB pixels: any supported format, orientation applied, transparency on white.

#[cfg(test)]
mod agreement;
#[cfg_attr(not(feature = "video"), path = "avif_disabled.rs")]
mod avif;
mod bmp;
mod gif;
mod jpeg;
mod orient;
mod other;
mod png;

use manyframe_base::in_flight::part_done;

use self::jpeg::JpegFile;
pub(crate) use self::jpeg::MAX_SCANS;
pub(crate) use self::orient::oriented;
#[cfg(feature = "video")]
pub(crate) use self::orient::turned;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::{RgbImage, no_pixels};
use crate::probe::{JpegColor, ProbedImage, probe_whole};
use crate::scratch::{with_memory, with_scratch};
use crate::sniff::SourceFormat;
use crate::ycbcr::{Ycbcr, with_ycbcr_of};

/// Decodes an image as it is shown. Its size is checked against the limits before pixels are allocated.
///
/// Only the first frame of an animation is decoded. Transparent pixels are blended with white. 16-bit channels are rounded to
/// 8 bits, CMYK is converted without a colour profile, and colour profiles of RGB images are ignored: all as in Pillow's
/// `convert("RGB")`, within two levels, except that Pillow ignores the transparency of palettes and clips 16-bit gray.
///
/// # Errors
/// A rejection if the bytes are no image, a damaged one, or exceed the limits.
pub fn decode_rgb(bytes: &[u8], limits: &MediaLimits) -> Result<RgbImage, MediaError> {
    let source = probe_whole(bytes, limits)?;
    let mut image = RgbImage::gray(source.header.width_px, source.header.height_px, 0).ok_or_else(no_pixels)?;
    decode_into(&source, &mut image)?;
    part_done();
    Ok(image)
}

/// Decodes into an image of the size in the header.
fn decode_into(source: &ProbedImage<'_>, image: &mut RgbImage) -> Result<(), MediaError> {
    let orientation = source.header.orientation;
    let jpeg = JpegFile::of(source);
    // Most images take this path, which copies no pixel.
    if let Some(jpeg) = jpeg.filter(|jpeg| orientation == 1 && jpeg.header.color != JpegColor::Cmyk) {
        return jpeg.decode_rgb_into(image);
    }
    if let Some(jpeg) = jpeg {
        *image = oriented(decode_stored_jpeg(jpeg)?, orientation);
    } else if orientation == 1 {
        other::decode_stored_into(source.bytes, source.parsed.format, image)?;
    } else {
        let (width_px, height_px) = source.parsed.stored_px;
        let mut stored = RgbImage::gray(width_px, height_px, 0).ok_or_else(no_pixels)?;
        other::decode_stored_into(source.bytes, source.parsed.format, &mut stored)?;
        *image = oriented(stored, orientation);
    }
    Ok(())
}

/// Calls `work` with the channels of an image as it is shown: as stored for most JPEGs, converted from RGB for all others.
///
/// Converted to RGB, the channels are exactly the pixels of [`decode_rgb`].
pub(crate) fn with_ycbcr<T>(
    source: &ProbedImage<'_>,
    work: impl FnOnce(Ycbcr<'_>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    with_memory(|memory| {
        if let Some(jpeg) = JpegFile::of(source).filter(|_| source.header.orientation == 1)
            && let Some(image) = jpeg.decode_channels(memory)?
        {
            return work(image);
        }
        with_scratch(source.header.width_px, source.header.height_px, |rgb| {
            decode_into(source, rgb)?;
            with_ycbcr_of(rgb, work)
        })
    })
}

/// Checks the header of an image as the decoder does.
pub(crate) fn check_jpeg_header(source: &ProbedImage<'_>) -> Result<(), MediaError> {
    JpegFile::of(source).map_or(Ok(()), JpegFile::check_header)
}

/// Decodes an image only to check that every reader can decode it: also against checksums that are not needed to decode it.
pub(crate) fn check_pixels(source: &ProbedImage<'_>) -> Result<(), MediaError> {
    if let Some(jpeg) = JpegFile::of(source)
        && with_memory(|memory| jpeg.decode_channels(memory).map(|channels| channels.is_some()))?
    {
        return Ok(());
    }
    with_scratch(source.header.width_px, source.header.height_px, |rgb| match source.parsed.format {
        SourceFormat::Png => other::check_png(source.bytes, rgb),
        _ => decode_into(source, rgb),
    })
}

fn decode_stored_jpeg(jpeg: JpegFile<'_>) -> Result<RgbImage, MediaError> {
    if jpeg.header.color == JpegColor::Cmyk {
        return jpeg.decode_cmyk();
    }
    let (width_px, height_px) = jpeg.size_px;
    let mut image = RgbImage::gray(width_px, height_px, 0).ok_or_else(no_pixels)?;
    jpeg.decode_rgb_into(&mut image)?;
    Ok(image)
}
