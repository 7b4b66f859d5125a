//! Tokenizers: SentencePiece models and Hugging Face `tokenizer.json` files, with exact and fast counts.
//!
//! A text is *counted* by cutting it where no token can span the cut, and looking each word up in a cache. Where properties
//! of a file forbid this, a text is counted by encoding it. Either way the count is the number of tokens of
//! [`Tokenizer::encode`].
//!
//! Special tokens are treated as by Hugging Face's tokenizers: a prompt is cut at them, and each text between two of
//! them is tokenized on its own, with the prefix that the model puts before texts, if any.

mod added;
mod cuts;
mod extents;
mod growth;
mod json;
mod merges;
mod model;
mod sentencepiece;
mod sentencepiece_file;
mod window;
mod word_cache;
mod words;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::Digest;

use crate::error::{Cause, FormatError};
use crate::snapshot::{self, TokenizerConfig, open_plain};
use added::{AddedTokens, PromptPart, SpecialTokens};
use model::{Model, ParsedTokenizer, Prefixes, TokensAround};
use words::Words;

pub use model::TokenSpan;

/// A tokenizer that was read from a file. Threads may share it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    model: Arc<dyn Model>,
    added: AddedTokens,
    words: Option<Arc<Words>>,
    digest: Digest,
    num_ids: u32,
    around: TokensAround,
    prefixes: Prefixes,
    prefixes_of_processors: Prefixes,
    directory: PathBuf,
}

/// Size of the largest tokenizer file that is read, in bytes. The largest vocabularies in use take 35 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

