//! Numbers in the headers of H.264 and HEVC.

/// The bits of a unit of H.264 or HEVC.
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Position of the next bit.
    next: usize,
}

impl Bits {
    /// The bits of a unit, without the bytes that keep it from looking like a start code.
    pub(super) fn of_unit(unit: &[u8]) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(unit.len());
        let mut num_zeros = 0;
        for &byte in unit {
            if num_zeros >= 2 && byte == 3 {
                num_zeros = 0;
                continue;
            }
            num_zeros = if byte == 0 { num_zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, next: 0 }
    }

    /// A number of some bits, the highest first.
    pub(super) fn number(&mut self, num_bits: usize) -> Option<u32> {
        let mut number = 0;
        for _ in 0..num_bits {
            let byte = self.bytes.get(self.next / 8)?;
            number = number << 1 | u32::from(byte >> (7 - self.next % 8) & 1);
            self.next += 1;
        }
        Some(number)
    }

    /// A number in exponential Golomb code, `ue(v)`.
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut num_zeros = 0;
        while self.number(1)? == 0 {
            num_zeros += 1;
        }
        (num_zeros < 32).then(|| self.number(num_zeros).map(|rest| (1_u32 << num_zeros) - 1 + rest))?
    }

    /// Passes over a list of factors (H.264, section 7.3.2.1.1.1).
    pub(super) fn skip_scaling_list(&mut self, num_entries: usize) -> Option<()> {
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..num_entries {
            if next != 0 {
                let code = i64::from(self.golomb()?);
                let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
                next = (last + delta).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }
}
