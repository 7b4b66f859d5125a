//! The cache of word counts: how many tokens recent words have.
//!
//! ```text
//! words before a space   up to 15 bytes    a table of 512 KiB, four-way associative
//! any parts of texts     up to 64 bytes    hash maps of bounded size
//! ```
//!
//! The table fits into the caches of a processor; a look-up touches one cache line. A smaller one for shorter words would be nearer,
//! but which of two tables a word is in is more than a processor can predict.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::window::{MARKED_BYTES, WindowBytes};
use crate::error::Cause;

/// Numbers of tokens of recent words.
#[derive(Debug)]
pub(super) struct WordCache {
    short: Box<[CacheLine; NUM_LINES]>,
    /// Words and parts of them, of any length and anywhere in a text.
    pub(super) parts: PartCounts,
    /// First words of texts, without the prefix that the model puts before them.
    pub(super) first: PartCounts,
}

/// Numbers of tokens of parts of texts.
#[derive(Debug, Default)]
pub(super) struct PartCounts(FxHashMap<Box<str>, u32>);

/// Short words before a space whose hashes are nearly the same, in one line of a processor's cache. Each word has a way of
/// its own, and moves to another when a newer word has the same; it moves back when it is looked up again.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct CacheLine([ShortWord; NUM_WAYS]);

/// A word before a space and its number of tokens in 16 bytes: the bytes of the word, then zeros, then the number of
/// bytes and the number of tokens in four bits each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ShortWord(u128);

/// Bytes of a word that leave one of 16 bytes for its counts.
const MAX_SHORT_BYTES: usize = 15;
const NUM_BYTES_SHIFT: u32 = 8 * MAX_SHORT_BYTES as u32;
const NUM_TOKENS_SHIFT: u32 = NUM_BYTES_SHIFT + 4;
/// The largest number of tokens in four bits.
const MAX_SHORT_TOKENS: usize = 15;
/// 512 KiB of lines of short words.
const NUM_LINES: usize = 1 << 13;
/// Words in a line.
const NUM_WAYS: usize = 4;
/// Leaves the highest bits of a hash, as many as number all ways.
const HASH_SHIFT: u32 = u64::BITS - (NUM_LINES * NUM_WAYS).ilog2();
/// An odd number without a pattern (2⁶⁴ over the golden ratio): the highest bits of a product with it depend on all bits of
/// the other number.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What words of a length have in common.
#[derive(Clone, Copy)]
struct OfLength {
    /// The bits of their bytes.
    mask: u128,
    /// Their number of bytes.
    count: u128,
}

/// By length in bytes. Shifts of 128 bits by numbers that are not constant are several times as slow as reading this.
#[expect(clippy::indexing_slicing, reason = "there is an element for each length")]
const OF_LENGTHS: [OfLength; MAX_SHORT_BYTES + 1] = {
    let mut lengths = [OfLength { mask: 0, count: 0 }; MAX_SHORT_BYTES + 1];
    let mut num_bytes = 0;
    while num_bytes <= MAX_SHORT_BYTES {
        lengths[num_bytes] =
            OfLength { mask: (1 << (8 * num_bytes)) - 1, count: (num_bytes as u128) << NUM_BYTES_SHIFT };
        num_bytes += 1;
    }
    lengths
};

/// Longer parts of texts are hardly ever seen twice, and are not cached.
pub(super) const MAX_LONG_BYTES: usize = 64;
/// When a hash map has this many parts, all are forgotten: about a megabyte.
const MAX_PARTS: usize = 1 << 14;

#[expect(clippy::indexing_slicing, reason = "lines and ways are taken modulo their number")]
impl WordCache {
    /// How many tokens the word in a window has that begins among its marked bytes, if it is known as a word before a space. Only its
    /// own way is looked at.
    #[inline]
    pub(super) fn get_in_window(&self, window: &WindowBytes, word: Range<usize>) -> Option<usize> {
        let OfLength { mask, count } = *OF_LENGTHS.get(word.end - word.start)?;
        let start = word.start % MARKED_BYTES;
        let bytes = window.get(start..)?.first_chunk()?;
        let word = ShortWord(u128::from_le_bytes(*bytes) & mask | count);
        let (line, way) = word.line_and_way();
        let known = self.short[line].0[way];
        known.is_same_word(word).then(|| known.num_tokens())
    }

    /// How many tokens a whole word has, if it is known as a word before a space. It gets back its own way, so that of words with the same
    /// way the one that is more frequent is there most of the time.
    pub(super) fn get_short(&mut self, word: &str) -> Option<usize> {
        let word = ShortWord::new(word, 0)?;
        let (line, way) = word.line_and_way();
        let CacheLine(line) = &mut self.short[line];
        let found = (0..NUM_WAYS).map(|nth| way ^ nth).find(|&other| line[other].is_same_word(word))?;
        line.swap(way, found);
        Some(line[way].num_tokens())
    }

