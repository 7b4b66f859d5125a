//! A channel as stored, and its rows at full resolution, sample for sample as in libjpeg.

/// White, which is also the background of transparent pixels.
pub(crate) const WHITE: [u8; 3] = [255, NO_COLOUR, NO_COLOUR];

/// Level of the colour channels where there is no colour.
pub(super) const NO_COLOUR: u8 = 128;

/// In which directions a channel has half the resolution of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Halved {
    pub(crate) columns: bool,
    pub(crate) rows: bool,
}

/// A channel as stored: rows from the top, no padding between them. A channel without samples has no colour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel<'a> {
    pub(crate) samples: &'a [u8],
    pub(crate) width: usize,
    pub(crate) halved: Halved,
}

/// libjpeg interpolates only channels wider than this.
const MAX_PLAIN_WIDTH: usize = 2;

impl Halved {
    /// Full resolution.
    pub(crate) const NOT: Self = Self { columns: false, rows: false };
}

impl<'a> Channel<'a> {
    /// Row `y` of the image. It is written to `memory`, which must be as wide as the image, unless it is stored in this form.
    #[inline(always)]
    pub(super) fn row<'b>(&self, y: usize, memory: &'b mut [u8], sums: &mut Vec<u16>) -> &'b [u8]
    where
        'a: 'b,
    {
        let (stored, ..) = self.rows_around(y);
        if self.halved == Halved::NOT && stored.len() >= memory.len() {
            return stored;
        }
        self.write_row((0, y), memory, sums);
        memory
    }

    /// Writes a part of row `y` of the image, from column `left` on, which must be inside the image. `sums` is scratch memory.
    ///
    /// The nearer of two neighbours has three quarters of the weight (`jdsample.c`, "fancy" upsampling: a triangle filter;
    /// halves are rounded up and down alternately). Must be compiled into a dispatch of `pulp`.
    #[inline(always)]
    pub(crate) fn write_row(&self, (left, y): (usize, usize), target: &mut [u8], sums: &mut Vec<u16>) {
        let (near, far, above) = self.rows_around(y);
        let Some(last) = near.len().checked_sub(1).filter(|_| !target.is_empty()) else {
            target.fill(NO_COLOUR);
            return;
        };
        if !self.halved.columns {
            let (near, far) = (near.get(left..).unwrap_or_default(), far.get(left..).unwrap_or_default());
            return self.write_full_columns(near, (far, above), target);
        }
        let (first_column, last_column) = (left / 2, ((left + target.len() - 1) / 2).min(last));
        if near.len() <= MAX_PLAIN_WIDTH {
            for (column, target) in (left..).zip(target) {
                *target = near.get((column / 2).min(last)).copied().unwrap_or(NO_COLOUR);
            }
            return;
        }
        // The columns needed, and one more on either side; at the border, the outermost one is repeated.
        let columns = first_column.saturating_sub(1)..(last_column + 2).min(near.len());
        let (near, far) = (near.get(columns.clone()).unwrap_or_default(), far.get(columns).unwrap_or_default());
        sums.clear();
        if self.halved.rows {
            sums.extend(near.iter().zip(far).map(|(&near, &far)| weighted(near, far)));
        } else {
            sums.extend(near.iter().map(|&near| u16::from(near)));
        }
        if first_column == 0 {
            sums.insert(0, sums.first().copied().unwrap_or_default());
        }
        if last_column == last {
            sums.extend(sums.last().copied());
        }
        if self.halved.rows {
            interpolate_columns::<4, 8, 7>(sums, left % 2 == 1, target);
        } else {
            interpolate_columns::<2, 1, 2>(sums, left % 2 == 1, target);
        }
    }

    /// The samples of a channel with all columns.
    #[inline(always)]
    fn write_full_columns(&self, near: &[u8], (far, is_above): (&[u8], bool), target: &mut [u8]) {
        if !self.halved.rows {
            target.iter_mut().zip(near).for_each(|(target, &near)| *target = near);
            return;
        }
        let bias = if is_above { 1 } else { 2 };
        for (target, (&near, &far)) in target.iter_mut().zip(near.iter().zip(far)) {
            *target = ((weighted(near, far) + bias) >> 2) as u8;
        }
    }

    /// The stored rows that determine a row of the image: the nearest, the second nearest, and whether the latter is above.
    #[inline(always)]
    fn rows_around(&self, y: usize) -> (&'a [u8], &'a [u8], bool) {
        let row_of = |row: usize| self.samples.get(row * self.width..(row + 1) * self.width).unwrap_or_default();
        if !self.halved.rows {
            return (row_of(y), row_of(y), false);
        }
        let last_row = (self.samples.len() / self.width.max(1)).saturating_sub(1);
        let (nearest, above) = (y / 2, y.is_multiple_of(2));
        (row_of(nearest), row_of(if above { nearest.saturating_sub(1) } else { (nearest + 1).min(last_row) }), above)
    }
}

