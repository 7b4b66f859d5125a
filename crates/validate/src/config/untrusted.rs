//! Guards against configurations from elsewhere: a limit on what is read, and a bound for every number.

use std::io::Read as _;
use std::path::Path;

use manyframe_base::{FileError, open_regular};
use serde::Deserialize;
use serde_json::Value;

use crate::error::ValidateError;

/// Largest JSON file that is read, in bytes. The rest of a larger one is ignored, so that it does not parse.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// Reads a JSON file of at most 16 MiB.
pub(crate) fn read_json(path: &Path) -> Result<Value, ValidateError> {
    let file = open_regular(path).map_err(FileError::read(path))?;
    let mut text = Vec::new();
    file.take(MAX_JSON_BYTES).read_to_end(&mut text).map_err(FileError::read(path))?;
    serde_json::from_slice(&text).map_err(|source| ValidateError::Json { path: path.to_owned(), source })
}

/// Parses a JSON value; `path` is for the error.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(value: Value, path: &Path) -> Result<T, ValidateError> {
    serde_json::from_value(value).map_err(|source| ValidateError::Json { path: path.to_owned(), source })
}

/// Collects the problems of a configuration.
pub(super) struct Bounds(pub(super) Vec<String>);

impl Bounds {
    /// Expects each value to be from 1 to its maximum; an item is a name, a value and a maximum.
    pub(super) fn within<const N: usize>(&mut self, values: [(&str, usize, usize); N]) {
        for (name, value, max) in values {
            if value == 0 || value > max {
                self.0.push(format!("{name} is {value}, expected 1 to {max}"));
            }
        }
    }

    /// Expects a condition to hold.
    pub(super) fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(problem());
        }
    }
}

/// Whether a whole splits into parts of this size.
pub(super) fn divides(part: usize, whole: usize) -> bool {
    part > 0 && whole.is_multiple_of(part)
}
