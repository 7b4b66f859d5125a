//! What is known of words: their numbers of tokens.
//!
//! ```text
//! words before a space   up to  7 bytes    a table of 64 KiB, two places each
//!                        up to 15 bytes    a table of 512 KiB, four places each
//! any pieces of texts    up to 64 bytes    hash maps of bounded size
//! ```

use rustc_hash::FxHashMap;

use super::Cause;

/// Numbers of tokens of recent words.
#[derive(Debug)]
pub(super) struct WordCache {
    shortest: Vec<[ShortestWord; 2]>,
    short: Vec<Row>,
    /// Words, or pieces of them, of any length and wherever they stand.
    pub(super) pieces: Pieces,
    /// First words of texts, without the prefix that the model puts before them.
    pub(super) first: Pieces,
}

/// Numbers of tokens of pieces of texts.
#[derive(Debug, Default)]
pub(super) struct Pieces(FxHashMap<Box<str>, u32>);

/// A word before a space and its number of tokens in 8 bytes: the bytes of the word, then zeros; in four bits each, how many
/// they are and the tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ShortestWord(u64);

/// Short words before a space whose keys have nearly the same hash; one line of a processor's cache. Each has a place of its own, and is
/// found in another one if a newer word has the same.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Row([ShortWord; PLACES]);

/// A word and its number of tokens in 16 bytes, as in a [`ShortestWord`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ShortWord(u128);

const MAX_SHORTEST_BYTES: usize = 7;
const NUM_PAIRS: usize = 1 << 12;
const MAX_SHORT_BYTES: usize = 15;
const NUM_BYTES_SHIFT: u32 = 8 * MAX_SHORT_BYTES as u32;
const NUM_TOKENS_SHIFT: u32 = NUM_BYTES_SHIFT + 4;
const MAX_SHORT_TOKENS: usize = 15;
const NUM_ROWS: usize = 1 << 13;
/// Words in a row.
const PLACES: usize = 4;
/// An odd number without a pattern: the highest bits of a product with it depend on all bits of the other number.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Longer words are not remembered.
pub(super) const MAX_LONG_BYTES: usize = 64;
/// When there are as many, all are forgotten.
const MAX_PIECES: usize = 1 << 14;

impl WordCache {
    /// How many bytes the first word of a text has, and how many tokens, if it is known as one before a space.
    #[inline]
    pub(super) fn get_to_space(&self, text: &[u8]) -> Option<(usize, usize)> {
        if let Some(&start) = text.first_chunk()
            && let Some(word) = ShortestWord::first_of(u64::from_le_bytes(start))
        {
            // Without a branch between the two: which one it is cannot be guessed.
            let &[newer, older] = self.shortest.get(word.pair())?;
            let known = if newer.is_same_word(word) { newer } else { older };
            return known.is_same_word(word).then(|| (word.num_bytes(), known.num_tokens()));
        }
        let word =
            ShortWord::first_of(u128::from_le_bytes(text.first_chunk().copied().unwrap_or_else(|| padded(text))))?;
        let (row, place) = word.row_and_place();
        let Row(row) = self.short.get(row)?;
        // Most words are in their own place: a guess of the processor that is nearly always right.
        let known = (0..PLACES).map(|nth| row[place ^ nth]).find(|known| known.is_same_word(word))?;
        Some((word.num_bytes(), known.num_tokens()))
    }

    /// Remembers a word after which a space would start another one, if it is short.
    pub(super) fn insert_to_space(&mut self, word: &str, num_tokens: usize) {
        let Some(word) = ShortWord::new(word, num_tokens) else { return };
        // At the end of a text, the shortest words are looked for among the short ones.
        if let Some(shortest) = word.shortest()
            && let Some(pair) = self.shortest.get_mut(shortest.pair())
            && !pair.iter().any(|known| known.is_same_word(shortest))
        {
            let [newer, _forgotten] = *pair;
            *pair = [shortest, newer];
        }
        let (row, place) = word.row_and_place();
        if let Some(Row(row)) = self.short.get_mut(row)
            && !row.iter().any(|known| known.is_same_word(word))
        {
            // Who was there moves on to the next place, up to one that is free; who leaves the last one is forgotten.
            let mut moved = word;
            for nth in 0..PLACES {
                moved = std::mem::replace(&mut row[place ^ nth], moved);
                if moved == ShortWord::default() {
                    break;
                }
            }
        }
    }
}

impl Default for WordCache {
    fn default() -> Self {
        // An empty place is that of an empty word, which is never looked up.
        Self {
            shortest: vec![[ShortestWord::default(); 2]; NUM_PAIRS],
            short: vec![Row::default(); NUM_ROWS],
            pieces: Pieces::default(),
            first: Pieces::default(),
        }
    }
}

impl Pieces {
    pub(super) fn get(&self, piece: &str) -> Option<usize> {
        self.0.get(piece).map(|&num_tokens| num_tokens as usize)
    }

    /// Remembers a piece, if it is not too long.
    pub(super) fn insert(&mut self, piece: &str, num_tokens: usize) {
        if let (Ok(num_tokens), ..=MAX_LONG_BYTES) = (u32::try_from(num_tokens), piece.len()) {
            if self.0.len() >= MAX_PIECES {
                self.0.clear();
            }
            self.0.insert(piece.into(), num_tokens);
        }
    }

