//! Bits of a scan (ITU-T T.81, annex F): the most significant first, without the zeros that are stuffed after 0xff.

use memchr::memchr;

/// Zeros behind the last bit: a reader looks at eight bytes at a time.
const NUM_SPARE_BYTES: usize = 8;

/// Bits that a reader is sure to see.
pub(super) const NUM_PEEKED: u32 = 57;

/// The coded data of a scan without stuffed zeros and restart markers.
#[derive(Debug, Default)]
pub(super) struct BitStream {
    /// Followed by [`NUM_SPARE_BYTES`] zeros.
    bytes: Vec<u8>,
}

/// A position in a stream, and the number of bits from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BitRange {
    pub(super) start: u32,
    pub(super) num_bits: u16,
}

impl BitRange {
    pub(super) fn end(self) -> u32 {
        self.start + u32::from(self.num_bits)
    }
}

impl BitStream {
    /// The data of one scan, which the end marker must follow at once, and the bit at which each restart interval ends.
    /// `None` if there is anything else in it, or if it is longer than positions can say.
    pub(super) fn of_scan(mut scan: &[u8]) -> Option<(Self, Vec<u32>)> {
        const END_OF_IMAGE: u8 = 0xd9;
        let (mut bytes, mut ends) = (Vec::with_capacity(scan.len() + NUM_SPARE_BYTES), Vec::new());
        loop {
            let at = memchr(0xff, scan)?;
            let (plain, rest) = scan.split_at_checked(at)?;
            bytes.extend_from_slice(plain);
            match rest {
                [_, 0, ..] => bytes.push(0xff),
                [_, marker @ 0xd0..=0xd7, ..] if usize::from(marker & 7) == ends.len() % 8 => {
                    ends.push(bit_position(&bytes)?);
                }
                [_, END_OF_IMAGE, ..] => {
                    ends.push(bit_position(&bytes)?);
                    bytes.extend([0; NUM_SPARE_BYTES]);
                    return Some((Self { bytes }, ends));
                }
                _ => return None,
            }
            scan = rest.get(2..)?;
        }
    }

    /// At least [`NUM_PEEKED`] bits from a position on, the first one on top. `None` behind the end.
    #[inline]
    pub(super) fn peek(&self, position: u32) -> Option<u64> {
        let bytes = self.bytes.get((position / 8) as usize..)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes) << (position % 8))
    }

    /// Appends bits, and returns where they are.
    pub(super) fn append(&mut self, bits: BitWriter) -> Option<BitRange> {
        let num_bits = u16::try_from(bits.num_bits()).ok()?;
        self.bytes.truncate(self.bytes.len().saturating_sub(NUM_SPARE_BYTES));
        let start = bit_position(&self.bytes)?;
        self.bytes.extend(bits.into_padded());
        self.bytes.extend([0; NUM_SPARE_BYTES]);
        bit_position(&self.bytes)?;
        Some(BitRange { start, num_bits })
    }
}

fn bit_position(bytes: &[u8]) -> Option<u32> {
    u32::try_from(bytes.len()).ok()?.checked_mul(8)
}

/// Bits that are being written.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The lowest bits are not yet among `bytes`.
    pending: u64,
    num_pending: u32,
}

impl BitWriter {
    /// Appends the lowest `num_bits` bits, of which there are at most 32; the bits above must be zero.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, num_bits: u32) {
        self.pending = self.pending << num_bits | u64::from(bits);
        self.num_pending += num_bits;
        if self.num_pending >= 32 {
            self.num_pending -= 32;
            self.bytes.extend(((self.pending >> self.num_pending) as u32).to_be_bytes());
        }
    }

    /// Appends bits of a stream: from a position on, so many.
    #[inline]
    pub(super) fn copy(&mut self, stream: &BitStream, (mut position, mut left): (u32, u32)) -> Option<()> {
        while left > 32 {
            self.put((stream.peek(position)? >> 32) as u32, 32);
            (position, left) = (position + 32, left - 32);
        }
        if left > 0 {
            self.put((stream.peek(position)? >> (64 - left)) as u32, left);
        }
        Some(())
    }

    fn num_bits(&self) -> usize {
        self.bytes.len() * 8 + self.num_pending as usize
    }

    /// The bytes, with ones after the last bit.
    fn into_padded(mut self) -> Vec<u8> {
        self.pad();
        self.bytes
    }

    fn pad(&mut self) {
        let num_missing = self.num_pending.next_multiple_of(8) - self.num_pending;
        let bits = self.pending << num_missing | ((1 << num_missing) - 1);
        let num_bytes = ((self.num_pending + num_missing) / 8) as usize;
        self.bytes.extend(bits.to_be_bytes().into_iter().skip(8 - num_bytes));
        (self.pending, self.num_pending) = (0, 0);
    }

    /// Appends everything to a file, with ones after the last bit and zeros after 0xff, and begins again.
    pub(super) fn finish_into(&mut self, file: &mut Vec<u8>) {
        self.pad();
        file.reserve(self.bytes.len() + self.bytes.len() / 64);
        let mut rest = &self.bytes[..];
        while let Some((stuffed, later)) = memchr(0xff, rest).and_then(|at| rest.split_at_checked(at + 1)) {
            file.extend_from_slice(stuffed);
            file.push(0);
            rest = later;
        }
        file.extend_from_slice(rest);
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_they_were_written_at_any_position() {
        let mut writer = BitWriter::default();
        let all: Vec<(u32, u32)> =
            (0..200_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> (at % 32), 32 - at % 32)).collect();
        for &(bits, num_bits) in &all {
            writer.put(bits, num_bits);
        }
        let mut stream = BitStream { bytes: vec![0xab; 3 + NUM_SPARE_BYTES] };
        let range = stream.append(writer).unwrap();
        assert_eq!(range.start, 24);
        let mut copy = BitWriter::default();
        copy.put(5, 3);
        copy.copy(&stream, (range.start, range.num_bits.into())).unwrap();
        let copy = BitStream { bytes: [copy.into_padded(), vec![0; NUM_SPARE_BYTES]].concat() };
        let mut position = 0;
        for (bits, num_bits) in all {
            for (stream, from) in [(&stream, range.start), (&copy, 3)] {
                assert_eq!((stream.peek(from + position).unwrap() >> (64 - num_bits)) as u32, bits);
            }
            position += num_bits;
        }
    }

    #[test]
    fn a_scan_is_read_without_stuffed_zeros_and_only_with_restarts_in_order() {
        let read = |scan: &[u8]| BitStream::of_scan(scan).map(|(stream, ends)| (stream.peek(0).unwrap() >> 40, ends));
        assert_eq!(read(&[1, 0xff, 0, 0xff, 0xd0, 7, 0xff, 0xd9]), Some((0x01_ff07, vec![16, 24])));
        assert_eq!(read(&[1, 0xff, 0xd1, 7, 0xff, 0xd9]), None);
        assert_eq!(read(&[1, 0xff, 0xda, 7, 0xff, 0xd9]), None);
        assert_eq!(read(&[1, 0xff, 0xff, 0xd9]), None);
        assert_eq!(read(&[1, 2, 3]), None);
        assert_eq!(read(&[1, 2, 0xff]), None);
    }

    #[test]
    fn what_is_finished_is_stuffed_and_filled_with_ones() {
        let (mut writer, mut file) = (BitWriter::default(), vec![9]);
        writer.put(0xff0, 12);
        writer.finish_into(&mut file);
        assert_eq!(file, [9, 0xff, 0, 0x0f]);
        writer.finish_into(&mut file);
        assert_eq!(file.len(), 4);
    }
}
