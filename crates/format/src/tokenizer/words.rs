//! Counting by words: texts are cut, and the number of tokens of each piece is remembered.
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

/// Short words whose keys have the same hash, newest first; one line of a processor's cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Row([ShortWord; 4]);

/// A word and its number of tokens in 16 bytes: the bytes of the word, then zeros; how many they are; the tokens.
#[derive(Debug, Clone, Copy, Default)]
struct ShortWord(u128);

/// A [`ShortWord`] whose number of tokens is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u128);

const MAX_SHORT_BYTES: usize = 14;
const NUM_BYTES_SHIFT: u32 = 8 * MAX_SHORT_BYTES as u32;
const NUM_TOKENS_SHIFT: u32 = NUM_BYTES_SHIFT + 8;
const NUM_ROWS: usize = 1 << 13;

/// Longer words are not remembered.
const MAX_LONG_BYTES: usize = 64;
/// When there are as many, all are forgotten.
const MAX_LONG_WORDS: usize = 1 << 14;

impl Words {
    pub(super) fn new(cuts: Cuts, prefix: &'static str) -> Self {
        Self { cuts, prefix, idle: Mutex::default() }
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
            let word = [self.prefix, word].concat();
            num_tokens += cache.get_or_count(&word, word.len(), &count_word)?;
            rest = after;
        }
        while !rest.is_empty() {
            let num_bytes = self.cuts.word_len(rest);
            num_tokens += cache.get_or_count(rest, num_bytes, &count_word)?;
            rest = rest.get(num_bytes..).unwrap_or_default();
        }
        Ok(num_tokens)
    }
}

impl WordCache {
    /// The number of tokens of the first `num_bytes` bytes of a text.
    fn get_or_count(
        &mut self,
        text: &str,
        num_bytes: usize,
        count: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        let word = || text.get(..num_bytes).unwrap_or(text);
        let Some(key) = Key::new(text, num_bytes) else { return self.get_or_count_long(word(), count) };
        let Some(Row(row)) = self.short.get_mut(key.row_index()) else { return count(word()) };
        if let Some(known) = row.iter().find(|known| known.key() == key) {
            return Ok(known.num_tokens());
        }
        let num_tokens = count(word())?;
        if let Some(new) = ShortWord::new(key, num_tokens) {
            let [first, second, third, _oldest] = *row;
            *row = [new, first, second, third];
        }
        Ok(num_tokens)
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
    /// The key of the first `num_bytes` bytes of a text, if they are few.
    fn new(text: &str, num_bytes: usize) -> Option<Self> {
        if num_bytes > MAX_SHORT_BYTES {
            return None;
        }
        let bytes = text.as_bytes();
        // Reading past the word, where there is text, is faster than copying the word.
        let bytes = bytes.first_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 16];
            padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            padded
        });
        let word = u128::from_le_bytes(bytes) & ((1 << (8 * num_bytes)) - 1);
        Some(Self(word | (num_bytes as u128) << NUM_BYTES_SHIFT))
    }

    fn row_index(self) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write_u128(self.0);
        hasher.finish() as usize % NUM_ROWS
    }
}

impl ShortWord {
    fn new(key: Key, num_tokens: usize) -> Option<Self> {
        let num_tokens = u8::try_from(num_tokens).ok()?;
        Some(Self(key.0 | u128::from(num_tokens) << NUM_TOKENS_SHIFT))
    }

    fn key(self) -> Key {
        Key(self.0 & ((1 << NUM_TOKENS_SHIFT) - 1))
    }

    fn num_tokens(self) -> usize {
        (self.0 >> NUM_TOKENS_SHIFT) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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
        assert_ne!(Key::new("a", 1), Key::new("a\0", 2));
        assert_eq!(Key::new("a and what comes after", 1), Key::new("a", 1));
        assert_eq!(Key::new("abcdefghijklmno", 15), None);
    }

    #[test]
    fn a_number_of_tokens_is_kept_beside_its_key() {
        let key = Key::new("abcdefghijklmn", 14).unwrap();
        let word = ShortWord::new(key, 255).unwrap();
        assert_eq!((word.key(), word.num_tokens()), (key, 255));
        assert!(ShortWord::new(key, 256).is_none());
    }

    #[test]
    fn the_cache_of_long_words_is_bounded() {
        let mut cache = WordCache::default();
        for number in 0..=MAX_LONG_WORDS {
            let word = format!("a long word, number {number}");
            assert_eq!(cache.get_or_count(&word, word.len(), |word| Ok(word.len())).unwrap(), word.len());
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
