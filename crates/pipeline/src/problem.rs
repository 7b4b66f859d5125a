//! What is wrong with a pipeline file: the place, the value, and what is allowed there.

use std::fmt;

use crate::document::Place;

/// One thing that is wrong with a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: String,
    place: Place,
    message: String,
    value: Option<String>,
    allowed: Option<String>,
}

impl Problem {
    pub(crate) fn new(place: Place, message: &str) -> Self {
        // The TOML parser spreads some messages over several lines.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { file: String::new(), place, message, value: None, allowed: None }
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

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Line of the file, from 1; `None` for a `--set`.
    pub fn line(&self) -> Option<usize> {
        if let Place::File { line, .. } = self.place { Some(line) } else { None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.place, self.message)?;
        if let Some(value) = &self.value {
            write!(f, "\n    value:   {value}")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(f, "\n    allowed: {allowed}")?;
        }
        Ok(())
    }
}
