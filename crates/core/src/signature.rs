//! Signatures: short numbers that are equal for equal things, and different for nearly all others.
//!
//! They find candidates; whether two things are equal must be checked. Identities are digests: see `digest.rs`.

use twox_hash::XxHash3_64;

/// A 64-bit signature of a sequence of fields. The same on every machine and in every version: index files keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signature(u64);

impl Signature {
    /// Adds bytes. Where one field ends and the next one begins matters.
    pub fn push(&mut self, field: &[u8]) {
        self.push_number(XxHash3_64::oneshot(field));
    }

    /// Adds a number.
    pub fn push_number(&mut self, field: u64) {
        // The multiplier of Knuth's multiplicative hashing: 2⁶⁴ divided by the golden ratio.
        self.0 = (self.0.rotate_left(23) ^ field).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// The signature.
    pub fn bits(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits<const N: usize>(fields: [&str; N]) -> u64 {
        let mut signature = Signature::default();
        for field in fields {
            signature.push(field.as_bytes());
        }
        signature.bits()
    }

    #[test]
    fn fields_and_their_order_matter() {
        let all = [bits([]), bits([""]), bits(["a", "b"]), bits(["b", "a"]), bits(["ab"]), bits(["ab", ""])];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one), "{index}");
        }
    }

    #[test]
    fn a_signature_never_changes() {
        // XXH3 of the empty text is 2d06800538d394c2, as its specification says.
        assert_eq!(bits([""]), Signature(0x2D06_8005_38D3_94C2_u64.wrapping_mul(0x9E37_79B9_7F4A_7C15)).bits());
    }
}
