//! Promise: `schemas/` is what the types say. `make schemas` writes it anew.

use std::fs;

use manyframe_engine::{LedgerRow, Manifest};
use manyframe_plan::pipeline::PipelineFile;
use manyframe_shards::{SampleJson, SampleMetadata};
use schemars::{JsonSchema, schema_for};

use crate::support::root;

fn compare<T: JsonSchema>(name: &str) {
    let path = root().join("schemas").join(name);
    let generated = serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("MANYFRAME_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{} is not what the types say: run `make schemas`", path.display());
}

#[test]
fn schemas_are_generated_from_the_types() {
    compare::<PipelineFile>("pipeline.schema.json");
    compare::<SampleJson>("sample.schema.json");
    compare::<SampleMetadata>("sample-metadata.schema.json");
    compare::<Manifest>("manifest.schema.json");
    compare::<LedgerRow>("ledger.schema.json");
}
