//! Scales channels with the same resizer, and to the same levels, as gray images.

use fast_image_resize::PixelType;
use fast_image_resize::images::{Image, ImageRef};

use super::channel::Channel;
use super::image::{Ycbcr, YcbcrImage};
use crate::error::MediaError;
use crate::resize::{cannot_scale, convolve};
use crate::scratch::with_memory;

type ScaleResult = Result<(), Box<dyn std::error::Error>>;

/// Number of rows that are passed to the resizer as channels of one row.
const NUM_LANES: usize = 4;

impl Ycbcr<'_> {
    /// Scales the image to another size.
    pub(crate) fn resized(&self, width_px: u32, height_px: u32) -> Result<YcbcrImage, MediaError> {
        let samples = self.samples_at(width_px, height_px);
        let samples =
            samples.map_err(|error| cannot_scale((self.width_px, self.height_px), (width_px, height_px), &*error))?;
        Ok(YcbcrImage { width_px, height_px, samples })
    }

    fn samples_at(&self, width_px: u32, height_px: u32) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let plane_bytes = (width_px as usize).checked_mul(height_px as usize).filter(|&bytes| bytes > 0);
        let plane_bytes = plane_bytes.ok_or("it would have no pixels, or more than can be addressed")?;
        let mut samples = vec![0; 3 * plane_bytes];
        for (channel, target) in self.channels.iter().zip(samples.chunks_exact_mut(plane_bytes)) {
            // Columns first, then rows, as in `crate::resize`.
            with_memory(|narrowed| {
                narrowed.resize(width_px as usize * self.height_px as usize, 0);
                self.narrow(channel, width_px, narrowed)?;
                let source = ImageRef::new(width_px, self.height_px, narrowed, PixelType::U8)?;
                let mut target = Image::from_slice_u8(width_px, height_px, target, PixelType::U8)?;
                ScaleResult::Ok(convolve(&source, &mut target)?)
            })?;
        }
        Ok(samples)
    }

    /// Scales the columns of a channel. Four rows are passed as four channels of one, with which the resizer is twice as fast.
    fn narrow(&self, channel: &Channel<'_>, width_px: u32, target: &mut [u8]) -> ScaleResult {
        let num_groups = self.height_px.div_ceil(NUM_LANES as u32);
        let group_bytes = self.width_px as usize * NUM_LANES;
        with_memory(|interleaved| {
            interleaved.resize(group_bytes * num_groups as usize, 0);
            let (columns, _) = interleaved.as_chunks_mut();
            pulp::Arch::new().dispatch(Interleave { channel, image: self, columns });
            let source = ImageRef::new(self.width_px, num_groups, interleaved, PixelType::U8x4)?;
            with_memory(|narrowed| {
                narrowed.resize(width_px as usize * NUM_LANES * num_groups as usize, 0);
                convolve(&source, &mut Image::from_slice_u8(width_px, num_groups, narrowed, PixelType::U8x4)?)?;
                let (columns, _) = narrowed.as_chunks();
                pulp::Arch::new().dispatch(Separate { columns, width: width_px as usize, target });
                Ok(())
            })
        })
    }
}

/// Interleaves groups of rows, column by column.
struct Interleave<'a> {
    image: &'a Ycbcr<'a>,
    channel: &'a Channel<'a>,
    columns: &'a mut [[u8; NUM_LANES]],
}

impl pulp::NullaryFnOnce for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (width, last_row) = (self.image.width_px as usize, self.image.height_px as usize - 1);
        let (mut written, mut sums) = ([(); NUM_LANES].map(|()| vec![0; width]), Vec::new());
        for (group, columns) in self.columns.chunks_exact_mut(width).enumerate() {
            for (lane, written) in written.iter_mut().enumerate() {
                // Lanes of the last group without a row are never read.
                let y = (group * NUM_LANES + lane).min(last_row);
                self.channel.write_row((0, y), written, &mut sums);
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
    }
}
