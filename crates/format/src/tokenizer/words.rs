//! Counting by words: texts are cut, and the number of tokens of each piece is remembered.
//!
//! ```text
//! "…, it is late.\nBut"   most words end at a space near by: found without a look at their letters, and looked up whole
//!     ╵  ╵  ╵     ╵╵      all places where words end: a word that is not known yet is counted by these pieces
//! ```
//!
//! **Invariant:** the cache changes how long a count takes, never what it gives.

use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHasher};

use super::Cause;
use super::cuts::Cuts;

/// How texts are cut, and what is known of the pieces.
#[derive(Debug)]
pub(super) struct Words {
    cuts: Cuts,
    /// By the last byte of a character: whether a space after it starts a word.
    ends_before_space: Box<[bool; 256]>,
    /// The space that the model puts before a text, or nothing.
    prefix: &'static str,
    /// Caches that no thread is using: as many as threads ever counted at the same time.
    idle: Mutex<Vec<WordCache>>,
}

/// Numbers of tokens of recent words: 512 KiB for short ones, and up to `MAX_LONG_WORDS` longer ones.
#[derive(Debug)]
pub(super) struct WordCache {
    short: Vec<Row>,
    long: FxHashMap<Box<str>, u32>,
}

/// Short words whose keys have nearly the same hash; one line of a processor's cache. Each has a place of its own, and is
/// found in another one if a newer word has the same.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Row([ShortWord; PLACES]);

/// A word and its number of tokens in 16 bytes: the bytes of the word, then zeros; in four bits each, how many they are and
/// the tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ShortWord(u128);

/// A [`ShortWord`] whose number of tokens is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u128);

const MAX_SHORT_BYTES: usize = 15;
const NUM_BYTES_SHIFT: u32 = 8 * MAX_SHORT_BYTES as u32;
const NUM_TOKENS_SHIFT: u32 = NUM_BYTES_SHIFT + 4;
const MAX_SHORT_TOKENS: usize = 15;
const KEY_BITS: u128 = (1 << NUM_TOKENS_SHIFT) - 1;
const NUM_ROWS: usize = 1 << 13;
/// Words in a row.
const PLACES: usize = 4;

/// Longer words are not remembered.
const MAX_LONG_BYTES: usize = 64;
/// When there are as many, all are forgotten.
const MAX_LONG_WORDS: usize = 1 << 14;

impl Words {
    pub(super) fn new(cuts: Cuts, prefix: &'static str) -> Self {
        let mut ends_before_space = Box::new([false; 256]);
        for (last, ends) in (0..=u8::MAX).zip(ends_before_space.iter_mut()) {
            *ends = cuts.are_before_space_after(last);
        }
        Self { cuts, ends_before_space, prefix, idle: Mutex::default() }
    }

    /// Lends a cache.
    pub(super) fn with_cache<R>(&self, count: impl FnOnce(&mut WordCache) -> R) -> R {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = idle().pop();
        let mut cache = lent.unwrap_or_default();
        let counted = count(&mut cache);
        idle().push(cache);
        counted
    }

    /// The number of tokens of a text that starts where the model would put its prefix.
    pub(super) fn count(
        &self,
        text: &str,
        cache: &mut WordCache,
        count_word: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        let mut num_tokens = 0;
        let mut rest = text;
        if !self.prefix.is_empty() && !text.is_empty() {
            let (word, after) = text.split_at(self.cuts.word_len(text));
            num_tokens += match Key::new(self.prefix, word).and_then(|key| cache.get(key)) {
                Some(known) => known,
                None => cache.get_or_count(&[self.prefix, word].concat(), &count_word)?,
            };
            rest = after;
        }
        while !rest.is_empty() {
            let num_bytes = if let Some(key) = self.word_to_space(rest) {
                num_tokens += match cache.get(key) {
                    Some(known) => known,
                    None => self.count_pieces(rest.get(..key.num_bytes()).unwrap_or(rest), key, cache, &count_word)?,
                };
                key.num_bytes()
            } else {
                let word = rest.get(..self.cuts.word_len(rest)).unwrap_or(rest);
                num_tokens += cache.get_or_count(word, &count_word)?;
                word.len()
            };
            rest = rest.get(num_bytes..).unwrap_or_default();
        }
        Ok(num_tokens)
    }

    /// The first word or words of a text, if a space follows them and they are short.
    fn word_to_space(&self, text: &str) -> Option<Key> {
        let start = u128::from_le_bytes(*text.as_bytes().first_chunk()?);
        let num_bytes = position_of_space(start);
        let last = text.as_bytes().get(num_bytes - 1)?;
        let is_end = num_bytes <= MAX_SHORT_BYTES && self.ends_before_space[usize::from(*last)];
        is_end.then(|| Key::from_start(start, num_bytes))
    }

