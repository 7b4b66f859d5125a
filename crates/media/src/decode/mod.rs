//! Bytes to RGB pixels: any supported format, orientation applied, transparency on white.

mod jpeg;
mod orient;
mod other;

use manyframe_core::RejectCode;

pub(crate) use self::orient::oriented;
use crate::pixels::RGB_BYTES;
use crate::probe::{ImageHeader, JpegColor, JpegHeader, Parsed, probe_whole};
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
    decode_at(bytes, &header, &parsed, &mut image, (0, 0))?;
    Ok(image)
}

/// Decodes into a larger image: `header.width_px` × `header.height_px` pixels from (left, top) on.
pub(crate) fn decode_at(
    bytes: &[u8],
    header: &ImageHeader,
    parsed: &Parsed,
    canvas: &mut RgbImage,
    (left_px, top_px): (u32, u32),
) -> Result<(), MediaError> {
    let fits = left_px.checked_add(header.width_px).is_some_and(|right| right <= canvas.width_px())
        && top_px.checked_add(header.height_px).is_some_and(|bottom| bottom <= canvas.height_px());
    if !fits {
        return Err(no_pixels());
    }
    // Most images are this case, which copies no pixel.
    if let Some(jpeg) = parsed.jpeg.as_ref().filter(|jpeg| header.orientation == 1 && jpeg.color != JpegColor::Cmyk) {
        let stride = canvas.stride();
        let target = canvas.bytes_from_mut(left_px, top_px);
        return jpeg::decode_rgb_into(bytes, jpeg, parsed.stored_px, target, stride);
    }
    let stored = match &parsed.jpeg {
        Some(jpeg) => decode_stored_jpeg(bytes, jpeg, parsed.stored_px)?,
        None => other::decode_rgb_image(bytes, parsed.format, parsed.stored_px)?,
    };
    canvas.paste((left_px, top_px), oriented(stored, header.orientation).view());
    Ok(())
}

fn decode_stored_jpeg(bytes: &[u8], jpeg: &JpegHeader, stored_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let (width_px, height_px) = stored_px;
    if jpeg.color == JpegColor::Cmyk {
        return jpeg::decode_cmyk(bytes, jpeg, stored_px);
    }
    let mut image = RgbImage::gray(width_px, height_px, 0).ok_or_else(no_pixels)?;
    let stride = width_px as usize * RGB_BYTES;
    jpeg::decode_rgb_into(bytes, jpeg, stored_px, image.pixels_mut(), stride)?;
    Ok(image)
}

fn no_pixels() -> MediaError {
    MediaError::bad(RejectCode::MediaShape, "the image has no pixels, or more than fit into memory")
}
