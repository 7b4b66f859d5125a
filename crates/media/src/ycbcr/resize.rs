//! Scales channels with the same resizer, and to the same levels, as gray images.

use std::borrow::Cow;

use fast_image_resize::PixelType;
use fast_image_resize::images::{Image, ImageRef};

use super::channel::Channel;
use super::image::Ycbcr;
use super::plane::Plane;
use crate::error::MediaError;
use crate::resize::{cannot_scale, convolve};
use crate::scratch::{first_bytes, with_memory};

type ScaleResult = Result<(), Box<dyn std::error::Error>>;

/// Number of rows that are passed to the resizer as channels of one row.
const NUM_LANES: usize = 4;

/// The channels of an image with more pixels than this, before or after, are scaled one by one, which takes less memory. For
/// smaller ones it is worth having the weights of the resizer computed once for all.
const MAX_TOGETHER: u64 = 1 << 19;

impl Ycbcr<'_> {
    /// Calls `work` with the image scaled to another size.
    pub(crate) fn with_resized<T>(
        &self,
        (width_px, height_px): (u32, u32),
        work: impl FnOnce(Ycbcr<'_>) -> Result<T, MediaError>,
    ) -> Result<T, MediaError> {
        with_memory(|memory| {
            let samples = self
                .write_resized((width_px, height_px), memory)
                .map_err(|error| cannot_scale((self.width_px, self.height_px), (width_px, height_px), &*error))?;
            work(Ycbcr::of_planes(width_px, height_px, samples))
        })
    }

    fn write_resized<'m>(
        &self,
        to: (u32, u32),
        memory: &'m mut Vec<u8>,
    ) -> Result<&'m [u8], Box<dyn std::error::Error>> {
        let (num_samples, from) = (num_samples(to)?, (self.width_px, self.height_px));
        let is_small = [from, to].iter().all(|size| u64::from(size.0) * u64::from(size.1) <= MAX_TOGETHER);
        let num_together = if is_small { self.channels.len() } else { 1 };
        let samples = first_bytes(memory, self.channels.len() * num_samples);
        let targets = samples.chunks_mut(num_together * num_samples);
        for (channels, target) in self.channels.chunks(num_together).zip(targets) {
            scale(&Scaled { channels, from }, to, target)?;
        }
        Ok(samples)
    }
}

impl Plane {
    /// The channel at a resolution; without samples, it has none at any.
    pub(crate) fn resized(&self, to: (u32, u32)) -> Result<Cow<'_, Self>, MediaError> {
        if self.size == to {
            return Ok(Cow::Borrowed(self));
        }
        if self.samples.is_empty() {
            return Ok(Cow::Owned(Self { samples: Vec::new(), size: to }));
        }
        let samples = num_samples(to).and_then(|num_samples| {
            let mut samples = vec![0; num_samples];
            scale(&Scaled { channels: &[self.channel()], from: self.size }, to, &mut samples)?;
            Ok(samples)
        });
        let samples = samples.map_err(|error| cannot_scale(self.size, to, &*error))?;
        Ok(Cow::Owned(Self { samples, size: to }))
    }
}

fn num_samples((width, height): (u32, u32)) -> Result<usize, Box<dyn std::error::Error>> {
    let number = (width as usize).checked_mul(height as usize).filter(|&number| number > 0);
    Ok(number.ok_or("it would have no pixels, or more than can be addressed")?)
}

/// Channels that are scaled alike, at full resolution.
struct Scaled<'a> {
    channels: &'a [Channel<'a>],
    /// Columns and rows.
    from: (u32, u32),
}

/// Scales columns first, then rows, as in `crate::resize`. The channels follow one another in `target`.
fn scale(scaled: &Scaled<'_>, to: (u32, u32), target: &mut [u8]) -> ScaleResult {
    let (num_channels, num_rows) = (scaled.channels.len(), scaled.from.1);
    let row_width = to.0 * u32::try_from(num_channels)?;
    with_memory(|first| {
        with_memory(|second| {
            let narrowed = scaled.narrow(to.0, first, second)?;
            let source = ImageRef::new(row_width, num_rows, narrowed, PixelType::U8)?;
            if num_channels == 1 {
                return Ok(convolve(&source, &mut Image::from_slice_u8(to.0, to.1, target, PixelType::U8)?)?);
            }
            let rows = first_bytes(second, row_width as usize * to.1 as usize);
            convolve(&source, &mut Image::from_slice_u8(row_width, to.1, rows, PixelType::U8)?)?;
            let width = to.0 as usize;
            for (channel, target) in target.chunks_exact_mut(width * to.1 as usize).enumerate() {
                let rows = rows.chunks_exact(width).skip(channel).step_by(num_channels);
                target.chunks_exact_mut(width).zip(rows).for_each(|(target, row)| target.copy_from_slice(row));
            }
            Ok(())
        })
    })
}

