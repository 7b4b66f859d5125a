//! A part of an image as passed to the encoder: channels at the resolution at which they are encoded, with white around
//! the image.

use super::channel::{Channel, Halved};

/// A rectangle relative to an image. Outside the image it is white.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    /// Left and top.
    pub(crate) origin_px: (i64, i64),
    /// Width and height.
    pub(crate) size_px: (u32, u32),
}

/// An area of a channel as it is encoded: at full resolution, or downsampled.
///
/// Downsampling is libjpeg's (`jcsample.c`): halves are rounded down and up alternately; the last column or row of an odd
/// number counts twice, and is repeated in a full channel beside downsampled ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChannelPart<'a> {
    pub(crate) channel: Channel<'a>,
    /// Size of the image.
    pub(crate) image_px: (u32, u32),
    pub(crate) area: Area,
    /// Directions in which the encoder halves colours: both, columns only, or none.
    pub(crate) halved: Halved,
    /// Whether this channel is a colour channel.
    pub(crate) is_colour: bool,
    /// The level around the image.
    pub(crate) around: u8,
}

/// Appends the rows of a part.
struct Gather<'a> {
    part: ChannelPart<'a>,
    target: &'a mut Vec<u8>,
}

impl<'a> ChannelPart<'a> {
    /// The samples, and the number of samples from one row to the next. They are written to `memory` unless the channel
    /// stores them in this form.
    pub(crate) fn samples<'b>(self, memory: &'b mut Vec<u8>) -> (&'b [u8], usize)
    where
        'a: 'b,
    {
        if let Some(samples) = self.stored() {
            return (samples, self.channel.width);
        }
        memory.clear();
        pulp::Arch::new().dispatch(Gather { part: self, target: memory });
        (memory, self.stride())
    }

    /// The samples from the first one on, if the channel stores them in this form.
    fn stored(&self) -> Option<&'a [u8]> {
        let Area { origin_px, size_px: (width_px, height_px) } = self.area;
        let (left, top) = (u32::try_from(origin_px.0).ok()?, u32::try_from(origin_px.1).ok()?);
        let is_inside =
            left.checked_add(width_px)? <= self.image_px.0 && top.checked_add(height_px)? <= self.image_px.1;
        let is_halved = self.is_colour && self.halved != Halved::NOT;
        let is_uneven = (self.halved.columns && width_px % 2 == 1) || (self.halved.rows && height_px % 2 == 1);
        if !is_inside || is_halved || is_uneven || self.channel.halved != Halved::NOT {
            return None;
        }
        let samples = self.channel.samples.get(top as usize * self.channel.width + left as usize..)?;
        (!samples.is_empty()).then_some(samples)
    }

    /// Number of samples of a row.
    fn stride(&self) -> usize {
        let width = self.area.size_px.0 as usize;
        match (self.halved.columns, self.is_colour) {
            (true, true) => width.div_ceil(2),
            (true, false) => width.next_multiple_of(2),
            (false, _) => width,
        }
    }

    fn num_rows(&self) -> u32 {
        let height = self.area.size_px.1;
        match (self.halved.rows, self.is_colour) {
            (true, true) => height.div_ceil(2),
            (true, false) => height.next_multiple_of(2),
            (false, _) => height,
        }
    }

    /// Writes a row of the area.
    #[inline(always)]
    fn write_row(&self, y: u32, target: &mut [u8], sums: &mut Vec<u16>) {
        let (width, height) = (i64::from(self.image_px.0), i64::from(self.image_px.1));
        let y = self.area.origin_px.1 + i64::from(y);
        // Columns of the area before the image, and up to its end.
        let from_zero = |column: i64| usize::try_from(column).unwrap_or_default();
        let before = from_zero(-self.area.origin_px.0).min(target.len());
        let until = from_zero(width - self.area.origin_px.0).clamp(before, target.len());
        let Some((target, after)) = target.split_at_mut_checked(until) else { return };
        after.fill(self.around);
        if !(0..height).contains(&y) {
            target.fill(self.around);
            return;
        }
        let Some((before, inside)) = target.split_at_mut_checked(before) else { return };
        before.fill(self.around);
        self.channel.write_row((from_zero(self.area.origin_px.0), y as usize), inside, sums);
    }
}

