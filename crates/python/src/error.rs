//! Errors as exceptions of Python: the message of each, with all of its causes.

use std::error::Error;
use std::fmt::Write;

use pyo3::PyErr;

pyo3::create_exception!(
    manyframe,
    DatasetError,
    pyo3::exceptions::PyException,
    "A dataset, or a part of it, cannot be read."
);

/// The exception of an error.
pub(crate) fn exception(error: &dyn Error) -> PyErr {
    DatasetError::new_err(message(error))
}

/// An error with all of its causes.
pub(crate) fn message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
