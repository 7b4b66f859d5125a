//! Where white space between tokens ends. Indentation is passed in words of eight bytes.

/// How many bytes of white space come first, and how many of them are control characters.
#[inline]
pub(crate) fn space_length(bytes: &[u8]) -> (usize, usize) {
    let (mut length, mut num_controls) = (0, 0);
    loop {
        let rest = bytes.get(length..).unwrap_or_default();
        match rest.first() {
            Some(b' ') => length += blanks_length(rest),
            Some(b'\n' | b'\r' | b'\t') => {
                length += 1;
                num_controls += 1;
            }
            _ => return (length, num_controls),
        }
    }
}

/// How many blanks come first.
fn blanks_length(bytes: &[u8]) -> usize {
    const BLANKS: u64 = u64::from_le_bytes([b' '; 8]);
    let (words, rest) = bytes.as_chunks();
    let mut length = 0;
    for word in words {
        let others = u64::from_le_bytes(*word) ^ BLANKS;
        if others != 0 {
            return length + others.trailing_zeros() as usize / 8;
        }
        length += word.len();
    }
    length + rest.iter().take_while(|&&byte| byte == b' ').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::grammar::is_space;

    proptest! {
        #[test]
        fn white_space_ends_before_the_first_other_byte(
            space in prop::collection::vec(prop::sample::select(b"         \n\t\r".to_vec()), 0..60),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'!'), Just(0xA0), Just(b'\x0b')], 0..20),
        ) {
            let bytes = [space, rest].concat();
            let expected: Vec<u8> = bytes.iter().copied().take_while(|&byte| is_space(byte)).collect();
            let num_controls = expected.iter().filter(|&&byte| byte != b' ').count();
            prop_assert_eq!(space_length(&bytes), (expected.len(), num_controls));
        }
    }
}
