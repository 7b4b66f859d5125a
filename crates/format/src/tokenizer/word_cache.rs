//! The cache of word counts: how many tokens recent words have.
//!
//! ```text
//! words before a space   up to 15 bytes    a table of 512 KiB, four-way associative
//! any parts of texts     up to 64 bytes    hash maps of bounded size
//! ```
//!
//! The table fits into the caches of a processor; a look-up touches one cache line. A smaller one for shorter words would be nearer,
//! but which of two tables a word is in is more than a processor can predict.

use rustc_hash::FxHashMap;

use crate::error::Cause;

/// Numbers of tokens of recent words.
#[derive(Debug)]
pub(super) struct WordCache {
    short: Vec<CacheLine>,
    /// Words and parts of them, of any length and anywhere in a text.
    pub(super) parts: PartCounts,
    /// First words of texts, without the prefix that the model puts before them.
    pub(super) first: PartCounts,
}

/// Numbers of tokens of parts of texts.
#[derive(Debug, Default)]
pub(super) struct PartCounts(FxHashMap<Box<str>, u32>);

/// Short words before a space whose hashes are nearly the same, in one line of a processor's cache. Each word has a way of
/// its own, and moves to another when a newer word has the same.
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
    /// How many bytes the first word of a text has, and how many tokens, if it is known as a word before a space.
    #[inline]
    pub(super) fn get_to_space(&self, text: &[u8]) -> Option<(usize, usize)> {
        let word =
            ShortWord::first_of(u128::from_le_bytes(text.first_chunk().copied().unwrap_or_else(|| padded(text))))?;
        Some((word.num_bytes(), self.num_tokens(word)?))
    }

    /// How many tokens a whole word has, if it is known as a word before a space.
    pub(super) fn get_short(&self, word: &str) -> Option<usize> {
        self.num_tokens(ShortWord::new(word, 0)?)
    }

    #[inline]
    fn num_tokens(&self, word: ShortWord) -> Option<usize> {
        let (line, way) = word.line_and_way();
        let CacheLine(line) = &self.short[line];
        // Most words are in their own way, so the processor nearly always predicts the first comparison correctly.
        let known = (0..NUM_WAYS).map(|nth| line[way ^ nth]).find(|known| known.is_same_word(word))?;
        Some(known.num_tokens())
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
        Self {
            short: vec![CacheLine::default(); NUM_LINES],
            parts: PartCounts::default(),
            first: PartCounts::default(),
        }
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

/// A text of less than 16 bytes, followed by spaces.
fn padded(text: &[u8]) -> [u8; 16] {
    let mut bytes = [b' '; 16];
    for (to, from) in bytes.iter_mut().zip(text) {
        *to = *from;
    }
    bytes
}

impl ShortWord {
    fn new(word: &str, num_tokens: usize) -> Option<Self> {
        let mut bytes = [0; 16];
        let of_word = bytes.get_mut(..word.len()).filter(|_| (1..=MAX_SHORT_BYTES).contains(&word.len()))?;
        of_word.copy_from_slice(word.as_bytes());
        let counts = (word.len() as u128) << NUM_BYTES_SHIFT | (num_tokens as u128) << NUM_TOKENS_SHIFT;
        (num_tokens <= MAX_SHORT_TOKENS).then_some(Self(u128::from_le_bytes(bytes) | counts))
    }

    /// The first word of 16 bytes in little-endian order, without tokens. It ends before the first space after the
    /// first byte.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "lengths are taken modulo their number")]
    fn first_of(bytes: u128) -> Option<Self> {
        const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
        const LOWEST_BITS: u64 = u64::from_le_bytes([1; 8]);
        // The highest bit of the first byte that is zero, and perhaps of others after it.
        let zeros = |bytes: u64| bytes.wrapping_sub(LOWEST_BITS) & !bytes & (LOWEST_BITS << 7);
        // Zero where a space is, but not in the first byte. In halves, which processors can count in.
        let first_spaces = zeros((bytes as u64 ^ SPACES) | 0xFF);
        let last_spaces = zeros((bytes >> 64) as u64 ^ SPACES);
        let num_bytes = match first_spaces {
            0 => 8 + last_spaces.trailing_zeros() / 8,
            spaces => spaces.trailing_zeros() / 8,
        };
        let is_found = (first_spaces | last_spaces) != 0;
        is_found.then(|| {
            let OfLength { mask, count } = OF_LENGTHS[num_bytes as usize % OF_LENGTHS.len()];
            Self(bytes & mask | count)
        })
    }

    fn is_same_word(self, other: Self) -> bool {
        (self.0 ^ other.0) << 4 == 0
    }

    fn num_bytes(self) -> usize {
        (self.0 >> NUM_BYTES_SHIFT) as usize & 0xF
    }

    fn num_tokens(self) -> usize {
        (self.0 >> NUM_TOKENS_SHIFT) as usize
    }

    /// The line of the word, and its own way there.
    fn line_and_way(self) -> (usize, usize) {
        let word = self.0 << 4;
        let start = (word as u64).wrapping_mul(MULTIPLIER);
        let end = ((word >> 64) as u64).wrapping_mul(MULTIPLIER.rotate_left(32));
        let hash = (start.wrapping_add(end) >> 32) as usize;
        (hash / NUM_WAYS % NUM_LINES, hash % NUM_WAYS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!((word.num_bytes(), word.num_tokens()), (15, 15));
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
            let is_known = |number| cache.get_to_space(word(number).as_bytes()).is_some();
            assert_eq!(of_line.iter().filter(|&&number| is_known(number)).count(), NUM_WAYS.min(index + 1));
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

    #[test]
    fn words_are_found_before_a_space_or_the_end() {
        let mut cache = WordCache::default();
        let words = ["a", "ab", " a", "seven b", "é", "eight-by", "fifteen-letters"];
        (1..).zip(words).for_each(|(num_tokens, word)| cache.insert_to_space(word, num_tokens));
        assert_eq!(cache.get_to_space(b"a text  "), Some((1, 1)));
        assert_eq!(cache.get_to_space(b"ab text "), Some((2, 2)));
        assert_eq!(cache.get_to_space(b" a text "), Some((2, 3)));
        assert_eq!(cache.get_to_space("é text".as_bytes()), Some((2, 5)));
        assert_eq!(cache.get_to_space("é".as_bytes()), Some((2, 5)));
        assert_eq!(cache.get_to_space(b"abc text"), None);
        assert_eq!(cache.get_to_space(b"eight-by"), Some((8, 6)));
        assert_eq!(cache.get_to_space(b"eight-by something"), Some((8, 6)));
        assert_eq!(cache.get_to_space(b"fifteen-letters are too many"), Some((15, 7)));
        assert_eq!(cache.get_to_space(b"fifteen-letters."), None);
    }

    proptest! {
        #[test]
        fn a_word_ends_at_the_first_space(bytes: [u8; 16], known in prop::collection::vec(prop::sample::select(vec![None, Some(b' '), Some(b'!')]), 16)) {
            let mut bytes = bytes;
            bytes.iter_mut().zip(known).for_each(|(byte, known)| *byte = known.unwrap_or(*byte));
            let end = bytes.iter().skip(1).position(|&byte| byte == b' ').map(|at| at + 1);
            let short = ShortWord::first_of(u128::from_le_bytes(bytes));
            prop_assert_eq!(short.map(ShortWord::num_bytes), end);
            prop_assert_eq!(short.map(|word| word.0.to_le_bytes()[..word.num_bytes()].to_vec()), end.map(|end| bytes[..end].to_vec()));
        }
    }
}
