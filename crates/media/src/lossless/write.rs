//! Tiles as files: tables like those of the photograph, and its blocks in their order.

use super::baseline::{Baseline, Component};
use super::bits::BitWriter;
use super::blocks::{Block, Blocks, Plane};
use super::huffman::{HuffmanEncoder, num_bits};

/// Writes tiles of one size.
pub(crate) struct TileWriter<'a> {
    /// Everything before the coded data.
    head: Vec<u8>,
    /// Units of a tile in each direction.
    num_units: (u32, u32),
    channels: Vec<Channel<'a>>,
    bits: BitWriter,
    blocks: &'a Blocks,
    unit_px: (u32, u32),
    /// Units of the image in each direction, and those that it fills.
    image_units: (u32, u32),
    full_units: (u32, u32),
    restart_interval: u32,
}

struct Channel<'a> {
    plane: &'a Plane,
    unit_blocks: (u32, u32),
    /// Blocks in each direction that hold samples of the image.
    num_blocks: (u32, u32),
    dc_encoder: HuffmanEncoder,
}

impl<'a> TileWriter<'a> {
    pub(super) fn new(baseline: &Baseline, blocks: &'a Blocks, size_px: (u32, u32)) -> Option<Self> {
        let unit_px = baseline.unit_px();
        let is_whole = size_px.0.is_multiple_of(unit_px.0) && size_px.1.is_multiple_of(unit_px.1);
        if !is_whole {
            return None;
        }
        let channel = |(component, plane): (&Component, &'a Plane)| {
            let samples = baseline.num_samples(component);
            Some(Channel {
                plane,
                unit_blocks: component.unit_blocks,
                num_blocks: (samples.0.div_ceil(8), samples.1.div_ceil(8)),
                dc_encoder: HuffmanEncoder::new(baseline.dc_codes.get(component.dc_code)?.as_ref()?),
            })
        };
        let channels = baseline.components.iter().zip(&blocks.planes).map(channel).collect::<Option<Vec<_>>>()?;
        Some(Self {
            head: head(baseline, size_px)?,
            num_units: (size_px.0 / unit_px.0, size_px.1 / unit_px.1),
            channels,
            bits: BitWriter::default(),
            blocks,
            unit_px,
            image_units: baseline.num_units(),
            full_units: (baseline.size_px.0 / unit_px.0, baseline.size_px.1 / unit_px.1),
            restart_interval: baseline.restart_interval,
        })
    }

    /// The tile whose left and top are at this position of the image, which must be that of a unit; white outside of the image.
    pub(crate) fn tile(&mut self, origin_px: (i64, i64)) -> Option<Vec<u8>> {
        let origin = |origin_px: i64, unit_px: u32| {
            (origin_px % i64::from(unit_px) == 0).then(|| origin_px / i64::from(unit_px))
        };
        let (left, top) = (origin(origin_px.0, self.unit_px.0)?, origin(origin_px.1, self.unit_px.1)?);
        let mut means = [0_i16; 3];
        for row in 0..self.num_units.1 {
            let row = u32::try_from(top + i64::from(row)).ok().filter(|&row| row < self.image_units.1);
            let mut column = 0;
            while column < self.num_units.0 {
                let at = u32::try_from(left + i64::from(column)).ok().filter(|&column| column < self.image_units.0);
                let unit = at.zip(row);
                for (channel, mean) in self.channels.iter().zip(&mut means) {
                    put_unit(&mut self.bits, self.blocks, (channel, unit), mean)?;
                }
                column += 1;
                if let Some(unit) = unit {
                    column += self.copy_run(unit, self.num_units.0 - column, &mut means)?;
                }
            }
        }
        let mut file = self.head.clone();
        self.bits.finish_into(&mut file);
        file.extend([0xff, 0xd9]);
        Some(file)
    }

