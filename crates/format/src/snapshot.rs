//! A directory with the text side of a model, as the Hugging Face Hub keeps it: a tokenizer, its configuration, a chat template.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::FormatError;

/// The file with special tokens, tokens that were added, and perhaps a chat template.
pub(crate) const CONFIG: &str = "tokenizer_config.json";
/// The files of a tokenizer, the one that counts first.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "tokenizer.model"];
/// Size of the largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A token that a configuration adds to a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ConfiguredToken {
    #[serde(skip)]
    pub(crate) id: u32,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) special: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What the configuration of a tokenizer says.
#[derive(Debug, Default)]
pub(crate) struct TokenizerConfig {
    path: PathBuf,
    settings: Map<String, Value>,
}

/// The tokenizer of a directory.
pub(crate) fn find_tokenizer(directory: &Path) -> Result<PathBuf, FormatError> {
    let found = TOKENIZERS.map(|name| directory.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let detail = format!("it has neither {}", TOKENIZERS.join(" nor "));
        FormatError::Unusable { path: directory.to_owned(), detail }
    })
}

impl TokenizerConfig {
    /// The configuration in a directory; empty if the directory has none.
    pub(crate) fn read(directory: &Path) -> Result<Self, FormatError> {
        let path = directory.join(CONFIG);
        let settings = if path.is_file() { parse_object(&path, &read_text(&path)?)? } else { Map::new() };
        Ok(Self { path, settings })
    }

    /// The special tokens that it names: `bos_token`, `eos_token` and others.
    pub(crate) fn special_tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.settings.iter().filter(|(key, _)| key.ends_with("_token"));
        named
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str().or_else(|| value.get("content")?.as_str())?)))
    }

    /// A special token, such as `bos_token`.
    pub(crate) fn special_token(&self, key: &str) -> Option<&str> {
        self.special_tokens().find(|(name, _)| *name == key).map(|(_, token)| token)
    }

    /// A setting that is true or false.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.settings.get(key)?.as_bool()
    }

    /// Whether the tokenizer is of a class of this name, fast or not.
    pub(crate) fn is_of_class(&self, name: &str) -> bool {
        let class = self.settings.get("tokenizer_class").and_then(Value::as_str);
        class.is_some_and(|class| class.trim_end_matches("Fast") == name)
    }

    /// The tokens that it lists in `added_tokens_decoder`, by id.
    ///
    /// # Errors
    /// If the list is malformed, or if a token takes white space or words around it.
    pub(crate) fn added_tokens(&self) -> Result<Vec<ConfiguredToken>, FormatError> {
        let Some(listed) = self.settings.get("added_tokens_decoder") else { return Ok(Vec::new()) };
        let unusable = |detail: String| FormatError::Unusable { path: self.path.clone(), detail };
        let listed: Map<String, Value> = serde_json::from_value(listed.clone())
            .map_err(|error| unusable(format!("added_tokens_decoder: {error}")))?;
        let mut tokens = Vec::with_capacity(listed.len());
        for (id, token) in listed {
            let mut token: ConfiguredToken = serde_json::from_value(token)
                .map_err(|error| unusable(format!("added_tokens_decoder.{id}: {error}")))?;
            token.id = id.parse().map_err(|error| unusable(format!("added_tokens_decoder.{id}: {error}")))?;
            tokens.push(token);
        }
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }
}

impl ConfiguredToken {
    /// Whether it is found as it is written, and takes nothing of the text around it.
    pub(crate) fn is_plain(&self) -> bool {
        ["lstrip", "rstrip", "single_word"].iter().all(|key| self.others.get(*key) != Some(&Value::Bool(true)))
    }
}

/// A file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, FormatError> {
    let unreadable = |source| FormatError::ReadFile { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(unreadable)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "the file has more than 16 MiB")));
    }
    Ok(text)
}

/// The JSON object in the text of a file.
pub(crate) fn parse_object(path: &Path, text: &str) -> Result<Map<String, Value>, FormatError> {
    let unusable = |error: serde_json::Error| FormatError::Unusable {
        path: path.to_owned(),
        detail: format!("it is no JSON object: {error}"),
    };
    serde_json::from_str(text).map_err(unusable)
}
