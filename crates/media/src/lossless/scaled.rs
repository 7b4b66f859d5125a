//! An image at a number of eighths of its size: each block from as many of its lowest frequencies.
//!
//! The inverse transform of `N × N` frequencies is that of 8 × 8 with cosines of another period: what libjpeg calls DCT scaling.
//! Levels are its, but for rounding.

use super::LosslessJpeg;
use super::baseline::{BLOCK, Baseline, Component};
use super::blocks::Block;
use super::dct::ORDER;
use super::huffman::HuffmanDecoder;
use crate::ycbcr::{Channel, Halved, Ycbcr};

/// Fraction bits of a weight, and those that are kept between rows and columns.
const SHIFT: u32 = 12;
const KEPT_BITS: u32 = 3;
/// No frequency of samples of 8 bits is larger.
const MOST: i32 = 2047;

/// A channel at its reduced size, and where it is among all samples.
struct Reduced {
    width: usize,
    height: usize,
    halved: Halved,
}

impl LosslessJpeg {
    /// The image at the smallest number of eighths of its size that is `least_px` or more on its longest side. `None` if its
    /// colours have less than half of its resolution.
    pub(crate) fn scaled<'m>(&self, least_px: u32, memory: &'m mut Vec<u8>) -> Option<Ycbcr<'m>> {
        let (width_px, height_px) = self.baseline.size_px;
        let eighths = (BLOCK * least_px).div_ceil(width_px.max(height_px)).clamp(1, BLOCK);
        let of = |size_px: u32| (size_px * eighths).div_ceil(BLOCK);
        let size_px = (of(width_px), of(height_px));
        let channels: Vec<Reduced> =
            self.baseline.components.iter().map(|one| reduced(&self.baseline, one, size_px)).collect::<Option<_>>()?;
        memory.clear();
        memory.resize(channels.iter().map(|channel| channel.width * channel.height).sum(), 0);
        let mut rest = &mut memory[..];
        for (plane, channel) in channels.iter().enumerate() {
            let (samples, later) = rest.split_at_mut_checked(channel.width * channel.height)?;
            rest = later;
            match eighths {
                1 => self.write_plane::<1>(plane, samples, channel.width),
                2 => self.write_plane::<2>(plane, samples, channel.width),
                3 => self.write_plane::<3>(plane, samples, channel.width),
                4 => self.write_plane::<4>(plane, samples, channel.width),
                5 => self.write_plane::<5>(plane, samples, channel.width),
                6 => self.write_plane::<6>(plane, samples, channel.width),
                7 => self.write_plane::<7>(plane, samples, channel.width),
                _ => self.write_plane::<8>(plane, samples, channel.width),
            }?;
        }
        let mut rest = &memory[..];
        let mut of_image = [Channel { samples: &[], width: 0, halved: Halved::NOT }; 3];
        for (target, channel) in of_image.iter_mut().zip(channels) {
            let (samples, later) = rest.split_at_checked(channel.width * channel.height)?;
            rest = later;
            *target = Channel { samples, width: channel.width, halved: channel.halved };
        }
        Some(Ycbcr { width_px: size_px.0, height_px: size_px.1, channels: of_image })
    }

    /// Writes a channel, `N` samples for the 8 of a block.
    fn write_plane<const N: usize>(&self, number: usize, samples: &mut [u8], width: usize) -> Option<()> {
        let (component, plane) = (self.baseline.components.get(number)?, self.blocks.planes.get(number)?);
        let reader = Reader::<N> {
            jpeg: self,
            decoder: HuffmanDecoder::new(self.baseline.ac_codes.get(component.ac_code)?.as_ref()?),
            quantisation: self.baseline.quantisation.get(component.quantisation)?.as_ref()?,
            weights: weights(),
            limit: ORDER.iter().rposition(|&place| is_low::<N>(place))? + 1,
        };
        for (band, blocks) in samples.chunks_mut(width * N).zip(plane.blocks.chunks_exact(plane.width as usize)) {
            for (column, block) in blocks.iter().enumerate().take(width.div_ceil(N)) {
                write_block(reader.samples(*block)?, column, (&mut *band, width));
            }
        }
        // Those that the border crosses have white in the tiles, and not here.
        for &(_, (column, row), block) in self.crossed.iter().filter(|(plane, ..)| *plane == number) {
            if let Some(band) = samples.chunks_mut(width * N).nth(row as usize) {
                write_block(reader.samples(block)?, column as usize, (band, width));
            }
        }
        Some(())
    }
}

