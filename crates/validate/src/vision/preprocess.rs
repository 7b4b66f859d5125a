//! Pixels as LLaVA's preprocessing gives them: a centred square, padded with CLIP's mean colour, scaled with Pillow's bicubic.
//!
//! The padded square is never in memory whole: of a picture a thousand times as high as it is wide it would take gigabytes.
//! It still takes time: in proportion to the square of the longer side.

use manyframe_media::{MediaError, RgbImage, resize};
use rayon::prelude::*;

use crate::ValidateError;

/// CLIP's mean colour as bytes, cut off, as LLaVA does it.
const MEAN_COLOUR: [u8; 3] = [122, 116, 104];
/// Bytes of padded rows that exist at a time.
const STRIP_BYTES: usize = 4 << 20;

/// The image as a square of this side, padded and scaled.
pub fn preprocess(image: &RgbImage, side_px: u32) -> Result<RgbImage, MediaError> {
    let long = image.width_px().max(image.height_px());
    // First along the rows, then along the columns, with bytes between the two, as in Pillow.
    let rows = scale_rows(image, long, side_px)?;
    if rows.height_px() == long {
        return resize(rows.view(), side_px, side_px);
    }
    let mut padded = mean_colour(side_px, long)?;
    let top = (long - rows.height_px()) / 2;
    let start = top as usize * padded.stride();
    if let Some(middle) = padded.pixels_mut().get_mut(start..start + rows.pixels().len()) {
        middle.copy_from_slice(rows.pixels());
    }
    resize(padded.view(), side_px, side_px)
}

/// Pixels of several images, one after another: `[images, side, side, 3]`.
pub(super) fn squares(images: &[RgbImage], side_px: u32) -> Result<Vec<u8>, ValidateError> {
    let squares: Result<Vec<_>, _> =
        images.par_iter().map(|image| preprocess(image, side_px).map(RgbImage::into_pixels)).collect();
    squares.map(|squares| squares.concat()).map_err(|error| ValidateError::Unfit { detail: error.to_string() })
}

/// The rows of the image, padded to a length of `long_px` on both sides, and scaled to `side_px`.
fn scale_rows(image: &RgbImage, long_px: u32, side_px: u32) -> Result<RgbImage, MediaError> {
    if image.width_px() == long_px {
        return resize(image.view(), side_px, image.height_px());
    }
    let left = (long_px - image.width_px()) / 2;
    let rows_per_strip = (STRIP_BYTES / (3 * long_px as usize)).max(1);
    let mut scaled = Vec::new();
    for rows in image.pixels().chunks(rows_per_strip * image.stride()) {
        let mut strip = mean_colour(long_px, (rows.len() / image.stride()) as u32)?;
        let (stride, start) = (strip.stride(), 3 * left as usize);
        for (row, padded) in rows.chunks_exact(image.stride()).zip(strip.pixels_mut().chunks_exact_mut(stride)) {
            if let Some(middle) = padded.get_mut(start..start + row.len()) {
                middle.copy_from_slice(row);
            }
        }
        let height_px = strip.height_px();
        scaled.extend_from_slice(resize(strip.view(), side_px, height_px)?.pixels());
    }
    RgbImage::try_new(side_px, image.height_px(), scaled).ok_or_else(|| no_size(side_px, image.height_px()))
}

fn mean_colour(width_px: u32, height_px: u32) -> Result<RgbImage, MediaError> {
    let mut image = RgbImage::gray(width_px, height_px, 0).ok_or_else(|| no_size(width_px, height_px))?;
    image.pixels_mut().chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&MEAN_COLOUR));
    Ok(image)
}

fn no_size(width_px: u32, height_px: u32) -> MediaError {
    MediaError::bad(manyframe_core::RejectCode::MediaShape, format!("{width_px}×{height_px} pixels is not a size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pads first and scales then, with everything in memory.
    fn plainly(image: &RgbImage, side_px: u32) -> RgbImage {
        let long = image.width_px().max(image.height_px());
        let mut padded = mean_colour(long, long).unwrap();
        let (left, top) = ((long - image.width_px()) / 2, (long - image.height_px()) / 2);
        let stride = padded.stride();
        for (row, pixels) in image.pixels().chunks_exact(image.stride()).enumerate() {
            let start = (top as usize + row) * stride + 3 * left as usize;
            padded.pixels_mut()[start..start + pixels.len()].copy_from_slice(pixels);
        }
        resize(padded.view(), side_px, side_px).unwrap()
    }

    fn noise(width_px: u32, height_px: u32) -> RgbImage {
        let pixels = (0..width_px * height_px * 3).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8);
        RgbImage::try_new(width_px, height_px, pixels.collect()).unwrap()
    }

    #[test]
    fn strips_give_what_the_whole_square_gives() {
        for (width, height) in [(40, 40), (41, 17), (17, 41), (336, 336), (500, 3), (3, 500), (1, 1)] {
            let image = noise(width, height);
            assert_eq!(preprocess(&image, 56).unwrap(), plainly(&image, 56), "{width}×{height}");
        }
    }

    #[test]
    fn a_thread_of_pixels_needs_no_square() {
        let thread = RgbImage::gray(2, 3000, 255).unwrap();
        let square = preprocess(&thread, 28).unwrap();
        assert_eq!(square.pixels().get(..3), Some(&MEAN_COLOUR[..]));
    }
}
