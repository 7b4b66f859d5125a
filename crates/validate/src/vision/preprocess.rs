//! Pixels as LLaVA's preprocessing gives them: a centred square, padded with CLIP's mean colour, scaled as Pillow scales.
//!
//! Every byte is Pillow's (`Image.resize` with `BICUBIC`): first along the rows, then along the columns, bytes between the two,
//! weights in fixed point. Libraries that are faster differ by a level or two here and there, which moves a loss in its fourth
//! digit. The padding is one colour, so that only its weight counts, and the square is never in memory.

use manyframe_media::RgbImage;
use rayon::prelude::*;

/// CLIP's mean colour as bytes, cut off, as LLaVA does it.
const MEAN_COLOUR: [u8; 3] = [122, 116, 104];
/// Binary places of a weight, and half of the last one.
const PRECISION_BITS: u32 = 22;
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Input pixels on each side that a cubic takes where nothing is made smaller.
const SUPPORT: f64 = 2.0;

/// The weights of one output pixel over a padded line.
struct Weights {
    /// First pixel of the image that has one.
    first: usize,
    /// Those of the pixels from there on.
    inside: Vec<i32>,
    /// The sum of those of the padding.
    outside: i32,
}

/// The image as a square of this side, padded and scaled: RGB bytes, `[side, side, 3]`.
pub fn preprocess(image: &RgbImage, side_px: u32) -> Vec<u8> {
    let long = image.width_px().max(image.height_px());
    let columns = weights(image.width_px(), long, side_px);
    let rows = weights(image.height_px(), long, side_px);
    let narrow: Vec<u8> =
        image.pixels().chunks_exact(image.stride()).flat_map(|row| scale_row(row, &columns)).collect();
    let padding = scale_row(&[], &columns);
    rows.iter().flat_map(|weights| blend_rows(&narrow, &padding, weights)).collect()
}

/// Pixels of several images, one after another: `[images, side, side, 3]`.
pub(super) fn squares(images: &[RgbImage], side_px: u32) -> Vec<u8> {
    images.par_iter().map(|image| preprocess(image, side_px)).collect::<Vec<_>>().concat()
}

/// A row of the image, scaled; of an empty one, nothing but padding.
fn scale_row(row: &[u8], columns: &[Weights]) -> Vec<u8> {
    let scaled = columns.iter().flat_map(|weights| {
        let pixels = row.get(3 * weights.first..).unwrap_or_default().chunks_exact(3);
        let num_seen = pixels.len().min(weights.inside.len());
        let unseen: i32 = weights.inside.iter().skip(num_seen).sum();
        let mut sums = MEAN_COLOUR.map(|level| HALF + i32::from(level) * (weights.outside + unseen));
        for (pixel, weight) in pixels.zip(&weights.inside) {
            sums.iter_mut().zip(pixel).for_each(|(sum, level)| *sum += i32::from(*level) * weight);
        }
        sums.map(to_level)
    });
    scaled.collect()
}

/// A row of the square from rows of the image that are scaled already, and one of padding.
fn blend_rows(narrow: &[u8], padding: &[u8], weights: &Weights) -> Vec<u8> {
    let mut sums: Vec<i32> = padding.iter().map(|level| HALF + i32::from(*level) * weights.outside).collect();
    let rows = narrow.get(weights.first * padding.len()..).unwrap_or_default().chunks_exact(padding.len());
    for (row, weight) in rows.zip(&weights.inside) {
        sums.iter_mut().zip(row).for_each(|(sum, level)| *sum += i32::from(*level) * weight);
    }
    sums.into_iter().map(to_level).collect()
}

fn to_level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The weights of each of `num_outputs` pixels over a line of `long_px`, in whose middle are the image's `num_pixels`.
fn weights(num_pixels: u32, long_px: u32, num_outputs: u32) -> Vec<Weights> {
    let scale = f64::from(long_px) / f64::from(num_outputs);
    // Where pixels become fewer, each output takes as many more of them.
    let stretch = scale.max(1.0);
    let left = ((long_px - num_pixels) / 2) as usize;
    let image = left..left + num_pixels as usize;
    let of_output = |output: u32| {
        let centre = (f64::from(output) + 0.5) * scale;
        let first = (centre - SUPPORT * stretch + 0.5).max(0.0) as usize;
        let end = ((centre + SUPPORT * stretch + 0.5) as usize).min(long_px as usize);
        let exact: Vec<f64> = (first..end).map(|place| cubic((place as f64 - centre + 0.5) / stretch)).collect();
        let total: f64 = exact.iter().sum();
        let fixed = exact.iter().map(|weight| to_fixed(weight / total));
        let mut weights = Weights { first: first.max(image.start) - left, inside: Vec::new(), outside: 0 };
        for (place, weight) in (first..).zip(fixed) {
            if image.contains(&place) { weights.inside.push(weight) } else { weights.outside += weight }
        }
        weights
    };
    (0..num_outputs).map(of_output).collect()
}

/// Keys' cubic with a slope of −½.
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
