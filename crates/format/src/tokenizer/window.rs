//! A window on a text: its next bytes, and where spaces are among them.
//!
//! All spaces are found at once, so that looking up a word does not wait for the end of the one before it.

/// Words that begin among the first bytes of a window can be read there: as many as a number has bits.
pub(super) const MARKED_BYTES: usize = u64::BITS as usize;
/// Those, and as many as a word has that is read at once.
const WINDOW_BYTES: usize = MARKED_BYTES + size_of::<u128>();

/// The bytes of a window.
pub(super) type WindowBytes = [u8; WINDOW_BYTES];

/// The next bytes of a text, and then spaces if there are no more.
pub(super) struct Window<'w> {
    pub(super) bytes: &'w WindowBytes,
    /// A bit for each space behind the first byte: for those in the text, and the one after its end.
    pub(super) spaces: u64,
}

impl<'w> Window<'w> {
    /// The window at the start of a text that is not empty. `copy` holds what is too short.
    pub(super) fn of(text: &'w [u8], copy: &'w mut WindowBytes) -> Self {
        if let Some(bytes) = text.first_chunk() {
            return Self { bytes, spaces: spaces_of(bytes) & !1 };
        }
        copy.fill(b' ');
        copy.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        let to_end = (2_u64 << text.len().min(MARKED_BYTES - 1)).wrapping_sub(1);
        Self { spaces: spaces_of(copy) & !1 & to_end, bytes: copy }
    }
}

/// A bit for each of the first bytes that is a space.
#[inline]
fn spaces_of(bytes: &WindowBytes) -> u64 {
    let (words, _) = bytes.as_chunks();
    let marked = words.iter().take(MARKED_BYTES / 8);
    marked.rev().fold(0, |spaces, word| spaces << 8 | spaces_of_word(u64::from_le_bytes(*word)))
}

/// A bit for each of the eight bytes of a number that is a space, in little-endian order.
#[inline]
fn spaces_of_word(word: u64) -> u64 {
    const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
    const HIGHEST_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    // Moves the bits of all bytes into the last one.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let others = word ^ SPACES;
    // The highest bit of each byte that is not zero. No sum leaves its byte.
    let is_other = ((others & !HIGHEST_BITS) + !HIGHEST_BITS) | others;
    ((!is_other & HIGHEST_BITS) >> 7).wrapping_mul(GATHER) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_marks_the_spaces_of_a_text_and_its_end(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'!'), Just(0xA0)], 1..200)) {
            let mut copy = [0; WINDOW_BYTES];
            let window = Window::of(&text, &mut copy);
            let byte_at = |at: usize| text.get(at).copied().unwrap_or(b' ');
            prop_assert!(window.bytes.iter().enumerate().all(|(at, &byte)| byte == byte_at(at)));
            let marked = (0..MARKED_BYTES).filter(|&at| window.spaces >> at & 1 == 1);
            let expected = (1..MARKED_BYTES).filter(|&at| at <= text.len() && byte_at(at) == b' ');
            prop_assert!(marked.eq(expected));
        }
    }
}