/// The size of a channel of an image of this size.
fn reduced(baseline: &Baseline, component: &Component, size_px: (u32, u32)) -> Option<Reduced> {
    let halved = |most: u32, own: u32| match most / own {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    };
    let columns = halved(baseline.unit_blocks.0, component.unit_blocks.0)?;
    let rows = halved(baseline.unit_blocks.1, component.unit_blocks.1)?;
    let size = |size_px: u32, is_halved: bool| size_px.div_ceil(1 + u32::from(is_halved)) as usize;
    Some(Reduced { width: size(size_px.0, columns), height: size(size_px.1, rows), halved: Halved { columns, rows } })
}

/// Copies a block into a band of rows; what is beyond them is left out.
#[inline]
fn write_block<const N: usize>(block: [[u8; N]; N], column: usize, (band, width): (&mut [u8], usize)) {
    for (line, row) in band.chunks_exact_mut(width).zip(block) {
        line.iter_mut().skip(column * N).zip(row).for_each(|(target, sample)| *target = sample);
    }
}

/// Whether a place, row by row, is among the `N × N` lowest frequencies.
fn is_low<const N: usize>(place: u8) -> bool {
    usize::from(place / 8) < N && usize::from(place % 8) < N
}

/// `cos((2x + 1) × u × π ÷ 2N) ÷ 2` for sample x and frequency u, divided by √2 for u = 0.
fn weights<const N: usize>() -> [[i32; N]; N] {
    std::array::from_fn(|sample| {
        std::array::from_fn(|frequency| {
            let angle = (2 * sample + 1) as f64 * frequency as f64 * std::f64::consts::PI / (2 * N) as f64;
            let cosine = if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { libm::cos(angle) };
            libm::round(cosine / 2.0 * f64::from(1 << SHIFT)) as i32
        })
    })
}

/// Reads blocks of a channel.
struct Reader<'a, const N: usize> {
    jpeg: &'a LosslessJpeg,
    decoder: HuffmanDecoder,
    quantisation: &'a [u8; 64],
    weights: [[i32; N]; N],
    /// One behind the last coefficient that is needed.
    limit: usize,
}

impl<const N: usize> Reader<'_, N> {
    #[inline]
    fn samples(&self, block: Block) -> Option<[[u8; N]; N]> {
        let mut frequencies = [[0_i32; N]; N];
        let mut add = |place: usize, value: i32| {
            let Some((&at, &step)) = ORDER.get(place).zip(self.quantisation.get(place)) else { return };
            let frequency = frequencies.get_mut(usize::from(at / 8)).and_then(|row| row.get_mut(usize::from(at % 8)));
            if let Some(frequency) = frequency {
                *frequency = (value * i32::from(step)).clamp(-MOST, MOST);
            }
        };
        add(0, block.mean.into());
        self.jpeg.blocks.for_each_coefficient((block, self.limit), &self.decoder, add)?;
        let turned = self.transformed(&frequencies, SHIFT - KEPT_BITS);
        let levels = self.transformed(&turned, SHIFT + KEPT_BITS);
        Some(levels.map(|row| row.map(|level| (level + 128).clamp(0, 255) as u8)))
    }

    /// Multiplies rows with the weights; they become columns.
    #[inline]
    fn transformed(&self, square: &[[i32; N]; N], shift: u32) -> [[i32; N]; N] {
        let mut turned = [[0; N]; N];
        for (weights, target) in self.weights.iter().zip(&mut turned) {
            for (row, target) in square.iter().zip(target) {
                let sum: i32 = row.iter().zip(weights).map(|(value, weight)| value * weight).sum();
                *target = (sum + (1 << (shift - 1))) >> shift;
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_samples_have_the_weights_of_the_whole_transform_and_one_is_the_mean() {
        assert_eq!(weights::<1>(), [[1448]]);
        let weights = weights::<8>();
        for (row, other) in weights.iter().zip(&weights) {
            let product: i32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            assert!(product.abs_diff(1 << (2 * SHIFT)) < 1 << (SHIFT + 2), "{product}");
        }
    }

    #[test]
    fn the_needed_coefficients_end_with_the_highest_frequency() {
        let limit = |is_low: fn(u8) -> bool| ORDER.iter().rposition(|&place| is_low(place)).unwrap() + 1;
        assert_eq!([limit(is_low::<1>), limit(is_low::<2>), limit(is_low::<3>), limit(is_low::<8>)], [1, 5, 13, 64]);
    }
}