    /// Remembers a word after which a space would start another one, if it is short.
    pub(super) fn insert_to_space(&mut self, word: &str, num_tokens: usize) {
        let Some(word) = ShortWord::new(word, num_tokens) else { return };
        let (line, way) = word.line_and_way();
        let CacheLine(line) = &mut self.short[line];
        if !line.iter().any(|known| known.is_same_word(word)) {
            // The word that was there moves on to the next way, until one is free. The last one is forgotten.
            let mut moved = word;
            for nth in 0..NUM_WAYS {
                moved = std::mem::replace(&mut line[way ^ nth], moved);
                if moved == ShortWord::default() {
                    break;
                }
            }
        }
    }
}

impl Default for WordCache {
    fn default() -> Self {
        // A free way holds the empty word, which is never looked up.
        let short = vec![CacheLine::default(); NUM_LINES].into_boxed_slice();
        #[expect(clippy::expect_used, reason = "they are as many")]
        let short = short.try_into().expect("a slice of as many lines");
        Self { short, parts: PartCounts::default(), first: PartCounts::default() }
    }
}

impl PartCounts {
    pub(super) fn get(&self, part: &str) -> Option<usize> {
        self.0.get(part).map(|&num_tokens| num_tokens as usize)
    }

    /// Remembers the count of a part, if the part is not too long.
    pub(super) fn insert(&mut self, part: &str, num_tokens: usize) {
        if let (Ok(num_tokens), ..=MAX_LONG_BYTES) = (u32::try_from(num_tokens), part.len()) {
            if self.0.len() >= MAX_PARTS {
                self.0.clear();
            }
            self.0.insert(part.into(), num_tokens);
        }
    }

    /// The number of tokens of a part.
    pub(super) fn get_or_count(
        &mut self,
        part: &str,
        count: impl FnOnce(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        if let Some(known) = self.get(part) {
            return Ok(known);
        }
        let num_tokens = count(part)?;
        self.insert(part, num_tokens);
        Ok(num_tokens)
    }
}

impl ShortWord {
    fn new(word: &str, num_tokens: usize) -> Option<Self> {
        let mut bytes = [0; 16];
        let of_word = bytes.get_mut(..word.len()).filter(|_| (1..=MAX_SHORT_BYTES).contains(&word.len()))?;
        of_word.copy_from_slice(word.as_bytes());
        let counts = (word.len() as u128) << NUM_BYTES_SHIFT | (num_tokens as u128) << NUM_TOKENS_SHIFT;
        (num_tokens <= MAX_SHORT_TOKENS).then_some(Self(u128::from_le_bytes(bytes) | counts))
    }

    /// Without the number of tokens.
    fn is_same_word(self, other: Self) -> bool {
        let differences = self.0 ^ other.0;
        (differences as u64) | ((differences >> 64) as u64) << 4 == 0
    }

    fn num_tokens(self) -> usize {
        (self.0 >> NUM_TOKENS_SHIFT) as usize
    }

