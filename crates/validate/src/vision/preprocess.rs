//! LLaVA's preprocessing: the image is centred in a square padded with CLIP's mean colour, and scaled as Pillow does it.
//!
//! Every byte equals that of Pillow's `Image.resize` with `BICUBIC`: along the rows, then along the columns, rounded to
//! bytes in between, with fixed-point weights. Faster libraries differ by a level or two in some pixels, which changes
//! a loss in the fourth digit. As the padding is of one colour, its weights are summed up and the padded square is
//! never in memory.

use manyframe_media::RgbImage;
use rayon::prelude::*;

/// CLIP's mean colour as bytes, rounded down as in LLaVA.
const MEAN_COLOUR: [u8; 3] = [122, 116, 104];
/// Fractional bits of a weight.
const PRECISION_BITS: u32 = 22;
/// One half, for rounding.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Input pixels on each side of an output pixel that have a weight, unless the image is scaled down.
const SUPPORT: f64 = 2.0;

/// The weights of one output pixel over a padded line.
struct PixelWeights {
    /// First pixel of the image that has a weight.
    first: usize,
    /// Weights of the pixels from there on.
    inside: Vec<i32>,
    /// Sum of the weights of the padding.
    outside: i32,
}

/// The image padded to a square and scaled to this side: RGB bytes, `[side, side, 3]`.
pub fn preprocess(image: &RgbImage, side_px: u32) -> Vec<u8> {
    let long = image.width_px().max(image.height_px());
    let columns = weights(image.width_px(), long, side_px);
    let rows = weights(image.height_px(), long, side_px);
    let narrow: Vec<u8> =
        image.pixels().chunks_exact(image.stride()).flat_map(|row| scale_row(row, &columns)).collect();
    let padding = padding_row(&columns);
    rows.iter().flat_map(|weights| blend_rows(&narrow, &padding, weights)).collect()
}

/// [`preprocess`] of several images, one after another: `[images, side, side, 3]`.
pub(super) fn squares(images: &[RgbImage], side_px: u32) -> Vec<u8> {
    images.par_iter().map(|image| preprocess(image, side_px)).collect::<Vec<_>>().concat()
}

/// A row of the image, padded and scaled.
#[expect(clippy::indexing_slicing, reason = "pixels that have a weight are inside of the image")]
fn scale_row(row: &[u8], columns: &[PixelWeights]) -> Vec<u8> {
    let scaled = columns.iter().flat_map(|weights| {
        let mut sums = MEAN_COLOUR.map(|level| HALF + i32::from(level) * weights.outside);
        for (pixel, weight) in row[3 * weights.first..].chunks_exact(3).zip(&weights.inside) {
            sums.iter_mut().zip(pixel).for_each(|(sum, level)| *sum += i32::from(*level) * weight);
        }
        sums.map(to_level)
    });
    scaled.collect()
}

/// A row of padding, scaled.
fn padding_row(columns: &[PixelWeights]) -> Vec<u8> {
    let scaled = columns.iter().flat_map(|weights| {
        let total = weights.outside + weights.inside.iter().sum::<i32>();
        MEAN_COLOUR.map(|level| to_level(HALF + i32::from(level) * total))
    });
    scaled.collect()
}

/// A row of the result, from rows that are scaled already: those of the image, and one of padding.
#[expect(clippy::indexing_slicing, reason = "rows that have a weight are inside of the image")]
fn blend_rows(narrow: &[u8], padding: &[u8], weights: &PixelWeights) -> Vec<u8> {
    let mut sums: Vec<i32> = padding.iter().map(|level| HALF + i32::from(*level) * weights.outside).collect();
    let rows = narrow[weights.first * padding.len()..].chunks_exact(padding.len());
    for (row, weight) in rows.zip(&weights.inside) {
        sums.iter_mut().zip(row).for_each(|(sum, level)| *sum += i32::from(*level) * weight);
    }
    sums.into_iter().map(to_level).collect()
}

fn to_level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The weights of each of `num_outputs` pixels over a line of `long_px`, of which the middle `num_pixels` are the image's.
fn weights(num_pixels: u32, long_px: u32, num_outputs: u32) -> Vec<PixelWeights> {
    let scale = f64::from(long_px) / f64::from(num_outputs);
    // When scaling down, an output pixel covers correspondingly more input pixels.
    let stretch = scale.max(1.0);
    let left = ((long_px - num_pixels) / 2) as usize;
    let image = left..left + num_pixels as usize;
    let of_output = |output: u32| {
        let centre = (f64::from(output) + 0.5) * scale;
        let first = (centre - SUPPORT * stretch + 0.5).max(0.0) as usize;
        let end = ((centre + SUPPORT * stretch + 0.5) as usize).min(long_px as usize);
        let exact: Vec<f64> = (first..end).map(|pixel| cubic((pixel as f64 - centre + 0.5) / stretch)).collect();
        let total: f64 = exact.iter().sum();
        let fixed = exact.iter().map(|weight| to_fixed(weight / total));
        let (mut inside, mut outside) = (Vec::new(), 0);
        for (pixel, weight) in (first..).zip(fixed) {
            if image.contains(&pixel) { inside.push(weight) } else { outside += weight }
        }
        let first = if inside.is_empty() { 0 } else { first.max(image.start) - left };
        PixelWeights { first, inside, outside }
    };
    (0..num_outputs).map(of_output).collect()
}

/// Keys' cubic convolution kernel with a = −½ (IEEE TASSP 29, 1981), as in Pillow.
fn cubic(distance: f64) -> f64 {
    const SLOPE: f64 = -0.5;
    match distance.abs() {
        near if near < 1.0 => ((SLOPE + 2.0) * near - (SLOPE + 3.0)) * near * near + 1.0,
        far if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * SLOPE,
        _ => 0.0,
    }
}

fn to_fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS)).round() as i32
}
