//! Why a tokenizer or a template cannot be loaded. A record that cannot be formatted is a
//! [`Rejection`](manyframe_core::Rejection) instead.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a tokenizer's library cannot do something.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A tokenizer or a template that cannot be loaded. Nothing here is about a single record.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file of the tokenizer cannot be read.
    #[error("cannot read the tokenizer {path:?}{}", advice_on_hub(path))]
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
        /// What it should be, judging by its first bytes.
        expected: &'static str,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// Token counts would not be exact, because of a property of the tokenizer.
    #[error("the tokenizer {path:?} {property}, which is not supported")]
    UnsupportedTokenizer {
        /// The file.
        path: PathBuf,
        /// What it does, as a verb phrase.
        property: String,
    },
    /// A text has no tokens under this tokenizer.
    #[error("cannot tokenize a text of {num_bytes} bytes")]
    Encode {
        /// Length of the text.
        num_bytes: usize,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// The matcher that finds literal tags or special tokens cannot be built.
    #[error("cannot build the matcher for {num_literals} literals")]
    BuildMatcher {
        /// How many strings it would find.
        num_literals: usize,
        /// The cause.
        #[source]
        source: aho_corasick::BuildError,
    },
    /// The tokenizer is not that of the model family.
    #[error("the tokenizer has no token {placeholder:?}: it is not that of the model family")]
    NoPlaceholder {
        /// The placeholder.
        placeholder: String,
    },
    /// A prompt does not have the visuals that it should have.
    #[error("the prompt has {found} placeholders, expected {expected}")]
    Placeholders {
        /// Placeholders in the prompt.
        found: usize,
        /// Runs of visual tokens.
        expected: usize,
    },
    /// A chat template or the configuration of a tokenizer cannot be read.
    #[error("cannot read {path:?}")]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A directory or a file of it is not what the Hugging Face Hub keeps.
    #[error("cannot use {path:?}: {detail}")]
    Unusable {
        /// The directory or the file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A chat template has an error, or cannot be used.
    #[error("the chat template {name}: {detail}")]
    Template {
        /// The file, or that it is built in.
        name: String,
        /// What is wrong with it, and in which line.
        detail: String,
    },
    /// A custom template contains the placeholder of an image, so that every turn would show one that does not exist.
    #[error("the template's {field} contains the placeholder {placeholder:?}")]
    PlaceholderInTemplate {
        /// Name of the field.
        field: &'static str,
        /// The placeholder.
        placeholder: String,
    },
}

/// How to get the tokenizer of a checkpoint, if a path that does not exist ends like the name of one on the Hugging Face Hub:
/// `Qwen/Qwen2.5-VL-7B-Instruct`, in a directory that does not exist either. Otherwise empty.
pub fn advice_on_hub(path: &Path) -> String {
    let Some(owner) = path.parent().filter(|owner| !owner.exists()) else { return String::new() };
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let (Some(owner), Some(model)) = (name(owner), name(path)) else { return String::new() };
    if path.extension().is_some_and(|extension| extension == "json" || extension == "model") {
        return String::new();
    }
    format!(
        "; if {owner}/{model} is a checkpoint of the Hugging Face Hub, from which manyframe downloads nothing, \
         `hf download {owner}/{model} tokenizer.json tokenizer_config.json --local-dir {model}` gets its tokenizer.json, and \
         tokenizer = \"{model}\" names it"
    )
}
