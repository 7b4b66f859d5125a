//! PBM, PGM and PPM (netpbm), as text and binary: their header, and their rows.

use std::borrow::Cow;

/// How an image is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PnmHeader {
    pub size_px: (u32, u32),
    /// 1 for levels of gray and bits, 3 for colours.
    pub num_channels: usize,
    /// The level of white.
    pub max: u16,
    coding: Coding,
    /// Where the pixels start.
    start: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Numbers as text.
    Text,
    /// Digits, 1 is black.
    TextBits,
    /// Numbers of one or two bytes.
    Binary,
    /// Eight pixels a byte, 1 is black.
    Bits,
}

/// Why an image cannot be read.
#[derive(Debug)]
pub(crate) enum PnmError {
    /// The bytes end.
    Incomplete,
    /// What is wrong; the text continues "the PNM …".
    Damaged(&'static str),
}

impl PnmHeader {
    /// Reads the header at the beginning of a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PnmError> {
        let kind = match bytes {
            [b'P', kind @ b'1'..=b'6', ..] => kind - b'0',
            _ => return Err(PnmError::Damaged("does not say of which kind it is")),
        };
        let mut numbers = Numbers { bytes, position: 2 };
        let size_px = (numbers.next_of_header()?, numbers.next_of_header()?);
        let max = if matches!(kind, 1 | 4) { 1 } else { numbers.next_of_header()? };
        let max = u16::try_from(max).ok().filter(|&max| max > 0);
        Ok(Self {
            size_px,
            num_channels: if matches!(kind, 3 | 6) { 3 } else { 1 },
            max: max.ok_or(PnmError::Damaged("does not state the level of white"))?,
            coding: match kind {
                1 => Coding::TextBits,
                2 | 3 => Coding::Text,
                4 => Coding::Bits,
                _ => Coding::Binary,
            },
            start: numbers.position,
        })
    }

    /// Calls `show` with the samples of each row, from 0 to 255.
    pub(crate) fn for_each_row(self, bytes: &[u8], mut show: impl FnMut(&[u8])) -> Result<(), PnmError> {
        let num_samples = self.size_px.0 as usize * self.num_channels;
        let mut row = vec![0; num_samples];
        let mut numbers = Numbers { bytes, position: self.start };
        for _ in 0..self.size_px.1 {
            match self.coding {
                Coding::TextBits => {
                    for sample in &mut row {
                        *sample = if numbers.next_bit()? { 0 } else { u8::MAX };
                    }
                }
                Coding::Text => {
                    for sample in &mut row {
                        let level = numbers.next()?;
                        if level > u32::from(self.max) {
                            return Err(PnmError::Damaged("has a level above that of white"));
                        }
                        *sample = self.level(level);
                    }
                }
                Coding::Bits => {
                    let packed = numbers.take(num_samples.div_ceil(8))?;
                    let bits = packed.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
                    row.iter_mut().zip(bits).for_each(|(sample, bit)| *sample = if bit == 1 { 0 } else { u8::MAX });
                }
                Coding::Binary if self.max > 255 => {
                    let (pairs, _) = numbers.take(num_samples * 2)?.as_chunks();
                    row.iter_mut()
                        .zip(pairs)
                        .for_each(|(sample, &pair)| *sample = self.level(u16::from_be_bytes(pair).into()));
                }
                Coding::Binary => {
                    let stored = numbers.take(num_samples)?;
                    row.iter_mut().zip(stored).for_each(|(sample, &stored)| *sample = self.level(stored.into()));
                }
            }
            show(&row);
        }
        Ok(())
    }

    fn level(self, sample: u32) -> u8 {
        let max = u32::from(self.max);
        if max == 255 { sample.min(255) as u8 } else { ((sample.min(max) * 255 + max / 2) / max) as u8 }
    }
}

