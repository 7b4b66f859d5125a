//! Whether the bytes of a lossy WebP image suffice for its pixels, by the rule of libwebp: it refuses an image as soon as one of its
//! parts is read beyond its end, whatever that would show.
//!
//! It reads modes and tokens (RFC 6386) and makes no pixel of them, which takes a part of the time of decoding.

mod bits;
mod header;
mod modes;
mod tables;
mod tokens;

use self::bits::BoolReader;
use self::header::FrameHeader;
use self::modes::{MacroblockModes, Modes};
use self::tokens::Residuals;

/// The tag of a frame, its start code and its size.
const HEADER_BYTES: usize = 10;

/// Pixels of a macroblock.
const MACROBLOCK_PX: u16 = 16;

/// Whether every part of an image (the content of a `VP8 ` chunk) has the bytes that decoding it takes.
pub(crate) fn is_whole(image: &[u8]) -> bool {
    has_all_bytes(image).is_some()
}

fn has_all_bytes(image: &[u8]) -> Option<()> {
    let (header, rest) = image.split_first_chunk::<HEADER_BYTES>()?;
    let &[first, second, third, _, _, _, w0, w1, h0, h1] = header;
    let first_bytes = (u32::from_le_bytes([first, second, third, 0]) >> 5) as usize;
    let (first_part, others) = rest.split_at_checked(first_bytes)?;
    // The two highest bits are a scaling that no decoder applies.
    let across = |low, high| (u16::from_le_bytes([low, high]) & 0x3fff).div_ceil(MACROBLOCK_PX);
    let (columns, rows) = (usize::from(across(w0, w1)), usize::from(across(h0, h1)));

    let mut part = BoolReader::new(first_part);
    let header = FrameHeader::read(&mut part);
    part.is_within().then_some(())?;
    let mut token_parts = token_parts(others, header.num_token_parts)?;
    let mut modes = Modes::new(columns, &header);
    let mut residuals = Residuals::new(columns, &header.tokens);
    let mut row_modes = vec![MacroblockModes::default(); columns];
    for row in 0..rows {
        modes.read_row(&mut part, &mut row_modes);
        part.is_within().then_some(())?;
        let tokens = token_parts.get_mut(row % header.num_token_parts)?;
        residuals.read_row(tokens, &row_modes);
        tokens.is_within().then_some(())?;
    }
    Some(())
}

/// The parts that have tokens: their sizes, but for the last, then they. Sizes that are too large are cut, as libwebp does.
fn token_parts(bytes: &[u8], num_parts: usize) -> Option<Vec<BoolReader<'_>>> {
    let (sizes, mut rest) = bytes.split_at_checked(3 * (num_parts - 1))?;
    let mut parts = Vec::with_capacity(num_parts);
    for &[first, second, third] in sizes.as_chunks::<3>().0 {
        let size = u32::from_le_bytes([first, second, third, 0]) as usize;
        let (part, behind) = rest.split_at(size.min(rest.len()));
        parts.push(BoolReader::new(part));
        rest = behind;
    }
    parts.push(BoolReader::new(rest));
    (!rest.is_empty()).then_some(parts)
}