    /// Counts what [`Self::word_to_space`] found, and remembers it as one word.
    #[cold]
    fn count_pieces(
        &self,
        text: &str,
        key: Key,
        cache: &mut WordCache,
        count_word: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        let mut num_tokens = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (word, after) = rest.split_at_checked(self.cuts.word_len(rest)).unwrap_or((rest, ""));
            if word.len() == text.len() {
                return cache.get_or_count(word, count_word);
            }
            num_tokens += cache.get_or_count(word, &count_word)?;
            rest = after;
        }
        cache.insert(key, num_tokens);
        Ok(num_tokens)
    }
}

/// Position, from 1, of the first space after the first byte of 16 bytes in little-endian order; 16 if there is none.
fn position_of_space(bytes: u128) -> usize {
    const LOW_BITS: u128 = u128::from_le_bytes([0x7F; 16]);
    // Zero where a space is.
    let others = bytes ^ u128::from_le_bytes([b' '; 16]);
    // The highest bit of each byte that is zero; no carry leaves its byte.
    let spaces = !(((others & LOW_BITS) + LOW_BITS) | others | LOW_BITS);
    (spaces & !0xFF).trailing_zeros() as usize / 8
}

impl WordCache {
    /// The number of tokens of a word.
    fn get_or_count(&mut self, word: &str, count: impl Fn(&str) -> Result<usize, Cause>) -> Result<usize, Cause> {
        let Some(key) = Key::new("", word) else { return self.get_or_count_long(word, count) };
        if let Some(known) = self.get(key) {
            return Ok(known);
        }
        let num_tokens = count(word)?;
        self.insert(key, num_tokens);
        Ok(num_tokens)
    }

    fn get(&self, key: Key) -> Option<usize> {
        let (row, place) = key.row_and_place();
        let Row(row) = self.short.get(row)?;
        // Most words are in their own place: a guess of the processor that is nearly always right.
        let known = (0..PLACES).map(|nth| row[place ^ nth]).find(|known| known.key() == key);
        known.map(ShortWord::num_tokens)
    }

    fn insert(&mut self, key: Key, num_tokens: usize) {
        let (row, place) = key.row_and_place();
        if let (Some(Row(row)), Some(new)) = (self.short.get_mut(row), ShortWord::new(key, num_tokens)) {
            // Who was there moves on to the next place, up to one that is free; who leaves the last one is forgotten.
            let mut moved = new;
            for nth in 0..PLACES {
                moved = std::mem::replace(&mut row[place ^ nth], moved);
                if moved == ShortWord::default() {
                    break;
                }
            }
        }
    }

    fn get_or_count_long(&mut self, word: &str, count: impl Fn(&str) -> Result<usize, Cause>) -> Result<usize, Cause> {
        if let Some(num_tokens) = self.long.get(word) {
            return Ok(*num_tokens as usize);
        }
        let num_tokens = count(word)?;
        if word.len() <= MAX_LONG_BYTES {
            if self.long.len() >= MAX_LONG_WORDS {
                self.long.clear();
            }
            self.long.insert(word.into(), u32::try_from(num_tokens)?);
        }
        Ok(num_tokens)
    }
}

impl Default for WordCache {
    fn default() -> Self {
        // The key of an empty place is that of an empty word, which is never looked up.
        Self { short: vec![Row::default(); NUM_ROWS], long: FxHashMap::default() }
    }
}

impl Key {
    /// The key of a word behind a prefix, if both together are short.
    fn new(prefix: &str, word: &str) -> Option<Self> {
        let num_bytes = prefix.len() + word.len();
        if num_bytes > MAX_SHORT_BYTES {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(prefix.bytes().chain(word.bytes())).for_each(|(to, from)| *to = from);
        Some(Self::from_start(u128::from_le_bytes(bytes), num_bytes))
    }

    /// The key of the first `num_bytes` of some bytes in little-endian order, at most 15. What follows them does not matter.
    fn from_start(bytes: u128, num_bytes: usize) -> Self {
        let word = bytes & ((1 << (8 * num_bytes)) - 1);
        Self(word | (num_bytes as u128) << NUM_BYTES_SHIFT)
    }

    fn num_bytes(self) -> usize {
        (self.0 >> NUM_BYTES_SHIFT) as usize
    }

    /// The row of the word, and its own place there.
    fn row_and_place(self) -> (usize, usize) {
        let mut hasher = FxHasher::default();
        hasher.write_u128(self.0);
        let hash = hasher.finish() as usize;
        (hash / PLACES % NUM_ROWS, hash % PLACES)
    }
}

impl ShortWord {
    fn new(key: Key, num_tokens: usize) -> Option<Self> {
        (num_tokens <= MAX_SHORT_TOKENS).then_some(Self(key.0 | (num_tokens as u128) << NUM_TOKENS_SHIFT))
    }

    fn key(self) -> Key {
        Key(self.0 & KEY_BITS)
    }

