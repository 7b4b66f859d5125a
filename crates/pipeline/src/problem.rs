//! One error of a pipeline file: its location, the value, and what is allowed instead.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueLocation {
    /// Line and column of the file, from 1.
    File { line: usize, column: usize },
    /// A `--set` of the command line, by its key.
    CommandLine { key: String },
    /// What a dataset was packed with before.
    EarlierSettings,
}

/// One error of a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: String,
    location: ValueLocation,
    message: String,
    value: Option<String>,
    allowed: Option<String>,
}

/// A problem as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct ProblemJson<'a> {
    /// The pipeline file.
    file: &'a str,
    /// Line of the file, from 1; absent if the value is not in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Column of the line, in bytes, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The key of the `--set` that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<&'a str>,
    /// What is wrong.
    message: &'a str,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a str>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (line, column, set) = match &self.location {
            ValueLocation::File { line, column } => (Some(*line), Some(*column), None),
            ValueLocation::CommandLine { key } => (None, None, Some(key.as_str())),
            ValueLocation::EarlierSettings => (None, None, None),
        };
        let (value, allowed) = (self.value.as_deref(), self.allowed.as_deref());
        ProblemJson { file: &self.file, line, column, set, message: &self.message, value, allowed }
            .serialize(serializer)
    }
}

impl JsonSchema for Problem {
    fn schema_name() -> Cow<'static, str> {
        ProblemJson::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ProblemJson::json_schema(generator)
    }
}

impl Problem {
    pub(crate) fn new(location: ValueLocation, message: &str) -> Self {
        // The TOML parser breaks some messages over several lines.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { file: String::new(), location, message, value: None, allowed: None }
    }

    /// A problem of a file as a whole.
    pub(crate) fn of_file(path: &std::path::Path, message: &str) -> Self {
        Self::new(ValueLocation::File { line: 1, column: 1 }, message).in_file(&path.display().to_string())
    }

    pub(crate) fn with_value(mut self, value: &str) -> Self {
        let mut shown: String = value.chars().take(80).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        self.value = Some(shown);
        self
    }

    pub(crate) fn with_allowed(mut self, allowed: &str) -> Self {
        self.allowed = (!allowed.is_empty()).then(|| allowed.to_owned());
        self
    }

    pub(crate) fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// The problem, where it is one of the settings that a dataset was packed with before, which are in no file.
    pub(crate) fn of_earlier_settings(self) -> Self {
        match self.location {
            ValueLocation::File { .. } => Self { location: ValueLocation::EarlierSettings, ..self },
            _ => self,
        }
    }

    /// Line of the file, from 1; `None` for a `--set`.
    pub fn line(&self) -> Option<usize> {
        if let ValueLocation::File { line, .. } = self.location { Some(line) } else { None }
    }
}

impl fmt::Display for ValueLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line, column } => write!(f, "{line}:{column}"),
            Self::CommandLine { key } => write!(f, "--set {key}"),
            Self::EarlierSettings => {
                f.write_str("the settings of the last packing (--set replaces them, --reset drops them)")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        write!(f, "{}: {}", self.location, self.message)?;
        if let Some(value) = &self.value {
            write!(f, "\n    value:   {value}")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(f, "\n    allowed: {allowed}")?;
        }
        Ok(())
    }
}
