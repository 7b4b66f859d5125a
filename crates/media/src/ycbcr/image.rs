//! An image stored as channels, and its conversion from RGB, level for level as libjpeg does it.

use super::channel::{Channel, Halved};
use super::part::Area;
use crate::error::MediaError;
use crate::pixels::{RGB_BYTES, RgbImage};
use crate::scratch::{first_bytes, with_memory};

/// Weights are in 65536ths, and are rounded so that gray stays gray.
const SHIFT: i32 = 16;
const HALF: i32 = 1 << (SHIFT - 1);
/// Colour is stored with an offset of 128; halves are rounded down (`jccolor.c`).
const CENTRE: i32 = (128 << SHIFT) + HALF - 1;
/// For Y, Cb and Cr: the weights of red, green and blue, and the offset.
const CHANNELS: [([i32; 3], i32); 3] =
    [([19_595, 38_470, 7_471], HALF), ([-11_059, -21_709, 32_768], CENTRE), ([32_768, -27_439, -5_329], CENTRE)];

/// An image of 8-bit YCbCr samples as JFIF defines them (BT.601, full range), read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ycbcr<'a> {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Brightness (Y), then the colour channels Cb and Cr.
    pub(crate) channels: [Channel<'a>; 3],
}

impl<'a> Ycbcr<'a> {
    /// An image of three consecutive planes at full resolution.
    pub(super) fn of_planes(width_px: u32, height_px: u32, samples: &'a [u8]) -> Self {
        let plane_bytes = width_px as usize * height_px as usize;
        let ((y, colours), width) = (samples.split_at(plane_bytes), width_px as usize);
        let (cb, cr) = colours.split_at(plane_bytes);
        let channels = [y, cb, cr].map(|samples| Channel { samples, width, halved: Halved::NOT });
        Self { width_px, height_px, channels }
    }

    /// The area of the whole image.
    pub(crate) fn whole(&self) -> Area {
        Area { origin_px: (0, 0), size_px: (self.width_px, self.height_px) }
    }
}

/// Calls `work` with the image in YCbCr.
pub(crate) fn with_ycbcr_of<T>(
    rgb: &RgbImage,
    work: impl FnOnce(Ycbcr<'_>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    let (pixels, _) = rgb.pixels().as_chunks();
    with_memory(|memory| {
        let samples = first_bytes(memory, rgb.pixels().len());
        for (channel, target) in CHANNELS.into_iter().zip(samples.chunks_exact_mut(pixels.len())) {
            pulp::Arch::new().dispatch(Convert { pixels, channel, target });
        }
        work(Ycbcr::of_planes(rgb.width_px(), rgb.height_px(), samples))
    })
}

struct Convert<'a> {
    pixels: &'a [[u8; RGB_BYTES]],
    channel: ([i32; 3], i32),
    target: &'a mut [u8],
}

impl pulp::NullaryFnOnce for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let ([of_red, of_green, of_blue], offset) = self.channel;
        for (target, &[red, green, blue]) in self.target.iter_mut().zip(self.pixels) {
            let sum = of_red * i32::from(red) + of_green * i32::from(green) + of_blue * i32::from(blue);
            *target = ((sum + offset) >> SHIFT) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_stays_gray_and_primaries_are_those_of_the_standard() {
        let pixels = vec![0, 0, 0, 119, 119, 119, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255];
        let rgb = RgbImage::try_new(6, 1, pixels).unwrap();
        // In fractions, the primaries have 76.245, 149.685 and 29.07 in Y, 84.97, 43.53 and 255.5 in Cb, and 255.5, 21.23 and
        // 107.27 in Cr, whose largest level is 255.
        let expected = [[0, 119, 255, 76, 150, 29], [128, 128, 128, 85, 44, 255], [128, 128, 128, 255, 21, 107]];
        with_ycbcr_of(&rgb, |image| {
            assert_eq!(image.channels.map(|channel| channel.samples.to_vec()), expected);
            Ok(())
        })
        .unwrap();
    }
}
