//! Bytes to RGB pixels: any supported format, orientation applied, transparency on white.

#[cfg(test)]
mod agreement;
mod jpeg;
mod orient;
mod other;

use manyframe_core::RejectCode;

pub(crate) use self::orient::oriented;
use crate::probe::{ImageHeader, JpegColor, JpegHeader, Parsed, probe_whole};
use crate::scratch::{with_memory, with_scratch};
use crate::ycbcr::{Ycbcr, with_ycbcr_of};
use crate::{MediaError, MediaLimits, RgbImage};

/// The pixels of an image as it is shown, checked against the limits before they are allocated.
///
/// Of an animation the first frame is taken. Transparent pixels are blended with white. 16-bit channels are rounded to
/// 8 bits, CMYK is converted without a colour profile, and colour profiles of RGB images are ignored: all as in
/// Pillow's `convert("RGB")`, within two levels, except that Pillow ignores the transparency of palettes and clips
/// 16-bit gray.
pub fn decode_rgb(bytes: &[u8], limits: &MediaLimits) -> Result<RgbImage, MediaError> {
    let (header, parsed) = probe_whole(bytes, limits)?;
    let mut image = RgbImage::gray(header.width_px, header.height_px, 0).ok_or_else(no_pixels)?;
    decode_into(bytes, &header, &parsed, &mut image)?;
    Ok(image)
}

/// Decodes into an image of the size of `header`.
fn decode_into(bytes: &[u8], header: &ImageHeader, parsed: &Parsed, image: &mut RgbImage) -> Result<(), MediaError> {
    // Most images are this case, which copies no pixel.
    if let Some(jpeg) = parsed.jpeg.as_ref().filter(|jpeg| header.orientation == 1 && jpeg.color != JpegColor::Cmyk) {
        return jpeg::decode_rgb_into(bytes, jpeg, image);
    }
    let stored = match &parsed.jpeg {
        Some(jpeg) => decode_stored_jpeg(bytes, jpeg, parsed.stored_px)?,
        None => other::decode_rgb_image(bytes, parsed.format, parsed.stored_px)?,
    };
    *image = oriented(stored, header.orientation);
    Ok(())
}

/// Calls `work` with an image as it is shown: the channels of most JPEGs as they are stored, everything else from RGB.
///
/// In RGB, the channels show exactly the pixels that [`decode_rgb`] gives.
pub(crate) fn with_ycbcr<T>(
    bytes: &[u8],
    header: &ImageHeader,
    parsed: &Parsed,
    work: impl FnOnce(Ycbcr<'_>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    with_memory(|memory| {
        if let Some(jpeg) = parsed.jpeg.as_ref().filter(|_| header.orientation == 1)
            && let Some(image) = jpeg::decode_channels(bytes, jpeg, parsed.stored_px, memory)?
        {
            return work(image);
        }
        with_scratch(header.width_px, header.height_px, |rgb| {
            decode_into(bytes, header, parsed, rgb)?;
            with_ycbcr_of(rgb, work)
        })
    })
}

/// Decodes an image only to see whether that can be done.
pub(crate) fn check_pixels(bytes: &[u8], header: &ImageHeader, parsed: &Parsed) -> Result<(), MediaError> {
    if let Some(jpeg) = &parsed.jpeg
        && with_memory(|memory| jpeg::decode_channels(bytes, jpeg, parsed.stored_px, memory).map(|it| it.is_some()))?
    {
        return Ok(());
    }
    with_scratch(header.width_px, header.height_px, |rgb| decode_into(bytes, header, parsed, rgb))
}

fn decode_stored_jpeg(bytes: &[u8], jpeg: &JpegHeader, stored_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let (width_px, height_px) = stored_px;
    if jpeg.color == JpegColor::Cmyk {
        return jpeg::decode_cmyk(bytes, jpeg, stored_px);
    }
    let mut image = RgbImage::gray(width_px, height_px, 0).ok_or_else(no_pixels)?;
    jpeg::decode_rgb_into(bytes, jpeg, &mut image)?;
    Ok(image)
}

fn no_pixels() -> MediaError {
    MediaError::rejected(RejectCode::MediaShape, "the image has no pixels, or more than fit into memory")
}
