//! Counting by words: texts are cut, and the number of tokens of each part is cached.
//!
//! ```text
//! "…, it is late.\nBut"   most words end at the next space: found without inspecting their letters, and looked up whole
//!     ╵  ╵  ╵     ╵╵      all positions where words end: a word that is not known yet is counted part by part
//! ```
//!
//! **Invariant:** the cache changes how long a count takes, never its result.

use std::sync::{Mutex, PoisonError};

use memchr::memchr2;

use super::cuts::Cuts;
use super::window::Window;
use super::word_cache::{MAX_LONG_BYTES, WordCache};
use crate::error::Cause;

/// How texts are cut, and the caches of the counts of their parts.
#[derive(Debug)]
pub(super) struct Words {
    cuts: Cuts,
    /// What most words end before: a space, and a line end if that can start a word.
    stops: [Stop; 2],
    /// The space that the model puts before a text, or nothing.
    prefix: &'static str,
    /// Caches that no thread is using. There are as many caches as there were ever threads counting at the same time.
    idle: Mutex<Vec<WordCache>>,
}

/// A character before which words end.
#[derive(Debug)]
struct Stop {
    byte: u8,
    /// By the last byte of a character: whether the stop after that character starts a word.
    starts_word: Box<[bool; 256]>,
}

impl Words {
    pub(super) fn new(cuts: Cuts, prefix: &'static str) -> Self {
        let line_end = if cuts.are_before(b'\n', b'a') { b'\n' } else { b' ' };
        let stops = [b' ', line_end].map(|byte| {
            let mut starts_word = Box::new([false; 256]);
            (0..=u8::MAX).zip(starts_word.iter_mut()).for_each(|(last, starts)| *starts = cuts.are_before(byte, last));
            Stop { byte, starts_word }
        });
        Self { cuts, stops, prefix, idle: Mutex::default() }
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

    /// The number of tokens of a text, with the model's prefix or without.
    #[expect(clippy::indexing_slicing, clippy::string_slice, reason = "words end between characters of the text")]
    pub(super) fn count(
        &self,
        (text, is_prefixed): (&str, bool),
        cache: &mut WordCache,
        count_word: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        let mut num_tokens = 0;
        let mut at = 0;
        if is_prefixed && !self.prefix.is_empty() && !text.is_empty() {
            let (word, _) = self.cuts.split_word(text);
            num_tokens += cache.first.get_or_count(word, |word| count_word(&[self.prefix, word].concat()))?;
            at = word.len();
        }
        let mut copy = [0; _];
        while at < text.len() {
            let Window { bytes, mut spaces } = Window::of(&text.as_bytes()[at..], &mut copy);
            // A word that does not end in the window is looked up in the next one, unless this one has no other.
            let mut start = 0;
            while spaces != 0 || start == 0 {
                let end = spaces.trailing_zeros() as usize;
                if let Some(known) = cache.get_in_window(bytes, start..end) {
                    num_tokens += known;
                    start = end;
                    spaces &= spaces - 1;
                    continue;
                }
                let (num_bytes, counted) = self.count_next(&text[at + start..], cache, &count_word)?;
                num_tokens += counted;
                start += num_bytes;
                spaces &= (!1_u64).checked_shl(start as u32).unwrap_or(0);
            }
            at += start;
        }
        Ok(num_tokens)
    }

    /// The first words of a text that were not found at once: how many bytes they have, and how many tokens.
    #[inline(never)]
    fn count_next(
        &self,
        text: &str,
        cache: &mut WordCache,
        count_word: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<(usize, usize), Cause> {
        let Some(words) = self.words_to_stop(text) else {
            let (word, _) = self.cuts.split_word(text);
            return Ok((word.len(), cache.parts.get_or_count(word, count_word)?));
        };
        // A word that is known before a space has as many tokens before a line end or at the end.
        if let Some(num_tokens) = cache.get_short(words) {
            return Ok((words.len(), num_tokens));
        }
        let num_tokens = match cache.parts.get(words) {
            Some(known) => known,
            None => self.count_parts(words, cache, count_word)?,
        };
        if self.is_end(words, b' ') {
            cache.insert_to_space(words, num_tokens);
        }
        Ok((words.len(), num_tokens))
    }

    /// Counts words, and remembers them as one.
    fn count_parts(
        &self,
        words: &str,
        cache: &mut WordCache,
        count_word: impl Fn(&str) -> Result<usize, Cause>,
    ) -> Result<usize, Cause> {
        let mut num_tokens = 0;
        let mut rest = words;
        while !rest.is_empty() {
            let (word, after) = self.cuts.split_word(rest);
            num_tokens += cache.parts.get_or_count(word, &count_word)?;
            rest = after;
        }
        cache.parts.insert(words, num_tokens);
        Ok(num_tokens)
    }

    /// The first words of a text that is not empty, up to a stop or the end of the text. `None` if no word ends there,
    /// or if it is too far away.
    #[expect(clippy::indexing_slicing, clippy::string_slice, reason = "a stop is one byte, so text ends before it")]
    fn words_to_stop<'t>(&self, text: &'t str) -> Option<&'t str> {
        let [space, line_end] = self.stops.each_ref().map(|stop| stop.byte);
        let searched = &text.as_bytes()[1..text.len().min(MAX_LONG_BYTES + 1)];
        if let Some(at) = memchr2(space, line_end, searched) {
            let words = &text[..=at];
            return self.is_end(words, searched[at]).then_some(words);
        }
        (text.len() <= MAX_LONG_BYTES).then_some(text)
    }

