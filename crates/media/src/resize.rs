//! Scaling: bicubic (Catmull-Rom, a = −0.5) with antialiasing, like Pillow's `BICUBIC`.
//!
//! Pixels are computed in integers, so they are the same on every machine. They are those of torchvision, which the processors
//! of `transformers` use (`tests/pixels.rs`), and differ from Pillow's by at most two levels: of 1.1 million samples of photos,
//! drawings and noise, 99.7 % were equal and all but three within one level.

use std::cell::RefCell;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, IntoImageView, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::pixels::{RgbImage, RgbView};
use crate::scratch::with_scratch;

thread_local! {
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Scales a view to another size. The same size is a copy.
///
/// Pixels outside the view have no influence.
///
/// # Errors
/// A rejection if the size has no pixels, or more than can be addressed.
pub fn resize(source: RgbView<'_>, width_px: u32, height_px: u32) -> Result<RgbImage, MediaError> {
    resize_by(FilterType::CatmullRom, source, width_px, height_px)
}

/// As [`resize`], like Pillow's `LANCZOS`.
///
/// # Errors
/// As [`resize`].
pub fn resize_lanczos(source: RgbView<'_>, width_px: u32, height_px: u32) -> Result<RgbImage, MediaError> {
    resize_by(FilterType::Lanczos3, source, width_px, height_px)
}

fn resize_by(filter: FilterType, source: RgbView<'_>, width_px: u32, height_px: u32) -> Result<RgbImage, MediaError> {
    // Columns first, then rows, with 8 bits in between, as in Pillow. The resizer would begin with the rows, which leads to
    // other pixels where a pass overshoots, and is no faster.
    if width_px == source.width_px() || height_px == source.height_px() {
        return resize_pass(filter, source, width_px, height_px);
    }
    with_scratch(width_px, source.height_px(), |narrowed| {
        resize_into(filter, source, narrowed)?;
        resize_pass(filter, narrowed.view(), width_px, height_px)
    })
}

/// The largest size with this aspect ratio whose longest side is at most `edge_px`; a smaller image keeps its size.
///
/// The short side is rounded to the nearest pixel, halves up, and is at least 1.
pub fn fit_longest_edge(width_px: u32, height_px: u32, edge_px: u32) -> (u32, u32) {
    let long = width_px.max(height_px);
    if long <= edge_px {
        return (width_px, height_px);
    }
    let scale = |side: u32| scale_round(side, edge_px, long).max(1);
    (scale(width_px), scale(height_px))
}

/// `side × numerator ÷ denominator`, rounded to the nearest integer, halves up. `denominator` is not 0.
fn scale_round(side: u32, numerator: u32, denominator: u32) -> u32 {
    let denominator = u64::from(denominator.max(1));
    let doubled = 2 * u64::from(side) * u64::from(numerator) + denominator;
    u32::try_from(doubled / (2 * denominator)).unwrap_or(u32::MAX)
}

fn resize_pass(filter: FilterType, source: RgbView<'_>, width_px: u32, height_px: u32) -> Result<RgbImage, MediaError> {
    let mut scaled = RgbImage::gray(width_px, height_px, 0).ok_or_else(|| {
        MediaError::rejected(RejectCode::MediaShape, format!("{width_px}×{height_px} pixels is not a size to scale to"))
    })?;
    resize_into(filter, source, &mut scaled)?;
    Ok(scaled)
}

fn resize_into(filter: FilterType, source: RgbView<'_>, scaled: &mut RgbImage) -> Result<(), MediaError> {
    let (to_w, to_h) = (scaled.width_px(), scaled.height_px());
    convolve_pixels(filter, source, scaled)
        .map_err(|error| cannot_scale((source.width_px(), source.height_px()), (to_w, to_h), &*error))
}

fn convolve_pixels(
    filter: FilterType,
    source: RgbView<'_>,
    scaled: &mut RgbImage,
) -> Result<(), Box<dyn std::error::Error>> {
    let image = source.image();
    let whole = ImageRef::new(image.width_px(), image.height_px(), image.pixels(), PixelType::U8x3)?;
    let (left, top) = source.origin_px();
    // A crop *of the image*: the resizer's own crop option samples pixels beyond the border.
    let cropped = CroppedImage::new(&whole, left, top, source.width_px(), source.height_px())?;
    let (width, height) = (scaled.width_px(), scaled.height_px());
    let mut target = Image::from_slice_u8(width, height, scaled.pixels_mut(), PixelType::U8x3)?;
    Ok(convolve_by(filter, &cropped, &mut target)?)
}

/// Scales in the directions in which the two sizes differ. Channels are independent of each other.
pub(crate) fn convolve(source: &impl IntoImageView, target: &mut Image<'_>) -> Result<(), ResizeError> {
    convolve_by(FilterType::CatmullRom, source, target)
}

fn convolve_by(filter: FilterType, source: &impl IntoImageView, target: &mut Image<'_>) -> Result<(), ResizeError> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    RESIZER.with_borrow_mut(|resizer| resizer.resize(source, target, &options))
}

pub(crate) fn cannot_scale(from_px: (u32, u32), to_px: (u32, u32), error: &dyn std::error::Error) -> MediaError {
    let detail = format!("cannot scale {}×{} to {}×{} pixels: {error}", from_px.0, from_px.1, to_px.0, to_px.1);
    MediaError::rejected(RejectCode::MediaShape, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_stays_flat() {
        let image = RgbImage::gray(50, 30, 77).unwrap();
        let scaled = resize(image.view(), 7, 90).unwrap();
        assert!(scaled.pixels().iter().all(|&level| level == 77));
    }

    #[test]
    fn pixels_outside_of_a_view_have_no_influence() {
        let mut image = RgbImage::gray(40, 40, 255).unwrap();
        for row in 10..30 {
            image.pixels_mut()[(row * 40 + 10) * 3..(row * 40 + 30) * 3].fill(0);
        }
        let scaled = resize(image.crop((10, 10), (20, 20)).unwrap(), 9, 9).unwrap();
        assert!(scaled.pixels().iter().all(|&level| level == 0));
    }

    #[test]
    fn the_longest_side_fits_and_the_aspect_ratio_is_kept() {
        assert_eq!(fit_longest_edge(1000, 500, 336), (336, 168));
        assert_eq!(fit_longest_edge(640, 427, 336), (336, 224));
        assert_eq!(fit_longest_edge(300, 200, 336), (300, 200));
        assert_eq!(fit_longest_edge(1, 10_000, 336), (1, 336));
        assert_eq!(fit_longest_edge(u32::MAX, u32::MAX, 336), (336, 336));
    }

    #[test]
    fn a_size_without_pixels_is_rejected() {
        let image = RgbImage::gray(5, 5, 0).unwrap();
        assert!(resize(image.view(), 0, 5).is_err());
    }
}