impl Scaled<'_> {
    /// Scales the columns; what is returned lies in `first`. Each of its rows is a row of every channel, one after another.
    ///
    /// Four rows are passed as four channels of one, with which the resizer is twice as fast.
    fn narrow<'a>(
        &self,
        to_width: u32,
        first: &'a mut Vec<u8>,
        second: &mut Vec<u8>,
    ) -> Result<&'a [u8], Box<dyn std::error::Error>> {
        let (width, height) = self.from;
        let num_groups = self.num_groups() * self.channels.len();
        let num_rows = u32::try_from(num_groups)?;
        let interleaved = first_bytes(first, width as usize * NUM_LANES * num_groups);
        let (columns, _) = interleaved.as_chunks_mut();
        pulp::Arch::new().dispatch(Interleave { scaled: self, columns });
        let source = ImageRef::new(width, num_rows, interleaved, PixelType::U8x4)?;

        let width = to_width as usize;
        let narrowed = first_bytes(second, width * NUM_LANES * num_groups);
        convolve(&source, &mut Image::from_slice_u8(to_width, num_rows, narrowed, PixelType::U8x4)?)?;

        // What was interleaved is no longer needed.
        let target = first_bytes(first, width * self.channels.len() * height as usize);
        let (columns, _) = narrowed.as_chunks();
        pulp::Arch::new().dispatch(Separate { scaled: self, columns, width, target: &mut *target });
        Ok(target)
    }

    /// Groups of rows in a channel.
    fn num_groups(&self) -> usize {
        (self.from.1 as usize).div_ceil(NUM_LANES)
    }
}

/// Interleaves groups of rows, column by column: those of the first channel, then those of the next.
struct Interleave<'a> {
    scaled: &'a Scaled<'a>,
    columns: &'a mut [[u8; NUM_LANES]],
}

impl pulp::NullaryFnOnce for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (width, last_row) = (self.scaled.from.0 as usize, self.scaled.from.1 as usize - 1);
        let (mut memory, mut sums) = ([(); NUM_LANES].map(|()| vec![0; width]), Vec::new());
        let channels = self.columns.chunks_exact_mut(width * self.scaled.num_groups());
        for (channel, columns) in self.scaled.channels.iter().zip(channels) {
            for (group, columns) in columns.chunks_exact_mut(width).enumerate() {
                // Lanes of the last group without a row are never read. A closure would not be compiled into the dispatch.
                let [first, second, third, fourth] = &mut memory;
                let y = group * NUM_LANES;
                let first = channel.row(y, first, &mut sums);
                let second = channel.row(last_row.min(y + 1), second, &mut sums);
                let third = channel.row(last_row.min(y + 2), third, &mut sums);
                let fourth = channel.row(last_row.min(y + 3), fourth, &mut sums);
                let samples = first.iter().zip(second).zip(third).zip(fourth);
                for (column, (((&first, &second), &third), &fourth)) in columns.iter_mut().zip(samples) {
                    *column = [first, second, third, fourth];
                }
            }
        }
    }
}

/// Separates interleaved rows again.
struct Separate<'a> {
    scaled: &'a Scaled<'a>,
    columns: &'a [[u8; NUM_LANES]],
    width: usize,
    target: &'a mut [u8],
}

impl pulp::NullaryFnOnce for Separate<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { scaled, columns, width, target } = self;
        for (channel, columns) in columns.chunks_exact(width * scaled.num_groups()).enumerate() {
            let mut rows = target.chunks_exact_mut(width).skip(channel).step_by(scaled.channels.len());
            for columns in columns.chunks_exact(width) {
                for (lane, row) in rows.by_ref().take(NUM_LANES).enumerate() {
                    for (target, &column) in row.iter_mut().zip(columns) {
                        *target = (u32::from_le_bytes(column) >> (8 * lane)) as u8;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::RgbImage;
    use crate::resize::resize;

    #[test]
    fn channels_are_scaled_like_gray_images() {
        for (width_px, height_px, scaled_px) in
            [(50, 30, (20, 11)), (61, 43, (7, 43)), (9, 7, (9, 3)), (33, 2, (60, 5)), (140_001, 4, (70, 3))]
        {
            let num_samples = width_px * height_px;
            let samples: Vec<u8> = (0..3 * num_samples).map(|at| (at % 251 * (at % 251) % 251) as u8).collect();
            let image = Ycbcr::of_planes(width_px, height_px, &samples);
            let compare = |scaled: Ycbcr<'_>| {
                for (channel, scaled) in image.channels.iter().zip(scaled.channels) {
                    let gray = channel.samples.iter().flat_map(|&level| [level; 3]).collect();
                    let gray = RgbImage::try_new(width_px, height_px, gray).unwrap();
                    let expected = resize(gray.view(), scaled_px.0, scaled_px.1).unwrap();
                    let expected: Vec<u8> = expected.pixels().iter().step_by(3).copied().collect();
                    assert_eq!(scaled.samples, expected, "{width_px}×{height_px} to {scaled_px:?}");
                }
                Ok(())
            };
            image.with_resized(scaled_px, compare).unwrap();
        }
    }

    #[test]
    fn a_size_without_pixels_is_rejected() {
        assert!(Ycbcr::of_planes(5, 5, &[0; 75]).with_resized((0, 5), |_| Ok(())).is_err());
        assert!(Plane { samples: vec![0; 25], size: (5, 5) }.resized((5, 0)).is_err());
    }
}
