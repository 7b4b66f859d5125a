//! Rows of samples to rows of RGB, transparency on white.

use super::lab::rgb_from_lab;
use super::layout::{Alpha, Colors, Layout, YCbCr};
use crate::pixels::{RGB_BYTES, over_white};

/// Converts rows; its memory is reused.
pub(super) struct RowConverter<'a> {
    layout: &'a Layout<'a>,
    samples: Vec<u8>,
}

impl<'a> RowConverter<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        Self { layout, samples: Vec::new() }
    }

    /// Writes as many pixels as `rgb` holds, from a row whose samples are as stored.
    pub(super) fn convert(&mut self, row: &[u8], rgb: &mut [u8]) {
        let Self { layout, samples } = self;
        samples.clear();
        let is_index = matches!(layout.colors, Colors::Palette(_));
        let most = u8::MAX >> 8_usize.saturating_sub(layout.sample_bits);
        let scale = if is_index { 1 } else { 255 / most };
        match layout.sample_bits {
            8 => samples.extend_from_slice(row),
            16 => {
                // Rounded to 8 bits; 257 × 255 is 65,535.
                let level = |&pair: &[u8; 2]| ((u32::from(layout.byte_order.number(pair)) + 128) / 257) as u8;
                samples.extend(row.as_chunks::<2>().0.iter().map(level));
            }
            // Gathered from planes, each sample has a byte.
            _ if layout.is_planar => samples.extend(row.iter().map(|&sample| sample * scale)),
            bits => {
                let shifts = (0..8 / bits).rev().map(|position| position * bits);
                let of_byte = |&byte: &u8| shifts.clone().map(move |shift| ((byte >> shift) & most) * scale);
                samples.extend(row.iter().flat_map(of_byte));
            }
        }
        let pixels = samples.chunks_exact(layout.samples_per_pixel);
        for (pixel, rgb) in pixels.zip(rgb.as_chunks_mut::<RGB_BYTES>().0) {
            *rgb = self.layout.rgb(pixel);
        }
    }
}

impl Layout<'_> {
    /// The colour of a pixel of 8-bit samples on white.
    fn rgb(&self, pixel: &[u8]) -> [u8; 3] {
        let color = match (&self.colors, pixel) {
            (Colors::Gray { is_white_zero: true }, &[gray, ..]) => [255 - gray; 3],
            (Colors::Gray { .. }, &[gray, ..]) => [gray; 3],
            (Colors::Palette(palette), &[index, ..]) => palette.get(usize::from(index)).copied().unwrap_or_default(),
            (Colors::Rgb, &[red, green, blue, ..]) => [red, green, blue],
            (Colors::Cmyk, &[cyan, magenta, yellow, black, ..]) => {
                [cyan, magenta, yellow].map(|ink| over_white(0, ink)).map(|level| product(level, 255 - black))
            }
            (Colors::Lab, &[lightness, a, b, ..]) => rgb_from_lab([lightness, a, b]),
            (Colors::YCbCr(parameters), &[y, cb, cr, ..]) => parameters.rgb([y, cb, cr]),
            _ => [0; 3],
        };
        match (self.alpha, pixel.get(self.colors.num_samples())) {
            (Some(Alpha::Straight), Some(&alpha)) => color.map(|level| over_white(level, alpha)),
            (Some(Alpha::Premultiplied), Some(&alpha)) => color.map(|level| level.saturating_add(255 - alpha)),
            _ => color,
        }
    }
}

impl YCbCr {
    /// The colour of a pixel (TIFF 6.0, section 21).
    pub(super) fn rgb(&self, samples: [u8; 3]) -> [u8; 3] {
        let [luma_red, luma_green, luma_blue] = self.luma;
        let (ranges, _) = self.reference.as_chunks::<2>();
        let mut coded = samples.into_iter().zip(ranges).zip([255.0, 127.0, 127.0]);
        let mut next =
            || coded.next().map_or(0.0, |((code, [low, high]), most)| (f64::from(code) - low) * most / (high - low));
        let (y, cb, cr) = (next(), next(), next());
        let red = y + cr * (2.0 - 2.0 * luma_red);
        let blue = y + cb * (2.0 - 2.0 * luma_blue);
        let green = (y - luma_blue * blue - luma_red * red) / luma_green;
        // The cast saturates.
        [red, green, blue].map(|level| (level + 0.5) as u8)
    }
}

/// `a × b ÷ 255`, rounded.
fn product(a: u8, b: u8) -> u8 {
    ((u16::from(a) * u16::from(b) + 127) / 255) as u8
}