    /// Copies the units behind one that was written, at most so many, up to the first one that has something of its own: blocks
    /// that the border crosses, or means after a restart. Where units follow those that they follow in the image, all of their
    /// bits are the same, differences of means included. Returns their number.
    fn copy_run(&mut self, (column, row): (u32, u32), most: u32, means: &mut [i16; 3]) -> Option<u32> {
        if row >= self.full_units.1 {
            return Some(0);
        }
        let to_restart = match self.restart_interval {
            0 => u32::MAX,
            interval => interval - 1 - (row * self.image_units.0 + column) % interval,
        };
        let num_units = self.full_units.0.saturating_sub(column + 1).min(to_restart).min(most);
        if num_units == 0 {
            return Some(0);
        }
        let (first, last) = ((column, row), (column + num_units, row));
        for (channel, mean) in self.channels.iter().zip(means) {
            *mean = channel.last_block(last)?.mean;
        }
        let channel = self.channels.last()?;
        let (start, end) = (channel.last_block(first)?.others.end(), channel.last_block(last)?.others.end());
        self.bits.copy(&self.blocks.stream, (start, end.checked_sub(start)?))?;
        Some(num_units)
    }
}

impl Channel<'_> {
    /// The block of a unit that is coded last.
    fn last_block(&self, (column, row): (u32, u32)) -> Option<&Block> {
        let (unit_columns, unit_rows) = self.unit_blocks;
        self.plane.block(((column + 1) * unit_columns - 1, (row + 1) * unit_rows - 1))
    }
}

/// Writes the blocks of a channel of a unit, or white ones.
#[inline]
fn put_unit(
    bits: &mut BitWriter,
    blocks: &Blocks,
    (channel, unit): (&Channel<'_>, Option<(u32, u32)>),
    mean: &mut i16,
) -> Option<()> {
    let (unit_columns, unit_rows) = channel.unit_blocks;
    for (row, column) in (0..unit_rows).flat_map(|row| (0..unit_columns).map(move |column| (row, column))) {
        let at = unit.map(|(x, y)| (x * unit_columns + column, y * unit_rows + row));
        let at = at.filter(|&(x, y)| x < channel.num_blocks.0 && y < channel.num_blocks.1);
        let block = at.and_then(|at| channel.plane.block(at)).unwrap_or(&channel.plane.white);
        let difference = block.mean - std::mem::replace(mean, block.mean);
        channel.dc_encoder.put(num_bits(difference), difference, bits)?;
        bits.copy(&blocks.stream, (block.others.start, block.others.num_bits.into()))?;
    }
    Some(())
}

/// Everything before the coded data of an image with these tables. JFIF says that three components are brightness and colours.
fn head(baseline: &Baseline, (width_px, height_px): (u32, u32)) -> Option<Vec<u8>> {
    const JFIF: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    let (width, height) = (u16::try_from(width_px).ok()?, u16::try_from(height_px).ok()?);
    let mut head = JFIF.to_vec();
    let is_used = |number: usize, of: fn(&Component) -> usize| baseline.components.iter().any(|one| of(one) == number);
    for (number, steps) in baseline.quantisation.iter().enumerate() {
        if let Some(steps) = steps.filter(|_| is_used(number, |one| one.quantisation)) {
            add_segment(&mut head, 0xdb, std::iter::once(number as u8).chain(steps));
        }
    }
    let [h0, h1] = height.to_be_bytes();
    let [w0, w1] = width.to_be_bytes();
    let components = baseline
        .components
        .iter()
        .flat_map(|one| [one.id, (one.unit_blocks.0 << 4 | one.unit_blocks.1) as u8, one.quantisation as u8]);
    let frame = [8, h0, h1, w0, w1, baseline.components.len() as u8].into_iter().chain(components);
    add_segment(&mut head, baseline.frame_marker, frame);
    let codes = [
        (0, &baseline.dc_codes, (|one| one.dc_code) as fn(&Component) -> usize),
        (0x10, &baseline.ac_codes, |one| one.ac_code),
    ];
    for (class, codes, of) in codes {
        for (number, code) in codes.iter().enumerate() {
            if let Some(code) = code.as_ref().filter(|_| is_used(number, of)) {
                add_segment(&mut head, 0xc4, std::iter::once(class | number as u8).chain(code.content()));
            }
        }
    }
    let components = baseline.components.iter().flat_map(|one| [one.id, (one.dc_code << 4 | one.ac_code) as u8]);
    let scan = std::iter::once(baseline.components.len() as u8).chain(components).chain([0, 63, 0]);
    add_segment(&mut head, 0xda, scan);
    Some(head)
}

fn add_segment(head: &mut Vec<u8>, marker: u8, content: impl Iterator<Item = u8>) {
    let content: Vec<u8> = content.collect();
    // The largest one is a table of 256 codes.
    let length = (content.len() + 2) as u16;
    head.extend([0xff, marker]);
    head.extend(length.to_be_bytes());
    head.extend(content);
}
