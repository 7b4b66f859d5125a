//! Where the plain part of a string ends: the only search that scans every byte of annotations, twice.

use memchr::memchr3;

/// How many bytes come before the first quote, backslash or end of a line. Other control characters may be taken for one.
#[inline]
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    // Most strings are names, and end in the first bytes.
    let Some(&start) = bytes.first_chunk() else {
        return bytes.iter().take_while(|&&byte| is_plain(byte)).count();
    };
    let others = not_plain(u64::from_le_bytes(start));
    if others != 0 {
        return others.trailing_zeros() as usize / 8;
    }
    let rest = bytes.get(start.len()..).unwrap_or_default();
    start.len() + memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len())
}

fn is_plain(byte: u8) -> bool {
    !matches!(byte, b'"' | b'\\' | 0..b' ')
}

/// The highest bit of the first byte, in little-endian order, that is not plain, and perhaps of others after it.
fn not_plain(word: u64) -> u64 {
    const LOWEST_BITS: u64 = u64::from_le_bytes([1; 8]);
    // A subtraction borrows from the highest bit of a byte that is less; bytes of 128 and more have it from the start.
    let less_than = |word: u64, least: u8| word.wrapping_sub(LOWEST_BITS * u64::from(least)) & !word;
    let equal_to = |byte: u8| less_than(word ^ (LOWEST_BITS * u64::from(byte)), 1);
    (less_than(word, b' ') | equal_to(b'"') | equal_to(b'\\')) & (LOWEST_BITS << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_plain_ends_at_a_quote_backslash_or_line_end(
            start in prop::collection::vec(prop_oneof![0x20_u8..=0xFF, prop::sample::select(b"!#[] ".to_vec())], 0..100),
            rest in prop::collection::vec(prop_oneof![0_u8..=0xFF, prop::sample::select(b"\"\\\n\x1F".to_vec())], 0..40),
        ) {
            let bytes = [start, rest].concat();
            let found = plain_length(&bytes);
            prop_assert!(bytes.iter().take(found).all(|byte| !b"\"\\\n".contains(byte)));
            prop_assert!(bytes.get(found).is_none_or(|&byte| !is_plain(byte)));
        }
    }
}
