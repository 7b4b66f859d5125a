//! Counting by words: texts are cut, and the number of tokens of each piece is remembered.
//!
//! **Invariant:** the cache changes how long a count takes, never what it gives.

use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHasher;

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

/// Numbers of tokens of recent words: 2 MiB, each word in one of the places of the row that its hash gives, newest first.
#[derive(Debug)]
pub(super) struct WordCache {
    rows: Vec<[Slot; ROW_SLOTS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    word: Key,
    num_tokens: u32,
}

/// The bytes of a short word, then zeros, and in the last byte their number: compared and hashed without a loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Key([u64; 3]);

/// Longer words are not remembered.
const MAX_WORD_BYTES: usize = 23;
const ROW_SLOTS: usize = 4;
const NUM_ROWS: usize = 1 << 14;

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
            let (word, after) = self.cuts.split_word(text);
            num_tokens += cache.get_or_count(&[self.prefix, word].concat(), &count_word)?;
            rest = after;
        }
        while !rest.is_empty() {
            let (word, after) = self.cuts.split_word(rest);
            num_tokens += cache.get_or_count(word, &count_word)?;
            rest = after;
        }
        Ok(num_tokens)
    }
}

impl WordCache {
    fn get_or_count(&mut self, word: &str, count: impl Fn(&str) -> Result<usize, Cause>) -> Result<usize, Cause> {
        let Some(key) = Key::new(word) else { return count(word) };
        let Some(row) = self.rows.get_mut(key.row_index()) else { return count(word) };
        if let Some(slot) = row.iter().find(|slot| slot.word == key) {
            return Ok(slot.num_tokens as usize);
        }
        let num_tokens = count(word)?;
        let [first, second, third, _oldest] = *row;
        *row = [Slot { word: key, num_tokens: u32::try_from(num_tokens)? }, first, second, third];
        Ok(num_tokens)
    }
}

impl Default for WordCache {
    fn default() -> Self {
        // The key of an empty slot is that of an empty word, which is never looked up.
        Self { rows: vec![[Slot::default(); ROW_SLOTS]; NUM_ROWS] }
    }
}

impl Key {
    fn new(word: &str) -> Option<Self> {
        if word.len() > MAX_WORD_BYTES {
            return None;
        }
        let mut bytes = [0; MAX_WORD_BYTES + 1];
        bytes.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
        bytes[MAX_WORD_BYTES] = word.len() as u8;
        let (numbers, _none_left) = bytes.as_chunks::<8>();
        let mut key = Self::default();
        for (number, bytes) in key.0.iter_mut().zip(numbers) {
            *number = u64::from_le_bytes(*bytes);
        }
        Some(key)
    }

    fn row_index(self) -> usize {
        let mut hasher = FxHasher::default();
        for number in self.0 {
            hasher.write_u64(number);
        }
        hasher.finish() as usize % NUM_ROWS
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
    fn a_long_word_is_counted_each_time() {
        let long = "b".repeat(MAX_WORD_BYTES + 1);
        let words = Words::new(Cuts::Spaces, "");
        for _twice in 0..2 {
            let counted = words.with_cache(|cache| words.count(&long, cache, |word| Ok(word.len())));
            assert_eq!(counted.unwrap(), long.len());
        }
    }

    #[test]
    fn words_that_differ_in_trailing_zeros_are_different() {
        assert_ne!(Key::new("a"), Key::new("a\0"));
        assert_eq!(Key::new("abcdefghijklmnopqrstuvw").map(|key| key.0[2] >> 56), Some(23));
        assert_eq!(Key::new("abcdefghijklmnopqrstuvwx"), None);
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
