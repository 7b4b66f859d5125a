//! An image at a number of eighths of its size: each block from as many of its lowest frequencies, while blocks are read.

use super::baseline::{BLOCK, Baseline, Component};
use super::blocks::{Blocks, FrequencySink};
use super::dct::{Cosines, Frequencies, Steps};
use crate::ycbcr::{Channel, Halved, Ycbcr};

/// How an image is scaled.
pub(super) struct Scaling {
    eighths: u32,
    size_px: (u32, u32),
    channels: Vec<Reduced>,
}

/// A channel at its reduced size.
struct Reduced {
    width: usize,
    height: usize,
    halved: Halved,
}

impl Scaling {
    /// To the smallest number of eighths of an image's size that is `least_px` or more on its longest side. `None` if its colours
    /// have less than half of its resolution.
    pub(super) fn of(baseline: &Baseline, least_px: u32) -> Option<Self> {
        let (width_px, height_px) = baseline.size_px;
        let eighths = (BLOCK * least_px).div_ceil(width_px.max(height_px)).clamp(1, BLOCK);
        let of = |size_px: u32| (size_px * eighths).div_ceil(BLOCK);
        let size_px = (of(width_px), of(height_px));
        let channels = baseline.components.iter().map(|one| reduced(baseline, one, size_px)).collect::<Option<_>>()?;
        Some(Self { eighths, size_px, channels })
    }

    /// The image in the memory that it was read into.
    pub(super) fn image<'m>(&self, mut memory: &'m [u8]) -> Option<Ycbcr<'m>> {
        let mut of_image = [Channel { samples: &[], width: 0, halved: Halved::NOT }; 3];
        for (target, channel) in of_image.iter_mut().zip(&self.channels) {
            let (samples, later) = memory.split_at_checked(channel.width * channel.height)?;
            memory = later;
            *target = Channel { samples, width: channel.width, halved: channel.halved };
        }
        let (width_px, height_px) = self.size_px;
        Some(Ycbcr { width_px, height_px, channels: of_image })
    }
}

/// As [`Blocks::read`], and the image at a reduced size into memory.
pub(super) fn read_scaled(
    baseline: &Baseline,
    scan: &[u8],
    (scaling, memory): (&Scaling, &mut Vec<u8>),
) -> Option<Blocks> {
    memory.clear();
    memory.resize(scaling.channels.iter().map(|channel| channel.width * channel.height).sum(), 0);
    match scaling.eighths {
        1 => read::<1>(baseline, scan, (scaling, memory)),
        2 => read::<2>(baseline, scan, (scaling, memory)),
        3 => read::<3>(baseline, scan, (scaling, memory)),
        4 => read::<4>(baseline, scan, (scaling, memory)),
        5 => read::<5>(baseline, scan, (scaling, memory)),
        6 => read::<6>(baseline, scan, (scaling, memory)),
        7 => read::<7>(baseline, scan, (scaling, memory)),
        _ => read::<8>(baseline, scan, (scaling, memory)),
    }
}

/// As [`read_scaled`], with `N` samples for the 8 of a block.
fn read<const N: usize>(
    baseline: &Baseline,
    scan: &[u8],
    (scaling, mut memory): (&Scaling, &mut [u8]),
) -> Option<Blocks> {
    let cosines = Cosines::new();
    let mut planes = Vec::new();
    for (component, &Reduced { width, height, .. }) in baseline.components.iter().zip(&scaling.channels) {
        let (samples, later) = memory.split_at_mut_checked(width * height)?;
        memory = later;
        let steps = Steps::new(baseline.quantisation.get(component.quantisation)?.as_ref()?);
        planes.push(TargetPlane::<N> {
            steps,
            cosines: &cosines,
            limit: Cosines::<N>::num_places() as u32,
            samples,
            width,
        });
    }
    Blocks::read(baseline, scan, &mut planes)
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

/// Writes the blocks of a channel, with `N` samples for the 8 of a side.
struct TargetPlane<'m, const N: usize> {
    steps: Steps<N>,
    cosines: &'m Cosines<N>,
    limit: u32,
    samples: &'m mut [u8],
    width: usize,
}

impl<const N: usize> FrequencySink for TargetPlane<'_, N> {
    type Frequencies = Frequencies<N>;

    #[inline]
    fn limit(&self) -> u32 {
        self.limit
    }

    #[inline]
    fn flat(&self, mean: i16) -> Frequencies<N> {
        self.steps.flat(mean)
    }

    #[inline]
    fn set(&self, frequencies: &mut Frequencies<N>, place: usize, coefficient: i32) {
        self.steps.set(frequencies, place, coefficient);
    }

    /// Blocks and parts of them that only fill the last units are left out.
    #[inline]
    fn take(&mut self, frequencies: &Frequencies<N>, (column, row): (u32, u32)) {
        let (left, top) = (column as usize * N, row as usize * N);
        let Some(rows) = self.samples.get_mut(top * self.width..).filter(|_| left < self.width) else { return };
        for (line, row) in rows.chunks_exact_mut(self.width).zip(self.cosines.samples(frequencies)) {
            let Some(targets) = line.get_mut(left..) else { return };
            match targets.first_chunk_mut() {
                Some(target) => *target = row,
                None => targets.iter_mut().zip(row).for_each(|(target, sample)| *target = sample),
            }
        }
    }
}
