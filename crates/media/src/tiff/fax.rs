//! The rows of a fax: one-dimensional codes of group 3 (ITU-T T.4) and those of group 4 (T.6).
//!
//! Unlike decoders of faxes from a telephone line, which go on after a broken code and make up the rest of a row, it says that the
//! image is damaged: every code has to be one, and every row has to have its width.

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, Color};

/// Bits of the code between rows: eleven zeros and a one, which more zeros may precede.
const ROW_END_BITS: u8 = 12;

/// Lowest run that is followed by another one of its colour.
const MAKE_UP: u16 = 64;

/// How codes describe rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// Runs.
    Group3,
    /// Differences from the row above.
    Group4,
}

/// The rows, packed as bits, 1 for black. The error says where codes are damaged.
pub(super) fn rows(stored: &[u8], codes: Codes, (width, num_rows): (u16, usize)) -> Result<Vec<u8>, String> {
    let mut reader = Bits { bytes: stored, position: 0 };
    let mut packed = Vec::new();
    let mut above = Vec::new();
    for row in 0..num_rows {
        let changes = match codes {
            Codes::Group3 => reader.row_of_runs(width),
            // Encoders leave out white rows at the end.
            Codes::Group4 if reader.is_end_of_block() => Some(Vec::new()),
            Codes::Group4 => reader.row_after(&above, width),
        };
        let changes = changes.ok_or_else(|| format!("the fax has a bad code in row {row}"))?;
        if reader.position > stored.len() * 8 {
            return Err(format!("the fax ends in row {row}"));
        }
        pack(&changes, width, &mut packed);
        above = changes;
    }
    Ok(packed)
}

/// Adds a row, which changes its colour at these columns, white first.
fn pack(changes: &[u16], width: u16, rows: &mut Vec<u8>) {
    let start = rows.len();
    rows.resize(start + usize::from(width).div_ceil(8), 0);
    for (column, color) in fax::decoder::pels(changes, width).enumerate() {
        if let Some(byte) = rows.get_mut(start + column / 8)
            && color == Color::Black
        {
            *byte |= 0x80 >> (column % 8);
        }
    }
}

/// Bits of the codes, and zeros behind them.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl BitReader for Bits<'_> {
    type Error = Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        let byte = |at: usize| u32::from(self.bytes.get(self.position / 8 + at).copied().unwrap_or_default());
        let window = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        let shift = 24_u32.checked_sub(self.position as u32 % 8 + u32::from(bits))?;
        Some(((window >> shift) & ((1 << bits) - 1)) as u16)
    }

    fn consume(&mut self, bits: u8) -> Result<(), Infallible> {
        self.position += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        ((8 - self.position % 8) % 8) as u8
    }
}

impl Bits<'_> {
    fn is_next(&self, code: u16, bits: u8) -> bool {
        self.peek(bits) == Some(code)
    }

    fn skip(&mut self, bits: u8) {
        let Ok(()) = self.consume(bits);
    }

    /// Whether the block ends here: two codes between rows follow each other.
    fn is_end_of_block(&self) -> bool {
        let next = Self { bytes: self.bytes, position: self.position + usize::from(ROW_END_BITS) };
        self.is_next(1, ROW_END_BITS) && next.is_next(1, ROW_END_BITS)
    }

    /// The columns at which a row of runs changes its colour. `None` if it is damaged.
    fn row_of_runs(&mut self, width: u16) -> Option<Vec<u16>> {
        // No code of a run begins with so many zeros.
        if self.is_next(0, ROW_END_BITS - 1) {
            while self.is_next(0, 1) && self.position < self.bytes.len() * 8 {
                self.skip(1);
            }
            self.skip(1);
        }
        let (mut changes, mut column, mut color) = (Vec::new(), 0_u16, Color::White);
        while column < width {
            column = column.checked_add(self.run(color)?).filter(|&column| column <= width)?;
            changes.push(column);
            color = !color;
            if self.position > self.bytes.len() * 8 {
                return None;
            }
        }
        Some(changes)
    }

    /// The length of a run: any number of make-up codes, then a terminating one.
    fn run(&mut self, color: Color) -> Option<u16> {
        let mut length = 0_u16;
        loop {
            let code = match color {
                Color::White => white::decode(self),
                Color::Black => black::decode(self),
            };
            length = length.checked_add(code?)?;
            if code? < MAKE_UP {
                return Some(length);
            }
        }
    }

    /// The columns at which a row changes its colour that is described by those of the one above. `None` if it is damaged.
    fn row_after(&mut self, above: &[u16], width: u16) -> Option<Vec<u16>> {
        let (mut changes, mut color) = (Vec::<u16>::new(), Color::White);
        // Before the first column at first.
        let mut column = -1_i32;
        let mut next_above = 0;
        while column < i32::from(width) {
            // The first change of the row above that is behind, to the other colour: these are at every second place.
            next_above = (next_above / 2 * 2_usize).saturating_sub(2) + usize::from(color == Color::Black);
            while above.get(next_above).is_some_and(|&change| i32::from(change) <= column) {
                next_above += 2;
            }
            let change = |index: usize| above.get(index).copied().unwrap_or(width);
            let start = column.max(0);
            match mode::decode(self)? {
                Mode::Pass => column = change(next_above + 1).into(),
                Mode::Vertical(difference) => {
                    column = i32::from(change(next_above)) + i32::from(difference);
                    if column < start || column > i32::from(width) {
                        return None;
                    }
                    changes.push(column as u16);
                    color = !color;
                }
                Mode::Horizontal => {
                    let first = start + i32::from(self.run(color)?);
                    column = first + i32::from(self.run(!color)?);
                    if column > i32::from(width) {
                        return None;
                    }
                    changes.extend([first as u16, column as u16]);
                }
                Mode::Extension | Mode::EOF => return None,
            }
            if self.position > self.bytes.len() * 8 {
                return None;
            }
        }
        Some(without_empty_runs(&changes, width))
    }
}

/// The columns at which the colour does change, inside of the row.
fn without_empty_runs(changes: &[u16], width: u16) -> Vec<u16> {
    let mut found: Vec<u16> = Vec::with_capacity(changes.len());
    for &change in changes {
        if found.last() == Some(&change) {
            found.pop();
        } else {
            found.push(change);
        }
    }
    while found.last().is_some_and(|&change| change >= width) {
        found.pop();
    }
    found
}
