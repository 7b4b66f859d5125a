//! Finds a record of a dataset again: its ledger row, its sample, and the very text it was read from.

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_core::Sample;
use manyframe_pipeline::{Pipeline, PipelineFile};
use manyframe_plan::{BuildFacts, OpenSource};
use manyframe_sources::RawBody;
use serde_json::Value;

use crate::error::EngineError;
use crate::ledger::{LedgerRow, read_ledger};
use crate::manifest::Manifest;

/// The ledger rows that a text names: a record id or the beginning of one (6 digits or more), or an upstream id.
/// At most `limit` rows.
pub fn find_rows(dataset: &Path, text: &str, limit: usize) -> Result<Vec<LedgerRow>, EngineError> {
    let manifest = Manifest::read(dataset)?;
    let prefix = text.to_ascii_lowercase();
    let is_prefix = prefix.len() >= 6 && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut rows = Vec::new();
    for row in read_ledger(&dataset.join(&manifest.ledger.path))? {
        let row = row?;
        if row.upstream_id == text || (is_prefix && row.id.to_string().starts_with(&prefix)) {
            rows.push(row);
            if rows.len() == limit {
                break;
            }
        }
    }
    Ok(rows)
}

/// The sample of a delivered record; `None` if the record was not delivered.
pub fn read_sample(dataset: &Path, row: &LedgerRow) -> Result<Option<Sample>, EngineError> {
    let manifest = Manifest::read(dataset)?;
    let Some(name) = &row.shard else { return Ok(None) };
    let holds = |path: &str| {
        path.split_once('/').is_some_and(|(_, rest)| rest.rsplit_once('.').is_some_and(|(n, _)| n == name))
    };
    let Some(shard) = manifest.shards.iter().find(|shard| holds(&shard.path)) else {
        let detail = format!("the manifest has no shard {name:?}");
        return Err(EngineError::NotADataset { path: dataset.to_owned(), detail });
    };
    let path = dataset.join(&shard.path);
    manyframe_shards::read_one(shard.format, &path, row.id).map_err(|error| EngineError::Shard { path, error })
}

/// The text of a record in its annotation file, and that file's path on this machine.
///
/// `variables` replace those of the build, for a dataset that was built elsewhere.
pub fn read_origin(
    dataset: &Path,
    row: &LedgerRow,
    variables: &BTreeMap<String, String>,
) -> Result<String, EngineError> {
    let pipeline = read_pipeline(dataset, variables)?;
    let damaged = |detail: String| EngineError::NotADataset { path: dataset.join("manifest.json"), detail };
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

/// The pipeline that a dataset was built from, with the variables of the build or those that replace them.
pub(crate) fn read_pipeline(dataset: &Path, variables: &BTreeMap<String, String>) -> Result<Pipeline, EngineError> {
    let mut known = BuildFacts::read(dataset)?.map(|facts| facts.variables).unwrap_or_default();
    known.extend(variables.clone());
    let mut value = Manifest::read(dataset)?.portable_pipeline();
    fill_in(&mut value, &known);
    let path = || dataset.join("manifest.json");
    let file: PipelineFile = serde_json::from_value(value)
        .map_err(|error| EngineError::NotADataset { path: path(), detail: error.to_string() })?;
    Ok(Pipeline { file, variables: known })
}

fn fill_in(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            for (name, replacement) in variables {
                *text = text.replace(&format!("${{{name}}}"), replacement);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, variables)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_in(field, variables)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
