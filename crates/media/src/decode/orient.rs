//! EXIF orientation: from pixels as stored to pixels as shown.

use crate::pixels::{RGB_BYTES, RgbImage};

/// Turns and mirrors an image by an EXIF orientation from 1 to 8; any other value leaves it unchanged.
///
/// Source: CIPA DC-008 (Exif 2.32), tag 0x0112.
#[expect(clippy::expect_used, reason = "turning changes no number of pixels")]
pub(crate) fn oriented(stored: RgbImage, orientation: u8) -> RgbImage {
    let (pixels, _) = stored.pixels().as_chunks::<RGB_BYTES>();
    let Some((shown, (width_px, height_px))) = turned(pixels, (stored.width_px(), stored.height_px()), orientation)
    else {
        return stored;
    };
    RgbImage::try_new(width_px, height_px, shown.into_flattened()).expect("the same number of pixels")
}

/// As [`oriented`], of samples of any kind: those shown, and their columns and rows. `None` if they are as stored.
#[expect(clippy::indexing_slicing, reason = "each position of the stored image is visited once")]
pub(crate) fn turned<T: Copy>(
    stored: &[T],
    (width, height): (u32, u32),
    orientation: u8,
) -> Option<(Vec<T>, (u32, u32))> {
    let size = if orientation >= 5 { (height, width) } else { (width, height) };
    let (width, height) = (i64::from(width), i64::from(height));
    let (last_x, last_y) = (width - 1, height - 1);
    // In the stored image: the position of the first sample shown, and the steps to its right and lower neighbours.
    let (first, right, down) = match orientation {
        2 => (last_x, -1, width),
        3 => (last_y * width + last_x, -1, -width),
        4 => (last_y * width, 1, -width),
        5 => (0, width, 1),
        6 => (last_y * width, -width, 1),
        7 => (last_y * width + last_x, -width, -1),
        8 => (last_x, width, -1),
        _ => return None,
    };
    let mut shown = Vec::with_capacity(stored.len());
    for y in 0..i64::from(size.1) {
        shown.extend((0..i64::from(size.0)).map(|x| stored[(first + x * right + y * down) as usize]));
    }
    Some((shown, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letters of a 3×2 image as shown, row by row.
    fn shown(orientation: u8) -> (u32, String) {
        let stored = RgbImage::try_new(3, 2, b"abcdef".iter().flat_map(|&b| [b; 3]).collect()).unwrap();
        let image = oriented(stored, orientation);
        (image.width_px(), image.pixels().iter().step_by(3).map(|&b| char::from(b)).collect())
    }

    #[test]
    fn all_orientations_are_those_of_the_standard() {
        let expected = [
            (1, 3, "abcdef"),
            (2, 3, "cbafed"),
            (3, 3, "fedcba"),
            (4, 3, "defabc"),
            (5, 2, "adbecf"),
            (6, 2, "daebfc"),
            (7, 2, "fcebda"),
            (8, 2, "cfbead"),
            (0, 3, "abcdef"),
            (9, 3, "abcdef"),
        ];
        for (orientation, width, letters) in expected {
            assert_eq!(shown(orientation), (width, letters.to_owned()), "orientation {orientation}");
        }
    }
}