    /// The line of the word, and its own way there.
    fn line_and_way(self) -> (usize, usize) {
        let start = (self.0 as u64).wrapping_mul(MULTIPLIER);
        let end = ((self.0 >> 64) as u64 & u64::MAX >> 4).wrapping_mul(MULTIPLIER.rotate_left(32));
        let hash = (start.wrapping_add(end) >> HASH_SHIFT) as usize;
        (hash / NUM_WAYS, hash % NUM_WAYS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::window::Window;

    #[test]
    fn words_that_differ_in_trailing_zeros_are_different() {
        let word = |word| ShortWord::new(word, 0).unwrap();
        assert!(!word("a").is_same_word(word("a\0")));
        assert!(ShortWord::new("abcdefghijklmnop", 0).is_none());
        assert!(ShortWord::new("", 0).is_none());
    }

    #[test]
    fn a_number_of_tokens_is_kept_beside_its_word() {
        let word = ShortWord::new("abcdefghijklmno", 15).unwrap();
        assert_eq!(word.num_tokens(), 15);
        assert!(word.is_same_word(ShortWord::new("abcdefghijklmno", 3).unwrap()));
        assert!(ShortWord::new("abcdefghijklmno", 16).is_none());
    }

    #[test]
    fn as_many_words_as_a_line_has_ways_are_remembered() {
        let mut cache = WordCache::default();
        let word = |number: usize| format!(" {number:08}");
        let line_of = |number| ShortWord::new(&word(number), 0).unwrap().line_and_way().0;
        let of_line: Vec<usize> = (0..1_000_000).filter(|&number| line_of(number) == line_of(0)).collect();
        assert!(of_line.len() > NUM_WAYS);
        for (index, &number) in of_line.iter().enumerate() {
            cache.insert_to_space(&word(number), 1);
            let num_known = of_line.iter().filter(|&&number| cache.get_short(&word(number)).is_some()).count();
            assert_eq!(num_known, NUM_WAYS.min(index + 1));
        }
    }

    #[test]
    fn a_word_that_is_seen_again_gets_back_its_own_way() {
        let mut cache = WordCache::default();
        let word = |number: usize| format!(" {number:08}");
        let place_of = |number| ShortWord::new(&word(number), 0).unwrap().line_and_way();
        let second = (1..1_000_000).find(|&number| place_of(number) == place_of(0)).unwrap();
        cache.insert_to_space(&word(0), 3);
        cache.insert_to_space(&word(second), 4);
        for (moved, num_tokens) in [(0, 3), (second, 4)] {
            assert_eq!(first_in_window(&cache, &word(moved)), None);
            assert_eq!(cache.get_short(&word(moved)), Some(num_tokens));
            assert_eq!(first_in_window(&cache, &word(moved)), Some((9, num_tokens)));
        }
    }

    #[test]
    fn parts_are_bounded_and_long_ones_are_not_kept() {
        let mut parts = PartCounts::default();
        for number in 0..=MAX_PARTS {
            let part = format!("number {number}");
            assert_eq!(parts.get_or_count(&part, |part| Ok(part.len())).unwrap(), part.len());
        }
        assert_eq!(parts.0.len(), 1);
        let long = "a".repeat(MAX_LONG_BYTES + 1);
        assert_eq!(parts.get_or_count(&long, |part| Ok(part.len())).unwrap(), long.len());
        assert_eq!(parts.get(&long), None);
    }

    /// The first word of a text, looked up in its window.
    fn first_in_window(cache: &WordCache, text: &str) -> Option<(usize, usize)> {
        let mut copy = [0; _];
        let Window { bytes, spaces } = Window::of(text.as_bytes(), &mut copy);
        let end = spaces.trailing_zeros() as usize;
        cache.get_in_window(bytes, 0..end).map(|num_tokens| (end, num_tokens))
    }

    #[test]
    fn words_are_found_before_a_space_or_the_end() {
        let mut cache = WordCache::default();
        let words = ["a", "ab", " a", "seven b", "é", "eight-by", "fifteen-letters"];
        (1..).zip(words).for_each(|(num_tokens, word)| cache.insert_to_space(word, num_tokens));
        assert_eq!(first_in_window(&cache, "a text  "), Some((1, 1)));
        assert_eq!(first_in_window(&cache, "ab text "), Some((2, 2)));
        assert_eq!(first_in_window(&cache, " a text "), Some((2, 3)));
        assert_eq!(first_in_window(&cache, "é text"), Some((2, 5)));
        assert_eq!(first_in_window(&cache, "é"), Some((2, 5)));
        assert_eq!(first_in_window(&cache, "abc text"), None);
        assert_eq!(first_in_window(&cache, "eight-by"), Some((8, 6)));
        assert_eq!(first_in_window(&cache, "eight-by something"), Some((8, 6)));
        assert_eq!(first_in_window(&cache, "fifteen-letters are too many"), Some((15, 7)));
        assert_eq!(first_in_window(&cache, "fifteen-letters."), None);
        assert_eq!(first_in_window(&cache, &"a".repeat(200)), None);
    }

    proptest! {
        #[test]
        fn a_word_is_found_wherever_it_is_in_a_window(word in "[a-zé!]{1,15}", start in 0..MARKED_BYTES) {
            prop_assume!(word.len() <= MAX_SHORT_BYTES);
            let mut cache = WordCache::default();
            cache.insert_to_space(&word, 3);
            let text = "x".repeat(start) + &word + &" y".repeat(50);
            let mut copy = [0; _];
            let Window { bytes, .. } = Window::of(text.as_bytes(), &mut copy);
            prop_assert_eq!(cache.get_in_window(bytes, start..start + word.len()), Some(3));
            prop_assert_eq!(cache.get_in_window(bytes, start..start + word.len() + 1), None);
        }

        #[test]
        fn every_byte_of_a_word_decides_where_it_is(word in "[a-z]{2,15}", at in 0_usize..15) {
            // Of words that differ in one byte, few have the same line and way.
            let mut bytes = word.clone().into_bytes();
            let at = at % bytes.len();
            let places: std::collections::BTreeSet<_> = (b'a'..=b'z').map(|byte| {
                bytes[at] = byte;
                ShortWord::new(str::from_utf8(&bytes).unwrap(), 0).unwrap().line_and_way()
            }).collect();
            prop_assert!(places.len() >= 24, "{} places", places.len());
        }
    }
}