    fn num_tokens(self) -> usize {
        (self.0 >> NUM_TOKENS_SHIFT) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::super::cuts::PairTable;
    use super::*;

    fn words(prefix: &'static str) -> Words {
        Words::new(Cuts::Pairs(PairTable::from_tokens(["▁abc"])), prefix)
    }

    #[test]
    fn a_word_is_counted_once() {
        let asked = Cell::new(0);
        let count = |word: &str| {
            asked.set(asked.get() + 1);
            Ok(word.len())
        };
        let words = words("");
        let num_tokens = words.with_cache(|cache| words.count("abc abc abc abc", cache, count)).unwrap();
        assert_eq!((num_tokens, asked.get()), (15, 2));
        words.with_cache(|cache| words.count(" abc", cache, count)).unwrap();
        assert_eq!(asked.get(), 2, "a cache that was given back is lent again");
    }

    #[test]
    fn words_of_every_length_have_their_own_count() {
        let words = Words::new(Cuts::Spaces, "");
        let text = (1..100).map(|num_bytes| "b".repeat(num_bytes)).collect::<Vec<_>>().join(" ");
        for _twice in 0..2 {
            let counted = words.with_cache(|cache| words.count(&text, cache, |word| Ok(word.len())));
            assert_eq!(counted.unwrap(), text.len());
        }
    }

    #[test]
    fn words_that_differ_in_trailing_zeros_are_different() {
        assert_ne!(Key::new("", "a"), Key::new("", "a\0"));
        assert_eq!(Some(Key::from_start(u128::from_le_bytes(*b"a and what comes"), 1)), Key::new("", "a"));
        assert_eq!(Key::new("", "abcdefghijklmnop"), None);
    }

    #[test]
    fn a_number_of_tokens_is_kept_beside_its_key() {
        let key = Key::new("", "abcdefghijklmno").unwrap();
        let word = ShortWord::new(key, 15).unwrap();
        assert_eq!((word.key(), word.num_tokens()), (key, 15));
        assert!(ShortWord::new(key, 16).is_none());
    }

    #[test]
    fn as_many_words_as_a_row_has_places_are_remembered() {
        let mut cache = WordCache::default();
        let key = |number: usize| Key::new("", &number.to_string()).unwrap();
        let (row, _) = key(0).row_and_place();
        let of_row: Vec<usize> = (0..1_000_000).filter(|&number| key(number).row_and_place().0 == row).collect();
        for (index, &number) in of_row.iter().enumerate() {
            cache.insert(key(number), 1);
            let num_known = of_row.iter().filter(|&&number| cache.get(key(number)).is_some()).count();
            assert_eq!(num_known, PLACES.min(index + 1));
        }
    }

    #[test]
    fn a_word_that_ends_at_a_space_is_remembered_with_what_touches_it() {
        let words = words("");
        let mut cache = WordCache::default();
        let text = "abc.abc! abc and more of it";
        assert_eq!(words.count(text, &mut cache, |word| Ok(word.len())).unwrap(), text.len());
        let known = |word: &str| cache.get(Key::new("", word).unwrap());
        assert_eq!((known("abc.abc!"), known("abc"), known("!")), (Some(8), Some(3), Some(1)));
    }

    proptest! {
        #[test]
        fn the_first_space_is_found(bytes: [u8; 16], spaces: [bool; 16]) {
            let mut bytes = bytes;
            bytes.iter_mut().zip(spaces).for_each(|(byte, is_space)| if is_space { *byte = b' ' });
            let position = bytes.iter().skip(1).position(|&byte| byte == b' ').map_or(16, |position| position + 1);
            prop_assert_eq!(position_of_space(u128::from_le_bytes(bytes)), position);
        }

        #[test]
        fn words_are_counted_as_their_pieces_are(text in r"[ab .!é\n▁ ]{0,60}") {
            for cuts in [Cuts::Pairs(PairTable::from_tokens(["▁ab", "b.", "▁▁", "é."])), Cuts::Spaces, Cuts::SpacesAndLines] {
                let words = Words::new(cuts, "");
                // No two pieces of different bytes have the same number of tokens.
                let count = |word: &str| Ok(word.bytes().fold(1, |sum, byte| (sum * 31 + usize::from(byte)) % 9973));
                let (mut expected, mut rest) = (0, text.as_str());
                while !rest.is_empty() {
                    let (word, after) = rest.split_at(words.cuts.word_len(rest));
                    expected += count(word).unwrap();
                    rest = after;
                }
                let mut cache = WordCache::default();
                for _twice in 0..2 {
                    prop_assert_eq!(words.count(&text, &mut cache, |word| count(word)).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn the_cache_of_long_words_is_bounded() {
        let mut cache = WordCache::default();
        for number in 0..=MAX_LONG_WORDS {
            let word = format!("a long word, number {number}");
            assert_eq!(cache.get_or_count(&word, |word| Ok(word.len())).unwrap(), word.len());
        }
        assert_eq!(cache.long.len(), 1);
    }

    #[test]
    fn the_prefix_belongs_to_the_first_word() {
        let words = words(" ");
        let seen = Cell::new(0);
        let count = |word: &str| {
            seen.set(seen.get() + usize::from(word == " abc"));
            Ok(1)
        };
        assert_eq!(words.with_cache(|cache| words.count("abcabc", cache, count)).unwrap(), 2);
        assert_eq!(seen.get(), 1);
        assert_eq!(words.with_cache(|cache| words.count("", cache, count)).unwrap(), 0);
    }
}