impl pulp::NullaryFnOnce for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { part, target } = self;
        let (width, last_row) = (part.area.size_px.0 as usize, part.area.size_px.1.saturating_sub(1));
        let (mut upper, mut lower, mut sums) = (vec![0; width], vec![0; width], Vec::new());
        target.resize(part.stride() * part.num_rows() as usize, 0);
        for (number, row) in (0..).zip(target.chunks_exact_mut(part.stride().max(1))) {
            if !part.is_colour || part.halved == Halved::NOT {
                let Some((inside, repeated)) = row.split_at_mut_checked(width) else { return };
                part.write_row(last_row.min(number), inside, &mut sums);
                repeated.iter_mut().zip(inside.last()).for_each(|(repeated, &last)| *repeated = last);
            } else if part.halved.rows {
                part.write_row(last_row.min(2 * number), &mut upper, &mut sums);
                part.write_row(last_row.min(2 * number + 1), &mut lower, &mut sums);
                halve([&upper, &lower], row, |upper, lower, odd| (upper + lower + 1 + odd) >> 2);
            } else {
                part.write_row(number, &mut upper, &mut sums);
                halve([&upper, &upper], row, |upper, _, odd| (upper + odd) >> 1);
            }
        }
    }
}

/// One sample for two columns of two rows: `mean` of the sums of the upper and the lower pair and of the column modulo 2.
#[inline(always)]
fn halve([upper, lower]: [&[u8]; 2], target: &mut [u8], mean: impl Fn(u16, u16, u16) -> u16) {
    let ((uppers, upper_odd), (lowers, lower_odd)) = (upper.as_chunks::<2>(), lower.as_chunks::<2>());
    let sum = |pair: &[u8; 2]| {
        let pair = u16::from_le_bytes(*pair);
        (pair & 0xff) + (pair >> 8)
    };
    for (index, ((upper, lower), target)) in uppers.iter().zip(lowers).zip(&mut *target).enumerate() {
        *target = mean(sum(upper), sum(lower), index as u16 & 1) as u8;
    }
    if let (&[upper], &[lower], Some(target)) = (upper_odd, lower_odd, target.last_mut()) {
        *target = mean(2 * u16::from(upper), 2 * u16::from(lower), uppers.len() as u16 & 1) as u8;
    }
}

#[cfg(test)]
mod tests {
    use pulp::NullaryFnOnce;

    use super::*;

    const BOTH: Halved = Halved { columns: true, rows: true };

    /// An area of an image, `width` samples wide and `area` wide and high.
    fn gathered(samples: &[u8], width: usize, area: (i64, i64, u32, u32), halved: Halved, is_colour: bool) -> Vec<u8> {
        let (left, top, width_px, height_px) = area;
        let part = ChannelPart {
            channel: Channel { samples, width, halved: Halved::NOT },
            image_px: (width as u32, (samples.len() / width) as u32),
            area: Area { origin_px: (left, top), size_px: (width_px, height_px) },
            halved,
            is_colour,
            around: 200,
        };
        let mut target = Vec::new();
        Gather { part, target: &mut target }.call();
        if let Some(stored) = part.stored() {
            assert!(stored.starts_with(&target[..part.stride()]));
        }
        target
    }

    #[test]
    fn means_are_rounded_down_and_up_alternately_and_the_last_of_an_odd_number_counts_twice() {
        let rows = [0, 1, 0, 1, 7, 0, 1, 0, 1, 9];
        assert_eq!(gathered(&rows, 5, (0, 0, 5, 2), BOTH, true), [0, 1, 8]);
        assert_eq!(gathered(&rows[..5], 5, (0, 0, 4, 1), Halved { columns: true, rows: false }, true), [0, 1]);
        assert_eq!(gathered(&[5, 5, 9, 9, 1, 1], 2, (0, 0, 2, 3), BOTH, true), [7, 1]);
    }

    #[test]
    fn a_full_channel_beside_halved_ones_has_even_numbers_of_rows_and_columns() {
        assert_eq!(gathered(&[1, 2, 3], 3, (0, 0, 3, 1), BOTH, false), [1, 2, 3, 3, 1, 2, 3, 3]);
        assert_eq!(gathered(&[1, 2, 3], 3, (0, 0, 3, 1), Halved::NOT, false), [1, 2, 3]);
    }

    #[test]
    fn outside_of_the_image_every_sample_is_the_level_around_it() {
        let at = |left, top| gathered(&[1, 2, 3, 4], 2, (left, top, 2, 2), Halved::NOT, true);
        assert_eq!(at(-1, -1), [200, 200, 200, 1]);
        assert_eq!(at(1, 1), [4, 200, 200, 200]);
        assert_eq!(at(5, 0), [200; 4]);
        assert_eq!(at(-9, 0), [200; 4]);
        assert_eq!(gathered(&[1, 2, 3, 4], 2, (-1, -1, 4, 4), Halved::NOT, true)[5..7], [1, 2]);
    }
}
