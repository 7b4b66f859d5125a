//! Finds the text again that a record of a dataset was read from.

use std::collections::BTreeMap;

use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE};
use manyframe_plan::OpenSource;
use manyframe_sources::RawBody;

use crate::error::EngineError;

/// The text of a record in its annotation file, and that file's path on this machine.
///
/// `variables` replace those of the build, for a dataset that was built elsewhere.
pub fn read_origin(
    dataset: &DatasetReader,
    row: &LedgerRow,
    variables: &BTreeMap<String, String>,
) -> Result<String, EngineError> {
    let pipeline = dataset.pipeline(variables)?;
    let damaged = |detail: String| DatasetError::NotADataset { path: dataset.location().join(MANIFEST_FILE), detail };
    let table = pipeline.file.source.iter().find(|table| table.name == row.source).cloned();
    let table = table.ok_or_else(|| damaged(format!("there is no source {:?}", row.source)))?;
    let source = OpenSource::open(&pipeline, &table)?;
    let raw = source.read_at(&row.origin).map_err(|error| {
        EngineError::Plan(manyframe_plan::PlanError::Source { source_name: table.name.clone(), error })
    })?;
    let bytes = match raw.body {
        RawBody::Json(text) => text,
        RawBody::Broken { head, .. } => head,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
