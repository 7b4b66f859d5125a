//! White around the image: as blocks of its own, and in the blocks that its right and bottom borders cross.

use std::rc::Rc;

use super::baseline::{BLOCK, Baseline, Component};
use super::bits::{BitRange, BitWriter};
use super::blocks::{Block, Blocks, Coefficients};
use super::dct::{Cosines, Steps};
use super::huffman::{
    CoefficientDecoder, END_OF_BLOCK, HuffmanCode, HuffmanEncoder, MAX_DC_BITS, SIXTEEN_ZEROS, num_bits,
};
use super::recent::coefficient_decoder;
use crate::ycbcr::WHITE;

/// A block that is changed, and where it is.
struct Changed {
    plane: usize,
    at: (u32, u32),
    coefficients: Coefficients,
}

/// Replaces what is outside of the image with white, and completes the codes with the symbols that this and any order of blocks
/// need. `None` if the codes have no room for the symbols.
pub(super) fn whiten(baseline: &mut Baseline, blocks: &mut Blocks) -> Option<()> {
    let mut changed = Vec::new();
    for (plane, component) in baseline.components.iter().enumerate() {
        let border = Border::new(baseline, component, plane)?;
        for at in border.crossed() {
            changed.push(Changed { plane, at, coefficients: border.whitened(blocks, at)? });
        }
    }
    complete_codes(baseline, &changed)?;
    for (plane, component) in baseline.components.iter().enumerate() {
        let code = HuffmanEncoder::new(baseline.ac_codes.get(component.ac_code)?.as_ref()?);
        let white = encoded(&white(baseline, component, plane)?, &code, blocks)?;
        blocks.planes.get_mut(plane)?.white = white;
        for change in changed.iter().filter(|change| change.plane == plane) {
            let block = encoded(&change.coefficients, &code, blocks)?;
            *blocks.planes.get_mut(plane)?.block_mut(change.at)? = block;
        }
    }
    Some(())
}

/// The borders of a channel.
struct Border<'a> {
    plane: usize,
    /// Size of the channel in samples.
    num_samples: (u32, u32),
    quantisation: &'a [u8; 64],
    coefficients: Rc<CoefficientDecoder>,
    steps: Steps<8>,
    cosines: Cosines<8>,
}

impl<'a> Border<'a> {
    fn new(baseline: &'a Baseline, component: &Component, plane: usize) -> Option<Self> {
        let quantisation = baseline.quantisation.get(component.quantisation)?.as_ref()?;
        Some(Self {
            plane,
            num_samples: baseline.num_samples(component),
            quantisation,
            coefficients: coefficient_decoder(baseline.ac_codes.get(component.ac_code)?.as_ref()?),
            steps: Steps::new(quantisation),
            cosines: Cosines::new(),
        })
    }

    /// Columns and rows of the blocks that are partly outside.
    fn crossed(&self) -> impl Iterator<Item = (u32, u32)> {
        let (width, height) = self.num_samples;
        let (columns, rows) = (width.div_ceil(BLOCK), height.div_ceil(BLOCK));
        let right = (!width.is_multiple_of(BLOCK)).then(|| (0..rows).map(move |row| (columns - 1, row)));
        let is_at_right = !width.is_multiple_of(BLOCK);
        let num_bottom = columns - u32::from(is_at_right);
        let bottom = (!height.is_multiple_of(BLOCK)).then(|| (0..num_bottom).map(move |column| (column, rows - 1)));
        right.into_iter().flatten().chain(bottom.into_iter().flatten())
    }

    /// A block with white outside of the image.
    fn whitened(&self, blocks: &Blocks, (column, row): (u32, u32)) -> Option<Coefficients> {
        let block = *blocks.planes.get(self.plane)?.block((column, row))?;
        let mut frequencies = self.steps.flat(block.mean);
        let set = |place, value| self.steps.set(&mut frequencies, place, value);
        blocks.for_each_coefficient((block, 64), &self.coefficients, set)?;
        let mut samples = self.cosines.samples(&frequencies);
        let white = *WHITE.get(self.plane)?;
        for (y, row) in (row * BLOCK..).zip(&mut samples) {
            for (x, sample) in (column * BLOCK..).zip(row) {
                if x >= self.num_samples.0 || y >= self.num_samples.1 {
                    *sample = white;
                }
            }
        }
        Some(self.cosines.coefficients(&samples, self.quantisation))
    }
}

/// A block that is decoded as white: rounded up, because levels above the highest one are that one.
fn white(baseline: &Baseline, component: &Component, plane: usize) -> Option<Coefficients> {
    let step = i16::from(*baseline.quantisation.get(component.quantisation)?.as_ref()?.first()?);
    let level = (i16::from(*WHITE.get(plane)?) - 128) * 8;
    let mut coefficients = [0; 64];
    *coefficients.first_mut()? = (level + step - 1) / step;
    Some(coefficients)
}

/// Gives the codes every size of a difference, the end of a block, and what the changed blocks have.
fn complete_codes(baseline: &mut Baseline, changed: &[Changed]) -> Option<()> {
    let mut is_needed = [[false; 256]; 4];
    for (plane, component) in baseline.components.iter().enumerate() {
        let is_needed = is_needed.get_mut(component.ac_code)?;
        *is_needed.get_mut(usize::from(END_OF_BLOCK))? = true;
        for change in changed.iter().filter(|change| change.plane == plane) {
            for_each_symbol(&change.coefficients, |symbol, _| {
                *is_needed.get_mut(usize::from(symbol))? = true;
                Some(())
            })?;
        }
    }
    for component in &baseline.components {
        let complete = |code: &mut Option<HuffmanCode>, symbols: &[u8]| {
            *code = Some(code.as_ref()?.with_symbols(symbols.iter().copied())?);
            Some(())
        };
        let sizes: Vec<u8> = (0..=MAX_DC_BITS).collect();
        complete(baseline.dc_codes.get_mut(component.dc_code)?, &sizes)?;
        let is_needed = is_needed.get(component.ac_code)?;
        let needed: Vec<u8> = (0..=u8::MAX).zip(is_needed).filter_map(|(symbol, &is)| is.then_some(symbol)).collect();
        complete(baseline.ac_codes.get_mut(component.ac_code)?, &needed)?;
    }
    Some(())
}

/// Codes coefficients behind the others of the image.
fn encoded(coefficients: &Coefficients, code: &HuffmanEncoder, blocks: &mut Blocks) -> Option<Block> {
    let mut bits = BitWriter::default();
    for_each_symbol(coefficients, |symbol, value| code.put(symbol, value, &mut bits))?;
    let others: BitRange = blocks.stream.append(bits)?;
    Some(Block { mean: *coefficients.first()?, others })
}

/// Calls `visit` with the symbols of all coefficients but the first, and their values.
fn for_each_symbol(coefficients: &Coefficients, mut visit: impl FnMut(u8, i16) -> Option<()>) -> Option<()> {
    let mut num_zeros = 0_u8;
    for &value in coefficients.iter().skip(1) {
        if value == 0 {
            num_zeros += 1;
            continue;
        }
        while num_zeros > 15 {
            visit(SIXTEEN_ZEROS, 0)?;
            num_zeros -= 16;
        }
        visit(num_zeros << 4 | num_bits(value), value)?;
        num_zeros = 0;
    }
    if num_zeros > 0 { visit(END_OF_BLOCK, 0) } else { Some(()) }
}