/// Numbers between white space; a comment reaches from `#` to the end of its line.
struct Numbers<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Numbers<'a> {
    /// The next number, and one character after it.
    fn next(&mut self) -> Result<u32, PnmError> {
        let mut number = None;
        loop {
            match (self.next_character(), number) {
                (None, None) => return Err(PnmError::Incomplete),
                (None, Some(number)) => return Ok(number),
                (Some(digit @ b'0'..=b'9'), so_far) => {
                    number = Some(so_far.unwrap_or(0_u32).saturating_mul(10).saturating_add(u32::from(digit - b'0')));
                }
                (Some(character), so_far) if is_space(character) => {
                    if let Some(number) = so_far {
                        return Ok(number);
                    }
                }
                _ => return Err(PnmError::Damaged("has something else where a number should be")),
            }
        }
    }

    /// The next number, whose last digit something follows.
    fn next_of_header(&mut self) -> Result<u32, PnmError> {
        let number = self.next()?;
        let is_cut = self.bytes.get(..self.position).and_then(<[u8]>::last).is_some_and(u8::is_ascii_digit);
        if is_cut { Err(PnmError::Incomplete) } else { Ok(number) }
    }

    /// The next digit, which is 0 or 1.
    fn next_bit(&mut self) -> Result<bool, PnmError> {
        loop {
            match self.next_character() {
                Some(b'0') => return Ok(false),
                Some(b'1') => return Ok(true),
                Some(character) if is_space(character) => {}
                Some(_) => return Err(PnmError::Damaged("has something else where 0 or 1 should be")),
                None => return Err(PnmError::Incomplete),
            }
        }
    }

    /// The next character that is not part of a comment; the end of its line ends a comment.
    fn next_character(&mut self) -> Option<u8> {
        let mut character = *self.bytes.get(self.position)?;
        self.position += 1;
        if character == b'#' {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let length = memchr::memchr2(b'\n', b'\r', rest)?;
            character = b'\n';
            self.position += length + 1;
        }
        Some(character)
    }

    fn take(&mut self, num_bytes: usize) -> Result<&'a [u8], PnmError> {
        let end = self.position.checked_add(num_bytes).ok_or(PnmError::Incomplete)?;
        let taken = self.bytes.get(self.position..end).ok_or(PnmError::Incomplete)?;
        self.position = end;
        Ok(taken)
    }
}

/// Whether a character is white space, of which there are six kinds.
pub(crate) fn is_space(character: u8) -> bool {
    matches!(character, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

impl PnmError {
    /// What is wrong; the text continues "the PNM …".
    pub(crate) fn why(&self) -> Cow<'static, str> {
        match self {
            Self::Incomplete => "is cut short".into(),
            Self::Damaged(why) => (*why).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PnmError> {
        let header = PnmHeader::parse(bytes)?;
        let mut rows = Vec::new();
        header.for_each_row(bytes, |row| rows.push(row.to_vec()))?;
        Ok(rows)
    }

    #[test]
    fn comments_may_be_anywhere_between_and_in_text() {
        let expected = vec![vec![0, 128, 255], vec![255, 0, 128]];
        for text in [
            "P2 3 2 4\n0 2 4 4 0 2",
            "P2\x0b3\x0c2\r4\n0 2 4\n4 0 2\n",
            "P2#kind\n3#width\n2 # height\n4\n0 2 # white\r4 4 0#black\n2",
        ] {
            assert_eq!(rows(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
        assert_eq!(rows(b"P1 3 2\n10#bits\n1\n0 1 0").unwrap(), vec![vec![0, 255, 0], vec![255, 0, 255]]);
    }

    #[test]
    fn levels_are_scaled_and_what_is_missing_is_an_error() {
        assert_eq!(rows(b"P5 2 1 1000\n\x03\xe8\x01\xf4").unwrap(), vec![vec![255, 128]]);
        assert_eq!(rows(b"P5 2 1 100\n\x64\xff").unwrap(), vec![vec![255, 255]]);
        assert_eq!(rows(b"P4 9 1\n\xaa\x80").unwrap(), vec![vec![0, 255, 0, 255, 0, 255, 0, 255, 0]]);
        for damaged in
            [&b"P2 2 1 9\n1"[..], b"P2 2 1 9\n1 10", b"P5 2 1 0\n\0\0", b"P5 2 1 70000\n\0\0", b"P6 1 1 255\n\0\0"]
        {
            assert!(rows(damaged).is_err(), "{damaged:?}");
        }
    }
}
