//! Where a chat template comes from, and which special tokens it may name: the files of a Hugging Face snapshot.
//!
//! Source, in `transformers` 5.23: `tokenization_utils_base.py` and `processing_utils.py`, `from_pretrained`. A template is in
//! `chat_template.jinja`, else in `chat_template.json`, else in `tokenizer_config.json`; of several named ones, it is `default`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_core::Digest;
use serde_json::{Map, Value};

use super::built_in::BuiltIn;
use super::setting::JinjaTemplate;
use crate::error::FormatError;
use crate::snapshot::{CONFIG, TokenizerConfig, parse_object, read_text};

/// A template before it is compiled.
#[derive(Debug)]
pub(crate) struct TemplateSource {
    pub(super) text: String,
    /// The file; `None` of a template that is built in.
    pub(super) path: Option<PathBuf>,
    /// Its variables, special tokens included.
    pub(super) variables: BTreeMap<String, Value>,
}

/// The files of a snapshot that may have a template, the one that counts first.
const FILES: [&str; 3] = ["chat_template.jinja", "chat_template.json", CONFIG];

impl TemplateSource {
    /// A template that is built in.
    pub(super) fn built_in(template: BuiltIn) -> Self {
        let eos = ("eos_token".to_owned(), Value::from(template.eos));
        Self { text: template.text.to_owned(), path: None, variables: BTreeMap::from([eos]) }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "that is built in".to_owned(), |path| path.display().to_string())
    }

    /// The template that a pipeline file names. `tokenizer` is the directory of the tokenizer.
    pub(super) fn open(setting: &JinjaTemplate, tokenizer: &Path) -> Result<Self, FormatError> {
        let mut source = Self::read(Path::new(setting.path()))?;
        source.add_special_tokens(tokenizer)?;
        source.variables.extend(setting.variables());
        Ok(source)
    }

    /// The template in the directory of the tokenizer.
    pub(super) fn of_tokenizer(directory: &Path) -> Result<Self, FormatError> {
        let mut source = Self::read_directory(directory)?;
        source.add_special_tokens(directory)?;
        Ok(source)
    }

    /// Equal for equal texts and variables. `None` of a template that is built in.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.path.as_ref()?;
        let variables = serde_json::json!(self.variables).to_string();
        Some(Digest::of_fields([self.text.as_bytes(), variables.as_bytes()]))
    }

    fn read(path: &Path) -> Result<Self, FormatError> {
        if path.is_dir() {
            return Self::read_directory(path);
        }
        let text = read_text(path)?;
        if !is_json(path) {
            return Ok(Self { text, path: Some(path.to_owned()), variables: BTreeMap::new() });
        }
        let found = template_of(path, &parse_object(path, &text)?)?;
        found.ok_or_else(|| unusable(path, "it has no chat_template"))
    }

    fn read_directory(directory: &Path) -> Result<Self, FormatError> {
        for path in FILES.map(|name| directory.join(name)).into_iter().filter(|path| path.is_file()) {
            let text = read_text(&path)?;
            if !is_json(&path) {
                return Ok(Self { text, path: Some(path), variables: BTreeMap::new() });
            }
            if let Some(source) = template_of(&path, &parse_object(&path, &text)?)? {
                return Ok(source);
            }
        }
        Err(unusable(directory, &format!("it has no chat template, neither in {}", FILES.join(" nor in "))))
    }

    /// Adds the special tokens of the configuration beside the template, and beside the tokenizer: those that it has not yet.
    fn add_special_tokens(&mut self, tokenizer: &Path) -> Result<(), FormatError> {
        let beside = self.path.as_deref().and_then(Path::parent).map(Path::to_owned);
        for directory in beside.iter().map(PathBuf::as_path).chain([tokenizer]) {
            for (name, token) in TokenizerConfig::read(directory)?.special_tokens() {
                self.variables.entry(name.to_owned()).or_insert_with(|| Value::from(token));
            }
        }
        Ok(())
    }
}

/// The template of a parsed file, if it has one.
fn template_of(path: &Path, config: &Map<String, Value>) -> Result<Option<TemplateSource>, FormatError> {
    let name_of = |entry: &Value| entry.get("name").and_then(Value::as_str).map(str::to_owned);
    let text = match config.get("chat_template") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(named)) => {
            let default = named.iter().find(|entry| name_of(entry).as_deref() == Some("default"));
            default.and_then(|entry| entry.get("template")?.as_str()).map(str::to_owned)
        }
        Some(Value::Object(named)) => named.get("default").and_then(Value::as_str).map(str::to_owned),
        Some(_) => return Err(unusable(path, "its chat_template is no text")),
    };
    let text = text.ok_or_else(|| unusable(path, "none of its chat templates is named \"default\""))?;
    Ok(Some(TemplateSource { text, path: Some(path.to_owned()), variables: BTreeMap::new() }))
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

fn unusable(path: &Path, detail: &str) -> FormatError {
    FormatError::Unusable { path: path.to_owned(), detail: detail.to_owned() }
}
