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

/// Numbers of tokens of recent words: 2 MiB, each word in the one place that its hash gives.
#[derive(Debug)]
pub(super) struct WordCache {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    word: [u8; MAX_WORD_BYTES],
    num_bytes: u8,
    num_tokens: u32,
}

/// Longer words are not remembered.
const MAX_WORD_BYTES: usize = 27;
const NUM_SLOTS: usize = 1 << 16;

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
        let Some(slot) = self.slots.get_mut(slot_index(word)) else { return count(word) };
        if slot.word() == Some(word.as_bytes()) {
            return Ok(slot.num_tokens as usize);
        }
        let num_tokens = count(word)?;
        if let Some(new) = Slot::new(word, num_tokens) {
            *slot = new;
        }
        Ok(num_tokens)
    }
}

impl Default for WordCache {
    fn default() -> Self {
        // An empty word is never looked up, so that empty slots match nothing.
        Self { slots: vec![Slot { word: [0; MAX_WORD_BYTES], num_bytes: 0, num_tokens: 0 }; NUM_SLOTS] }
    }
}

impl Slot {
    fn new(word: &str, num_tokens: usize) -> Option<Self> {
        let mut slot = Self { word: [0; MAX_WORD_BYTES], num_bytes: 0, num_tokens: u32::try_from(num_tokens).ok()? };
        slot.word.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
        slot.num_bytes = u8::try_from(word.len()).ok()?;
        Some(slot)
    }

    fn word(&self) -> Option<&[u8]> {
        self.word.get(..usize::from(self.num_bytes))
    }
}

fn slot_index(word: &str) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(word.as_bytes());
    hasher.finish() as usize % NUM_SLOTS
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
