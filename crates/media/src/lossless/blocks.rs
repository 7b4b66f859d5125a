//! Where each block of a JPEG is coded, found by passing over its codes. On the way, low frequencies can be read.

use super::baseline::Baseline;
use super::bits::{BitRange, BitStream, NUM_PEEKED};
use super::huffman::{
    CoefficientDecoder, END_OF_BLOCK, HuffmanDecoder, MAX_DC_BITS, ReadCoefficient, num_coefficients, number,
};
use super::recent::{coefficient_decoder, mean_decoder};

/// Range of a mean, times 8, of samples of 8 bits.
const MEANS: std::ops::RangeInclusive<i32> = -1024..=1023;

/// Coefficients in the order in which they are coded: low frequencies first.
pub(super) type Coefficients = [i16; 64];

/// The blocks of an image.
pub(super) struct Blocks {
    pub(super) stream: BitStream,
    pub(super) planes: Vec<Plane>,
}

/// The blocks of a component, row by row, those included that only fill the last units.
pub(super) struct Plane {
    pub(super) blocks: Vec<Block>,
    /// Number of blocks of a row.
    pub(super) width: u32,
    /// What is shown around the image.
    pub(super) white: Block,
}

/// A block: its first coefficient, and where the codes of the others are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) mean: i16,
    pub(super) others: BitRange,
}

impl Block {
    const NONE: Self = Self { mean: 0, others: BitRange { start: 0, num_bits: 0 } };
}

impl Plane {
    /// The block in a column and row, if the image has one there.
    #[inline]
    pub(super) fn block(&self, (column, row): (u32, u32)) -> Option<&Block> {
        if column >= self.width {
            return None;
        }
        self.blocks.get(row as usize * self.width as usize + column as usize)
    }

    pub(super) fn block_mut(&mut self, (column, row): (u32, u32)) -> Option<&mut Block> {
        if column >= self.width {
            return None;
        }
        self.blocks.get_mut(row as usize * self.width as usize + column as usize)
    }
}

/// Gets the lowest frequencies of the blocks of a plane.
pub(super) trait FrequencySink {
    /// Those of a block.
    type Frequencies;

    /// One behind the place of the last coefficient that is read.
    fn limit(&self) -> u32;

    /// A block that has only a mean so far.
    fn flat(&self, mean: i16) -> Self::Frequencies;

    /// Adds the coefficient at a place, which may be behind the limit.
    fn set(&self, frequencies: &mut Self::Frequencies, place: usize, coefficient: i32);

    /// Takes a block that is complete, in its column and row.
    fn take(&mut self, frequencies: &Self::Frequencies, at: (u32, u32));
}

/// No frequency is read.
impl FrequencySink for () {
    type Frequencies = ();

    fn limit(&self) -> u32 {
        1
    }

    fn flat(&self, _mean: i16) {}

    fn set(&self, _frequencies: &mut (), _place: usize, _coefficient: i32) {}

    fn take(&mut self, _frequencies: &(), _at: (u32, u32)) {}
}

/// A block of a unit: its plane, its place, and its codes.
struct Member<'a> {
    plane: usize,
    /// Blocks of a unit in each direction, and which of them it is.
    unit_blocks: (u32, u32),
    place: (u32, u32),
    means: &'a HuffmanDecoder,
    coefficients: &'a CoefficientDecoder,
}

impl Blocks {
    /// Passes over coded data, with a sink for each plane. `None` if it is not exactly that of such an image.
    pub(super) fn read<S: FrequencySink>(baseline: &Baseline, scan: &[u8], sinks: &mut [S]) -> Option<Self> {
        let (stream, ends) = BitStream::of_scan(scan)?;
        let (num_columns, num_rows) = baseline.num_units();
        let interval = if baseline.restart_interval == 0 { num_columns * num_rows } else { baseline.restart_interval };
        // Each block has two bits or more, so that memory is within that of the file.
        let num_blocks = |blocks: (u32, u32)| u64::from(num_columns * blocks.0) * u64::from(num_rows * blocks.1);
        let total: u64 = baseline.components.iter().map(|component| num_blocks(component.unit_blocks)).sum();
        if total > scan.len() as u64 * 4 || ends.len() as u32 != (num_columns * num_rows).div_ceil(interval) {
            return None;
        }
        let plane = |blocks: (u32, u32)| Plane {
            blocks: vec![Block::NONE; num_blocks(blocks) as usize],
            width: num_columns * blocks.0,
            white: Block::NONE,
        };
        let mut planes: Vec<Plane> = baseline.components.iter().map(|one| plane(one.unit_blocks)).collect();
        let means = baseline.dc_codes.each_ref().map(|code| code.as_ref().map(mean_decoder));
        let coefficients = baseline.ac_codes.each_ref().map(|code| code.as_ref().map(coefficient_decoder));
        let mut members = Vec::new();
        for (plane, component) in baseline.components.iter().enumerate() {
            let (unit_columns, unit_rows) = component.unit_blocks;
            for place in (0..unit_rows).flat_map(|row| (0..unit_columns).map(move |column| (column, row))) {
                members.push(Member {
                    plane,
                    unit_blocks: component.unit_blocks,
                    place,
                    means: means.get(component.dc_code)?.as_ref()?,
                    coefficients: coefficients.get(component.ac_code)?.as_ref()?,
                });
            }
        }
        let mut scanner = Scanner { stream: &stream, position: 0 };
        let units = (0..num_rows).flat_map(|row| (0..num_columns).map(move |column| (column, row)));
        let (mut means, mut left, mut ends) = ([0_i32; 3], 0, ends.into_iter());
        let mut end = 0;
        for (column, row) in units {
            if left == 0 {
                scanner.begin_interval(end)?;
                end = ends.next()?;
                (means, left) = ([0; 3], interval);
            }
            left -= 1;
            for member in &members {
                let plane = planes.get_mut(member.plane)?;
                let mean = means.get_mut(member.plane)?;
                let (unit_columns, unit_rows) = member.unit_blocks;
                let at = (column * unit_columns + member.place.0, row * unit_rows + member.place.1);
                let sink = sinks.get_mut(member.plane)?;
                *plane.block_mut(at)? = scanner.block((member, at), mean, sink)?;
            }
            if scanner.position > end {
                return None;
            }
        }
        scanner.begin_interval(end)?;
        Some(Self { stream, planes })
    }

