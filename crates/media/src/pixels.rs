//! Pixels in memory: 8-bit RGB, and rectangles of it that are read in place.

use manyframe_core::RejectCode;

use crate::error::MediaError;

/// An image of 8-bit RGB pixels.
///
/// # Invariants
/// * `pixels` holds exactly `width_px` × `height_px` × 3 bytes: rows from the top, no padding between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width_px: u32,
    height_px: u32,
    pixels: Vec<u8>,
}

/// A rectangle of an [`RgbImage`], read in place.
///
/// # Invariants
/// * The rectangle is inside the image and not empty.
#[derive(Debug, Clone, Copy)]
pub struct RgbView<'a> {
    image: &'a RgbImage,
    left_px: u32,
    top_px: u32,
    width_px: u32,
    height_px: u32,
}

/// Number of bytes of a pixel.
pub(crate) const RGB_BYTES: usize = 3;

impl RgbImage {
    /// An image of these pixels; `None` if their number is not `width_px` × `height_px` × 3, or is 0.
    pub fn try_new(width_px: u32, height_px: u32, pixels: Vec<u8>) -> Option<Self> {
        let expected = num_rgb_bytes(width_px, height_px)?;
        (expected != 0 && pixels.len() == expected).then_some(Self { width_px, height_px, pixels })
    }

    /// An image of one gray level; `None` if it has no pixels or more bytes than can be addressed.
    pub fn gray(width_px: u32, height_px: u32, level: u8) -> Option<Self> {
        let num_bytes = num_rgb_bytes(width_px, height_px).filter(|&bytes| bytes != 0)?;
        Some(Self { width_px, height_px, pixels: vec![level; num_bytes] })
    }

    /// An image over reused memory, whose pixels are whatever was there. `None` as in [`Self::gray`].
    pub(crate) fn recycled(width_px: u32, height_px: u32, mut memory: Vec<u8>) -> Option<Self> {
        let num_bytes = num_rgb_bytes(width_px, height_px).filter(|&bytes| bytes != 0)?;
        memory.resize(num_bytes, 0);
        Some(Self { width_px, height_px, pixels: memory })
    }

    /// Width in pixels, at least 1.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in pixels, at least 1.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Number of bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.width_px as usize * RGB_BYTES
    }

    /// The rows, from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The rows, from the top, for writing.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The rows, from the top, as a vector.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The whole image as a view.
    pub fn view(&self) -> RgbView<'_> {
        RgbView { image: self, left_px: 0, top_px: 0, width_px: self.width_px, height_px: self.height_px }
    }

    /// A rectangle, by its left and top and its width and height; `None` if it is empty or extends beyond the image.
    pub fn crop(&self, (left_px, top_px): (u32, u32), (width_px, height_px): (u32, u32)) -> Option<RgbView<'_>> {
        let inside = width_px > 0
            && height_px > 0
            && left_px.checked_add(width_px)? <= self.width_px
            && top_px.checked_add(height_px)? <= self.height_px;
        inside.then_some(RgbView { image: self, left_px, top_px, width_px, height_px })
    }
}

impl<'a> RgbView<'a> {
    /// Width in pixels, at least 1.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in pixels, at least 1.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Number of bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.image.stride()
    }

    /// Bytes from the first pixel to the end of the image; rows are [`Self::stride`] apart.
    #[expect(clippy::indexing_slicing, reason = "the rectangle is inside the image")]
    pub fn bytes(&self) -> &'a [u8] {
        let start = self.top_px as usize * self.stride() + self.left_px as usize * RGB_BYTES;
        &self.image.pixels[start..]
    }

    /// The rows, from the top, of `width_px` × 3 bytes each.
    #[expect(clippy::indexing_slicing, reason = "from its left on, every row has the width of the rectangle")]
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        let num_bytes = self.width_px as usize * RGB_BYTES;
        self.bytes().chunks(self.stride()).take(self.height_px as usize).map(move |row| &row[..num_bytes])
    }

    /// A copy of the rectangle.
    pub fn to_image(&self) -> RgbImage {
        RgbImage {
            width_px: self.width_px,
            height_px: self.height_px,
            pixels: self.rows().flatten().copied().collect(),
        }
    }

    /// The image around the rectangle.
    pub(crate) fn image(&self) -> &'a RgbImage {
        self.image
    }

    /// Left and top of the rectangle in its image.
    pub(crate) fn origin_px(&self) -> (u32, u32) {
        (self.left_px, self.top_px)
    }
}

/// Number of bytes of an RGB image; `None` beyond the address space.
fn num_rgb_bytes(width_px: u32, height_px: u32) -> Option<usize> {
    (width_px as usize).checked_mul(height_px as usize)?.checked_mul(RGB_BYTES)
}

/// `level × alpha + 255 × (1 − alpha)`, rounded, with alpha in 255ths.
pub(crate) fn over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u16::from(level), u16::from(alpha));
    // 255 × 255 + 127 still fits into 16 bits.
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// The rejection of an image that [`RgbImage`] cannot hold.
pub(crate) fn no_pixels() -> MediaError {
    MediaError::rejected(RejectCode::MediaShape, "the image has no pixels, or more than fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_holds_exactly_its_pixels() {
        assert!(RgbImage::try_new(2, 1, vec![0; 6]).is_some());
        assert!(RgbImage::try_new(2, 1, vec![0; 7]).is_none());
        assert!(RgbImage::try_new(0, 1, vec![]).is_none());
        assert!(RgbImage::gray(0, 5, 1).is_none());
    }

    #[test]
    fn transparency_shows_white() {
        assert_eq!(over_white(0, 0), 255);
        assert_eq!(over_white(10, 255), 10);
        assert_eq!(over_white(0, 128), 127);
    }

    #[test]
    fn a_view_reads_its_rectangle() {
        let image = RgbImage::try_new(3, 2, (0..18).collect()).unwrap();
        let view = image.crop((1, 1), (2, 1)).unwrap();
        assert_eq!(view.rows().collect::<Vec<_>>(), [&[12, 13, 14, 15, 16, 17]]);
        assert_eq!(image.crop((0, 0), (1, 2)).unwrap().to_image().into_pixels(), [0, 1, 2, 9, 10, 11]);
    }

    #[test]
    fn a_rectangle_beyond_the_image_is_none() {
        let image = RgbImage::gray(3, 2, 255).unwrap();
        assert!(image.crop((2, 0), (2, 1)).is_none());
        assert!(image.crop((u32::MAX, 0), (2, 1)).is_none());
        assert!(image.crop((0, 0), (0, 1)).is_none());
    }
}
