//! Finds the annotation that a record of a dataset was read from.

use std::collections::BTreeMap;

use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE};
use manyframe_pipeline::Pipeline;
use manyframe_plan::{PlanError, SourceReader};
use manyframe_storage::Stores;

use crate::error::EngineError;

/// The text of a record in its annotation file.
///
/// `variables` replace those of the build, for a dataset that was built on another machine.
///
/// # Errors
///
/// [`EngineError::Dataset`] if the row is not of this dataset; [`EngineError::Plan`] if its annotations cannot be read.
pub fn read_origin(
    dataset: &DatasetReader,
    row: &LedgerRow,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
) -> Result<String, EngineError> {
    let pipeline = Pipeline { stores: stores.clone(), ..dataset.pipeline(variables)? };
    let Some(source) = pipeline.sources().find(|source| source.table.name == row.source) else {
        let detail = format!("there is no source {:?}", row.source);
        return Err(DatasetError::NotADataset { path: dataset.location().join(MANIFEST_FILE), detail }.into());
    };
    let unreadable = |error| PlanError::Source { source_name: source.table.name.clone(), error };
    let raw = SourceReader::open(source)?.read_at(&row.origin).map_err(unreadable)?;
    Ok(String::from_utf8_lossy(raw.body.text()).into_owned())
}