impl Tokenizer {
    /// Reads a SentencePiece `.model` or a `tokenizer.json`, or the one in a directory of the Hugging Face Hub, with the tokens
    /// that the `tokenizer_config.json` or `added_tokens.json` there adds to it. Which of them a file is follows from its content.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or if it has a property with which counts would not be exact: a SentencePiece
    /// model that normalises its text, a tokenizer with dropout, one that can make texts much longer, pieces that are too long
    /// to be read in reasonable time, an id of 2³¹ or more, which trainers cannot represent.
    ///
    /// ```
    /// use manyframe_format::Tokenizer;
    ///
    /// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/jamba.model");
    /// let tokenizer = Tokenizer::open(path.as_ref())?;
    /// let ids = tokenizer.encode("The red cat")?;
    /// assert_eq!(tokenizer.count("The red cat")?, ids.len() as u64);
    /// # Ok::<(), manyframe_format::FormatError>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        if path.is_dir() {
            let file = snapshot::find_tokenizer(path)?;
            return Self::open_file(&file, &TokenizerConfig::read(path)?);
        }
        Self::open_file(path, &TokenizerConfig::default())
    }

    fn open_file(path: &Path, config: &TokenizerConfig) -> Result<Self, FormatError> {
        let bytes = read(path).map_err(|source| FormatError::ReadTokenizer { path: path.to_owned(), source })?;
        let parsed = match bytes.trim_ascii_start().first() {
            Some(b'{') => json::parse(path, &bytes, config)?,
            _ => sentencepiece::parse(path, &bytes, config)?,
        };
        let directory = path.parent().unwrap_or(path).to_owned();
        let digest = parsed.digest(&bytes);
        let ParsedTokenizer { model, added, words, num_ids, around, prefixes, configured: _ } = parsed;
        if i32::try_from(num_ids).is_err() {
            let property = format!("has the id {}", num_ids.saturating_sub(1));
            return Err(FormatError::UnsupportedTokenizer { path: path.to_owned(), property });
        }
        let (model, words) = (model.into(), words.map(Arc::new));
        let [prefixes, prefixes_of_processors] = prefixes;
        Ok(Self { model, added, words, digest, num_ids, around, prefixes, prefixes_of_processors, directory })
    }

    /// The tokenizer as the processors of `transformers` 5 have it. Where its files do not say what is before a text, that is `<s>` if
    /// it is Llama's, and a prefix only if it is the first of a prompt.
    pub(crate) fn of_processors(&self, is_of_llama: bool) -> Self {
        let mut tokenizer = self.clone();
        if !(self.around.is_stated || is_of_llama) {
            tokenizer.around.before.clear();
        }
        tokenizer.prefixes = self.prefixes_of_processors;
        tokenizer
    }

    /// The tokens of a text by itself. Strings that spell special tokens are text.
    ///
    /// # Errors
    /// If the model has no tokens for a part of the text. Models with tokens for all bytes never fail.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.model.encode(text, SpecialTokens::AsText, self.prefixes).map_err(|source| encode_error(text, source))
    }

    /// The number of tokens of [`Self::encode`].
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn count(&self, text: &str) -> Result<u64, FormatError> {
        self.count_all([text], SpecialTokens::AsText)
    }

    /// The tokens of a part of a prompt. Strings that spell special tokens are those tokens; no others are added.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.model.encode(text, SpecialTokens::AsTokens, self.prefixes).map_err(|source| encode_error(text, source))
    }

    /// The tokens of [`Self::encode_prompt`], each with its span in the text.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_prompt_spans(&self, text: &str) -> Result<Vec<TokenSpan>, FormatError> {
        self.model.encode_prompt_spans(text, self.prefixes).map_err(|source| encode_error(text, source))
    }

    /// The number of tokens of [`Self::encode_prompt`], summed over the parts of a prompt.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn count_prompt<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<u64, FormatError> {
        self.count_all(texts, SpecialTokens::AsTokens)
    }

    /// The id of a special token, if the tokenizer has it.
    pub fn special(&self, token: &str) -> Option<u32> {
        self.added.special(token)
    }

    /// The id of a token that was added to the model, special or not: what spells it in a prompt is that token.
    pub fn added(&self, token: &str) -> Option<u32> {
        self.added.id(token)
    }

    /// The special tokens, in alphabetical order.
    pub fn specials(&self) -> impl Iterator<Item = &str> {
        self.added.specials()
    }

    /// The tokens that are put around a prompt.
    pub(crate) fn around(&self) -> &TokensAround {
        &self.around
    }

    /// The directory of the tokenizer's file.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The digest of the tokenizer's file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        self.num_ids
    }

    fn count_all<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
        specials: SpecialTokens,
    ) -> Result<u64, FormatError> {
        let counted = |text: &str, num_tokens: Result<usize, Cause>| {
            num_tokens.map(|num_tokens| num_tokens as u64).map_err(|source| encode_error(text, source))
        };
        let texts = texts.into_iter();
        let Some(words) = &self.words else {
            let count = |text| self.model.encode(text, specials, self.prefixes).map(|ids| ids.len());
            return texts.map(|text| counted(text, count(text))).sum();
        };
        words.with_cache(|cache| {
            let mut count_text = |text| {
                let parts = self.added.parts(text, specials).enumerate();
                let num_tokens = parts.map(|(index, part)| match part {
                    PromptPart::Token => Ok(1),
                    PromptPart::Text(text) => {
                        words.count((text, self.prefixes.is_before(text, index)), cache, |word| {
                            self.model.count_word(word)
                        })
                    }
                });
                num_tokens.sum()
            };
            texts.map(|text| counted(text, count_text(text))).sum()
        })
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = open_plain(path)?;
    let mut bytes = Vec::new();
    // Only a hint: without it, the file is read in pieces.
    _ = bytes.try_reserve(usize::try_from(file.metadata()?.len().min(MAX_FILE_BYTES) + 1).unwrap_or(0));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0 => Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file is empty")),
        1..=MAX_FILE_BYTES => Ok(bytes),
        _ => Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the file has more than 256 MiB")),
    }
}

fn encode_error(text: &str, source: Cause) -> FormatError {
    FormatError::Encode { num_bytes: text.len(), source }
}
