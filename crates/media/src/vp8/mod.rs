//! Whether the bytes of a lossy WebP image suffice for its pixels, by the rule of libwebp: it refuses an image as soon as one of its
//! parts is read beyond its end, whatever that would show.
//!
//! It reads modes and tokens (RFC 6386) and makes no pixel of them, which takes a part of the time of decoding.

mod modes;
mod tables;
mod tokens;

use self::modes::{MacroblockModes, Modes};
use self::tables::{TOKENS, Tokens, UPDATES};
use self::tokens::Residuals;

/// The tag of a frame, its start code and its size.
const HEADER_BYTES: usize = 10;

/// An even chance.
const EVEN: u8 = 128;

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

/// What the first part says about the rest.
struct FrameHeader {
    /// Probabilities of the segment of a macroblock, if it has one of its own.
    segments: Option<[u8; 3]>,
    num_token_parts: usize,
    tokens: Tokens,
    /// The probability that a macroblock has tokens, if those can be left out.
    skipped: Option<u8>,
}

impl FrameHeader {
    fn read(part: &mut BoolReader<'_>) -> Self {
        // Colour space and clamping.
        part.number(2);
        let mut segments = None;
        if part.flag() {
            let (has_map, has_settings) = (part.flag(), part.flag());
            if has_settings {
                // Whether values are absolute, four quantisers and four strengths of the filter.
                part.flag();
                (0..4).for_each(|_| part.optional_signed(7));
                (0..4).for_each(|_| part.optional_signed(6));
            }
            segments = has_map.then(|| [0; 3].map(|_| if part.flag() { part.number(8) as u8 } else { u8::MAX }));
        }
        // The filter: kind, strength, sharpness, and differences of the strength.
        part.number(1 + 6 + 3);
        if part.flag() && part.flag() {
            (0..8).for_each(|_| part.optional_signed(6));
        }
        let num_token_parts = 1 << part.number(2);
        // Quantisers, and whether probabilities are kept, which a single frame has no use for.
        part.number(7);
        (0..5).for_each(|_| part.optional_signed(4));
        part.flag();
        let mut tokens = TOKENS;
        let updates = UPDATES.as_flattened().as_flattened().as_flattened();
        for (token, &update) in tokens.as_flattened_mut().as_flattened_mut().as_flattened_mut().iter_mut().zip(updates)
        {
            if part.bit(update) {
                *token = part.number(8) as u8;
            }
        }
        let skipped = part.flag().then(|| part.number(8) as u8);
        Self { segments, num_token_parts, tokens, skipped }
    }
}

/// Reads bits of given probabilities (RFC 6386, section 7); behind the end these are of zeros.
struct BoolReader<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Bits that were loaded, and how many of them are not decided, less eight.
    value: u64,
    num_bits: i32,
    range: u32,
    is_within: bool,
}

impl<'a> BoolReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, value: 0, num_bits: -8, range: 255, is_within: true }
    }

    /// Whether nothing was read behind the end.
    fn is_within(&self) -> bool {
        self.is_within
    }

    #[inline]
    fn bit(&mut self, probability: u8) -> bool {
        if self.num_bits < 0 {
            self.load();
        }
        let split = 1 + (((self.range - 1) * u32::from(probability)) >> 8);
        let shifted = u64::from(split) << self.num_bits;
        let bit = self.value >= shifted;
        if bit {
            self.range -= split;
            self.value -= shifted;
        } else {
            self.range = split;
        }
        // A range is at least 128: its highest bit is the eighth.
        let shift = self.range.leading_zeros() - 24;
        self.range <<= shift;
        self.num_bits -= shift.cast_signed();
        bit
    }

    fn load(&mut self) {
        if let Some(chunk) = self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<4>()) {
            self.value = (self.value << 32) | u64::from(u32::from_be_bytes(*chunk));
            self.next += 4;
            self.num_bits += 32;
            return;
        }
        let byte = self.bytes.get(self.next).copied();
        self.is_within &= byte.is_some();
        self.value = (self.value << 8) | u64::from(byte.unwrap_or_default());
        self.next += 1;
        self.num_bits += 8;
    }

    fn flag(&mut self) -> bool {
        self.bit(EVEN)
    }

    fn number(&mut self, num_bits: u32) -> u32 {
        (0..num_bits).fold(0, |number, _| (number << 1) | u32::from(self.flag()))
    }

    /// A flag and, if it is set, a number and its sign.
    fn optional_signed(&mut self, num_bits: u32) {
        if self.flag() {
            self.number(num_bits + 1);
        }
    }
}
