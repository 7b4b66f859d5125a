//! What the two kinds of tokenizer files have in common once they are parsed.

use std::path::Path;

use manyframe_core::{Digest, contained};

use super::added::{AddedTokens, SpecialTokens};
use super::words::Words;
use crate::error::{Cause, FormatError};

/// A token and the text it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSpan {
    /// Its id, below 2³¹.
    pub id: u32,
    /// First byte of its text. The prefix that some models put before texts has no bytes. Several tokens that share a
    /// character have all of it each, or its bytes.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Before which texts of a prompt a SentencePiece model puts its prefix: a prompt is cut at special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefixes {
    /// Before each, as sentencepiece.
    All,
    /// Before each that does not begin with a space, as `transformers` 5 with `legacy`.
    WithoutSpace,
    /// The same, but only before the one that the prompt begins with, as `transformers` 5 does without `legacy`.
    First,
}

impl Prefixes {
    /// Whether a text has one, which begins at this byte of the prompt.
    pub(super) fn is_before(self, text: &str, start: usize) -> bool {
        let has_space = || text.starts_with([' ', '\u{2581}']);
        match self {
            Self::All => true,
            Self::WithoutSpace => !has_space(),
            Self::First => start == 0 && !has_space(),
        }
    }
}

/// The model of a tokenizer: texts to tokens.
pub(super) trait Model: std::fmt::Debug + Send + Sync {
    /// The tokens of a whole text.
    fn encode(&self, text: &str, specials: SpecialTokens, prefixes: Prefixes) -> Result<Vec<u32>, Cause>;

    /// The tokens of a part of a prompt, and the text that each is made of. Special tokens are tokens.
    fn encode_prompt_spans(&self, text: &str, prefixes: Prefixes) -> Result<Vec<TokenSpan>, Cause>;

    /// The number of tokens of a part of a text that [`Words`] cut off.
    fn count_word(&self, word: &str) -> Result<usize, Cause>;
}

/// Runs code of a tokenizer's library. The libraries trust files: a panic of theirs becomes an error here.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    contained(run).unwrap_or_else(|panic| Err(format!("the file contradicts itself: {panic}").into()))
}

/// A tokenizer file, parsed.
pub(super) struct ParsedTokenizer {
    pub(super) model: Box<dyn Model>,
    pub(super) added: AddedTokens,
    /// How texts are cut for counting. `None` where only encoding is exact.
    pub(super) words: Option<Words>,
    /// One more than the largest id.
    pub(super) num_ids: u32,
    pub(super) around: TokensAround,
    /// Before which texts of a prompt the model puts its prefix, and before which the processors of `transformers` do; equal if the
    /// file says it.
    pub(super) prefixes: [Prefixes; 2],
    /// What a configuration beside the file changes of it: tokens with their ids. Empty if nothing.
    pub(super) configured: Vec<String>,
}

impl ParsedTokenizer {
    /// Equal for equal files that are configured alike.
    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        if self.configured.is_empty() {
            return Digest::of(bytes);
        }
        Digest::of_fields([bytes].into_iter().chain(self.configured.iter().map(String::as_bytes)))
    }
}

/// The tokens that a tokenizer puts around a text, such as `<s>`: what the post-processor of a `tokenizer.json` adds, or what the
/// configuration beside a SentencePiece model says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokensAround {
    /// Before the text.
    pub(crate) before: Vec<u32>,
    /// After it.
    pub(crate) after: Vec<u32>,
    /// The text of the first one before it.
    pub(crate) start: String,
    /// Whether the files say what is before a text. If not, it is what Llama's tokenizer has there.
    pub(crate) is_stated: bool,
}

impl TokensAround {
    /// Their ids, to tell tokenizers apart that are configured otherwise.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let ids = [("before", &self.before, self.is_stated), ("after", &self.after, true)];
        let stated = ids.into_iter().filter(|(_, ids, is_stated)| *is_stated && !ids.is_empty());
        stated.map(|(place, ids, _)| format!("{place} {ids:?}"))
    }

    /// Whether they are added to a prompt: `transformers` adds none to one whose chat template wrote the first one itself
    /// (`processing_utils.py`, `apply_chat_template`).
    pub(crate) fn are_added_to(&self, prompt: &str) -> bool {
        self.start.is_empty() || !prompt.starts_with(&self.start)
    }
}

/// A tokenizer file that is being parsed: makes errors that name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenizerFile<'p> {
    pub(super) path: &'p Path,
    /// What its first bytes say that it is.
    pub(super) expected: &'static str,
}

impl TokenizerFile<'_> {
    pub(super) fn unreadable(&self, source: impl Into<Cause>) -> FormatError {
        FormatError::ParseTokenizer { path: self.path.to_owned(), expected: self.expected, source: source.into() }
    }

    /// `property` is a verb phrase: what the tokenizer does that is not supported.
    pub(super) fn unsupported(&self, property: String) -> FormatError {
        FormatError::UnsupportedTokenizer { path: self.path.to_owned(), property }
    }
}
