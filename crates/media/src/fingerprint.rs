//! Fingerprints of images: a digest of the pixels, and a perceptual hash that survives scaling and recompression.
//!
//! All arithmetic is in integers, so fingerprints are the same on every machine.

use manyframe_core::Digest;
use serde::{Deserialize, Serialize};

use crate::pixels::{RGB_BYTES, RgbView};

/// The fingerprint of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFingerprint {
    /// The first 64 bits of a digest of size and pixels.
    pub pixels: u64,
    /// A difference hash: one bit for each of 8×8 pairs of neighbouring areas, set if the right one is brighter.
    /// Near-duplicates differ in few bits. `None` for images with too little contrast.
    pub hash: Option<u64>,
}

const COLUMNS: u32 = 9;
const ROWS: u32 = 8;

/// Minimum range of brightness, in levels. The hashes of images below it would be equal whatever they show.
const MIN_CONTRAST: u64 = 8;

impl ImageFingerprint {
    /// Computes the fingerprint of an image.
    pub fn of(image: &RgbView<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.width_px().to_le_bytes());
        hasher.update(&image.height_px().to_le_bytes());
        for row in image.rows() {
            hasher.update(row);
        }
        let pixels = Digest(*hasher.finalize().as_bytes()).first_bits();
        Self { pixels, hash: difference_hash(&brightness_of_areas(image)) }
    }
}

/// Mean brightness of 9×8 areas, row by row, in 256ths of a level. In small images, areas are single pixels and may repeat.
#[expect(clippy::indexing_slicing, reason = "bounds end at the width and the height")]
fn brightness_of_areas(image: &RgbView<'_>) -> Vec<u64> {
    let (width, height) = (image.width_px(), image.height_px());
    let bounds = |area: u32, number: u32, length: u32| {
        let start = (u64::from(area) * u64::from(length) / u64::from(number)) as usize;
        let end = (u64::from(area + 1) * u64::from(length) / u64::from(number)) as usize;
        (start, end.max(start + 1))
    };
    let columns: Vec<(usize, usize)> = (0..COLUMNS).map(|column| bounds(column, COLUMNS, width)).collect();
    let rows: Vec<&[u8]> = image.rows().collect();
    let mut areas = Vec::with_capacity((COLUMNS * ROWS) as usize);
    for (first_row, last_row) in (0..ROWS).map(|row| bounds(row, ROWS, height)) {
        for &(first, last) in &columns {
            let of_area = rows[first_row..last_row].iter();
            let pixels = of_area.flat_map(|row| row[RGB_BYTES * first..RGB_BYTES * last].as_chunks::<RGB_BYTES>().0);
            let (sum, num) = pixels.fold((0, 0), |(sum, num), &pixel| (sum + brightness(pixel), num + 1));
            areas.push(256 * sum / (1000 * num));
        }
    }
    areas
}

/// ITU-R BT.601 luma in thousandths of a level.
fn brightness([red, green, blue]: [u8; RGB_BYTES]) -> u64 {
    299 * u64::from(red) + 587 * u64::from(green) + 114 * u64::from(blue)
}

fn difference_hash(areas: &[u64]) -> Option<u64> {
    let (darkest, brightest) = (areas.iter().min()?, areas.iter().max()?);
    if brightest - darkest < 256 * MIN_CONTRAST {
        return None;
    }
    let pairs = areas.chunks_exact(COLUMNS as usize).flat_map(|row| row.windows(2));
    Some(pairs.fold(0, |hash, pair| hash << 1 | u64::from(matches!(pair, [left, right] if left < right))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::RgbImage;
    use crate::resize::resize;

    /// Waves that are not symmetric, so that no two areas are equal.
    fn waves(width_px: u32, height_px: u32, phase: f64) -> RgbImage {
        let pixel = |at: u32| {
            let (x, y) =
                (f64::from(at % width_px) / f64::from(width_px), f64::from(at / width_px) / f64::from(height_px));
            let level = 128.0 + 60.0 * (9.0 * x + phase).sin() + 60.0 * (7.0 * y * (1.0 + x) + 2.0 * phase).cos();
            [level as u8, (level * 0.8) as u8, (level * 0.5) as u8]
        };
        RgbImage::try_new(width_px, height_px, (0..width_px * height_px).flat_map(pixel).collect()).unwrap()
    }

    fn distance(a: &RgbImage, b: &RgbImage) -> u32 {
        (ImageFingerprint::of(&a.view()).hash.unwrap() ^ ImageFingerprint::of(&b.view()).hash.unwrap()).count_ones()
    }

    #[test]
    fn a_scaled_image_has_nearly_the_same_hash_and_another_image_has_not() {
        let image = waves(640, 480, 0.0);
        let scaled = resize(image.view(), 200, 150).unwrap();
        assert!(distance(&image, &scaled) <= 2);
        assert_ne!(ImageFingerprint::of(&image.view()).pixels, ImageFingerprint::of(&scaled.view()).pixels);
        assert!(distance(&image, &waves(640, 480, 2.0)) > 10);
    }

    #[test]
    fn an_image_without_contrast_has_no_hash() {
        assert_eq!(ImageFingerprint::of(&RgbImage::gray(50, 50, 200).unwrap().view()).hash, None);
        assert_eq!(ImageFingerprint::of(&RgbImage::gray(1, 1, 0).unwrap().view()).hash, None);
    }

    #[test]
    fn equal_pixels_have_equal_digests_and_sizes_count() {
        let fingerprint =
            |width_px, height_px| ImageFingerprint::of(&RgbImage::gray(width_px, height_px, 9).unwrap().view());
        assert_eq!(fingerprint(4, 6), fingerprint(4, 6));
        assert_ne!(fingerprint(4, 6).pixels, fingerprint(6, 4).pixels);
    }
}
