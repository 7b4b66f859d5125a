//! A directory with the text side of a model, as the Hugging Face Hub keeps it: a tokenizer, its configuration, a chat template.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::FormatError;

/// The file with special tokens, tokens that were added, and perhaps a chat template.
pub(crate) const CONFIG: &str = "tokenizer_config.json";
/// Its list of tokens that were added.
const LISTED: &str = "added_tokens_decoder";
/// Where older versions of `transformers` kept special tokens, and tokens that were added. They count if the configuration has no
/// list (`tokenization_utils_base.py`, `_from_pretrained`).
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
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
    directory: PathBuf,
    settings: Map<String, Value>,
    /// The tokens of `added_tokens.json` with their ids, if they count.
    added: Map<String, Value>,
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
        let mut settings = read_object(&directory.join(CONFIG))?;
        let mut added = Map::new();
        if !settings.contains_key(LISTED) {
            for (key, token) in read_object(&directory.join(SPECIAL_TOKENS))? {
                let setting = settings.entry(key).or_insert(Value::Null);
                if setting.is_null() {
                    *setting = token;
                }
            }
            added = read_object(&directory.join(ADDED_TOKENS))?;
        }
        Ok(Self { directory: directory.to_owned(), settings, added })
    }

    /// The special tokens that it names: `bos_token`, `eos_token` and others.
    pub(crate) fn special_tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.settings.iter().filter(|(key, _)| key.ends_with("_token"));
        named.filter_map(|(key, value)| Some((key.as_str(), token_text(value)?)))
    }

    /// A special token, such as `bos_token`.
    pub(crate) fn special_token(&self, key: &str) -> Option<&str> {
        self.special_tokens().find(|(name, _)| *name == key).map(|(_, token)| token)
    }

    /// A setting that is true or false.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.settings.get(key)?.as_bool()
    }

    /// The name of the file that lists the tokens that were added.
    pub(crate) fn list_name(&self) -> &'static str {
        if self.added.is_empty() { CONFIG } else { ADDED_TOKENS }
    }

    /// The tokens that were added, by id.
    ///
    /// # Errors
    /// If the list of them is malformed.
    pub(crate) fn added_tokens(&self) -> Result<Vec<ConfiguredToken>, FormatError> {
        let mut tokens = match self.settings.get(LISTED) {
            Some(listed) => self.listed_tokens(listed)?,
            None => self.added.iter().map(|(text, id)| self.added_token(text, id)).collect::<Result<_, _>>()?,
        };
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }

    fn listed_tokens(&self, listed: &Value) -> Result<Vec<ConfiguredToken>, FormatError> {
        let listed: Map<String, Value> =
            serde_json::from_value(listed.clone()).map_err(|error| self.unusable(&format!("{LISTED}: {error}")))?;
        let token = |(id, token): (String, Value)| {
            let unusable = |error: &dyn std::fmt::Display| self.unusable(&format!("{LISTED}.{id}: {error}"));
            let mut token: ConfiguredToken = serde_json::from_value(token).map_err(|error| unusable(&error))?;
            token.id = id.parse().map_err(|error| unusable(&error))?;
            Ok(token)
        };
        listed.into_iter().map(token).collect()
    }

    /// A token of `added_tokens.json`: a special one if it is named as one.
    fn added_token(&self, text: &str, id: &Value) -> Result<ConfiguredToken, FormatError> {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = number.ok_or_else(|| self.unusable(&format!("{text:?} has the id {id}")))?;
        let more = self.settings.get("additional_special_tokens").and_then(Value::as_array);
        let more = more.into_iter().flatten().filter_map(token_text);
        let special = self.special_tokens().map(|(_, token)| token).chain(more).any(|special| special == text);
        Ok(ConfiguredToken { id, content: text.to_owned(), special, others: Map::new() })
    }

    fn unusable(&self, detail: &str) -> FormatError {
        FormatError::Unusable { path: self.directory.join(self.list_name()), detail: detail.to_owned() }
    }
}

/// The text of a token, which is by itself or in an object.
fn token_text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
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
    open_plain(path).map_err(unreadable)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "the file has more than 16 MiB")));
    }
    Ok(text)
}

/// Opens a file that is no pipe or device: opening those could block forever.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() || metadata.is_dir() {
        return File::open(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"))
}

/// The JSON object in a file; an empty one if there is no such file.
fn read_object(path: &Path) -> Result<Map<String, Value>, FormatError> {
    if path.is_file() { parse_object(path, &read_text(path)?) } else { Ok(Map::new()) }
}

/// The JSON object in the text of a file.
pub(crate) fn parse_object(path: &Path, text: &str) -> Result<Map<String, Value>, FormatError> {
    let unusable = |error: serde_json::Error| FormatError::Unusable {
        path: path.to_owned(),
        detail: format!("it is no JSON object: {error}"),
    };
    serde_json::from_str(text).map_err(unusable)
}
