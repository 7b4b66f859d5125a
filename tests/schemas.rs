//! Promise: `schemas/` is what the types say. `make schemas` generates it.

use std::fs;

use manyframe_dataset::{Manifest, NeedleEntry};
use manyframe_pipeline::PipelineFile;
use manyframe_shards::{SampleJson, SampleMetadata};
use manyframe_validate::measure::{Policy, Report, table_schema};
use manyframe_validate::needles::{NeedleReport, needle_table_schema};
use schemars::{JsonSchema, schema_for};

use crate::support::root;

pub(crate) fn compare_type<T: JsonSchema>(name: &str) {
    compare(name, schema_for!(T).as_value());
}

fn compare(name: &str, schema: &serde_json::Value) {
    compare_text(&format!("schemas/{name}"), &(serde_json::to_string_pretty(schema).unwrap() + "\n"));
}

/// Compares a committed file with what it is generated from, or writes it where that is asked for.
pub(crate) fn compare_text(name: &str, generated: &str) {
    let path = root().join(name);
    if std::env::var_os("MANYFRAME_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what is generated; MANYFRAME_UPDATE=1 writes it, as `make schemas` does\n{generated}",
        path.display()
    );
}

#[test]
fn schemas_are_generated_from_the_types() {
    compare_type::<PipelineFile>("pipeline.schema.json");
    compare_type::<SampleJson>("sample.schema.json");
    compare_type::<SampleMetadata>("sample-metadata.schema.json");
    compare("sample-row.schema.json", &manyframe_shards::sample_row_schema());
    compare_type::<Manifest>("manifest.schema.json");
    compare("ledger.schema.json", &manyframe_dataset::ledger_schema());
    compare("pack.schema.json", &manyframe_dataset::pack_schema());
    compare_type::<NeedleEntry>("needle.schema.json");
    compare_type::<Report>("validation.schema.json");
    compare_type::<Policy>("policy.schema.json");
    compare("validation-row.schema.json", &table_schema());
    compare_type::<NeedleReport>("needle-scores.schema.json");
    compare("needle-scores-row.schema.json", &needle_table_schema());
}
