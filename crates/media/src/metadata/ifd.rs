//! Directories of tags: EXIF, the index of an MPO, and TIFF itself (TIFF 6.0, section 2; BigTIFF).
//!
//! It reads what is there of a damaged directory and says whether it is sound: whether Pillow reads it without a warning.

/// The tag of EXIF and TIFF that says how an image is turned.
pub(crate) const ORIENTATION: u16 = 0x0112;

/// A directory of tags.
#[derive(Debug)]
pub(crate) struct Ifd<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
    is_big_tiff: bool,
    entries: Vec<Entry>,
    is_sound: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    /// First byte of its values, and their number of bytes; all of them are there.
    start: usize,
    num_bytes: usize,
}

/// What was found at the place of an entry.
enum Found {
    /// An entry, or one of an unknown type, which readers skip.
    Entry,
    /// Values that are larger than the file; readers skip them with a warning.
    TooLarge,
    /// Nothing that can be read.
    End,
}

/// How entries are laid out: classic TIFF or BigTIFF.
struct Layout {
    size_of_count: usize,
    entry_bytes: usize,
    /// Size of an offset, and of values that are kept in their entry.
    offset_bytes: usize,
}

const CLASSIC: Layout = Layout { size_of_count: 2, entry_bytes: 12, offset_bytes: 4 };
const BIG: Layout = Layout { size_of_count: 8, entry_bytes: 20, offset_bytes: 8 };

/// Most tags that a directory may have: what two bytes can say.
const MOST_ENTRIES: u64 = 65_535;

