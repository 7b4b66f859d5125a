//! Tokenizers: SentencePiece models and Hugging Face `tokenizer.json` files, with exact and fast counts.
//!
//! A text is *counted* by cutting it where no token can span the cut, and looking each piece up in a cache; a file with
//! properties that forbid this is counted by encoding. Either way the count is the number of tokens of [`Tokenizer::encode`].
//!
//! What Hugging Face's tokenizers do around special tokens is followed: a prompt is cut at them, and each text between
//! is tokenised on its own, with the prefix that the model puts before texts, if any.

mod added;
mod cuts;
mod extents;
mod json;
mod sentencepiece;
mod word_cache;
mod words;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use manyframe_core::Digest;

use crate::FormatError;
use added::{AddedTokens, Gap};
use word_cache::WordCache;
use words::Words;

/// A tokenizer that was read from a file. It may be shared by threads.
#[derive(Debug)]
pub struct Tokenizer {
    model: Box<dyn Model>,
    added: AddedTokens,
    words: Option<Words>,
    digest: Digest,
    num_ids: u32,
}

/// Longest tokenizer file that is read, in bytes. The largest vocabularies in use take 35 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why a model has no tokens for a text.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What strings that spell special tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Specials {
    /// One token each, as a trainer's tokenizer sees them in a prompt.
    Tokens,
    /// Text like any other.
    Text,
}

/// A token and the text it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSpan {
    /// Its id, below 2³¹.
    pub id: u32,
    /// First byte of its text. That of the prefix that some models put before texts is empty; several tokens that share a
    /// character have all of it, or the bytes of it.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What the two kinds of files have in common.
trait Model: std::fmt::Debug + Send + Sync {
    /// The tokens of a whole text.
    fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, Cause>;

    /// The tokens of a piece of a prompt and what text each is made of. Special tokens are tokens.
    fn encode_prompt_spans(&self, text: &str) -> Result<Vec<TokenSpan>, Cause>;

    /// The number of tokens of a piece of text that [`Words`] cut off.
    fn count_word(&self, word: &str) -> Result<usize, Cause>;
}

/// A file, parsed.
struct Parsed {
    model: Box<dyn Model>,
    added: AddedTokens,
    /// How texts are cut for counting; `None` where only encoding is exact.
    words: Option<Words>,
    /// One more than the largest id.
    num_ids: u32,
}

impl Tokenizer {
    /// Reads a SentencePiece `.model` or a `tokenizer.json`, told apart by content.
    ///
    /// Files with which counts would not be exact are refused: SentencePiece models that normalise their text, and
    /// tokenizers with dropout. So are ids of 2³¹ and more: trainers have them as signed numbers.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let bytes = read(path).map_err(|source| FormatError::ReadTokenizer { path: path.to_owned(), source })?;
        let parsed = match bytes.trim_ascii_start().first() {
            Some(b'{') => json::parse(path, &bytes)?,
            _ => sentencepiece::parse(path, &bytes)?,
        };
        let Parsed { model, added, words, num_ids } = parsed;
        if i32::try_from(num_ids).is_err() {
            let property = format!("has the id {}", num_ids.saturating_sub(1));
            return Err(FormatError::UnsupportedTokenizer { path: path.to_owned(), property });
        }
        Ok(Self { model, added, words, digest: Digest::of(&bytes), num_ids })
    }

    /// The tokens of a text by itself. Strings that spell special tokens are text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.model.encode(text, Specials::Text).map_err(|source| encode_error(text, source))
    }

    /// The number of tokens of [`Self::encode`].
    pub fn count(&self, text: &str) -> Result<u64, FormatError> {
        self.count_all([text], Specials::Text)
    }

    /// The tokens of a piece of a prompt. Strings that spell special tokens are those tokens; none are added.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.model.encode(text, Specials::Tokens).map_err(|source| encode_error(text, source))
    }

    /// The tokens of [`Self::encode_prompt`], each with its place in the text.
    pub fn encode_prompt_spans(&self, text: &str) -> Result<Vec<TokenSpan>, FormatError> {
        self.model.encode_prompt_spans(text).map_err(|source| encode_error(text, source))
    }

    /// The sum of the numbers of tokens of [`Self::encode_prompt`] over some pieces of a prompt.
    pub fn count_prompt<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<u64, FormatError> {
        self.count_all(texts, Specials::Tokens)
    }

    /// The id of a special token, if the tokenizer has it.
    pub fn special(&self, token: &str) -> Option<u32> {
        self.added.special(token)
    }

    /// The special tokens, in alphabetical order.
    pub fn specials(&self) -> impl Iterator<Item = &str> {
        self.added.specials()
    }

    /// The digest of the tokenizer's file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        self.num_ids
    }

    fn count_all<'t>(&self, texts: impl IntoIterator<Item = &'t str>, specials: Specials) -> Result<u64, FormatError> {
        let counted = |text: &str, num_tokens: Result<usize, Cause>| {
            num_tokens.map(|num_tokens| num_tokens as u64).map_err(|source| encode_error(text, source))
        };
        let texts = texts.into_iter();
        match &self.words {
            None => texts.map(|text| counted(text, self.model.encode(text, specials).map(|ids| ids.len()))).sum(),
            Some(words) => words.with_cache(|cache| {
                texts.map(|text| counted(text, self.count_gaps(text, specials, words, cache))).sum()
            }),
        }
    }

    fn count_gaps(&self, text: &str, specials: Specials, words: &Words, cache: &mut WordCache) -> Result<usize, Cause> {
        let gaps = self.added.gaps(text, specials);
        gaps.map(|gap| match gap {
            Gap::Token => Ok(1),
            Gap::Text(text) => words.count(text, cache, |word| self.model.count_word(word)),
        })
        .sum()
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0 => Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file is empty")),
        1..=MAX_FILE_BYTES => Ok(bytes),
        _ => Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the file has more than 256 MiB")),
    }
}

fn encode_error(text: &str, source: Cause) -> FormatError {
    FormatError::Encode { num_bytes: text.len(), source }
}
