//! How frames are turned upright, according to the display matrix of their stream.

use serde::{Deserialize, Serialize};

use crate::decode::{oriented, turned};
use crate::pixels::RgbImage;
use crate::ycbcr::Plane;

/// How a frame is rotated and mirrored for display, as an EXIF orientation from 1 (unchanged) to 8.
///
/// Display matrices other than quarter turns and mirrors leave frames unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Orientation(u8);

impl Orientation {
    /// Displayed as decoded.
    pub(super) const UPRIGHT: Self = Self(1);

    /// The orientation of a display matrix: nine 32-bit numbers in native order, the rows of `[a b u; c d v; x y w]`,
    /// which map a point (p, q) of the frame to (a·p + c·q + x, b·p + d·q + y).
    pub(super) fn from_display_matrix(bytes: &[u8]) -> Self {
        let (numbers, _) = bytes.as_chunks::<4>();
        let &[a, b, _, c, d, _, _, _, _, ..] = numbers else { return Self::UPRIGHT };
        let [a, b, c, d] = [a, b, c, d].map(|number| i32::from_ne_bytes(number).signum());
        Self(match (a, d, b, c) {
            (-1, 1, 0, 0) => 2,
            (-1, -1, 0, 0) => 3,
            (1, -1, 0, 0) => 4,
            (0, 0, 1, 1) => 5,
            (0, 0, 1, -1) => 6,
            (0, 0, -1, -1) => 7,
            (0, 0, -1, 1) => 8,
            _ => 1,
        })
    }

    /// Width and height of an upright frame whose decoded size is `width_px` × `height_px`.
    pub(super) fn upright_px(self, width_px: u32, height_px: u32) -> (u32, u32) {
        if self.0 >= 5 { (height_px, width_px) } else { (width_px, height_px) }
    }

    /// Whether frames are displayed as decoded.
    pub(super) fn is_upright(self) -> bool {
        self == Self::UPRIGHT
    }

    /// Turns a channel of a decoded image upright.
    pub(super) fn turn(self, plane: &mut Plane) {
        if let Some((samples, size)) = turned(&plane.samples, plane.size, self.0) {
            *plane = Plane { samples, size };
        }
    }

    /// Turns a decoded image upright.
    pub(super) fn upright(self, image: RgbImage) -> RgbImage {
        oriented(image, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    fn upright(a: i32, b: i32, c: i32, d: i32) -> String {
        let matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
        let orientation = Orientation::from_display_matrix(&matrix.map(i32::to_ne_bytes).concat());
        let pixels = b"abcdef".iter().flat_map(|&letter| [letter; 3]).collect();
        let image = orientation.upright(RgbImage::try_new(2, 3, pixels).unwrap());
        assert_eq!(orientation.upright_px(2, 3), (image.width_px(), image.height_px()));
        let letters: Vec<u8> = image.pixels().chunks(3).map(|pixel| pixel[0]).collect();
        let rows: Vec<_> = letters.chunks(image.width_px() as usize).map(String::from_utf8_lossy).collect();
        rows.join(" ")
    }

    #[test]
    fn quarter_turns_are_clockwise() {
        assert_eq!(upright(ONE, 0, 0, ONE), "ab cd ef");
        assert_eq!(upright(0, ONE, -ONE, 0), "eca fdb");
        assert_eq!(upright(-ONE, 0, 0, -ONE), "fe dc ba");
        assert_eq!(upright(0, -ONE, ONE, 0), "bdf ace");
    }

    #[test]
    fn mirrors_are_applied() {
        assert_eq!(upright(-ONE, 0, 0, ONE), "ba dc fe");
        assert_eq!(upright(ONE, 0, 0, -ONE), "ef cd ab");
        assert_eq!(upright(0, ONE, ONE, 0), "ace bdf");
        assert_eq!(upright(0, -ONE, -ONE, 0), "fdb eca");
    }

    #[test]
    fn other_matrices_leave_frames_unchanged() {
        assert_eq!(upright(ONE, ONE, -ONE, ONE), "ab cd ef");
        assert_eq!(Orientation::from_display_matrix(b"short"), Orientation::UPRIGHT);
    }
}