    /// Calls `visit` with the places and the values of a block's coefficients but the first: those that are not zero, up to the
    /// first one at `limit` or behind it.
    #[inline]
    pub(super) fn for_each_coefficient(
        &self,
        (block, limit): (Block, usize),
        decoder: &CoefficientDecoder,
        mut visit: impl FnMut(usize, i32),
    ) -> Option<()> {
        let (mut position, mut place) = (block.others.start, 0);
        let (mut bits, mut num_left) = (self.stream.peek(position)?, NUM_PEEKED);
        while place + 1 < limit {
            // What goes on behind the bits that were read may be anything.
            let Some(read) = decoder.read(bits).filter(|read| u32::from(read.num_bits) <= num_left) else {
                if num_left == NUM_PEEKED {
                    return None;
                }
                (bits, num_left) = (self.stream.peek(position)?, NUM_PEEKED);
                continue;
            };
            place += usize::from(read.num_coefficients);
            if place > 63 {
                break;
            }
            visit(place, read.value.into());
            let num_bits = u32::from(read.num_bits);
            (position, bits, num_left) = (position + num_bits, bits << num_bits, num_left - num_bits);
        }
        Some(())
    }
}

/// Passes over the codes of blocks.
struct Scanner<'a> {
    stream: &'a BitStream,
    position: u32,
}

impl Scanner<'_> {
    /// Goes on behind the end of an interval, which must be in the byte that was read last.
    fn begin_interval(&mut self, end: u32) -> Option<()> {
        let is_at_end = self.position.next_multiple_of(8) == end;
        self.position = end;
        is_at_end.then_some(())
    }

    /// The next block, at a column and row of its plane, whose mean is stated relative to that of the block before.
    #[inline]
    fn block<S: FrequencySink>(
        &mut self,
        (member, at): (&Member<'_>, (u32, u32)),
        mean: &mut i32,
        sink: &mut S,
    ) -> Option<Block> {
        let bits = self.stream.peek(self.position)?;
        let (code_bits, size) = member.means.symbol(bits)?;
        if size > MAX_DC_BITS {
            return None;
        }
        *mean += number(bits << code_bits, size);
        if !MEANS.contains(mean) {
            return None;
        }
        let num_bits = u32::from(code_bits + size);
        let start = self.position + num_bits;
        let (mut position, mut bits, mut num_left) = (start, bits << num_bits, NUM_PEEKED - num_bits);
        let (mut frequencies, limit) = (sink.flat(*mean as i16), sink.limit());
        let mut place = 1;
        while place < limit {
            // What goes on behind the bits that were read may be anything.
            let Some(read) = member.coefficients.read(bits).filter(|read| u32::from(read.num_bits) <= num_left) else {
                if num_left == NUM_PEEKED {
                    return None;
                }
                (bits, num_left) = (self.stream.peek(position)?, NUM_PEEKED);
                continue;
            };
            let num_bits = u32::from(read.num_bits);
            (position, bits, num_left) = (position + num_bits, bits << num_bits, num_left - num_bits);
            place += u32::from(read.num_coefficients);
            if place > 64 {
                if read.num_coefficients != ReadCoefficient::REST {
                    return None;
                }
                break;
            }
            sink.set(&mut frequencies, place as usize - 1, read.value.into());
        }
        self.position = position;
        if place < 64 {
            self.pass_coefficients(member.coefficients, (bits, num_left), place)?;
        }
        sink.take(&frequencies, at);
        let others = BitRange { start, num_bits: (self.position - start) as u16 };
        Some(Block { mean: *mean as i16, others })
    }

    /// Passes over the coefficients of a block from a place on.
    #[inline]
    fn pass_coefficients(
        &mut self,
        decoder: &CoefficientDecoder,
        (mut bits, mut num_left): (u64, u32),
        mut place: u32,
    ) -> Option<()> {
        loop {
            let step = decoder.step(bits);
            let (num_bits, next) = (step.num_bits(), place + step.num_coefficients());
            // Otherwise there are too few bits, or another block begins in them.
            if num_bits <= num_left && next < 64 {
                self.position += num_bits;
                if step.is_last() {
                    return Some(());
                }
                (place, bits, num_left) = (next, bits << num_bits, num_left - num_bits);
                continue;
            }
            if num_left < NUM_PEEKED {
                (bits, num_left) = (self.stream.peek(self.position)?, NUM_PEEKED);
                continue;
            }
            let (code_bits, symbol) = decoder.symbol(bits)?;
            let num_bits = u32::from(code_bits + (symbol & 15));
            self.position += num_bits;
            place += u32::from(num_coefficients(symbol)?);
            match place {
                64 => return Some(()),
                65.. => return None,
                _ if symbol == END_OF_BLOCK => return Some(()),
                _ => (bits, num_left) = (bits << num_bits, num_left - num_bits),
            }
        }
    }
}
