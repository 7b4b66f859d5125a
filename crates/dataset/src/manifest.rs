//! `manifest.json`: what a dataset is made of. Its JSON Schema is `schemas/manifest.schema.json`.
//!
//! **Invariant:** nothing in it differs between machines, runs, thread counts or engines; its digest names the dataset.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use manyframe_core::{Digest, Layout, Total};
use manyframe_pipeline::{Pipeline, PipelineFile, portable_settings};
use manyframe_shards::{ShardFormat, ShardNotes};
use manyframe_storage::{LocalDirectory, Storage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decontamination::DecontaminationSummary;
use crate::error::DatasetError;
use crate::needles::NeedlesEntry;
use crate::packs::PackSummary;
use crate::shard_name::ShardPath;
use crate::source::SourceSummary;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Raised whenever readers of an older version would misread a manifest.
pub const MANIFEST_VERSION: u32 = 5;

/// What a dataset is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of this format.
    pub manifest_version: u32,
    /// Version of manyframe that built it.
    pub manyframe_version: String,
    /// Name of the dataset.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Digest of `pipeline`.
    pub pipeline_digest: Digest,
    /// The pipeline file, defaults filled in. Paths begin with a variable, `${name}/…`, unless they are the same on every machine.
    pub pipeline: Value,
    /// Digest of the tokenizer's file.
    pub tokenizer_digest: Digest,
    /// Digest of the chat template's text and variables, if it is in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_digest: Option<Digest>,
    /// All samples together.
    pub total: Total,
    /// What happened to each source's records, in the order of the pipeline file.
    pub sources: Vec<SourceSummary>,
    /// What no sample may show, if the pipeline file names any; absent in datasets of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<DecontaminationSummary>,
    /// The shards.
    pub shards: Vec<ShardEntry>,
    /// The account of all records.
    pub ledger: LedgerEntry,
    /// The samples as training sequences, if the pipeline file requests them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackEntry>,
    /// The questions of its evaluation sets, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needles: Option<NeedlesEntry>,
}

/// The pack index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackEntry {
    /// Path below the dataset's directory.
    pub path: String,
    /// BLAKE3 digest of the file.
    pub digest: Digest,
    /// Its settings and what the packs cost.
    #[serde(flatten)]
    pub summary: PackSummary,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardEntry {
    /// Path below the dataset's directory.
    pub path: ShardPath,
    /// Its format.
    pub format: ShardFormat,
    /// The layout of all of its samples; absent if they are mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Size in bytes.
    pub num_bytes: u64,
    /// BLAKE3 digest of the file.
    pub digest: Digest,
    /// Its samples.
    #[serde(flatten)]
    pub total: Total,
}

/// What is known of the bytes of each shard, besides what the manifest says of it.
pub type NotesByShard = BTreeMap<ShardPath, ShardNotes>;

/// The ledger file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEntry {
    /// Path below the dataset's directory.
    pub path: String,
    /// BLAKE3 digest of the file.
    pub digest: Digest,
    /// Number of rows: records seen, and repetitions.
    pub num_records: u64,
}

impl Manifest {
    /// Reads the manifest of a dataset in a directory.
    ///
    /// # Errors
    ///
    /// If there is none, or it is not what this version writes.
    pub fn read(dataset: &Path) -> Result<Self, DatasetError> {
        Ok(Self::read_from(&LocalDirectory::new(dataset))?.0)
    }

    /// The manifest of a dataset, and the digest of its text, which names the dataset.
    pub(crate) fn read_from(storage: &dyn Storage) -> Result<(Self, Digest), DatasetError> {
        let damaged = |detail: &dyn fmt::Display| DatasetError::damaged(storage.location().join(MANIFEST_FILE), detail);
        let text = match storage.read(MANIFEST_FILE) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                let detail = format!("it has no {MANIFEST_FILE}; build it first");
                return Err(DatasetError::damaged(storage.location(), detail));
            }
            text => text?,
        };
        let Version { manifest_version } = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        if manifest_version != MANIFEST_VERSION {
            return Err(damaged(&format!("it has version {manifest_version}, expected {MANIFEST_VERSION}")));
        }
        let manifest = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        Ok((manifest, Digest::of(&text)))
    }

    /// Whether the dataset was built by this pipeline, even if it was packed again since.
    pub fn is_built_by(&self, pipeline: &Pipeline) -> bool {
        self.settings_digest() == settings_digest(portable_settings(pipeline))
    }

    /// A digest of the settings, without those of packs, which may be made again.
    pub fn settings_digest(&self) -> Digest {
        settings_digest(self.pipeline.clone())
    }

    /// The pipeline file, with the paths of this machine and without a directory for its output. A path that begins with a
    /// variable without a value stays as it is.
    ///
    /// # Errors
    ///
    /// If the manifest holds no pipeline file of this version.
    pub fn pipeline_with(&self, variables: &BTreeMap<String, String>) -> Result<Pipeline, DatasetError> {
        let mut value = self.pipeline.clone();
        if let Some(output) = value.get_mut("output").and_then(Value::as_object_mut) {
            output.insert("directory".to_owned(), Value::from(""));
            output.insert("root".to_owned(), Value::from(""));
        }
        let portable: PipelineFile =
            serde_json::from_value(value).map_err(|error| DatasetError::damaged(MANIFEST_FILE, error))?;
        Ok(Pipeline::on_this_machine(portable, variables.clone()))
    }
}

fn settings_digest(mut pipeline: Value) -> Digest {
    _ = pipeline.as_object_mut().and_then(|fields| fields.remove("pack"));
    Digest::of(pipeline.to_string().as_bytes())
}

/// The part that decides whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    manifest_version: u32,
}
