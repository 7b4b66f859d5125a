//! How each macroblock of a VP8 frame is predicted (RFC 6386, section 11): read only because later bits depend on it.

use super::bits::{BoolReader, EVEN};
use super::header::FrameHeader;
use super::tables::{MODES, NUM_MODES};

/// Branches of the tree of modes: a further branch if positive, otherwise a mode.
const BRANCHES: [i8; 18] = [0, 2, -1, 4, -2, 6, 8, 12, -3, 10, -5, -6, -4, 14, -7, 16, -8, -9];

/// Modes of a block that modes of a whole macroblock count as.
const DC: u8 = 0;
const TRUE_MOTION: u8 = 1;
const VERTICAL: u8 = 2;
const HORIZONTAL: u8 = 3;

/// What tokens depend on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MacroblockModes {
    /// Whether there are none.
    pub is_skipped: bool,
    /// Whether its blocks are predicted one by one, and have coefficients of their own for brightness.
    pub has_own_blocks: bool,
}

/// Reads modes row by row.
pub(super) struct Modes {
    segments: Option<[u8; 3]>,
    skipped: Option<u8>,
    /// Modes of the blocks above, four for each macroblock.
    above: Vec<[u8; 4]>,
}

impl Modes {
    pub(super) fn new(columns: usize, header: &FrameHeader) -> Self {
        Self { segments: header.segments, skipped: header.skipped, above: vec![[DC; 4]; columns] }
    }

    pub(super) fn read_row(&mut self, part: &mut BoolReader<'_>, row: &mut [MacroblockModes]) {
        let mut left = [DC; 4];
        for (macroblock, above) in row.iter_mut().zip(&mut self.above) {
            if let Some([first, low, high]) = self.segments {
                let is_high = part.bit(first);
                part.bit(if is_high { high } else { low });
            }
            let is_skipped = self.skipped.is_some_and(|probability| part.bit(probability));
            let has_own_blocks = !part.bit(145);
            if has_own_blocks {
                for left in &mut left {
                    for above in above.iter_mut() {
                        *left = read_mode(part, *above, *left);
                        *above = *left;
                    }
                }
            } else {
                let mode = match part.bit(156) {
                    true if part.bit(EVEN) => TRUE_MOTION,
                    true => HORIZONTAL,
                    false if part.bit(163) => VERTICAL,
                    false => DC,
                };
                (*above, left) = ([mode; 4], [mode; 4]);
            }
            // Of colours.
            if part.bit(142) && part.bit(114) {
                part.bit(183);
            }
            *macroblock = MacroblockModes { is_skipped, has_own_blocks };
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "modes are below `NUM_MODES`, and branches inside of the tree")]
fn read_mode(part: &mut BoolReader<'_>, above: u8, left: u8) -> u8 {
    let probabilities = &MODES[usize::from(above) % NUM_MODES][usize::from(left) % NUM_MODES];
    let mut branch = 0;
    loop {
        let next = BRANCHES[branch + usize::from(part.bit(probabilities[branch / 2]))];
        if next <= 0 {
            return next.unsigned_abs();
        }
        branch = usize::from(next.unsigned_abs());
    }
}