impl<'a> Ifd<'a> {
    /// The first directory of a TIFF structure; `None` if there is no header, or no directory where it points.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (is_little_endian, is_big_tiff) = match bytes {
            [b'I', b'I', 42, 0, ..] | [b'I', b'I', 0, 42, ..] => (true, false),
            [b'M', b'M', 0, 42, ..] | [b'M', b'M', 42, 0, ..] => (false, false),
            [b'I', b'I', 43, 0, 8, 0, 0, 0, ..] => (true, true),
            [b'M', b'M', 0, 43, 0, 8, 0, 0, ..] => (false, true),
            _ => return None,
        };
        let mut ifd = Self { bytes, is_little_endian, is_big_tiff, entries: Vec::new(), is_sound: true };
        let layout = if is_big_tiff { BIG } else { CLASSIC };
        let start = usize::try_from(ifd.number(layout.offset_bytes, layout.offset_bytes)?).ok()?;
        let num_entries = ifd.number(start, layout.size_of_count)?;
        let first = start + layout.size_of_count;
        let mut num_value_bytes = 0;
        for index in 0..num_entries.min(MOST_ENTRIES) as usize {
            match ifd.read_entry(first + index * layout.entry_bytes, &layout, &mut num_value_bytes) {
                Found::Entry => {}
                Found::TooLarge => ifd.is_sound = false,
                Found::End => {
                    ifd.is_sound = false;
                    return Some(ifd);
                }
            }
        }
        let end = first + num_entries.min(MOST_ENTRIES) as usize * layout.entry_bytes;
        ifd.is_sound &= num_entries <= MOST_ENTRIES && ifd.number(end, layout.offset_bytes).is_some();
        Some(ifd)
    }

    /// Whether every tag is there with all of its values, and the directory has an end.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Whether the structure is BigTIFF.
    pub(crate) fn is_big_tiff(&self) -> bool {
        self.is_big_tiff
    }

    pub(crate) fn is_little_endian(&self) -> bool {
        self.is_little_endian
    }

    /// Whether the tag is there.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The bytes of a tag's values.
    pub(crate) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let entry = self.entry(tag)?;
        self.bytes.get(entry.start..entry.start + entry.num_bytes)
    }

    /// The only value of a tag, if it is a whole number.
    pub(crate) fn unsigned(&self, tag: u16) -> Option<u64> {
        match self.unsigned_list(tag)?[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The values of a tag, if they are whole numbers; negative ones are none.
    pub(crate) fn unsigned_list(&self, tag: u16) -> Option<Vec<u64>> {
        let entry = self.entry(tag)?;
        let (size, is_signed) = match entry.kind {
            1 => (1, false),
            6 => (1, true),
            3 => (2, false),
            8 => (2, true),
            4 | 13 => (4, false),
            9 => (4, true),
            16 | 18 => (8, false),
            17 => (8, true),
            _ => return None,
        };
        let values = (entry.start..entry.start + entry.num_bytes).step_by(size).map(|at| self.number(at, size));
        let is_negative = |value: u64| is_signed && value >> (8 * size - 1) != 0;
        values.map(|value| value.filter(|&value| !is_negative(value))).collect()
    }

    /// What the tag of the orientation says, as Pillow understands it: the first value of a number, of whatever type but a byte; 0 if that
    /// is no orientation. `None` without such a tag.
    pub(crate) fn orientation(&self) -> Option<u8> {
        let entry = self.entry(ORIENTATION)?;
        let equals = |orientation: &u8| self.is_first_value(entry, *orientation).unwrap_or_default();
        Some((1..=8).find(equals).unwrap_or_default())
    }

    /// Whether the first value of an entry is this number.
    fn is_first_value(&self, entry: Entry, expected: u8) -> Option<bool> {
        let size = size_of_kind(entry.kind.into())? as usize;
        let bits = self.number(entry.start, size)?;
        Some(match entry.kind {
            // Bytes and text.
            1 | 2 | 7 => false,
            5 | 10 => {
                let number = |at| self.number(at, 4).map(|bits| bits as u32);
                let (above, below) = (number(entry.start)?, number(entry.start + 4)?);
                let (above, below) = match entry.kind {
                    10 => (i64::from(above.cast_signed()), i64::from(below.cast_signed())),
                    _ => (i64::from(above), i64::from(below)),
                };
                below != 0 && above == i64::from(expected) * below
            }
            11 => bits == u64::from(f32::from(expected).to_bits()),
            12 => bits == f64::from(expected).to_bits(),
            // Negative ones have a bit that none of these has.
            _ => bits == u64::from(expected),
        })
    }

    /// Whether the orientation, if there is one, is stated as EXIF requires it.
    pub(crate) fn has_usual_orientation(&self) -> bool {
        let is_usual =
            |entry: Entry| entry.kind == 3 && self.unsigned(ORIENTATION).is_some_and(|o| (1..=8).contains(&o));
        self.entry(ORIENTATION).is_none_or(is_usual)
    }

    /// The first values of a tag, if they are fractions.
    pub(crate) fn fractions<const N: usize>(&self, tag: u16) -> Option<[f64; N]> {
        let entry = self.entry(tag).filter(|entry| entry.kind == 5)?;
        let number = |at| self.number(at, 4).map(|number| number as f64);
        let at = (entry.start..entry.start + entry.num_bytes).step_by(8);
        let values: Option<Vec<f64>> = at.map(|at| Some(number(at)? / number(at + 4)?)).collect();
        values?.first_chunk::<N>().copied()
    }

    fn entry(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.tag == tag).copied()
    }

    /// Reads an entry, as Pillow does: values that are larger than the file are skipped, and missing ones end the directory.
    fn read_entry(&mut self, start: usize, layout: &Layout, num_value_bytes: &mut usize) -> Found {
        let (Some(tag), Some(kind)) = (self.number(start, 2), self.number(start + 2, 2)) else { return Found::End };
        let value = start + 4 + layout.offset_bytes;
        let (Some(count), Some(offset)) =
            (self.number(start + 4, layout.offset_bytes), self.number(value, layout.offset_bytes))
        else {
            return Found::End;
        };
        let Some(size) = size_of_kind(kind) else { return Found::Entry };
        // Two types of BigTIFF that Pillow does not know.
        if tag == u64::from(ORIENTATION) && matches!(kind, 17 | 18) {
            return Found::Entry;
        }
        let Some(num_bytes) = count.checked_mul(size).and_then(|size| usize::try_from(size).ok()) else {
            return Found::TooLarge;
        };
        let mut start = value;
        if num_bytes > layout.offset_bytes {
            *num_value_bytes = num_value_bytes.saturating_add(num_bytes);
            if *num_value_bytes > self.bytes.len() {
                return Found::TooLarge;
            }
            start = usize::try_from(offset).unwrap_or(usize::MAX);
        }
        if start.checked_add(num_bytes).is_none_or(|end| end > self.bytes.len()) {
            return Found::End;
        }
        // Of a tag that is there twice, readers use the first; one without a value is none.
        if num_bytes > 0 && !self.has(tag as u16) {
            self.entries.push(Entry { tag: tag as u16, kind: kind as u16, start, num_bytes });
        }
        Found::Entry
    }

    /// A number of 1, 2, 4 or 8 bytes.
    fn number(&self, start: usize, num_bytes: usize) -> Option<u64> {
        let bytes = self.bytes.get(start..start.checked_add(num_bytes)?)?;
        let shift = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.is_little_endian { bytes.iter().rev().fold(0, shift) } else { bytes.iter().fold(0, shift) })
    }
}

/// Size of a value in bytes; `None` for unknown types, which readers skip.
fn size_of_kind(kind: u64) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &[u8] = b"II*\0\x08\0\0\0\x02\0\
        \x12\x01\x03\0\x01\0\0\0\x06\0\0\0\
        \x1a\x01\x05\0\x01\0\0\0\x26\0\0\0\
        \0\0\0\0\
        \x48\0\0\0\x01\0\0\0";

    #[test]
    fn values_are_read_from_their_entry_or_from_where_it_points() {
        let ifd = Ifd::parse(DIRECTORY).unwrap();
        assert!(ifd.is_sound());
        assert_eq!(ifd.unsigned(0x0112), Some(6));
        assert_eq!(ifd.bytes(0x011a), Some(&b"\x48\0\0\0\x01\0\0\0"[..]));
        assert_eq!(ifd.unsigned(0x011a), None);
    }

    #[test]
    fn what_precedes_the_damage_is_read() {
        let ifd = Ifd::parse(&DIRECTORY[..40]).unwrap();
        assert!(!ifd.is_sound());
        assert_eq!(ifd.unsigned(0x0112), Some(6));
        assert!(!ifd.has(0x011a));
    }
}
