//! An image at a number of eighths of its size: each block from as many of its lowest frequencies.

use super::LosslessJpeg;
use super::baseline::{BLOCK, Baseline, Component};
use super::blocks::Block;
use super::dct::{Cosines, Steps};
use super::huffman::CoefficientReader;
use crate::ycbcr::{Channel, Halved, Ycbcr};

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
            coefficients: CoefficientReader::new(self.baseline.ac_codes.get(component.ac_code)?.as_ref()?),
            steps: Steps::new(self.baseline.quantisation.get(component.quantisation)?.as_ref()?),
            cosines: Cosines::new(),
            limit: Cosines::<N>::num_places(),
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
        let Some(targets) = line.get_mut(column * N..) else { return };
        match targets.first_chunk_mut() {
            Some(target) => *target = row,
            None => targets.iter_mut().zip(row).for_each(|(target, sample)| *target = sample),
        }
    }
}

/// Reads blocks of a channel.
struct Reader<'a, const N: usize> {
    jpeg: &'a LosslessJpeg,
    coefficients: CoefficientReader,
    steps: Steps<N>,
    cosines: Cosines<N>,
    /// One behind the last coefficient that is needed.
    limit: usize,
}

impl<const N: usize> Reader<'_, N> {
    #[inline]
    fn samples(&self, block: Block) -> Option<[[u8; N]; N]> {
        let mut frequencies = self.steps.flat(block.mean);
        let set = |place, value| self.steps.set(&mut frequencies, place, value);
        self.jpeg.blocks.for_each_coefficient((block, self.limit), &self.coefficients, set)?;
        Some(self.cosines.samples(&frequencies))
    }
}
