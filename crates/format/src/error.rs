//! What can go wrong with a tokenizer or a template.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A tokenizer or a template that cannot be used. Nothing here is about a single record.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The tokenizer's file cannot be read.
    #[error("cannot read the tokenizer {path:?}")]
    ReadTokenizer {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is neither a SentencePiece model nor a `tokenizer.json`, or is damaged.
    #[error("cannot parse the tokenizer {path:?} as {expected}")]
    ParseTokenizer {
        /// The file.
        path: PathBuf,
        /// What its first bytes say that it is.
        expected: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The tokenizer has a property with which counts would not be exact.
    #[error("the tokenizer {path:?} {property}, which is not supported")]
    UnsupportedTokenizer {
        /// The file.
        path: PathBuf,
        /// What it does, as a verb phrase.
        property: String,
    },
    /// A text has no tokens under this tokenizer.
    #[error("cannot tokenise a text of {num_bytes} bytes")]
    Encode {
        /// Length of the text.
        num_bytes: usize,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The matcher for literal tags or special tokens cannot be built.
    #[error("cannot build the matcher for {num_literals} literals")]
    BuildMatcher {
        /// How many strings it should find.
        num_literals: usize,
        /// The cause.
        #[source]
        source: aho_corasick::BuildError,
    },
    /// A custom template contains the dialect's placeholder: every turn would show an image that does not exist.
    #[error("the template's {field} contains the placeholder {placeholder:?}")]
    PlaceholderInTemplate {
        /// Name of the field.
        field: &'static str,
        /// The placeholder.
        placeholder: &'static str,
    },
}
