//! The bits of a VP8 frame, each of a probability of its own.

/// An even chance.
pub(super) const EVEN: u8 = 128;

/// Reads bits of given probabilities (RFC 6386, section 7); behind the end these are of zeros.
pub(super) struct BoolReader<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Bits that were loaded, and how many of them are not decided, less eight.
    value: u64,
    num_bits: i32,
    range: u32,
    is_within: bool,
}

impl<'a> BoolReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, value: 0, num_bits: -8, range: 255, is_within: true }
    }

    /// Whether nothing was read behind the end.
    pub(super) fn is_within(&self) -> bool {
        self.is_within
    }

    #[inline]
    pub(super) fn bit(&mut self, probability: u8) -> bool {
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

    pub(super) fn flag(&mut self) -> bool {
        self.bit(EVEN)
    }

    pub(super) fn number(&mut self, num_bits: u32) -> u32 {
        (0..num_bits).fold(0, |number, _| (number << 1) | u32::from(self.flag()))
    }

    /// A flag and, if it is set, a number and its sign.
    pub(super) fn optional_signed(&mut self, num_bits: u32) {
        if self.flag() {
            self.number(num_bits + 1);
        }
    }
}