    /// The number of tokens of a piece.
    pub(super) fn get_or_count(
        &mut self,
        piece: &str,
        count: impl FnOnce(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        if let Some(known) = self.get(piece) {
            return Ok(known);
        }
        let num_tokens = count(piece)?;
        self.insert(piece, num_tokens);
        Ok(num_tokens)
    }
}

/// A text of less than 16 bytes and then spaces.
fn padded(text: &[u8]) -> [u8; 16] {
    let mut bytes = [b' '; 16];
    for (to, from) in bytes.iter_mut().zip(text) {
        *to = *from;
    }
    bytes
}

impl ShortestWord {
    /// The first word of 8 bytes in little-endian order, without tokens: up to the first space after the first byte.
    fn first_of(bytes: u64) -> Option<Self> {
        const LOWEST_BITS: u64 = u64::from_le_bytes([1; 8]);
        // Zero where a space is, but not in the first byte.
        let others = (bytes ^ u64::from_le_bytes([b' '; 8])) | 0xFF;
        // The highest bit of the first byte that is zero, and perhaps of others after it.
        let spaces = others.wrapping_sub(LOWEST_BITS) & !others & (LOWEST_BITS << 7);
        let first_space = spaces & spaces.wrapping_neg();
        let num_bytes = u64::from(spaces.trailing_zeros() / 8);
        (spaces != 0).then(|| Self(bytes & ((first_space >> 7) - 1) | num_bytes << 56))
    }

    fn is_same_word(self, other: Self) -> bool {
        (self.0 ^ other.0) << 4 == 0
    }

    fn num_bytes(self) -> usize {
        (self.0 >> 56) as usize & 0xF
    }

    fn num_tokens(self) -> usize {
        (self.0 >> 60) as usize
    }

    /// The pair of places of the word.
    fn pair(self) -> usize {
        ((self.0 << 4).wrapping_mul(MULTIPLIER) >> 32) as usize % NUM_PAIRS
    }
}

impl ShortWord {
    fn new(word: &str, num_tokens: usize) -> Option<Self> {
        let mut bytes = [0; 16];
        let place = bytes.get_mut(..word.len()).filter(|_| (1..=MAX_SHORT_BYTES).contains(&word.len()))?;
        place.copy_from_slice(word.as_bytes());
        let counts = (word.len() as u128) << NUM_BYTES_SHIFT | (num_tokens as u128) << NUM_TOKENS_SHIFT;
        (num_tokens <= MAX_SHORT_TOKENS).then_some(Self(u128::from_le_bytes(bytes) | counts))
    }

    /// The first word of 16 bytes in little-endian order, without tokens: up to the first space after the first byte.
    fn first_of(bytes: u128) -> Option<Self> {
        const LOWEST_BITS: u128 = u128::from_le_bytes([1; 16]);
        let others = (bytes ^ u128::from_le_bytes([b' '; 16])) | 0xFF;
        let spaces = others.wrapping_sub(LOWEST_BITS) & !others & (LOWEST_BITS << 7);
        let first_space = spaces & spaces.wrapping_neg();
        let num_bytes = u128::from(spaces.trailing_zeros() / 8);
        (spaces != 0).then(|| Self(bytes & ((first_space >> 7) - 1) | num_bytes << NUM_BYTES_SHIFT))
    }

    fn shortest(self) -> Option<ShortestWord> {
        let counts = (self.0 >> NUM_BYTES_SHIFT) as u64;
        (self.num_bytes() <= MAX_SHORTEST_BYTES).then_some(ShortestWord(self.0 as u64 | counts << 56))
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

    /// The row of the word, and its own place there.
    fn row_and_place(self) -> (usize, usize) {
        let word = self.0 << 4;
        let start = (word as u64).wrapping_mul(MULTIPLIER);
        let end = ((word >> 64) as u64).wrapping_mul(MULTIPLIER.rotate_left(32));
        let hash = (start.wrapping_add(end) >> 32) as usize;
        (hash / PLACES % NUM_ROWS, hash % PLACES)
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
        let word = ShortWord::new("abcdefg", 14).unwrap().shortest().unwrap();
        assert_eq!((word.num_bytes(), word.num_tokens()), (7, 14));
    }

    #[test]
    fn as_many_words_as_a_row_has_places_are_remembered() {
        let mut cache = WordCache::default();
        let word = |number: usize| format!(" {number:08}");
        let row_of = |number| ShortWord::new(&word(number), 0).unwrap().row_and_place().0;
        let of_row: Vec<usize> = (0..1_000_000).filter(|&number| row_of(number) == row_of(0)).collect();
        for (index, &number) in of_row.iter().enumerate() {
            cache.insert_to_space(&word(number), 1);
            let is_known = |number| cache.get_to_space(word(number).as_bytes()).is_some();
            assert_eq!(of_row.iter().filter(|&&number| is_known(number)).count(), PLACES.min(index + 1));
        }
    }

    #[test]
    fn pieces_are_bounded() {
        let mut pieces = Pieces::default();
        for number in 0..=MAX_PIECES {
            let piece = format!("number {number}");
            assert_eq!(pieces.get_or_count(&piece, |piece| Ok(piece.len())).unwrap(), piece.len());
        }
        assert_eq!(pieces.0.len(), 1);
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
            let shortest = ShortestWord::first_of(u64::from_le_bytes(*bytes.first_chunk().unwrap()));
            prop_assert_eq!(shortest, short.and_then(ShortWord::shortest));
        }
    }
}