    /// Whether a stop after these words starts another word.
    #[expect(clippy::indexing_slicing, reason = "the table has an element for every byte")]
    fn is_end(&self, words: &str, stop: u8) -> bool {
        let stop = self.stops.iter().find(|known| known.byte == stop);
        stop.zip(words.as_bytes().last()).is_some_and(|(stop, &last)| stop.starts_word[usize::from(last)])
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::cuts::PairTable;

    fn words(prefix: &'static str) -> Words {
        Words::new(Cuts::Pairs(PairTable::from_tokens(["▁abc"])), prefix)
    }

    #[test]
    fn a_word_is_counted_once() {
        let num_counted = Cell::new(0);
        let count = |word: &str| {
            num_counted.set(num_counted.get() + 1);
            Ok(word.len())
        };
        let words = words("");
        let num_tokens = words.with_cache(|cache| words.count(("abc abc abc abc", true), cache, count)).unwrap();
        assert_eq!((num_tokens, num_counted.get()), (15, 2));
        words.with_cache(|cache| words.count((" abc", true), cache, count)).unwrap();
        assert_eq!(num_counted.get(), 2, "a cache that was returned is lent again");
    }

    #[test]
    fn words_of_every_length_have_their_own_count() {
        let words = Words::new(Cuts::Spaces, "");
        let text = (1..100).map(|num_bytes| "b".repeat(num_bytes)).collect::<Vec<_>>().join(" ");
        for _twice in 0..2 {
            let counted = words.with_cache(|cache| words.count((&text, true), cache, |word| Ok(word.len())));
            assert_eq!(counted.unwrap(), text.len());
        }
    }

    #[test]
    fn words_between_spaces_are_remembered_together() {
        let words = words("");
        let mut cache = WordCache::default();
        let text = "abc.abc! abc and more of it and a-very-long-word.abc\nabc";
        assert_eq!(words.count((text, true), &mut cache, |word| Ok(word.len())).unwrap(), text.len());
        assert_eq!(
            (cache.parts.get("abc.abc!"), cache.parts.get("abc"), cache.parts.get("!")),
            (Some(8), Some(3), Some(1))
        );
        assert_eq!(cache.parts.get(" a-very-long-word.abc"), Some(21), "a line ends a word");
        assert_eq!(cache.parts.get("\nabc"), Some(4), "the end of the text is the end of a word");
    }

    proptest! {
        #[test]
        fn words_are_counted_as_their_parts_are(text in r"[ab .!é\n▁ ]{0,60}") {
            for cuts in [Cuts::Pairs(PairTable::from_tokens(["▁ab", "b.", "▁▁", "é."])), Cuts::Pairs(PairTable::from_tokens(["a\n", "\n\n", "b▁"])), Cuts::Spaces, Cuts::SpacesAndLines] {
                let words = Words::new(cuts, "");
                // Parts of different bytes hardly ever have the same number of tokens.
                let count = |word: &str| Ok(word.bytes().fold(1, |sum, byte| (sum * 31 + usize::from(byte)) % 9973));
                let (mut expected, mut rest) = (0, text.as_str());
                while !rest.is_empty() {
                    let (word, after) = words.cuts.split_word(rest);
                    expected += count(word).unwrap();
                    rest = after;
                }
                let mut cache = WordCache::default();
                for _twice in 0..2 {
                    prop_assert_eq!(words.count((&text, true), &mut cache, |word| count(word)).unwrap(), expected);
                }
            }
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
        assert_eq!(words.with_cache(|cache| words.count(("abcabc", true), cache, count)).unwrap(), 2);
        assert_eq!(seen.get(), 1);
        assert_eq!(words.with_cache(|cache| words.count(("", true), cache, count)).unwrap(), 0);
        assert_eq!(words.with_cache(|cache| words.count(("abcabc", false), cache, count)).unwrap(), 2);
        assert_eq!(seen.get(), 1);
    }
}
