//! Scales channels with the same resizer, and to the same levels, as gray images.

use std::borrow::Cow;

use fast_image_resize::PixelType;
use fast_image_resize::images::{Image, ImageRef};

use super::channel::Channel;
use super::image::{Ycbcr, YcbcrImage};
use super::plane::Plane;
use crate::error::MediaError;
use crate::resize::{cannot_scale, convolve};
use crate::scratch::{first_bytes, with_memory};

type ScaleResult = Result<(), Box<dyn std::error::Error>>;

/// Number of rows that are passed to the resizer as channels of one row.
const NUM_LANES: usize = 4;

impl Ycbcr<'_> {
    /// Scales the image to another size.
    pub(crate) fn resized(&self, width_px: u32, height_px: u32) -> Result<YcbcrImage, MediaError> {
        let samples = self.samples_at((width_px, height_px));
        let samples =
            samples.map_err(|error| cannot_scale((self.width_px, self.height_px), (width_px, height_px), &*error))?;
        Ok(YcbcrImage { width_px, height_px, samples })
    }

    fn samples_at(&self, to: (u32, u32)) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let num_samples = num_samples(to)?;
        let mut samples = vec![0; 3 * num_samples];
        for (channel, target) in self.channels.iter().zip(samples.chunks_exact_mut(num_samples)) {
            scale(&Scaled { channel, from: (self.width_px, self.height_px) }, to, target)?;
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
            scale(&Scaled { channel: &self.channel(), from: self.size }, to, &mut samples)?;
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

/// A channel that is scaled, at full resolution.
struct Scaled<'a> {
    channel: &'a Channel<'a>,
    /// Columns and rows.
    from: (u32, u32),
}

/// Scales columns first, then rows, as in `crate::resize`.
fn scale(scaled: &Scaled<'_>, to: (u32, u32), target: &mut [u8]) -> ScaleResult {
    let (_, num_rows) = scaled.from;
    with_memory(|memory| {
        let narrowed = first_bytes(memory, to.0 as usize * num_rows as usize);
        scaled.narrow(to.0, narrowed)?;
        let source = ImageRef::new(to.0, num_rows, narrowed, PixelType::U8)?;
        let mut target = Image::from_slice_u8(to.0, to.1, target, PixelType::U8)?;
        ScaleResult::Ok(convolve(&source, &mut target)?)
    })
}

impl Scaled<'_> {
    /// Scales the columns. Four rows are passed as four channels of one, with which the resizer is twice as fast.
    fn narrow(&self, to_width: u32, target: &mut [u8]) -> ScaleResult {
        let (width, height) = self.from;
        let num_groups = height.div_ceil(NUM_LANES as u32);
        with_memory(|memory| {
            let interleaved = first_bytes(memory, width as usize * NUM_LANES * num_groups as usize);
            let (columns, _) = interleaved.as_chunks_mut();
            pulp::Arch::new().dispatch(Interleave { scaled: self, columns });
            let source = ImageRef::new(width, num_groups, interleaved, PixelType::U8x4)?;
            with_memory(|memory| {
                let narrowed = first_bytes(memory, to_width as usize * NUM_LANES * num_groups as usize);
                convolve(&source, &mut Image::from_slice_u8(to_width, num_groups, narrowed, PixelType::U8x4)?)?;
                let (columns, _) = narrowed.as_chunks();
                pulp::Arch::new().dispatch(Separate { columns, width: to_width as usize, target });
                Ok(())
            })
        })
    }
}

/// Interleaves groups of rows, column by column.
struct Interleave<'a> {
    scaled: &'a Scaled<'a>,
    columns: &'a mut [[u8; NUM_LANES]],
}

impl pulp::NullaryFnOnce for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (width, last_row) = (self.scaled.from.0 as usize, self.scaled.from.1 as usize - 1);
        let (mut written, mut sums) = ([(); NUM_LANES].map(|()| vec![0; width]), Vec::new());
        for (group, columns) in self.columns.chunks_exact_mut(width).enumerate() {
            for (lane, written) in written.iter_mut().enumerate() {
                // Lanes of the last group without a row are never read.
                let y = (group * NUM_LANES + lane).min(last_row);
                self.scaled.channel.write_row((0, y), written, &mut sums);
            }
            let [first, second, third, fourth] = &written;
            let samples = first.iter().zip(second).zip(third).zip(fourth);
            for (column, (((&first, &second), &third), &fourth)) in columns.iter_mut().zip(samples) {
                *column = [first, second, third, fourth];
            }
        }
    }
}

/// Separates interleaved rows again.
struct Separate<'a> {
    columns: &'a [[u8; NUM_LANES]],
    width: usize,
    target: &'a mut [u8],
}

impl pulp::NullaryFnOnce for Separate<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (rows, columns) in self.target.chunks_mut(self.width * NUM_LANES).zip(self.columns.chunks_exact(self.width))
        {
            for (lane, row) in rows.chunks_exact_mut(self.width).enumerate() {
                for (target, &column) in row.iter_mut().zip(columns) {
                    *target = (u32::from_le_bytes(column) >> (8 * lane)) as u8;
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
            [(50, 30, (20, 11)), (61, 43, (7, 43)), (9, 7, (9, 3)), (33, 2, (60, 5))]
        {
            let num_samples = width_px * height_px;
            let samples: Vec<u8> = (0..3 * num_samples).map(|at| (at * at % 251) as u8).collect();
            let image = Ycbcr::of_planes(width_px, height_px, &samples);
            let scaled = image.resized(scaled_px.0, scaled_px.1).unwrap();
            for (channel, scaled) in image.channels.iter().zip(scaled.channels().channels) {
                let gray = channel.samples.iter().flat_map(|&level| [level; 3]).collect();
                let gray = RgbImage::try_new(width_px, height_px, gray).unwrap();
                let expected = resize(gray.view(), scaled_px.0, scaled_px.1).unwrap();
                let expected: Vec<u8> = expected.pixels().iter().step_by(3).copied().collect();
                assert_eq!(scaled.samples, expected, "{width_px}×{height_px} to {scaled_px:?}");
            }
        }
    }

    #[test]
    fn a_size_without_pixels_is_rejected() {
        assert!(Ycbcr::of_planes(5, 5, &[0; 75]).resized(0, 5).is_err());
        assert!(Plane { samples: vec![0; 25], size: (5, 5) }.resized((5, 0)).is_err());
    }
}
