//! Whether a dataset is still the one that was opened: a build may replace it while it is read, and what is read then is of two.

use manyframe_dataset::{DatasetReader, MANIFEST_FILE};

use crate::error::EngineError;

/// Checks that nobody replaced a dataset since it was opened, before what was made of it is written.
///
/// # Errors
///
/// [`EngineError::Overtaken`] if somebody did, or [`EngineError::Dataset`].
pub fn check_current(dataset: &DatasetReader) -> Result<(), EngineError> {
    if dataset.is_replaced()? {
        return Err(EngineError::Overtaken { path: dataset.location().join(MANIFEST_FILE) });
    }
    Ok(())
}

/// What was made of a dataset, unless somebody replaced it since it was opened: what was missing or damaged then is so in neither of
/// the two.
///
/// # Errors
///
/// [`EngineError::Overtaken`] if somebody did, or that of the result.
pub(crate) fn if_current<T>(dataset: &DatasetReader, made: Result<T, EngineError>) -> Result<T, EngineError> {
    if made.is_err() {
        check_current(dataset)?;
    }
    made
}
