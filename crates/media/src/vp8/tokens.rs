//! The coefficients of a VP8 frame (RFC 6386, section 13): read only to know where they end.

use super::bits::BoolReader;
use super::modes::MacroblockModes;
use super::tables::{BANDS, Bands, LARGE, Tokens};

/// Kinds of blocks: brightness without its first coefficient, these first ones, colour, and brightness.
const WITHOUT_FIRST: usize = 0;
const FIRST_ONES: usize = 1;
const COLOR: usize = 2;
const BRIGHTNESS: usize = 3;

/// Coefficients of a block.
const NUM_COEFFICIENTS: usize = 16;

/// Which of the blocks next to a macroblock have coefficients: brightness, two colours, and the first ones.
#[derive(Debug, Clone, Copy, Default)]
struct Filled {
    brightness: [bool; 4],
    colors: [[bool; 2]; 2],
    first_ones: bool,
}

/// Reads coefficients row by row.
pub(super) struct Residuals<'a> {
    tokens: &'a Tokens,
    above: Vec<Filled>,
}

impl<'a> Residuals<'a> {
    pub(super) fn new(columns: usize, tokens: &'a Tokens) -> Self {
        Self { tokens, above: vec![Filled::default(); columns] }
    }

    pub(super) fn read_row(&mut self, part: &mut BoolReader<'_>, row: &[MacroblockModes]) {
        let tokens = self.tokens;
        let blocks = |kind| Blocks::of(tokens, kind);
        let mut left = Filled::default();
        for (macroblock, above) in row.iter().zip(&mut self.above) {
            if macroblock.is_skipped {
                // The first ones are known of the last macroblock that has them.
                let keep = |filled: &Filled| Filled {
                    first_ones: macroblock.has_own_blocks && filled.first_ones,
                    ..Filled::default()
                };
                (*above, left) = (keep(above), keep(&left));
                continue;
            }
            let brightness = if macroblock.has_own_blocks {
                blocks(BRIGHTNESS)
            } else {
                let is_filled = blocks(FIRST_ONES).read_one(part, [above.first_ones, left.first_ones]);
                (above.first_ones, left.first_ones) = (is_filled, is_filled);
                blocks(WITHOUT_FIRST)
            };
            brightness.read(part, &mut above.brightness, &mut left.brightness);
            for (above, left) in above.colors.iter_mut().zip(&mut left.colors) {
                blocks(COLOR).read(part, above, left);
            }
        }
    }
}

/// Blocks of a kind.
struct Blocks<'a> {
    bands: &'a Bands,
    /// The place of the first coefficient that they have.
    first: usize,
}

impl<'a> Blocks<'a> {
    #[expect(clippy::indexing_slicing, reason = "there are four kinds")]
    fn of(tokens: &'a Tokens, kind: usize) -> Self {
        Self { bands: &tokens[kind], first: usize::from(kind == WITHOUT_FIRST) }
    }

    /// Reads blocks row by row.
    fn read(&self, part: &mut BoolReader<'_>, above: &mut [bool], left: &mut [bool]) {
        for left in left {
            for above in &mut *above {
                *left = self.read_one(part, [*above, *left]);
                *above = *left;
            }
        }
    }

    /// Reads a block. Returns whether it has any coefficients.
    #[expect(
        clippy::indexing_slicing,
        reason = "places are checked, and each table is as long as what names its entries"
    )]
    fn read_one(&self, part: &mut BoolReader<'_>, neighbours: [bool; 2]) -> bool {
        let num_filled = neighbours.iter().filter(|&&is_filled| is_filled).count();
        let mut place = self.first;
        let mut probabilities = &self.bands[BANDS[place]][num_filled];
        while place < NUM_COEFFICIENTS {
            if !part.bit(probabilities[0]) {
                return place > self.first;
            }
            while !part.bit(probabilities[1]) {
                place += 1;
                probabilities = &self.bands[BANDS[place]][0];
                if place == NUM_COEFFICIENTS {
                    return true;
                }
            }
            place += 1;
            let next = &self.bands[BANDS[place]];
            if part.bit(probabilities[2]) {
                read_large(part, probabilities);
                probabilities = &next[2];
            } else {
                probabilities = &next[1];
            }
            // The sign.
            part.flag();
        }
        true
    }
}

/// Reads a coefficient that is larger than one.
#[expect(clippy::indexing_slicing, reason = "categories have two bits")]
fn read_large(part: &mut BoolReader<'_>, probabilities: &[u8; 11]) {
    if !part.bit(probabilities[3]) {
        if part.bit(probabilities[4]) {
            part.bit(probabilities[5]);
        }
    } else if !part.bit(probabilities[6]) {
        if part.bit(probabilities[7]) {
            part.bit(165);
            part.bit(145);
        } else {
            part.bit(159);
        }
    } else {
        let high = usize::from(part.bit(probabilities[8]));
        let low = usize::from(part.bit(probabilities[9 + high]));
        for &probability in LARGE[2 * high + low] {
            part.bit(probability);
        }
    }
}