/// Four times the level between two rows, of which the nearer has three quarters of the weight.
#[inline(always)]
fn weighted(near: u8, far: u8) -> u16 {
    3 * u16::from(near) + u16::from(far)
}

/// Two samples for each of `sums` but the first and the last: a quarter of the way to its left and to its right neighbour.
/// `is_right` skips the very first sample.
#[inline(always)]
fn interpolate_columns<const SHIFT: u16, const LEFT_BIAS: u16, const RIGHT_BIAS: u16>(
    sums: &[u16],
    is_right: bool,
    target: &mut [u8],
) {
    let pair = |left: u16, centre: u16, right: u16| {
        let left = (3 * centre + left + LEFT_BIAS) >> SHIFT;
        let right = (3 * centre + right + RIGHT_BIAS) >> SHIFT;
        left | right << 8
    };
    let (first, target) = target.split_at_mut(usize::from(is_right).min(target.len()));
    if let ([target], &[left, centre, right, ..]) = (first, sums) {
        *target = (pair(left, centre, right) >> 8) as u8;
    }
    let sums = sums.get(usize::from(is_right)..).unwrap_or_default();
    let [centres, rights] = [1, 2].map(|offset| sums.get(offset..).unwrap_or_default());
    let (pairs, odd) = target.as_chunks_mut::<2>();
    if let ([target], [left, centre, right, ..]) = (odd, sums.get(pairs.len()..).unwrap_or_default()) {
        *target = pair(*left, *centre, *right) as u8;
    }
    for (target, ((&left, &centre), &right)) in pairs.iter_mut().zip(sums.iter().zip(centres).zip(rights)) {
        *target = pair(left, centre, right).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[u8], width: usize, halved: Halved, y: usize, columns: std::ops::Range<usize>) -> Vec<u8> {
        let mut row = vec![0; columns.len()];
        Channel { samples, width, halved }.write_row((columns.start, y), &mut row, &mut Vec::new());
        row
    }

    #[test]
    fn a_flat_channel_stays_flat() {
        for (columns, rows) in [(true, true), (true, false), (false, true), (false, false)] {
            let halved = Halved { columns, rows };
            let (width, height) = (if columns { 4 } else { 7 }, if rows { 3 } else { 5 });
            for y in 0..5 {
                assert_eq!(row(&vec![77; width * height], width, halved, y, 0..7), [77; 7]);
            }
        }
    }

    #[test]
    fn an_edge_is_interpolated() {
        let halved = Halved { columns: true, rows: false };
        assert_eq!(row(&[0, 0, 160, 160], 4, halved, 0, 0..8), [0, 0, 0, 40, 120, 160, 160, 160]);
        assert_eq!(row(&[0, 160], 1, Halved { columns: false, rows: true }, 1, 0..1), [40]);
    }

    #[test]
    fn a_part_of_a_row_is_that_part_of_the_whole_row() {
        let samples: Vec<u8> = (0..60_u8).map(|at| at.wrapping_mul(91)).collect();
        for (columns, rows) in [(true, true), (true, false), (false, true), (false, false)] {
            let halved = Halved { columns, rows };
            let num_columns = if columns { 19 } else { 10 };
            let whole = row(&samples, 10, halved, 3, 0..num_columns);
            for left in 0..num_columns {
                for right in left..=num_columns {
                    assert_eq!(
                        row(&samples, 10, halved, 3, left..right),
                        whole[left..right],
                        "{halved:?} {left}..{right}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_channel_without_samples_has_no_colour() {
        assert_eq!(row(&[], 0, Halved::NOT, 2, 3..5), [128, 128]);
    }
}
