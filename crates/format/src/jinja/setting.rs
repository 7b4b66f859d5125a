//! How a pipeline file names a chat template in Jinja.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A chat template in Jinja, as `transformers` renders them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JinjaTemplate {
    /// Path of the template; of a JSON file with a `chat_template`, such as `tokenizer_config.json`; or of a directory with
    /// one of them.
    Path(String),
    /// The path with more settings.
    Table(JinjaTable),
}

/// A chat template in Jinja, with what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JinjaTable {
    /// Path of the template; of a JSON file with a `chat_template`, such as `tokenizer_config.json`; or of a directory with
    /// one of them.
    pub path: String,
    /// Variables of the template: `enable_thinking = false`. `bos_token`, `eos_token` and the like are those of the
    /// `tokenizer_config.json` beside the template, or beside the tokenizer, unless they are here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Value>,
    /// What is around answers in the prompt. Default: `{% generation %}` of the template, or else where its answers are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerMarkers>,
}

/// What is around each answer in a prompt. No text of a record may contain it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerMarkers {
    /// The text after which an answer begins. Not trained.
    pub after: String,
    /// The text that ends an answer. Trained.
    pub until: String,
}

impl JinjaTemplate {
    /// The path of the template.
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Table(JinjaTable { path, .. }) => path,
        }
    }

    /// As [`Self::path`], to be replaced.
    pub fn path_mut(&mut self) -> &mut String {
        match self {
            Self::Path(path) | Self::Table(JinjaTable { path, .. }) => path,
        }
    }

    /// Whether the path is in a table of its own.
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// Variables of the template.
    pub(super) fn variables(&self) -> BTreeMap<String, Value> {
        match self {
            Self::Path(_) => BTreeMap::new(),
            Self::Table(table) => table.variables.clone(),
        }
    }

    /// What is around answers, if the file says so.
    pub(super) fn answers(&self) -> Option<&AnswerMarkers> {
        match self {
            Self::Path(_) => None,
            Self::Table(table) => table.answers.as_ref(),
        }
    }
}
