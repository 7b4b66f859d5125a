//! The header of a VP8 frame (RFC 6386, section 9), as far as later bits depend on it.

use super::bits::BoolReader;
use super::tables::{TOKENS, Tokens, UPDATES};

/// What the first part says about the rest.
pub(super) struct FrameHeader {
    /// Probabilities of the segment of a macroblock, if it has one of its own.
    pub(super) segments: Option<[u8; 3]>,
    pub(super) num_token_parts: usize,
    pub(super) tokens: Tokens,
    /// The probability that a macroblock has tokens, if those can be left out.
    pub(super) skipped: Option<u8>,
}

impl FrameHeader {
    pub(super) fn read(part: &mut BoolReader<'_>) -> Self {
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
